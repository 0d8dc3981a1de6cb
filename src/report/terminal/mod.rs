//! The report for people: a line for each assertion, then everything about each red one, then the
//! totals.

mod screen;
mod wires;

use std::fmt::Write;

use screen::MARGIN;
pub use screen::Screen;

use super::Report;
use super::explain::{LINE_LIMIT, explain};
use super::row::ResultRow;
use super::text::{counted, harmless_line, indent, shortened, wrapped};
use super::vm::VmReport;
use crate::health::NO_SYSTEMD;
use crate::outcome::{Cause, VerdictKind};
use crate::record::Trust;

/// How many lines of a service's journal are shown.
const JOURNAL_LINES: usize = 3;

/// A VM whose slowest answer took this long is called slow.
const SLOW_MS: u64 = 5000;

/// Renders the report. Assertions that were not selected are only counted: whoever asks for one VM
/// does not want to read about the others.
pub fn render(report: &Report, screen: Screen) -> String {
    let mut text = header(report);
    text += &vms(report, screen);
    text += &wires::render(report, screen);
    text += &causes(report, screen);
    text += &explanations(report, screen);
    text += &aftermath(report, screen);
    text += &uncovered(report, screen);
    let _ = writeln!(text, "\n{}", totals_line(report, screen));
    match screen.width {
        Some(width) => wrapped(&text, width),
        None => text,
    }
}

fn header(report: &Report) -> String {
    let suites = report.suites.join(", ");
    let header = format!("{} ({} with {suites})", report.lab, report.inventory);
    format!("{}\n", harmless_line(&header))
}

/// Wires have a table of their own.
fn is_listed(row: &ResultRow) -> bool {
    row.verdict != VerdictKind::NotSelected && row.wire.is_none()
}

fn vms(report: &Report, screen: Screen) -> String {
    let listed = report.results.iter().filter(|row| is_listed(row));
    let width = listed.map(|row| row.id.chars().count()).max().unwrap_or(0);
    let mut text = String::new();
    for (vm, rows) in report.rows_by_vm() {
        let rows: Vec<_> = rows.into_iter().filter(|row| is_listed(row)).collect();
        if !rows.is_empty() {
            let _ = writeln!(text, "\n{}", vm_line(vm, screen));
        }
        for row in rows {
            text += &row_line(row, width, screen);
        }
    }
    text
}

fn vm_line(vm: &VmReport, screen: Screen) -> String {
    let mut line = format!("{} {}", screen.bold(&vm.name), vm.address);
    let Some(ready) = vm.ready_ms else { return line };
    let _ = write!(line, " logged in after {ready} ms");
    if vm.host_key_trust == Some(Trust::AcceptedOnce) {
        let key = vm.host_key.as_deref().unwrap_or_default();
        let _ = write!(line, ", new host key {key} accepted");
    }
    // That all is well is not worth a word.
    match vm.timeline.system.as_deref() {
        None | Some("running") => {}
        Some(NO_SYSTEMD) => line += &format!(", {NO_SYSTEMD}"),
        Some(state) => line += &format!(", system {}", harmless_line(state)),
    }
    if let Some(pace) = vm.pace.filter(|pace| pace.slowest_ms >= SLOW_MS) {
        let [median, slowest] = [pace.median_ms, pace.slowest_ms].map(seconds);
        let _ = write!(line, ", slow: answers took {median} s (median), {slowest} s at most");
    }
    if let Some(os) = &vm.os_release {
        let kernel = vm.kernel.as_deref().unwrap_or("unknown kernel");
        let _ = write!(line, " ({})", harmless_line(&format!("{os}, {kernel}")));
    }
    line
}

/// `2.5`
fn seconds(milliseconds: u64) -> String {
    format!("{}.{}", milliseconds / 1000, milliseconds % 1000 / 100)
}

/// The verdict, the id, and what there is to say; below the id where the screen is too narrow.
fn row_line(row: &ResultRow, width: usize, screen: Screen) -> String {
    let verdict = screen.verdict(row.verdict);
    let remark = remark(row);
    let remark_width = remark.chars().count();
    let id = &row.id;
    if screen.fits(MARGIN + width + 2 + remark_width) {
        format!("{}\n", format!("  {verdict} {id:width$}  {remark}").trim_end())
    } else if screen.fits(MARGIN + id.chars().count() + 2 + remark_width) {
        format!("  {verdict} {id}  {remark}\n")
    } else {
        format!("  {verdict} {id}\n{:MARGIN$}{remark}\n", "")
    }
}

fn remark(row: &ResultRow) -> String {
    match row.verdict {
        VerdictKind::Passed if row.attempts.len() > 1 => {
            format!("{} ms, on attempt {}", row.duration_ms, row.attempts.len())
        }
        VerdictKind::Passed => format!("{} ms", row.duration_ms),
        VerdictKind::Blocked => {
            let by = row.cause.as_ref().map_or("", |cause| &cause.vm);
            format!("by {by}, see below")
        }
        // The totals say why.
        VerdictKind::NotRun => String::new(),
        _ => harmless_line(row.message.as_deref().unwrap_or_default()),
    }
}

/// Each cause once, with the number of assertions that it blocks.
fn causes(report: &Report, screen: Screen) -> String {
    let blocked = report.results.iter().filter(|row| row.verdict == VerdictKind::Blocked);
    let mut causes: Vec<&Cause> = Vec::new();
    for cause in blocked.filter_map(|row| row.cause.as_ref()) {
        if !causes.contains(&cause) {
            causes.push(cause);
        }
    }
    let mut text = String::new();
    for cause in causes {
        let same = report.results.iter().filter(|row| row.cause.as_ref() == Some(cause));
        let line = harmless_line(&cause.to_string());
        let _ = writeln!(text, "\n{} {line}", screen.red("cause"));
        let _ = writeln!(text, "  blocks:   {}", counted(same.count(), "assertion"));
        if let Some(hint) = &cause.hint {
            let _ = writeln!(text, "  hint:     {}", harmless_line(hint));
        }
    }
    text
}

fn explanations(report: &Report, screen: Screen) -> String {
    let mut text = String::new();
    for row in &report.results {
        if matches!(row.verdict, VerdictKind::Failed | VerdictKind::Errored) {
            let verdict = screen.verdict(row.verdict);
            let _ = write!(text, "\n{verdict} {}\n{}", row.id, indent(&explain(row)));
        }
    }
    text
}

/// What was seen of VMs beside their assertions: warnings, instability, and the most important
/// evidence. Empty when there is nothing of it.
pub fn aftermath(report: &Report, screen: Screen) -> String {
    let mut text = String::new();
    for vm in &report.vms {
        for warning in &vm.warnings {
            let word = screen.yellow("warning");
            let _ = writeln!(text, "\n{word} {}: {}", vm.name, harmless_line(warning));
        }
        if !vm.unstable.is_empty() {
            let word = screen.red("unstable");
            let _ = writeln!(text, "\n{word} {}: do not rely on its verdicts", vm.name);
            for line in &vm.unstable {
                let _ = writeln!(text, "  {}", harmless_line(line));
            }
        }
        if !vm.evidence.is_empty() {
            let _ = writeln!(text, "\n{} {}", screen.bold("evidence"), vm.name);
            text += &indent(&evidence_summary(vm));
        }
    }
    text
}

/// The state of each suspect and the last lines of its journal; of the rest, only the names.
fn evidence_summary(vm: &VmReport) -> String {
    let mut text = String::new();
    for suspect in &vm.suspects {
        let (service, state) = (harmless_line(&suspect.service), harmless_line(&suspect.state));
        let _ = writeln!(text, "{service}: {state}");
        let journal = vm.evidence.iter().find(|item| item.about == suspect.service);
        let journal = journal.map_or("", |item| &item.text);
        let lines: Vec<_> = journal.lines().filter(|line| !line.trim().is_empty()).collect();
        for line in &lines[lines.len().saturating_sub(JOURNAL_LINES)..] {
            let _ = writeln!(text, "  {}", shortened(&harmless_line(line), LINE_LIMIT));
        }
    }
    let about: Vec<_> = vm.evidence.iter().map(|item| harmless_line(&item.about)).collect();
    let _ = writeln!(text, "in the reports: {}", about.join(", "));
    text
}

fn uncovered(report: &Report, screen: Screen) -> String {
    let coverage = &report.coverage;
    if coverage.uncovered.is_empty() {
        return String::new();
    }
    let word = "uncovered";
    let word = if coverage.required { screen.red(word) } else { screen.bold(word) };
    let mut text = format!("\n{word} {}\n", coverage.describe());
    for row in &coverage.uncovered {
        let _ = writeln!(text, "  {}", harmless_line(&row.message));
    }
    text
}

fn totals_line(report: &Report, screen: Screen) -> String {
    let totals = report.totals;
    let unstable = report.vms.iter().filter(|vm| !vm.unstable.is_empty()).count();
    let mut parts = vec![format!("{} passed", totals.passed), format!("{} failed", totals.failed)];
    for (count, word) in [
        (totals.errored, "errored"),
        (totals.blocked, "blocked"),
        (totals.not_run, "not run"),
        (totals.not_selected, "not selected"),
        (unstable, if unstable == 1 { "VM unstable" } else { "VMs unstable" }),
        (report.coverage.failures().len(), "uncovered"),
    ] {
        if count > 0 {
            parts.push(format!("{count} {word}"));
        }
    }
    let green = report.complete
        && report.is_sound()
        && totals.passed + totals.not_selected == totals.assertions;
    let (seconds, milliseconds) = (report.duration_ms / 1000, report.duration_ms % 1000);
    let mut line = format!("{} in {seconds}.{milliseconds:03} s", parts.join("; "));
    if let Some(why) = &report.stopped {
        let _ = write!(line, ": {why}");
    }
    if green { screen.green(&line) } else { screen.red(&line) }
}
