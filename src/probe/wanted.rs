//! What the assertions of a run ask about one VM.

use std::collections::BTreeSet;

use crate::assertion::Expectation;

/// The names of everything that one look can answer for several assertions.
#[derive(Debug, Default)]
pub struct Wanted {
    pub(super) units: BTreeSet<String>,
    /// Users of processes.
    pub(super) process_users: BTreeSet<String>,
    pub(super) users: BTreeSet<String>,
    pub(super) groups: BTreeSet<String>,
    files: [BTreeSet<String>; 2],
    contents: [BTreeSet<String>; 2],
}

impl Wanted {
    /// What these assertions ask.
    pub fn of<'a>(expectations: impl IntoIterator<Item = &'a Expectation>) -> Self {
        let mut wanted = Self::default();
        for expectation in expectations {
            wanted.add(expectation);
        }
        wanted
    }

    fn add(&mut self, expectation: &Expectation) {
        match expectation {
            Expectation::ServiceRunning(it) => {
                self.units.insert(it.unit());
            }
            Expectation::ServiceEnabled(it) => {
                self.units.insert(it.unit());
            }
            Expectation::ProcessRunning(it) => self.process_users.extend(it.user.clone()),
            Expectation::FileExists(it) => {
                self.files[usize::from(it.run_as_root)].insert(it.path.clone());
            }
            Expectation::FileContains(it) => {
                self.contents[usize::from(it.run_as_root)].insert(it.path.clone());
            }
            Expectation::UserExists(it) => {
                self.users.insert(it.user.clone());
                self.groups.extend(it.groups.iter().cloned());
            }
            Expectation::GroupExists(it) => {
                self.groups.insert(it.group.clone());
            }
            _ => {}
        }
    }

    /// Paths that the user who logs in, or root, looks at.
    pub(super) fn files(&self, run_as_root: bool) -> &BTreeSet<String> {
        &self.files[usize::from(run_as_root)]
    }

    /// Paths of files that the user who logs in, or root, reads.
    pub(super) fn contents(&self, run_as_root: bool) -> &BTreeSet<String> {
        &self.contents[usize::from(run_as_root)]
    }
}
