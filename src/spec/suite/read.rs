//! Reads a suite: every assertion is understood, but not yet bound to a VM.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::content::{Content, no_id, read_content};
use super::expand::{Expand, check_for_each, problem_of};
use super::file::{AssertionEntry, ScenarioEntry, SuiteFile, TargetKeys, TestCaseEntry};
use super::keys::Keys;
use crate::assertion::slug;
use crate::problem::{Problem, Problems};
use crate::spec::delimiters::has_template;
use crate::spec::inventory::Inventory;
use crate::spec::selector::{Selector, SelectorMistake};
use crate::spec::source::{Source, join};
use crate::spec::template::{Names, Templates};
use crate::spec::type_error::is_about_a_key;

/// The VM for which assertions with templates are read before any VM is known.
const SAMPLE_VM: &str = "vm";

/// A suite that was read and understood.
#[derive(Debug, Clone)]
pub struct Suite {
    /// The file's name, as given.
    pub file: String,
    /// The names of its scenarios.
    pub scenarios: Vec<String>,
    /// All assertions, in the order of the file.
    pub assertions: Vec<SuiteAssertion>,
    /// Values for its templates; `null` for those that must be set.
    vars: Map<String, Value>,
    pub(super) source: Source,
    pub(super) templates: Templates,
}

/// An assertion that is not yet bound to VMs.
#[derive(Debug, Clone)]
pub struct SuiteAssertion {
    /// The scenario's name.
    pub scenario: Arc<str>,
    /// The test's name.
    pub test: Arc<str>,
    /// The VMs that it is about.
    pub on_vm: Selector,
    /// Whether it may be about none.
    pub may_match_nothing: bool,
    /// The lists of values for which it is repeated, by name.
    pub for_each: Map<String, Value>,
    /// What it says; with templates, what it says for one value of each. `None` if no value is
    /// known before its VM is.
    pub sample: Option<Content>,
    /// Whether what it says has templates.
    pub has_templates: bool,
    /// Its JSON path.
    pub path: String,
    /// Its line in the file, from 1.
    pub line: usize,
    /// Its keys as written.
    pub(super) keys: Keys,
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
        let mut reader = Reader::new(&source, &written.vars);
        reader.suite(&written);
        let Reader { assertions, mut problems, templates, .. } = reader;
        if !problems.is_empty() {
            problems.sort_by_key(|problem| problem.place);
            return Err(Problems(problems));
        }
        let scenarios = written.scenarios.into_iter().map(|scenario| scenario.name).collect();
        let vars = written.vars;
        Ok(Self { file: file.to_owned(), scenarios, assertions, vars, source, templates })
    }

    /// A problem at a JSON path of this suite.
    pub fn problem(&self, path: &str, message: impl Into<String>) -> Problem {
        self.source.problem(path, message)
    }

    /// The names of its values.
    pub fn var_names(&self) -> impl Iterator<Item = &str> {
        self.vars.keys().map(String::as_str)
    }

    /// Overrides one of its values; says whether it has a value of this name.
    ///
    /// A value that is a number, a truth value or a list stays one.
    pub fn set_var(&mut self, name: &str, text: &str) -> Result<bool, Problem> {
        let Some(value) = self.vars.get_mut(name) else { return Ok(false) };
        if matches!(value, Value::String(_) | Value::Null) {
            *value = Value::String(text.to_owned());
            return Ok(true);
        }
        let given: Option<Value> = serde_json::from_str(text).ok();
        let same_kind =
            |given: &Value| std::mem::discriminant(given) == std::mem::discriminant(value);
        if let Some(given) = given.filter(same_kind) {
            *value = given;
            return Ok(true);
        }
        let message = format!("`{text}` cannot replace the value `{name}`, which is {value}");
        let hint = "write a value of the same kind, as JSON";
        Err(self.source.problem(&format!("vars.{name}"), message).hint(hint))
    }

    /// A mistake in `on_vm` of one of its assertions.
    pub(in crate::spec) fn on_vm_problem(
        &self,
        assertion: &SuiteAssertion,
        mistake: SelectorMistake,
    ) -> Problem {
        selector_problem(&self.source, &assertion.path, mistake)
    }

    /// The JSON path of the object with the keys of an assertion's type.
    pub fn own_path<'a>(&self, assertion: &'a SuiteAssertion) -> &'a str {
        &assertion.keys.own_path
    }

    /// What its templates can use on the VMs of an inventory.
    pub(in crate::spec) fn names(&self, inventory: &Inventory) -> Names {
        Names::new(inventory, &self.vars)
    }
}

/// Gathers assertions and problems.
struct Reader<'a> {
    source: &'a Source,
    /// Names for templates, before any VM is known.
    sample: Names,
    templates: Templates,
    assertions: Vec<SuiteAssertion>,
    problems: Vec<Problem>,
}

impl<'a> Reader<'a> {
    fn new(source: &'a Source, vars: &Map<String, Value>) -> Self {
        Self {
            source,
            sample: Names::sample(vars),
            templates: Templates::default(),
            assertions: Vec::new(),
            problems: Vec::new(),
        }
    }

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
        let name: Arc<str> = scenario.name.as_str().into();
        for (index, test) in scenario.custom_tests.iter().enumerate() {
            self.test(&format!("{path}.custom_tests[{index}]"), &name, test);
        }
    }

    fn test(&mut self, path: &str, scenario: &Arc<str>, test: &TestCaseEntry) {
        if test.assertions.is_empty() {
            self.nothing_to_check(&join(path, "assertions"), "the test has no assertion");
        }
        if slug(&test.name).is_empty() {
            self.problems.push(no_id(self.source, &join(path, "name")));
        }
        let name: Arc<str> = test.name.as_str().into();
        for (index, entry) in test.assertions.iter().enumerate() {
            let path = format!("{path}.assertions[{index}]");
            match self.assertion(&path, entry) {
                Ok(assertion) => self.assertions.push(SuiteAssertion {
                    scenario: scenario.clone(),
                    test: name.clone(),
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

    /// Reads one assertion; the names of its scenario and test are still empty.
    fn assertion(
        &mut self,
        path: &str,
        entry: &AssertionEntry,
    ) -> Result<SuiteAssertion, Problems> {
        let keys = Keys::sort(self.source, path, &entry.0)?;
        keys.check_no_null(self.source, path)?;
        let targets: TargetKeys =
            self.source.read_at(path, &Value::Object(keys.targets.clone()))?;
        if let Some(lists) = &targets.for_each {
            check_for_each(self.source, path, lists)?;
        }
        let for_each = targets.for_each.unwrap_or_default();
        let on_vm = read_selector(self.source, path, targets.on_vm.words())?;
        self.compile(path, &keys)?;
        let sample = self.sample(path, &keys, &for_each)?;
        Ok(SuiteAssertion {
            scenario: Arc::default(),
            test: Arc::default(),
            on_vm,
            may_match_nothing: targets.may_match_nothing,
            has_templates: !for_each.is_empty() || keys.have_templates(),
            for_each,
            sample,
            path: path.to_owned(),
            line: self.source.line(path),
            keys,
        })
    }

    fn compile(&mut self, path: &str, keys: &Keys) -> Result<(), Problem> {
        let (source, templates) = (self.source, &mut self.templates);
        keys.visit_templates(path, &mut |path, target, text| {
            templates.add(target, text).map_err(|mistake| problem_of(source, path, mistake))
        })
    }

    /// What the assertion says for one value of each template; `None` if another value could solve
    /// the problems of this one.
    fn sample(
        &self,
        path: &str,
        keys: &Keys,
        for_each: &Map<String, Value>,
    ) -> Result<Option<Content>, Problems> {
        let expand = Expand { source: self.source, templates: &self.templates, path, keys };
        let combinations = expand.combinations(for_each, &self.sample, SAMPLE_VM);
        if matches!(&combinations, Ok(combinations) if combinations.is_empty()) {
            return Ok(None);
        }
        let rendered = combinations.and_then(|combinations| {
            let first = combinations.into_iter().next().unwrap_or_default();
            expand.render(&self.sample.on(SAMPLE_VM, &first.0))
        });
        let rendered = match rendered {
            Ok(rendered) => rendered,
            Err(found) if found.depends_on_values => return Ok(None),
            Err(found) => return Err((*found.problem).into()),
        };
        match read_content(self.source, path, keys, &rendered) {
            Ok(content) => Ok(Some(content)),
            Err(problems) => {
                let is_certain = |problem: &Problem| !self.comes_from_a_template(problem);
                let certain: Vec<_> = problems.0.into_iter().filter(is_certain).collect();
                if certain.is_empty() { Ok(None) } else { Err(Problems(certain)) }
            }
        }
    }

    /// Whether what is wrong was written as a template.
    fn comes_from_a_template(&self, problem: &Problem) -> bool {
        if is_about_a_key(&problem.message) {
            return false;
        }
        let written = self.source.at(&problem.path);
        written.is_some_and(|written| !written.is_object() && has_template(written))
    }
}

/// The selector in `on_vm` of the assertion at `path`.
fn read_selector(source: &Source, path: &str, words: &[String]) -> Result<Selector, Problem> {
    Selector::parse(words).map_err(|mistake| selector_problem(source, path, mistake))
}

/// A mistake in `on_vm` of the assertion at `path`.
fn selector_problem(source: &Source, path: &str, mistake: SelectorMistake) -> Problem {
    let mut path = join(path, "on_vm");
    if let Some(word) = mistake.word.filter(|_| source.at(&path).is_some_and(Value::is_array)) {
        path = format!("{path}[{word}]");
    }
    source.problem(&path, mistake.message).hint(mistake.hint)
}
