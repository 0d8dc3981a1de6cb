//! `lab up`: from images to VMs whose host keys are known.

use std::fs::{self, File};
use std::io::Write;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime};

use indexmap::IndexMap;

use super::disk::boot;
use super::image::Image;
use super::machine::{self, Accel, Spec, Subnet};
use super::recipe::RecipeFolder;
use super::serial::{HostKey, Stage, stage_of};
use super::state::{self, LabState, Machine, console, errors, exit_note};
use super::supervisor::COMMIT;
use super::{LabError, LabFolder, Progress, kvm, local};

/// Under emulation four VMs take two minutes on two cores; a busy machine takes longer.
pub(super) const BOOT_TIMEOUT: Duration = Duration::from_mins(10);

const POLL: Duration = Duration::from_millis(500);

/// The supervisor looks five times a second.
const COMMIT_TIMEOUT: Duration = Duration::from_secs(10);

/// What a VM boots.
#[derive(Debug, Clone)]
pub enum Source {
    /// An image of ours.
    Built(Image),
    /// The operator's own.
    Given(PathBuf),
}

/// A VM to be booted.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// Its recipe.
    pub recipe: RecipeFolder,
    /// What it boots.
    pub source: Source,
}

/// Boots the VMs, waits for their host keys, and writes the inventory of the lab.
///
/// Whatever goes wrong before the end, and however: nothing is left running.
pub fn up(
    folder: &LabFolder,
    wanted: &[Wanted],
    inventory: &Path,
    progress: Progress,
) -> Result<(), LabError> {
    folder.create()?;
    let lock = state::lock(folder)?
        .ok_or_else(|| LabError::new("the lab is up, or being brought up, already"))?;
    state::sweep(folder)?;
    let (accel, why) = kvm::choose(folder, wanted.iter().find_map(|one| kernel(&one.source)));
    progress("", &why);
    check_qemu(accel)?;
    let state = prepare(folder, wanted, accel, inventory)?;
    // The supervisor takes it now; nobody else can have written a state in between without failing on `run/`.
    drop(lock);
    let mut supervisor = Supervisor::start(folder)?;
    let keys = await_keys(folder, &state, &mut supervisor, progress)?;
    local::write_known_hosts(folder, &state, &keys)?;
    local::write_inventory(folder, wanted, &state, &keys, inventory)?;
    supervisor.commit(folder)
}

fn kernel(source: &Source) -> Option<&Path> {
    match source {
        Source::Built(image) => Some(&image.kernel),
        Source::Given(_) => None,
    }
}

/// QEMU before 8 miscompiles `cmpxchg16b` when it emulates: trixie's kernel panics sooner or later.
fn check_qemu(accel: Accel) -> Result<(), LabError> {
    let output = Command::new("qemu-system-x86_64").arg("--version").output();
    let output = output.map_err(|error| {
        LabError::io("start qemu-system-x86_64")(error).hint("run scripts/setup lab")
    })?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let major =
        text.split_whitespace().find_map(|word| word.split('.').next()?.parse::<u32>().ok());
    match major {
        Some(old) if old < 8 && accel == Accel::Tcg => Err(LabError::new(format!(
            "QEMU {old} corrupts registers when it emulates a CPU: the VMs would crash"
        ))
        .hint("install QEMU 8 or newer; on Debian 12 `scripts/setup lab` takes it from backports")),
        _ => Ok(()),
    }
}

fn prepare(
    folder: &LabFolder,
    wanted: &[Wanted],
    accel: Accel,
    inventory: &Path,
) -> Result<LabState, LabError> {
    let run = folder.run();
    fs::create_dir_all(&run).map_err(LabError::io(format!("make {}", run.display())))?;
    // Whoever can open them rules the VMs.
    let ours_alone = fs::Permissions::from_mode(0o700);
    let folder_of_sockets =
        tempfile::Builder::new().prefix("bootproof-lab-").permissions(ours_alone).tempdir();
    let folder_of_sockets = folder_of_sockets.map_err(LabError::io("make a folder"))?;
    let sockets = folder_of_sockets.path().to_owned();
    let inventory =
        std::path::absolute(inventory).map_err(LabError::io("find the inventory's folder"))?;
    let aliases: Vec<_> =
        wanted.iter().map(|one| one.recipe.recipe.os.network.alias_address()).collect();
    let subnet = Subnet::around(&aliases).ok_or_else(|| {
        LabError::new(format!("the aliases {} are not in one /16", aliases.join(", ")))
            .hint("change the recipes' aliases")
    })?;
    let ports = free_ports(wanted.len())?;
    let forwards: Vec<_> =
        ports.iter().copied().zip(aliases.iter().map(|alias| (*alias).to_owned())).collect();
    let machine = |(index, (one, port)): (usize, (&Wanted, &u16))| {
        let recipe = &one.recipe.recipe;
        let boot = boot(&run, one)?;
        let image = match &one.source {
            Source::Built(image) => image.iso.clone(),
            Source::Given(path) => path.canonicalize().unwrap_or_else(|_| path.clone()),
        };
        let spec = Spec {
            name: recipe.name.clone(),
            index,
            memory_gb: recipe.resources.memory_gb,
            boot,
            console: console(folder, &recipe.name),
            sockets: sockets.clone(),
            accel,
        };
        Ok(Machine {
            name: recipe.name.clone(),
            command: spec.command(),
            ssh_port: *port,
            image,
            ours: matches!(one.source, Source::Built(_)),
            memory_gb: recipe.resources.memory_gb,
        })
    };
    let machines =
        wanted.iter().zip(&ports).enumerate().map(machine).collect::<Result<_, LabError>>()?;
    let network = machine::network(&subnet, &sockets, &forwards);
    let accel = accel.word().to_owned();
    let state =
        LabState { started: SystemTime::now(), accel, sockets, inventory, network, machines };
    state.write(folder)?;
    // From here on the state owns it: `sweep` removes it.
    let _ = folder_of_sockets.keep();
    Ok(state)
}

/// All at once, so that no port is given out twice.
fn free_ports(count: usize) -> Result<Vec<u16>, LabError> {
    let bind = |_| TcpListener::bind("127.0.0.1:0").map_err(LabError::io("find a free port"));
    let held = (0..count).map(bind).collect::<Result<Vec<_>, _>>()?;
    let port = |listener: &TcpListener| listener.local_addr().map(|address| address.port());
    held.iter().map(port).collect::<Result<_, _>>().map_err(LabError::io("find a free port"))
}

/// The process that keeps the VMs, and the pipe on which its life hangs until all is well.
struct Supervisor {
    child: Child,
}

impl Supervisor {
    fn start(folder: &LabFolder) -> Result<Self, LabError> {
        let log = File::create(folder.run().join("supervisor.log"))
            .map_err(LabError::io("write a log"))?;
        let own = std::env::current_exe().map_err(LabError::io("find bootproof itself"))?;
        // A session of its own: Ctrl-C on this terminal is not for it.
        let child = Command::new("setsid")
            .arg(own)
            .args(["lab", "--lab-dir"])
            .arg(&folder.0)
            .arg("supervise")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn();
        Ok(Self { child: child.map_err(LabError::io("start setsid"))? })
    }

    /// Lets go of the supervisor, and waits until it has understood.
    fn commit(mut self, folder: &LabFolder) -> Result<(), LabError> {
        let mut pipe =
            self.child.stdin.take().ok_or_else(|| LabError::new("the supervisor has no pipe"))?;
        writeln!(pipe, "{COMMIT}").map_err(LabError::io("tell the supervisor that all is well"))?;
        let deadline = Instant::now() + COMMIT_TIMEOUT;
        while !state::ready_note(folder).exists() {
            if Instant::now() > deadline {
                return Err(LabError::new("the supervisor does not answer"));
            }
            sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

/// Waits until each image of ours has told its host key; a VM that ends before is an error.
fn await_keys(
    folder: &LabFolder,
    state: &LabState,
    supervisor: &mut Supervisor,
    progress: Progress,
) -> Result<IndexMap<String, HostKey>, LabError> {
    let deadline = Instant::now() + BOOT_TIMEOUT;
    let mut stages: IndexMap<&str, Stage> = IndexMap::new();
    let mut keys = IndexMap::new();
    let ours: Vec<_> = state.machines.iter().filter(|machine| machine.ours).collect();
    while keys.len() < ours.len() {
        sleep(POLL);
        let children = state.machines.iter().map(|machine| machine.name.as_str());
        for child in children.chain([machine::SWITCH, machine::GATEWAY]) {
            if let Ok(status) = fs::read_to_string(exit_note(&folder.run(), child)) {
                return Err(ended(folder, child, &status));
            }
        }
        if let Some(ended) =
            supervisor.child.try_wait().map_err(LabError::io("watch the supervisor"))?
        {
            let log = fs::read_to_string(folder.run().join("supervisor.log")).unwrap_or_default();
            return Err(LabError::new(format!("the supervisor ended ({ended}): {}", log.trim())));
        }
        for machine in &ours {
            let stage = stage_of(&console(folder, &machine.name));
            if let Stage::HostKey(key) = &stage {
                keys.insert(machine.name.clone(), key.clone());
            }
            if stages.insert(&machine.name, stage.clone()).as_ref() != Some(&stage) {
                progress(&machine.name, &stage.describe());
            }
        }
        if Instant::now() > deadline {
            let late: Vec<_> = ours
                .iter()
                .filter(|one| !keys.contains_key(&one.name))
                .map(|one| one.name.as_str())
                .collect();
            return Err(too_late(folder, &late));
        }
    }
    Ok(keys)
}

/// The last lines of a log that may hold anything.
fn tail(path: &Path) -> String {
    let bytes = fs::read(path).unwrap_or_default();
    let text = super::plain(&String::from_utf8_lossy(&bytes));
    let lines: Vec<_> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(8)..].join("\n    ")
}

fn too_late(folder: &LabFolder, late: &[&str]) -> LabError {
    let consoles: String = late
        .iter()
        .map(|vm| format!("\n  {vm}'s console:\n    {}", tail(&console(folder, vm))))
        .collect();
    let limit = humantime::format_duration(BOOT_TIMEOUT);
    LabError::new(format!("not up within {limit}: {}{consoles}", late.join(", ")))
}

fn ended(folder: &LabFolder, child: &str, status: &str) -> LabError {
    let (said, console) = (tail(&errors(folder, child)), tail(&console(folder, child)));
    LabError::new(format!(
        "{child} ended ({status}); it said:\n    {said}\n  and on its console:\n    {console}"
    ))
}
