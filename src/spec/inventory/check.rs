//! Checks that need the whole inventory.

use std::collections::BTreeSet;
use std::time::Duration;

use indexmap::IndexMap;

use super::file::InventoryFile;
use super::vm::{Via, Vm};
use crate::problem::{Problem, did_you_mean, hint_for_unknown};
use crate::spec::duration::Span;
use crate::spec::source::Source;

/// `prove` shows that a clock that is an hour off is noticed, so a larger bound could not be
/// proven.
const CLOCKS_WITHIN_AT_MOST: Duration = Duration::from_mins(30);

/// All problems that do not belong to one VM.
pub(super) fn problems(
    source: &Source,
    file: &InventoryFile,
    vms: &IndexMap<String, Vm>,
) -> Vec<Problem> {
    let mut problems = Vec::new();
    if file.vms.is_empty() {
        problems.push(source.problem("vms", "the inventory has no VM").hint("add at least one"));
    }
    problems.extend(groups(source, file));
    problems.extend(suites(source, file));
    problems.extend(vms.keys().filter_map(|name| jump_circle(source, vms, name)));
    problems.extend(unknown_ends(source, file));
    problems.extend(warnings(source, file));
    problems.extend(clocks(source, file));
    problems
}

/// A group of which no VM is a member is probably misspelt.
fn groups(source: &Source, file: &InventoryFile) -> Vec<Problem> {
    let members: Vec<&str> =
        file.vms.values().flat_map(|vm| &vm.groups).map(String::as_str).collect();
    let empty = file.groups.keys().filter(|group| !members.contains(&group.as_str()));
    let problem = |group: &String| {
        let problem =
            source.problem(&format!("groups.{group}"), format!("no VM is in the group `{group}`"));
        let known = members.iter().copied().collect::<BTreeSet<_>>();
        problem.hint(match did_you_mean(group, known) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => format!("add \"{group}\" to the `groups` of a VM"),
        })
    };
    empty.map(problem).collect()
}

fn suites(source: &Source, file: &InventoryFile) -> Option<Problem> {
    let suites = file.suites.as_ref()?;
    if suites.is_empty() {
        let problem = source.problem("suites", "`suites` is empty, so there is nothing to check");
        return Some(problem.hint("name at least one suite file, or remove the key"));
    }
    let empty = suites.iter().position(|path| path.as_os_str().is_empty())?;
    let problem = source.problem(&format!("suites[{empty}]"), "the path of the suite is empty");
    Some(problem.hint("write it relative to the inventory"))
}

fn jump_circle(source: &Source, vms: &IndexMap<String, Vm>, start: &str) -> Option<Problem> {
    let mut name = start;
    for _ in 0..vms.len() {
        match vms.get(name)?.ssh.via.as_ref()? {
            Via::Vm(next) if next == start => {
                let path = format!("vms.{start}.ssh.via");
                let problem = source.problem(&path, "the jump hosts form a circle");
                return Some(problem.hint("one of them must be reached directly"));
            }
            Via::Vm(next) => name = next,
            Via::Host { .. } => return None,
        }
    }
    None
}

fn unknown_ends(source: &Source, file: &InventoryFile) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (index, connection) in file.connections.iter().enumerate() {
        for (key, vm) in [("from", &connection.from), ("to", &connection.to)] {
            if !file.vms.contains_key(vm) {
                let path = format!("connections[{index}].{key}");
                let problem = source.problem(&path, format!("unknown VM `{vm}`"));
                let hint = hint_for_unknown(vm, file.vms.keys().map(String::as_str));
                problems.push(problem.hint(hint));
            }
        }
    }
    problems
}

fn warnings(source: &Source, file: &InventoryFile) -> Option<Problem> {
    let is_empty = |warning: &String| warning.trim().is_empty();
    let problem = || source.problem("warnings", "a warning is empty").hint("fill or remove it");
    file.warnings.iter().any(is_empty).then(problem)
}

fn clocks(source: &Source, file: &InventoryFile) -> Option<Problem> {
    let Span(bound) = file.peers?.clocks_within?;
    if bound <= CLOCKS_WITHIN_AT_MOST {
        return None;
    }
    let problem = source.problem("peers.clocks_within", "`clocks_within` is more than 30 minutes");
    Some(problem.hint("write at most \"30m\""))
}
