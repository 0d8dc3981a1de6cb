//! How many assertions got which verdict.

use schemars::JsonSchema;
use serde::Serialize;

use crate::outcome::VerdictKind;

/// How many assertions got which verdict.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Totals {
    /// All of the plan.
    pub assertions: usize,
    /// Looked, and it is so.
    pub passed: usize,
    /// Looked, and it is not so.
    pub failed: usize,
    /// Could not look.
    pub errored: usize,
    /// What it depends on could not be reached.
    pub blocked: usize,
    /// The run ended before.
    #[serde(rename = "not-run")]
    pub not_run: usize,
    /// The user did not select it.
    #[serde(rename = "not-selected")]
    pub not_selected: usize,
}

impl Totals {
    /// Counts verdicts.
    pub fn count(kinds: impl IntoIterator<Item = VerdictKind>) -> Self {
        let mut totals = Self::default();
        for kind in kinds {
            totals.assertions += 1;
            *match kind {
                VerdictKind::Passed => &mut totals.passed,
                VerdictKind::Failed => &mut totals.failed,
                VerdictKind::Errored => &mut totals.errored,
                VerdictKind::Blocked => &mut totals.blocked,
                VerdictKind::NotRun => &mut totals.not_run,
                VerdictKind::NotSelected => &mut totals.not_selected,
            } += 1;
        }
        totals
    }
}
