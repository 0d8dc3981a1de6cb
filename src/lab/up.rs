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

use super::control::forget_kept;
use super::disk::{boot_media, make_disks};
use super::folder::LabFolder;
use super::kept::{self, KeptState};
use super::progress::Progress;
use super::qemu::{self, Accel, Forward, QemuVm, Subnet};
use super::qmp::Qmp;
use super::serial::{self, BOOT_TIMEOUT, BootStage, HostKey, read_boot_stage};
use super::state::{self, LabState, LabVm, console, errors, exit_note};
use super::supervisor::COMMIT;
use super::vm::VmToBoot;
use super::{kvm, local};
use crate::problem::Problem;

const POLL: Duration = Duration::from_millis(500);

/// The supervisor looks five times a second.
const COMMIT_TIMEOUT: Duration = Duration::from_secs(10);

/// How the VMs are to start.
#[derive(Clone, Copy)]
pub enum Start<'a> {
    /// With new disks, even if there is a kept state.
    Fresh,
    /// From the kept state, if there is one that fits. The function sets the clocks of the VMs: a
    /// resumed VM believes that it is still the time at which it was stopped.
    Resume(&'a dyn Fn(&LabState) -> Result<(), Problem>),
}

/// How the VMs have started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Started {
    /// With new disks.
    Cold,
    /// From the state that was kept at this time.
    Resumed(SystemTime),
}

/// Starts the VMs, waits until their host keys are known, and writes the inventory of the lab.
///
/// If anything goes wrong before the end, nothing is left running.
pub fn up(
    folder: &LabFolder,
    vms: &[VmToBoot],
    inventory: &Path,
    start: Start,
    progress: Progress,
) -> Result<Started, Problem> {
    folder.create()?;
    let mut lock = lock_for_up(folder)?;
    state::sweep(folder)?;
    let (accel, why) = kvm::choose(folder, vms.iter().find_map(|vm| vm.image.kernel()));
    progress("", &why);
    let qemu = check_qemu(accel)?;
    let boot = Boot { folder, vms, accel, qemu, inventory, progress };
    let mut prepared = boot.prepare()?;
    if let Start::Resume(set_clocks) = start
        && let Some(kept) = boot.kept_state(&prepared.state)
    {
        progress(
            "",
            &format!("resuming the VMs from the state kept at {}", kept::when(kept.saved)),
        );
        match boot.resume(prepared, lock, &kept, set_clocks) {
            Ok(()) => return Ok(Started::Resumed(kept.saved)),
            Err(error) => progress("", &format!("cannot resume: {error}; {BOOTS_INSTEAD}")),
        }
        lock = lock_for_up(folder)?;
        state::sweep(folder)?;
        prepared = boot.prepare()?;
    }
    boot.boot_cold(prepared, lock)?;
    Ok(Started::Cold)
}

fn lock_for_up(folder: &LabFolder) -> Result<File, Problem> {
    state::lock(folder)?.ok_or_else(|| {
        Problem::new("the lab is up already, or another process is booting it")
            .hint("see which: bootproof lab status")
    })
}

/// What follows if the VMs cannot be resumed, for messages.
const BOOTS_INSTEAD: &str = "bootproof deletes the kept state and boots the VMs";

/// What does not change between two tries to start the VMs.
struct Boot<'a> {
    folder: &'a LabFolder,
    vms: &'a [VmToBoot],
    accel: Accel,
    qemu: String,
    inventory: &'a Path,
    progress: Progress<'a>,
}

/// A lab that has sockets and ports, but no disks yet.
struct Prepared {
    state: LabState,
    sockets: TempDir,
}

impl Boot<'_> {
    /// The kept state, if the wanted lab can be resumed from it; otherwise says why not.
    fn kept_state(&self, wanted: &LabState) -> Option<KeptState> {
        let why = match KeptState::read(self.folder) {
            Ok(kept) => {
                let kept = kept?;
                match kept.obstacle(self.folder, wanted) {
                    None => return Some(kept),
                    Some(why) => {
                        format!("the state kept at {} does not fit: {why}", kept::when(kept.saved))
                    }
                }
            }
            Err(error) => error.to_string(),
        };
        (self.progress)("", &format!("{why}; {BOOTS_INSTEAD}"));
        None
    }

    fn resume(
        &self,
        mut prepared: Prepared,
        lock: File,
        kept: &KeptState,
        set_clocks: &dyn Fn(&LabState) -> Result<(), Problem>,
    ) -> Result<(), Problem> {
        kept::take_out(self.folder)?;
        prepared.state.resumed_from = Some(kept.saved);
        self.start(prepared, lock, |state, supervisor| {
            self.await_resumed(state, supervisor)?;
            self.write_for_others(state, supervisor)?;
            set_clocks(state)
        })
    }

    fn boot_cold(&self, prepared: Prepared, lock: File) -> Result<(), Problem> {
        kept::discard(self.folder)?;
        let run = self.folder.run();
        fs::create_dir_all(&run).map_err(Problem::io(format!("make {}", run.display())))?;
        self.vms.iter().try_for_each(|vm| make_disks(&run, vm))?;
        self.start(prepared, lock, |state, supervisor| self.write_for_others(state, supervisor))
    }

    /// Starts the supervisor; lets it live on if `finish` succeeds, and otherwise ends it.
    fn start(
        &self,
        prepared: Prepared,
        lock: File,
        finish: impl FnOnce(&LabState, &mut Supervisor) -> Result<(), Problem>,
    ) -> Result<(), Problem> {
        let Prepared { state, sockets } = prepared;
        state.write(self.folder)?;
        // From here on `sweep` removes it, because the state names it.
        let _ = sockets.keep();
        // Now the supervisor takes it. Another `lab up` in between would fail on `run/`.
        drop(lock);
        let mut supervisor = Supervisor::start(self.folder)?;
        match finish(&state, &mut supervisor) {
            Ok(()) => supervisor.commit(self.folder),
            Err(error) => {
                supervisor.end();
                Err(error)
            }
        }
    }

    /// Waits for the host keys and writes them down, with the inventory.
    fn write_for_others(
        &self,
        state: &LabState,
        supervisor: &mut Supervisor,
    ) -> Result<(), Problem> {
        let keys = await_keys(self.folder, state, supervisor, self.progress)?;
        local::write_known_hosts(self.folder, state, &keys)?;
        local::write_inventory(self.folder, self.vms, state, &keys, self.inventory)
    }

    /// Waits until each VM has loaded its memory and runs.
    fn await_resumed(&self, state: &LabState, supervisor: &mut Supervisor) -> Result<(), Problem> {
        let started = Instant::now();
        for vm in &state.vms {
            let mut qmp = loop {
                sleep(RESUME_POLL);
                check_not_refused(self.folder, state)?;
                supervisor.check(self.folder)?;
                match running(state, vm) {
                    Ok(qmp) => break qmp,
                    Err(error) if started.elapsed() > RESUME_TIMEOUT => return Err(error),
                    Err(_) => {}
                }
            };
            // If this fails, the disk is only larger.
            let _ = forget_kept(&mut qmp);
            let seconds = started.elapsed().as_secs_f64();
            (self.progress)(&vm.name, &format!("resumed in {seconds:.1} s"));
        }
        Ok(())
    }
}

/// QEMU loads a few hundred megabytes for each VM, from a disk that may be busy.
const RESUME_TIMEOUT: Duration = Duration::from_mins(3);

const RESUME_POLL: Duration = Duration::from_millis(100);

/// An error if a QEMU has ended because it cannot load what was saved. Unlike a VM that ends during
/// its boot, such a VM has nothing to say on its console.
fn check_not_refused(folder: &LabFolder, state: &LabState) -> Result<(), Problem> {
    for vm in &state.vms {
        if let Ok(status) = fs::read_to_string(exit_note(&folder.run(), &vm.name)) {
            let said = tail(&errors(folder, &vm.name));
            let why = said.lines().last().unwrap_or("it printed no error").trim();
            let message = format!("its QEMU ended ({status}): {why}");
            return Err(Problem::new(message).about(&vm.name));
        }
    }
    check_children(folder, state)
}

/// A connection to the QEMU of a VM that runs.
fn running(state: &LabState, vm: &LabVm) -> Result<Qmp, Problem> {
    let mut qmp = Qmp::connect(&state.qmp(&vm.name)).map_err(|error| error.about(&vm.name))?;
    match qmp.status().map_err(|error| error.about(&vm.name))?.as_str() {
        "running" => Ok(qmp),
        status => Err(Problem::new(format!("the VM is {status}, not running")).about(&vm.name)),
    }
}

/// QEMU before 8 miscompiles `cmpxchg16b` when it emulates: trixie's kernel panics sooner or later.
/// Returns the version in QEMU's own words.
fn check_qemu(accel: Accel) -> Result<String, Problem> {
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
        _ => Ok(text.lines().next().unwrap_or_default().to_owned()),
    }
}

impl Boot<'_> {
    /// Makes the folder of the sockets, and the state that the supervisor starts from.
    fn prepare(&self) -> Result<Prepared, Problem> {
        let sockets_folder = make_sockets_folder()?;
        let sockets = sockets_folder.path().to_owned();
        let inventory = std::path::absolute(self.inventory)
            .map_err(Problem::io(format!("resolve {}", self.inventory.display())))?;
        let aliases: Vec<&str> =
            self.vms.iter().map(|vm| vm.recipe.recipe.os.network.alias_address()).collect();
        let subnet = Subnet::around(&aliases).ok_or_else(|| {
            Problem::new(format!("the aliases {} are not in one /16", aliases.join(", ")))
                .hint("change the recipes' aliases, so that all begin with the same two numbers")
        })?;
        let forwards: Vec<Forward> = free_ports(self.vms.len())?
            .into_iter()
            .zip(aliases)
            .map(|(port, alias)| Forward { port, alias: alias.to_owned() })
            .collect();
        let vms = (self.vms.iter().zip(&forwards).enumerate())
            .map(|(index, (vm, forward))| {
                lab_vm(self.folder, &sockets, self.accel, vm, index, forward.port)
            })
            .collect::<Result<_, Problem>>()?;
        let state = LabState {
            started: SystemTime::now(),
            accel: self.accel.word().to_owned(),
            qemu: self.qemu.clone(),
            network: qemu::network(&subnet, &sockets, &forwards),
            sockets,
            inventory,
            resumed_from: None,
            vms,
        };
        Ok(Prepared { state, sockets: sockets_folder })
    }
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

    /// Ends it, and with it the VMs: it undoes everything when its input ends.
    fn end(mut self) {
        drop(self.child.stdin.take());
        let deadline = Instant::now() + COMMIT_TIMEOUT;
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < deadline {
            sleep(Duration::from_millis(20));
        }
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
