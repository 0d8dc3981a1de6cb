//! Paths that an inventory names.

use std::path::{Component, Path, PathBuf};

/// `path` as seen from `folder`; `~/` is the home folder. `inventory/../suites` becomes `suites`,
/// because people read these paths in reports.
pub(super) fn relative_to(folder: &Path, path: &Path) -> PathBuf {
    match (path.strip_prefix("~"), std::env::home_dir()) {
        (Ok(below), Some(home)) => home.join(below),
        _ => without_detours(&folder.join(path)),
    }
}

fn without_detours(path: &Path) -> PathBuf {
    let mut direct = PathBuf::new();
    for component in path.components() {
        let returns = component == Component::ParentDir
            && matches!(direct.components().next_back(), Some(Component::Normal(_)));
        if returns {
            direct.pop();
        } else {
            direct.push(component);
        }
    }
    direct
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn detours_are_left_out() {
        for (folder, path, seen) in [
            ("inventory", "../suites/a.json", "suites/a.json"),
            ("", "../suites/a.json", "../suites/a.json"),
            ("../labs/x", "../../a.json", "../a.json"),
            ("/srv/labs", "../../../a.json", "/../a.json"),
            ("labs", "/etc/b.json", "/etc/b.json"),
            ("labs", "./a.json", "labs/a.json"),
        ] {
            let found = relative_to(Path::new(folder), Path::new(path));
            assert_eq!(found, Path::new(seen), "{folder} {path}");
        }
    }
}
