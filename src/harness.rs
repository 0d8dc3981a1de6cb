//! `cargo test --test lab`: every assertion of the plan is a libtest-mimic trial. libtest-mimic is named nowhere else.
//!
//! libtest's flags belong to libtest, so this face is set up by environment variables alone.

use std::collections::HashSet;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use libtest_mimic::{Arguments, Failed, Trial};
use thiserror::Error;

use crate::outcome::VerdictKind;
use crate::report::redact::Redactor;
use crate::report::store::Destinations;
use crate::report::text::{harmless, harmless_line};
use crate::report::{Report, ResultRow, because, terminal};
use crate::run::{Event, Listener, RunSettings, Runner};
use crate::settings::{self, SettingsError};
use crate::spec::plan::{AssertionId, Plan};

/// libtest's own code for "not green".
const NOT_GREEN: u8 = 101;

/// Waiting costs nothing: all trials may wait at once.
const THREADS_AT_MOST: usize = 256;

/// The harness cannot start.
#[derive(Debug, Error)]
enum HarnessError {
    #[error(transparent)]
    Settings(#[from] SettingsError),
    #[error("cannot start the run: {0}")]
    Start(#[from] std::io::Error),
}

/// What the environment says.
struct Environment {
    inventory: PathBuf,
    suites: Vec<PathBuf>,
    reports: PathBuf,
    run: RunSettings,
    /// nextest starts a process for each trial: each would overwrite the report of the one before.
    process_per_trial: bool,
}

impl Environment {
    fn read() -> Result<Self, HarnessError> {
        let path = |name: &str| {
            std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
        };
        let suites = std::env::var_os("BOOTPROOF_SUITE").filter(|value| !value.is_empty());
        Ok(Self {
            inventory: path("BOOTPROOF_INVENTORY").unwrap_or_else(settings::default_inventory),
            suites: suites.map_or_else(Vec::new, |list| std::env::split_paths(&list).collect()),
            reports: path("BOOTPROOF_REPORTS")
                .unwrap_or_else(|| PathBuf::from(settings::DEFAULT_REPORTS)),
            run: RunSettings {
                wait: settings::span_variable("BOOTPROOF_WAIT")?.unwrap_or(Duration::ZERO),
                once: false,
                deadline: settings::span_variable("BOOTPROOF_DEADLINE")?,
                evidence: true,
            },
            process_per_trial: std::env::var_os("NEXTEST").is_some(),
        })
    }
}

/// The whole of `tests/lab.rs`.
pub fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    run(arguments).unwrap_or_else(|error| {
        eprintln!("error: {}", harmless(&error.to_string()));
        ExitCode::from(NOT_GREEN)
    })
}

fn run(mut arguments: Arguments) -> Result<ExitCode, HarnessError> {
    let environment = Environment::read()?;
    let plan = settings::load_plan(&environment.inventory, &environment.suites)?;
    if arguments.list {
        // Names only: nothing is connected to, and nothing else is printed.
        return Ok(libtest_mimic::run(&arguments, trials(&plan, |_| Ok(()))).exit_code());
    }
    eprintln!(
        "bootproof: inventory {}, suite {}",
        plan.inventory.file,
        plan.suite_files.join(", ")
    );
    let selected = selected(&plan, &arguments);
    let secrets = settings::read_secrets(&plan, &selected)?;
    let redactor = Arc::new(Redactor::new(&secrets.values()));
    let reports = reports(&environment, &plan, &redactor);
    let runner =
        Arc::new(Runner::start(&plan, &selected, &secrets, environment.run, listener(&redactor))?);
    arguments.test_threads.get_or_insert(selected.len().clamp(1, THREADS_AT_MOST));

    let conclusion = libtest_mimic::run(&arguments, runner_trials(&plan, &runner, &redactor));
    let finished = runner.finish(&plan);
    let mut green = !conclusion.has_failed() && finished.stop.is_none();
    if let Some(stop) = finished.stop {
        eprintln!("bootproof: {stop}");
    }
    let report = Report::new(&plan, &finished, &redactor);
    // Trials have told what is red; what was seen of the VMs besides is for the end.
    eprint!("{}", terminal::aftermath(&report));
    green &= report.is_stable();
    if let Some(reports) = reports {
        let errors = reports.write(&report);
        for error in &errors {
            eprintln!("error: {error}");
        }
        green &= errors.is_empty();
        let paths: Vec<_> = reports.paths().map(|path| path.display().to_string()).collect();
        eprintln!("bootproof: reports in {}", paths.join(" and "));
    }
    Ok(if green { conclusion.exit_code() } else { ExitCode::from(NOT_GREEN) })
}

/// Where reports go, with a first one that says that the run has not ended.
fn reports(environment: &Environment, plan: &Plan, redactor: &Redactor) -> Option<Destinations> {
    if environment.process_per_trial {
        eprintln!(
            "bootproof: no report under nextest, which starts a process for each trial; use its own JUnit"
        );
        return None;
    }
    let reports = Destinations::in_folder(&environment.reports);
    for error in reports.write(&Report::unfinished(plan, redactor)) {
        eprintln!("error: {error}");
    }
    Some(reports)
}

fn trials(
    plan: &Plan,
    runner: impl Fn(AssertionId) -> Result<(), Failed> + Clone + Send + 'static,
) -> Vec<Trial> {
    let trial = |id: &AssertionId| {
        let (id, runner) = (id.clone(), runner.clone());
        Trial::test(id.to_string(), move || runner(id))
    };
    plan.assertions.iter().map(|one| trial(&one.id)).collect()
}

/// Trials that wait for their outcome; the run is under way on its own.
fn runner_trials(plan: &Plan, runner: &Arc<Runner>, redactor: &Arc<Redactor>) -> Vec<Trial> {
    let (runner, redactor, shared) = (runner.clone(), redactor.clone(), Arc::new(plan.clone()));
    trials(plan, move |id| {
        let outcome = runner.outcome(&id);
        if outcome.verdict.kind() == VerdictKind::Passed {
            return Ok(());
        }
        let Some(assertion) = shared.assertions.iter().find(|one| one.id == id) else {
            return Err(Failed::without_message());
        };
        // They are under way anyway: this one waits for those that can explain it.
        let because = because(&shared, assertion, |id| Some(runner.outcome(id)));
        let row = ResultRow::new(assertion, &outcome, &because, &redactor);
        Err(Failed::from(terminal::explain(&row)))
    })
}

/// libtest's own filter decides.
fn selected(plan: &Plan, arguments: &Arguments) -> HashSet<AssertionId> {
    let kept = plan.assertions.iter().filter(|one| {
        let trial = Trial::test(one.id.to_string(), || Ok(()));
        !arguments.is_filtered_out(&trial) && !arguments.is_ignored(&trial)
    });
    kept.map(|one| one.id.clone()).collect()
}

/// While trials wait for a VM, libtest is silent; a person wants to know for what.
fn listener(redactor: &Arc<Redactor>) -> Listener {
    let redactor = redactor.clone();
    let tame = move |text: &str| harmless_line(&redactor.line(text));
    Arc::new(move |event| match event {
        Event::Waiting { why, .. } => eprintln!("bootproof: waiting for {}", tame(&why)),
        Event::Lost { cause } => eprintln!("bootproof: gave up {}", tame(&cause.to_string())),
        Event::Ready { .. } | Event::Done { .. } => {}
    })
}
