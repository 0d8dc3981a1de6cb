//! Writes reports. A report on the disk is whole: see [`crate::atomic_file`].

use std::path::{Path, PathBuf};

use super::{Report, json, junit};
use crate::atomic_file;
use crate::problem::Problem;

/// Where the reports of a run go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destinations {
    /// JUnit XML.
    pub junit: Option<PathBuf>,
    /// JSON.
    pub json: Option<PathBuf>,
}

impl Destinations {
    /// No reports at all.
    pub fn nowhere() -> Self {
        Self { junit: None, json: None }
    }

    /// `junit.xml` and `report.json` in a folder.
    pub fn in_folder(folder: &Path) -> Self {
        Self { junit: Some(folder.join("junit.xml")), json: Some(folder.join("report.json")) }
    }

    /// Their paths.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        [&self.junit, &self.json].into_iter().flatten().map(PathBuf::as_path)
    }

    /// Their paths, as text.
    pub fn names(&self) -> String {
        let names: Vec<_> = self.paths().map(|path| path.display().to_string()).collect();
        names.join(", ")
    }

    /// Writes every report, also after one of them fails; returns what went wrong.
    pub fn write(&self, report: &Report) -> Vec<Problem> {
        let junit = self.junit.as_ref().map(|path| replace(path, &junit::render(report)));
        let json = self.json.as_ref().map(|path| replace(path, &json::render(report)));
        [junit, json].into_iter().flatten().filter_map(Result::err).collect()
    }
}

/// Puts `text` in the place of the file at `path`, in one step.
fn replace(path: &Path, text: &str) -> Result<(), Problem> {
    atomic_file::write(path, text, atomic_file::PUBLIC).map_err(|error| {
        Problem::io(format!("write the report {}", path.display()))(error)
            .hint("check the path, the free space, and this user's permission to write there")
    })
}
