//! A run of bootproof on some of the hosts.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::{Map, Value, json};

use crate::checks::{CHECKS, suite};
use crate::common::{Fallible, Measured, measure};
use crate::hosts::{Fleet, Host};
use crate::trouble::Trouble;
use crate::verdicts::{Expectation, Expected};

/// How many files a process may have open, unless somebody raises it: what a shell gives by default.
const OPEN_FILES: usize = 1024;

/// On a small machine, thousands of busy hosts take longer than the default.
const DEADLINE: &str = "1h";

/// What to run, and what must come of it.
pub struct Run {
    folder: PathBuf,
    expectation: Expectation,
}

/// What came of it.
pub struct Ran {
    pub measured: Measured,
    /// What is not as expected, a line each.
    pub wrong: Vec<String>,
}

impl Run {
    /// All checks on `hosts`, all of them healthy.
    pub fn healthy(fleet: &Fleet, name: &str, hosts: &[Host]) -> Fallible<Self> {
        Self::new(fleet, name, hosts, |_| Trouble::None, Value::Null)
    }

    /// The same, and the hosts are compared with each other.
    pub fn with_peers(fleet: &Fleet, name: &str, hosts: &[Host]) -> Fallible<Self> {
        let mut run =
            Self::new(fleet, name, hosts, |_| Trouble::None, json!({ "clocks_within": "5s" }))?;
        run.expectation.checks_a_host += 2;
        Ok(run)
    }

    /// All checks on all hosts, some of which are in trouble.
    pub fn troubled(fleet: &Fleet, name: &str) -> Fallible<Self> {
        Self::new(fleet, name, &fleet.hosts, Trouble::of, Value::Null)
    }

    fn new(
        fleet: &Fleet,
        name: &str,
        hosts: &[Host],
        trouble: impl Fn(Host) -> Trouble,
        peers: Value,
    ) -> Fallible<Self> {
        let folder = fleet.folder.join(name);
        fs::create_dir(&folder)?;
        let mut known_hosts = fs::read_to_string(fleet.folder.join("known_hosts"))?;
        let (mut vms, mut expected) = (Map::new(), Vec::<(String, Expected)>::new());
        for host in hosts {
            let trouble = trouble(*host);
            let entry = trouble.entry(*host)?;
            let vars = json!({ "machine_id": host.machine_id() });
            let vm = json!({ "address": host.address(), "vars": vars, "ssh": entry.ssh });
            vms.insert(host.name(), vm);
            expected.push((host.name(), trouble.expected()));
            if let Some(name) = entry.known_as {
                known_hosts += &fleet.known_host(&name, *host)?;
            }
        }
        let mut inventory = json!({
            "lab": "fleet",
            "known_hosts": "known_hosts",
            "defaults": { "user": "root", "key": fleet.folder.join("user") },
            "vms": vms,
        });
        if !peers.is_null() {
            inventory["peers"] = peers;
        }
        fs::write(folder.join("known_hosts"), known_hosts)?;
        fs::write(folder.join("inventory.json"), inventory.to_string())?;
        fs::write(folder.join("suite.json"), suite().to_string())?;
        let hosts = expected.into_iter().collect();
        Ok(Self { folder, expectation: Expectation { checks_a_host: CHECKS, hosts } })
    }

    /// How many verdicts a run has.
    pub fn verdicts(&self) -> usize {
        self.expectation.verdicts()
    }

    /// Runs bootproof once.
    pub fn run(&self) -> Fallible<Ran> {
        let measured = measure(&mut self.command()?)?;
        let mut wrong = self.expectation.wrong_in(&self.folder.join("report.json"))?;
        let expected = self.expectation.exit_code();
        if wrong.is_empty() && measured.status.code() != Some(expected) {
            wrong.push(format!("it ended with {}, not {expected}", measured.status));
        }
        Ok(Ran { measured, wrong })
    }

    fn command(&self) -> Fallible<Command> {
        let mut command = Command::new("sh");
        command
            .args(["-c", &format!("ulimit -S -n {OPEN_FILES} && exec \"$@\""), "sh"])
            .arg(env!("CARGO_BIN_EXE_bootproof"))
            .args(["check", "-i", "inventory.json", "-s", "suite.json", "--deadline", DEADLINE])
            .args(["--report-junit", "junit.xml", "--report-json", "report.json"])
            .current_dir(&self.folder)
            // The known_hosts of whoever runs the bench are not what is measured.
            .env("HOME", &self.folder)
            .stdout(Stdio::null())
            .stderr(fs::File::create(self.folder.join("stderr.txt"))?);
        Ok(command)
    }
}
