//! Many VMs: what is known of them, then a line for each assertion.

use std::fmt::Write;

use super::list::{SLOW_MS, remark, system, unusual_state};
use super::screen::{Screen, nodes_of};
use crate::outcome::VerdictKind;
use crate::record::Trust;
use crate::report::fold::{Fold, Same, Seen, Vms};
use crate::report::row::ResultRow;
use crate::report::text::{counted, shortened};
use crate::report::vm::VmReport;

/// How many characters of a node set are shown where nothing is red.
const NODES_LIMIT: usize = 300;

/// Something that can be true of many VMs.
type Fact = fn(&VmReport) -> Option<String>;

/// `asked` are the VMs with selected assertions.
pub(super) fn render<'a>(
    asked: &[&'a VmReport],
    folds: &[Fold],
    vms: &Vms<'a>,
    screen: Screen,
) -> String {
    let mut text = heading(asked, vms, screen);
    text.push('\n');
    let is_listed = |fold: &&Fold| fold.rows().all(|row| row.wire.is_none());
    let listed: Vec<(String, &Fold)> =
        folds.iter().filter(is_listed).map(|fold| (fold.id(), fold)).collect();
    let width = listed.iter().map(|(id, _)| id.chars().count()).max().unwrap_or(0);
    for (id, fold) in &listed {
        text += &screen.line(fold.verdict, id, width, &fold_remark(fold, asked.len(), vms));
    }
    text
}

/// The VMs, and what they have in common.
fn heading<'a>(asked: &[&'a VmReport], vms: &Vms<'a>, screen: Screen) -> String {
    let title = screen.bold(&counted(asked.len(), "VM"));
    let nodes = vms.nodes(asked.iter().map(|vm| vm.name.as_str()));
    let mut text = format!("\n{title}: {}\n", short(&nodes));
    let ready: Vec<&VmReport> = asked.iter().copied().filter(|vm| vm.ready_ms.is_some()).collect();
    text += &logins(&ready, asked.len());
    let kinds: [Fact; 4] = [system, unusual_state, new_host_key, slowness];
    for fact in kinds {
        text += &facts(&ready, fact, vms, screen);
    }
    text
}

fn logins(ready: &[&VmReport], of: usize) -> String {
    let times = || ready.iter().filter_map(|vm| vm.ready_ms);
    let (Some(first), Some(last)) = (times().min(), times().max()) else { return String::new() };
    let who = if ready.len() == of { "all".to_owned() } else { format!("{} of {of}", ready.len()) };
    format!("  {who} logged in after {first} to {last} ms\n")
}

/// What is true of these VMs: a line for each text, with the VMs unless all have it.
fn facts<'a>(ready: &[&'a VmReport], fact: Fact, vms: &Vms<'a>, screen: Screen) -> String {
    let seen = |vm: &&'a VmReport| Some(Seen { vm: vm.name.as_str(), text: fact(vm)?, of: () });
    let same = vms.fold(ready.iter().filter_map(seen).collect());
    let (shown, rest) = screen.split(&same);
    let mut text = String::new();
    for Same { text: fact, items } in shown {
        let nodes = vms.nodes(items.iter().map(|(vm, ())| *vm));
        let nodes = if items.len() == ready.len() { String::new() } else { format!(": {nodes}") };
        let _ = writeln!(text, "  {}", short(&format!("{fact}{nodes}")));
    }
    if !rest.is_empty() {
        let nodes = short(&nodes_of(rest, vms)).into_owned();
        let _ = writeln!(text, "  {} others: {nodes}", rest.len());
    }
    text
}

fn new_host_key(vm: &VmReport) -> Option<String> {
    let accepted = vm.host_key_trust == Some(Trust::AcceptedOnce);
    accepted.then(|| "new host key accepted".to_owned())
}

fn slowness(vm: &VmReport) -> Option<String> {
    let slow = vm.pace.is_some_and(|pace| pace.slowest_ms >= SLOW_MS);
    slow.then(|| format!("slow: an answer took {} s or longer", SLOW_MS / 1000))
}

fn fold_remark(fold: &Fold, all: usize, vms: &Vms) -> String {
    let row = fold.messages[0].items[0].1;
    if fold.of == 1 {
        return remark(row);
    }
    let share = fold.share();
    let nodes = || vms.nodes(fold.rows().map(|row| row.vm.as_str()));
    match fold.verdict {
        VerdictKind::Failed | VerdictKind::Errored => format!("{share}, see below"),
        VerdictKind::Blocked if fold.rows().all(is_blocked_by_its_own_vm) => {
            format!("{share}, see below")
        }
        VerdictKind::Blocked => format!("{share}, see below: {}", nodes()),
        // The heading has the names of all.
        _ if fold.count() == all => share,
        VerdictKind::Passed => format!("{share}: {}", short(&nodes())),
        _ => format!("{share}: {}", nodes()),
    }
}

/// Whether the cause, which is shown below, names the VM.
fn is_blocked_by_its_own_vm(row: &ResultRow) -> bool {
    row.cause.as_ref().is_some_and(|cause| cause.vm == row.vm)
}

fn short(nodes: &str) -> std::borrow::Cow<'_, str> {
    shortened(nodes, NODES_LIMIT)
}
