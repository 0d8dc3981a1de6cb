//! `bootproof prove`: would the checks notice? Runs each where what it looks at is not there.

use std::collections::HashMap;
use std::time::Duration;

use clap::Args;
use serde::Serialize;

use super::Format;
use super::plan::Selection;
use crate::analysis::proof::{Case, Example, Proof};
use crate::exit_code::ExitCode;
use crate::outcome::{Outcome, VerdictKind};
use crate::report::Totals;
use crate::report::redact::Redactor;
use crate::report::text::{harmless_line, shortened};
use crate::run::RunSettings;
use crate::settings::{self, SettingsError};
use crate::spec::duration;
use crate::spec::plan::AssertionId;

/// A line on the screen is cut after so many characters.
const LINE_LIMIT: usize = 300;

/// Run every check where what it looks at is absent, and list those that pass all the same
#[derive(Debug, Args)]
#[command(after_help = concat!(
    "A check that cannot fail proves nothing. Here each one is asked as it is, and then with a closed port, an absent\n",
    "path, or `false` in the place of a program: that must be red. Nothing is written on a VM; a command that may do\n",
    "more than read is left alone. An assertion can bring its own: `\"counter_example\": {\"command\": \"...\"}`.\n\n",
    "Examples:\n",
    "  bootproof prove --dry-run        what would be asked; connects to nothing\n",
    "  bootproof prove --limit redis\n\n",
    "Exit codes:\n",
    "  0  every check can fail\n",
    "  1  a check passes anyway\n",
    "  2  the command line or a file is wrong\n",
    "  3  something could not be proven, and no check passes anyway\n",
    "`bootproof --help` lists the others."
))]
pub struct ProveArgs {
    #[command(flatten)]
    selection: Selection,

    /// Print the counter-examples and connect to nothing
    #[arg(long)]
    dry_run: bool,

    /// When the whole run must have ended
    #[arg(long, value_name = "TIME", env = "BOOTPROOF_DEADLINE", default_value = "15m", value_parser = duration::parse)]
    deadline: Duration,

    /// What stands on standard output
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,
}

/// What is known of a check.
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

pub fn run(arguments: &ProveArgs) -> Result<ExitCode, SettingsError> {
    let plan = arguments.selection.plan()?;
    let selected = arguments.selection.of(&plan)?;
    let proof = Proof::of(&plan, &selected);
    if arguments.dry_run {
        super::show(&proof.cases.iter().map(intent).collect::<String>());
        return Ok(if selected.is_empty() {
            ExitCode::NothingSelected
        } else {
            ExitCode::Conforms
        });
    }
    let ids = proof.ids();
    let secrets = settings::read_secrets(&proof.plan, &ids)?;
    let redactor = Redactor::new(&secrets.values());
    let settings = RunSettings {
        wait: Duration::ZERO,
        once: true,
        deadline: Some(arguments.deadline),
        evidence: false,
    };
    let Some(finished) = super::play(&proof.plan, &ids, &secrets, settings, &redactor) else {
        return Ok(ExitCode::Internal);
    };
    let rows: Vec<Row> =
        proof.cases.iter().map(|case| row(case, &finished.outcomes, &redactor)).collect();
    match arguments.format {
        Format::Human => super::show(&table(&rows)),
        Format::Json => super::show(&format!("{:#}\n", serde_json::json!({ "results": rows }))),
    }
    let stable = finished.vms.values().all(|vm| vm.unrest.is_empty());
    let totals = Totals::count(rows.iter().map(|row| row.verdict.as_kind()));
    Ok(ExitCode::of_run(finished.stop, totals, stable, true))
}

impl Proven {
    fn word(self) -> &'static str {
        match self {
            Self::CanFail => "can fail",
            Self::PassesAnyway => "passes anyway",
            Self::Unproven => "not proven",
        }
    }

    /// What it is to the exit code.
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
        Err(reason) => format!("  none: {}\n", harmless_line(&reason.to_string())),
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
