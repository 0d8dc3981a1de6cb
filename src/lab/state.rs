//! What is known of the lab that is up, and whether it is.
//!
//! The supervisor holds a lock on a file for as long as it lives: that, and no number of a process, tells whether
//! the lab is up.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::{LabError, LabFolder};

/// The lab that is up, or is being brought up.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LabState {
    /// When it was started.
    pub started: SystemTime,
    /// `kvm` or `tcg`.
    pub accel: String,
    /// Folder of the control sockets; it has a short name, because a socket's must be short.
    pub sockets: PathBuf,
    /// The inventory that is written once the VMs are up.
    pub inventory: PathBuf,
    /// The switch and the gateway: programs with their arguments.
    pub network: Vec<Vec<String>>,
    /// The VMs.
    pub machines: Vec<Machine>,
}

/// One VM.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Machine {
    /// Its name.
    pub name: String,
    /// Program and arguments.
    pub command: Vec<String>,
    /// Port on 127.0.0.1 that leads to its sshd.
    pub ssh_port: u16,
    /// What it boots from.
    pub image: PathBuf,
    /// Whether the image is of our making, so that its console tells its host key.
    pub ours: bool,
    /// Memory in GiB.
    pub memory_gb: u32,
}

impl LabState {
    /// Its control socket.
    pub fn qmp(&self, machine: &str) -> PathBuf {
        self.sockets.join(format!("{machine}.qmp"))
    }

    /// The VMs of these names, all of them if there are none; an error for a name that is none of them.
    pub fn chosen(&self, names: &[String]) -> Result<Vec<&Machine>, LabError> {
        let known = || self.machines.iter().map(|machine| machine.name.as_str());
        if let Some(unknown) =
            names.iter().find(|name| !known().any(|known| known == name.as_str()))
        {
            return Err(LabError::unknown_vm(unknown, known()));
        }
        Ok(self
            .machines
            .iter()
            .filter(|one| names.is_empty() || names.contains(&one.name))
            .collect())
    }

    /// The state that was written last, if any.
    pub fn read(folder: &LabFolder) -> Option<Self> {
        serde_json::from_slice(&fs::read(folder.run().join("lab.json")).ok()?).ok()
    }

    /// Writes it down.
    pub fn write(&self, folder: &LabFolder) -> Result<(), LabError> {
        let text =
            serde_json::to_string_pretty(self).map_err(|error| LabError::new(error.to_string()))?;
        fs::write(folder.run().join("lab.json"), text)
            .map_err(LabError::io("write the lab's state"))
    }
}

/// The serial console of a VM.
pub fn console(folder: &LabFolder, machine: &str) -> PathBuf {
    folder.run().join(format!("{machine}.console"))
}

/// What a child process of the supervisor says on its standard error.
pub fn errors(folder: &LabFolder, child: &str) -> PathBuf {
    folder.run().join(format!("{child}.stderr"))
}

/// How a child process of the supervisor ended; absent while it runs.
pub fn exit_note(folder: &Path, child: &str) -> PathBuf {
    folder.join(format!("{child}.exit"))
}

/// There once `lab up` has said that all is well.
pub fn ready_note(folder: &LabFolder) -> PathBuf {
    folder.run().join("ready")
}

/// The host keys of the lab, for OpenSSH.
pub fn ssh_known_hosts(folder: &LabFolder) -> PathBuf {
    folder.run().join("ssh_known_hosts")
}

/// The process id of the supervisor.
pub fn supervisor_pid(folder: &LabFolder) -> PathBuf {
    folder.run().join("supervisor.pid")
}

/// The lock of the supervisor: `None` when another process holds it.
pub fn lock(folder: &LabFolder) -> Result<Option<File>, LabError> {
    let path = folder.0.join("lock");
    let file = File::options().create(true).append(true).open(&path);
    let file = file.map_err(LabError::io(format!("open {}", path.display())))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => {
            Err(LabError::io(format!("lock {}", path.display()))(error))
        }
    }
}

/// The state of the lab if it is up.
pub fn up(folder: &LabFolder) -> Result<Option<LabState>, LabError> {
    if !folder.0.exists() || lock(folder)?.is_some() {
        return Ok(None);
    }
    Ok(LabState::read(folder))
}

/// Removes what a lab that is down has left: disks, consoles, sockets.
pub fn sweep(folder: &LabFolder) -> Result<(), LabError> {
    if let Some(state) = LabState::read(folder) {
        // Our own temporary folder; it may be gone since the machine was restarted.
        let _ = fs::remove_dir_all(&state.sockets);
    }
    match fs::remove_dir_all(folder.run()) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(LabError::io(format!("remove {}", folder.run().display()))(error))
        }
        _ => Ok(()),
    }
}
