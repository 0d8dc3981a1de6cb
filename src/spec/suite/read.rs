//! Reads a suite: every assertion is understood, but not yet bound to a VM.

use std::time::Duration;

use serde_json::{Map, Value};

use super::file::{AssertionEntry, CommonKeys, ScenarioEntry, SuiteFile, TestCaseEntry};
use super::keys::Keys;
use crate::assertion::{AssertionType, Expectation};
use crate::problem::{Problem, Problems};
use crate::spec::duration::Span;
use crate::spec::source::{Source, join};

/// A suite that was read and understood.
#[derive(Debug, Clone)]
pub struct Suite {
    /// The file's name, as given.
    pub file: String,
    /// The names of its scenarios.
    pub scenarios: Vec<String>,
    /// All assertions, in the order of the file.
    pub assertions: Vec<SuiteAssertion>,
    source: Source,
}

/// An assertion that is not yet bound to a VM.
#[derive(Debug, Clone)]
pub struct SuiteAssertion {
    /// The scenario's name.
    pub scenario: String,
    /// The test's name.
    pub test: String,
    /// The VM's name; it may be unknown.
    pub on_vm: String,
    /// The last part of the id, if the suite gives one.
    pub name: Option<String>,
    /// What must hold.
    pub expectation: Expectation,
    /// The suite's own counter-example.
    pub counter_example: Option<Expectation>,
    /// One line about it.
    pub description: Option<String>,
    /// Time limit for one attempt.
    pub timeout: Option<Duration>,
    /// For how long to try until it holds.
    pub wait: Option<Duration>,
    /// For how long it must go on to hold.
    pub consistently: Option<Duration>,
    /// The systemd unit that it depends on.
    pub unit: Option<String>,
    /// Why the warnings of `lint` about it are acceptable.
    pub lint_allow: Option<String>,
    /// Its JSON path.
    pub path: String,
    /// The JSON path of the object with the keys of its type.
    pub own_path: String,
    /// Its line in the file, from 1.
    pub line: usize,
}

impl Suite {
    /// Reads a suite; `file` only names it in messages. Returns all problems, not only the first.
    pub fn parse(file: &str, text: &str) -> Result<Self, Problems> {
        let source = Source::parse(file, text)?;
        if source.value.get("vms").is_some() && source.value.get("scenarios").is_none() {
            let problem = source.problem("", "this is an inventory, not a suite");
            return Err(problem.hint("name it with -i, and the suite with -s").into());
        }
        let written: SuiteFile = source.read()?;
        let mut reader = Reader { source: &source, assertions: Vec::new(), problems: Vec::new() };
        reader.suite(&written);
        let Reader { assertions, mut problems, .. } = reader;
        if !problems.is_empty() {
            problems.sort_by_key(|problem| problem.place);
            return Err(Problems(problems));
        }
        let scenarios = written.scenarios.into_iter().map(|scenario| scenario.name).collect();
        Ok(Self { file: file.to_owned(), scenarios, assertions, source })
    }

    /// A problem at a JSON path of this suite.
    pub fn problem(&self, path: &str, message: impl Into<String>) -> Problem {
        self.source.problem(path, message)
    }
}

/// Gathers assertions and problems.
struct Reader<'a> {
    source: &'a Source,
    assertions: Vec<SuiteAssertion>,
    problems: Vec<Problem>,
}

impl Reader<'_> {
    fn suite(&mut self, written: &SuiteFile) {
        if written.scenarios.is_empty() {
            self.nothing_to_check("scenarios", "the suite has no scenario");
        }
        for (index, scenario) in written.scenarios.iter().enumerate() {
            self.scenario(&format!("scenarios[{index}]"), scenario);
        }
    }

    fn scenario(&mut self, path: &str, scenario: &ScenarioEntry) {
        if !scenario.tests.is_empty() {
            let problem = self.source.problem(&join(path, "tests"), "`tests` must be empty");
            self.problems
                .push(problem.hint("move the assertions to `custom_tests[].assertions[]`"));
        }
        if scenario.custom_tests.is_empty() {
            self.nothing_to_check(&join(path, "custom_tests"), "the scenario has no test");
        }
        for (index, test) in scenario.custom_tests.iter().enumerate() {
            self.test(&format!("{path}.custom_tests[{index}]"), scenario, test);
        }
    }

    fn test(&mut self, path: &str, scenario: &ScenarioEntry, test: &TestCaseEntry) {
        if test.assertions.is_empty() {
            self.nothing_to_check(&join(path, "assertions"), "the test has no assertion");
        }
        for (index, entry) in test.assertions.iter().enumerate() {
            let path = format!("{path}.assertions[{index}]");
            match read_assertion(self.source, &path, entry) {
                Ok(assertion) => self.assertions.push(SuiteAssertion {
                    scenario: scenario.name.clone(),
                    test: test.name.clone(),
                    ..assertion
                }),
                Err(found) => self.problems.extend(found.0),
            }
        }
    }

    fn nothing_to_check(&mut self, path: &str, message: &str) {
        let message = format!("{message}, so there is nothing to check");
        self.problems.push(self.source.problem(path, message).hint("add at least one"));
    }
}

/// Reads one assertion; the names of its scenario and test are still empty.
fn read_assertion(
    source: &Source,
    path: &str,
    entry: &AssertionEntry,
) -> Result<SuiteAssertion, Problems> {
    let keys = Keys::sort(source, path, &entry.0)?;
    let common: CommonKeys = source.read_at(path, &Value::Object(keys.common.clone()))?;
    if common.lint_allow.as_ref().is_some_and(|reason| reason.trim().is_empty()) {
        let problem = source.problem(&join(path, "lint_allow"), "`lint_allow` needs a reason");
        return Err(problem.hint("write why the warning is acceptable here").into());
    }
    let expectation = read_expectation(
        source,
        &Place { path: &keys.own_path, allowed_beside: keys.allowed_beside },
        keys.kind,
        keys.own.clone(),
    )?;
    let counter_example = match &common.counter_example {
        Some(changes) => Some(read_counter_example(source, path, &keys, &expectation, changes)?),
        None => None,
    };
    let duration = |span: Option<Span>| span.map(|Span(duration)| duration);
    Ok(SuiteAssertion {
        scenario: String::new(),
        test: String::new(),
        on_vm: common.on_vm,
        name: common.name,
        description: common.description,
        expectation,
        counter_example,
        timeout: duration(common.timeout),
        wait: duration(common.wait),
        consistently: duration(common.consistently),
        unit: common.unit,
        lint_allow: common.lint_allow,
        path: path.to_owned(),
        own_path: keys.own_path,
        line: source.line(path),
    })
}

/// The object from which an expectation is read.
struct Place<'a> {
    path: &'a str,
    /// Other keys that its place allows, for "did you mean".
    allowed_beside: &'a [&'a str],
}

fn read_expectation(
    source: &Source,
    place: &Place,
    kind: AssertionType,
    keys: Map<String, Value>,
) -> Result<Expectation, Problems> {
    let (path, beside) = (place.path, place.allowed_beside);
    let keys = Value::Object(keys);
    let expectation = match kind {
        AssertionType::PortListening => {
            Expectation::PortListening(source.read_with(path, &keys, beside)?)
        }
        AssertionType::CommandOutput => {
            Expectation::CommandOutput(source.read_with(path, &keys, beside)?)
        }
        AssertionType::HttpResponds => {
            Expectation::HttpResponds(Box::new(source.read_with(path, &keys, beside)?))
        }
        AssertionType::ServiceRunning => {
            Expectation::ServiceRunning(source.read_with(path, &keys, beside)?)
        }
        AssertionType::ServiceEnabled => {
            Expectation::ServiceEnabled(source.read_with(path, &keys, beside)?)
        }
        AssertionType::ProcessRunning => {
            Expectation::ProcessRunning(source.read_with(path, &keys, beside)?)
        }
        AssertionType::PackageInstalled => {
            Expectation::PackageInstalled(source.read_with(path, &keys, beside)?)
        }
        AssertionType::PackageNotInstalled => {
            Expectation::PackageNotInstalled(source.read_with(path, &keys, beside)?)
        }
        AssertionType::FileExists => {
            Expectation::FileExists(source.read_with(path, &keys, beside)?)
        }
        AssertionType::FileContains => {
            Expectation::FileContains(source.read_with(path, &keys, beside)?)
        }
        AssertionType::UserExists => {
            Expectation::UserExists(source.read_with(path, &keys, beside)?)
        }
        AssertionType::GroupExists => {
            Expectation::GroupExists(source.read_with(path, &keys, beside)?)
        }
    };
    let mistakes = expectation.mistakes();
    if mistakes.is_empty() {
        return Ok(expectation);
    }
    let problems = mistakes.into_iter().map(|mistake| Problem {
        hint: mistake.hint.map(str::to_owned),
        ..source.problem(&join(path, mistake.key), mistake.message)
    });
    Err(Problems(problems.collect()))
}

/// The assertion after the changes that its `counter_example` makes to its keys.
fn read_counter_example(
    source: &Source,
    path: &str,
    keys: &Keys,
    expectation: &Expectation,
    changes: &Map<String, Value>,
) -> Result<Expectation, Problems> {
    let path = join(path, "counter_example");
    let mut changed = keys.own.clone();
    changed.extend(changes.clone());
    let place = Place { path: &path, allowed_beside: &[] };
    let counter_example = read_expectation(source, &place, keys.kind, changed)?;
    if counter_example == *expectation {
        let message = "the counter-example is the same as the assertion";
        let hint = "use another command, port or URL, with which the assertion must fail";
        return Err(source.problem(&path, message).hint(hint).into());
    }
    Ok(counter_example)
}
