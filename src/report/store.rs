//! Writes reports. A report is there whole or not at all.

use std::path::{Path, PathBuf};

use thiserror::Error;

use super::{Report, json, junit};
use crate::atomic_file;

/// A report that could not be written.
#[derive(Debug, Error)]
#[error("cannot write the report {}: {error}\n  hint: is there room, and may this user write there?", path.display())]
pub struct StoreError {
    path: PathBuf,
    error: std::io::Error,
}

/// Where the reports of a run go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destinations {
    /// JUnit XML.
    pub junit: Option<PathBuf>,
    /// JSON.
    pub json: Option<PathBuf>,
}

impl Destinations {
    /// `junit.xml` and `report.json` in a folder.
    pub fn in_folder(folder: &Path) -> Self {
        Self { junit: Some(folder.join("junit.xml")), json: Some(folder.join("report.json")) }
    }

    /// Their paths.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        [&self.junit, &self.json].into_iter().flatten().map(PathBuf::as_path)
    }

    /// Writes every report; one that fails does not keep the other from being written.
    pub fn write(&self, report: &Report) -> Vec<StoreError> {
        let junit = self.junit.as_ref().map(|path| replace(path, &junit::render(report)));
        let json = self.json.as_ref().map(|path| replace(path, &json::render(report)));
        [junit, json].into_iter().flatten().filter_map(Result::err).collect()
    }
}

fn replace(path: &Path, text: &str) -> Result<(), StoreError> {
    atomic_file::write(path, text, atomic_file::PUBLIC)
        .map_err(|error| StoreError { path: path.to_owned(), error })
}
