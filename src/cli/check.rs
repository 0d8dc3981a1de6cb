//! `bootproof check`: runs the suite, prints the result, writes the reports.

use std::collections::HashMap;
use std::io::IsTerminal;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, ValueEnum};
use indexmap::IndexMap;

use super::output::{Format, show, show_exactly, tell_all, width};
use super::plan::Selection;
use super::progress::{run_silently, run_with_progress};
use crate::analysis::vacuous::doubts;
use crate::error::Error;
use crate::exit_code::ExitCode;
use crate::gate::{Gate, Request};
use crate::problem::Problem;
use crate::report::json;
use crate::report::nodes::folded;
use crate::report::store::Destinations;
use crate::report::terminal::{self, Screen};
use crate::run::RunSettings;
use crate::settings;
use crate::spec::duration;
use crate::spec::plan::PlannedAssertion;

/// Run the assertions on the VMs and report
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  bootproof check -i lab.json -s suite.json --wait 5m
      the gate after a boot: wait for the VMs, and for each assertion to hold
  bootproof check -i lab.json -s suite.json --once --limit redis,immich-ml
      a health check: ask two VMs once
  bootproof check -i lab.json -s suite.json --report-junit TEST-lab.xml
  bootproof check -i lab.json -s suite.json --once --quiet
      from cron: mail only if something is not green

Reports go to reports/junit.xml and reports/report.json, or only to the files that --report-junit \
and --report-json name. `bootproof --help` lists the exit codes.")]
pub struct CheckArgs {
    #[command(flatten)]
    selection: Selection,

    /// How long to wait for VMs, and for each assertion to hold ("90s", "5m")
    /// [env: BOOTPROOF_WAIT] [default: ask once]
    // With `env`, clap would report a conflict with --once, which overrides the variable.
    #[arg(short, long, value_name = "TIME", value_parser = duration::parse)]
    wait: Option<Duration>,

    /// Ask once, even if the suite or BOOTPROOF_WAIT says to wait
    #[arg(long, conflicts_with = "wait")]
    once: bool,

    /// Do not collect evidence (journal, sockets, disk, memory) from VMs with red
    /// assertions
    #[arg(long)]
    no_evidence: bool,

    /// Also fail if a declared VM or port has no assertion
    #[arg(long)]
    fail_uncovered: bool,

    /// Time limit for the whole run
    #[arg(long, value_name = "TIME", env = "BOOTPROOF_DEADLINE", default_value = "15m", value_parser = duration::parse)]
    deadline: Duration,

    /// How many VMs to work on at once [default: 8 at first, then up to 64 as long as they
    /// let bootproof in quickly]
    #[arg(short, long, value_name = "N", env = "BOOTPROOF_JOBS")]
    jobs: Option<NonZeroUsize>,

    /// Write JUnit XML to this file
    #[arg(long, value_name = "FILE")]
    report_junit: Option<PathBuf>,

    /// Write JSON to this file
    #[arg(long, value_name = "FILE")]
    report_json: Option<PathBuf>,

    #[command(flatten)]
    printing: Printing,
}

/// What is printed, and how.
#[derive(Debug, Args)]
struct Printing {
    /// List every assertion of every VM, and every message; without it, what is the
    /// same on many VMs is one line or one block
    #[arg(short, long)]
    verbose: bool,

    /// Print nothing if everything passes, as for cron
    #[arg(short, long)]
    quiet: bool,

    /// Output format
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,

    /// When to use color
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

    fn run_settings(&self) -> Result<RunSettings, Error> {
        let from_environment = settings::span_variable("BOOTPROOF_WAIT")?;
        Ok(RunSettings {
            wait: self.wait.or(from_environment).unwrap_or(Duration::ZERO),
            once: self.once,
            deadline: Some(self.deadline),
            jobs: self.jobs,
            evidence: !self.no_evidence,
        })
    }
}

impl Printing {
    fn screen(&self) -> Screen {
        let colour = match self.color {
            Colour::Auto => std::io::stdout().is_terminal() && console::colors_enabled(),
            Colour::Always => true,
            Colour::Never => false,
        };
        Screen { colour, width: width(), verbose: self.verbose }
    }
}

pub fn run(arguments: &CheckArgs) -> Result<ExitCode, Error> {
    let plan = arguments.selection.plan()?;
    let selected = arguments.selection.of(&plan)?;
    let destinations = arguments.destinations();
    let report_names = destinations.names();
    let coverage_required = arguments.fail_uncovered;
    let settings = arguments.run_settings()?;
    let gate = Gate::prepare(Request { plan, selected, destinations, coverage_required })?;
    let warnings = vacuous(&gate);
    let ending = if arguments.printing.quiet {
        run_silently(gate, settings)?
    } else {
        tell_all("warning", &warnings);
        run_with_progress(gate, settings)?
    };
    if arguments.printing.quiet {
        if ending.exit_code == ExitCode::Conforms {
            return Ok(ending.exit_code);
        }
        tell_all("warning", &warnings);
    }
    tell_all("error", &ending.problems);
    match arguments.printing.format {
        Format::Human => show(&terminal::render(&ending.report, arguments.printing.screen())),
        Format::Json => show_exactly(&json::render(&ending.report)),
    }
    eprintln!("reports: {report_names}");
    Ok(ending.exit_code)
}

/// Warns of checks that can never fail: green says nothing about them, and not everybody runs
/// `lint`. What is the same on many VMs is one warning.
fn vacuous(gate: &Gate) -> Vec<Problem> {
    let mut found: IndexMap<(String, String, String), Vec<&PlannedAssertion>> = IndexMap::new();
    let mut known = HashMap::new();
    for assertion in &gate.plan().assertions {
        if !gate.selected().contains(&assertion.id) {
            continue;
        }
        // Assertions on several VMs share what they expect, and its doubts.
        let doubts = known
            .entry(Arc::as_ptr(&assertion.expectation))
            .or_insert_with(|| doubts(&assertion.expectation));
        for doubt in doubts.iter().filter(|doubt| doubt.never_fails) {
            let place = format!("{}:{}", assertion.file, assertion.line);
            let key = (place, doubt.why.clone(), doubt.hint.clone());
            found.entry(key).or_default().push(assertion);
        }
    }
    let warning = |((place, why, hint), assertions): (_, Vec<&PlannedAssertion>)| {
        let about = match assertions[..] {
            [only] => only.id.to_string(),
            _ => folded(assertions.iter().map(|assertion| &*assertion.vm)),
        };
        let message = format!("{place}: {about}: {why}");
        let [message, hint] = [message, hint].map(|text| gate.redactor().text(&text));
        Problem::new(message).hint(hint)
    };
    found.into_iter().map(warning).collect()
}
