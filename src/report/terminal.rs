//! The report for people.

use std::fmt::Write;

use console::Style;

use super::text::{counted, harmless, harmless_line, shortened};
use super::{Report, ResultRow, VmReport, WireRow, rows_by_vm};
use crate::health::NO_SYSTEMD;
use crate::outcome::VerdictKind;
use crate::record::Trust;

/// So many lines of an output are shown; the reports have the rest.
const OUTPUT_LINES: usize = 10;

/// So many lines of a service's journal are shown.
const JOURNAL_LINES: usize = 3;

/// So many characters of each.
const LINE_LIMIT: usize = 300;

/// Renders the report: a line an assertion, what went wrong once more in full, and the totals last. What was not
/// selected is only counted: whoever asked for one VM does not want to read of the others.
pub fn render(report: &Report, colour: bool) -> String {
    let paint = Paint { colour };
    let mut text = String::new();
    let header = format!("{} ({} with {})", report.lab, report.inventory, report.suites.join(", "));
    let _ = writeln!(text, "{}", harmless_line(&header));
    // Wires have a table of their own.
    let selected = |row: &&ResultRow| row.verdict != VerdictKind::NotSelected && row.wire.is_none();
    let width =
        report.results.iter().filter(selected).map(|row| row.id.chars().count()).max().unwrap_or(0);
    for (vm, mut rows) in rows_by_vm(report) {
        rows.retain(selected);
        if !rows.is_empty() {
            let _ = writeln!(text, "\n{}", vm_line(vm, paint));
        }
        for row in rows {
            let _ = writeln!(text, "  {}", row_line(row, width, paint));
        }
    }
    text += &wires(report, paint);
    render_causes(&mut text, report, paint);
    for row in report
        .results
        .iter()
        .filter(|row| matches!(row.verdict, VerdictKind::Failed | VerdictKind::Errored))
    {
        let _ = write!(text, "\n{} {}\n{}", paint.word(row.verdict), row.id, indent(&explain(row)));
    }
    text += &told_of_vms(report, paint);
    text += &uncovered(report, paint);
    let _ = writeln!(text, "\n{}", totals_line(report, paint));
    text
}

fn uncovered(report: &Report, paint: Paint) -> String {
    let coverage = &report.coverage;
    if coverage.uncovered.is_empty() {
        return String::new();
    }
    let word = if coverage.required { paint.red("uncovered") } else { paint.bold("uncovered") };
    let mut text = format!("\n{word} {}\n", coverage.describe());
    for row in &coverage.uncovered {
        let _ = writeln!(text, "  {}", harmless_line(&row.message));
    }
    text
}

/// The edges of the topology: what the far end listens on, and whether the near end reaches it.
fn wires(report: &Report, paint: Paint) -> String {
    let rows = report.results.iter().filter(|row| row.verdict != VerdictKind::NotSelected);
    let rows: Vec<_> = rows.filter_map(|row| Some((row, row.wire.as_ref()?))).collect();
    if rows.is_empty() {
        return String::new();
    }
    let cells = |(row, wire): &(&ResultRow, &WireRow)| {
        let intent = wire
            .intent
            .as_ref()
            .map_or(String::new(), |intent| format!(" ({})", harmless_line(intent)));
        let listens = match &wire.listens_on {
            None => "?".to_owned(),
            Some(addresses) if addresses.is_empty() => "nothing".to_owned(),
            Some(addresses) => {
                addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
            }
        };
        let reached = wire.reached.map_or("?", |reached| if reached { "yes" } else { "no" });
        let wanted = if wire.deny { " (denied)" } else { "" };
        let edge = format!("{} -> {}:{}{intent}", wire.from, wire.to, wire.port);
        (row.verdict, edge, listens, format!("{reached}{wanted}"))
    };
    let rows: Vec<_> = rows.iter().map(cells).collect();
    let longest = |lengths: &mut dyn Iterator<Item = usize>| lengths.max().unwrap_or(0);
    let edges = longest(&mut rows.iter().map(|row| row.1.chars().count()));
    let listens =
        longest(&mut rows.iter().map(|row| row.2.chars().count())).max("listens on".len());
    let mut text = format!(
        "\n{} {:pad$}  {:listens$}  reached\n",
        paint.bold("wires"),
        "",
        "listens on",
        pad = edges + 9
    );
    for (verdict, edge, on, reached) in rows {
        let _ = writeln!(text, "  {} {edge:edges$}  {on:listens$}  {reached}", paint.word(verdict));
    }
    text
}

/// What was seen of VMs beside their assertions: unrest, and the heads of the evidence. Empty when all is well.
pub fn aftermath(report: &Report) -> String {
    told_of_vms(report, Paint { colour: false })
}

fn told_of_vms(report: &Report, paint: Paint) -> String {
    let mut text = String::new();
    for vm in &report.vms {
        if !vm.unstable.is_empty() {
            let _ = writeln!(
                text,
                "\n{} {}: what was seen of it is not to be relied on",
                paint.red("unstable"),
                vm.name
            );
            for line in &vm.unstable {
                let _ = writeln!(text, "  {}", harmless_line(line));
            }
        }
        if !vm.evidence.is_empty() {
            let _ = writeln!(text, "\n{} {}", paint.bold("evidence"), vm.name);
            text += &indent(&heads(vm));
        }
    }
    text
}

/// Of each suspect its state and the last lines of its journal; of the rest, that it is there.
fn heads(vm: &VmReport) -> String {
    let mut text = String::new();
    for suspect in &vm.suspects {
        let _ = writeln!(
            text,
            "{}: {}",
            harmless_line(&suspect.service),
            harmless_line(&suspect.state)
        );
        let journal = vm
            .evidence
            .iter()
            .find(|piece| piece.about == suspect.service)
            .map_or("", |piece| &piece.text);
        let lines: Vec<_> = journal.lines().filter(|line| !line.trim().is_empty()).collect();
        for line in &lines[lines.len().saturating_sub(JOURNAL_LINES)..] {
            let _ = writeln!(text, "  {}", shortened(&harmless_line(line), LINE_LIMIT));
        }
    }
    let about: Vec<_> = vm.evidence.iter().map(|piece| harmless_line(&piece.about)).collect();
    let _ = writeln!(text, "in the reports: {}", about.join(", "));
    text
}

/// Why an assertion did not pass, in full: for the end of the screen, the trial's message, and JUnit's text.
pub fn explain(row: &ResultRow) -> String {
    let mut text = String::new();
    if let Some(message) = &row.message {
        let _ = writeln!(text, "{}", harmless_line(message));
    }
    let _ = writeln!(text, "  expected: {}", harmless_line(&row.expected));
    if let Some(actual) = &row.actual {
        let _ = writeln!(text, "  actual:   {}", shortened(&harmless_line(actual), LINE_LIMIT));
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
                let _ = writeln!(
                    text,
                    "  {name}:\n{}",
                    indent(&indent(&last_lines(&stream.text))).trim_end()
                );
            }
        }
    }
    if row.attempts.len() > 1 {
        let _ =
            writeln!(text, "  tried:    {} times in {} ms", row.attempts.len(), row.duration_ms);
    }
    let _ = writeln!(text, "  suite:    {}:{}", row.file, row.line);
    text
}

fn vm_line(vm: &VmReport, paint: Paint) -> String {
    let name = paint.bold(&vm.name);
    let trust = match vm.host_key_trust {
        Some(Trust::AcceptedOnce) => {
            format!(", new host key {} accepted", vm.host_key.as_deref().unwrap_or_default())
        }
        _ => String::new(),
    };
    // That all is well is not worth a word.
    let state = vm.timeline.system.as_deref().filter(|state| *state != "running");
    let state = match state {
        None => String::new(),
        Some(NO_SYSTEMD) => format!(", {NO_SYSTEMD}"),
        Some(state) => format!(", system {}", harmless_line(state)),
    };
    match (vm.ready_ms, &vm.os_release) {
        (Some(ready), Some(os)) => {
            let kernel = vm.kernel.as_deref().unwrap_or("unknown kernel");
            let system = harmless_line(&format!("{os}, {kernel}"));
            format!("{name} {} logged in after {ready} ms{trust}{state} ({system})", vm.address)
        }
        (Some(ready), None) => {
            format!("{name} {} logged in after {ready} ms{trust}{state}", vm.address)
        }
        (None, _) => format!("{name} {}", vm.address),
    }
}

fn row_line(row: &ResultRow, width: usize, paint: Paint) -> String {
    let word = paint.word(row.verdict);
    match row.verdict {
        VerdictKind::Passed if row.attempts.len() > 1 => {
            format!(
                "{word} {:width$}  {} ms, at try {}",
                row.id,
                row.duration_ms,
                row.attempts.len()
            )
        }
        VerdictKind::Passed => format!("{word} {:width$}  {} ms", row.id, row.duration_ms),
        VerdictKind::Blocked => {
            let by = row.cause.as_ref().map_or("", |cause| &cause.vm);
            format!("{word} {:width$}  by {by}, see below", row.id)
        }
        _ => format!(
            "{word} {:width$}  {}",
            row.id,
            harmless_line(row.message.as_deref().unwrap_or_default())
        ),
    }
}

/// Each cause once, with all that it blocks.
fn render_causes(text: &mut String, report: &Report, paint: Paint) {
    let mut told = Vec::new();
    for cause in report
        .results
        .iter()
        .filter(|row| row.verdict == VerdictKind::Blocked)
        .filter_map(|row| row.cause.as_ref())
    {
        if told.contains(&cause) {
            continue;
        }
        told.push(cause);
        let blocked = report.results.iter().filter(|row| row.cause.as_ref() == Some(cause)).count();
        let _ = writeln!(text, "\n{} {}", paint.red("cause"), harmless_line(&cause.to_string()));
        let _ = writeln!(text, "  blocks:   {}", counted(blocked, "assertion"));
        if let Some(hint) = &cause.hint {
            let _ = writeln!(text, "  hint:     {}", harmless_line(hint));
        }
    }
}

fn totals_line(report: &Report, paint: Paint) -> String {
    let totals = report.totals;
    let mut parts = vec![format!("{} passed", totals.passed), format!("{} failed", totals.failed)];
    for (count, word) in [
        (totals.errored, "errored"),
        (totals.blocked, "blocked"),
        (totals.not_run, "not run"),
        (totals.not_selected, "not selected"),
        (report.vms.iter().filter(|vm| !vm.unstable.is_empty()).count(), "VMs unstable"),
        (report.coverage.failures().len(), "uncovered"),
    ] {
        if count > 0 {
            parts.push(format!("{count} {word}"));
        }
    }
    let green = report.complete
        && report.is_sound()
        && totals.passed + totals.not_selected == totals.assertions;
    let line = format!(
        "{} in {}.{:03} s",
        parts.join("; "),
        report.duration_ms / 1000,
        report.duration_ms % 1000
    );
    let line = match &report.stopped {
        Some(why) => format!("{line}: {why}"),
        None => line,
    };
    if green { paint.green(&line) } else { paint.red(&line) }
}

fn last_lines(text: &str) -> String {
    let safe = harmless(text.trim_end());
    let lines: Vec<&str> = safe.lines().collect();
    let hidden = lines.len().saturating_sub(OUTPUT_LINES);
    let shown = lines[hidden..]
        .iter()
        .map(|line| shortened(line, LINE_LIMIT))
        .collect::<Vec<_>>()
        .join("\n");
    if hidden == 0 {
        shown
    } else {
        format!("[... {hidden} lines; the reports have more ...]\n{shown}")
    }
}

fn indent(text: &str) -> String {
    text.lines().fold(String::new(), |mut all, line| {
        let _ = writeln!(all, "  {line}");
        all
    })
}

#[derive(Clone, Copy)]
struct Paint {
    colour: bool,
}

impl Paint {
    fn with(self, style: Style, text: &str) -> String {
        style.force_styling(self.colour).apply_to(text).to_string()
    }

    fn bold(self, text: &str) -> String {
        self.with(Style::new().bold(), text)
    }

    fn red(self, text: &str) -> String {
        self.with(Style::new().red().bold(), text)
    }

    fn green(self, text: &str) -> String {
        self.with(Style::new().green().bold(), text)
    }

    fn word(self, kind: VerdictKind) -> String {
        let style = match kind {
            VerdictKind::Passed => Style::new().green(),
            VerdictKind::Failed => Style::new().red().bold(),
            _ => Style::new().yellow().bold(),
        };
        self.with(style, &format!("{:12}", kind.word()))
    }
}
