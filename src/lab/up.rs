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
use tempfile::TempDir;

use super::disk::boot_media;
use super::folder::LabFolder;
use super::progress::Progress;
use super::qemu::{self, Accel, Forward, QemuVm, Subnet};
use super::serial::{self, BOOT_TIMEOUT, BootStage, HostKey, read_boot_stage};
use super::state::{self, LabState, LabVm, console, errors, exit_note};
use super::supervisor::COMMIT;
use super::vm::VmToBoot;
use super::{kvm, local};
use crate::problem::Problem;

const POLL: Duration = Duration::from_millis(500);

/// The supervisor looks five times a second.
const COMMIT_TIMEOUT: Duration = Duration::from_secs(10);

/// Boots the VMs, waits for their host keys, and writes the inventory of the lab.
///
/// If anything goes wrong before the end, nothing is left running.
pub fn up(
    folder: &LabFolder,
    vms: &[VmToBoot],
    inventory: &Path,
    progress: Progress,
) -> Result<(), Problem> {
    folder.create()?;
    let lock = state::lock(folder)?
        .ok_or_else(|| Problem::new("the lab is up already, or another process is booting it"))?;
    state::sweep(folder)?;
    let (accel, why) = kvm::choose(folder, vms.iter().find_map(|vm| vm.image.kernel()));
    progress("", &why);
    check_qemu(accel)?;
    let state = prepare(folder, vms, accel, inventory)?;
    // Now the supervisor takes it. Another `lab up` in between would fail on `run/`.
    drop(lock);
    let mut supervisor = Supervisor::start(folder)?;
    let keys = await_keys(folder, &state, &mut supervisor, progress)?;
    local::write_known_hosts(folder, &state, &keys)?;
    local::write_inventory(folder, vms, &state, &keys, inventory)?;
    supervisor.commit(folder)
}

/// QEMU before 8 miscompiles `cmpxchg16b` when it emulates: trixie's kernel panics sooner or later.
fn check_qemu(accel: Accel) -> Result<(), Problem> {
    let output = Command::new("qemu-system-x86_64").arg("--version").output();
    let output = output.map_err(|error| {
        Problem::io("start qemu-system-x86_64")(error).hint("run scripts/setup lab")
    })?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let major =
        text.split_whitespace().find_map(|word| word.split('.').next()?.parse::<u32>().ok());
    match major {
        Some(old) if old < 8 && accel == Accel::Tcg => Err(Problem::new(format!(
            "QEMU {old} corrupts registers when it emulates a CPU: the VMs would crash"
        ))
        .hint("install QEMU 8 or newer; on Debian 12 `scripts/setup lab` takes it from backports")),
        _ => Ok(()),
    }
}

/// Makes disks and the folder of the sockets, and writes the state that the supervisor starts from.
fn prepare(
    folder: &LabFolder,
    vms: &[VmToBoot],
    accel: Accel,
    inventory: &Path,
) -> Result<LabState, Problem> {
    let run = folder.run();
    fs::create_dir_all(&run).map_err(Problem::io(format!("make {}", run.display())))?;
    let sockets_folder = make_sockets_folder()?;
    let sockets = sockets_folder.path().to_owned();
    let inventory = std::path::absolute(inventory)
        .map_err(Problem::io(format!("resolve {}", inventory.display())))?;
    let aliases: Vec<&str> =
        vms.iter().map(|vm| vm.recipe.recipe.os.network.alias_address()).collect();
    let subnet = Subnet::around(&aliases).ok_or_else(|| {
        Problem::new(format!("the aliases {} are not in one /16", aliases.join(", ")))
            .hint("change the recipes' aliases, so that all begin with the same two numbers")
    })?;
    let forwards: Vec<Forward> = free_ports(vms.len())?
        .into_iter()
        .zip(aliases)
        .map(|(port, alias)| Forward { port, alias: alias.to_owned() })
        .collect();
    let lab_vms = (vms.iter().zip(&forwards).enumerate())
        .map(|(index, (vm, forward))| lab_vm(folder, &sockets, accel, vm, index, forward.port))
        .collect::<Result<_, Problem>>()?;
    let network = qemu::network(&subnet, &sockets, &forwards);
    let accel = accel.word().to_owned();
    let started = SystemTime::now();
    let state = LabState { started, accel, sockets, inventory, network, vms: lab_vms };
    state.write(folder)?;
    // From here on `sweep` removes it, because the state names it.
    let _ = sockets_folder.keep();
    Ok(state)
}

/// Only its owner can enter: who can open the sockets controls the VMs.
fn make_sockets_folder() -> Result<TempDir, Problem> {
    let owner_only = fs::Permissions::from_mode(0o700);
    tempfile::Builder::new()
        .prefix("bootproof-lab-")
        .permissions(owner_only)
        .tempdir()
        .map_err(Problem::io(format!("make a folder in {}", std::env::temp_dir().display())))
}

fn lab_vm(
    folder: &LabFolder,
    sockets: &Path,
    accel: Accel,
    vm: &VmToBoot,
    index: usize,
    ssh_port: u16,
) -> Result<LabVm, Problem> {
    let recipe = &vm.recipe.recipe;
    let qemu_vm = QemuVm {
        name: recipe.name.clone(),
        index,
        memory_gb: recipe.resources.memory_gb,
        media: boot_media(&folder.run(), vm)?,
        console: console(folder, &recipe.name),
        sockets: sockets.to_owned(),
        accel,
    };
    Ok(LabVm {
        name: recipe.name.clone(),
        command: qemu_vm.command(),
        ssh_port,
        image: vm.image.file(),
        built_here: vm.image.is_built_here(),
        memory_gb: recipe.resources.memory_gb,
    })
}

/// All ports are held at the same time, so that no port is given out twice.
fn free_ports(count: usize) -> Result<Vec<u16>, Problem> {
    let listeners: Vec<TcpListener> = (0..count)
        .map(|_| TcpListener::bind("127.0.0.1:0"))
        .collect::<Result<_, _>>()
        .map_err(Problem::io("find a free port on 127.0.0.1"))?;
    listeners
        .iter()
        .map(|listener| listener.local_addr().map(|address| address.port()))
        .collect::<Result<_, _>>()
        .map_err(Problem::io("find a free port on 127.0.0.1"))
}

/// The process that keeps the VMs. Until [`Supervisor::commit`] it ends when this process ends.
struct Supervisor {
    child: Child,
}

impl Supervisor {
    fn start(folder: &LabFolder) -> Result<Self, Problem> {
        let path = log_file(folder);
        let log = File::create(&path).map_err(Problem::io(format!("write {}", path.display())))?;
        let own = std::env::current_exe().map_err(Problem::io("find bootproof's own program"))?;
        // In a session of its own, so that Ctrl-C on this terminal does not reach it.
        let child = Command::new("setsid")
            .arg(own)
            .args(["lab", "--lab-dir"])
            .arg(&folder.0)
            .arg("supervise")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn();
        Ok(Self { child: child.map_err(Problem::io("start setsid"))? })
    }

    /// Lets the supervisor live on, and waits until it has confirmed.
    fn commit(mut self, folder: &LabFolder) -> Result<(), Problem> {
        let mut pipe =
            self.child.stdin.take().ok_or_else(|| Problem::new("the supervisor has no pipe"))?;
        writeln!(pipe, "{COMMIT}").map_err(Problem::io("write to the supervisor"))?;
        let deadline = Instant::now() + COMMIT_TIMEOUT;
        while !state::ready_note(folder).exists() {
            if Instant::now() > deadline {
                return Err(Problem::new("the supervisor does not answer"));
            }
            sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// An error if it has ended.
    fn check(&mut self, folder: &LabFolder) -> Result<(), Problem> {
        let ended = self.child.try_wait().map_err(Problem::io("watch the supervisor"))?;
        let Some(status) = ended else { return Ok(()) };
        let log = fs::read_to_string(log_file(folder)).unwrap_or_default();
        Err(Problem::new(format!("the supervisor ended ({status}): {}", log.trim())))
    }
}

fn log_file(folder: &LabFolder) -> PathBuf {
    folder.run().join("supervisor.log")
}

/// Waits until the console of each VM that was built here shows its host key. A VM that ends before
/// is an error.
fn await_keys(
    folder: &LabFolder,
    state: &LabState,
    supervisor: &mut Supervisor,
    progress: Progress,
) -> Result<IndexMap<String, HostKey>, Problem> {
    let deadline = Instant::now() + BOOT_TIMEOUT;
    let mut stages: IndexMap<&str, BootStage> = IndexMap::new();
    let mut keys = IndexMap::new();
    let expected: Vec<&LabVm> = state.vms.iter().filter(|vm| vm.built_here).collect();
    while keys.len() < expected.len() {
        sleep(POLL);
        check_children(folder, state)?;
        supervisor.check(folder)?;
        for vm in &expected {
            let stage = read_boot_stage(&console(folder, &vm.name));
            if let BootStage::Up(key) = &stage {
                keys.insert(vm.name.clone(), key.clone());
            }
            if stages.insert(&vm.name, stage.clone()).as_ref() != Some(&stage) {
                progress(&vm.name, &stage.describe());
            }
        }
        if Instant::now() > deadline {
            let names = expected.iter().map(|vm| vm.name.as_str());
            let late: Vec<&str> = names.filter(|name| !keys.contains_key(*name)).collect();
            return Err(too_late(folder, &late));
        }
    }
    Ok(keys)
}

/// An error if a VM or a part of the network has ended.
fn check_children(folder: &LabFolder, state: &LabState) -> Result<(), Problem> {
    let vms = state.vms.iter().map(|vm| vm.name.as_str());
    for child in vms.chain([qemu::SWITCH, qemu::GATEWAY]) {
        if let Ok(status) = fs::read_to_string(exit_note(&folder.run(), child)) {
            return Err(ended(folder, child, &status));
        }
    }
    Ok(())
}

/// The last lines of a log, which may hold any bytes.
fn tail(path: &Path) -> String {
    let bytes = fs::read(path).unwrap_or_default();
    let text = serial::plain(&String::from_utf8_lossy(&bytes));
    let lines: Vec<_> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(8)..].join("\n    ")
}

fn too_late(folder: &LabFolder, late: &[&str]) -> Problem {
    let consoles: String = late
        .iter()
        .map(|vm| format!("\n  {vm}'s console:\n    {}", tail(&console(folder, vm))))
        .collect();
    let limit = humantime::format_duration(BOOT_TIMEOUT);
    Problem::new(format!("not up within {limit}: {}{consoles}", late.join(", ")))
}

fn ended(folder: &LabFolder, child: &str, status: &str) -> Problem {
    let (stderr, console) = (tail(&errors(folder, child)), tail(&console(folder, child)));
    Problem::new(format!(
        "{child} ended ({status})\n  its error output:\n    {stderr}\n  its console:\n    {console}"
    ))
}
