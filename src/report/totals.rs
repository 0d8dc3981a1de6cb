//! How many assertions got which verdict.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::outcome::VerdictKind;

/// How many assertions got which verdict.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Totals {
    /// All assertions of the plan.
    pub assertions: usize,
    /// As expected.
    pub passed: usize,
    /// Not as expected.
    pub failed: usize,
    /// bootproof could not look, or could not decide.
    pub errored: usize,
    /// A needed VM cannot be asked.
    pub blocked: usize,
    /// The run ended first.
    #[serde(rename = "not-run")]
    pub not_run: usize,
    /// Not selected.
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
