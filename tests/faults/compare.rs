//! What a report says about a fault, and where that is not what the fault demands. No I/O.

use bootproof::exit_code::ExitCode;
use bootproof::outcome::VerdictKind;
use bootproof::report::{Report, ResultRow, VmReport};

use super::fault::{ExpectedRed, Fault};

/// One line for each place where the report is not what the fault demands.
pub fn differences(fault: &Fault, report: &Report, exit_code: ExitCode) -> Vec<String> {
    let wrong = red_rows(report).filter_map(|row| wrongly_red(fault.red.get(&row.id), row));
    let unseen = fault
        .red
        .keys()
        .filter(|id| !red_rows(report).any(|row| row.id == **id))
        .map(|id| format!("{id} should be red"));
    let instability = report
        .vms
        .iter()
        .filter_map(|vm| wrong_stability(fault.unstable.get(&vm.name).map(String::as_str), vm));
    let warnings = report
        .vms
        .iter()
        .filter_map(|vm| wrong_warnings(fault.warnings.get(&vm.name).map(String::as_str), vm));
    let (got, expected) = (exit_code as u8, fault.exit_code() as u8);
    let code =
        (got != expected).then(|| format!("the exit code should be {expected}, but is {got}"));
    wrong.chain(unseen).chain(instability).chain(warnings).chain(code).collect()
}

fn wrong_warnings(expected: Option<&str>, vm: &VmReport) -> Option<String> {
    let VmReport { name, warnings, .. } = vm;
    match expected {
        None if warnings.is_empty() => None,
        None => Some(format!("{name} should have no warnings, but has {warnings:?}")),
        Some(words) if warnings.iter().any(|warning| warning.contains(words)) => None,
        Some(words) => {
            Some(format!("{name} should have the warning {words}, but has {warnings:?}"))
        }
    }
}

fn wrongly_red(expected: Option<&ExpectedRed>, row: &ResultRow) -> Option<String> {
    let got = format!("{}: {}", row.verdict.word(), explanation(row));
    let Some(expected) = expected else {
        return Some(format!("{} should not be red, but is `{got}`", row.id));
    };
    let agrees =
        expected.verdict == row.verdict.word() && explanation(row).contains(&expected.words);
    (!agrees).then(|| format!("{} should be `{expected}`, but is `{got}`", row.id))
}

fn wrong_stability(expected: Option<&str>, vm: &VmReport) -> Option<String> {
    let name = &vm.name;
    let reported = vm.unstable.join("; ");
    match (expected, reported.is_empty()) {
        (None, true) => None,
        (None, false) => Some(format!("{name} should not be unstable, but is: {reported}")),
        (Some(words), false) if reported.contains(words) => None,
        (Some(words), true) => Some(format!("{name} should be unstable ({words}), but is stable")),
        (Some(words), false) => {
            Some(format!("{name} should be unstable ({words}), but is: {reported}"))
        }
    }
}

/// The rows that are red; what nobody selected is not.
pub fn red_rows(report: &Report) -> impl Iterator<Item = &ResultRow> {
    let is_red =
        |row: &&ResultRow| !matches!(row.verdict, VerdictKind::Passed | VerdictKind::NotSelected);
    report.results.iter().filter(is_red)
}

/// One line for each reason why a VM is unstable.
pub fn instabilities(report: &Report) -> impl Iterator<Item = String> {
    let reasons = |vm: &VmReport| {
        let name = vm.name.clone();
        vm.unstable.clone().into_iter().map(move |reason| format!("{name}: {reason}"))
    };
    report.vms.iter().flat_map(reasons)
}

/// All that the report says about a red row, in one line.
pub fn explanation(row: &ResultRow) -> String {
    let message = row.message.as_deref().unwrap_or_default();
    let because = row.because.join("; ");
    let actual = row.actual.as_deref().unwrap_or_default();
    let hint = row.cause.as_ref().and_then(|cause| cause.hint.as_deref()).unwrap_or_default();
    format!("{message} | {because} | {actual} | {hint}")
}

/// What the fault demands, as a cell of the matrix.
pub fn expected_counts(fault: &Fault) -> String {
    let count = |verdict: &str| fault.red.values().filter(|red| red.verdict == verdict).count();
    counts(count("failed"), count("errored"), count("blocked"), fault.unstable.len())
}

/// What the report says, as a cell of the matrix.
pub fn reported_counts(report: &Report) -> String {
    let unstable = report.vms.iter().filter(|vm| !vm.unstable.is_empty()).count();
    counts(report.totals.failed, report.totals.errored, report.totals.blocked, unstable)
}

/// `3 failed, 2 blocked, 1 unstable`, or `green`.
fn counts(failed: usize, errored: usize, blocked: usize, unstable: usize) -> String {
    let counts =
        [(failed, "failed"), (errored, "errored"), (blocked, "blocked"), (unstable, "unstable")];
    let cells: Vec<String> = counts
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, word)| format!("{count} {word}"))
        .collect();
    if cells.is_empty() { "green".to_owned() } else { cells.join(", ") }
}
