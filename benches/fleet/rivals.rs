//! The same checks with other tools: a shell and OpenSSH, and pytest-testinfra.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::checks::{CHECKS, TESTINFRA, script};
use crate::common::{Fallible, Measured, find, measure};
use crate::hosts::{Fleet, Host};

/// How many `ssh` run at once.
pub const SSH_AT_ONCE: usize = 64;

/// How many processes testinfra has.
pub const WORKERS: usize = 4;

/// One `ssh` for each host of the fleet, with all checks in the one command.
pub fn openssh(fleet: &Fleet) -> Fallible<Measured> {
    write_ssh_config(fleet)?;
    let digits: String = fleet.hosts.iter().map(|host| host.digits() + "\n").collect();
    fs::write(fleet.folder.join("digits"), digits)?;
    let mut command = Command::new("xargs");
    command
        .args(["-P", &SSH_AT_ONCE.to_string(), "-I{}", "ssh", "-F", "ssh_config", "web{}"])
        .arg(script())
        .current_dir(&fleet.folder)
        .stdin(fs::File::open(fleet.folder.join("digits"))?);
    successfully(&mut command, &fleet.folder.join("openssh.log"))
}

/// Without sntrup761, which bootproof does not have: OpenSSH's own needs 80 ms of CPU at each end.
fn write_ssh_config(fleet: &Fleet) -> Fallible<()> {
    let folder = fleet.folder.display();
    let config = format!(
        "KexAlgorithms -sntrup761*\nUser root\nIdentityFile {folder}/user\n\
         IdentitiesOnly yes\nBatchMode yes\n\
         StrictHostKeyChecking yes\nUserKnownHostsFile {folder}/known_hosts\n"
    );
    Ok(fs::write(fleet.folder.join("ssh_config"), config)?)
}

/// pytest-testinfra, installed in a folder that outlives the run.
pub struct Testinfra(PathBuf);

impl Testinfra {
    /// As it was installed; `None` if it was not.
    pub fn installed() -> Option<Self> {
        let python = Path::new(env!("CARGO_TARGET_TMPDIR")).join("testinfra/bin/python");
        let mut import = Command::new(&python);
        import.args(["-c", "import testinfra, xdist"]).stderr(Stdio::null());
        import.status().is_ok_and(|status| status.success()).then_some(Self(python))
    }

    /// Installs it with pip, unless it is installed; this needs the network of the machine.
    pub fn install() -> Fallible<()> {
        if Self::installed().is_some() {
            return Ok(());
        }
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("testinfra");
        let log = folder.with_extension("log");
        successfully(Command::new(find("python3")?).args(["-m", "venv"]).arg(&folder), &log)?;
        let mut pip = Command::new(folder.join("bin/pip"));
        pip.args(["install", "-q", "pytest-testinfra", "pytest-xdist"]);
        successfully(&mut pip, &log).map(|_| ())
    }

    /// All checks on `hosts`.
    pub fn run(&self, fleet: &Fleet, hosts: &[Host]) -> Fallible<Measured> {
        write_ssh_config(fleet)?;
        let tests = TESTINFRA.replace("MACHINE_ID", Host::MACHINE_ID);
        fs::write(fleet.folder.join("test_fleet.py"), tests)?;
        let names: Vec<String> = hosts.iter().map(|host| host.name()).collect();
        let log = fleet.folder.join("testinfra.log");
        let mut command = Command::new(&self.0);
        command
            .args(["-m", "pytest", "-q", "-p", "no:cacheprovider", "test_fleet.py"])
            .args(["-n", &WORKERS.to_string(), "--ssh-config", "ssh_config"])
            .arg(format!("--hosts=ssh://{}", names.join(",ssh://")))
            .current_dir(&fleet.folder)
            .stdin(Stdio::null());
        let measured = successfully(&mut command, &log)?;
        let passed = format!("{} passed", CHECKS * hosts.len());
        if !fs::read_to_string(&log)?.contains(&passed) {
            return Err(format!("testinfra did not say that {passed}").into());
        }
        Ok(measured)
    }
}

/// Runs a command that must succeed; what it prints goes to the file `log`.
fn successfully(command: &mut Command, log: &Path) -> Fallible<Measured> {
    let file = fs::File::create(log)?;
    let measured = measure(command.stdout(file.try_clone()?).stderr(file))?;
    if !measured.status.success() {
        let said = fs::read_to_string(log)?;
        let last: Vec<&str> = said.lines().rev().take(5).collect();
        let program = command.get_program().display().to_string();
        return Err(format!("{program} ended with {}: {last:#?}", measured.status).into());
    }
    Ok(measured)
}
