//! `bootproof lab`: the reference lab.

use std::fs;
use std::io::{BufRead, BufReader, IsTerminal, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::thread::sleep;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::{Args, Subcommand};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::exit_code::ExitCode;
use crate::lab::control::{self, Deed};
use crate::lab::recipe::RecipeFolder;
use crate::lab::state::{self, LabState};
use crate::lab::up::{self, Source, Wanted};
use crate::lab::{LabError, LabFolder, at_once, down, image, plain, supervisor};
use crate::problem::hint_for_unknown;
use crate::report::text::counted;
use crate::secrets::Secrets;
use crate::settings::{self, LOCAL_INVENTORY};
use crate::spec::inventory::{Inventory, Vm};

/// Build, boot and take down the reference lab: four real VMs in QEMU
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  bootproof lab up && bootproof check --wait 5m; bootproof lab down"
)]
pub struct LabArgs {
    /// Where images, disks and logs are kept
    #[arg(
        long,
        global = true,
        value_name = "FOLDER",
        env = "BOOTPROOF_LAB_DIR",
        default_value = ".lab"
    )]
    lab_dir: PathBuf,

    /// Where the recipes are
    #[arg(long, global = true, value_name = "FOLDER", default_value = "recipes")]
    recipes: PathBuf,

    #[command(subcommand)]
    command: LabCommand,
}

#[derive(Debug, Subcommand)]
enum LabCommand {
    /// Build a bootable ISO of each recipe; one that is there is not built again
    #[command(after_help = "Example:\n  bootproof lab build redis")]
    Build {
        /// Only these VMs
        vms: Vec<String>,
    },
    /// Boot the VMs on a private network and write inventory/local.json
    #[command(
        after_help = "Examples:\n  bootproof lab up\n  bootproof lab up --image redis=/images/redis.qcow2\n\n\
        Images that are not there are built first. Ports are on 127.0.0.1 only."
    )]
    Up {
        /// Only these VMs
        vms: Vec<String>,
        /// Boot this ISO, qcow2 or raw image in place of the recipe's; it is never written to
        #[arg(long = "image", value_name = "VM=FILE", value_parser = given_image)]
        images: Vec<(String, PathBuf)>,
    },
    /// Tell how every VM is
    Status,
    /// Log in to a VM, or run a command on it, with OpenSSH
    #[command(
        after_help = "Examples:\n  bootproof lab ssh redis\n  bootproof lab ssh redis -- redis-cli ping"
    )]
    Ssh {
        /// The VM
        vm: String,
        /// The command
        #[arg(last = true)]
        command: Vec<String>,
    },
    /// Show a VM's serial console
    #[command(after_help = "Example:\n  bootproof lab logs -f immich-server")]
    Logs {
        /// The VM
        vm: String,
        /// Go on as it grows
        #[arg(short, long)]
        follow: bool,
    },
    /// Keep memory and disk of VMs as they are now
    #[command(
        after_help = "Example:\n  bootproof lab snapshot && bootproof lab ssh redis; bootproof lab restore redis"
    )]
    Snapshot {
        /// Only these VMs
        vms: Vec<String>,
    },
    /// Take VMs back to their snapshot, from whatever state, and set their clocks
    #[command(after_help = "Example:\n  bootproof lab restore redis")]
    Restore {
        /// Only these VMs
        vms: Vec<String>,
        /// Leave their clocks at the moment of the snapshot
        #[arg(long)]
        keep_clock: bool,
    },
    /// Stop VMs' processors, as a frozen host would
    Pause {
        /// The VMs
        #[arg(required = true)]
        vms: Vec<String>,
    },
    /// Let paused VMs go on, and start those that have powered themselves off
    Resume {
        /// The VMs
        #[arg(required = true)]
        vms: Vec<String>,
    },
    /// Shut VMs down cleanly, and boot them again from their disks
    #[command(after_help = "Example:\n  bootproof lab reboot redis && bootproof check --wait 5m")]
    Reboot {
        /// The VMs
        #[arg(required = true)]
        vms: Vec<String>,
    },
    /// Power the VMs off and remove their disks
    Down,
    /// Keep the VMs; started by `up`
    #[command(hide = true)]
    Supervise,
}

fn given_image(text: &str) -> Result<(String, PathBuf), String> {
    let (vm, file) =
        text.split_once('=').ok_or("write VM=FILE, such as redis=/images/redis.qcow2")?;
    if Path::new(file).is_file() {
        Ok((vm.to_owned(), file.into()))
    } else {
        Err(format!("there is no file {file}"))
    }
}

pub fn run(arguments: LabArgs) -> ExitCode {
    let folder = LabFolder(std::path::absolute(&arguments.lab_dir).unwrap_or(arguments.lab_dir));
    let recipes = &arguments.recipes;
    let done = match &arguments.command {
        LabCommand::Build { vms } => {
            RecipeFolder::read_all(recipes, vms).and_then(|all| build(&folder, &all).map(|_| ()))
        }
        LabCommand::Up { vms, images } => up(&folder, recipes, vms, images),
        LabCommand::Status => return status(&folder),
        LabCommand::Ssh { vm, command } => ssh(&folder, vm, command),
        LabCommand::Logs { vm, follow } => logs(&folder, vm, *follow),
        LabCommand::Snapshot { vms } => deed(&folder, vms, Deed::Snapshot),
        LabCommand::Restore { vms, keep_clock: true } => deed(&folder, vms, Deed::Restore),
        LabCommand::Restore { vms, .. } => {
            deed(&folder, vms, Deed::Restore).and_then(|()| set_clocks(&folder, vms))
        }
        LabCommand::Pause { vms } => deed(&folder, vms, Deed::Pause),
        LabCommand::Resume { vms } => deed(&folder, vms, Deed::Resume),
        LabCommand::Reboot { vms } => deed(&folder, vms, Deed::Reboot),
        LabCommand::Down => take_down(&folder),
        LabCommand::Supervise => supervisor::run(&folder),
    };
    done.map_or_else(
        |error| {
            eprintln!("error: {error}");
            ExitCode::Internal
        },
        |()| ExitCode::Conforms,
    )
}

/// Two at a time: one waits for the network while the other computes.
const BUILDS_AT_ONCE: usize = 2;

fn build(folder: &LabFolder, recipes: &[RecipeFolder]) -> Result<Vec<image::Image>, LabError> {
    let lines = Lines::new(recipes.iter().map(|one| one.recipe.name.as_str()));
    let next = Mutex::new(recipes.iter());
    let worker = || {
        loop {
            let Some(recipe) = next.lock().ok().and_then(|mut next| next.next()) else {
                return Ok(());
            };
            image::build(folder, recipe, &|name, text| lines.tell(name, text))?;
        }
    };
    let built = at_once(0..BUILDS_AT_ONCE, |_| worker());
    lines.end();
    built?;
    Ok(recipes.iter().map(|recipe| image::location(folder, recipe)).collect())
}

fn up(
    folder: &LabFolder,
    recipes: &Path,
    vms: &[String],
    images: &[(String, PathBuf)],
) -> Result<(), LabError> {
    let recipes = RecipeFolder::read_all(recipes, vms)?;
    let names: Vec<_> = recipes.iter().map(|one| one.recipe.name.as_str()).collect();
    if let Some((unknown, _)) = images.iter().find(|(vm, _)| !names.contains(&vm.as_str())) {
        let hint = hint_for_unknown(unknown, names);
        return Err(LabError::new(format!(
            "--image names `{unknown}`, which is not among the VMs"
        ))
        .hint(hint));
    }
    if let Some(state) = state::up(folder)? {
        if !state::ready_note(folder).exists() {
            return Err(LabError::new("the lab is being brought up by another process")
                .hint("wait for it, or interrupt it"));
        }
        return already_up(&state, &names, images);
    }
    let given = |recipe: &RecipeFolder| {
        images.iter().find(|(vm, _)| *vm == recipe.recipe.name).map(|(_, file)| file.clone())
    };
    let (theirs, ours): (Vec<_>, Vec<_>) =
        recipes.into_iter().partition(|recipe| given(recipe).is_some());
    let built = build(folder, &ours)?;
    let ours = ours
        .into_iter()
        .zip(built)
        .map(|(recipe, image)| Wanted { recipe, source: Source::Built(image) });
    let theirs = theirs
        .into_iter()
        .map(|recipe| Wanted { source: Source::Given(given(&recipe).unwrap_or_default()), recipe });
    let wanted: Vec<_> = ours.chain(theirs).collect();
    let lines = Lines::new(wanted.iter().map(|one| one.recipe.recipe.name.as_str()));
    let done =
        up::up(folder, &wanted, Path::new(LOCAL_INVENTORY), &|name, text| lines.tell(name, text));
    lines.end();
    done?;
    println!("{} up; {LOCAL_INVENTORY} has addresses and host keys", counted(wanted.len(), "VM"));
    Ok(())
}

fn already_up(
    state: &LabState,
    names: &[&str],
    images: &[(String, PathBuf)],
) -> Result<(), LabError> {
    let same_vms = state.machines.len() == names.len()
        && state.machines.iter().all(|one| names.contains(&one.name.as_str()));
    let same_images = images.iter().all(|(vm, file)| {
        let file = file.canonicalize().ok();
        state
            .machines
            .iter()
            .any(|machine| machine.name == *vm && Some(&machine.image) == file.as_ref())
    });
    if same_vms && same_images {
        println!("the lab is up already; `bootproof lab status` tells how it is");
        return Ok(());
    }
    Err(LabError::new("another lab is up").hint("take it down first: bootproof lab down"))
}

fn status(folder: &LabFolder) -> ExitCode {
    let state = match state::up(folder) {
        Ok(Some(state)) => state,
        Ok(None) => {
            println!("the lab is not up");
            return ExitCode::NothingSelected;
        }
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::Internal;
        }
    };
    let age = state.started.elapsed().unwrap_or_default().as_secs();
    let how = if state::ready_note(folder).exists() { "up" } else { "being brought up" };
    let mut text = format!(
        "{how} for {} ({})\n",
        humantime::format_duration(Duration::from_secs(age)),
        state.accel
    );
    let all = down::status(folder, &state);
    for lost in down::lost_network(folder) {
        text += &format!("{lost}: gone; take the lab down and up again\n");
    }
    for (machine, vm) in state.machines.iter().zip(&all) {
        let image = machine.image.file_name().unwrap_or_default().display();
        text += &format!(
            "{:20} {:10} 127.0.0.1:{:<6} {} GiB  {image}\n",
            vm.name, vm.status, machine.ssh_port, machine.memory_gb
        );
    }
    super::show(&text);
    if all.iter().all(|vm| vm.status == "running") { ExitCode::Conforms } else { ExitCode::Failed }
}

/// The VM in the local inventory.
fn local_vm(vm: &str) -> Result<Vm, LabError> {
    let path = Path::new(LOCAL_INVENTORY);
    let text = settings::read(path).map_err(|_| LabError::not_up())?;
    let inventory = Inventory::parse(LOCAL_INVENTORY, &text)
        .map_err(|errors| LabError::new(errors.to_string()))?;
    inventory
        .vms
        .get(vm)
        .cloned()
        .ok_or_else(|| LabError::unknown_vm(vm, inventory.vms.keys().map(String::as_str)))
}

/// Set when OpenSSH asks this program for a VM's password.
const ASKPASS: &str = "BOOTPROOF_ASKPASS_VM";

/// Answers OpenSSH's question for a password: it stands in no argument list and in no environment.
pub fn askpass() -> Option<ExitCode> {
    let vm = std::env::var(ASKPASS).ok()?;
    let password = local_vm(&vm).ok().and_then(|vm| {
        let secrets = Secrets::read([&vm]).ok()?;
        secrets.of(&vm.name).password
    });
    match password {
        Some(password) => {
            println!("{}", password.expose());
            Some(ExitCode::Conforms)
        }
        None => Some(ExitCode::Internal),
    }
}

/// OpenSSH takes over: its terminal handling is the best there is.
fn ssh(folder: &LabFolder, vm: &str, command: &[String]) -> Result<(), LabError> {
    let mut line = ssh_line(folder, &local_vm(vm)?)?;
    if !command.is_empty() {
        line.arg("--").args(command);
    }
    Err(LabError::io("start ssh")(line.exec()))
}

/// A restored VM believes that it is still the moment of its snapshot.
fn set_clocks(folder: &LabFolder, vms: &[String]) -> Result<(), LabError> {
    let state = state_of_up(folder)?;
    at_once(state.chosen(vms)?.into_iter().filter(|one| one.ours), |one| {
        set_clock(folder, &one.name)
    })
}

fn set_clock(folder: &LabFolder, name: &str) -> Result<(), LabError> {
    let vm = local_vm(name)?;
    let password = Secrets::read([&vm])
        .map_err(|error| LabError::new(error.to_string()))?
        .of(name)
        .sudo_password;
    let failed = || LabError::io(format!("set the clock of {name}"));
    let mut line = ssh_line(folder, &vm)?;
    line.args([
        "--",
        "sudo",
        "-S",
        "-p",
        "''",
        "sh",
        "-c",
        "'echo ready; read now; date -u -s @$now > /dev/null'",
    ]);
    line.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = line.spawn().map_err(failed())?;
    if let (Some(mut stdin), Some(stdout), Some(password)) =
        (child.stdin.take(), child.stdout.as_mut(), password)
    {
        // Should it end before it reads, its own words tell why.
        let _ = writeln!(stdin, "{}", password.expose());
        // A login takes seconds; only now is it known what time it will be.
        let _ = BufReader::new(stdout).read_line(&mut String::new());
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let _ = writeln!(stdin, "{:.3}", now.as_secs_f64());
    }
    let output = child.wait_with_output().map_err(failed())?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(LabError::new(format!("{name} is restored, but its clock could not be set: {said}")))
}

fn ssh_line(folder: &LabFolder, vm: &Vm) -> Result<Command, LabError> {
    let own = std::env::current_exe().map_err(LabError::io("find bootproof itself"))?;
    let known_hosts = state::ssh_known_hosts(folder);
    if vm.ssh.host_key.is_none() {
        let hint =
            format!("log in yourself: ssh -p {} {}@{}", vm.ssh.port, vm.ssh.user, vm.ssh.host);
        return Err(LabError::new(format!(
            "the host key of {} is not known: its image is not of our making",
            vm.name
        ))
        .hint(hint));
    }
    let mut line = Command::new("ssh");
    line.args([
        "-F",
        "none",
        "-o",
        "StrictHostKeyChecking=yes",
        "-o",
        "NumberOfPasswordPrompts=1",
        "-o",
        "LogLevel=ERROR",
        // A VM that is paused or cut off must not hold a shell for ever.
        "-o",
        "ServerAliveInterval=15",
        "-o",
        "ConnectTimeout=20",
    ])
    .arg("-o")
    .arg(format!("UserKnownHostsFile=\"{}\"", known_hosts.display()))
    .args(["-p", &vm.ssh.port.to_string(), &format!("{}@{}", vm.ssh.user, vm.ssh.host)])
    .env("SSH_ASKPASS", own)
    .env("SSH_ASKPASS_REQUIRE", "force")
    .env(ASKPASS, &vm.name);
    Ok(line)
}

fn logs(folder: &LabFolder, vm: &str, follow: bool) -> Result<(), LabError> {
    let path = state::console(folder, vm);
    let mut file = fs::File::open(&path).map_err(|error| {
        LabError::io(format!("open the console of `{vm}`"))(error)
            .hint("`bootproof lab status` lists the VMs")
    })?;
    loop {
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(LabError::io("read the console"))?;
        let text = String::from_utf8_lossy(&bytes);
        let written = std::io::stdout()
            .write_all(plain(&text).as_bytes())
            .and_then(|()| std::io::stdout().flush());
        // Whoever reads us may have gone: `bootproof lab logs redis | head`.
        if written.is_err() || !follow {
            return Ok(());
        }
        sleep(Duration::from_millis(200));
    }
}

fn deed(folder: &LabFolder, vms: &[String], deed: Deed) -> Result<(), LabError> {
    let state = state_of_up(folder)?;
    let chosen = state.chosen(vms)?;
    let lines = Lines::new(chosen.iter().map(|machine| machine.name.as_str()));
    let done =
        control::to_each(folder, &state, &chosen, deed, &|name, text| lines.tell(name, text));
    lines.end();
    done
}

fn state_of_up(folder: &LabFolder) -> Result<LabState, LabError> {
    state::up(folder)?.ok_or_else(LabError::not_up)
}

fn take_down(folder: &LabFolder) -> Result<(), LabError> {
    let quiet = !std::io::stderr().is_terminal() && std::env::var_os("CI").is_none();
    let tell = |name: &str, text: &str| {
        if !quiet {
            eprintln!("{name}: {text}");
        }
    };
    let was_up = down::down(folder, Path::new(LOCAL_INVENTORY), &tell)?;
    println!("{}", if was_up { "the lab is down" } else { "the lab was not up" });
    Ok(())
}

/// A live line a VM on a terminal, plain lines elsewhere.
struct Lines {
    bars: Vec<(String, ProgressBar)>,
    attended: bool,
}

impl Lines {
    fn new<'a>(names: impl Iterator<Item = &'a str>) -> Self {
        let all = MultiProgress::new();
        let attended = console::user_attended_stderr();
        let style = ProgressStyle::with_template("{spinner} {prefix:18} {elapsed:>4} {wide_msg}");
        let style = style.unwrap_or_else(|_| ProgressStyle::default_spinner());
        let bar = |name: &str| {
            let bar = all.add(ProgressBar::new_spinner().with_style(style.clone()));
            bar.set_prefix(name.to_owned());
            if attended {
                bar.enable_steady_tick(Duration::from_millis(120));
            }
            (name.to_owned(), bar)
        };
        Self { bars: names.map(bar).collect(), attended }
    }

    fn tell(&self, name: &str, text: &str) {
        match self.bars.iter().find(|(own, _)| own == name) {
            Some((_, bar)) if self.attended => bar.set_message(text.to_owned()),
            _ if name.is_empty() => eprintln!("{text}"),
            _ => eprintln!("{name}: {text}"),
        }
    }

    fn end(&self) {
        for (_, bar) in &self.bars {
            bar.finish();
        }
    }
}
