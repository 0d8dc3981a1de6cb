//! Reads a report back: `merge` does, and whatever else compares or renders reports of older runs.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use serde::Deserialize;
use serde_json::error::Category;

use super::{Report, SCHEMA_VERSION};
use crate::problem::Problem;

/// Why a report was not read. Each problem has the file's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unreadable {
    /// It is not a report that this bootproof can read.
    Wrong(Problem),
    /// It is not there, or only its beginning is: somebody may be copying it.
    Incomplete(Problem),
    /// Its run has not ended.
    Unfinished(Problem),
}

impl Unreadable {
    /// Whether the file may yet become a report.
    pub fn may_come(&self) -> bool {
        !matches!(self, Self::Wrong(_))
    }
}

impl From<Unreadable> for Problem {
    fn from(unreadable: Unreadable) -> Self {
        match unreadable {
            Unreadable::Wrong(it) | Unreadable::Incomplete(it) | Unreadable::Unfinished(it) => it,
        }
    }
}

/// What every version of the format has.
#[derive(Deserialize)]
struct Head {
    schema_version: u32,
    tool: Name,
}

#[derive(Deserialize)]
struct Name {
    name: String,
}

/// Reads the report of a run that has ended.
pub fn read(path: &Path) -> Result<Report, Unreadable> {
    let file = path.display().to_string();
    let bytes = fs::read(path).map_err(|error| {
        let kind = match error.kind() {
            ErrorKind::NotFound => Unreadable::Incomplete,
            _ => Unreadable::Wrong,
        };
        let problem = Problem::io(format!("read the report {file}"))(error);
        kind(problem.hint("is the name right, and may this user read it?"))
    })?;
    parse(&file, &bytes)
}

/// The report in `bytes`; `file` names it in messages.
pub fn parse(file: &str, bytes: &[u8]) -> Result<Report, Unreadable> {
    let head: Head = serde_json::from_slice(bytes).map_err(|error| no_report(file, &error))?;
    if head.tool.name != env!("CARGO_PKG_NAME") {
        return Err(wrong(file, format!("this is a report of {}", head.tool.name)).into());
    }
    check_version(file, head.schema_version)?;
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let report: Report = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        Problem { path, ..wrong(file, format!("this is not a report: {}", error.inner())) }
    })?;
    if report.is_unfinished() {
        return Err(unfinished(file));
    }
    Ok(report)
}

fn no_report(file: &str, error: &serde_json::Error) -> Unreadable {
    match error.classify() {
        Category::Eof => Unreadable::Incomplete(
            wrong(file, format!("the report is cut off at line {}", error.line()))
                .hint("copy it again, or run the check again"),
        ),
        _ => wrong(file, format!("this is not a report: {error}")).into(),
    }
}

fn check_version(file: &str, version: u32) -> Result<(), Problem> {
    if version == SCHEMA_VERSION {
        return Ok(());
    }
    let who = if version > SCHEMA_VERSION { "a newer" } else { "an older" };
    let message = format!(
        "the report is by {who} bootproof: its schema_version is {version}, and this one reads \
         {SCHEMA_VERSION}"
    );
    Err(wrong(file, message).hint("use the same version of bootproof for all of a run"))
}

fn unfinished(file: &str) -> Unreadable {
    let problem = wrong(file, "the run has not finished")
        .hint("it is still running, or it was killed; only its end writes the report");
    Unreadable::Unfinished(problem)
}

fn wrong(file: &str, message: impl Into<String>) -> Problem {
    Problem { file: Some(file.to_owned()), ..Problem::new(message) }
        .hint("`check --report-json FILE` writes a report")
}

impl From<Problem> for Unreadable {
    fn from(problem: Problem) -> Self {
        Self::Wrong(problem)
    }
}
