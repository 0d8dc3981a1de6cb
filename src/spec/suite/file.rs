//! The suite file as written. The doc comments of its types are the descriptions in its JSON
//! Schema.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::spec::duration::Span;

/// What must hold on the VMs of an inventory.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "bootproof suite")]
pub struct SuiteFile {
    /// Address of this JSON Schema, for editors; bootproof ignores it.
    #[serde(rename = "$schema", default)]
    pub schema: Option<String>,
    /// The scenarios; at least one.
    #[schemars(length(min = 1))]
    pub scenarios: Vec<ScenarioEntry>,
}

/// A scenario: a named list of tests.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ScenarioEntry {
    /// Name of the scenario, as shown in reports.
    pub name: String,
    /// One line for the reader of the suite.
    #[serde(default)]
    pub description: Option<String>,
    /// `group` if the scenario is about several VMs. It changes nothing about how the scenario
    /// runs.
    #[serde(default, rename = "type")]
    pub kind: Option<ScenarioKind>,
    /// Must be empty: assertions belong in `custom_tests`.
    #[serde(default)]
    #[schemars(length(max = 0))]
    pub tests: Vec<Value>,
    /// The tests; at least one.
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

/// A test: a named list of assertions.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TestCaseEntry {
    /// Name of the test; the first part of its assertions' ids.
    pub name: String,
    /// One line for the reader of the suite.
    #[serde(default)]
    pub description: Option<String>,
    /// The assertions; at least one.
    #[schemars(length(min = 1))]
    pub assertions: Vec<AssertionEntry>,
}

/// An assertion as written. Its keys depend on its type, so they are read in a second step.
#[derive(Debug, Clone, Deserialize)]
#[serde(transparent)]
pub struct AssertionEntry(pub(super) Value);

/// The keys that every assertion can have, whatever its type.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CommonKeys {
    /// The VM that the assertion is about, by its name in the inventory. Commands run on it, and
    /// requests start from it.
    pub on_vm: String,
    /// Last part of the assertion's id. Default: made from what is expected, such as the port, the
    /// expected text, or port and path of the URL.
    #[serde(default)]
    pub name: Option<String>,
    /// One line for people, shown in reports.
    #[serde(default)]
    pub description: Option<String>,
    /// Time limit for one attempt. Default: 30 s.
    #[serde(default)]
    pub timeout: Option<Span>,
    /// Keep trying until the assertion holds, for at most this long. Default: what `check --wait`
    /// says, else one attempt.
    #[serde(default)]
    pub wait: Option<Span>,
    /// Once the assertion holds, it must go on holding for this long.
    #[serde(default)]
    pub consistently: Option<Span>,
    /// The systemd unit on the VM that the assertion depends on. If systemd has given up on the
    /// unit, bootproof stops waiting for the assertion.
    #[serde(default)]
    pub unit: Option<String>,
    /// Why the warnings of `bootproof lint` about this assertion are acceptable. This only silences
    /// `lint`: the assertion still runs, and can fail.
    #[serde(default)]
    #[schemars(length(min = 1))]
    pub lint_allow: Option<String>,
    /// For `bootproof prove`: keys that turn this assertion into one that must fail, such as
    /// another `command` or `port`. Default: bootproof makes counter-examples itself where it can.
    #[serde(default)]
    pub counter_example: Option<Map<String, Value>>,
}

/// The names of [`CommonKeys`].
pub(super) const COMMON_KEYS: [&str; 9] = [
    "on_vm",
    "name",
    "description",
    "timeout",
    "wait",
    "consistently",
    "unit",
    "lint_allow",
    "counter_example",
];

/// Common keys that may also be written under `params`; the format's original documentation does
/// so.
pub(super) const TIME_KEYS: [&str; 3] = ["timeout", "wait", "consistently"];
