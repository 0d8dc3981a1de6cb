//! The reference lab: recipes become bootable images, images become VMs on a private network.
//!
//! Nothing of the harness knows this module; it leaves `inventory/local.json` behind, and that is all they share.

pub mod blueprint;
pub mod control;
mod disk;
pub mod down;
pub mod image;
mod kvm;
mod local;
mod machine;
mod qmp;
pub mod recipe;
mod serial;
pub mod state;
pub mod supervisor;
pub mod up;

use std::path::PathBuf;

use thiserror::Error;

/// Something about the lab that did not work.
#[derive(Debug, Error)]
#[error("{message}{}", hint.as_ref().map_or(String::new(), |hint| format!("\n  hint: {hint}")))]
pub struct LabError {
    message: String,
    hint: Option<String>,
}

impl LabError {
    /// What happened.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), hint: None }
    }

    /// The same with advice.
    #[must_use]
    pub fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// The same, with the VM that it is about.
    #[must_use]
    pub fn about(self, vm: &str) -> Self {
        Self { message: format!("{vm}: {}", self.message), ..self }
    }

    /// For `map_err`: what could not be done, and why.
    pub fn io(doing: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let doing = doing.into();
        move |error| Self::new(format!("cannot {doing}: {error}"))
    }
}

/// Where the lab keeps its files.
#[derive(Debug, Clone)]
pub struct LabFolder(pub PathBuf);

impl LabFolder {
    /// Built images.
    pub fn images(&self) -> PathBuf {
        self.0.join("images")
    }

    /// Logs of builds.
    pub fn logs(&self) -> PathBuf {
        self.0.join("logs")
    }

    /// What belongs to the lab that is up: state, disks, consoles. It stays after a failure, until the next `lab up`.
    pub fn run(&self) -> PathBuf {
        self.0.join("run")
    }

    /// Makes what every command needs.
    pub fn create(&self) -> Result<(), LabError> {
        for folder in [self.images(), self.logs()] {
            std::fs::create_dir_all(&folder).map_err(LabError::io(format!("make {}", folder.display())))?;
        }
        Ok(())
    }
}

/// Text from a console, without what would move a cursor or change a colour.
pub fn plain(text: &str) -> String {
    console::strip_ansi_codes(text).chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\t')).collect()
}

/// Told what is going on: a VM (or the lab, if empty) and a line.
pub type Progress<'a> = &'a (dyn Fn(&str, &str) + Sync);
