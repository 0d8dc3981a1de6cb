//! Puts the reports of the shards of a run together: what comes out is the report that the run
//! would have written without shards, but for times.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::compare::compare;
use super::explain::{Known, because};
use super::nodes::folded;
use super::redact::Redactor;
use super::row::ResultRow;
use super::shard::{MergedPart, MergedReport, ShardReport};
use super::vm::VmReport;
use super::{Report, Scope};
use crate::assertion::peers::AllFacts;
use crate::outcome::{Outcome, Verdict, VerdictKind};
use crate::problem::Problem;
use crate::spec::choice::Choice;
use crate::spec::digest::Digests;
use crate::spec::inventory::Vm;
use crate::spec::plan::{AssertionId, Plan, PlannedAssertion};
use crate::spec::shard::{Shard, needs_all_shards, shard_of};

/// The report of one shard, and the file that it was read from.
struct PartFile {
    file: String,
    report: Report,
    shard: ShardReport,
    started: DateTime<Utc>,
    ended: DateTime<Utc>,
}

/// The reports of the shards of one run, at most one for each shard.
pub struct Parts {
    /// The first one; the others agree with it.
    first: ShardReport,
    by_shard: BTreeMap<u32, PartFile>,
    /// Which reports do not count, and why.
    notes: Vec<Problem>,
}

impl Parts {
    /// The parts among these files; there is an error if one of them is no part, or a part of
    /// another run, or if there is none at all.
    pub fn of(files: impl IntoIterator<Item = (String, Report)>) -> Result<Self, Problem> {
        let parts: Vec<PartFile> = files
            .into_iter()
            .map(|(file, report)| PartFile::of(file, report))
            .collect::<Result<_, _>>()?;
        let Some(first) = parts.first() else {
            return Err(Problem::new("there is no report of a shard")
                .hint("`check --shard 1/8 --publish DIR` writes one into the folder DIR"));
        };
        parts.iter().try_for_each(|part| agree(first, part))?;
        let mut all =
            Self { first: first.shard.clone(), by_shard: BTreeMap::new(), notes: Vec::new() };
        for part in parts {
            all.add(part);
        }
        Ok(all)
    }

    /// Of two parts of the same shard, one counts.
    fn add(&mut self, part: PartFile) {
        let index = part.shard.index;
        let Some(other) = self.by_shard.remove(&index) else {
            self.by_shard.insert(index, part);
            return;
        };
        let rank = |part: &PartFile| (part.report.complete, Reverse(part.started));
        let (counts, other) =
            if rank(&part) > rank(&other) { (part, other) } else { (other, part) };
        self.notes.push(note(&counts, &other));
        self.by_shard.insert(index, counts);
    }

    /// Which reports do not count, and why.
    pub fn notes(&self) -> &[Problem] {
        &self.notes
    }

    /// The shards without a report.
    pub fn missing(&self) -> Vec<u32> {
        (1..=self.first.count).filter(|index| !self.by_shard.contains_key(index)).collect()
    }

    /// What was selected of the whole run.
    pub fn choice(&self) -> &Choice {
        &self.first.selection
    }

    /// The names of the inventory and the suites, as the shards were given them.
    pub fn files(&self) -> (&str, &[String]) {
        let report = self.any_part().map(|part| &part.report);
        report.map_or(("", &[]), |report| (&report.inventory, &report.suites))
    }

    fn any_part(&self) -> Option<&PartFile> {
        self.by_shard.values().next()
    }

    /// Whether a plan is made of what the shards ran with.
    pub fn check_digests(&self, plan: &Plan, digests: &Digests) -> Result<(), Problem> {
        let ran_with = &self.first.digests;
        let file = self.any_part().map_or("", |part| part.file.as_str());
        let differs = |what: &str| {
            let problem = Problem::new(format!("{what} that the shards ran with (see {file})"));
            Err(problem.hint("name the same files and values as for the shards: -i, -s and --var"))
        };
        let suites = plan.suite_files.join(", ");
        if digests.inventory != ran_with.inventory {
            differs(&format!("{} is not the inventory", plan.inventory.file))
        } else if digests.suites != ran_with.suites {
            differs(&format!("{suites}: these are not the suites"))
        } else if digests.vars != ran_with.vars {
            differs("the values of --var and BOOTPROOF_VARS are not those")
        } else {
            Ok(())
        }
    }
}

impl PartFile {
    fn of(file: String, report: Report) -> Result<Self, Problem> {
        let problem = |message: &str| Problem { file: Some(file.clone()), ..Problem::new(message) };
        let Some(shard) = report.shard.clone() else {
            let hint = "`check --shard` writes the report of a shard";
            return Err(problem("this is not the report of a shard").hint(hint));
        };
        let known = |text: &str| {
            let time = DateTime::parse_from_rfc3339(text);
            time.map(|time| time.to_utc()).map_err(|_| problem("its times cannot be read"))
        };
        let (started, ended) = (known(&report.started)?, known(&report.ended)?);
        let own = env!("CARGO_PKG_VERSION");
        if report.tool.version != own {
            let message = format!("it is by bootproof {}, and this is {own}", report.tool.version);
            return Err(problem(&message).hint("use the same version for all of a run"));
        }
        if let Err(no_shard) = Shard::new(shard.index, shard.count) {
            return Err(problem(&no_shard.message));
        }
        Ok(Self { file, report, shard, started, ended })
    }

    fn problem(&self, message: impl Into<String>) -> Problem {
        Problem { file: Some(self.file.clone()), ..Problem::new(message) }
    }
}

/// Whether two parts are of the same run; the first difference that explains the others.
fn agree(one: &PartFile, other: &PartFile) -> Result<(), Problem> {
    let (left, right) = (&one.shard, &other.shard);
    let (ours, theirs) = (&left.digests, &right.digests);
    let file = &one.file;
    let same_files = "run all shards of a run with the same files, flags and values";
    let another = |what: &str, hint: &str| {
        Err(other.problem(format!("its shard ran with {what} than {file}")).hint(hint))
    };
    if left.count != right.count {
        let message = format!(
            "it is shard {}/{}, but {file} is shard {}/{}",
            right.index, right.count, left.index, left.count
        );
        Err(other.problem(message).hint("give all shards of a run the same COUNT"))
    } else if left.by != right.by {
        another("another --shard-by", same_files)
    } else if ours.inventory != theirs.inventory {
        another("another inventory", same_files)
    } else if ours.suites != theirs.suites {
        another("other suites", same_files)
    } else if ours.vars != theirs.vars {
        another("other values (--var, BOOTPROOF_VARS)", same_files)
    } else if left.selection != right.selection {
        another("another selection (--limit, --exclude, --filter, --skip)", same_files)
    } else if left.run_id != right.run_id {
        let message =
            format!("it is of the run `{}`, but {file} of `{}`", right.run_id, left.run_id);
        Err(other.problem(message).hint("merge the shards of one run; --run-id names it"))
    } else {
        Ok(())
    }
}

/// Which of two parts of a shard counts, and why.
fn note(counts: &PartFile, other: &PartFile) -> Problem {
    let ShardReport { index, count, .. } = counts.shard;
    let why = if counts.report.complete != other.report.complete {
        "was stopped".to_owned()
    } else if counts.report.says_the_same_as(&other.report) {
        "says the same".to_owned()
    } else {
        format!("says something else and started later, at {}", other.report.started)
    };
    let message = format!("shard {index}/{count}: {} counts; {} {why}", counts.file, other.file);
    Problem::new(message)
}

/// The report of the whole run. There is an error if the rows of a part are not those of its shard.
pub fn merge(
    plan: &Plan,
    selected: &HashSet<AssertionId>,
    parts: &Parts,
    redactor: &Redactor,
) -> Result<Report, Problem> {
    let merger = Merger::of(plan, selected, parts, redactor);
    merger.check_rows()?;
    let rows: HashMap<&str, ResultRow> =
        plan.assertions.iter().map(|one| (one.id.as_str(), merger.row(one))).collect();
    let known = |other: &PlannedAssertion| match merger.compared.get(other.id.as_str()) {
        Some(outcome) => Some(Known::of(other, outcome)),
        None => rows.get(other.id.as_str()).map(Known::of_row),
    };
    let explained = |assertion: &PlannedAssertion| {
        let row = rows[assertion.id.as_str()].clone();
        let because = because(plan, assertion, row.verdict, known);
        ResultRow { because: because.iter().map(|line| redactor.line(line)).collect(), ..row }
    };
    let results = plan.assertions.iter().map(explained).collect();
    let vms = plan.inventory.vms.values().map(|vm| merger.vm(vm)).collect();
    let stopped = stopped(parts);
    let report = Scope { plan, part: None }.report(span(parts), stopped, vms, results);
    let required = parts.by_shard.values().any(|part| part.report.coverage.required);
    Ok(Report { merged: Some(merged(parts)), ..report }.with_coverage_required(required))
}

/// Why the run is not complete, if it is not.
fn stopped(parts: &Parts) -> Option<String> {
    let missing = parts.missing();
    let missing = (!missing.is_empty()).then(|| gave_no_report(&missing));
    let stopped = parts.by_shard.values().filter_map(|part| {
        let why = part.report.stopped.as_ref()?;
        Some(format!("shard {}: {why}", part.shard.index))
    });
    let all: Vec<String> = missing.into_iter().chain(stopped).collect();
    (!all.is_empty()).then(|| all.join("; "))
}

/// `shard 5 gave no report`, `shards [2,5-7] gave no report`
fn gave_no_report(indexes: &[u32]) -> String {
    let names: Vec<String> = indexes.iter().map(u32::to_string).collect();
    let plural = if names.len() == 1 { "" } else { "s" };
    format!("shard{plural} {} gave no report", folded(names.iter().map(String::as_str)))
}

fn span(parts: &Parts) -> (DateTime<Utc>, DateTime<Utc>) {
    let started = parts.by_shard.values().map(|part| part.started).min();
    let ended = parts.by_shard.values().map(|part| part.ended).max();
    (started.unwrap_or_default(), ended.unwrap_or_default())
}

fn merged(parts: &Parts) -> MergedReport {
    let ShardReport { run_id, count, by, .. } = parts.first.clone();
    let part = |part: &PartFile| MergedPart {
        index: part.shard.index,
        started: part.report.started.clone(),
        ended: part.report.ended.clone(),
        stopped: part.report.stopped.clone(),
    };
    let missing = parts.missing();
    MergedReport { run_id, count, by, parts: parts.by_shard.values().map(part).collect(), missing }
}

/// What is needed to find the row of an assertion.
struct Merger<'a> {
    plan: &'a Plan,
    selected: &'a HashSet<AssertionId>,
    parts: &'a Parts,
    redactor: &'a Redactor,
    /// The shard of each VM.
    shards: HashMap<&'a str, u32>,
    rows: HashMap<&'a str, &'a ResultRow>,
    vms: HashMap<&'a str, &'a VmReport>,
    /// The outcomes of the assertions that compare VMs of all shards.
    compared: HashMap<&'a str, Outcome>,
}

impl<'a> Merger<'a> {
    fn of(
        plan: &'a Plan,
        selected: &'a HashSet<AssertionId>,
        parts: &'a Parts,
        redactor: &'a Redactor,
    ) -> Self {
        let ShardReport { by, count, .. } = parts.first;
        let all = plan.inventory.vms.values();
        let shards: HashMap<&str, u32> =
            all.map(|vm| (vm.name.as_str(), shard_of(vm, by, count))).collect();
        let (mut rows, mut vms) = (HashMap::new(), HashMap::new());
        for (index, PartFile { report, .. }) in &parts.by_shard {
            rows.extend(report.results.iter().map(|row| (row.id.as_str(), row)));
            let own = report.vms.iter().map(|vm| (vm.name.as_str(), vm));
            vms.extend(own.filter(|(name, _)| shards.get(name) == Some(index)));
        }
        let compared = HashMap::new();
        let mut merger = Self { plan, selected, parts, redactor, shards, rows, vms, compared };
        merger.compared = merger.compare();
        merger
    }

    /// Compares the VMs of all shards, by what each shard read of its own.
    fn compare(&self) -> HashMap<&'a str, Outcome> {
        let vms = self.vms.values();
        let facts = vms.map(|vm| (vm.name.as_str(), vm.facts.clone()));
        let facts = Arc::new(facts.collect::<AllFacts>());
        let comparisons = self.plan.assertions.iter().filter(|one| needs_all_shards(one));
        let selected = comparisons.filter(|one| self.selected.contains(&one.id));
        selected
            .map(|one| {
                let shard = self.shards[&*one.vm];
                let part = self.parts.by_shard.get(&shard);
                let outcome = match (part, self.vms.get(&*one.vm)) {
                    (Some(part), Some(vm)) => {
                        compare(self.plan, one, vm, part.report.stopped.as_deref(), &facts)
                    }
                    _ => Outcome::without_attempt(Verdict::NotRun(gave_no_report(&[shard]))),
                };
                (one.id.as_str(), outcome)
            })
            .collect()
    }

    /// Whether each part has the rows of its shard, each once, and no others.
    fn check_rows(&self) -> Result<(), Problem> {
        let mut expected: BTreeMap<u32, HashMap<&str, &PlannedAssertion>> = BTreeMap::new();
        for assertion in self.plan.assertions.iter().filter(|one| !needs_all_shards(one)) {
            let shard = self.shards[&*assertion.vm];
            expected.entry(shard).or_default().insert(assertion.id.as_str(), assertion);
        }
        for (index, part) in &self.parts.by_shard {
            let mut expected = expected.remove(index).unwrap_or_default();
            for row in &part.report.results {
                let Some(assertion) = expected.remove(row.id.as_str()) else {
                    return Err(unexpected(part, row));
                };
                self.check_row(part, row, assertion)?;
            }
            let mut absent: Vec<&str> = expected.into_keys().collect();
            absent.sort_unstable();
            if let Some(id) = absent.first() {
                let message = format!("it has no result of {id}, which is in its shard");
                return Err(part.problem(message).hint(RUN_AGAIN));
            }
        }
        Ok(())
    }

    fn check_row(
        &self,
        part: &PartFile,
        row: &ResultRow,
        assertion: &PlannedAssertion,
    ) -> Result<(), Problem> {
        let ResultRow { id, vm, .. } = row;
        let was_selected = row.verdict != VerdictKind::NotSelected;
        if *vm != *assertion.vm {
            let message = format!("it says that {id} is about {vm}, which it is not");
            Err(part.problem(message).hint(RUN_AGAIN))
        } else if was_selected != self.selected.contains(&assertion.id) {
            let word = if was_selected { "selected" } else { "not selected" };
            let message = format!("it says that {id} was {word}, which does not fit its selection");
            Err(part.problem(message).hint(RUN_AGAIN))
        } else {
            Ok(())
        }
    }

    /// The row of an assertion, of whichever shard; nothing explains it yet.
    fn row(&self, assertion: &PlannedAssertion) -> ResultRow {
        let outcome = if !self.selected.contains(&assertion.id) {
            Outcome::without_attempt(Verdict::NotSelected)
        } else if let Some(outcome) = self.compared.get(assertion.id.as_str()) {
            outcome.clone()
        } else {
            let why = gave_no_report(&[self.shards[&*assertion.vm]]);
            Outcome::without_attempt(Verdict::NotRun(why))
        };
        let planned = ResultRow::new(assertion, &outcome, &[], self.redactor);
        match self.rows.get(assertion.id.as_str()) {
            Some(seen) => planned.with_what_was_seen(seen),
            None => planned,
        }
    }

    fn vm(&self, vm: &Vm) -> VmReport {
        let declared = VmReport::new(vm, None, self.redactor);
        match self.vms.get(vm.name.as_str()) {
            Some(seen) => declared.with_what_was_seen(seen),
            None => declared,
        }
    }
}

fn unexpected(part: &PartFile, row: &ResultRow) -> Problem {
    let ResultRow { id, .. } = row;
    let twice = part.report.results.iter().filter(|other| other.id == *id).count() > 1;
    let message = if twice {
        format!("it has two results of {id}")
    } else {
        format!("it has a result of {id}, which is not in shard {}", part.shard.index)
    };
    part.problem(message).hint(RUN_AGAIN)
}

const RUN_AGAIN: &str = "the file was changed or is of another run; run the shard again";
