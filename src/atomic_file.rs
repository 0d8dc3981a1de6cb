//! Files that are there whole or not at all: each is written beside its place and then renamed.
//!
//! Whoever writes holds a shared lock on the folder. So whoever gets the lock exclusively knows
//! that nobody writes there, and may remove what killed processes left half written.

use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

/// How the name of a file begins while it is being written.
const UNFINISHED: &str = ".bootproof-unfinished-";

/// For everybody to read: CI servers and colleagues read reports, git keeps inventories.
pub const PUBLIC: u32 = 0o644;

/// For its owner only.
pub const PRIVATE: u32 = 0o600;

/// A program for everybody to run.
pub const PROGRAM: u32 = 0o755;

/// A file that is written but not yet in its place; dropped, it leaves nothing behind.
#[derive(Debug)]
pub struct UnfinishedFile {
    beside: NamedTempFile,
    path: PathBuf,
    /// Held until the file is in its place; not every file system has locks.
    _writing: io::Result<File>,
}

impl UnfinishedFile {
    /// Writes `text` beside `path`, in a folder that exists. `mode` is what the file will have.
    pub fn write(path: &Path, text: &str, mode: u32) -> io::Result<Self> {
        let folder = folder_of(path);
        let writing = lock_and_sweep(folder);
        let mut beside = tempfile::Builder::new().prefix(UNFINISHED).tempfile_in(folder)?;
        beside.write_all(text.as_bytes())?;
        // A temporary file is for its owner only, whatever the umask says.
        beside.as_file().set_permissions(Permissions::from_mode(mode))?;
        Ok(Self { beside, path: path.to_owned(), _writing: writing })
    }

    /// Where the file will be.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Puts the file in its place, over whatever file is there.
    pub fn finish(self) -> io::Result<()> {
        self.beside.persist(&self.path).map(drop).map_err(|error| error.error)
    }

    /// Puts the file in its place unless one is there: whether it did. What it holds is on the disk
    /// by then, so that a full disk shows here.
    pub fn finish_new(self) -> io::Result<bool> {
        self.beside.as_file().sync_all()?;
        match self.beside.persist_noclobber(&self.path) {
            Ok(_) => Ok(true),
            Err(failed) if failed.error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(failed) => Err(failed.error),
        }
    }
}

/// Replaces the file at `path` by one with `text` and `mode`, in one step; makes its folder.
pub fn write(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    make_folder(folder_of(path))?;
    UnfinishedFile::write(path, text, mode)?.finish()
}

/// Writes a new file at `path` in one step, and leaves one that is there as it is: whether it wrote.
pub fn write_new(path: &Path, text: &str, mode: u32) -> io::Result<bool> {
    make_folder(folder_of(path))?;
    UnfinishedFile::write(path, text, mode)?.finish_new()
}

/// Makes a folder, and those above it, unless it is there.
pub fn make_folder(path: &Path) -> io::Result<()> {
    fs::create_dir_all(path)
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Removes what killed processes left in a folder, unless somebody is writing there; then takes the
/// writers' lock.
fn lock_and_sweep(folder: &Path) -> io::Result<File> {
    let lock = File::open(folder)?;
    if lock.try_lock().is_ok() {
        for entry in folder.read_dir()?.flatten() {
            if entry.file_name().as_encoded_bytes().starts_with(UNFINISHED.as_bytes()) {
                // One that cannot be removed only takes room.
                let _ = fs::remove_file(entry.path());
            }
        }
        lock.unlock()?;
    }
    lock.lock_shared()?;
    Ok(lock)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = folder.read_dir().unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_has_its_text_and_mode_whatever_was_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/secret");
        write(&path, "one", PUBLIC).unwrap();
        write(&path, "two", PRIVATE).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "two");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_new_file_replaces_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/part");
        assert!(write_new(&path, "one", PUBLIC).unwrap());
        assert!(!write_new(&path, "two", PUBLIC).unwrap());
        assert_eq!(fs::read_to_string(&path).unwrap(), "one");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o644);
        assert_eq!(names(&folder.path().join("new")), ["part"]);
    }

    #[test]
    fn a_file_that_is_not_finished_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        drop(UnfinishedFile::write(&folder.path().join("report"), "half", PUBLIC).unwrap());
        assert!(names(folder.path()).is_empty());
    }

    #[test]
    fn leftovers_are_removed_but_not_while_somebody_writes() {
        let folder = tempfile::tempdir().unwrap();
        let other = UnfinishedFile::write(&folder.path().join("other"), "slow", PUBLIC).unwrap();
        let leftover = folder.path().join(format!("{UNFINISHED}killed"));
        fs::write(&leftover, "half").unwrap();
        write(&folder.path().join("report"), "whole", PUBLIC).unwrap();
        assert!(leftover.exists());
        other.finish().unwrap();
        write(&folder.path().join("report"), "whole", PUBLIC).unwrap();
        assert_eq!(names(folder.path()), ["other", "report"]);
    }
}
