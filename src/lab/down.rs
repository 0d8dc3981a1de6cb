//! `lab status` and `lab down`.

use std::fs;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::qmp::Qmp;
use super::state::{self, LabState, Machine, exit_note};
use super::{LabError, LabFolder, Progress, machine};

const POLL: Duration = Duration::from_millis(500);

/// How a VM is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VmStatus {
    /// Its name.
    pub name: String,
    /// `running`, `paused`, `shutdown`, `internal-error`, or `off` with how its QEMU ended.
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

/// Parts of the network that have ended; without them no VM is reached.
pub fn lost_network(folder: &LabFolder) -> Vec<&'static str> {
    let gone = |part: &&str| exit_note(&folder.run(), part).exists();
    [machine::SWITCH, machine::GATEWAY].into_iter().filter(gone).collect()
}

/// Takes the lab down: each VM is asked to power off, and what remains is ended. `false` when it was not up.
pub fn down(folder: &LabFolder, inventory: &Path, progress: Progress) -> Result<bool, LabError> {
    let state = state::up(folder)?;
    if let Some(state) = &state {
        power_off(folder, state, progress);
        end_supervisor(folder)?;
    }
    if folder.0.exists() {
        let _lock = state::lock(folder)?
            .ok_or_else(|| LabError::new("the lab is being brought up by another process"))?;
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
        let asked =
            Qmp::connect(&state.qmp(&machine.name)).and_then(|mut qmp| qmp.run("system_powerdown"));
        progress(
            &machine.name,
            if asked.is_ok() { "asked to power off" } else { "does not answer" },
        );
    }
    let deadline = Instant::now() + POWER_OFF_TIMEOUT;
    let ended = |machine: &Machine| {
        let status = || Qmp::connect(&state.qmp(&machine.name)).and_then(|mut qmp| qmp.status());
        exit_note(&folder.run(), &machine.name).exists()
            || status().is_ok_and(|status| status == "shutdown")
    };
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
    let pid = pid.ok_or_else(|| {
        LabError::new("the lab is up, but its supervisor's process id is not known")
    })?;
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
