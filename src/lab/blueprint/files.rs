//! A plan as bootproof's own files: each is read again by its own parser before anything is written.

use std::path::PathBuf;

use indexmap::IndexMap;
use serde::Serialize;
use serde_json::{Value, json};

use super::recipes::{self, Draft};
use super::spelling::Spelled;
use super::{Blueprint, BlueprintFile, PlannedFile, rules};
use crate::lab::recipe::{self, User};
use crate::problem::{Problem, Problems};
use crate::spec::inventory::{Access, Inventory, InventoryFile, Readiness, SecretSource, VmEntry};
use crate::spec::plan::Plan;
use crate::spec::suite::Suite;

/// Makes the files, or tells all that is wrong with the plan.
pub(super) fn make(spelled: &Spelled, written: &BlueprintFile) -> Result<Blueprint, Problems> {
    let mut errors = rules::mistakes(spelled, written);
    let lab = written.lab.as_ref().or(written.name.as_ref()).cloned().unwrap_or_default();
    let (drafts, found) = recipes::drafts(spelled, written, &lab);
    let suite_text = suite_text(spelled);
    let suite = read_suite(spelled, written, &suite_text);
    for error in found {
        // Nodes that share a recipe share its mistakes.
        if !errors.contains(&error) {
            errors.push(error);
        }
    }
    // Where both find something, the plan's own rules have the better hint.
    let in_suite = suite.as_ref().err().map_or(Vec::new(), |found| found.0.clone());
    errors.extend(without_known(in_suite, &errors));
    let suite = match suite {
        Ok(suite) if errors.is_empty() => suite,
        _ => {
            errors.sort_by_key(|error| error.place);
            return Err(Problems(errors));
        }
    };
    let assertions = suite.assertions.len();
    let scenario = suite.scenarios.concat();
    let inventory = json(&InventoryFile {
        suites: Some(vec![format!("../suites/{scenario}.json").into()]),
        ..inventory(written, &lab, &drafts)
    });
    check_together(spelled, written, suite, &inventory)?;
    let inventory = text_file(format!("inventory/{lab}.json"), inventory);
    let suite = text_file(format!("suites/{scenario}.json"), suite_text);
    Ok(Blueprint {
        nodes: drafts.iter().map(|draft| draft.recipe.name.clone()).collect(),
        assertions,
        warnings: warnings(written, &drafts),
        remarks: remarks(spelled, &drafts),
        inventory: inventory.path.clone(),
        suite: suite.path.clone(),
        files: [inventory, suite]
            .into_iter()
            .chain(drafts.into_iter().flat_map(recipe_files))
            .collect(),
        lab,
    })
}

fn without_known(found: Vec<Problem>, known: &[Problem]) -> Vec<Problem> {
    found.into_iter().filter(|error| !known.iter().any(|one| one.path == error.path)).collect()
}

/// A file of ours, as it is written.
pub(super) fn json(value: &impl Serialize) -> String {
    let value = serde_json::to_value(value).unwrap_or_default();
    format!("{value:#}\n")
}

fn text_file(path: String, text: String) -> PlannedFile {
    PlannedFile { path: PathBuf::from(path), text, executable: false }
}

/// The scenarios as they stand in the plan, in the format's own spelling: nothing is lost.
fn suite_text(spelled: &Spelled) -> String {
    let list =
        spelled.value.get("scenarios").and_then(Value::as_array).cloned().unwrap_or_default();
    let all: Vec<_> = list.into_iter().chain(spelled.value.get("scenario").cloned()).collect();
    json(&json!({"scenarios": all}))
}

/// Where a path of the suite stands in the plan.
fn in_plan(written: &BlueprintFile, path: &str) -> String {
    let single = format!("scenarios[{}]", written.scenarios.len());
    path.strip_prefix(&single).map_or(path.to_owned(), |below| format!("scenario{below}"))
}

/// Errors of the suite, at their places in the plan.
fn from_suite(spelled: &Spelled, written: &BlueprintFile, errors: Problems) -> Problems {
    let home = |error: Problem| {
        spelled.at_home(Problem { path: in_plan(written, &error.path), ..error }, "")
    };
    Problems(errors.0.into_iter().map(home).collect())
}

fn read_suite(spelled: &Spelled, written: &BlueprintFile, text: &str) -> Result<Suite, Problems> {
    if rules::scenarios(written).next().is_none() {
        return Err(Problems(Vec::new()));
    }
    let parsed = Suite::parse(spelled.file(), text);
    let mut suite = parsed.map_err(|errors| from_suite(spelled, written, errors))?;
    for assertion in &mut suite.assertions {
        assertion.line = spelled.line(&in_plan(written, &assertion.path));
    }
    Ok(suite)
}

/// Inventory and suite are bound to each other, as a run would do it.
fn check_together(
    spelled: &Spelled,
    written: &BlueprintFile,
    suite: Suite,
    inventory: &str,
) -> Result<(), Problems> {
    let inventory = Inventory::parse(spelled.file(), inventory);
    let plan = inventory.and_then(|inventory| Plan::resolve(&[suite], inventory));
    plan.map(|_| ()).map_err(|errors| from_suite(spelled, written, errors))
}

fn inventory(written: &BlueprintFile, lab: &str, drafts: &[Draft]) -> InventoryFile {
    let defaults = drafts.first().and_then(login).unwrap_or_default();
    let entry = |draft: &Draft| {
        let recipe = &draft.recipe;
        let node = written.nodes.iter().find(|node| node.name == recipe.name);
        let entry = VmEntry {
            role: Some(recipe.role.clone()),
            address: Some(recipe.os.network.alias_address().to_owned()),
            ports: node.map_or_else(Vec::new, |node| node.ports.clone()),
            udp_ports: node.map_or_else(Vec::new, |node| node.udp_ports.clone()),
            // Only what differs from the first VM's user stands at the VM.
            ssh: login(draft).filter(|own| *own != defaults).unwrap_or_default(),
            memory_gb: Some(recipe.resources.memory_gb),
            disk_gb: Some(recipe.resources.disk_gb),
            position: recipe.position,
            ..VmEntry::default()
        };
        (recipe.name.clone(), entry)
    };
    let vms: IndexMap<_, _> = drafts.iter().map(entry).collect();
    InventoryFile {
        schema: None,
        lab: lab.to_owned(),
        description: written.description.clone(),
        suites: None,
        known_hosts: Some(format!("{lab}.known_hosts").into()),
        defaults,
        readiness: Readiness::default(),
        vms,
        connections: written.connections.clone(),
        peers: written.peers,
        warnings: written.warnings.clone(),
    }
}

/// bootproof logs in as the first user of the recipe.
fn login(draft: &Draft) -> Option<Access> {
    let User { name, password, .. } = draft.recipe.os.users.first()?.clone();
    Some(Access {
        user: Some(name),
        password: Some(SecretSource::Literal(password.into())),
        ..Access::default()
    })
}

fn recipe_files(draft: Draft) -> [PlannedFile; 2] {
    let folder = PathBuf::from("recipes").join(&draft.recipe.name);
    let (name, text) = draft.script;
    [
        PlannedFile { path: folder.join("recipe.json"), text: draft.text, executable: false },
        PlannedFile { path: folder.join(name), text, executable: true },
    ]
}

fn warnings(written: &BlueprintFile, drafts: &[Draft]) -> Vec<(Option<String>, String)> {
    let whole = written.warnings.iter().map(|text| (None, text.clone()));
    let of = |draft: &Draft| {
        let name = draft.recipe.name.clone();
        draft.recipe.warnings.clone().into_iter().map(move |text| (Some(name.clone()), text))
    };
    whole.chain(drafts.iter().flat_map(of)).collect()
}

fn remarks(spelled: &Spelled, drafts: &[Draft]) -> Vec<String> {
    let remark = |draft: &Draft| {
        let path = format!("{}.os.startup_scripts[0]", draft.home);
        let remark = recipe::script_remark(&draft.script.1)?;
        Some(format!("{}:{}: {}: {remark}", spelled.file(), spelled.line(&path), draft.recipe.name))
    };
    drafts.iter().filter_map(remark).collect()
}
