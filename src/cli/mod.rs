//! The command line: a table of contents. Each subcommand is a file.

mod check;
mod import;
mod lab;
mod lint;
mod plan;
mod progress;
mod prove;
mod schema;

use std::fmt::Display;
use std::io::{self, ErrorKind, Write};

use clap::{Parser, Subcommand, ValueEnum};
use progress::Progress;

use crate::error::Error;
use crate::exit_code::ExitCode;
use crate::gate::{self, Ending, Gate};
use crate::problem::Problem;
use crate::report::text::harmless;
use crate::run::RunSettings;

/// Check over SSH that the VMs that booted are the VMs you specified
///
/// bootproof reads an inventory of VMs, logs in over SSH, runs a suite of
/// assertions, and reports as text, JUnit and JSON. It writes nothing on a VM.
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
    let result: Result<ExitCode, Error> = match Arguments::parse().command {
        Command::Check(arguments) => check::run(&arguments),
        Command::Plan(arguments) => plan::run(&arguments),
        Command::Lint(arguments) => Ok(lint::run(&arguments)),
        Command::Prove(arguments) => prove::run(&arguments),
        Command::Schema(arguments) => Ok(schema::run(&arguments)),
        Command::Import(arguments) => {
            import::run(&arguments).map_err(|e| Error::from(Problem::new(e.to_string())))
        }
        Command::Lab(arguments) => Ok(lab::run(arguments)),
    };
    result.unwrap_or_else(|error| {
        tell_all("error", error.problems());
        error.exit_code()
    })
}

/// What a command prints on standard output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people
    Human,
    /// JSON
    Json,
}

/// Runs with a live line for each VM.
fn run_with_progress(gate: Gate, settings: RunSettings) -> Result<Ending, Error> {
    let progress = Progress::new(gate.plan(), gate.selected());
    let listener = progress.listener(gate.redactor().clone());
    let ending = gate.run(&gate::engine()?, settings, listener);
    progress.end();
    Ok(ending)
}

/// Prints each problem on standard error, with its level before each.
fn tell_all(level: &str, problems: &[Problem]) {
    problems.iter().for_each(|problem| tell(level, problem));
}

/// Prints an error or a warning on standard error. Its text may come from a hostile file.
fn tell(level: &str, what: &impl Display) {
    eprintln!("{level}: {}", harmless(&what.to_string()));
}

/// The columns of the terminal on standard output; `None` when it is none.
fn width() -> Option<usize> {
    let terminal = console::Term::stdout();
    terminal.is_term().then(|| usize::from(terminal.size().1))
}

/// Prints on standard output. A reader that leaves early, such as `head`, does not change the exit
/// code.
fn show(text: &str) {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            eprintln!("error: cannot print: {error}")
        }
        _ => {}
    }
}
