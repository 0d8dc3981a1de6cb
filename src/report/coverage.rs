//! What the inventory declares and no assertion covers.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::spec::coverage::{Coverage, Uncovered};
use crate::spec::plan::Plan;

/// Which declared VMs and ports have assertions, whatever was selected.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct CoverageReport {
    /// How many VMs and ports the inventory declares.
    pub declared: usize,
    /// Those without an assertion.
    pub uncovered: Vec<UncoveredRow>,
    /// Whether `uncovered` makes the run red.
    pub required: bool,
}

/// A VM or a port without an assertion.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct UncoveredRow {
    /// `uncovered::redis::9121`.
    pub id: String,
    /// The VM's name.
    pub vm: String,
    /// `no assertion covers 9121/tcp of redis`.
    pub message: String,
}

impl CoverageReport {
    /// The coverage of a plan.
    pub fn of(plan: &Plan) -> Self {
        Self::on(plan, |_| true)
    }

    /// The coverage of these VMs, by the assertions of the whole plan.
    pub(super) fn on(plan: &Plan, is_meant: impl Fn(&str) -> bool) -> Self {
        let Coverage { declared, uncovered } = Coverage::on(plan, is_meant);
        let row = |one: &Uncovered| UncoveredRow {
            id: format!("uncovered::{}", one.slug()),
            vm: one.vm.clone(),
            message: format!("no assertion covers {}", one.describe()),
        };
        Self { declared, uncovered: uncovered.iter().map(row).collect(), required: false }
    }

    /// `10 of 10 declared VMs and ports have assertions`.
    pub fn describe(&self) -> String {
        // A report that was read back may say anything.
        let covered = self.declared.saturating_sub(self.uncovered.len());
        format!("{covered} of {} declared VMs and ports have assertions", self.declared)
    }

    /// What makes the run red for lack of coverage.
    pub fn failures(&self) -> &[UncoveredRow] {
        if self.required { &self.uncovered } else { &[] }
    }
}
