//! Why an assertion is red: what the terminal, JUnit and the trials of `cargo test` show of it.

use std::fmt::Write;

use super::row::ResultRow;
use super::text::{harmless, harmless_line, indent, shortened, visible};
use crate::assertion::{Expectation, Observation};
use crate::outcome::{Outcome, VerdictKind};
use crate::spec::plan::{Plan, PlannedAssertion};

/// How many lines of an output are shown; the reports have the rest.
const OUTPUT_LINES: usize = 10;

/// How many characters of a line are shown.
pub(super) const LINE_LIMIT: usize = 300;

/// What is known of an assertion that may explain another one: from a run, or from a report.
pub struct Known {
    verdict: VerdictKind,
    message: Option<String>,
    /// Whether the login of its VM reaches another VM.
    is_another: bool,
}

impl Known {
    /// What a run knows.
    pub fn of(assertion: &PlannedAssertion, outcome: &Outcome) -> Self {
        Self {
            verdict: outcome.verdict.kind(),
            message: outcome.verdict.message(),
            is_another: is_another(assertion, outcome),
        }
    }

    /// What a row of a report knows. Who was reached instead is not in it.
    pub(super) fn of_row(row: &ResultRow) -> Self {
        Self { verdict: row.verdict, message: row.message.clone(), is_another: false }
    }
}

/// Which red assertions explain a red one, a line each: the port checks of what it connects to, and
/// that the login reaches another VM.
///
/// `known` may wait for an assertion that is still running.
pub fn because(
    plan: &Plan,
    assertion: &PlannedAssertion,
    verdict: VerdictKind,
    known: impl Fn(&PlannedAssertion) -> Option<Known>,
) -> Vec<String> {
    use VerdictKind::{Blocked, Errored, Failed};
    if !matches!(verdict, Failed | Errored) {
        return Vec::new();
    }
    let explanation = |other: &PlannedAssertion| {
        let known = known(other)?;
        match known.verdict {
            Failed | Errored | Blocked => Some(format!("{}: {}", other.id, known.message?)),
            _ => None,
        }
    };
    // Both look through the whole plan: not for the many that cannot have an explanation.
    let identity = plan.inventory.peers.and_then(|_| plan.identity_of(&assertion.vm));
    let identity = identity.filter(|other| other.id != assertion.id);
    let connects = !assertion.expectation.connects_to().is_empty();
    let ends = if connects { plan.explained_by(assertion) } else { Vec::new() };
    let identity = identity.filter(|other| known(other).is_some_and(|known| known.is_another));
    identity.into_iter().chain(ends).filter_map(explanation).collect()
}

fn is_another(identity: &PlannedAssertion, outcome: &Outcome) -> bool {
    match (&*identity.expectation, &outcome.observation) {
        (Expectation::Peer(peer), Some(Observation::Peer(seen))) => {
            peer.reached_instead(seen).is_some()
        }
        _ => false,
    }
}

/// Why an assertion did not pass, in full: for the end of the screen, the message of a trial, and
/// the text in JUnit.
pub fn explain(row: &ResultRow) -> String {
    let mut text = String::new();
    if let Some(message) = &row.message {
        let _ = writeln!(text, "{}", harmless_line(message));
    }
    text += &details(row);
    let _ = writeln!(text, "  {} {}", place_label(row), place(row));
    text
}

/// Everything that is known besides the message and the place.
pub(super) fn details(row: &ResultRow) -> String {
    let mut text = String::new();
    if let Some(command) = &row.command {
        let _ = writeln!(text, "  command:  {}", shortened(&harmless_line(command), LINE_LIMIT));
    }
    if let Some(request) = &row.request {
        let _ = writeln!(text, "  request:  {}", shortened(&harmless_line(request), LINE_LIMIT));
    }
    let _ = writeln!(text, "  expected: {}", harmless_line(&row.expected));
    if let Some(actual) = &row.actual {
        let _ = writeln!(text, "  actual:   {}", shortened(&visible(actual), LINE_LIMIT));
    }
    for because in &row.because {
        let _ = writeln!(text, "  because:  {}", harmless_line(because));
    }
    if let Some(hint) = row.cause.as_ref().and_then(|cause| cause.hint.as_ref()) {
        let _ = writeln!(text, "  hint:     {}", harmless_line(hint));
    }
    if let Some(output) = &row.output {
        for (name, stream) in [("stdout", &output.stdout), ("stderr", &output.stderr)] {
            if !stream.text.trim().is_empty() {
                let lines = indent(&indent(&last_lines(&stream.text)));
                let _ = writeln!(text, "  {name}:\n{}", lines.trim_end());
            }
        }
    }
    if row.attempts.len() > 1 {
        let (attempts, time) = (row.attempts.len(), row.duration_ms);
        let _ = writeln!(text, "  attempts: {attempts} in {time} ms");
    }
    text
}

/// What the place of an assertion is called. Wires and peers come from the inventory.
pub(super) fn place_label(row: &ResultRow) -> &'static str {
    if ["wire", "peer"].contains(&row.kind.as_str()) { "declared:" } else { "suite:   " }
}

/// The file and the line that declare the assertion.
pub(super) fn place(row: &ResultRow) -> String {
    format!("{}:{}", row.file, row.line)
}

fn last_lines(text: &str) -> String {
    let safe = harmless(text.trim_end());
    let lines: Vec<&str> = safe.lines().collect();
    let hidden = lines.len().saturating_sub(OUTPUT_LINES);
    let shown: Vec<_> = lines[hidden..].iter().map(|line| shortened(line, LINE_LIMIT)).collect();
    let shown = shown.join("\n");
    if hidden == 0 {
        return shown;
    }
    format!("[... lines cut here: {hidden}; see the reports ...]\n{shown}")
}
