//! bootproof beside OpenSSH and testinfra, on a thousand real hosts: ten checks a host, and exact
//! verdicts.
//!
//! The hosts are namespaces of this machine, see `hosts.rs`; this needs root. The bench ends with
//! an error when a limit is exceeded or a verdict is wrong. `make bench` runs it. Variables:
//!
//! - `BOOTPROOF_FLEET`: how many hosts, 1,000 by default;
//! - `BOOTPROOF_FLEET_ROUNDS`: how often the healthy hosts are checked, once by default;
//! - `BOOTPROOF_FLEET_PEERS`: how many hosts are compared with each other, all by default.

#[path = "../common/mod.rs"]
mod common;

mod bootproof;
mod checks;
mod hosts;
mod namespaces;
mod rivals;
mod trouble;
mod verdicts;

use std::process::{Child, Command};
use std::time::Instant;

use bootproof::{Ran, Run};
use checks::CHECKS;
use common::{Fallible, Measured, median};
use hosts::Fleet;
use rivals::{SSH_AT_ONCE, Testinfra, WORKERS};

/// Of bootproof's own CPU, in milliseconds for each host.
const CPU_AT_MOST: f64 = 4.0;

/// The time of a run that compares the hosts with each other, beside one that does not.
const PEERS_AT_MOST: f64 = 1.2;

/// How many wrong verdicts are shown.
const SHOWN: usize = 5;

/// How many characters of each.
const LONGEST: usize = 200;

/// testinfra is too slow for more hosts.
const TESTINFRA_HOSTS: usize = 30;

/// At its peak, in MB: 60 for 1,000 hosts, 80 for 3,000.
fn memory_at_most(hosts: usize) -> f64 {
    60.0_f64.max(50.0 + count(hosts) / 100.0)
}

fn main() -> Fallible<()> {
    if !namespaces::entered() {
        if let Err(error) = Testinfra::install() {
            println!("testinfra cannot be installed: {error}");
        }
        return namespaces::enter();
    }
    let size = number("BOOTPROOF_FLEET", 1000)?;
    let rounds = number("BOOTPROOF_FLEET_ROUNDS", 1)?.max(1);
    let peers = number("BOOTPROOF_FLEET_PEERS", size)?.min(size);
    let folder = tempfile::Builder::new().prefix("bootproof-fleet-").tempdir()?;
    let started = Instant::now();
    let fleet = Fleet::start(folder.path(), size)?;
    println!(
        "{size} hosts, each with a network, processes and an sshd of its own, started in {:.0} s; \
         {CHECKS} checks each; {} CPUs",
        started.elapsed().as_secs_f64(),
        cpus()
    );
    let mut scores = Scores::default();
    let healthy = check_healthy(&fleet, rounds, &mut scores)?;
    check_troubled(&fleet, &mut scores)?;
    compare_peers(&fleet, peers, &mut scores)?;
    compare_with_openssh(&fleet, healthy)?;
    compare_with_testinfra(&fleet, &mut scores)?;
    scores.end()
}

/// Healthy hosts, on an idle machine and on a busy one; returns the usual run on the idle one.
fn check_healthy(fleet: &Fleet, rounds: usize, scores: &mut Scores) -> Fallible<Usual> {
    let run = Run::healthy(fleet, "healthy", &fleet.hosts)?;
    let (mut idle, mut busy) = (Vec::new(), Vec::new());
    let before = fleet.cpu()?;
    idle.push(run.run()?);
    let on_hosts = fleet.cpu()? - before;
    for round in 0..rounds {
        if round > 0 {
            idle.push(run.run()?);
        }
        let _burners = Burners::start()?;
        busy.push(run.run()?);
    }
    let hosts = count(fleet.hosts.len());
    let verdicts = run.verdicts() * rounds;
    let usual = Usual { on_hosts, ..Usual::of(&idle) };
    let memory = idle.iter().chain(&busy).map(|ran| ran.measured.memory).max().unwrap_or(0);
    scores.verdicts("healthy", &idle, verdicts);
    scores.at_most("  own CPU", usual.cpu * 1000.0 / hosts, CPU_AT_MOST, "ms a host");
    let memory_at_most = memory_at_most(fleet.hosts.len());
    scores.at_most("  peak memory", megabytes(memory), memory_at_most, "MB");
    scores.verdicts("all CPUs busy", &busy, verdicts);
    Ok(usual)
}

fn check_troubled(fleet: &Fleet, scores: &mut Scores) -> Fallible<()> {
    let run = Run::troubled(fleet, "troubled")?;
    let ran = run.run()?;
    scores.verdicts("5% dead, 5% refusing, 5% slow", &[ran], run.verdicts());
    Ok(())
}

/// By turns, because a few hosts are checked so quickly that a single time says little.
fn compare_peers(fleet: &Fleet, size: usize, scores: &mut Scores) -> Fallible<()> {
    let hosts = &fleet.hosts[..size];
    let without = Run::healthy(fleet, "peers-without", hosts)?;
    let with = Run::with_peers(fleet, "peers-with", hosts)?;
    let (mut plain, mut compared) = (Vec::new(), Vec::new());
    for _ in 0..if size < 200 { 9 } else { 3 } {
        plain.push(without.run()?);
        compared.push(with.run()?);
    }
    let pairs = plain.iter().zip(&compared);
    let ratio = median(pairs.map(|(plain, compared)| seconds(compared) / seconds(plain)));
    let name = format!("{size} hosts without peers");
    scores.verdicts(&name, &plain, without.verdicts() * plain.len());
    let name = format!("{size} hosts with peers");
    scores.verdicts(&name, &compared, with.verdicts() * compared.len());
    scores.at_most("  time", ratio, PEERS_AT_MOST, "of the time without");
    Ok(())
}

fn compare_with_openssh(fleet: &Fleet, ours: Usual) -> Fallible<()> {
    let before = fleet.cpu()?;
    let theirs = Usual::from(rivals::openssh(fleet)?);
    let theirs = Usual { on_hosts: fleet.cpu()? - before, ..theirs };
    let name = format!("OpenSSH, {SSH_AT_ONCE} at once");
    let hosts = fleet.hosts.len();
    compare(&name, hosts, ours, theirs);
    compare_one("CPU on the hosts", hosts, ours.on_hosts, theirs.on_hosts);
    Ok(())
}

fn compare_with_testinfra(fleet: &Fleet, scores: &mut Scores) -> Fallible<()> {
    let Some(testinfra) = Testinfra::installed() else {
        println!("testinfra is not installed; the comparison with it is left out");
        return Ok(());
    };
    let hosts = &fleet.hosts[..TESTINFRA_HOSTS.min(fleet.hosts.len())];
    let run = Run::healthy(fleet, "beside-testinfra", hosts)?;
    let ours = [run.run()?];
    scores.verdicts(&format!("{} hosts", hosts.len()), &ours, run.verdicts());
    let theirs = Usual::from(testinfra.run(fleet, hosts)?);
    let name = format!("testinfra, {WORKERS} workers");
    compare(&name, hosts.len(), Usual::of(&ours), theirs);
    Ok(())
}

/// What another tool needs for the same, and how much of it bootproof needs.
fn compare(name: &str, hosts: usize, ours: Usual, theirs: Usual) {
    println!("{name:30} {:8.2} s", theirs.wall);
    compare_one("time", hosts, ours.wall, theirs.wall);
    compare_one("own CPU", hosts, ours.cpu, theirs.cpu);
}

fn compare_one(name: &str, hosts: usize, ours: f64, theirs: f64) {
    let (name, ratio) = (format!("  bootproof's {name}"), ours / theirs);
    let [ours, theirs] = [ours, theirs].map(|seconds| seconds * 1000.0 / count(hosts));
    println!("{name:30} {ratio:8.2} of its; {ours:.1} instead of {theirs:.1} ms a host");
}

/// Time and CPU of one run, in seconds.
#[derive(Clone, Copy)]
struct Usual {
    wall: f64,
    cpu: f64,
    /// Zero if it was not measured.
    on_hosts: f64,
}

impl Usual {
    /// The medians.
    fn of(runs: &[Ran]) -> Self {
        let cpu = median(runs.iter().map(|ran| ran.measured.cpu.as_secs_f64()));
        Self { wall: median(runs.iter().map(seconds)), cpu, on_hosts: 0.0 }
    }
}

impl From<Measured> for Usual {
    fn from(measured: Measured) -> Self {
        let [wall, cpu] = [measured.wall, measured.cpu].map(|time| time.as_secs_f64());
        Self { wall, cpu, on_hosts: 0.0 }
    }
}

/// Prints each measure with its limit, and remembers which limits are exceeded.
#[derive(Default)]
struct Scores {
    exceeded: Vec<String>,
}

impl Scores {
    /// Runs in which no verdict may be wrong; `verdicts` is how many they have together.
    fn verdicts(&mut self, name: &str, runs: &[Ran], verdicts: usize) {
        let wrong: Vec<&String> = runs.iter().flat_map(|ran| &ran.wrong).collect();
        let wall = Usual::of(runs).wall;
        let of = if runs.len() > 1 { format!(" in {} runs", runs.len()) } else { String::new() };
        let found = format!("{} of {verdicts} verdicts wrong{of} (at most 0)", wrong.len());
        self.line(&format!("{name:30} {wall:8.2} s; {found}"), name, wrong.is_empty());
        for line in wrong.iter().take(SHOWN) {
            println!("    {}", line.chars().take(LONGEST).collect::<String>());
        }
    }

    fn at_most(&mut self, name: &str, value: f64, limit: f64, unit: &str) {
        let line = format!("{name:30} {value:8.2} {unit} (at most {limit})");
        self.line(&line, name.trim(), value <= limit);
    }

    fn line(&mut self, line: &str, name: &str, is_good: bool) {
        println!("{line}{}", if is_good { "" } else { "  EXCEEDED" });
        if !is_good {
            self.exceeded.push(name.to_owned());
        }
    }

    fn end(self) -> Fallible<()> {
        if self.exceeded.is_empty() {
            return Ok(());
        }
        Err(format!("exceeded: {}", self.exceeded.join("; ")).into())
    }
}

/// Processes that keep all CPUs busy.
struct Burners(Vec<Child>);

impl Burners {
    fn start() -> Fallible<Self> {
        let mut burners = Self(Vec::new());
        for _ in 0..cpus() {
            burners.0.push(Command::new("sh").args(["-c", "while :; do :; done"]).spawn()?);
        }
        Ok(burners)
    }
}

impl Drop for Burners {
    fn drop(&mut self) {
        for burner in &mut self.0 {
            // It cannot have ended by itself.
            let _ = burner.kill();
            let _ = burner.wait();
        }
    }
}

fn cpus() -> usize {
    std::thread::available_parallelism().map_or(1, Into::into)
}

/// A number in an environment variable.
fn number(variable: &str, default: usize) -> Fallible<usize> {
    match std::env::var(variable) {
        Ok(text) => text.parse().map_err(|_| format!("{variable}: not a number: {text}").into()),
        Err(_) => Ok(default),
    }
}

fn seconds(ran: &Ran) -> f64 {
    ran.measured.wall.as_secs_f64()
}

/// Hosts are few enough for it to be exact.
fn count(number: usize) -> f64 {
    f64::from(u32::try_from(number).unwrap_or(u32::MAX))
}

fn megabytes(bytes: u64) -> f64 {
    f64::from(u32::try_from(bytes / 1024).unwrap_or(u32::MAX)) / 1024.0
}
