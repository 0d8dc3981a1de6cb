//! A report about one shard of a run.

use std::collections::HashSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::spec::choice::Choice;
use crate::spec::digest::Digests;
use crate::spec::plan::{AssertionId, Plan, PlannedAssertion};
use crate::spec::shard::{Shard, ShardBy, needs_all_shards};

/// Which shard of which run a report is about. `merge` puts together what has the same `run_id`,
/// `count`, `by`, `digests` and `selection`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ShardReport {
    /// What the shards of one run have in common, and no other run has.
    pub run_id: String,
    /// Which shard it is, from 1.
    pub index: u32,
    /// How many shards the run has.
    pub count: u32,
    /// What stays together in one shard.
    pub by: ShardBy,
    /// What the run was made of.
    pub digests: Digests,
    /// What was selected of the whole run.
    pub selection: Choice,
}

/// A report about a whole run, of which each shard gave a report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MergedReport {
    /// What the shards of the run have in common.
    pub run_id: String,
    /// How many shards the run has.
    pub count: u32,
    /// What stays together in one shard.
    pub by: ShardBy,
    /// The shards that gave a report.
    pub parts: Vec<MergedPart>,
    /// The shards that gave none.
    pub missing: Vec<u32>,
}

/// One shard of a merged report. The times in its rows and VMs count from its own start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MergedPart {
    /// Which shard it is, from 1.
    pub index: u32,
    /// When it started, RFC 3339 in UTC.
    pub started: String,
    /// When it ended.
    pub ended: String,
    /// Why it did not finish.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stopped: Option<String>,
}

/// The part of a plan that a run is about.
#[derive(Debug, Clone)]
pub struct Part {
    /// Which one it is.
    pub shard: ShardReport,
    vms: HashSet<String>,
    /// What `merge` will judge, of the whole run.
    left_to_merge: Vec<AssertionId>,
    /// Whether the whole run has assertions to run, and this part none.
    is_empty: bool,
}

impl Part {
    /// The part of `plan` that is this shard, and what of `selected` is in it. `run_id` is what
    /// names the run; without one, its digests do.
    pub fn of(
        plan: &Plan,
        shard: Shard,
        by: ShardBy,
        selected: &HashSet<AssertionId>,
        (digests, selection, run_id): (Digests, Choice, Option<String>),
    ) -> (Self, HashSet<AssertionId>) {
        let shard_report = ShardReport {
            run_id: run_id.unwrap_or_else(|| run_id_of(&digests, &selection, shard.count(), by)),
            index: shard.index(),
            count: shard.count(),
            by,
            digests,
            selection,
        };
        let vms = shard.vms(by, &plan.inventory).into_iter().map(str::to_owned).collect();
        let left = plan.assertions.iter();
        let left = left.filter(|one| needs_all_shards(one) && selected.contains(&one.id));
        let left_to_merge = left.map(|one| one.id.clone()).collect();
        let mut part = Self { shard: shard_report, vms, left_to_merge, is_empty: false };
        let own = plan.assertions.iter().filter(|one| part.has(one) && selected.contains(&one.id));
        let own: HashSet<AssertionId> = own.map(|assertion| assertion.id.clone()).collect();
        part.is_empty = own.is_empty() && !selected.is_empty();
        (part, own)
    }

    /// Whether the report of this part has a row for an assertion.
    pub fn has(&self, assertion: &PlannedAssertion) -> bool {
        self.has_vm(&assertion.vm) && !needs_all_shards(assertion)
    }

    /// Whether the report of this part has a VM.
    pub fn has_vm(&self, vm: &str) -> bool {
        self.vms.contains(vm)
    }

    /// The assertions that `merge` will judge, by what the shards read of their VMs.
    pub fn left_to_merge(&self) -> &[AssertionId] {
        &self.left_to_merge
    }

    /// The VMs of this part.
    pub fn vms(&self) -> &HashSet<String> {
        &self.vms
    }

    /// Whether the whole run has assertions to run, and this part none: nothing is wrong then.
    pub fn is_empty(&self) -> bool {
        self.is_empty
    }
}

/// The same for all shards of a run, but also for the next run with the same files.
fn run_id_of(digests: &Digests, selection: &Choice, count: u32, by: ShardBy) -> String {
    let Choice { limit, exclude, filters, skip } = selection;
    let lists = [("limit", limit), ("exclude", exclude), ("filter", filters), ("skip", skip)];
    let words = lists
        .into_iter()
        .flat_map(|(name, words)| std::iter::once(name).chain(words.iter().map(String::as_str)));
    let count = count.to_string();
    let digest = digests.all([count.as_str(), by.word()].into_iter().chain(words));
    format!("files-{}", &digest[..16])
}
