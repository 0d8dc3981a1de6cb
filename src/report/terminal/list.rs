//! Every assertion of every VM, a line each.

use std::fmt::Write;

use super::screen::Screen;
use crate::health::NO_SYSTEMD;
use crate::outcome::VerdictKind;
use crate::record::Trust;
use crate::report::Report;
use crate::report::row::ResultRow;
use crate::report::text::harmless_line;
use crate::report::vm::VmReport;

/// A VM whose slowest answer took this long is called slow.
pub(super) const SLOW_MS: u64 = 5000;

/// Wires have a table of their own.
fn is_listed(row: &ResultRow) -> bool {
    row.verdict != VerdictKind::NotSelected && row.wire.is_none()
}

pub(super) fn render(report: &Report, screen: Screen) -> String {
    let listed = report.results.iter().filter(|row| is_listed(row));
    let width = listed.map(|row| row.id.chars().count()).max().unwrap_or(0);
    let mut text = String::new();
    for (vm, rows) in report.rows_by_vm() {
        let rows: Vec<_> = rows.into_iter().filter(|row| is_listed(row)).collect();
        if !rows.is_empty() {
            let _ = writeln!(text, "\n{}", vm_line(vm, screen));
        }
        for row in rows {
            text += &screen.line(row.verdict, &row.id, width, &remark(row));
        }
    }
    text
}

fn vm_line(vm: &VmReport, screen: Screen) -> String {
    let mut line = format!("{} {}", screen.bold(&vm.name), vm.address);
    let Some(ready) = vm.ready_ms else { return line };
    let _ = write!(line, " logged in after {ready} ms");
    if vm.host_key_trust == Some(Trust::AcceptedOnce) {
        let key = harmless_line(vm.host_key.as_deref().unwrap_or_default());
        let _ = write!(line, ", new host key {key} accepted");
    }
    if let Some(state) = unusual_state(vm) {
        let _ = write!(line, ", {state}");
    }
    if let Some(pace) = vm.pace.filter(|pace| pace.slowest_ms >= SLOW_MS) {
        let [median, slowest] = [pace.median_ms, pace.slowest_ms].map(seconds);
        let _ = write!(line, ", slow: answers took {median} s (median), {slowest} s at most");
    }
    if let Some(system) = system(vm) {
        let _ = write!(line, " ({system})");
    }
    line
}

/// What systemd says about the boot. That all is well is not worth a word.
pub(super) fn unusual_state(vm: &VmReport) -> Option<String> {
    match vm.timeline.system.as_deref() {
        None | Some("running") => None,
        Some(NO_SYSTEMD) => Some(NO_SYSTEMD.to_owned()),
        Some(state) => Some(format!("system {}", harmless_line(state))),
    }
}

/// The distribution and the kernel.
pub(super) fn system(vm: &VmReport) -> Option<String> {
    let os = vm.os_release.as_ref()?;
    let kernel = vm.kernel.as_deref().unwrap_or("unknown kernel");
    Some(harmless_line(&format!("{os}, {kernel}")))
}

/// `2.5`
pub(super) fn seconds(milliseconds: u64) -> String {
    format!("{}.{}", milliseconds / 1000, milliseconds % 1000 / 100)
}

/// What there is to say about a result.
pub(super) fn remark(row: &ResultRow) -> String {
    match row.verdict {
        VerdictKind::Passed if row.attempts.len() > 1 => {
            format!("{} ms, on attempt {}", row.duration_ms, row.attempts.len())
        }
        VerdictKind::Passed => format!("{} ms", row.duration_ms),
        VerdictKind::Blocked => {
            let by = row.cause.as_ref().map_or("", |cause| &cause.vm);
            format!("by {}, see below", harmless_line(by))
        }
        // The totals say why.
        VerdictKind::NotRun => String::new(),
        _ => harmless_line(row.message.as_deref().unwrap_or_default()),
    }
}
