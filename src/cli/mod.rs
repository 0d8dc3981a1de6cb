//! The command line: a table of contents. Each subcommand is a file.

mod check;
mod import;
mod lab;
mod lint;
mod plan;
mod progress;
mod prove;
mod schema;

use std::collections::HashSet;
use std::error::Error;
use std::fmt::Display;
use std::io::{self, ErrorKind, Write};

use clap::{Parser, Subcommand, ValueEnum};
use progress::Progress;

use crate::exit_code::ExitCode;
use crate::problem::Problems;
use crate::record::RunRecord;
use crate::report::redact::Redactor;
use crate::report::text::harmless;
use crate::run::{RunSettings, Runner};
use crate::secrets::Secrets;
use crate::settings::SettingsError;
use crate::spec::plan::{AssertionId, Plan};

/// Proves that the VMs that booted are the VMs that were specified.
///
/// bootproof reads an inventory of VMs, logs in over SSH, runs a suite of assertions and writes what it saw as JUnit
/// and JSON. It writes nothing on a VM.
#[derive(Debug, Parser)]
#[command(version, after_help = ExitCode::TABLE)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Check(check::CheckArgs),
    Plan(plan::PlanArgs),
    Lint(lint::LintArgs),
    Prove(prove::ProveArgs),
    Schema(schema::SchemaArgs),
    Import(import::ImportArgs),
    Lab(lab::LabArgs),
}

/// Runs the command line and prints what went wrong.
pub fn main() -> ExitCode {
    if let Some(answered) = lab::askpass() {
        return answered;
    }
    let result: Result<ExitCode, Box<dyn Error>> = match Arguments::parse().command {
        Command::Check(arguments) => check::run(&arguments).map_err(Into::into),
        Command::Plan(arguments) => plan::run(&arguments).map_err(Into::into),
        Command::Lint(arguments) => {
            lint::run(&arguments).map_err(|error| Problems(error.problems().to_vec()).into())
        }
        Command::Prove(arguments) => prove::run(&arguments).map_err(Into::into),
        Command::Schema(arguments) => Ok(schema::run(&arguments)),
        Command::Import(arguments) => import::run(&arguments),
        Command::Lab(arguments) => Ok(lab::run(arguments)),
    };
    result.unwrap_or_else(|error| {
        let in_a_file = match error.downcast_ref() {
            Some(SettingsError::Spec(mistakes)) => Some(mistakes),
            _ => error.downcast_ref(),
        };
        match in_a_file {
            Some(Problems(mistakes)) => mistakes.iter().for_each(|one| tell("error", one)),
            None => tell("error", &error),
        }
        ExitCode::Usage
    })
}

/// What stands on standard output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people
    Human,
    /// JSON
    Json,
}

/// Runs what is selected, with a live line a VM; `None` when it cannot be started, which is told.
fn play(
    plan: &Plan,
    selected: &HashSet<AssertionId>,
    secrets: &Secrets,
    settings: RunSettings,
    redactor: &Redactor,
) -> Option<RunRecord> {
    let progress = Progress::new(plan, selected);
    let runner =
        Runner::start(plan, selected, secrets, settings, progress.listener(redactor.clone()));
    let runner =
        runner.inspect_err(|error| eprintln!("error: cannot start the run: {error}")).ok()?;
    let finished = runner.finish(plan);
    progress.end();
    Some(finished)
}

/// Prints an error or a warning on standard error. It can quote a file that somebody else has written.
fn tell(level: &str, what: &impl Display) {
    eprintln!("{level}: {}", harmless(&what.to_string()));
}

/// Prints on standard output. A reader that leaves early, such as `head`, changes nothing about how the command ends.
fn show(text: &str) {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            eprintln!("error: cannot print: {error}")
        }
        _ => {}
    }
}
