//! Where the lab keeps its files.

use std::path::PathBuf;

use crate::problem::Problem;

/// The lab's folder, by its absolute path.
#[derive(Debug, Clone)]
pub struct LabFolder(pub PathBuf);

impl LabFolder {
    /// Built images.
    pub fn images(&self) -> PathBuf {
        self.0.join("images")
    }

    /// The base system of the images.
    pub fn base(&self) -> PathBuf {
        self.0.join("base")
    }

    /// Logs of builds.
    pub fn logs(&self) -> PathBuf {
        self.0.join("logs")
    }

    /// State, disks and consoles of the lab that is up. After a failure they stay until the next
    /// `lab up`, so that one can read them.
    pub fn run(&self) -> PathBuf {
        self.0.join("run")
    }

    /// The kept state: what `run` was when `lab down --keep` took the lab down.
    pub fn kept(&self) -> PathBuf {
        self.0.join("kept")
    }

    /// Makes the folders that every command needs.
    pub fn create(&self) -> Result<(), Problem> {
        for folder in [self.images(), self.logs()] {
            std::fs::create_dir_all(&folder)
                .map_err(Problem::io(format!("make {}", folder.display())))?;
        }
        Ok(())
    }
}
