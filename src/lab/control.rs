//! What can be done with a VM from outside, through QEMU: snapshot, restore, pause, resume, reboot.

use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::json;

use super::folder::LabFolder;
use super::parallel;
use super::progress::Progress;
use super::qemu::{DISK, KEPT_SNAPSHOT};
use super::qmp::Qmp;
use super::serial::{BOOT_TIMEOUT, BootStage, boot_stage};
use super::state::{LabState, LabVm, console};
use crate::problem::Problem;

/// The name of the one snapshot that `lab snapshot` takes of a VM.
const TAG: &str = "bootproof";

/// QEMU writes hundreds of megabytes, which takes time on a busy machine.
const SNAPSHOT_TIMEOUT: Duration = Duration::from_mins(5);

/// From the power button to the end of the last service.
const POWER_OFF_TIMEOUT: Duration = Duration::from_mins(2);

const POLL: Duration = Duration::from_millis(200);

/// What is done to a VM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VmAction {
    /// Save memory and disk, in place of the snapshot before.
    Snapshot,
    /// Go back to the snapshot, whatever state the VM is in.
    Restore,
    /// Stop the processor.
    Pause,
    /// Let the processor go on.
    Resume,
    /// Press the power button, and switch the VM on again.
    Reboot,
}

impl VmAction {
    /// The last line of the progress display.
    fn done(self) -> &'static str {
        match self {
            Self::Snapshot => "snapshot taken",
            Self::Restore => "restored",
            Self::Pause => "paused",
            Self::Resume => "resumed",
            Self::Reboot => "rebooted",
        }
    }
}

/// Performs the action on all of the VMs at the same time.
pub fn perform(
    folder: &LabFolder,
    state: &LabState,
    vms: &[&LabVm],
    action: VmAction,
    progress: Progress,
) -> Result<(), Problem> {
    parallel::for_each(vms, |vm| perform_on(folder, state, vm, action, progress))
}

fn perform_on(
    folder: &LabFolder,
    state: &LabState,
    vm: &LabVm,
    action: VmAction,
    progress: Progress,
) -> Result<(), Problem> {
    let started = Instant::now();
    let name = &vm.name;
    let mut qmp = Qmp::connect(&state.qmp(name)).map_err(|error| error.about(name))?;
    let done = match action {
        VmAction::Snapshot => save(&mut qmp, TAG),
        VmAction::Restore => restore(&mut qmp),
        VmAction::Pause => qmp.run("stop").map(drop),
        VmAction::Resume => resume(&mut qmp),
        VmAction::Reboot => reboot(folder, &mut qmp, vm, progress),
    };
    done.map_err(|error| error.about(name))?;
    progress(name, &format!("{} in {:.1} s", action.done(), started.elapsed().as_secs_f64()));
    Ok(())
}

/// Stops the VMs and saves memory and disk of each for `lab up`. If one cannot be saved, all of
/// them continue.
pub(super) fn save_for_later(state: &LabState, progress: Progress) -> Result<(), Problem> {
    let saved = parallel::for_each(&state.vms, |vm| {
        stop_and_save(state, vm, progress).map_err(|error| error.about(&vm.name))
    });
    if saved.is_err() {
        for vm in &state.vms {
            // One that does not answer is what the error is about.
            let _ = Qmp::connect(&state.qmp(&vm.name)).and_then(|mut qmp| qmp.run("cont"));
        }
    }
    saved
}

fn stop_and_save(state: &LabState, vm: &LabVm, progress: Progress) -> Result<(), Problem> {
    let started = Instant::now();
    let mut qmp = Qmp::connect(&state.qmp(&vm.name))?;
    let status = qmp.status()?;
    // `paused`: an interrupted `lab down --keep` leaves it so.
    if !matches!(status.as_str(), "running" | "paused") {
        return Err(Problem::new(format!("the VM is {status}, so its state cannot be kept"))
            .hint("start it with `bootproof lab resume`, or run `lab down` without --keep"));
    }
    qmp.run("stop")?;
    save(&mut qmp, KEPT_SNAPSHOT)?;
    progress(&vm.name, &format!("saved in {:.1} s", started.elapsed().as_secs_f64()));
    Ok(())
}

/// Frees the room of the snapshot from which a VM has been resumed.
pub(super) fn forget_kept(qmp: &mut Qmp) -> Result<(), Problem> {
    delete(qmp, KEPT_SNAPSHOT)
}

fn save(qmp: &mut Qmp, tag: &str) -> Result<(), Problem> {
    if has_snapshot(qmp, tag)? {
        delete(qmp, tag)?;
    }
    let what = json!({"tag": tag, "vmstate": DISK, "devices": [DISK]});
    qmp.job("snapshot-save", what, SNAPSHOT_TIMEOUT)
}

fn delete(qmp: &mut Qmp, tag: &str) -> Result<(), Problem> {
    qmp.job("snapshot-delete", json!({"tag": tag, "devices": [DISK]}), SNAPSHOT_TIMEOUT)
}

fn restore(qmp: &mut Qmp) -> Result<(), Problem> {
    if !has_snapshot(qmp, TAG)? {
        return Err(Problem::new("the VM has no snapshot")
            .hint("take one while the VM is healthy: bootproof lab snapshot"));
    }
    // The snapshot then overwrites the state after the reset.
    reset_if_halted(qmp)?;
    qmp.run("stop")?;
    let what = json!({"tag": TAG, "vmstate": DISK, "devices": [DISK]});
    qmp.job("snapshot-load", what, SNAPSHOT_TIMEOUT)?;
    qmp.run("cont").map(drop)
}

fn has_snapshot(qmp: &mut Qmp, tag: &str) -> Result<bool, Problem> {
    let nodes = qmp.run("query-named-block-nodes")?;
    let disk = nodes.as_array().into_iter().flatten().find(|node| node["node-name"] == DISK);
    let disk = disk.ok_or_else(|| {
        Problem::new("the VM has no disk, so it has no snapshots")
            .hint("a VM that boots from the ISO of --image has no disk: use a qcow2 or raw image")
    })?;
    let snapshots = disk["image"]["snapshots"].as_array();
    Ok(snapshots.into_iter().flatten().any(|snapshot| snapshot["name"] == tag))
}

fn resume(qmp: &mut Qmp) -> Result<(), Problem> {
    reset_if_halted(qmp)?;
    qmp.run("cont").map(drop)
}

/// A VM that powered itself off, or on which QEMU gave up, goes on only after a reset.
fn reset_if_halted(qmp: &mut Qmp) -> Result<(), Problem> {
    if matches!(qmp.status()?.as_str(), "shutdown" | "internal-error") {
        qmp.run("system_reset")?;
    }
    Ok(())
}

/// The guest shuts down by itself, as when somebody presses the power button.
fn reboot(
    folder: &LabFolder,
    qmp: &mut Qmp,
    vm: &LabVm,
    progress: Progress,
) -> Result<(), Problem> {
    progress(&vm.name, "asked to power off");
    qmp.run("system_powerdown")?;
    await_status(qmp, "shutdown", POWER_OFF_TIMEOUT)?;
    let length_before = console_text(folder, vm).len();
    resume(qmp)?;
    progress(&vm.name, "powered on");
    if vm.built_here { await_boot(folder, vm, length_before, progress) } else { Ok(()) }
}

fn console_text(folder: &LabFolder, vm: &LabVm) -> Vec<u8> {
    std::fs::read(console(folder, &vm.name)).unwrap_or_default()
}

/// Waits until the console shows the host key again; what it said before the reboot does not count.
fn await_boot(
    folder: &LabFolder,
    vm: &LabVm,
    length_before: usize,
    progress: Progress,
) -> Result<(), Problem> {
    let deadline = Instant::now() + BOOT_TIMEOUT;
    let mut last = BootStage::PowerOn;
    while !matches!(last, BootStage::Up(_)) {
        if Instant::now() > deadline {
            let limit = humantime::format_duration(BOOT_TIMEOUT);
            return Err(Problem::new(format!("the VM did not boot within {limit}"))
                .hint(format!("`bootproof lab logs {}` shows its console", vm.name)));
        }
        sleep(POLL);
        let text = console_text(folder, vm);
        let stage =
            boot_stage(&String::from_utf8_lossy(text.get(length_before..).unwrap_or_default()));
        if stage != last {
            progress(&vm.name, &stage.describe());
            last = stage;
        }
    }
    Ok(())
}

fn await_status(qmp: &mut Qmp, wanted: &str, limit: Duration) -> Result<(), Problem> {
    let deadline = Instant::now() + limit;
    loop {
        let status = qmp.status()?;
        if status == wanted {
            return Ok(());
        }
        if Instant::now() > deadline {
            let limit = humantime::format_duration(limit);
            return Err(Problem::new(format!("the VM is still {status} after {limit}")));
        }
        sleep(POLL);
    }
}
