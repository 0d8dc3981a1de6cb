//! What the inventory declares and no assertion covers.

use schemars::JsonSchema;
use serde::Serialize;

use crate::spec::coverage::{Coverage, Uncovered};
use crate::spec::plan::Plan;

/// Which declared VMs and ports have assertions, whatever was selected.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct CoverageReport {
    /// How many VMs and ports the inventory declares.
    pub declared: usize,
    /// Those without an assertion.
    pub uncovered: Vec<UncoveredRow>,
    /// Whether `uncovered` makes the run red.
    pub required: bool,
}

/// A VM or a port without an assertion.
#[derive(Debug, Clone, Serialize, JsonSchema)]
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
        let Coverage { declared, uncovered } = Coverage::of(plan);
        let row = |one: &Uncovered| UncoveredRow {
            id: format!("uncovered::{}", one.slug()),
            vm: one.vm.clone(),
            message: format!("no assertion covers {}", one.describe()),
        };
        Self { declared, uncovered: uncovered.iter().map(row).collect(), required: false }
    }

    /// `10 of 10 declared VMs and ports have assertions`.
    pub fn describe(&self) -> String {
        let covered = self.declared - self.uncovered.len();
        format!("{covered} of {} declared VMs and ports have assertions", self.declared)
    }

    /// What makes the run red for lack of coverage.
    pub fn failures(&self) -> &[UncoveredRow] {
        if self.required { &self.uncovered } else { &[] }
    }
}
