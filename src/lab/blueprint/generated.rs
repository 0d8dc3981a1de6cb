//! A file that an import writes.

use std::path::PathBuf;

use serde::Serialize;

/// A file that an import writes.
#[derive(Debug)]
pub struct GeneratedFile {
    /// From the folder into which the blueprint is imported.
    pub path: PathBuf,
    /// What the file will contain.
    pub text: String,
    /// Whether the file is a program.
    pub executable: bool,
}

impl GeneratedFile {
    /// A file that is not a program.
    pub(super) fn new(path: impl Into<PathBuf>, text: String) -> Self {
        Self { path: path.into(), text, executable: false }
    }
}

/// A value as the text of a JSON file.
pub(super) fn json(value: &impl Serialize) -> String {
    let value = serde_json::to_value(value).unwrap_or_default();
    format!("{value:#}\n")
}
