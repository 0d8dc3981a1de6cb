//! The rules of a plan as a whole; what holds for a recipe or a suite of any origin stands with those.

use std::collections::HashSet;

use serde_json::Value;

use super::spelling::Spelled;
use super::{BlueprintFile, RecipeLink};
use crate::problem::{Problem, hint_for_unknown};
use crate::spec::suite::{ScenarioEntry, ScenarioKind};

/// Types that plans like to use and that are none here, and what to write in their place.
const OTHER_TYPES: [(&str, &str); 3] = [
    (
        "vm_boots",
        "leave it out: every other assertion logs in, and so proves that the VM has booted",
    ),
    (
        "network_reachable",
        "use `command_output` on the VM that connects, with `nc -z -w 5 ADDRESS PORT`",
    ),
    (
        "service_running",
        "use `port_listening`, or `command_output` with `systemctl is-active SERVICE`",
    ),
];

/// The scenarios of a plan, each with its path.
pub(super) fn scenarios(written: &BlueprintFile) -> impl Iterator<Item = (String, &ScenarioEntry)> {
    let list =
        written.scenarios.iter().enumerate().map(|(at, one)| (format!("scenarios[{at}]"), one));
    list.chain(written.scenario.iter().map(|one| ("scenario".to_owned(), one)))
}

/// What is wrong with the plan as a whole.
pub(super) fn mistakes(spelled: &Spelled, written: &BlueprintFile) -> Vec<Problem> {
    let parts =
        [lab_name, node_names, connections, recipe_names, one_group_scenario, assertions, warnings]
            .map(|rule| rule(spelled, written));
    parts.concat()
}

/// Letters, digits and `-`: what a host can be called.
pub(super) fn is_host_name(name: &str) -> bool {
    let inner = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    inner && (1..64).contains(&name.len()) && !name.starts_with('-') && !name.ends_with('-')
}

/// A name that becomes that of a file.
fn is_file_name(name: &str) -> bool {
    let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    plain && (1..101).contains(&name.len()) && !name.starts_with(['.', '-'])
}

fn no_file_name(spelled: &Spelled, path: &str, name: &str) -> Option<Problem> {
    let hint = "a file is called so: use letters, digits, `-`, `_` and `.`".to_owned();
    (!is_file_name(name))
        .then(|| spelled.error(path, format!("`{name}` is no name for a file"), Some(hint)))
}

fn lab_name(spelled: &Spelled, written: &BlueprintFile) -> Vec<Problem> {
    let error = |path: &str, message: &str, hint: &str| {
        vec![spelled.error(path, message, Some(hint.to_owned()))]
    };
    match (&written.lab, &written.name) {
        (None, None) => {
            error("", "the plan has no name", "give the lab's name under `name` or `lab`")
        }
        (Some(lab), Some(name)) if lab != name => error(
            "name",
            &format!("the lab is called `{name}` here, and `{lab}` under `lab`"),
            "write it once",
        ),
        (Some(name), _) if name == "local" => {
            error("lab", "`local` is the lab that is up", "choose another name")
        }
        (None, Some(name)) if name == "local" => {
            error("name", "`local` is the lab that is up", "choose another name")
        }
        (Some(name), _) => no_file_name(spelled, "lab", name).into_iter().collect(),
        (None, Some(name)) => no_file_name(spelled, "name", name).into_iter().collect(),
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
                format!("`{}` is no host name", node.name),
                Some(hint),
            ));
        } else if !names.insert(&node.name) {
            let message = format!("two nodes are called `{}`", node.name);
            errors.push(spelled.error(
                &path,
                message,
                Some("give one of them another name".to_owned()),
            ));
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
    for (at, edge) in written.connections.iter().enumerate() {
        for (key, name) in [("from", &edge.from), ("to", &edge.to)] {
            if !is_node(written, name) {
                let message = format!("unknown node `{name}`");
                let hint = Some(hint_for_node(written, name));
                errors.push(spelled.error(&format!("connections[{at}].{key}"), message, hint));
            }
        }
        if edge.port == 0 {
            errors.push(spelled.error(
                &format!("connections[{at}].port"),
                "nothing listens on port 0",
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
            Some(RecipeLink::Here(_)) => None,
        })
        .collect();
    let mut names = HashSet::new();
    let mut errors = Vec::new();
    for (at, recipe) in written.recipes.iter().enumerate() {
        let path = format!("recipes[{at}]");
        let Some(name) = recipe.name.as_deref() else {
            let hint = "nodes refer to it by its `name`".to_owned();
            errors.push(spelled.error(&path, "the recipe has no name", Some(hint)));
            continue;
        };
        let (message, hint) = if !names.insert(name) {
            (format!("two recipes are called `{name}`"), "give one of them another name")
        } else if !used.contains(name) {
            (
                format!("no node is made of the recipe `{name}`"),
                "name it in a node's `recipe`, or take it out",
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
            Some("a plan has exactly one scenario, of type `group`; more tests go into its `custom_tests`".to_owned());
        let message = if all.is_empty() {
            "the plan has no scenario".to_owned()
        } else {
            format!("the plan has {} scenarios", all.len())
        };
        // The first that is too many, or the plan itself.
        let path = all.get(1).map_or("", |(path, _)| path);
        return vec![spelled.error(path, message, hint)];
    };
    let mut errors: Vec<_> =
        no_file_name(spelled, &format!("{path}.name"), &scenario.name).into_iter().collect();
    if scenario.kind != Some(ScenarioKind::Group) {
        let hint = Some("write \"type\": \"group\"".to_owned());
        errors.push(spelled.error(path, "the scenario of a plan is about all its VMs", hint));
    }
    errors
}

/// The assertions of a scenario, each with its path.
fn assertions_of<'a>(home: &str, scenario: &'a Value) -> Vec<(String, &'a Value)> {
    let list = |value: &'a Value| value.as_array().map_or(&[][..], Vec::as_slice);
    let tests = list(&scenario["custom_tests"]).iter().enumerate();
    let all = tests.flat_map(|(test, entry)| {
        let home = format!("{home}.custom_tests[{test}]");
        list(&entry["assertions"])
            .iter()
            .enumerate()
            .map(move |(at, one)| (format!("{home}.assertions[{at}]"), one))
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
        .flat_map(|((home, _), scenario)| assertions_of(&home, scenario));
    for (path, assertion) in all {
        let word = assertion["type"].as_str().unwrap_or_default();
        if let Some((_, instead)) = OTHER_TYPES.iter().find(|(other, _)| *other == word) {
            let message = format!("`{word}` is no assertion type here");
            errors.push(spelled.error(
                &format!("{path}.type"),
                message,
                Some((*instead).to_owned()),
            ));
        }
        match assertion.get("on_vm").map(Value::as_str) {
            Some(Some(vm)) if !is_node(written, vm) => {
                let message = format!("unknown VM `{vm}`: no node is called so");
                errors.push(spelled.error(
                    &format!("{path}.on_vm"),
                    message,
                    Some(hint_for_node(written, vm)),
                ));
            }
            None if assertion.is_object() => {
                let hint = Some("every assertion names the node from which it looks".to_owned());
                errors.push(spelled.error(&path, "missing key `on_vm`", hint));
            }
            _ => {}
        }
    }
    errors
}

/// Every warning of a plan with its path; recipes in nodes and in the list alike.
fn all_warnings(written: &BlueprintFile) -> Vec<(String, &str)> {
    let mut lists = vec![("warnings".to_owned(), &written.warnings)];
    for (at, node) in written.nodes.iter().enumerate() {
        lists.push((format!("nodes[{at}].warnings"), &node.warnings));
        if let Some(RecipeLink::Here(recipe)) = &node.recipe {
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
        let hint =
            "write what stays to be done at deployment time under `warnings`, of the plan or of a recipe".to_owned();
        return vec![spelled.error(
            "",
            "the plan has no warnings: they were lost on the way",
            Some(hint),
        )];
    }
    let empty = all.into_iter().filter(|(_, text)| text.trim().is_empty());
    empty
        .map(|(path, _)| {
            spelled.error(&path, "the warning is empty", Some("say what it warns of".to_owned()))
        })
        .collect()
}
