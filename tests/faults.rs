//! `make faults`: plants faults on the four real VMs of the lab, one after the other, and compares
//! what the suites report with what they should report. After each fault, every VM that it touched
//! is restored from its snapshot. The result is a table, the fault matrix, on the screen and in
//! `reports/faults.txt`.
//!
//! The faults are data: `tests/faults/immich-photo-vault.json`.
//! `cargo test --test faults -- redis` plants those with `redis` in their name.
//!
//! `BOOTPROOF_FAULTS_THIRD=0` (or `1`, or `2`) plants only every third fault of the file, beginning
//! with the first (second, third), so that each third has its share of the slow ones. CI plants one
//! third for each commit; `.ci/run` chooses it. Any other value is an error. Without the variable,
//! or when it is empty, all faults are planted.

#[path = "faults/compare.rs"]
mod compare;
#[path = "faults/fault.rs"]
mod fault;
#[path = "faults/matrix.rs"]
mod matrix;
#[path = "faults/plant.rs"]
mod plant;
#[path = "faults/third.rs"]
mod third;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bootproof::error::Error;
use bootproof::gate::{self, Ending, Gate, Request};
use bootproof::problem::{Problem, Problems};
use bootproof::record::Stop;
use bootproof::report::store::Destinations;
use bootproof::run::{Engine, RunSettings};
use bootproof::settings::{self, LOCAL_INVENTORY, Sources};
use bootproof::spec::plan::PlannedAssertion;
use libtest_mimic::{Arguments, Failed, Trial};
use serde_json::Value;
use tempfile::NamedTempFile;

use compare::{differences, expected_counts, instabilities, red_rows, reported_counts};
use fault::Fault;
use matrix::{Matrix, Row};
use plant::{lab, plant};
use third::Third;

const FAULTS: &str = "tests/faults/immich-photo-vault.json";
const SUITES: [&str; 2] =
    ["suites/immich-photo-vault-validation.json", "suites/immich-photo-vault-contract.json"];

/// A run that takes longer than this hangs.
const DEADLINE: Duration = Duration::from_mins(5);

/// How long the untouched lab may take until all is well.
const READINESS_BUDGET: Duration = Duration::from_mins(3);

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // There is one lab, so one fault at a time.
    arguments.test_threads = Some(1);
    run_trials(&arguments).unwrap_or_else(|error| {
        for problem in error.problems() {
            eprintln!("error: {problem}");
        }
        ExitCode::from(101)
    })
}

fn run_trials(arguments: &Arguments) -> Result<ExitCode, Error> {
    let engine = Arc::new(gate::engine()?);
    let third = Third::from_environment()?;
    let faults = Fault::read_all(Path::new(FAULTS))?;
    let matrix = Arc::new(Mutex::new(Matrix::new(third, faults.len())));
    let chosen = third::choose(faults, third);
    if arguments.list {
        let trials = trials(chosen, "", &engine, &matrix);
        return Ok(libtest_mimic::run(arguments, trials).exit_code());
    }
    check_the_untouched_lab(&engine)?;
    let password = password()?;
    lab(&["snapshot"])?;
    let conclusion = libtest_mimic::run(arguments, trials(chosen, &password, &engine, &matrix));
    matrix.lock().expect("no trial panicked").publish()?;
    Ok(conclusion.exit_code())
}

fn trials(
    faults: Vec<Fault>,
    password: &str,
    engine: &Arc<Engine>,
    matrix: &Arc<Mutex<Matrix>>,
) -> Vec<Trial> {
    let trial = |fault: Fault| {
        let (password, engine, matrix) = (password.to_owned(), engine.clone(), matrix.clone());
        Trial::test(fault.name.replace(' ', "-"), move || {
            let row = plant_and_compare(&fault, &password, &engine);
            // Printed at once: whoever interrupts the rest has this.
            for difference in &row.differences {
                eprintln!("\n  {difference}");
            }
            let result = row.result().map_err(Failed::from);
            matrix.lock().expect("no trial panicked").rows.push(row);
            result
        })
    };
    faults.into_iter().map(trial).collect()
}

/// A fault proves something only on a lab where all was well before.
fn check_the_untouched_lab(engine: &Engine) -> Result<(), Error> {
    if !Path::new(LOCAL_INVENTORY).exists() {
        let hint = "boot it with `bootproof lab up`, or run `make faults`";
        return Err(Problem::new("the lab is not up").hint(hint).into());
    }
    let inventory = Path::new(LOCAL_INVENTORY);
    let Ending { report, .. } = run(engine, inventory, &both_suites(), READINESS_BUDGET, |_| true)?;
    let red = red_rows(&report).map(|row| format!("{}: {}", row.id, compare::explanation(row)));
    let complaints: Vec<Problem> = red.chain(instabilities(&report)).map(Problem::new).collect();
    if complaints.is_empty() {
        eprintln!("the lab is healthy: {} assertions passed", report.totals.passed);
        return Ok(());
    }
    let summary = Problem::new("the lab is not healthy before the first fault")
        .hint("restore it with `bootproof lab restore`, or boot it anew");
    Err(Problems([vec![summary], complaints].concat()).into())
}

/// The password with which the VMs of the lab allow sudo.
fn password() -> Result<String, Problem> {
    let inventory = local_inventory()?;
    Ok(inventory["defaults"]["password"].as_str().unwrap_or_default().to_owned())
}

fn local_inventory() -> Result<Value, Problem> {
    let text = std::fs::read_to_string(LOCAL_INVENTORY)
        .map_err(Problem::io(format!("read {LOCAL_INVENTORY}")))?;
    serde_json::from_str(&text).map_err(|error| Problem::new(format!("{LOCAL_INVENTORY}: {error}")))
}

/// Plants one fault, runs the suites, restores the VMs, and compares.
fn plant_and_compare(fault: &Fault, password: &str, engine: &Engine) -> Row {
    let started = Instant::now();
    let ending =
        plant(fault, password).map_err(Error::from).and_then(|()| look_at_the_fault(fault, engine));
    let restored = restore(fault);
    let (reported, mut differences) = match &ending {
        Ok(Ending { report, exit_code, .. }) => {
            (reported_counts(report), differences(fault, report, *exit_code))
        }
        Err(error) => {
            let problems = error.problems().iter().map(ToString::to_string);
            ("-".to_owned(), problems.collect())
        }
    };
    differences.extend(restored.err().map(|problem| problem.to_string()));
    Row {
        fault: fault.name.clone(),
        expected: expected_counts(fault),
        reported,
        took: started.elapsed(),
        why_green: fault.green.clone(),
        differences,
    }
}

fn look_at_the_fault(fault: &Fault, engine: &Engine) -> Result<Ending, Error> {
    let suites = fault.suite.clone().map_or_else(both_suites, |suite| vec![suite]);
    let selects = |assertion: &PlannedAssertion| fault.selects(assertion);
    let local = Path::new(LOCAL_INVENTORY);
    let Some(pair) = &fault.swap_logins else {
        return run(engine, local, &suites, fault.wait, selects);
    };
    let swapped = swapped_inventory(pair)?;
    run(engine, swapped.path(), &suites, fault.wait, selects)
}

/// A copy of the lab's inventory, beside it, in which two VMs have each other's `ssh`.
fn swapped_inventory([one, other]: &[String; 2]) -> Result<NamedTempFile, Problem> {
    let mut inventory = local_inventory()?;
    let vms = &mut inventory["vms"];
    let ssh = vms[one]["ssh"].take();
    vms[one]["ssh"] = vms[other]["ssh"].take();
    vms[other]["ssh"] = ssh;
    let folder = Path::new(LOCAL_INVENTORY).parent().unwrap_or(Path::new("."));
    let failed = || Problem::io("write an inventory with swapped logins");
    let file = tempfile::Builder::new().prefix("local-").suffix(".json").tempfile_in(folder);
    let mut file = file.map_err(failed())?;
    file.write_all(inventory.to_string().as_bytes()).map_err(failed())?;
    Ok(file)
}

fn restore(fault: &Fault) -> Result<(), Problem> {
    if fault.touched_vms().is_empty() {
        // Without names, `restore` means all VMs.
        return Ok(());
    }
    let mut arguments = vec!["restore"];
    arguments.extend(fault.touched_vms());
    lab(&arguments)
}

fn both_suites() -> Vec<PathBuf> {
    SUITES.map(PathBuf::from).to_vec()
}

/// Runs the selected assertions of the suites: once, or for as long as `wait` allows.
fn run(
    engine: &Engine,
    inventory: &Path,
    suites: &[PathBuf],
    wait: Duration,
    selects: impl Fn(&PlannedAssertion) -> bool,
) -> Result<Ending, Error> {
    let (inventory, suites) = (Some(inventory.to_owned()), suites.to_vec());
    let plan = settings::load_plan(&Sources { inventory, suites, vars: Vec::new() })?;
    let chosen = plan.assertions.iter().filter(|assertion| selects(assertion));
    let selected = chosen.map(|assertion| assertion.id.clone()).collect();
    let destinations = Destinations::nowhere();
    let gate = Gate::prepare(Request {
        plan,
        selected,
        destinations,
        coverage_required: false,
        part: None,
    })?;
    let settings = RunSettings {
        wait,
        once: wait.is_zero(),
        deadline: Some(DEADLINE),
        evidence: false,
        jobs: None,
    };
    let ending = gate.run(engine, settings, Arc::new(|_| {}));
    if matches!(ending.record.stop, Some(Stop::Interrupt | Stop::Terminate)) {
        // The engine caught the signal, but it was meant for the whole process.
        eprintln!("\ninterrupted; `bootproof lab restore` undoes what was planted");
        std::process::exit(130);
    }
    Ok(ending)
}
