//! Writes reports. A report on the disk is whole: see [`crate::atomic_file`].

use std::path::{Path, PathBuf};

use super::{Report, json, junit, read};
use crate::atomic_file;
use crate::problem::Problem;

/// Where the reports of a run go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destinations {
    /// JUnit XML.
    pub junit: Option<PathBuf>,
    /// JSON.
    pub json: Option<PathBuf>,
    /// The folder in which the report of a shard is published, once.
    pub parts: Option<PathBuf>,
}

/// What became of a report that was to be published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Published {
    /// It is there now.
    New(PathBuf),
    /// Another report that says the same was there already.
    Same(PathBuf),
    /// Another file was there already, and was left as it is.
    Other(PathBuf),
}

impl Destinations {
    /// No reports at all.
    pub fn nowhere() -> Self {
        Self { junit: None, json: None, parts: None }
    }

    /// `junit.xml` and `report.json` in a folder.
    pub fn in_folder(folder: &Path) -> Self {
        let at = |name: &str| Some(folder.join(name));
        Self { junit: at("junit.xml"), json: at("report.json"), parts: None }
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

    /// Makes the folder for parts: that it cannot be made shows before hours of work.
    pub fn prepare_to_publish(&self) -> Result<(), Problem> {
        let Some(folder) = &self.parts else { return Ok(()) };
        atomic_file::make_folder(folder).map_err(|error| {
            Problem::io(format!("make the folder {}", folder.display()))(error).hint(CHECK)
        })
    }

    /// Puts the report of a shard where `merge` finds it, unless one is there already.
    pub fn publish(&self, report: &Report) -> Result<Option<Published>, Problem> {
        let (Some(folder), Some(name)) = (&self.parts, part_name(report)) else { return Ok(None) };
        let path = folder.join(name);
        let text = json::render(report);
        let written = atomic_file::write_new(&path, &text, atomic_file::PUBLIC)
            .map_err(not_written(&path))?;
        Ok(Some(match read::read(&path) {
            _ if written => Published::New(path),
            Ok(there) if there.says_the_same_as(report) => Published::Same(path),
            _ => Published::Other(path),
        }))
    }
}

/// The name of a part. One that was stopped does not take the place of one that is complete.
fn part_name(report: &Report) -> Option<String> {
    let shard = report.shard.as_ref()?;
    let stopped = if report.complete { "" } else { "-stopped" };
    Some(format!("shard-{}-of-{}{stopped}.json", shard.index, shard.count))
}

/// Puts `text` in the place of the file at `path`, in one step.
fn replace(path: &Path, text: &str) -> Result<(), Problem> {
    atomic_file::write(path, text, atomic_file::PUBLIC).map_err(not_written(path))
}

/// What a person can do about a report that was not written.
const CHECK: &str = "check the path, the free space, and this user's permission to write there";

fn not_written(path: &Path) -> impl FnOnce(std::io::Error) -> Problem {
    let doing = format!("write the report {}", path.display());
    |error| Problem::io(doing)(error).hint(CHECK)
}
