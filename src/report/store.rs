//! Writes reports. A report on the disk is whole: bootproof writes it beside its name and renames it.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::{Report, json, junit};
use crate::problem::Problem;

/// How the name of a report begins while it is written.
const BESIDE: &str = ".bootproof-report-";

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
    let failed = |error| {
        Problem::io(format!("write the report {}", path.display()))(error)
            .hint("is there room, and may this user write there?")
    };
    let folder =
        path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).map_err(failed)?;
    let _writing = sweep(folder);
    let mut file = tempfile::Builder::new().prefix(BESIDE).tempfile_in(folder).map_err(failed)?;
    file.write_all(text.as_bytes()).map_err(failed)?;
    // A temporary file is for its owner only; a report is read by others: CI servers, colleagues.
    file.as_file().set_permissions(std::fs::Permissions::from_mode(0o644)).map_err(failed)?;
    file.persist(path).map_err(|error| failed(error.error))?;
    Ok(())
}

/// Takes away what runs that were killed left half written. Who writes holds a shared lock on the folder, which is
/// returned: whoever gets it alone knows that nobody writes. Without locks, or with a run under way, it stays.
fn sweep(folder: &Path) -> std::io::Result<File> {
    let lock = File::open(folder)?;
    if lock.try_lock().is_ok() {
        for entry in folder.read_dir()?.flatten() {
            if entry.file_name().as_encoded_bytes().starts_with(BESIDE.as_bytes()) {
                let _ = std::fs::remove_file(entry.path());
            }
        }
        lock.unlock()?;
    }
    lock.lock_shared()?;
    Ok(lock)
}
