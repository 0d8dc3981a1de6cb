//! The wires of a lab: what the far end listens on, and whether the near end reaches it.

use std::fmt::Write;

use indexmap::IndexMap;

use super::screen::{MARGIN, Screen};
use crate::outcome::VerdictKind;
use crate::report::Report;
use crate::report::fold::Vms;
use crate::report::row::WireRow;
use crate::report::text::harmless_line;

const LISTENS_ON: &str = "listens on";
const REACHED: &str = "reached";

struct Line {
    verdict: VerdictKind,
    wire: String,
    listens_on: String,
    reached: String,
}

/// What is shown of a wire besides the VM that connects.
#[derive(PartialEq, Eq, Hash)]
struct End {
    verdict: VerdictKind,
    to: String,
    listens_on: String,
    reached: String,
}

/// A table, or where the screen is too narrow for it, two lines for each wire. Empty without wires.
/// With `vms`, the same end of several wires is one line.
pub(super) fn render(report: &Report, vms: Option<&Vms>, screen: Screen) -> String {
    let selected = report.results.iter().filter(|row| row.verdict != VerdictKind::NotSelected);
    let wires = selected.filter_map(|row| {
        let wire = row.wire.as_ref()?;
        Some((wire.from.as_str(), End::new(row.verdict, wire)))
    });
    let lines: Vec<Line> = match vms {
        Some(vms) => folded(wires, vms),
        None => wires.map(|(from, end)| end.reached_from(from)).collect(),
    };
    if lines.is_empty() {
        return String::new();
    }
    let widest = |cell: fn(&Line) -> &str| {
        lines.iter().map(|line| cell(line).chars().count()).max().unwrap_or(0)
    };
    let wires = widest(|line| &line.wire);
    let listens = widest(|line| &line.listens_on).max(LISTENS_ON.len());
    let reached = widest(|line| &line.reached).max(REACHED.len());
    // Two spaces are between the columns.
    if screen.fits(MARGIN + wires + 2 + listens + 2 + reached) {
        table(&lines, screen, wires, listens)
    } else {
        stacked(&lines, screen)
    }
}

fn table(lines: &[Line], screen: Screen, wires: usize, listens: usize) -> String {
    let title = screen.bold("wires");
    let pad = MARGIN + wires - "wires".len();
    let mut text = format!("\n{title}{:pad$}  {LISTENS_ON:listens$}  {REACHED}\n", "");
    for line in lines {
        let verdict = screen.verdict(line.verdict);
        let Line { wire, listens_on, reached, .. } = line;
        let _ = writeln!(text, "  {verdict} {wire:wires$}  {listens_on:listens$}  {reached}");
    }
    text
}

fn stacked(lines: &[Line], screen: Screen) -> String {
    let mut text = format!("\n{}\n", screen.bold("wires"));
    for line in lines {
        let verdict = screen.verdict(line.verdict);
        let Line { wire, listens_on, reached, .. } = line;
        let _ = writeln!(text, "  {verdict} {wire}");
        let _ = writeln!(text, "{:MARGIN$}{LISTENS_ON} {listens_on}; {REACHED}: {reached}", "");
    }
    text
}

fn folded<'a>(wires: impl Iterator<Item = (&'a str, End)>, vms: &Vms) -> Vec<Line> {
    let mut ends: IndexMap<End, Vec<&str>> = IndexMap::new();
    for (from, end) in wires {
        ends.entry(end).or_default().push(from);
    }
    ends.into_iter().map(|(end, from)| end.reached_from(&vms.nodes(from.into_iter()))).collect()
}

impl End {
    fn new(verdict: VerdictKind, wire: &WireRow) -> Self {
        let WireRow { to, port, .. } = wire;
        let intent = wire.intent.as_ref().map(|intent| format!(" ({})", harmless_line(intent)));
        Self {
            verdict,
            to: format!("{to}:{port}{}", intent.unwrap_or_default()),
            listens_on: listens_on(wire),
            reached: reached(wire),
        }
    }

    fn reached_from(self, from: &str) -> Line {
        let Self { verdict, to, listens_on, reached } = self;
        Line { verdict, wire: format!("{from} -> {to}"), listens_on, reached }
    }
}

fn listens_on(wire: &WireRow) -> String {
    match &wire.listens_on {
        None => "?".to_owned(),
        Some(addresses) if addresses.is_empty() => "nothing".to_owned(),
        Some(addresses) => {
            let addresses: Vec<_> = addresses.iter().map(ToString::to_string).collect();
            addresses.join(", ")
        }
    }
}

fn reached(wire: &WireRow) -> String {
    let reached = match wire.reached {
        Some(true) => "yes",
        Some(false) => "no",
        None => "?",
    };
    let wanted = if wire.deny { " (denied)" } else { "" };
    format!("{reached}{wanted}")
}
