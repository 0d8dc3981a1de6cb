//! Writes what a plan was turned into: all files or none.
//!
//! Each is written beside its name and renamed; when a rename fails, those before it are taken back. Only a kill in
//! between leaves some, and the same import then goes on where it ended.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use super::PlannedFile;
use crate::lab::LabError;

/// What becomes of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It is new.
    New,
    /// It stands there as it should.
    Same,
    /// Something else stands there.
    Differs,
}

/// What would become of a file.
pub fn change(into: &Path, file: &PlannedFile) -> Change {
    match fs::read(into.join(&file.path)) {
        Ok(bytes) if bytes == file.text.as_bytes() => Change::Same,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Change::New,
        // What cannot be read is not ours, either.
        _ => Change::Differs,
    }
}

/// Folders of recipes that are not among `nodes`: the lab harness would boot them, too.
pub fn other_recipes(into: &Path, nodes: &[String]) -> Vec<String> {
    let entries = fs::read_dir(into.join("recipes")).into_iter().flatten().flatten();
    let folders = entries.filter(|entry| entry.path().join("recipe.json").exists());
    let names = folders.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let mut others: Vec<_> = names.filter(|name| !nodes.contains(name)).collect();
    others.sort();
    others
}

/// Writes the files that are not there as they should be.
pub fn write(into: &Path, files: &[PlannedFile]) -> Result<(), LabError> {
    let mut undo = Undo::default();
    let done = place_all(into, files, &mut undo);
    if done.is_err() {
        undo.run();
    }
    done
}

fn place_all(into: &Path, files: &[PlannedFile], undo: &mut Undo) -> Result<(), LabError> {
    let mut ready = Vec::new();
    for file in files.iter().filter(|file| change(into, file) != Change::Same) {
        let path = into.join(&file.path);
        let folder = path.parent().unwrap_or(into);
        make_folder(folder, undo)?;
        ready.push((
            written_beside(folder, file)
                .map_err(LabError::io(format!("write {}", path.display())))?,
            path,
        ));
    }
    for (file, path) in ready {
        let before = fs::read(&path).ok();
        file.persist(&path)
            .map_err(|error| LabError::io(format!("write {}", path.display()))(error.error))?;
        undo.files.push((path, before));
    }
    Ok(())
}

fn written_beside(folder: &Path, file: &PlannedFile) -> std::io::Result<NamedTempFile> {
    let mut beside = tempfile::Builder::new().prefix(".bootproof-").tempfile_in(folder)?;
    beside.write_all(file.text.as_bytes())?;
    // A temporary file is for its owner only.
    let mode = if file.executable { 0o755 } else { 0o644 };
    beside.as_file().set_permissions(fs::Permissions::from_mode(mode))?;
    Ok(beside)
}

/// Makes a folder and those above it, and notes which are new.
fn make_folder(folder: &Path, undo: &mut Undo) -> Result<(), LabError> {
    let missing: Vec<_> = folder
        .ancestors()
        .take_while(|above| !above.as_os_str().is_empty() && !above.exists())
        .collect();
    for new in missing.into_iter().rev() {
        fs::create_dir(new).map_err(LabError::io(format!("make {}", new.display())))?;
        undo.folders.push(new.to_owned());
    }
    Ok(())
}

/// What was done so far.
#[derive(Default)]
struct Undo {
    folders: Vec<PathBuf>,
    /// With what stood there before.
    files: Vec<(PathBuf, Option<Vec<u8>>)>,
}

impl Undo {
    /// As far as it goes: the error that led here is the one that is told.
    fn run(self) {
        for (path, before) in self.files {
            let _ = match before {
                Some(bytes) => fs::write(&path, bytes),
                None => fs::remove_file(&path),
            };
        }
        for folder in self.folders.into_iter().rev() {
            let _ = fs::remove_dir(folder);
        }
    }
}
