//! The suite file as written. The doc comments of its types are the descriptions in its JSON
//! Schema.

use std::fmt;

use schemars::JsonSchema;
use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
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
    /// Values for the templates of this suite, as `${{ vars.NAME }}`, with their defaults; `--var
    /// NAME=VALUE` overrides them. A value that is `null` must be set with `--var`.
    #[serde(default)]
    pub vars: Map<String, Value>,
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

/// The keys that say for which VMs and values an assertion holds. Templates begin after them.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TargetKeys {
    /// The VMs that the assertion is about. Commands run on them, and requests start from them.
    pub on_vm: OnVm,
    /// `true`: it is no mistake if the inventory has no such VM. Default: `false`.
    #[serde(default)]
    pub may_match_nothing: bool,
    /// Makes an assertion of each value: `{"port": [80, 443]}` makes two, with `${{ each.port }}`.
    /// Several keys make one of each combination. A template instead of the list must give a list.
    #[serde(default)]
    #[schemars(length(min = 1))]
    pub for_each: Option<Map<String, Value>>,
}

/// The names of [`TargetKeys`].
pub(super) const TARGET_KEYS: [&str; 3] = ["on_vm", "may_match_nothing", "for_each"];

/// The other keys that every assertion can have, whatever its type.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CommonKeys {
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

/// A VM by name, or a selector: `"*"` for all VMs, `"role:app"`, `"group:eu"`; or a list of them,
/// with `"!web1"` to leave some out.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(untagged)]
pub(super) enum OnVm {
    /// One word.
    One(String),
    /// Several.
    Several(#[schemars(length(min = 1))] Vec<String>),
}

impl OnVm {
    /// The words.
    pub fn words(&self) -> &[String] {
        match self {
            Self::One(word) => std::slice::from_ref(word),
            Self::Several(words) => words,
        }
    }
}

impl<'de> Deserialize<'de> for OnVm {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OnVmVisitor)
    }
}

/// serde's own choice between forms would not say what was expected.
struct OnVmVisitor;

impl<'de> Visitor<'de> for OnVmVisitor {
    type Value = OnVm;

    fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("the name of a VM, a selector, or a list of them")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<OnVm, E> {
        Ok(OnVm::One(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<OnVm, A::Error> {
        let mut words = Vec::new();
        while let Some(word) = list.next_element()? {
            words.push(word);
        }
        Ok(OnVm::Several(words))
    }
}

/// The names of [`TargetKeys`] and [`CommonKeys`].
pub(super) const COMMON_KEYS: [&str; 11] = [
    "on_vm",
    "may_match_nothing",
    "for_each",
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
