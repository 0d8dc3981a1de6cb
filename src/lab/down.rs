//! `lab status` and `lab down`.

use std::fs;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::folder::LabFolder;
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

/// Powers off the VMs, ends what still runs, and removes `inventory`. Returns `false` if the lab
/// was not up.
pub fn down(folder: &LabFolder, inventory: &Path, progress: Progress) -> Result<bool, Problem> {
    let state = state::up(folder)?;
    if let Some(state) = &state {
        power_off(folder, state, progress);
        end_supervisor(folder)?;
    }
    if folder.0.exists() {
        let _lock = state::lock(folder)?
            .ok_or_else(|| Problem::new("another process is bringing the lab up"))?;
        state::sweep(folder)?;
    }
    match fs::remove_file(inventory) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Problem::io(format!("remove {}", inventory.display()))(error))
        }
        _ => Ok(state.is_some()),
    }
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
