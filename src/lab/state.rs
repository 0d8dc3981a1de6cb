//! What is known of the lab that is up, and whether it is up.
//!
//! The supervisor holds a lock on a file for as long as it lives. The lock, not a process id, says
//! whether the lab is up.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::folder::LabFolder;
use crate::problem::{Problem, hint_for_unknown};

/// The lab that is up, or is being brought up.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LabState {
    /// When it was started.
    pub started: SystemTime,
    /// `kvm` or `tcg`.
    pub accel: String,
    /// The version of QEMU, as QEMU itself prints it.
    #[serde(default)]
    pub qemu: String,
    /// Folder of the control sockets. Its name is short, because a socket's path has at most 107
    /// bytes.
    pub sockets: PathBuf,
    /// The inventory that `lab up` writes once the VMs are up.
    pub inventory: PathBuf,
    /// Command lines of the switch and the gateway.
    pub network: Vec<Vec<String>>,
    /// When the state was kept that the VMs were resumed from; absent after a cold boot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resumed_from: Option<SystemTime>,
    /// The VMs.
    #[serde(alias = "machines")]
    pub vms: Vec<LabVm>,
}

/// One VM of the lab.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LabVm {
    /// Its name.
    pub name: String,
    /// QEMU's command line.
    pub command: Vec<String>,
    /// Port on 127.0.0.1 that leads to its sshd.
    pub ssh_port: u16,
    /// The file that it boots from.
    pub image: PathBuf,
    /// Whether bootproof built the image, so that its console shows its host key.
    #[serde(alias = "ours")]
    pub built_here: bool,
    /// Memory in GiB.
    pub memory_gb: u32,
}

impl LabState {
    /// The control socket of a VM's QEMU.
    pub fn qmp(&self, vm: &str) -> PathBuf {
        self.sockets.join(format!("{vm}.qmp"))
    }

    /// The VMs with these names, or all if there are none; an unknown name is an error.
    pub fn select(&self, names: &[String]) -> Result<Vec<&LabVm>, Problem> {
        let known = || self.vms.iter().map(|vm| vm.name.as_str());
        match names.iter().find(|name| !known().any(|known| known == name.as_str())) {
            Some(unknown) => Err(unknown_vm(unknown, known())),
            None => Ok(self
                .vms
                .iter()
                .filter(|vm| names.is_empty() || names.contains(&vm.name))
                .collect()),
        }
    }

    /// The state that was written last, if there is one.
    pub fn read(folder: &LabFolder) -> Option<Self> {
        serde_json::from_slice(&fs::read(state_file(folder)).ok()?).ok()
    }

    /// Writes the state into the lab's folder.
    pub fn write(&self, folder: &LabFolder) -> Result<(), Problem> {
        let path = state_file(folder);
        let text =
            serde_json::to_string_pretty(self).map_err(|error| Problem::new(error.to_string()))?;
        fs::write(&path, text).map_err(Problem::io(format!("write {}", path.display())))
    }
}

/// For commands that need a lab when there is none.
pub fn not_up() -> Problem {
    Problem::new("the lab is not up").hint("boot it with `bootproof lab up`")
}

/// A name that no VM of the lab has.
pub fn unknown_vm<'a>(name: &str, known: impl IntoIterator<Item = &'a str> + Clone) -> Problem {
    Problem::new(format!("the lab has no VM `{name}`")).hint(hint_for_unknown(name, known))
}

fn state_file(folder: &LabFolder) -> PathBuf {
    folder.run().join("lab.json")
}

/// Log of a VM's serial console.
pub fn console(folder: &LabFolder, vm: &str) -> PathBuf {
    folder.run().join(format!("{vm}.console"))
}

/// What a child process of the supervisor writes on its standard error.
pub fn errors(folder: &LabFolder, child: &str) -> PathBuf {
    folder.run().join(format!("{child}.stderr"))
}

/// Holds the exit status of a child process of the supervisor; absent while the process runs.
pub fn exit_note(folder: &Path, child: &str) -> PathBuf {
    folder.join(format!("{child}.exit"))
}

/// Exists once `lab up` has finished successfully.
pub fn ready_note(folder: &LabFolder) -> PathBuf {
    folder.run().join("ready")
}

/// The host keys of the lab, for OpenSSH.
pub fn ssh_known_hosts(folder: &LabFolder) -> PathBuf {
    folder.run().join("ssh_known_hosts")
}

/// Holds the process id of the supervisor.
pub fn supervisor_pid(folder: &LabFolder) -> PathBuf {
    folder.run().join("supervisor.pid")
}

/// Takes the supervisor's lock; `None` if another process holds it.
pub fn lock(folder: &LabFolder) -> Result<Option<File>, Problem> {
    let path = folder.0.join("lock");
    let file = File::options().create(true).append(true).open(&path);
    let file = file.map_err(Problem::io(format!("open {}", path.display())))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => {
            Err(Problem::io(format!("lock {}", path.display()))(error))
        }
    }
}

/// The state of the lab if it is up.
pub fn up(folder: &LabFolder) -> Result<Option<LabState>, Problem> {
    if !folder.0.exists() || lock(folder)?.is_some() {
        return Ok(None);
    }
    Ok(LabState::read(folder))
}

/// Removes disks, consoles and sockets of a lab that is down.
pub fn sweep(folder: &LabFolder) -> Result<(), Problem> {
    if let Some(state) = LabState::read(folder) {
        // bootproof's own temporary folder; after a restart of this machine it may be gone.
        let _ = fs::remove_dir_all(&state.sockets);
    }
    match fs::remove_dir_all(folder.run()) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Problem::io(format!("remove {}", folder.run().display()))(error))
        }
        _ => Ok(()),
    }
}
