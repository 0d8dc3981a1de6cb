//! What was seen of VMs beside their assertions: warnings, instability, and the most important
//! evidence.

use std::fmt::Write;

use super::screen::{Screen, nodes_of};
use crate::report::Report;
use crate::report::explain::LINE_LIMIT;
use crate::report::fold::{Same, Seen, Vms};
use crate::report::text::{counted, harmless_line, indent, shortened};
use crate::report::vm::VmReport;

/// How many lines of a service's journal are shown.
const JOURNAL_LINES: usize = 3;

/// Empty if there is nothing of it.
pub fn aftermath(report: &Report, screen: Screen) -> String {
    let vms = Vms::of(&report.vms);
    let mut text = warnings(&report.vms, &vms, screen);
    text += &instability(&report.vms, &vms, screen);
    text += &evidence(&report.vms, &vms, screen);
    text
}

fn warnings<'a>(reports: &'a [VmReport], vms: &Vms<'a>, screen: Screen) -> String {
    let seen = reports.iter().flat_map(|vm| {
        vm.warnings.iter().map(|text| Seen { vm: vm.name.as_str(), text: text.clone(), of: () })
    });
    let same = vms.fold(seen.collect());
    let (shown, rest) = screen.split(&same);
    let word = screen.yellow("warning");
    let mut text = String::new();
    for warning in shown {
        let line = harmless_line(&warning.text);
        let _ = writeln!(text, "\n{word} {}: {line}", who(warning));
        text += &several(std::slice::from_ref(warning), vms);
    }
    if !rest.is_empty() {
        let others = counted(rest.len(), "other warning");
        let _ = writeln!(text, "\n{word} {others}; -v shows all\n  VMs: {}", nodes_of(rest, vms));
    }
    text
}

fn instability<'a>(reports: &'a [VmReport], vms: &Vms<'a>, screen: Screen) -> String {
    let unstable = reports.iter().filter(|vm| !vm.unstable.is_empty());
    let seen = unstable.map(|vm| {
        let lines: Vec<String> = vm.unstable.iter().map(|line| harmless_line(line)).collect();
        Seen { vm: vm.name.as_str(), text: lines.join("\n"), of: () }
    });
    let same = vms.fold(seen.collect());
    let (shown, rest) = screen.split(&same);
    let word = screen.red("unstable");
    let mut text = String::new();
    for unstable in shown {
        let whose = if unstable.items.len() == 1 { "its" } else { "their" };
        let _ = writeln!(text, "\n{word} {}: do not rely on {whose} verdicts", who(unstable));
        text += &several(std::slice::from_ref(unstable), vms);
        text += &indent(&unstable.text);
    }
    if !rest.is_empty() {
        let others = nodes_of(rest, vms);
        let _ = writeln!(text, "\n{word} others; -v shows why\n  VMs: {others}");
    }
    text
}

fn evidence<'a>(reports: &'a [VmReport], vms: &Vms<'a>, screen: Screen) -> String {
    let found = reports.iter().filter(|vm| !vm.evidence.is_empty());
    let seen = found.map(|vm| Seen { vm: vm.name.as_str(), text: findings(vm), of: vm });
    let same = vms.fold(seen.collect());
    let (shown, rest) = screen.split(&same);
    let word = screen.bold("evidence");
    let mut text = String::new();
    for evidence in shown {
        let _ = writeln!(text, "\n{word} {}", who(evidence));
        text += &several(std::slice::from_ref(evidence), vms);
        text += &indent(&summary(evidence, vms));
    }
    if !rest.is_empty() {
        let others = nodes_of(rest, vms);
        let _ = writeln!(text, "\n{word} others; -v shows it\n  VMs: {others}");
    }
    text
}

/// The VM, or how many there are.
fn who<T>(same: &Same<T>) -> String {
    match same.items[..] {
        [(vm, _)] => vm.to_owned(),
        _ => counted(same.items.len(), "VM"),
    }
}

/// The names of the VMs, if there are several.
fn several<T>(same: &[Same<T>], vms: &Vms) -> String {
    if same.iter().map(|one| one.items.len()).sum::<usize>() < 2 {
        return String::new();
    }
    format!("  VMs: {}\n", nodes_of(same, vms))
}

/// What evidence is about, without what differs on each VM, such as the times in a journal.
fn findings(vm: &VmReport) -> String {
    let suspects = vm.suspects.iter().map(|one| format!("{}: {}", one.service, one.state));
    let about = vm.evidence.iter().map(|item| item.about.clone());
    suspects.chain(about).collect::<Vec<_>>().join("\n")
}

/// The state of each suspect and the last lines of its journal; of the rest, only the names.
fn summary(evidence: &Same<&VmReport>, vms: &Vms) -> String {
    let example = evidence.items[0].1;
    let mut text = String::new();
    for suspect in &example.suspects {
        let (service, state) = (harmless_line(&suspect.service), harmless_line(&suspect.state));
        let journal = journal(example, &suspect.service);
        let own = |vm: &VmReport| vms.neutral(&vm.name, &self::journal(vm, &suspect.service));
        let common = own(example);
        let differs = evidence.items.iter().any(|(_, vm)| own(vm) != common);
        let whose = if differs { format!(", on {}", example.name) } else { String::new() };
        let _ = writeln!(text, "{service}: {state}{whose}");
        text += &indent(&journal);
    }
    let about: Vec<_> = example.evidence.iter().map(|item| harmless_line(&item.about)).collect();
    let _ = writeln!(text, "in the reports: {}", about.join(", "));
    text
}

/// The last lines of a service's journal.
fn journal(vm: &VmReport, service: &str) -> String {
    let journal = vm.evidence.iter().find(|item| item.about == service);
    let journal = journal.map_or("", |item| &item.text);
    let lines: Vec<_> = journal.lines().filter(|line| !line.trim().is_empty()).collect();
    let last = &lines[lines.len().saturating_sub(JOURNAL_LINES)..];
    last.iter().map(|line| format!("{}\n", shortened(&harmless_line(line), LINE_LIMIT))).collect()
}
