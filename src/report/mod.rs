//! The report: one record of a run, from which every format is rendered.
//!
//! Formats are pure functions of [`Report`] and know nothing of each other; [`store`] alone writes
//! files. The report reads what [`crate::record`] holds and knows nothing of the engine.

mod compare;
mod coverage;
pub mod explain;
mod fold;
pub mod json;
pub mod junit;
pub mod merge;
mod neutral;
pub mod nodes;
pub mod read;
pub mod redact;
mod row;
mod same;
mod shard;
mod spelling;
pub mod store;
pub mod terminal;
pub mod text;
mod totals;
mod vm;

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, SecondsFormat, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use coverage::{CoverageReport, UncoveredRow};
use explain::{Known, because};
pub use fold::Group;
use redact::Redactor;
pub use row::{ResultRow, WireRow};
pub use shard::{MergedPart, MergedReport, Part, ShardReport};
pub use totals::Totals;
pub use vm::{Evidence, Suspect, TimelineReport, VmReport};

use crate::outcome::{Outcome, Verdict, VerdictKind};
use crate::record::RunRecord;
use crate::spec::inventory::Vm;
use crate::spec::plan::{Plan, PlannedAssertion};

/// Raised when a reader of an older report would misread a newer one.
pub const SCHEMA_VERSION: u32 = 2;

/// Why the report on the disk says that the run did not finish, as long as it runs.
const UNFINISHED: &str = "the run has not finished";

/// A whole run.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[schemars(title = "bootproof report")]
pub struct Report {
    /// Version of this format.
    pub schema_version: u32,
    /// What wrote it.
    pub tool: Tool,
    /// The lab's name.
    pub lab: String,
    /// The inventory file, as given.
    pub inventory: String,
    /// The suite files, as given.
    pub suites: Vec<String>,
    /// Start of the run, RFC 3339 in UTC.
    pub started: String,
    /// End of the run, RFC 3339 in UTC.
    pub ended: String,
    /// How long it took, in milliseconds.
    pub duration_ms: u64,
    /// Whether the run finished.
    pub complete: bool,
    /// Why it did not finish.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stopped: Option<String>,
    /// Which shard it is about, if it is not about the whole run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shard: Option<ShardReport>,
    /// Which shards it was merged from, if it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub merged: Option<MergedReport>,
    /// How many assertions got which verdict.
    pub totals: Totals,
    /// Which declared VMs and ports have assertions.
    pub coverage: CoverageReport,
    /// The VMs, in the order of the inventory.
    pub vms: Vec<VmReport>,
    /// The assertions, in the order of the suites.
    pub results: Vec<ResultRow>,
    /// The same results folded: each selected result is in one group, with those that say the same
    /// about other VMs.
    pub groups: Vec<Group>,
}

/// What wrote a report.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Tool {
    /// `bootproof`.
    pub name: String,
    /// Its version.
    pub version: String,
}

impl Report {
    /// The report of a finished run, with every secret masked.
    pub fn new(plan: &Plan, finished: &RunRecord, redactor: &Redactor) -> Self {
        Self::of_part(plan, None, finished, redactor)
    }

    /// The report of a finished run of one part of the plan, or of all of it.
    pub fn of_part(
        plan: &Plan,
        part: Option<&Part>,
        finished: &RunRecord,
        redactor: &Redactor,
    ) -> Self {
        let scope = Scope { plan, part };
        let known = |other: &PlannedAssertion| {
            finished.outcomes.get(&other.id).map(|outcome| Known::of(other, outcome))
        };
        let row = |assertion: &PlannedAssertion| {
            let outcome = finished.outcomes.get(&assertion.id);
            let missing =
                || Outcome::without_attempt(Verdict::NotRun("it has no outcome".to_owned()));
            let outcome = outcome.cloned().unwrap_or_else(missing);
            let because = because(plan, assertion, outcome.verdict.kind(), known);
            ResultRow::new(assertion, &outcome, &because, redactor)
        };
        let results = scope.assertions().map(row).collect();
        let vm = |vm: &Vm| VmReport::new(vm, finished.vms.get(&vm.name), redactor);
        let vms = scope.vms().map(vm).collect();
        let stopped = finished.stop.map(|stop| stop.to_string());
        scope.report((finished.started, finished.ended), stopped, vms, results)
    }

    /// Whether every VM stayed the same during the run.
    pub fn is_stable(&self) -> bool {
        self.vms.iter().all(|vm| vm.unstable.is_empty())
    }

    /// The same report, in which missing coverage is red if `required`.
    #[must_use]
    pub fn with_coverage_required(mut self, required: bool) -> Self {
        self.coverage.required = required;
        self
    }

    /// Whether the verdicts are reliable, and coverage is complete if it is required.
    pub fn is_sound(&self) -> bool {
        self.is_stable() && self.coverage.failures().is_empty()
    }

    /// The report that is on the disk during the run. A killed run leaves this one, not an older
    /// one that looks new.
    pub fn unfinished(plan: &Plan, part: Option<&Part>, redactor: &Redactor) -> Self {
        let scope = Scope { plan, part };
        let now = Utc::now();
        let outcome = Outcome::without_attempt(Verdict::NotRun(UNFINISHED.to_owned()));
        let row = |assertion| ResultRow::new(assertion, &outcome, &[], redactor);
        let results = scope.assertions().map(row).collect();
        let vms = scope.vms().map(|vm| VmReport::new(vm, None, redactor)).collect();
        scope.report((now, now), Some(UNFINISHED.to_owned()), vms, results)
    }

    /// Whether it is such a report.
    pub fn is_unfinished(&self) -> bool {
        !self.complete && self.stopped.as_deref() == Some(UNFINISHED)
    }

    /// The VMs with a selected assertion.
    fn selected_vms(&self) -> Vec<&VmReport> {
        let selected = self.results.iter().filter(|row| row.verdict != VerdictKind::NotSelected);
        let names: HashSet<&str> = selected.map(|row| row.vm.as_str()).collect();
        self.vms.iter().filter(|vm| names.contains(vm.name.as_str())).collect()
    }

    /// The rows of each VM that has any, or that lacks coverage, in the order of the VMs.
    fn rows_by_vm(&self) -> Vec<(&VmReport, Vec<&ResultRow>)> {
        let mut rows: HashMap<&str, Vec<&ResultRow>> = HashMap::new();
        for row in &self.results {
            rows.entry(&row.vm).or_default().push(row);
        }
        for uncovered in self.coverage.failures() {
            rows.entry(&uncovered.vm).or_default();
        }
        self.vms.iter().filter_map(|vm| Some((vm, rows.remove(vm.name.as_str())?))).collect()
    }
}

/// What a report is about: a plan, or a part of it.
struct Scope<'a> {
    plan: &'a Plan,
    part: Option<&'a Part>,
}

impl<'a> Scope<'a> {
    fn assertions(&self) -> impl Iterator<Item = &'a PlannedAssertion> {
        let part = self.part;
        let assertions = self.plan.assertions.iter();
        assertions.filter(move |one| part.is_none_or(|part| part.has(one)))
    }

    fn vms(&self) -> impl Iterator<Item = &'a Vm> {
        let part = self.part;
        let vms = self.plan.inventory.vms.values();
        vms.filter(move |vm| part.is_none_or(|part| part.has_vm(&vm.name)))
    }

    fn report(
        &self,
        (started, ended): (DateTime<Utc>, DateTime<Utc>),
        stopped: Option<String>,
        vms: Vec<VmReport>,
        results: Vec<ResultRow>,
    ) -> Report {
        let plan = self.plan;
        let has_vm = |vm: &str| self.part.is_none_or(|part| part.has_vm(vm));
        let groups = Group::all_of(&results, &vms);
        Report {
            schema_version: SCHEMA_VERSION,
            tool: Tool {
                name: env!("CARGO_PKG_NAME").to_owned(),
                version: env!("CARGO_PKG_VERSION").to_owned(),
            },
            lab: plan.inventory.lab.clone(),
            inventory: plan.inventory.file.clone(),
            suites: plan.suite_files.clone(),
            started: started.to_rfc3339_opts(SecondsFormat::Millis, true),
            ended: ended.to_rfc3339_opts(SecondsFormat::Millis, true),
            duration_ms: u64::try_from((ended - started).num_milliseconds()).unwrap_or(0),
            complete: stopped.is_none(),
            stopped,
            shard: self.part.map(|part| part.shard.clone()),
            merged: None,
            totals: Totals::count(results.iter().map(|row| row.verdict)),
            coverage: CoverageReport::on(plan, has_vm),
            vms,
            results,
            groups,
        }
    }
}
