//! `cargo test --test lab`: every assertion of the plan is a libtest-mimic trial. libtest-mimic is
//! named nowhere else.
//!
//! libtest's flags belong to libtest, so environment variables alone configure this face.

use std::collections::HashSet;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use libtest_mimic::{Arguments, Failed, Trial};

use crate::error::Error;
use crate::gate::{self, Ending, Gate, Request, Running};
use crate::outcome::VerdictKind;
use crate::report::explain::explain;
use crate::report::redact::Redactor;
use crate::report::store::Destinations;
use crate::report::terminal::{self, Screen};
use crate::report::text::{harmless, harmless_line};
use crate::run::{Event, Listener, RunSettings};
use crate::settings::{self, Sources};
use crate::spec::plan::{AssertionId, Plan};

/// libtest's own code for "not green".
const NOT_GREEN: u8 = 101;

/// Waiting costs nothing: all trials may wait at once.
const MAX_THREADS: usize = 256;

/// What the environment says.
struct Environment {
    sources: Sources,
    reports: PathBuf,
    run: RunSettings,
    /// nextest starts a process for each trial: each would overwrite the report of the one before.
    process_per_trial: bool,
}

impl Environment {
    fn read() -> Result<Self, Error> {
        let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        let suites = variable("BOOTPROOF_SUITE");
        let reports = variable("BOOTPROOF_REPORTS");
        Ok(Self {
            sources: Sources {
                inventory: variable("BOOTPROOF_INVENTORY").map(PathBuf::from),
                suites: suites.map_or_else(Vec::new, |list| std::env::split_paths(&list).collect()),
                vars: settings::vars_variable(),
            },
            reports: reports.map_or_else(|| settings::DEFAULT_REPORTS.into(), PathBuf::from),
            run: RunSettings {
                wait: settings::span_variable("BOOTPROOF_WAIT")?.unwrap_or(Duration::ZERO),
                once: false,
                deadline: settings::span_variable("BOOTPROOF_DEADLINE")?,
                jobs: settings::jobs_variable()?,
                evidence: true,
            },
            process_per_trial: variable("NEXTEST").is_some(),
        })
    }

    fn destinations(&self) -> Destinations {
        if self.process_per_trial {
            eprintln!(
                "bootproof: nextest starts a process for each trial, so there is no report of all; \
                 use the JUnit report of nextest"
            );
            return Destinations::nowhere();
        }
        Destinations::in_folder(&self.reports)
    }
}

/// The whole of `tests/lab.rs`.
pub fn main() -> ExitCode {
    run(Arguments::from_args()).unwrap_or_else(|error| {
        for problem in error.problems() {
            eprintln!("error: {}", harmless(&problem.to_string()));
        }
        ExitCode::from(NOT_GREEN)
    })
}

fn run(mut arguments: Arguments) -> Result<ExitCode, Error> {
    let environment = Environment::read()?;
    let plan = settings::load_plan(&environment.sources)?;
    if arguments.list {
        // Names only: nothing connects, and nothing else is printed.
        let trials = trials(&plan, |_| Ok(()));
        return Ok(libtest_mimic::run(&arguments, trials).exit_code());
    }
    let suites = plan.suite_files.join(", ");
    eprintln!("bootproof: inventory {}, suite {suites}", plan.inventory.file);
    let selected = selected(&plan, &arguments);
    arguments.test_threads.get_or_insert(selected.len().clamp(1, MAX_THREADS));
    let destinations = environment.destinations();
    let request = Request { plan, selected, destinations, coverage_required: false, part: None };
    let gate = Arc::new(Gate::prepare(request)?);
    let engine = gate::engine()?;
    let listener = listener(gate.redactor().clone());
    let running = Arc::new(gate.clone().start(&engine, environment.run, listener));

    let conclusion = libtest_mimic::run(&arguments, waiting_trials(gate.plan(), &running));
    let ending = running.finish();
    let green = conclude(&ending, &environment) && !conclusion.has_failed();
    Ok(if green { conclusion.exit_code() } else { ExitCode::from(NOT_GREEN) })
}

/// Prints what the trials did not; whether all of it is green.
fn conclude(ending: &Ending, environment: &Environment) -> bool {
    if let Some(stop) = ending.record.stop {
        eprintln!("bootproof: {stop}");
    }
    eprint!("{}", terminal::aftermath(&ending.report, Screen::default()));
    for problem in &ending.problems {
        eprintln!("error: {problem}");
    }
    if !environment.process_per_trial {
        let names = Destinations::in_folder(&environment.reports).names();
        eprintln!("bootproof: reports: {names}");
    }
    ending.record.stop.is_none() && ending.report.is_stable() && ending.problems.is_empty()
}

fn trials(
    plan: &Plan,
    run: impl Fn(AssertionId) -> Result<(), Failed> + Clone + Send + 'static,
) -> Vec<Trial> {
    let trial = |id: &AssertionId| {
        let (id, run) = (id.clone(), run.clone());
        Trial::test(id.to_string(), move || run(id))
    };
    plan.assertions.iter().map(|assertion| trial(&assertion.id)).collect()
}

/// Trials that wait for their outcome; the run is under way on its own.
fn waiting_trials(plan: &Plan, running: &Arc<Running>) -> Vec<Trial> {
    let running = running.clone();
    trials(plan, move |id| match running.row(&id) {
        Some(row) if row.verdict == VerdictKind::Passed => Ok(()),
        Some(row) => Err(Failed::from(explain(&row))),
        None => Err(Failed::from(format!("{id} is not in the plan"))),
    })
}

/// libtest's own filter decides.
fn selected(plan: &Plan, arguments: &Arguments) -> HashSet<AssertionId> {
    let kept = plan.assertions.iter().filter(|assertion| {
        let trial = Trial::test(assertion.id.to_string(), || Ok(()));
        !arguments.is_filtered_out(&trial) && !arguments.is_ignored(&trial)
    });
    kept.map(|assertion| assertion.id.clone()).collect()
}

/// While trials wait for a VM, libtest is silent; a person wants to know for what.
fn listener(redactor: Redactor) -> Listener {
    let clean = move |text: &str| harmless_line(&redactor.line(text));
    Arc::new(move |event| match event {
        Event::Waiting { why, .. } => eprintln!("bootproof: waiting for {}", clean(&why)),
        Event::Lost { cause } => eprintln!("bootproof: gave up on {}", clean(&cause.to_string())),
        Event::Ready { .. } | Event::Done { .. } => {}
    })
}
