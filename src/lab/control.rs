//! What can be done with a VM from outside, through QEMU: snapshot and restore, pause and resume, reboot.

use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::json;

use super::machine::DISK;
use super::qmp::Qmp;
use super::serial::{Stage, stage_of_text};
use super::state::{LabState, Machine, console};
use super::up::BOOT_TIMEOUT;
use super::{LabError, LabFolder, Progress, at_once};

/// The one snapshot that a VM has.
const TAG: &str = "bootproof";

/// Hundreds of megabytes are written; on a busy machine that takes its time.
const SNAPSHOT_TIMEOUT: Duration = Duration::from_mins(5);

/// From the power button to the end of the last service.
const POWER_OFF_TIMEOUT: Duration = Duration::from_mins(2);

const POLL: Duration = Duration::from_millis(200);

/// What is done to a VM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    /// Keep memory and disk as they are now, in place of what was kept before.
    Snapshot,
    /// Go back to what was kept, from whatever state.
    Restore,
    /// Stop its processor.
    Pause,
    /// Let it go on.
    Resume,
    /// Press the power button, and switch it on again.
    Reboot,
}

/// Does it to each of the VMs, all at once.
pub fn to_each(
    folder: &LabFolder,
    state: &LabState,
    machines: &[&Machine],
    deed: Deed,
    progress: Progress,
) -> Result<(), LabError> {
    at_once(machines, |machine| to_one(folder, state, machine, deed, progress))
}

fn to_one(
    folder: &LabFolder,
    state: &LabState,
    machine: &Machine,
    deed: Deed,
    progress: Progress,
) -> Result<(), LabError> {
    let started = Instant::now();
    let name = &machine.name;
    let mut qmp = Qmp::connect(&state.qmp(name))
        .map_err(|error| LabError::new(format!("{name}: {error}")))?;
    let done = match deed {
        Deed::Snapshot => snapshot(&mut qmp),
        Deed::Restore => restore(&mut qmp),
        Deed::Pause => qmp.run("stop").map(drop),
        Deed::Resume => resume(&mut qmp),
        Deed::Reboot => reboot(folder, &mut qmp, machine, progress),
    };
    done.map_err(|error| error.about(name))?;
    progress(name, &format!("{} in {:.1} s", deed.done(), started.elapsed().as_secs_f64()));
    Ok(())
}

impl Deed {
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

fn snapshot(qmp: &mut Qmp) -> Result<(), LabError> {
    if has_snapshot(qmp)? {
        qmp.job("snapshot-delete", json!({"tag": TAG, "devices": [DISK]}), SNAPSHOT_TIMEOUT)?;
    }
    qmp.job(
        "snapshot-save",
        json!({"tag": TAG, "vmstate": DISK, "devices": [DISK]}),
        SNAPSHOT_TIMEOUT,
    )
}

fn restore(qmp: &mut Qmp) -> Result<(), LabError> {
    if !has_snapshot(qmp)? {
        return Err(LabError::new("there is no snapshot")
            .hint("take one while all is well: bootproof lab snapshot"));
    }
    // The snapshot then overwrites all of what it is now.
    wake(qmp)?;
    qmp.run("stop")?;
    qmp.job(
        "snapshot-load",
        json!({"tag": TAG, "vmstate": DISK, "devices": [DISK]}),
        SNAPSHOT_TIMEOUT,
    )?;
    qmp.run("cont").map(drop)
}

fn has_snapshot(qmp: &mut Qmp) -> Result<bool, LabError> {
    let nodes = qmp.run("query-named-block-nodes")?;
    let disk = nodes.as_array().into_iter().flatten().find(|node| node["node-name"] == DISK);
    let disk = disk.ok_or_else(|| {
        LabError::new("it has no disk of its own, so it has no snapshots")
            .hint("an ISO of another maker has none")
    })?;
    let kept = disk["image"]["snapshots"].as_array();
    Ok(kept.into_iter().flatten().any(|snapshot| snapshot["name"] == TAG))
}

fn resume(qmp: &mut Qmp) -> Result<(), LabError> {
    wake(qmp)?;
    qmp.run("cont").map(drop)
}

/// A machine that has powered itself off, or on which QEMU has given up, goes on only after a reset.
fn wake(qmp: &mut Qmp) -> Result<(), LabError> {
    if matches!(qmp.status()?.as_str(), "shutdown" | "internal-error") {
        qmp.run("system_reset")?;
    }
    Ok(())
}

/// The guest shuts down by itself, as when somebody presses the button; what it says of its new boot is awaited.
fn reboot(
    folder: &LabFolder,
    qmp: &mut Qmp,
    machine: &Machine,
    progress: Progress,
) -> Result<(), LabError> {
    let said = || std::fs::read(console(folder, &machine.name)).unwrap_or_default();
    progress(&machine.name, "asked to power off");
    qmp.run("system_powerdown")?;
    await_status(qmp, "shutdown", POWER_OFF_TIMEOUT)?;
    let before = said().len();
    resume(qmp)?;
    progress(&machine.name, "powered on");
    if !machine.ours {
        return Ok(());
    }
    let deadline = Instant::now() + BOOT_TIMEOUT;
    let mut last = Stage::PowerOn;
    while !matches!(last, Stage::HostKey(_)) {
        if Instant::now() > deadline {
            return Err(LabError::new(format!(
                "not up again within {}",
                humantime::format_duration(BOOT_TIMEOUT)
            ))
            .hint(format!("`bootproof lab logs {}` shows its console", machine.name)));
        }
        sleep(POLL);
        let stage =
            stage_of_text(&String::from_utf8_lossy(said().get(before..).unwrap_or_default()));
        if stage != last {
            progress(&machine.name, &stage.describe());
            last = stage;
        }
    }
    Ok(())
}

fn await_status(qmp: &mut Qmp, wanted: &str, limit: Duration) -> Result<(), LabError> {
    let deadline = Instant::now() + limit;
    loop {
        let status = qmp.status()?;
        if status == wanted {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(LabError::new(format!(
                "still {status} after {}",
                humantime::format_duration(limit)
            )));
        }
        sleep(POLL);
    }
}
