//! The command line: a table of contents. Each subcommand is a file.

mod check;
mod crowd;
mod import;
mod lab;
mod lab_ssh;
mod lint;
mod live;
mod merge;
mod output;
mod plan;
mod printing;
mod progress;
mod prove;
mod schema;
mod shard;

use clap::{Parser, Subcommand};
use output::tell_all;

use crate::error::Error;
use crate::exit_code::ExitCode;

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
    Merge(merge::MergeArgs),
    Schema(schema::SchemaArgs),
    Import(import::ImportArgs),
    Lab(lab::LabArgs),
}

/// Runs the command line and prints what went wrong.
pub fn main() -> ExitCode {
    if let Some(answered) = lab_ssh::askpass() {
        return answered;
    }
    let result: Result<ExitCode, Error> = match Arguments::parse().command {
        Command::Check(arguments) => check::run(&arguments),
        Command::Plan(arguments) => plan::run(&arguments),
        Command::Lint(arguments) => lint::run(&arguments),
        Command::Prove(arguments) => prove::run(&arguments),
        Command::Merge(arguments) => merge::run(&arguments),
        Command::Schema(arguments) => Ok(schema::run(&arguments)),
        Command::Import(arguments) => import::run(&arguments),
        Command::Lab(arguments) => lab::run(arguments),
    };
    result.unwrap_or_else(|error| {
        tell_all("error", error.problems());
        error.exit_code()
    })
}
