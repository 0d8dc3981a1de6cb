//! Writes the files of a blueprint: all of them or none.
//!
//! All files are written beside their places before the first one is renamed. If a rename fails,
//! the earlier ones are undone. Only a kill in between leaves a part, and the same import then
//! continues where it stopped.

use std::fs;
use std::path::{Path, PathBuf};

use super::generated::GeneratedFile;
use crate::atomic_file::{self, UnfinishedFile};
use crate::lab::recipe::has_recipe;
use crate::problem::Problem;

/// What an import does to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// The file does not exist yet.
    New,
    /// The file exists with the same content.
    Unchanged,
    /// The file exists with other content.
    Replaced,
}

/// What an import would do to a file.
pub fn change(into: &Path, file: &GeneratedFile) -> Change {
    match fs::read(into.join(&file.path)) {
        Ok(bytes) if bytes == file.text.as_bytes() => Change::Unchanged,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Change::New,
        // A file that cannot be read was not written by an import.
        _ => Change::Replaced,
    }
}

/// Folders of recipes that are not among `nodes`: `lab up` would boot them, too.
pub fn other_recipes(into: &Path, nodes: &[String]) -> Vec<String> {
    let entries = fs::read_dir(into.join("recipes")).into_iter().flatten().flatten();
    let folders = entries.filter(|entry| has_recipe(&entry.path()));
    let names = folders.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let mut others: Vec<_> = names.filter(|name| !nodes.contains(name)).collect();
    others.sort();
    others
}

/// Writes the files that do not exist yet or have other content.
pub fn write(into: &Path, files: &[GeneratedFile]) -> Result<(), Problem> {
    let mut undo = Undo::default();
    let done = place_all(into, files, &mut undo);
    if done.is_err() {
        undo.run();
    }
    done
}

fn place_all(into: &Path, files: &[GeneratedFile], undo: &mut Undo) -> Result<(), Problem> {
    let mut unfinished = Vec::new();
    for file in files.iter().filter(|file| change(into, file) != Change::Unchanged) {
        let path = into.join(&file.path);
        make_folder(path.parent().unwrap_or(into), undo)?;
        let mode = if file.executable { atomic_file::PROGRAM } else { atomic_file::PUBLIC };
        let written = UnfinishedFile::write(&path, &file.text, mode);
        unfinished.push(written.map_err(Problem::io(format!("write {}", path.display())))?);
    }
    for file in unfinished {
        let path = file.path().to_owned();
        let before = fs::read(&path).ok();
        file.finish().map_err(Problem::io(format!("write {}", path.display())))?;
        undo.files.push(ReplacedFile { path, before });
    }
    Ok(())
}

/// Makes a folder and those above it, and notes which are new.
fn make_folder(folder: &Path, undo: &mut Undo) -> Result<(), Problem> {
    let missing: Vec<_> = folder
        .ancestors()
        .take_while(|above| !above.as_os_str().is_empty() && !above.exists())
        .collect();
    for new in missing.into_iter().rev() {
        fs::create_dir(new).map_err(Problem::io(format!("make {}", new.display())))?;
        undo.folders.push(new.to_owned());
    }
    Ok(())
}

/// What has been done so far.
#[derive(Default)]
struct Undo {
    folders: Vec<PathBuf>,
    files: Vec<ReplacedFile>,
}

struct ReplacedFile {
    path: PathBuf,
    /// What the file contained before, if it existed.
    before: Option<Vec<u8>>,
}

impl Undo {
    /// Undoes what it can; the error that made this necessary is the one that is reported.
    fn run(self) {
        for file in self.files {
            let _ = match file.before {
                Some(bytes) => fs::write(&file.path, bytes),
                None => fs::remove_file(&file.path),
            };
        }
        for folder in self.folders.into_iter().rev() {
            let _ = fs::remove_dir(folder);
        }
    }
}
