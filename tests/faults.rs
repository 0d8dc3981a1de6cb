//! `make faults`: plants faults on the four real VMs of the lab, one after the other, and compares what the suites say
//! with what they should say. Every VM that was touched is restored from its snapshot before the next one.
//!
//! The faults are data: `tests/faults/*.json`. `cargo test --test faults -- redis` plants those with `redis` in their name.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::sleep;
use std::time::{Duration, Instant};

use bootproof::outcome::VerdictKind;
use bootproof::report::redact::Redactor;
use bootproof::report::{Report, ResultRow};
use bootproof::run::{RunSettings, Runner, Stop};
use bootproof::settings::{self, LOCAL_INVENTORY};
use bootproof::spec::plan::{AssertionId, Plan, PlannedAssertion};
use indexmap::IndexMap;
use libtest_mimic::{Arguments, Failed, Trial};
use serde::Deserialize;

const FAULTS: &str = "tests/faults/immich-photo-vault.json";
const SERVER: &str = include_str!("faults/server.py");
const SUITES: [&str; 2] =
    ["suites/immich-photo-vault-validation.json", "suites/immich-photo-vault-contract.json"];

/// Where the matrix is left for whoever does not watch.
const MATRIX: &str = "reports/faults.txt";

/// A run over a fault that takes longer hangs.
const DEADLINE: Duration = Duration::from_mins(5);

/// Every script can say `up PORT` and `down PORT`, and use `$IFACE`.
const HELPERS: &str = "set -e
listens() { ss -Hltn \"sport = :$1\" | grep -q .; }
up() { for i in $(seq 150); do if listens $1; then return; fi; sleep 0.2; done; echo \"$1 does not listen\"; exit 1; }
down() { for i in $(seq 150); do if ! listens $1; then return; fi; sleep 0.2; done; echo \"$1 listens\"; exit 1; }
IFACE=$(ip route show default | awk '{print $5; exit}')
";

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fault {
    /// What is wrong, in a few words.
    #[serde(rename = "fault")]
    name: String,
    /// Scripts, run as root, by VM, one after the other.
    #[serde(default)]
    plant: IndexMap<String, String>,
    /// Misbehaving servers in place of a service: VM, unit, port, mode.
    #[serde(default)]
    serve: Option<Serve>,
    /// `bootproof lab ...`, such as `pause redis`.
    #[serde(default)]
    lab: Option<String>,
    /// Of the contract suite these are asked, too, by a part of their ids; by default all on the VMs that are touched.
    #[serde(default)]
    also: Option<Vec<String>>,
    /// Another suite in place of the two.
    #[serde(default)]
    suite: Option<PathBuf>,
    /// As `--wait`.
    #[serde(default, with = "humantime_text")]
    wait: Duration,
    /// How long after the planting the fault has set in: for what cuts the way by which it is planted.
    #[serde(default, with = "humantime_text")]
    sets_in: Duration,
    /// Which assertions must be red: verdict, and words that must be told.
    #[serde(default)]
    red: BTreeMap<String, String>,
    /// Which VMs must be unstable, and words that must be told.
    #[serde(default)]
    unstable: BTreeMap<String, String>,
    /// Why no assertion can see it, or why nothing should be red.
    #[serde(default)]
    green: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Serve {
    on: String,
    unit: String,
    port: u16,
    mode: String,
}

mod humantime_text {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, de::Error};

    pub fn deserialize<'de, D: Deserializer<'de>>(text: D) -> Result<Duration, D::Error> {
        humantime::parse_duration(&String::deserialize(text)?).map_err(D::Error::custom)
    }
}

impl Fault {
    /// The VMs that are to be healed.
    fn touched(&self) -> HashSet<&str> {
        let served = self.serve.as_ref().map(|serve| serve.on.as_str());
        let frozen = self.lab.as_deref().into_iter().flat_map(|words| words.split(' ').skip(1));
        self.plant.keys().map(String::as_str).chain(served).chain(frozen).collect()
    }

    fn scripts(&self) -> Vec<(String, String)> {
        let mut scripts: Vec<_> =
            self.plant.iter().map(|(vm, script)| (vm.clone(), script.clone())).collect();
        if let Some(Serve { on, unit, port, mode }) = &self.serve {
            let program = format!("MODE = '{mode}'\nPORT = {port}\n{SERVER}");
            let script = format!(
                "cat > /usr/local/bin/{unit} <<'PYTHON'\n{program}\nPYTHON\nsystemctl restart {unit}\nup {port}"
            );
            scripts.push((on.clone(), script));
        }
        scripts
    }

    fn asks(&self, one: &PlannedAssertion) -> bool {
        let id = one.id.as_str();
        let beside = match &self.also {
            Some(parts) => parts.iter().any(|part| id.contains(part.as_str())),
            None => self.touched().contains(one.vm.as_str()),
        };
        one.scenario != "immich-photo-vault-contract" || beside || self.red.contains_key(id)
    }
}

/// `bootproof lab ...`; what it said is the error.
fn lab(arguments: &[&str]) -> Result<(), String> {
    let output = Command::new(env!("CARGO_BIN_EXE_bootproof")).arg("lab").args(arguments).output();
    let output = output.map_err(|error| error.to_string())?;
    if output.status.success() {
        Ok(())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

/// Runs a script as root on a VM, by OpenSSH.
fn run_as_root(vm: &str, password: &str, script: &str) -> Result<(), String> {
    let failed = |why: String| format!("the fault could not be planted on {vm}: {why}");
    let io = |error: std::io::Error| failed(error.to_string());
    let mut child = Command::new(env!("CARGO_BIN_EXE_bootproof"))
        .args(["lab", "ssh", vm, "--", "sudo", "-S", "-p", "''", "sh", "-s"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(io)?;
    let mut stdin = child.stdin.take().ok_or_else(|| failed("no stdin".to_owned()))?;
    write!(stdin, "{password}\n{HELPERS}\n{script}\n").map_err(io)?;
    drop(stdin);
    let output = child.wait_with_output().map_err(io)?;
    if output.status.success() {
        return Ok(());
    }
    Err(failed(String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).trim().to_owned()))
}

/// Asks what `asks` wants of the suites, once or for so long.
fn run(
    suites: &[PathBuf],
    wait: Duration,
    asks: impl Fn(&PlannedAssertion) -> bool,
) -> Result<Report, String> {
    let told = |error: settings::SettingsError| error.to_string();
    let plan: Plan = settings::load_plan(Path::new(LOCAL_INVENTORY), suites).map_err(told)?;
    let selected: HashSet<AssertionId> =
        plan.assertions.iter().filter(|one| asks(one)).map(|one| one.id.clone()).collect();
    let secrets = settings::read_secrets(&plan, &selected).map_err(told)?;
    let settings =
        RunSettings { wait, once: wait.is_zero(), deadline: Some(DEADLINE), evidence: false };
    let runner = Runner::start(&plan, &selected, &secrets, settings, Arc::new(|_| {}))
        .map_err(|error| error.to_string())?;
    let finished = runner.finish(&plan);
    if matches!(finished.stop, Some(Stop::Interrupt | Stop::Terminate)) {
        // The runner has taken the signal; it was meant for all of this. The lab keeps what is planted in it.
        eprintln!("\ninterrupted; `bootproof lab restore` heals the VMs");
        std::process::exit(130);
    }
    Ok(Report::new(&plan, &finished, &Redactor::new(&secrets.values())))
}

fn both_suites() -> Vec<PathBuf> {
    SUITES.map(PathBuf::from).to_vec()
}

fn is_red(row: &ResultRow) -> bool {
    !matches!(row.verdict, VerdictKind::Passed | VerdictKind::NotSelected)
}

/// All that is told about a red assertion.
fn told(row: &ResultRow) -> String {
    let hint = row.cause.as_ref().and_then(|cause| cause.hint.clone()).unwrap_or_default();
    let actual = row.actual.clone().unwrap_or_default();
    format!(
        "{} | {} | {actual} | {hint}",
        row.message.clone().unwrap_or_default(),
        row.because.join("; ")
    )
}

/// Where the report is not what the fault demands, a line each.
fn differences(fault: &Fault, report: &Report) -> Vec<String> {
    let mut differences = Vec::new();
    for row in report.results.iter().filter(|row| is_red(row)) {
        match fault.red.get(&row.id) {
            None => differences.push(format!(
                "{} should not be red: {} {}",
                row.id,
                row.verdict.word(),
                told(row)
            )),
            Some(wanted) => {
                let (verdict, words) = wanted.split_once(": ").unwrap_or((wanted, ""));
                if verdict != row.verdict.word() || !told(row).contains(words) {
                    let got = format!("{}: {}", row.verdict.word(), told(row));
                    differences.push(format!("{} should be `{wanted}`, is `{got}`", row.id));
                }
            }
        }
    }
    let red: HashSet<&str> =
        report.results.iter().filter(|row| is_red(row)).map(|row| row.id.as_str()).collect();
    differences.extend(
        fault
            .red
            .keys()
            .filter(|id| !red.contains(id.as_str()))
            .map(|id| format!("{id} should be red")),
    );
    for vm in &report.vms {
        let seen = vm.unstable.join("; ");
        match fault.unstable.get(&vm.name) {
            Some(words) if seen.contains(words.as_str()) && !seen.is_empty() => {}
            Some(words) => {
                differences.push(format!("{} should be unstable ({words}), is: {seen}", vm.name))
            }
            None if !seen.is_empty() => {
                differences.push(format!("{} should not be unstable: {seen}", vm.name))
            }
            None => {}
        }
    }
    differences
}

/// `3 failed, 2 blocked, 1 unstable`, or `green`.
fn counted(failed: usize, errored: usize, blocked: usize, unstable: usize) -> String {
    let parts =
        [(failed, "failed"), (errored, "errored"), (blocked, "blocked"), (unstable, "unstable")];
    let parts: Vec<_> = parts
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, word)| format!("{count} {word}"))
        .collect();
    if parts.is_empty() { "green".to_owned() } else { parts.join(", ") }
}

fn expected(fault: &Fault) -> String {
    let of = |word: &str| fault.red.values().filter(|wanted| wanted.starts_with(word)).count();
    counted(of("failed"), of("errored"), of("blocked"), fault.unstable.len())
}

fn got(report: &Report) -> String {
    let unstable = report.vms.iter().filter(|vm| !vm.unstable.is_empty()).count();
    counted(report.totals.failed, report.totals.errored, report.totals.blocked, unstable)
}

/// Plants a fault, looks, heals; the row of the matrix, and what differs.
fn play(fault: &Fault, password: &str) -> (String, Vec<String>) {
    let started = Instant::now();
    let planted =
        fault.scripts().iter().try_for_each(|(vm, script)| run_as_root(vm, password, script));
    let planted = planted.and_then(|()| match &fault.lab {
        Some(words) => lab(&words.split(' ').collect::<Vec<_>>()),
        None => Ok(()),
    });
    sleep(fault.sets_in);
    let suites = fault.suite.clone().map_or_else(both_suites, |suite| vec![suite]);
    let outcome = planted.and_then(|()| run(&suites, fault.wait, |one| fault.asks(one)));
    let (got, mut differences) = match &outcome {
        Ok(report) => (got(report), differences(fault, report)),
        Err(error) => ("-".to_owned(), vec![error.clone()]),
    };
    let touched: Vec<&str> = fault.touched().into_iter().collect();
    differences.extend(lab(&[&["restore"], &touched[..]].concat()).err());
    let verdict = match (&fault.green, differences.is_empty()) {
        (_, false) => "DIFFERS".to_owned(),
        (Some(why), true) => format!("as expected: {why}"),
        (None, true) => "found".to_owned(),
    };
    let row = format!(
        "{:52} {:32} {:32} {:>4} s  {verdict}",
        fault.name,
        expected(fault),
        got,
        started.elapsed().as_secs()
    );
    (row, differences)
}

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // One lab: one fault at a time.
    arguments.test_threads = Some(1);
    match prepare(&arguments) {
        Ok(trials) => conclude(&arguments, trials),
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(101)
        }
    }
}

type Matrix = Arc<Mutex<Vec<String>>>;

fn prepare(arguments: &Arguments) -> Result<(Vec<Trial>, Matrix), String> {
    let text = std::fs::read_to_string(FAULTS).map_err(|error| format!("{FAULTS}: {error}"))?;
    let faults: Vec<Fault> =
        serde_json::from_str(&text).map_err(|error| format!("{FAULTS}: {error}"))?;
    let matrix = Matrix::default();
    let password = if arguments.list { String::new() } else { ready()? };
    let trial = |fault: Fault| {
        let (matrix, password) = (matrix.clone(), password.clone());
        Trial::test(fault.name.replace(' ', "-"), move || {
            let (row, differences) = play(&fault, &password);
            matrix.lock().expect("nobody panicked").push(row);
            // At once: whoever interrupts the rest has this.
            for line in &differences {
                eprintln!("\n  {line}");
            }
            if differences.is_empty() { Ok(()) } else { Err(Failed::from(differences.join("\n"))) }
        })
    };
    Ok((faults.into_iter().map(trial).collect(), matrix))
}

/// A fault says something only on a lab on which all was well before: it is looked at, and then kept.
fn ready() -> Result<String, String> {
    if !Path::new(LOCAL_INVENTORY).exists() {
        return Err(
            "the lab is not up\n  hint: boot it with `bootproof lab up`, or run `make faults`"
                .to_owned(),
        );
    }
    let inventory: serde_json::Value = std::fs::read_to_string(LOCAL_INVENTORY)
        .map_err(|error| error.to_string())
        .and_then(|text| serde_json::from_str(&text).map_err(|error| error.to_string()))?;
    let report = run(&both_suites(), Duration::from_mins(3), |_| true)?;
    let mut ill: Vec<_> = report
        .results
        .iter()
        .filter(|row| is_red(row))
        .map(|row| format!("\n  {}: {}", row.id, told(row)))
        .collect();
    ill.extend(
        report
            .vms
            .iter()
            .flat_map(|vm| vm.unstable.iter().map(move |why| format!("\n  {}: {why}", vm.name))),
    );
    if !ill.is_empty() {
        return Err(format!("the lab is not healthy to begin with:{}", ill.concat()));
    }
    eprintln!("healthy: {} assertions passed; taking snapshots", report.totals.passed);
    lab(&["snapshot"])?;
    Ok(inventory["defaults"]["password"].as_str().unwrap_or_default().to_owned())
}

fn conclude(arguments: &Arguments, (trials, matrix): (Vec<Trial>, Matrix)) -> ExitCode {
    let conclusion = libtest_mimic::run(arguments, trials);
    let rows = matrix.lock().expect("nobody panicked");
    if arguments.list || rows.is_empty() {
        return conclusion.exit_code();
    }
    let mut text =
        format!("{:52} {:32} {:32} {:>6}  verdict\n", "fault", "expected", "got", "time");
    for row in rows.iter() {
        let _ = writeln!(text, "{row}");
    }
    let agree = rows.iter().filter(|row| !row.ends_with("DIFFERS")).count();
    let _ = writeln!(text, "{agree} of {} faults are as expected", rows.len());
    println!("{text}");
    if let Err(error) = std::fs::write(MATRIX, &text) {
        eprintln!("error: {MATRIX}: {error}");
        return ExitCode::from(101);
    }
    conclusion.exit_code()
}
