//! What is the same on many VMs, once: "one reader sees each problem once".

use std::collections::HashMap;

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::neutral::{OwnWords, without_patience};
use super::nodes::folded;
use super::row::ResultRow;
use super::text::harmless_line;
use super::vm::VmReport;
use crate::outcome::VerdictKind;

/// Results that say the same: one assertion, one verdict and one message, on one VM or many.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Group {
    /// The verdict.
    pub verdict: VerdictKind,
    /// The scenario's name.
    pub scenario: String,
    /// The test's name.
    pub test: String,
    /// The last part of the ids.
    pub name: String,
    /// Why it is not `passed`. If it differs from VM to VM only by the VM's own name and address,
    /// it has `<vm>` and `<address>` in their place.
    pub message: Option<String>,
    /// The VMs, in the order of the inventory.
    pub vms: Vec<String>,
    /// The same VMs as ClusterShell writes them: `web[01-40], db[1-8]`.
    pub nodes: String,
    /// The ids of the results, in the order of the VMs.
    pub ids: Vec<String>,
}

/// The VMs of a report: their order, and the words that mean each of them.
pub(super) struct Vms<'a>(HashMap<&'a str, (usize, OwnWords<'a>)>);

/// A text about a VM, and what it belongs to.
pub(super) struct Seen<'a, T> {
    pub(super) vm: &'a str,
    pub(super) text: String,
    pub(super) of: T,
}

/// A text that is the same on all these VMs.
pub(super) struct Same<'a, T> {
    /// With marks in place of the VM's own name and address, if it differs by them.
    pub(super) text: String,
    /// In the order of the inventory.
    pub(super) items: Vec<(&'a str, T)>,
}

/// The results of one assertion that have the same verdict.
pub(super) struct Fold<'a> {
    pub(super) verdict: VerdictKind,
    /// On how many VMs the assertion was selected.
    pub(super) of: usize,
    /// The messages, the most frequent one first.
    pub(super) messages: Vec<Same<'a, &'a ResultRow>>,
}

impl<'a> Vms<'a> {
    pub(super) fn of(vms: &'a [VmReport]) -> Self {
        let vms = vms.iter().enumerate();
        Self(vms.map(|(place, vm)| (vm.name.as_str(), (place, OwnWords::of(vm)))).collect())
    }

    /// The VM's own name and addresses replaced by marks.
    pub(super) fn neutral(&self, vm: &str, text: &str) -> String {
        self.0.get(vm).map_or_else(|| text.to_owned(), |(_, own)| own.replaced_in(text))
    }

    /// The VMs as a node set, each once.
    pub(super) fn nodes<'n>(&self, vms: impl Iterator<Item = &'n str>) -> String {
        let mut vms: Vec<&str> = vms.collect();
        vms.sort_by_key(|vm| self.place(vm));
        vms.dedup();
        harmless_line(&folded(vms))
    }

    fn place(&self, vm: &str) -> usize {
        self.0.get(vm).map_or(usize::MAX, |(place, _)| *place)
    }

    /// The texts that are the same, those of many VMs first.
    ///
    /// A text that several VMs have word for word stays as it is: a VM that is called `redis` says
    /// "redis is not installed", too.
    pub(super) fn fold<T>(&self, seen: Vec<Seen<'a, T>>) -> Vec<Same<'a, T>> {
        let texts = || seen.iter().map(|one| (one.vm, without_patience(&one.text)));
        let mut first_vm: HashMap<&str, &str> = HashMap::new();
        let mut shared: HashMap<&str, bool> = HashMap::new();
        for (vm, text) in texts() {
            let first = *first_vm.entry(text).or_insert(vm);
            *shared.entry(text).or_default() |= first != vm;
        }
        let key = |(vm, text): (&str, &str)| {
            let shared = shared[text];
            (shared, if shared { text.to_owned() } else { self.neutral(vm, text) })
        };
        let keys: Vec<(bool, String)> = texts().map(key).collect();
        let mut same: IndexMap<(bool, String), Vec<Seen<'a, T>>> = IndexMap::new();
        for (key, one) in keys.into_iter().zip(seen) {
            same.entry(key).or_default().push(one);
        }
        let mut same: Vec<Same<T>> =
            same.into_iter().map(|((_, text), seen)| self.same(text, seen)).collect();
        same.sort_by_key(|same| std::cmp::Reverse(same.items.len()));
        same
    }

    fn same<T>(&self, neutral: String, mut seen: Vec<Seen<'a, T>>) -> Same<'a, T> {
        seen.sort_by_key(|one| self.place(one.vm));
        let first = &seen[0];
        let is_of_one_vm = seen.iter().all(|one| one.vm == first.vm);
        let text = if is_of_one_vm { first.text.clone() } else { neutral };
        Same { text, items: seen.into_iter().map(|one| (one.vm, one.of)).collect() }
    }
}

impl Group {
    /// The groups of a report.
    pub(super) fn all_of(results: &[ResultRow], vms: &[VmReport]) -> Vec<Self> {
        let vms = Vms::of(vms);
        Fold::all_of(results, &vms).iter().flat_map(|fold| fold.groups(&vms)).collect()
    }
}

impl<'a, T> Same<'a, T> {
    /// The VMs, each as often as it has this text.
    pub(super) fn vms(&self) -> impl Iterator<Item = &'a str> {
        self.items.iter().map(|(vm, _)| *vm)
    }
}

impl<'a> Fold<'a> {
    /// The selected results as folds: in the order of the assertions, what is red first.
    pub(super) fn all_of(results: &'a [ResultRow], vms: &Vms<'a>) -> Vec<Self> {
        let mut assertions: IndexMap<_, Vec<&ResultRow>> = IndexMap::new();
        for row in results.iter().filter(|row| row.verdict != VerdictKind::NotSelected) {
            let key = (row.scenario.as_str(), row.test.as_str(), row.last_part());
            assertions.entry(key).or_default().push(row);
        }
        assertions.into_values().flat_map(|rows| Self::of_assertion(&rows, vms)).collect()
    }

    fn of_assertion(rows: &[&'a ResultRow], vms: &Vms<'a>) -> Vec<Self> {
        let mut verdicts: IndexMap<VerdictKind, Vec<Seen<'a, &'a ResultRow>>> = IndexMap::new();
        for &row in rows {
            let text = row.message.clone().unwrap_or_default();
            let seen = Seen { vm: row.vm.as_str(), text, of: row };
            verdicts.entry(row.verdict).or_default().push(seen);
        }
        verdicts.sort_by_key(|verdict, _| severity(*verdict));
        let of = rows.len();
        let fold = |(verdict, seen)| Self { verdict, of, messages: vms.fold(seen) };
        verdicts.into_iter().map(fold).collect()
    }

    /// Its results, message by message.
    pub(super) fn rows(&self) -> impl Iterator<Item = &'a ResultRow> {
        self.messages.iter().flat_map(|message| message.items.iter().map(|(_, row)| *row))
    }

    /// On how many VMs it is.
    pub(super) fn count(&self) -> usize {
        self.messages.iter().map(|message| message.items.len()).sum()
    }

    /// The id, if there is only one; otherwise with a star in place of the VM.
    pub(super) fn id(&self) -> String {
        let row = self.messages[0].items[0].1;
        if self.of == 1 { row.id.clone() } else { row.id_of_any_vm() }
    }

    /// `on 48 of 50`, or nothing if there is only one.
    pub(super) fn share(&self) -> String {
        share(self.count(), self.of)
    }

    /// As the JSON report shows it: a group for each message.
    pub(super) fn groups(&self, vms: &Vms) -> Vec<Group> {
        let group = |message: &Same<'a, &'a ResultRow>| {
            let row = message.items[0].1;
            let rows = || message.items.iter().map(|(_, row)| row);
            Group {
                verdict: self.verdict,
                scenario: row.scenario.clone(),
                test: row.test.clone(),
                name: row.last_part().to_owned(),
                message: row.message.is_some().then(|| message.text.clone()),
                vms: rows().map(|row| row.vm.clone()).collect(),
                nodes: vms.nodes(message.vms()),
                ids: rows().map(|row| row.id.clone()).collect(),
            }
        };
        self.messages.iter().map(group).collect()
    }
}

/// `on 48 of 50`, `on all 50`.
pub(super) fn share(count: usize, of: usize) -> String {
    if count == of { format!("on all {of}") } else { format!("on {count} of {of}") }
}

fn severity(verdict: VerdictKind) -> usize {
    use VerdictKind::{Blocked, Errored, Failed, NotRun, NotSelected, Passed};
    let order = [Failed, Errored, Blocked, NotRun, Passed, NotSelected];
    order.iter().position(|kind| *kind == verdict).unwrap_or(order.len())
}
