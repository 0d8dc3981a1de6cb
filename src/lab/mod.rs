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

use crate::problem::hint_for_unknown;

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

    /// There is no lab.
    pub fn not_up() -> Self {
        Self::new("the lab is not up").hint("boot it with `bootproof lab up`")
    }

    /// A name that is none of the lab's VMs.
    pub fn unknown_vm<'a>(vm: &str, known: impl IntoIterator<Item = &'a str> + Clone) -> Self {
        Self::new(format!("there is no VM `{vm}` in the lab")).hint(hint_for_unknown(vm, known))
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
            std::fs::create_dir_all(&folder)
                .map_err(LabError::io(format!("make {}", folder.display())))?;
        }
        Ok(())
    }
}

/// Text from a console, without what would move a cursor or change a colour.
pub fn plain(text: &str) -> String {
    console::strip_ansi_codes(text)
        .chars()
        .filter(|c| !c.is_control() || matches!(c, '\n' | '\t'))
        .collect()
}

/// Does something to each, all at once, and waits for all; the first error counts.
pub fn at_once<T: Send>(
    items: impl IntoIterator<Item = T>,
    work: impl Fn(T) -> Result<(), LabError> + Sync,
) -> Result<(), LabError> {
    let work = &work;
    let results: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> =
            items.into_iter().map(|item| scope.spawn(move || work(item))).collect();
        threads.into_iter().map(std::thread::ScopedJoinHandle::join).collect()
    });
    results
        .into_iter()
        .try_for_each(|result| result.map_err(|_| LabError::new("a thread panicked"))?)
}

/// Told what is going on: a VM (or the lab, if empty) and a line.
pub type Progress<'a> = &'a (dyn Fn(&str, &str) + Sync);
