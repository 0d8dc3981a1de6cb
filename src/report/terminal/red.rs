//! Why assertions are red: a block for each assertion, whatever the number of VMs.

use std::fmt::Write;

use super::screen::{Screen, nodes_of};
use crate::outcome::VerdictKind;
use crate::report::explain::{details, explain, place, place_label};
use crate::report::fold::{Fold, Same, Vms, share};
use crate::report::row::ResultRow;
use crate::report::text::{counted, harmless_line, indent, shortened};

/// How many characters of a message are shown if others are beside it.
const MESSAGE_LIMIT: usize = 160;

type Message<'a> = Same<'a, &'a ResultRow>;

pub(super) fn render(folds: &[Fold], vms: &Vms, screen: Screen) -> String {
    let is_red = |fold: &&Fold| matches!(fold.verdict, VerdictKind::Failed | VerdictKind::Errored);
    let mut text = String::new();
    for fold in folds.iter().filter(is_red) {
        if screen.verbose {
            for message in &fold.messages {
                text += &block(fold, std::slice::from_ref(message), vms, screen);
            }
        } else {
            text += &block(fold, &fold.messages, vms, screen);
        }
    }
    text
}

/// What is known of these results of an assertion.
fn block(fold: &Fold, messages: &[Message], vms: &Vms, screen: Screen) -> String {
    let verdict = screen.verdict(fold.verdict);
    let rows: Vec<&ResultRow> =
        messages.iter().flat_map(|message| message.items.iter().map(|(_, row)| *row)).collect();
    if let [row] = rows[..] {
        return format!("\n{verdict} {}\n{}", row.id, indent(&explain(row)));
    }
    let (id, share) = (fold.id(), share(rows.len(), fold.of));
    let mut text = format!("\n{verdict} {id} {share}: {}\n", nodes_of(messages, vms));
    let about = message_lines(messages, vms, screen) + &common_details(&rows, vms);
    text += &indent(&about);
    text
}

fn message_lines(messages: &[Message], vms: &Vms, screen: Screen) -> String {
    if let [only] = messages {
        return format!("{}\n", harmless_line(&only.text));
    }
    let (shown, rest) = screen.split(messages);
    let mut text = String::new();
    for message in shown {
        let line = harmless_line(&message.text);
        let line = shortened(&line, MESSAGE_LIMIT);
        let _ = writeln!(text, "{}: {line}", vms.nodes(message.vms()));
    }
    if !rest.is_empty() {
        let _ = writeln!(text, "and {}; -v shows all", counted(rest.len(), "other message"));
    }
    text
}

/// The details that all results have, or those of the first one.
fn common_details(rows: &[&ResultRow], vms: &Vms) -> String {
    let first = rows[0];
    let shown = details(first);
    let neutral = |row: &ResultRow, details: &str| vms.neutral(&row.vm, details);
    let mut text = if rows.iter().all(|row| details(row) == shown) {
        shown
    } else {
        let common = neutral(first, &shown);
        if rows.iter().all(|row| neutral(row, &details(row)) == common) {
            common
        } else {
            format!("  example:  {}; the reports have the others\n{shown}", first.vm)
        }
    };
    let _ = writeln!(text, "  {} {}", place_label(first), places(rows));
    text
}

/// `suite.json:4`, `suite.json:4 and 3 other places`
fn places(rows: &[&ResultRow]) -> String {
    let mut places: Vec<String> = rows.iter().map(|row| place(row)).collect();
    let first = places[0].clone();
    places.sort_unstable();
    places.dedup();
    match places.len() - 1 {
        0 => first,
        others => format!("{first} and {}", counted(others, "other place")),
    }
}
