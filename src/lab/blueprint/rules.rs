//! The rules for a blueprint as a whole. Recipes and suites have rules of their own, wherever they
//! come from.

use std::collections::HashSet;

use serde_json::Value;

use super::spelling::{OWN_TYPES, Spelled};
use super::written::{BlueprintFile, RecipeLink};
use crate::assertion::AssertionType;
use crate::problem::{Problem, hint_for_unknown};
use crate::spec::suite::{ScenarioEntry, ScenarioKind};

/// Assertion types that blueprints use but bootproof does not have, and what to write instead.
const OTHER_TYPES: [(&str, &str); 3] = [
    ("vm_boots", "remove it: every other assertion logs in, which proves that the VM booted"),
    (
        "network_reachable",
        "use `command_output` on the VM that connects, with `nc -z -w 5 ADDRESS PORT`",
    ),
    (
        "service_running",
        "use `port_listening`, or `command_output` with `systemctl is-active SERVICE`",
    ),
];

/// What to write instead of a type that a blueprint does not have; `None` for a type that it has,
/// and for one that nobody has.
fn instead_of(word: &str) -> Option<String> {
    if let Some((_, instead)) = OTHER_TYPES.iter().find(|(other, _)| *other == word) {
        return Some((*instead).to_owned());
    }
    AssertionType::of_word(word).filter(|kind| !OWN_TYPES.contains(kind)).map(|_| {
        let words = OWN_TYPES.map(AssertionType::word).join(", ");
        format!("a blueprint has only {words}; put this assertion into a suite of its own")
    })
}

/// The scenarios of a blueprint, each with its JSON path.
pub(super) fn scenarios(written: &BlueprintFile) -> impl Iterator<Item = (String, &ScenarioEntry)> {
    let list =
        written.scenarios.iter().enumerate().map(|(at, one)| (format!("scenarios[{at}]"), one));
    list.chain(written.scenario.iter().map(|one| ("scenario".to_owned(), one)))
}

/// All mistakes in the blueprint as a whole.
pub(super) fn mistakes(spelled: &Spelled, written: &BlueprintFile) -> Vec<Problem> {
    let parts =
        [lab_name, node_names, connections, recipe_names, one_group_scenario, assertions, warnings]
            .map(|rule| rule(spelled, written));
    parts.concat()
}

/// Host names have letters, digits and `-`.
pub(super) fn is_host_name(name: &str) -> bool {
    let inner = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    inner && (1..64).contains(&name.len()) && !name.starts_with('-') && !name.ends_with('-')
}

fn is_file_name(name: &str) -> bool {
    let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    plain && (1..101).contains(&name.len()) && !name.starts_with(['.', '-'])
}

fn invalid_file_name(spelled: &Spelled, path: &str, name: &str) -> Option<Problem> {
    let hint = "it becomes a file name: use letters, digits, `-`, `_` and `.`".to_owned();
    (!is_file_name(name))
        .then(|| spelled.error(path, format!("invalid file name `{name}`"), Some(hint)))
}

fn lab_name(spelled: &Spelled, written: &BlueprintFile) -> Vec<Problem> {
    let error = |path: &str, message: &str, hint: &str| {
        vec![spelled.error(path, message, Some(hint.to_owned()))]
    };
    match (&written.lab, &written.name) {
        (None, None) => {
            error("", "the blueprint has no name", "write the lab's name under `name` or `lab`")
        }
        (Some(lab), Some(name)) if lab != name => error(
            "name",
            &format!("the lab is named `{name}` here but `{lab}` under `lab`"),
            "remove one of them",
        ),
        (Some(name), _) if name == "local" => {
            error("lab", "`local` is reserved for the lab that is up", "choose another name")
        }
        (None, Some(name)) if name == "local" => {
            error("name", "`local` is reserved for the lab that is up", "choose another name")
        }
        (Some(name), _) => invalid_file_name(spelled, "lab", name).into_iter().collect(),
        (None, Some(name)) => invalid_file_name(spelled, "name", name).into_iter().collect(),
    }
}

fn node_names(spelled: &Spelled, written: &BlueprintFile) -> Vec<Problem> {
    let mut errors = Vec::new();
    let mut names = HashSet::new();
    for (at, node) in written.nodes.iter().enumerate() {
        let path = format!("nodes[{at}].name");
        if !is_host_name(&node.name) {
            let hint = "use letters, digits and `-`".to_owned();
            errors.push(spelled.error(
                &path,
                format!("invalid host name `{}`", node.name),
                Some(hint),
            ));
        } else if !names.insert(&node.name) {
            let message = format!("two nodes have the name `{}`", node.name);
            errors.push(spelled.error(&path, message, Some("rename one of them".to_owned())));
        }
    }
    errors
}

fn hint_for_node(written: &BlueprintFile, name: &str) -> String {
    let names: Vec<&str> = written.nodes.iter().map(|node| node.name.as_str()).collect();
    hint_for_unknown(name, names)
}

fn is_node(written: &BlueprintFile, name: &str) -> bool {
    written.nodes.iter().any(|node| node.name == name)
}

fn connections(spelled: &Spelled, written: &BlueprintFile) -> Vec<Problem> {
    let mut errors = Vec::new();
    for (at, wire) in written.connections.iter().enumerate() {
        for (key, name) in [("from", &wire.from), ("to", &wire.to)] {
            if !is_node(written, name) {
                let message = format!("unknown node `{name}`");
                let hint = Some(hint_for_node(written, name));
                errors.push(spelled.error(&format!("connections[{at}].{key}"), message, hint));
            }
        }
        if wire.port == 0 {
            errors.push(spelled.error(
                &format!("connections[{at}].port"),
                "invalid port 0: ports are 1 to 65535",
                None,
            ));
        }
    }
    errors
}

fn recipe_names(spelled: &Spelled, written: &BlueprintFile) -> Vec<Problem> {
    let used: HashSet<&str> = written
        .nodes
        .iter()
        .filter_map(|node| match &node.recipe {
            None => Some(node.name.as_str()),
            Some(RecipeLink::Name(name)) => Some(name),
            Some(RecipeLink::Inline(_)) => None,
        })
        .collect();
    let mut names = HashSet::new();
    let mut errors = Vec::new();
    for (at, recipe) in written.recipes.iter().enumerate() {
        let path = format!("recipes[{at}]");
        let Some(name) = recipe.name.as_deref() else {
            let hint = "write a `name`: nodes refer to recipes by it".to_owned();
            errors.push(spelled.error(&path, "the recipe has no name", Some(hint)));
            continue;
        };
        let (message, hint) = if !names.insert(name) {
            (format!("two recipes have the name `{name}`"), "rename one of them")
        } else if !used.contains(name) {
            (
                format!("no node uses the recipe `{name}`"),
                "name it in a node's `recipe`, or remove it",
            )
        } else {
            continue;
        };
        errors.push(spelled.error(&format!("{path}.name"), message, Some(hint.to_owned())));
    }
    errors
}

fn one_group_scenario(spelled: &Spelled, written: &BlueprintFile) -> Vec<Problem> {
    let all: Vec<_> = scenarios(written).collect();
    let [(path, scenario)] = &all[..] else {
        let hint =
            "write exactly one scenario, of type `group`; put all tests into its `custom_tests`";
        let hint = Some(hint.to_owned());
        let message = if all.is_empty() {
            "the blueprint has no scenario".to_owned()
        } else {
            format!("the blueprint has {} scenarios", all.len())
        };
        // The first that is too many, or the blueprint itself.
        let path = all.get(1).map_or("", |(path, _)| path);
        return vec![spelled.error(path, message, hint)];
    };
    let mut errors: Vec<_> =
        invalid_file_name(spelled, &format!("{path}.name"), &scenario.name).into_iter().collect();
    if scenario.kind != Some(ScenarioKind::Group) {
        let hint = Some("write \"type\": \"group\"".to_owned());
        errors.push(spelled.error(
            path,
            "the scenario of a blueprint must be about all its VMs",
            hint,
        ));
    }
    errors
}

/// The assertions of a scenario, each with its JSON path.
fn assertions_of<'a>(scenario_path: &str, scenario: &'a Value) -> Vec<(String, &'a Value)> {
    let list = |value: &'a Value| value.as_array().map_or(&[][..], Vec::as_slice);
    let tests = list(&scenario["custom_tests"]).iter().enumerate();
    let all = tests.flat_map(|(test, entry)| {
        let test_path = format!("{scenario_path}.custom_tests[{test}]");
        list(&entry["assertions"])
            .iter()
            .enumerate()
            .map(move |(at, one)| (format!("{test_path}.assertions[{at}]"), one))
    });
    all.collect()
}

fn assertions(spelled: &Spelled, written: &BlueprintFile) -> Vec<Problem> {
    let mut errors = Vec::new();
    let list = spelled.value["scenarios"]
        .as_array()
        .into_iter()
        .flatten()
        .chain(spelled.value.get("scenario"));
    let all = scenarios(written)
        .zip(list)
        .flat_map(|((path, _), scenario)| assertions_of(&path, scenario));
    for (path, assertion) in all {
        let word = assertion["type"].as_str().unwrap_or_default();
        if let Some(instead) = instead_of(word) {
            let message = format!("unknown assertion type `{word}`");
            errors.push(spelled.error(&format!("{path}.type"), message, Some(instead)));
        }
        match assertion.get("on_vm").map(Value::as_str) {
            Some(Some(vm)) if !is_node(written, vm) => {
                let message = format!("unknown VM `{vm}`: no node has this name");
                errors.push(spelled.error(
                    &format!("{path}.on_vm"),
                    message,
                    Some(hint_for_node(written, vm)),
                ));
            }
            None if assertion.is_object() => {
                let hint = Some("name the node on which the assertion is checked".to_owned());
                errors.push(spelled.error(&path, "missing key `on_vm`", hint));
            }
            _ => {}
        }
    }
    errors
}

/// Every warning of a blueprint with its JSON path.
fn all_warnings(written: &BlueprintFile) -> Vec<(String, &str)> {
    let mut lists = vec![("warnings".to_owned(), &written.warnings)];
    for (at, node) in written.nodes.iter().enumerate() {
        lists.push((format!("nodes[{at}].warnings"), &node.warnings));
        if let Some(RecipeLink::Inline(recipe)) = &node.recipe {
            lists.push((format!("nodes[{at}].recipe.warnings"), &recipe.warnings));
        }
    }
    lists.extend(
        written
            .recipes
            .iter()
            .enumerate()
            .map(|(at, one)| (format!("recipes[{at}].warnings"), &one.warnings)),
    );
    lists.into_iter().flat_map(|(path, list)| each(&path, list)).collect()
}

fn each<'a>(path: &str, list: &'a [String]) -> Vec<(String, &'a str)> {
    list.iter().enumerate().map(|(at, text)| (format!("{path}[{at}]"), text.as_str())).collect()
}

fn warnings(spelled: &Spelled, written: &BlueprintFile) -> Vec<Problem> {
    let all = all_warnings(written);
    if all.is_empty() {
        let hint = "write under `warnings` what remains to be done at deployment time, for the \
                    whole lab or in a recipe";
        let message = "the blueprint has no warnings: they must have been lost";
        return vec![spelled.error("", message, Some(hint.to_owned()))];
    }
    let empty = all.into_iter().filter(|(_, text)| text.trim().is_empty());
    empty
        .map(|(path, _)| {
            spelled.error(&path, "the warning is empty", Some("fill or remove it".to_owned()))
        })
        .collect()
}
