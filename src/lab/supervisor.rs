//! The one process that outlives `lab up`: parent of the switch, the gateway and the VMs.
//!
//! Every child dies with it, however it dies (`setpriv --pdeathsig`). Until `lab up` says that all is well, it dies
//! with `lab up`: the end of its standard input is its end. It is the only keeper of the lock.

use std::fs::{self, File};
use std::io::BufRead;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::state::{LabState, errors, exit_note, lock, ready_note, supervisor_pid, sweep};
use super::{LabError, LabFolder, machine};

/// What `lab up` writes when all is well.
pub(super) const COMMIT: &str = "commit";

const POLL: Duration = Duration::from_millis(200);

/// Runs until the lab is taken down; needs the state that `lab up` has written.
pub fn run(folder: &LabFolder) -> Result<(), LabError> {
    let _lock = take_lock(folder)?;
    let state =
        LabState::read(folder).ok_or_else(|| LabError::new("there is no state to start from"))?;
    fs::write(supervisor_pid(folder), std::process::id().to_string())
        .map_err(LabError::io("write the process id"))?;
    let word = standard_input();
    let mut children = Vec::new();
    for (name, command) in [machine::SWITCH, machine::GATEWAY].into_iter().zip(&state.network) {
        children.push((name.to_owned(), start(folder, name, command)?));
        if name == machine::SWITCH {
            await_switch(&state);
        }
    }
    for machine in &state.machines {
        children.push((machine.name.clone(), start(folder, &machine.name, &machine.command)?));
    }
    let mut committed = false;
    // When we leave, the children are killed by the kernel: it is told to by setpriv.
    while !children.is_empty() {
        sleep(POLL);
        children.retain_mut(|(name, child)| !note_end(folder, name, child));
        match word.try_recv() {
            Ok(()) => {
                committed = true;
                File::create(ready_note(folder)).map_err(LabError::io("note that all is well"))?;
            }
            Err(TryRecvError::Disconnected) if !committed => return undo(folder, &state),
            Err(_) => {}
        }
    }
    Ok(())
}

/// A `lab status` that looks whether the lock is free holds it for a moment.
fn take_lock(folder: &LabFolder) -> Result<File, LabError> {
    let deadline = Instant::now() + Duration::from_secs(2);
    loop {
        match lock(folder)? {
            Some(held) => return Ok(held),
            None if Instant::now() > deadline => {
                return Err(LabError::new("another supervisor holds the lab"));
            }
            None => sleep(Duration::from_millis(20)),
        }
    }
}

/// `lab up` is gone before all was well: nothing of it stays.
fn undo(folder: &LabFolder, state: &LabState) -> Result<(), LabError> {
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

/// Tells of a commit; disconnected at the end of standard input.
fn standard_input() -> Receiver<()> {
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

fn start(folder: &LabFolder, name: &str, command: &[String]) -> Result<Child, LabError> {
    let file = File::create(errors(folder, name)).map_err(LabError::io("write a log"))?;
    let child = Command::new("setpriv")
        .args(["--pdeathsig", "KILL", "--"])
        .args(command)
        .current_dir(folder.run())
        // The switch ends at the end of its input: it gets one that ends with us.
        .stdin(if name == machine::SWITCH { Stdio::piped() } else { Stdio::null() })
        .stdout(Stdio::null())
        .stderr(file)
        .spawn();
    child.map_err(LabError::io(format!("start {name}")))
}

/// Writes down how a child ended; `true` once it has.
fn note_end(folder: &LabFolder, name: &str, child: &mut Child) -> bool {
    match child.try_wait() {
        Ok(Some(status)) => {
            // Only for `lab status`; nothing is lost without it.
            let _ = fs::write(exit_note(&folder.run(), name), status.to_string());
            true
        }
        _ => false,
    }
}
