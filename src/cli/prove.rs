//! `bootproof prove`: would the assertions notice a fault? Runs each with counter-examples.

use std::collections::HashMap;
use std::time::Duration;

use clap::Args;
use serde::Serialize;

use super::output::{Format, show, show_exactly};
use super::plan::Selection;
use super::progress::run_with_progress;
use crate::analysis::proof::{Case, Example, Proof};
use crate::error::Error;
use crate::exit_code::ExitCode;
use crate::gate::{Ending, Gate, Request, exit_code};
use crate::outcome::{Outcome, VerdictKind};
use crate::report::Totals;
use crate::report::redact::Redactor;
use crate::report::store::Destinations;
use crate::report::text::{harmless_line, shortened};
use crate::run::RunSettings;
use crate::spec::duration;
use crate::spec::plan::AssertionId;

/// How many characters of a line are shown.
const LINE_LIMIT: usize = 300;

/// Show that every assertion can fail
#[derive(Debug, Args)]
#[command(after_help = "\
An assertion that cannot fail proves nothing. `prove` runs each one as it is, and then with a \
counter-example: a closed port, a path that does not exist, or `false` in place of a program. A \
counter-example must be red. It writes nothing on a VM: it runs only programs that are known to \
only read. An assertion can have its own: \"counter_example\": {\"command\": \"...\"}

Examples:
  bootproof prove -i lab.json -s suite.json --dry-run
  bootproof prove -i lab.json -s suite.json --limit redis

Exit codes:
  0  every assertion can fail
  1  a counter-example passes anyway
  2  the command line or a file is wrong
  3  no counter-example passes, but at least one assertion is not proven
`bootproof --help` lists the others.")]
pub struct ProveArgs {
    #[command(flatten)]
    selection: Selection,

    /// Print the counter-examples, without connecting to a VM
    #[arg(long)]
    dry_run: bool,

    /// Time limit for the whole run
    #[arg(long, value_name = "TIME", env = "BOOTPROOF_DEADLINE", default_value = "15m", value_parser = duration::parse)]
    deadline: Duration,

    /// Output format
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,
}

/// What is known of an assertion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Proven {
    CanFail,
    PassesAnyway,
    #[serde(rename = "not-proven")]
    Unproven,
}

#[derive(Debug, Serialize)]
struct Row {
    id: String,
    verdict: Proven,
    /// Why it is not proven.
    reason: Option<String>,
    counter_examples: Vec<ExampleRow>,
}

#[derive(Debug, Serialize)]
struct ExampleRow {
    what: String,
    verdict: VerdictKind,
    message: Option<String>,
}

pub fn run(arguments: &ProveArgs) -> Result<ExitCode, Error> {
    let plan = arguments.selection.plan()?;
    let selected = arguments.selection.of(&plan)?;
    let proof = Proof::of(&plan, &selected);
    if arguments.dry_run {
        show(&proof.cases.iter().map(intent).collect::<String>());
        return Ok(if selected.is_empty() {
            ExitCode::NothingSelected
        } else {
            ExitCode::Conforms
        });
    }
    let selected = proof.ids();
    let gate = Gate::prepare(Request {
        plan: proof.plan,
        selected,
        destinations: Destinations::nowhere(),
        coverage_required: false,
        part: None,
    })?;
    let settings = RunSettings {
        wait: Duration::ZERO,
        once: true,
        deadline: Some(arguments.deadline),
        jobs: None,
        evidence: false,
    };
    let redactor = gate.redactor().clone();
    let Ending { record, report, .. } = run_with_progress(gate, settings)?;
    let rows: Vec<Row> =
        proof.cases.iter().map(|case| row(case, &record.outcomes, &redactor)).collect();
    match arguments.format {
        Format::Human => show(&table(&rows)),
        Format::Json => show_exactly(&format!("{:#}\n", serde_json::json!({ "results": rows }))),
    }
    let totals = Totals::count(rows.iter().map(|row| row.verdict.as_kind()));
    Ok(exit_code(record.stop, totals, report.is_stable(), true))
}

impl Proven {
    fn word(self) -> &'static str {
        match self {
            Self::CanFail => "can fail",
            Self::PassesAnyway => "passes anyway",
            Self::Unproven => "not proven",
        }
    }

    /// The verdict that leads to the right exit code.
    fn as_kind(self) -> VerdictKind {
        match self {
            Self::CanFail => VerdictKind::Passed,
            Self::PassesAnyway => VerdictKind::Failed,
            Self::Unproven => VerdictKind::Errored,
        }
    }
}

fn intent(case: &Case) -> String {
    let lines = match &case.examples {
        Ok(examples) => {
            examples.iter().map(|one| format!("  {}\n", harmless_line(&one.what))).collect()
        }
        Err(reason) => format!("  no counter-example: {}\n", harmless_line(&reason.to_string())),
    };
    format!("{}\n{lines}", case.id)
}

fn row(case: &Case, outcomes: &HashMap<AssertionId, Outcome>, redactor: &Redactor) -> Row {
    let line = |text: &str| harmless_line(&redactor.line(text));
    let example = |one: &Example| {
        let verdict = &outcomes[&one.id].verdict;
        let message = verdict.message().map(|text| line(&text));
        ExampleRow { what: line(&one.what), verdict: verdict.kind(), message }
    };
    let (counter_examples, reason) = match &case.examples {
        Err(why) => (Vec::new(), Some(line(&why.to_string()))),
        Ok(examples) => {
            let rows: Vec<ExampleRow> = examples.iter().map(example).collect();
            let control = &outcomes[&case.id].verdict;
            let red =
                control.message().map(|text| format!("it does not pass as it is: {}", line(&text)));
            let unclear = rows
                .iter()
                .find(|row| !matches!(row.verdict, VerdictKind::Failed | VerdictKind::Passed));
            let reason = red.or_else(|| unclear.map(|row| row.message.clone().unwrap_or_default()));
            (rows, reason)
        }
    };
    let verdict = match reason {
        _ if counter_examples.iter().any(|row| row.verdict == VerdictKind::Passed) => {
            Proven::PassesAnyway
        }
        Some(_) => Proven::Unproven,
        None => Proven::CanFail,
    };
    Row { id: case.id.to_string(), verdict, reason, counter_examples }
}

fn table(rows: &[Row]) -> String {
    let mut text: String = rows.iter().map(lines).collect();
    let count = |proven| rows.iter().filter(|row| row.verdict == proven).count();
    let [can, anyway, not] = [Proven::CanFail, Proven::PassesAnyway, Proven::Unproven].map(count);
    text += &format!("\n{can} can fail; {anyway} pass anyway; {not} not proven\n");
    text
}

fn lines(row: &Row) -> String {
    let mut text = format!("{:13} {}\n", row.verdict.word(), row.id);
    if let Some(reason) = row.reason.as_ref().filter(|_| row.verdict == Proven::Unproven) {
        text += &format!("  {}\n", shortened(reason, LINE_LIMIT));
    }
    for example in &row.counter_examples {
        let word =
            if example.verdict == VerdictKind::Failed { "red" } else { example.verdict.word() };
        text += &format!("  {word}: {}\n", shortened(&example.what, LINE_LIMIT));
    }
    text
}
