//! Paths that an inventory names.

use std::path::{Path, PathBuf};

/// `path` as seen from `folder`; `~/` is the home folder.
pub(super) fn relative_to(folder: &Path, path: &Path) -> PathBuf {
    match (path.strip_prefix("~"), std::env::home_dir()) {
        (Ok(below), Some(home)) => home.join(below),
        _ => folder.join(path),
    }
}
