//! `bootproof check`: runs the suite, prints the result, writes the reports.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use indexmap::IndexMap;

use super::output::{tell, tell_all};
use super::plan::Selection;
use super::printing::Printing;
use super::progress::{run_silently, run_with_progress};
use super::shard::ShardArgs;
use crate::analysis::vacuous::doubts;
use crate::error::Error;
use crate::exit_code::ExitCode;
use crate::gate::{Gate, Request};
use crate::problem::Problem;
use crate::report::nodes::folded;
use crate::report::store::{Destinations, Published};
use crate::report::text::harmless;
use crate::run::RunSettings;
use crate::settings::{self, Loaded};
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
  bootproof check -i lab.json --shard 3/8 --publish parts
      one of eight machines that share the work; `bootproof merge --help` goes on

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
    shard: ShardArgs,

    /// What the shards of this run have in common, and no other run has
    /// [env: BOOTPROOF_RUN_ID] [default: the id of the CI run, or one made from the
    /// files]
    #[arg(long, value_name = "ID")]
    run_id: Option<String>,

    /// Put the report of the shard into this folder as shard-3-of-8.json, unless it
    /// is there already; `merge` reads the folder
    #[arg(long, value_name = "DIR")]
    publish: Option<PathBuf>,

    #[command(flatten)]
    printing: Printing,
}

impl CheckArgs {
    fn destinations(&self) -> Destinations {
        let reports = match (&self.report_junit, &self.report_json) {
            (None, None) => Destinations::in_folder(Path::new(settings::DEFAULT_REPORTS)),
            (junit, json) => Destinations { junit: junit.clone(), json: json.clone(), parts: None },
        };
        Destinations { parts: self.publish.clone(), ..reports }
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

/// What to run: all of the selection, or what of it is in a shard.
fn request(arguments: &CheckArgs) -> Result<Request, Error> {
    let wanted = arguments.shard.wanted()?;
    let for_shards =
        [("--publish", arguments.publish.is_some()), ("--run-id", arguments.run_id.is_some())];
    if let Some((flag, _)) = for_shards.iter().find(|(_, given)| *given && wanted.is_none()) {
        let problem = Problem::new(format!("{flag} is for a shard, and --shard is not given"));
        return Err(problem.hint("say which shard this is, such as --shard 3/8").into());
    }
    let Loaded { plan, digests } = arguments.selection.load()?;
    let whole = arguments.selection.of(&plan)?;
    let (part, selected) = match wanted {
        None => (None, whole),
        Some(wanted) => {
            wanted.acknowledge()?;
            let made_of = (digests, arguments.selection.choice(), arguments.run_id.clone());
            let (part, selected) = wanted.part(&plan, &whole, made_of);
            (Some(part), selected)
        }
    };
    let (destinations, coverage_required) = (arguments.destinations(), arguments.fail_uncovered);
    Ok(Request { plan, selected, destinations, coverage_required, part })
}

pub fn run(arguments: &CheckArgs) -> Result<ExitCode, Error> {
    let settings = arguments.run_settings()?;
    let request = request(arguments)?;
    let report_names = request.destinations.names();
    let gate = Gate::prepare(request)?;
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
    arguments.printing.show_report(&ending.report);
    eprintln!("reports: {report_names}");
    if let Some(published) = &ending.published {
        tell_published(published);
    }
    Ok(ending.exit_code)
}

fn tell_published(published: &Published) {
    match published {
        Published::New(path) => eprintln!("published: {}", harmless(&path.display().to_string())),
        Published::Same(path) => {
            let message = format!("{} is there already, and says the same", path.display());
            tell("note", &Problem::new(message));
        }
        Published::Other(path) => {
            let message = format!(
                "{} is there already, and says something else; it was left as it is",
                path.display()
            );
            let hint = "publish each run in a folder of its own, or give each its own --run-id";
            tell("warning", &Problem::new(message).hint(hint));
        }
    }
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
