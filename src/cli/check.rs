//! `bootproof check`: runs the suite, shows what it saw, writes the reports.

use std::collections::HashSet;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::Format;
use super::plan::Selection;
use crate::analysis::vacuous::doubts;
use crate::exit_code::ExitCode;
use crate::report::redact::Redactor;
use crate::report::store::Destinations;
use crate::report::{Report, json, terminal};
use crate::run::RunSettings;
use crate::settings::{self, SettingsError};
use crate::spec::duration;
use crate::spec::plan::{AssertionId, Plan};

/// Run the suite on the VMs and report
#[derive(Debug, Args)]
#[command(after_help = concat!(
    "Examples:\n",
    "  bootproof check --wait 5m                       the gate: VMs have just booted\n",
    "  bootproof check --once --limit redis,immich-ml  a health check: is it so now?\n",
    "  bootproof check -i lab.json -s suite.json --report-junit TEST-lab.xml\n\n",
    "Reports go to reports/junit.xml and reports/report.json unless --report-junit or --report-json is given.\n",
    "`bootproof --help` lists the exit codes."
))]
pub struct CheckArgs {
    #[command(flatten)]
    selection: Selection,

    /// How long VMs are waited for and assertions tried until they hold ("90s", "5m") [env: BOOTPROOF_WAIT]
    /// [default: ask once]
    // clap would take the variable for a conflict with --once, which must outweigh it.
    #[arg(short, long, value_name = "TIME", value_parser = duration::parse)]
    wait: Option<Duration>,

    /// Ask once, even where the suite or BOOTPROOF_WAIT says to wait
    #[arg(long, conflicts_with = "wait")]
    once: bool,

    /// Take no evidence (journal, sockets, disk, memory) from VMs on which something is red
    #[arg(long)]
    no_evidence: bool,

    /// Red also when the inventory declares a VM or a port at which no assertion of the suite looks
    #[arg(long)]
    fail_uncovered: bool,

    /// When the whole run must have ended
    #[arg(long, value_name = "TIME", env = "BOOTPROOF_DEADLINE", default_value = "15m", value_parser = duration::parse)]
    deadline: Duration,

    /// Write JUnit XML here
    #[arg(long, value_name = "FILE")]
    report_junit: Option<PathBuf>,

    /// Write JSON here
    #[arg(long, value_name = "FILE")]
    report_json: Option<PathBuf>,

    /// What stands on standard output
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,

    /// Colour on standard output
    #[arg(long, value_enum, default_value_t = Colour::Auto)]
    color: Colour,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Colour {
    Auto,
    Always,
    Never,
}

impl CheckArgs {
    fn destinations(&self) -> Destinations {
        match (&self.report_junit, &self.report_json) {
            (None, None) => Destinations::in_folder(Path::new(settings::DEFAULT_REPORTS)),
            (junit, json) => Destinations { junit: junit.clone(), json: json.clone() },
        }
    }

    fn colour(&self) -> bool {
        match self.color {
            Colour::Auto => std::io::stdout().is_terminal() && console::colors_enabled(),
            Colour::Always => true,
            Colour::Never => false,
        }
    }
}

pub fn run(arguments: &CheckArgs) -> Result<ExitCode, SettingsError> {
    let plan = arguments.selection.plan()?;
    let selected = arguments.selection.of(&plan)?;
    let secrets = settings::read_secrets(&plan, &selected)?;
    let redactor = Redactor::new(&secrets.values());
    for doubt in vacuous(&plan, &selected) {
        super::tell("warning", &redactor.text(&doubt));
    }
    let destinations = arguments.destinations();
    // Before hours of work: can they be written at all?
    if tell(&destinations.write(&Report::unfinished(&plan, &redactor))) {
        return Ok(ExitCode::Internal);
    }
    let from_environment = settings::span_variable("BOOTPROOF_WAIT")?;
    let run = RunSettings {
        wait: arguments.wait.or(from_environment).unwrap_or(Duration::ZERO),
        once: arguments.once,
        deadline: Some(arguments.deadline),
        evidence: !arguments.no_evidence,
    };
    let Some(finished) = super::play(&plan, &selected, &secrets, run, &redactor) else {
        return Ok(ExitCode::Internal);
    };
    let report =
        Report::new(&plan, &finished, &redactor).with_coverage_required(arguments.fail_uncovered);
    let failed_to_write = tell(&destinations.write(&report));
    match arguments.format {
        Format::Human => super::show(&terminal::render(&report, arguments.colour())),
        Format::Json => super::show(&json::render(&report)),
    }
    let paths: Vec<_> = destinations.paths().map(|path| path.display().to_string()).collect();
    eprintln!("reports: {}", paths.join(", "));
    Ok(ExitCode::of_run(finished.stop, report.totals, report.is_sound(), !failed_to_write))
}

/// Of checks that can never fail: green says nothing about them, and `lint` need not have been asked.
fn vacuous(plan: &Plan, selected: &HashSet<AssertionId>) -> Vec<String> {
    let chosen = plan.assertions.iter().filter(|one| selected.contains(&one.id));
    let found =
        chosen.flat_map(|one| doubts(&one.expectation).into_iter().map(move |doubt| (one, doubt)));
    let never = found.filter(|(_, doubt)| doubt.never_fails);
    never
        .map(|(one, doubt)| {
            format!("{}:{}: {}: {}\n  hint: {}", one.file, one.line, one.id, doubt.why, doubt.hint)
        })
        .collect()
}

/// Prints what could not be written; whether there was anything.
fn tell(errors: &[crate::report::store::StoreError]) -> bool {
    for error in errors {
        super::tell("error", error);
    }
    !errors.is_empty()
}
