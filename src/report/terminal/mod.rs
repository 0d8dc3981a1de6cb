//! The report for people: a line for each assertion, then everything about what is red, then the
//! totals. What is the same on many VMs is one block.

mod aftermath;
mod causes;
mod list;
mod overview;
mod red;
mod screen;
mod wires;

use std::fmt::Write;

pub use aftermath::aftermath;
pub use screen::Screen;

use super::Report;
use super::fold::{Fold, Seen, Vms};
use super::neutral;
use super::nodes::MANY_VMS;
use super::text::{counted, harmless_line, wrapped};

/// Renders the report. Assertions that were not selected are only counted: whoever asks for one VM
/// does not want to read about the others.
pub fn render(report: &Report, screen: Screen) -> String {
    let vms = Vms::of(&report.vms);
    let folds = Fold::all_of(&report.results, &vms);
    let asked = report.selected_vms();
    let many = asked.len() >= MANY_VMS && !screen.verbose;
    let mut text = header(report);
    text += &if many {
        overview::render(&asked, &folds, &vms, screen)
    } else {
        list::render(report, screen)
    };
    text += &wires::render(report, many.then_some(&vms), screen);
    text += &causes::render(report, &vms, screen);
    text += &red::render(&folds, &vms, screen);
    text += &aftermath(report, screen);
    text += &uncovered(report, many.then_some(&vms), screen);
    let _ = writeln!(text, "\n{}", totals_line(report, screen));
    match screen.width {
        Some(width) => wrapped(&text, width),
        None => text,
    }
}

fn header(report: &Report) -> String {
    let suites = report.suites.join(", ");
    let header = format!("{} ({} with {suites}){}", report.lab, report.inventory, part(report));
    format!("{}\n{}", harmless_line(&header), nothing_to_do(report))
}

/// `, shard 3 of 8`
fn part(report: &Report) -> String {
    match (&report.shard, &report.merged) {
        (Some(shard), _) => format!(", shard {} of {}", shard.index, shard.count),
        (None, Some(merged)) => format!(", merged from {}", counted(merged.parts.len(), "shard")),
        (None, None) => String::new(),
    }
}

/// That a shard has no assertion is no mistake: others have them all.
fn nothing_to_do(report: &Report) -> &'static str {
    let totals = report.totals;
    if report.shard.is_some() && totals.not_selected == totals.assertions {
        return "\nno selected assertion is in this shard\n";
    }
    ""
}

/// With `vms`, what lacks coverage on several of them is one line.
fn uncovered<'a>(report: &'a Report, vms: Option<&Vms<'a>>, screen: Screen) -> String {
    let coverage = &report.coverage;
    if coverage.uncovered.is_empty() {
        return String::new();
    }
    let word = "uncovered";
    let word = if coverage.required { screen.red(word) } else { screen.bold(word) };
    let mut text = format!("\n{word} {}\n", coverage.describe());
    let lines = match vms {
        Some(vms) => folded_uncovered(report, vms),
        None => coverage.uncovered.iter().map(|row| row.message.clone()).collect(),
    };
    for line in lines {
        let _ = writeln!(text, "  {}", harmless_line(&line));
    }
    text
}

/// `no assertion covers 9121/tcp of redis[1-4]`
fn folded_uncovered<'a>(report: &'a Report, vms: &Vms<'a>) -> Vec<String> {
    let rows = report.coverage.uncovered.iter();
    let seen = rows.map(|row| Seen { vm: &row.vm, text: row.message.clone(), of: () });
    let same = vms.fold(seen.collect());
    same.iter().map(|one| one.text.replace(neutral::NAME, &vms.nodes(one.vms()))).collect()
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
        let _ = write!(line, ": {}", harmless_line(why));
    }
    if green { screen.green(&line) } else { screen.red(&line) }
}
