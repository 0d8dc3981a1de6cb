//! What the report must say of each host, and what it says instead.

use std::collections::HashMap;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use serde::Deserialize;

use crate::common::Fallible;

/// What every check of a host must come to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Expected {
    Passed,
    /// Blocked at this stage.
    Blocked(&'static str),
}

/// The checks of each host, and what they must come to.
pub struct Expectation {
    pub checks_a_host: usize,
    pub hosts: HashMap<String, Expected>,
}

/// The part of a report that is compared. It is read row by row, so the bench stays small.
#[derive(Deserialize)]
struct Report {
    complete: bool,
    totals: HashMap<String, usize>,
    results: Vec<Row>,
    vms: Vec<VmRow>,
}

#[derive(Deserialize)]
struct Row {
    id: String,
    vm: String,
    verdict: String,
    message: Option<String>,
    cause: Option<Cause>,
}

#[derive(Deserialize)]
struct Cause {
    vm: String,
    stage: String,
}

#[derive(Deserialize)]
struct VmRow {
    name: String,
    unstable: Vec<String>,
}

impl Expectation {
    /// How many verdicts there must be.
    pub fn verdicts(&self) -> usize {
        self.checks_a_host * self.hosts.len()
    }

    /// The exit code of a run with these verdicts.
    pub fn exit_code(&self) -> i32 {
        if self.hosts.values().all(|expected| *expected == Expected::Passed) { 0 } else { 3 }
    }

    /// What is wrong in the report, a line each.
    pub fn wrong_in(&self, report: &Path) -> Fallible<Vec<String>> {
        let report: Report = serde_json::from_reader(BufReader::new(File::open(report)?))?;
        let mut wrong: Vec<String> =
            report.results.iter().filter_map(|row| self.why_wrong(row)).collect();
        if wrong.is_empty() {
            wrong = self.wrong_counts(&report);
        }
        let unstable = report.vms.iter().filter(|vm| !vm.unstable.is_empty());
        wrong.extend(unstable.map(|vm| format!("{}: unstable: {:?}", vm.name, vm.unstable)));
        if !report.complete {
            wrong.push("the report is not complete".to_owned());
        }
        Ok(wrong)
    }

    fn why_wrong(&self, row: &Row) -> Option<String> {
        let is_right = match self.hosts.get(&row.vm)? {
            Expected::Passed => row.verdict == "passed" && row.cause.is_none(),
            Expected::Blocked(stage) => {
                let cause = row.cause.as_ref();
                let is_its_own = cause.is_some_and(|it| it.vm == row.vm && it.stage == *stage);
                row.verdict == "blocked" && is_its_own
            }
        };
        let message = row.message.as_deref().unwrap_or_default();
        (!is_right).then(|| format!("{}: {}: {message}", row.id, row.verdict))
    }

    /// Each host has all its rows, and the totals say the same as the rows.
    fn wrong_counts(&self, report: &Report) -> Vec<String> {
        let mut rows: HashMap<&str, usize> = HashMap::new();
        for row in &report.results {
            *rows.entry(&row.vm).or_default() += 1;
        }
        let counted = |host: &str| rows.get(host).copied().unwrap_or(0);
        let short = self.hosts.keys().filter(|host| counted(host) != self.checks_a_host);
        let mut wrong: Vec<String> =
            short.map(|host| format!("{host} has {} rows", counted(host))).collect();
        let passed = self.hosts.values().filter(|it| **it == Expected::Passed).count();
        let totals = [
            ("assertions", self.verdicts()),
            ("passed", self.checks_a_host * passed),
            ("blocked", self.checks_a_host * (self.hosts.len() - passed)),
        ];
        for (name, expected) in totals {
            let total = report.totals.get(name).copied().unwrap_or(0);
            if total != expected {
                wrong.push(format!("the total `{name}` is {total}, not {expected}"));
            }
        }
        wrong
    }
}
