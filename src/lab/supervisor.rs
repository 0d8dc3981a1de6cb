//! The one process that outlives `lab up`: the parent of the switch, the gateway and the VMs.
//!
//! Every child dies with it, however it dies (`setpriv --pdeathsig`). Until `lab up` has succeeded,
//! it dies with `lab up`: when its standard input ends, it removes everything and exits. Only the
//! supervisor holds the lab's lock for long.

use std::fs::{self, File};
use std::io::BufRead;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::folder::LabFolder;
use super::qemu;
use super::state::{LabState, errors, exit_note, lock, ready_note, supervisor_pid, sweep};
use crate::problem::Problem;

/// What `lab up` writes to the supervisor once everything is up.
pub(super) const COMMIT: &str = "commit";

const POLL: Duration = Duration::from_millis(200);

/// QEMU loads memory and devices from the disk before the VM runs, and ends if it cannot.
const RESUME: [&str; 2] = ["-loadvm", qemu::KEPT_SNAPSHOT];

/// Runs until the lab is taken down; `lab up` has written the state before.
pub fn run(folder: &LabFolder) -> Result<(), Problem> {
    let _lock = take_lock(folder)?;
    let state =
        LabState::read(folder).ok_or_else(|| Problem::new("there is no state to start from"))?;
    let pid_file = supervisor_pid(folder);
    fs::write(&pid_file, std::process::id().to_string())
        .map_err(Problem::io(format!("write {}", pid_file.display())))?;
    let commit = watch_for_commit();
    let children = start_all(folder, &state)?;
    watch(folder, &state, &commit, children)
}

/// A child process and the name of its VM or part of the network.
struct NamedChild {
    name: String,
    process: Child,
}

fn start_all(folder: &LabFolder, state: &LabState) -> Result<Vec<NamedChild>, Problem> {
    let mut children = Vec::new();
    for (name, command) in [qemu::SWITCH, qemu::GATEWAY].into_iter().zip(&state.network) {
        children.push(start(folder, name, command.iter().map(String::as_str))?);
        if name == qemu::SWITCH {
            await_switch(state);
        }
    }
    for vm in &state.vms {
        let resume: &[_] = if state.resumed_from.is_some() { &RESUME } else { &[] };
        let command = vm.command.iter().map(String::as_str).chain(resume.iter().copied());
        children.push(start(folder, &vm.name, command)?);
    }
    Ok(children)
}

/// Waits until all children have ended. When this process ends earlier, the kernel kills them.
fn watch(
    folder: &LabFolder,
    state: &LabState,
    commit: &Receiver<()>,
    mut children: Vec<NamedChild>,
) -> Result<(), Problem> {
    let mut committed = false;
    while !children.is_empty() {
        sleep(POLL);
        children.retain_mut(|child| !has_ended(folder, child));
        match commit.try_recv() {
            Ok(()) => {
                committed = true;
                let note = ready_note(folder);
                File::create(&note).map_err(Problem::io(format!("write {}", note.display())))?;
            }
            Err(TryRecvError::Disconnected) if !committed => return undo(folder, state),
            Err(_) => {}
        }
    }
    Ok(())
}

/// `lab status` holds the lock for a moment to test whether it is free, so this waits a little.
fn take_lock(folder: &LabFolder) -> Result<File, Problem> {
    let deadline = Instant::now() + Duration::from_secs(2);
    loop {
        match lock(folder)? {
            Some(held) => return Ok(held),
            None if Instant::now() > deadline => {
                return Err(Problem::new("another supervisor holds the lab"));
            }
            None => sleep(Duration::from_millis(20)),
        }
    }
}

/// `lab up` ended before it succeeded: removes everything that it made.
fn undo(folder: &LabFolder, state: &LabState) -> Result<(), Problem> {
    // It may not have been written yet.
    let _ = fs::remove_file(&state.inventory);
    sweep(folder)
}

/// The gateway and the VMs need the switch's socket.
fn await_switch(state: &LabState) {
    let deadline = Instant::now() + Duration::from_secs(5);
    while !state.sockets.join("switch/ctl").exists() && Instant::now() < deadline {
        sleep(Duration::from_millis(20));
    }
}

/// Receives something when `lab up` commits; disconnected at the end of standard input.
fn watch_for_commit() -> Receiver<()> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if line == COMMIT && sender.send(()).is_err() {
                return;
            }
        }
    });
    receiver
}

fn start<'a>(
    folder: &LabFolder,
    name: &str,
    command: impl Iterator<Item = &'a str>,
) -> Result<NamedChild, Problem> {
    let log = errors(folder, name);
    let file = File::create(&log).map_err(Problem::io(format!("write {}", log.display())))?;
    let process = Command::new("setpriv")
        .args(["--pdeathsig", "KILL", "--"])
        .args(command)
        .current_dir(folder.run())
        // The switch ends when its input ends: it gets one that ends with the supervisor.
        .stdin(if name == qemu::SWITCH { Stdio::piped() } else { Stdio::null() })
        .stdout(Stdio::null())
        .stderr(file)
        .spawn()
        .map_err(Problem::io(format!("start {name}")))?;
    Ok(NamedChild { name: name.to_owned(), process })
}

/// Whether a child has ended; if so, notes its exit status for `lab status`.
fn has_ended(folder: &LabFolder, child: &mut NamedChild) -> bool {
    let Ok(Some(status)) = child.process.try_wait() else { return false };
    // Nothing but the display depends on it.
    let _ = fs::write(exit_note(&folder.run(), &child.name), status.to_string());
    true
}
