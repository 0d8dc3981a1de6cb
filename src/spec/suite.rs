//! The suite: scenarios, their custom tests, and the assertions in them.
//!
//! An assertion's parameters stand flat beside `type` and `on_vm`, or under `params`.

use std::borrow::Cow;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::duration::Span;
use super::source::{Source, join};
use crate::assertion::command_output::CommandOutput;
use crate::assertion::http_responds::HttpResponds;
use crate::assertion::port_listening::PortListening;
use crate::assertion::{Expectation, TYPES};
use crate::problem::{Problem, Problems, hint_for_unknown};

/// A suite file: one or more scenarios.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "bootproof suite")]
pub struct SuiteFile {
    /// Address of the JSON Schema, for editors; not read by bootproof.
    #[serde(rename = "$schema", default)]
    pub schema: Option<String>,
    /// The scenarios.
    #[schemars(length(min = 1))]
    pub scenarios: Vec<ScenarioEntry>,
}

/// A scenario, as written.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ScenarioEntry {
    /// Its name.
    pub name: String,
    /// One line about it.
    #[serde(default)]
    pub description: Option<String>,
    /// `group`: it is about several VMs.
    #[serde(default, rename = "type")]
    pub kind: Option<ScenarioKind>,
    /// Always empty: assertions stand in `custom_tests`.
    #[serde(default)]
    #[schemars(length(max = 0))]
    pub tests: Vec<Value>,
    /// The tests.
    #[schemars(length(min = 1))]
    pub custom_tests: Vec<TestCaseEntry>,
}

/// What a scenario is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ScenarioKind {
    /// Several VMs.
    Group,
}

/// A named group of assertions, as written.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TestCaseEntry {
    /// Its name.
    pub name: String,
    /// One line about it.
    #[serde(default)]
    pub description: Option<String>,
    /// The assertions.
    #[schemars(length(min = 1))]
    pub assertions: Vec<AssertionEntry>,
}

/// An assertion, as written; read by [`Suite::parse`], which knows its type.
#[derive(Debug, Clone, Deserialize)]
#[serde(transparent)]
pub struct AssertionEntry(Value);

/// The keys that every assertion can have beside its type's own.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct CommonKeys {
    /// The VM that is looked at, or from which is asked.
    on_vm: String,
    /// The last part of the assertion's id; by default made from the expectation.
    #[serde(default)]
    name: Option<String>,
    /// One line about it.
    #[serde(default)]
    description: Option<String>,
    /// How long one attempt may take; 30 s by default.
    #[serde(default)]
    timeout: Option<Span>,
    /// How long it is tried until it holds; by default what the run says.
    #[serde(default)]
    wait: Option<Span>,
    /// For how long it must go on to hold once it does.
    #[serde(default)]
    consistently: Option<Span>,
    /// The systemd unit on the VM that it is about: when systemd has given up on it, nobody waits any longer.
    #[serde(default)]
    unit: Option<String>,
    /// Why what `bootproof lint` warns of is accepted here.
    #[serde(default)]
    #[schemars(length(min = 1))]
    waive: Option<String>,
    /// Keys of its type that differ in a check that must be red, for `bootproof prove`.
    #[serde(default)]
    counter_example: Option<Map<String, Value>>,
}

const COMMON_KEYS: [&str; 9] = [
    "on_vm",
    "name",
    "description",
    "timeout",
    "wait",
    "consistently",
    "unit",
    "waive",
    "counter_example",
];

/// Those of them that the format's docs show among the parameters, or could.
const TIME_KEYS: [&str; 3] = ["timeout", "wait", "consistently"];

impl JsonSchema for AssertionEntry {
    fn schema_name() -> Cow<'static, str> {
        "Assertion".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let types = [
            (TYPES[0], PortListening::json_schema(generator)),
            (TYPES[1], CommandOutput::json_schema(generator)),
            (TYPES[2], HttpResponds::json_schema(generator)),
        ];
        let common = CommonKeys::json_schema(generator);
        let shapes: Vec<Value> =
            types.iter().flat_map(|(word, own)| shapes_of(word, own, &common)).collect();
        json_schema!({ "description": "An assertion: what should hold on one VM.", "oneOf": shapes })
    }
}

/// The flat shape of a type, and the one with `params`.
fn shapes_of(word: &str, own: &Schema, common: &Schema) -> [Value; 2] {
    let part = |schema: &Schema, key: &str| schema.get(key).cloned().unwrap_or(Value::Null);
    let mut own_keys = part(own, "properties");
    if let Some(keys) = own_keys.as_object_mut()
        && let Some(contains) = keys.get("contains").cloned()
        && word == TYPES[1]
    {
        keys.insert("expected".to_owned(), contains.clone());
        keys.insert("expected_output".to_owned(), contains);
    }
    let mut keys = part(common, "properties");
    merge(&mut keys, serde_json::json!({"type": {"const": word}}));
    // The format's docs show `timeout` among the parameters.
    let mut params = own_keys.clone();
    if let (Some(params), Some(common)) =
        (params.as_object_mut(), part(common, "properties").as_object())
    {
        let times = common.iter().filter(|(key, _)| TIME_KEYS.contains(&key.as_str()));
        params.extend(times.map(|(key, schema)| (key.clone(), schema.clone())));
    }
    let with_params = serde_json::json!({
        "type": "object",
        "properties": merged(&keys, serde_json::json!({"params": {
            "type": "object", "properties": params, "required": part(own, "required"), "additionalProperties": false
        }})),
        "required": ["type", "on_vm", "params"],
        "additionalProperties": false,
    });
    let mut required = vec![Value::from("type"), Value::from("on_vm")];
    required.extend(part(own, "required").as_array().into_iter().flatten().cloned());
    let flat = serde_json::json!({
        "type": "object",
        "properties": merged(&keys, own_keys),
        "required": required,
        "additionalProperties": false,
    });
    [flat, with_params]
}

fn merged(base: &Value, more: Value) -> Value {
    let mut all = base.clone();
    merge(&mut all, more);
    all
}

fn merge(base: &mut Value, more: Value) {
    if let (Value::Object(base), Value::Object(more)) = (base, more) {
        base.extend(more);
    }
}

/// A suite that was read and understood.
#[derive(Debug, Clone)]
pub struct Suite {
    /// The file's name, as given.
    pub file: String,
    /// Its scenarios' names.
    pub scenarios: Vec<String>,
    /// All assertions, in the order of the file.
    pub assertions: Vec<SuiteAssertion>,
    source: Source,
}

/// An assertion, understood but not yet bound to a VM.
#[derive(Debug, Clone)]
pub struct SuiteAssertion {
    /// The scenario's name.
    pub scenario: String,
    /// The test's name.
    pub test: String,
    /// The VM's name.
    pub on_vm: String,
    /// The last part of the id, if the suite gives one.
    pub name: Option<String>,
    /// What should hold.
    pub expectation: Expectation,
    /// The suite's own example of what must be red.
    pub counter_example: Option<Expectation>,
    /// One line about it.
    pub description: Option<String>,
    /// How long one attempt may take.
    pub timeout: Option<Duration>,
    /// How long it is tried until it holds.
    pub wait: Option<Duration>,
    /// For how long it must go on to hold.
    pub consistently: Option<Duration>,
    /// The systemd unit that it is about.
    pub unit: Option<String>,
    /// Why what `lint` warns of is accepted.
    pub waive: Option<String>,
    /// Its JSON path.
    pub path: String,
    /// The JSON path at which its type's own keys stand.
    pub own_path: String,
    /// Its line in the file.
    pub line: usize,
}

impl Suite {
    /// Reads a suite; `file` is only a name for messages. All mistakes are returned, not only the first.
    pub fn parse(file: &str, text: &str) -> Result<Self, Problems> {
        let source = Source::parse(file, text)?;
        let written: SuiteFile = source.read()?;
        let mut errors = Vec::new();
        let mut assertions = Vec::new();
        if written.scenarios.is_empty() {
            errors.push(nothing_to_check(&source, "scenarios", "the suite has no scenario"));
        }
        for (index, scenario) in written.scenarios.iter().enumerate() {
            let path = format!("scenarios[{index}]");
            read_scenario(&source, &path, scenario, &mut assertions, &mut errors);
        }
        if !errors.is_empty() {
            errors.sort_by_key(|error| error.place);
            return Err(Problems(errors));
        }
        let scenarios = written.scenarios.into_iter().map(|scenario| scenario.name).collect();
        Ok(Self { file: file.to_owned(), scenarios, assertions, source })
    }

    /// An error at one of its assertions.
    pub fn error(&self, path: &str, message: impl Into<String>, hint: Option<String>) -> Problem {
        self.source.error(path, message, hint)
    }
}

fn nothing_to_check(source: &Source, path: &str, message: &str) -> Problem {
    source.error(
        path,
        format!("{message}, so nothing would be checked"),
        Some("write at least one".to_owned()),
    )
}

fn read_scenario(
    source: &Source,
    path: &str,
    scenario: &ScenarioEntry,
    assertions: &mut Vec<SuiteAssertion>,
    errors: &mut Vec<Problem>,
) {
    if !scenario.tests.is_empty() {
        let hint = "put the assertions into `custom_tests[].assertions[]`".to_owned();
        errors.push(source.error(&join(path, "tests"), "`tests` must be empty", Some(hint)));
    }
    if scenario.custom_tests.is_empty() {
        errors.push(nothing_to_check(
            source,
            &join(path, "custom_tests"),
            "the scenario has no test",
        ));
    }
    for (index, test) in scenario.custom_tests.iter().enumerate() {
        let path = format!("{path}.custom_tests[{index}]");
        if test.assertions.is_empty() {
            errors.push(nothing_to_check(
                source,
                &join(&path, "assertions"),
                "the test has no assertion",
            ));
        }
        for (index, entry) in test.assertions.iter().enumerate() {
            let path = format!("{path}.assertions[{index}]");
            match read_assertion(source, &path, &entry.0) {
                Ok(read) => {
                    assertions.push(SuiteAssertion {
                        scenario: scenario.name.clone(),
                        test: test.name.clone(),
                        ..read
                    });
                }
                Err(found) => errors.extend(found.0),
            }
        }
    }
}

fn read_assertion(source: &Source, path: &str, value: &Value) -> Result<SuiteAssertion, Problems> {
    let Value::Object(keys) = value else {
        return Err(source.error(path, "an assertion is an object", None).into());
    };
    let word = read_type(source, path, keys)?;
    let (common, own, own_path) = split_keys(source, path, keys)?;
    let common: CommonKeys = source.read_at(path, &Value::Object(common))?;
    let expectation = read_expectation(source, &own_path, word, own.clone())?;
    let counter_example = match &common.counter_example {
        Some(changes) => {
            Some(read_counter_example(source, path, word, (&expectation, own), changes)?)
        }
        None => None,
    };
    if common.waive.as_ref().is_some_and(|reason| reason.trim().is_empty()) {
        return Err(source.error(&join(path, "waive"), "a waiver gives its reason", None).into());
    }
    Ok(SuiteAssertion {
        scenario: String::new(),
        test: String::new(),
        on_vm: common.on_vm,
        name: common.name,
        description: common.description,
        expectation,
        counter_example,
        timeout: common.timeout.map(|span| span.0),
        wait: common.wait.map(|span| span.0),
        consistently: common.consistently.map(|span| span.0),
        unit: common.unit,
        waive: common.waive,
        path: path.to_owned(),
        own_path,
        line: source.place(path).map_or(1, |(line, _)| line),
    })
}

fn read_expectation(
    source: &Source,
    path: &str,
    word: &str,
    keys: Map<String, Value>,
) -> Result<Expectation, Problems> {
    let keys = Value::Object(keys);
    let expectation = match word {
        "port_listening" => Expectation::PortListening(source.read_at(path, &keys)?),
        "command_output" => Expectation::CommandOutput(source.read_at(path, &keys)?),
        _ => Expectation::HttpResponds(Box::new(source.read_at(path, &keys)?)),
    };
    let mistakes = expectation.mistakes();
    if mistakes.is_empty() {
        return Ok(expectation);
    }
    let error = |(key, why): (&str, String)| source.error(&join(path, key), why, None);
    Err(Problems(mistakes.into_iter().map(error).collect()))
}

/// The assertion, with the keys of its `counter_example` in the place of its own.
fn read_counter_example(
    source: &Source,
    path: &str,
    word: &str,
    (expectation, mut keys): (&Expectation, Map<String, Value>),
    changes: &Map<String, Value>,
) -> Result<Expectation, Problems> {
    let path = join(path, "counter_example");
    keys.extend(changes.clone());
    let counter_example = read_expectation(source, &path, word, keys)?;
    if counter_example == *expectation {
        let hint =
            Some("change what is looked at: a command, a port, a URL that must not do".to_owned());
        return Err(source.error(&path, "the counter-example is the check itself", hint).into());
    }
    Ok(counter_example)
}

fn read_type<'a>(
    source: &Source,
    path: &str,
    keys: &'a Map<String, Value>,
) -> Result<&'a str, Problem> {
    let known = || format!("one of: {}", TYPES.join(", "));
    let Some(word) = keys.get("type") else {
        return Err(source.error(path, "missing key `type`", Some(known())));
    };
    let path = join(path, "type");
    match word.as_str() {
        Some(word) if TYPES.contains(&word) => Ok(word),
        Some(word) => Err(source.error(
            &path,
            format!("unknown assertion type `{word}`"),
            Some(hint_for_unknown(word, TYPES)),
        )),
        None => Err(source.error(&path, "`type` is a text", Some(known()))),
    }
}

type SplitKeys = (Map<String, Value>, Map<String, Value>, String);

/// Keys that every assertion can have, keys of its type, and the path at which the latter stand.
fn split_keys(
    source: &Source,
    path: &str,
    keys: &Map<String, Value>,
) -> Result<SplitKeys, Problem> {
    let (mut common, mut own) = (Map::new(), Map::new());
    for (key, value) in keys.iter().filter(|(key, _)| !["type", "params"].contains(&key.as_str())) {
        let side = if COMMON_KEYS.contains(&key.as_str()) { &mut common } else { &mut own };
        side.insert(key.clone(), value.clone());
    }
    let Some(params) = keys.get("params") else {
        return Ok((common, own, path.to_owned()));
    };
    let params_path = join(path, "params");
    let Value::Object(params) = params else {
        return Err(source.error(&params_path, "`params` is an object", None));
    };
    if let Some(flat) = own.keys().next() {
        let hint = "write them all flat, or all under `params`".to_owned();
        let message = format!("`{flat}` stands beside `params`");
        return Err(source.error(&join(path, flat), message, Some(hint)));
    }
    for (key, value) in params {
        // The format's docs show `timeout` among the parameters.
        let side = if TIME_KEYS.contains(&key.as_str()) { &mut common } else { &mut own };
        if side.insert(key.clone(), value.clone()).is_some() {
            let hint = Some("keep one of the two".to_owned());
            return Err(source.error(
                &join(&params_path, key),
                format!("`{key}` stands also beside `params`"),
                hint,
            ));
        }
    }
    Ok((common, own, params_path))
}
