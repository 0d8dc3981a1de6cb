//! `lab up` and `lab down`: from images to VMs whose host keys are known, and back.

use std::fs::{self, File};
use std::io::Write;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime};

use indexmap::IndexMap;

use super::image::Image;
use super::machine::{self, Accel, Boot, Media, Spec, Subnet};
use super::qmp::Qmp;
use super::recipe::RecipeFolder;
use super::serial::{HostKey, Stage, stage_of};
use super::state::{self, LabState, Machine, console, errors, exit_note};
use super::supervisor::COMMIT;
use super::{LabError, LabFolder, Progress, kvm};
use crate::spec::inventory::{Access, Inventory, InventoryFile, SecretSource, VmEntry};

/// Under emulation four VMs take two minutes on two cores; a busy machine takes longer.
const BOOT_TIMEOUT: Duration = Duration::from_mins(10);

/// An image of somebody else says nothing on its console: it is up when its sshd has had a fair time.
const POLL: Duration = Duration::from_millis(500);

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
pub fn up(folder: &LabFolder, wanted: &[Wanted], inventory: &Path, progress: Progress) -> Result<(), LabError> {
    folder.create()?;
    let lock = state::lock(folder)?.ok_or_else(|| LabError::new("the lab is up, or being brought up, already"))?;
    state::sweep(folder)?;
    let (accel, why) = kvm::choose(folder, wanted.iter().find_map(|one| kernel(&one.source)));
    progress("", &why);
    check_qemu(accel)?;
    let state = prepare(folder, wanted, accel, inventory)?;
    // The supervisor takes it now; nobody else can have written a state in between without failing on `run/`.
    drop(lock);
    let mut supervisor = Supervisor::start(folder)?;
    let keys = await_keys(folder, &state, &mut supervisor, progress)?;
    write_known_hosts(folder, &state, &keys)?;
    write_inventory(folder, wanted, &state, &keys, inventory)?;
    supervisor.commit()
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
    let output =
        output.map_err(|error| LabError::io("start qemu-system-x86_64")(error).hint("run scripts/setup lab"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let major = text.split_whitespace().find_map(|word| word.split('.').next()?.parse::<u32>().ok());
    match major {
        Some(old) if old < 8 && accel == Accel::Tcg => {
            Err(LabError::new(format!("QEMU {old} corrupts registers when it emulates a CPU: the VMs would crash"))
                .hint("install QEMU 8 or newer; on Debian 12 `scripts/setup lab` takes it from backports"))
        }
        _ => Ok(()),
    }
}

fn prepare(folder: &LabFolder, wanted: &[Wanted], accel: Accel, inventory: &Path) -> Result<LabState, LabError> {
    let run = folder.run();
    fs::create_dir_all(&run).map_err(LabError::io(format!("make {}", run.display())))?;
    let folder_of_sockets = tempfile::Builder::new().prefix("bootproof-lab-").tempdir();
    let folder_of_sockets = folder_of_sockets.map_err(LabError::io("make a folder"))?;
    let sockets = folder_of_sockets.path().to_owned();
    let inventory = std::path::absolute(inventory).map_err(LabError::io("find the inventory's folder"))?;
    let aliases: Vec<_> = wanted.iter().map(|one| one.recipe.recipe.os.network.alias_address()).collect();
    let subnet = Subnet::around(&aliases).ok_or_else(|| {
        LabError::new(format!("the aliases {} are not in one /16", aliases.join(", ")))
            .hint("change the recipes' aliases")
    })?;
    let ports = free_ports(wanted.len())?;
    let forwards: Vec<_> = ports.iter().copied().zip(aliases.iter().map(|alias| (*alias).to_owned())).collect();
    let machine = |(index, (one, port)): (usize, (&Wanted, &u16))| {
        let recipe = &one.recipe.recipe;
        let boot = boot(&run, one)?;
        let image = boot.image.clone();
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
    let machines = wanted.iter().zip(&ports).enumerate().map(machine).collect::<Result<_, LabError>>()?;
    let network = machine::network(&subnet, &sockets, &forwards);
    let accel = accel.word().to_owned();
    let state = LabState { started: SystemTime::now(), accel, sockets, inventory, network, machines };
    state.write(folder)?;
    // From here on the state owns it: `sweep` removes it.
    let _ = folder_of_sockets.keep();
    Ok(state)
}

fn boot(run: &Path, wanted: &Wanted) -> Result<Boot, LabError> {
    match &wanted.source {
        Source::Built(image) => {
            let recipe = &wanted.recipe.recipe;
            let disk = run.join(format!("{}.disk", recipe.name));
            make_disk(run, &disk, recipe.resources.disk_gb)?;
            Ok(Boot { image: image.iso.clone(), media: Media::Live, disk: Some(disk) })
        }
        Source::Given(path) => {
            let path = path.canonicalize().map_err(LabError::io(format!("open {}", path.display())))?;
            let media = media(&path).map_err(LabError::io(format!("read {}", path.display())))?;
            Ok(Boot { image: path, media, disk: None })
        }
    }
}

/// What an operator's image is, by its first bytes.
fn media(path: &Path) -> std::io::Result<Media> {
    let mut file = File::open(path)?;
    let mut head = Vec::new();
    std::io::Read::read_to_end(&mut std::io::Read::take(&mut file, 0x8006), &mut head)?;
    // ISO 9660: the first volume descriptor is the 17th sector.
    Ok(if head.starts_with(b"QFI\xfb") {
        Media::Qcow2
    } else if head.get(0x8001..0x8006) == Some(b"CD001") {
        Media::Cd
    } else {
        Media::Raw
    })
}

/// A sparse disk with a file system that live-boot takes for what is written. No root is needed for it.
fn make_disk(run: &Path, disk: &Path, gigabytes: u32) -> Result<(), LabError> {
    let content = run.join("persistence");
    fs::create_dir_all(&content).map_err(LabError::io("make a folder"))?;
    fs::write(content.join("persistence.conf"), "/ union\n").map_err(LabError::io("write persistence.conf"))?;
    let file = File::create(disk).map_err(LabError::io(format!("make {}", disk.display())))?;
    file.set_len(u64::from(gigabytes) << 30).map_err(LabError::io(format!("make {}", disk.display())))?;
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    let made = Command::new("mke2fs")
        .env("PATH", path)
        .args(["-q", "-F", "-t", "ext4", "-L", "persistence", "-i", "65536"])
        // Nothing is left for the guest to do in the background; root owns it whoever we are.
        .args(["-E", "lazy_itable_init=0,lazy_journal_init=0,root_owner=0:0", "-d"])
        .arg(&content)
        .arg(disk)
        .output();
    let made = made.map_err(|error| LabError::io("start mke2fs")(error).hint("run scripts/setup lab"))?;
    if made.status.success() {
        return Ok(());
    }
    Err(LabError::new(format!("mke2fs failed: {}", String::from_utf8_lossy(&made.stderr).trim())))
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
        let log = File::create(folder.run().join("supervisor.log")).map_err(LabError::io("write a log"))?;
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

    fn commit(mut self) -> Result<(), LabError> {
        let mut pipe = self.child.stdin.take().ok_or_else(|| LabError::new("the supervisor has no pipe"))?;
        writeln!(pipe, "{COMMIT}").map_err(LabError::io("tell the supervisor that all is well"))
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
        if let Some(ended) = supervisor.child.try_wait().map_err(LabError::io("watch the supervisor"))? {
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
            let late: Vec<_> =
                ours.iter().filter(|one| !keys.contains_key(&one.name)).map(|one| one.name.as_str()).collect();
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
    let consoles: String =
        late.iter().map(|vm| format!("\n  {vm}'s console:\n    {}", tail(&console(folder, vm)))).collect();
    let limit = humantime::format_duration(BOOT_TIMEOUT);
    LabError::new(format!("not up within {limit}: {}{consoles}", late.join(", ")))
}

fn ended(folder: &LabFolder, child: &str, status: &str) -> LabError {
    let (said, console) = (tail(&errors(folder, child)), tail(&console(folder, child)));
    LabError::new(format!("{child} ended ({status}); it said:\n    {said}\n  and on its console:\n    {console}"))
}

/// For `lab ssh`: OpenSSH wants keys, not fingerprints.
fn write_known_hosts(folder: &LabFolder, state: &LabState, keys: &IndexMap<String, HostKey>) -> Result<(), LabError> {
    let line =
        |machine: &Machine| Some(format!("[127.0.0.1]:{} {}\n", machine.ssh_port, keys.get(&machine.name)?.public));
    let text: String = state.machines.iter().filter_map(line).collect();
    fs::write(state::ssh_known_hosts(folder), text).map_err(LabError::io("write the host keys"))
}

/// The inventory that the harness reads: every VM behind its port on loopback, its host key pinned.
fn write_inventory(
    folder: &LabFolder,
    wanted: &[Wanted],
    state: &LabState,
    keys: &IndexMap<String, HostKey>,
    path: &Path,
) -> Result<(), LabError> {
    let first = &wanted[0].recipe.recipe;
    let user = first.os.users.first().ok_or_else(|| LabError::new("the recipes have no user"))?;
    let entry = |(one, machine): (&Wanted, &Machine)| {
        let recipe = &one.recipe.recipe;
        let ssh = Access {
            port: Some(machine.ssh_port),
            host_key: keys.get(&machine.name).map(|key| key.fingerprint.clone()),
            ..Access::default()
        };
        let entry = VmEntry {
            role: Some(recipe.role.clone()),
            address: Some(recipe.os.network.alias_address().to_owned()),
            ssh,
            memory_gb: Some(recipe.resources.memory_gb),
            disk_gb: Some(recipe.resources.disk_gb),
            position: recipe.position,
        };
        (recipe.name.clone(), entry)
    };
    let mut vms: IndexMap<String, VmEntry> = wanted.iter().zip(&state.machines).map(entry).collect();
    let declared = declared(path, &first.lab);
    let place = |vm: &str| declared.as_ref().and_then(|lab| lab.vms.get_index_of(vm)).unwrap_or(usize::MAX);
    vms.sort_by(|left, _, right, _| place(left).cmp(&place(right)));
    let mut connections = declared.map(|lab| lab.connections).unwrap_or_default();
    connections.retain(|edge| vms.contains_key(&edge.from) && vms.contains_key(&edge.to));
    let unpinned = state.machines.iter().any(|machine| !machine.ours);
    let inventory = InventoryFile {
        schema: None,
        lab: first.lab.clone(),
        description: Some("Written by `bootproof lab up`; removed by `bootproof lab down`.".to_owned()),
        known_hosts: unpinned.then(|| folder.run().join("known_hosts")),
        defaults: Access {
            host: Some("127.0.0.1".to_owned()),
            user: Some(user.name.clone()),
            password: Some(SecretSource::Literal(user.password.clone())),
            ..Access::default()
        },
        vms,
        connections,
    };
    let text = serde_json::to_string_pretty(&inventory).map_err(|error| LabError::new(error.to_string()))?;
    let failed = || LabError::io(format!("write {}", path.display()));
    let parent = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(parent).map_err(failed())?;
    let mut file = tempfile::Builder::new().prefix(".local-").tempfile_in(parent).map_err(failed())?;
    writeln!(file, "{text}").map_err(failed())?;
    // The passwords of the lab stand in it.
    file.as_file().set_permissions(fs::Permissions::from_mode(0o600)).map_err(failed())?;
    file.persist(path).map_err(|error| failed()(error.error))?;
    Ok(())
}

/// The lab's own inventory, beside the one that is written: it has the topology, and the order of the VMs.
fn declared(path: &Path, lab: &str) -> Option<Inventory> {
    let path = path.with_file_name(format!("{lab}.json"));
    let text = fs::read_to_string(&path).ok()?;
    Inventory::parse(&path.display().to_string(), &text).ok()
}

/// How a VM is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VmStatus {
    /// Its name.
    pub name: String,
    /// `running`, `paused`, `internal-error`, or `off` with how it ended.
    pub status: String,
}

/// How every VM of a lab that is up is.
pub fn status(folder: &LabFolder, state: &LabState) -> Vec<VmStatus> {
    let one = |machine: &Machine| {
        let status = match fs::read_to_string(exit_note(&folder.run(), &machine.name)) {
            Ok(ended) => format!("off ({ended})"),
            Err(_) => Qmp::connect(&state.qmp(&machine.name))
                .and_then(|mut qmp| qmp.status())
                .unwrap_or_else(|error| error.to_string()),
        };
        VmStatus { name: machine.name.clone(), status }
    };
    state.machines.iter().map(one).collect()
}

/// Takes the lab down: each VM is asked to power off, and what remains is ended. `false` when it was not up.
pub fn down(folder: &LabFolder, inventory: &Path, progress: Progress) -> Result<bool, LabError> {
    let state = state::up(folder)?;
    if let Some(state) = &state {
        power_off(folder, state, progress);
        end_supervisor(folder)?;
    }
    if folder.0.exists() {
        let _lock =
            state::lock(folder)?.ok_or_else(|| LabError::new("the lab is being brought up by another process"))?;
        state::sweep(folder)?;
    }
    match fs::remove_file(inventory) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(LabError::io(format!("remove {}", inventory.display()))(error))
        }
        _ => Ok(state.is_some()),
    }
}

/// Their disks go away with them, so nobody waits long for a clean end.
const POWER_OFF_TIMEOUT: Duration = Duration::from_secs(20);

fn power_off(folder: &LabFolder, state: &LabState, progress: Progress) {
    for machine in &state.machines {
        // One that does not listen is ended with the supervisor.
        let asked = Qmp::connect(&state.qmp(&machine.name)).and_then(|mut qmp| qmp.run("system_powerdown"));
        progress(&machine.name, if asked.is_ok() { "asked to power off" } else { "does not answer" });
    }
    let deadline = Instant::now() + POWER_OFF_TIMEOUT;
    let ended = |machine: &Machine| exit_note(&folder.run(), &machine.name).exists();
    while !state.machines.iter().all(ended) && Instant::now() < deadline {
        sleep(POLL);
    }
    for machine in &state.machines {
        progress(&machine.name, if ended(machine) { "off" } else { "cut off" });
    }
}

/// Its children end with it.
fn end_supervisor(folder: &LabFolder) -> Result<(), LabError> {
    let pid = fs::read_to_string(state::supervisor_pid(folder)).ok();
    let pid = pid.and_then(|text| rustix::process::Pid::from_raw(text.trim().parse().ok()?));
    let pid = pid.ok_or_else(|| LabError::new("the lab is up, but its supervisor's process id is not known"))?;
    // It holds the lock, so the number is still its own. It may end by itself just now.
    let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
    let deadline = Instant::now() + Duration::from_secs(10);
    while state::lock(folder)?.is_none() {
        if Instant::now() > deadline {
            return Err(LabError::new("the supervisor does not end"));
        }
        sleep(Duration::from_millis(50));
    }
    Ok(())
}
