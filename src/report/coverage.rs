//! What the inventory declares and no assertion covers.

use schemars::JsonSchema;
use serde::Serialize;

use crate::spec::coverage::{Coverage, Uncovered};
use crate::spec::plan::Plan;

/// How much of what the inventory declares is looked at, whatever was selected.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct CoverageReport {
    /// How many VMs and ports are declared.
    pub declared: usize,
    /// Those at which no assertion looks.
    pub uncovered: Vec<UncoveredRow>,
    /// Whether they make the run red.
    pub required: bool,
}

/// A VM or a port at which no assertion looks.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct UncoveredRow {
    /// `uncovered::redis::9121`.
    pub id: String,
    /// The VM's name.
    pub vm: String,
    /// `no assertion looks at 9121/tcp of redis`.
    pub message: String,
}

impl CoverageReport {
    /// Of a plan.
    pub fn of(plan: &Plan) -> Self {
        let Coverage { declared, uncovered } = Coverage::of(plan);
        let row = |one: &Uncovered| UncoveredRow {
            id: format!("uncovered::{}", one.slug()),
            vm: one.vm.clone(),
            message: format!("no assertion looks at {}", one.describe()),
        };
        Self { declared, uncovered: uncovered.iter().map(row).collect(), required: false }
    }

    /// `10 of 10 declared VMs and ports are looked at`.
    pub fn describe(&self) -> String {
        let covered = self.declared - self.uncovered.len();
        format!("{covered} of {} declared VMs and ports are looked at", self.declared)
    }

    /// What makes the run red.
    pub fn failures(&self) -> &[UncoveredRow] {
        if self.required { &self.uncovered } else { &[] }
    }
}
