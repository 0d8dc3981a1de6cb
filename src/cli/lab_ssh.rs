//! `bootproof lab ssh`, and setting the clocks of restored VMs: both run OpenSSH.

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::error::Error;
use crate::exit_code::ExitCode;
use crate::lab::folder::LabFolder;
use crate::lab::parallel;
use crate::lab::state::{self, LabVm};
use crate::problem::Problem;
use crate::secrets::{Secret, Secrets};
use crate::settings::{self, LOCAL_INVENTORY};
use crate::spec::inventory::{Inventory, Vm};

/// Names the VM for which OpenSSH asks this program for a password.
const ASKPASS: &str = "BOOTPROOF_ASKPASS_VM";

/// Within this time a VM has accepted a login and set its clock. An emulated VM that has just been
/// resumed needs seconds.
const CLOCK_SECONDS: &str = "120";

/// An answer that took longer leaves the clock too late, and the time is sent again.
const CLOCK_SET_WITHIN: Duration = Duration::from_secs(1);

/// How often the time is sent at most.
const CLOCK_TRIES: usize = 10;

/// OpenSSH options that `lab ssh` sets.
const SSH_OPTIONS: [&str; 5] = [
    "StrictHostKeyChecking=yes",
    "NumberOfPasswordPrompts=1",
    "LogLevel=ERROR",
    // A VM that is paused or unreachable must not hold a shell forever.
    "ServerAliveInterval=15",
    "ConnectTimeout=20",
];

/// Prints the password if OpenSSH has started this program to ask for it. So the password is in no
/// argument list and no environment.
pub(super) fn askpass() -> Option<ExitCode> {
    let name = std::env::var(ASKPASS).ok()?;
    let password = local_inventory().ok().and_then(|inventory| {
        let secrets = Secrets::read([inventory.vms.get(&name)?]).ok()?;
        secrets.of(&name).password
    });
    match password {
        Some(password) => {
            println!("{}", password.expose());
            Some(ExitCode::Conforms)
        }
        None => Some(ExitCode::Internal),
    }
}

/// Replaces this process by OpenSSH, whose terminal handling is the best there is. Returns only if
/// that fails.
pub(super) fn ssh(folder: &LabFolder, name: &str, command: &[String]) -> Result<(), Error> {
    let inventory = local_inventory().map_err(Error::internal)?;
    let known = || inventory.vms.keys().map(String::as_str);
    let vm = inventory.vms.get(name).ok_or_else(|| state::unknown_vm(name, known()))?;
    let mut ssh = Command::new("ssh");
    add_ssh_arguments(&mut ssh, folder, vm).map_err(Error::internal)?;
    if !command.is_empty() {
        ssh.arg("--").args(command);
    }
    Err(Error::internal(Problem::io("start ssh")(ssh.exec())))
}

/// The inventory that `lab up` has written.
fn local_inventory() -> Result<Inventory, Problem> {
    let text = settings::read(Path::new(LOCAL_INVENTORY)).map_err(|_| state::not_up())?;
    Inventory::parse(LOCAL_INVENTORY, &text).map_err(|mistakes| Problem::new(mistakes.to_string()))
}

/// Sets the clocks of VMs: a restored VM believes that it is still the time of its snapshot.
pub(super) fn set_clocks(folder: &LabFolder, vms: &[&LabVm]) -> Result<(), Problem> {
    let inventory = local_inventory()?;
    let reachable = vms.iter().filter(|vm| vm.built_here);
    parallel::for_each(reachable, |vm| match inventory.vms.get(&vm.name) {
        Some(vm) => set_clock(folder, vm),
        None => Err(Problem::new(format!("{LOCAL_INVENTORY} does not list {}", vm.name))),
    })
}

fn set_clock(folder: &LabFolder, vm: &Vm) -> Result<(), Problem> {
    let failed = || Problem::io(format!("set the clock of {}", vm.name));
    let secrets = Secrets::read([vm]).map_err(|error| Problem::new(error.to_string()))?;
    // A VM that accepts the login and then hangs must not hold this program, either.
    let mut ssh = Command::new("timeout");
    ssh.args(["--kill-after=5", CLOCK_SECONDS, "ssh"]);
    add_ssh_arguments(&mut ssh, folder, vm)?;
    ssh.args(["--", "sudo", "-S", "-p", "''", "sh", "-c"])
        .arg("'while echo ready; read now; do date -u -s @$now > /dev/null && echo set || exit; done'")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = ssh.spawn().map_err(failed())?;
    if let Some(password) = secrets.of(&vm.name).sudo_password {
        // If this fails, ssh's own error output says why.
        let _ = send_time(&mut child, &password);
    }
    let output = child.wait_with_output().map_err(failed())?;
    if output.status.success() {
        return Ok(());
    }
    let why = match String::from_utf8_lossy(&output.stderr).trim() {
        "" => format!("the VM did not answer within {CLOCK_SECONDS} s"),
        stderr => stderr.to_owned(),
    };
    Err(Problem::new(format!("cannot set the clock: {why}"))
        .about(&vm.name)
        .hint(format!("see whether the VM answers: bootproof lab ssh {}", vm.name)))
}

fn send_time(child: &mut Child, sudo_password: &Secret) -> io::Result<()> {
    let (Some(mut stdin), Some(stdout)) = (child.stdin.take(), child.stdout.as_mut()) else {
        return Ok(());
    };
    writeln!(stdin, "{}", sudo_password.expose())?;
    let mut answers = BufReader::new(stdout);
    for _ in 0..CLOCK_TRIES {
        // A login takes seconds, so the time is read only once the shell is ready.
        answers.read_line(&mut String::new())?;
        let asked = Instant::now();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        writeln!(stdin, "{:.3}", now.as_secs_f64())?;
        answers.read_line(&mut String::new())?;
        // The clock is late by as long as `date` took to start.
        if asked.elapsed() <= CLOCK_SET_WITHIN {
            break;
        }
    }
    Ok(())
}

fn add_ssh_arguments(ssh: &mut Command, folder: &LabFolder, vm: &Vm) -> Result<(), Problem> {
    let login = format!("{}@{}", vm.ssh.user, vm.ssh.host);
    if vm.ssh.host_key.is_none() {
        let message = "the host key is unknown, because bootproof did not build the image";
        let hint = format!("log in with OpenSSH: ssh -p {} {login}", vm.ssh.port);
        return Err(Problem::new(message).about(&vm.name).hint(hint));
    }
    let own = std::env::current_exe().map_err(Problem::io("find bootproof's own program"))?;
    let known_hosts = state::ssh_known_hosts(folder);
    ssh.args(["-F", "none"]);
    for option in SSH_OPTIONS {
        ssh.args(["-o", option]);
    }
    ssh.arg("-o")
        .arg(format!("UserKnownHostsFile=\"{}\"", known_hosts.display()))
        .args(["-p", &vm.ssh.port.to_string(), &login])
        .env("SSH_ASKPASS", own)
        .env("SSH_ASKPASS_REQUIRE", "force")
        .env(ASKPASS, &vm.name);
    Ok(())
}
