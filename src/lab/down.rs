//! `lab status` and `lab down`, which may keep the state of the VMs.

use std::fs::{self, File};
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime};

use rustix::process::{Pid, Signal, kill_process};

use super::control;
use super::folder::LabFolder;
use super::kept::{self, KeptState};
use super::progress::Progress;
use super::qemu;
use super::qmp::Qmp;
use super::state::{self, LabState, LabVm, exit_note};
use crate::problem::Problem;

const POLL: Duration = Duration::from_millis(500);

/// The status of a VM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VmStatus {
    /// Its name.
    pub name: String,
    /// `running`, `paused`, `shutdown`, `internal-error`, or `off` with the exit status of QEMU.
    pub status: String,
}

/// The status of every VM of a lab that is up.
pub fn status(folder: &LabFolder, state: &LabState) -> Vec<VmStatus> {
    let status_of = |vm: &LabVm| {
        let status = match fs::read_to_string(exit_note(&folder.run(), &vm.name)) {
            Ok(exit_status) => format!("off ({exit_status})"),
            Err(_) => qemu_status(state, vm).unwrap_or_else(|error| error.to_string()),
        };
        VmStatus { name: vm.name.clone(), status }
    };
    state.vms.iter().map(status_of).collect()
}

fn qemu_status(state: &LabState, vm: &LabVm) -> Result<String, Problem> {
    Qmp::connect(&state.qmp(&vm.name)).and_then(|mut qmp| qmp.status())
}

/// Parts of the network whose process has ended; without them the VMs cannot be reached.
pub fn lost_network(folder: &LabFolder) -> Vec<&'static str> {
    let has_ended = |part: &&str| exit_note(&folder.run(), part).exists();
    [qemu::SWITCH, qemu::GATEWAY].into_iter().filter(has_ended).collect()
}

/// What `lab down` found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// The lab was up.
    pub up: bool,
    /// There was a kept state, which is deleted now.
    pub kept: bool,
}

/// Powers off the VMs, ends what still runs, and removes `inventory` and the kept state.
pub fn down(folder: &LabFolder, inventory: &Path, progress: Progress) -> Result<Found, Problem> {
    let state = state::up(folder)?;
    if let Some(state) = &state {
        power_off(folder, state, progress);
        end_supervisor(folder)?;
    }
    let mut kept = false;
    if folder.0.exists() {
        let _lock = lock(folder)?;
        state::sweep(folder)?;
        kept = kept::discard(folder)?;
    }
    remove(inventory)?;
    Ok(Found { up: state.is_some(), kept })
}

/// Saves memory and disks of the VMs, so that `lab up` can resume them, and takes the lab down.
/// Returns `None` if the lab was not up. If a VM cannot be saved, the lab is still up.
pub fn down_and_keep(
    folder: &LabFolder,
    inventory: &Path,
    progress: Progress,
) -> Result<Option<KeptState>, Problem> {
    let Some(state) = state::up(folder)? else { return Ok(None) };
    check_can_be_kept(folder, &state)?;
    let saved = SystemTime::now();
    control::save_for_later(&state, progress)?;
    quit(folder, &state, progress)?;
    end_supervisor(folder)?;
    let _lock = lock(folder)?;
    // bootproof's own temporary folder.
    let _ = fs::remove_dir_all(&state.sockets);
    let kept = kept::keep(folder, state, saved)?;
    remove(inventory)?;
    Ok(Some(kept))
}

fn lock(folder: &LabFolder) -> Result<File, Problem> {
    state::lock(folder)?.ok_or_else(|| {
        Problem::new("another process is bringing the lab up")
            .hint("wait until it has ended, then try again")
    })
}

fn remove(inventory: &Path) -> Result<(), Problem> {
    match fs::remove_file(inventory) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Problem::io(format!("remove {}", inventory.display()))(error))
        }
        _ => Ok(()),
    }
}

fn check_can_be_kept(folder: &LabFolder, state: &LabState) -> Result<(), Problem> {
    let hint = "run `bootproof lab down` without --keep";
    if !state::ready_note(folder).exists() {
        return Err(
            Problem::new("the lab is still booting, so its state cannot be kept").hint(hint)
        );
    }
    for vm in &state.vms {
        let why = if !vm.built_here {
            "bootproof cannot set the clock of an image that it did not build"
        } else if exit_note(&folder.run(), &vm.name).exists() {
            "its QEMU has ended"
        } else {
            continue;
        };
        let message = format!("the state of the VM cannot be kept: {why}");
        return Err(Problem::new(message).about(&vm.name).hint(hint));
    }
    Ok(())
}

/// QEMU writes the rest of its disk when it ends.
const QUIT_TIMEOUT: Duration = Duration::from_mins(1);

/// Ends the VMs as they are: their state is saved.
fn quit(folder: &LabFolder, state: &LabState, progress: Progress) -> Result<(), Problem> {
    for vm in &state.vms {
        Qmp::connect(&state.qmp(&vm.name))
            .and_then(|mut qmp| qmp.run("quit"))
            .map_err(|error| error.about(&vm.name))?;
    }
    let deadline = Instant::now() + QUIT_TIMEOUT;
    for vm in &state.vms {
        while !exit_note(&folder.run(), &vm.name).exists() {
            if Instant::now() > deadline {
                return Err(Problem::new("QEMU does not end, so its state cannot be kept")
                    .about(&vm.name)
                    .hint("run `bootproof lab down` without --keep"));
            }
            sleep(Duration::from_millis(50));
        }
        progress(&vm.name, "off, its state is kept");
    }
    Ok(())
}

/// The VMs' disks are deleted afterwards, so nobody waits long for a clean shutdown.
const POWER_OFF_TIMEOUT: Duration = Duration::from_secs(20);

fn power_off(folder: &LabFolder, state: &LabState, progress: Progress) {
    for vm in &state.vms {
        // A VM that does not answer is killed with the supervisor.
        let asked =
            Qmp::connect(&state.qmp(&vm.name)).and_then(|mut qmp| qmp.run("system_powerdown"));
        progress(&vm.name, if asked.is_ok() { "asked to power off" } else { "does not answer" });
    }
    let is_off = |vm: &LabVm| {
        exit_note(&folder.run(), &vm.name).exists()
            || qemu_status(state, vm).is_ok_and(|status| status == "shutdown")
    };
    let deadline = Instant::now() + POWER_OFF_TIMEOUT;
    while !state.vms.iter().all(is_off) && Instant::now() < deadline {
        sleep(POLL);
    }
    for vm in &state.vms {
        progress(&vm.name, if is_off(vm) { "off" } else { "did not power off, killing it" });
    }
}

/// The VMs and the network are its children and end with it.
fn end_supervisor(folder: &LabFolder) -> Result<(), Problem> {
    let file = state::supervisor_pid(folder);
    let text = fs::read_to_string(&file).unwrap_or_default();
    let pid = text.trim().parse().ok().and_then(Pid::from_raw).ok_or_else(|| {
        Problem::new(format!(
            "the lab is up, but {} does not hold the process id of its supervisor",
            file.display()
        ))
    })?;
    // The supervisor holds the lock, so no other process has its id. It may be ending right now.
    let _ = kill_process(pid, Signal::TERM);
    let deadline = Instant::now() + Duration::from_secs(10);
    while state::lock(folder)?.is_none() {
        if Instant::now() > deadline {
            return Err(Problem::new("the lab's supervisor does not end"));
        }
        sleep(Duration::from_millis(50));
    }
    Ok(())
}
