//! A blueprint becomes bootproof's own files. Each is read again by its own parser before anything
//! is written.

use std::collections::HashSet;
use std::path::PathBuf;

use indexmap::IndexMap;
use schemars::Schema;
use serde_json::{Map, Value, json};

use super::generated::{self, GeneratedFile};
use super::recipes::{self, RecipeDraft};
use super::rules;
use super::spelling::{self, Spelled};
use super::written::BlueprintFile;
use crate::lab::recipe::{self, User};
use crate::problem::{Problem, Problems};
use crate::spec::inventory::{Access, Inventory, InventoryFile, Readiness, SecretSource, VmEntry};
use crate::spec::plan::Plan;
use crate::spec::suite::Suite;

/// A blueprint that was read, checked and turned into bootproof's own files.
#[derive(Debug)]
pub struct Blueprint {
    /// Name of the lab.
    pub lab: String,
    /// Names of the nodes.
    pub nodes: Vec<String>,
    /// How many assertions the scenario has.
    pub assertions: usize,
    /// Each warning with its node; without a node if it is about the whole lab.
    pub warnings: Vec<(Option<String>, String)>,
    /// What is allowed but should be looked at; each begins with file and line.
    pub remarks: Vec<String>,
    /// Path of the inventory, from the folder into which the blueprint is imported.
    pub inventory: PathBuf,
    /// Path of the suite, likewise.
    pub suite: PathBuf,
    /// Every file that an import writes.
    pub files: Vec<GeneratedFile>,
}

impl Blueprint {
    /// Reads a blueprint. Messages name it `file`; paths of scripts start from that file's folder.
    /// All mistakes are returned, not only the first.
    pub fn parse(file: &str, text: &str) -> Result<Self, Problems> {
        let spelled = Spelled::parse(file, text)?;
        let written: BlueprintFile = spelled.read()?;
        convert(&spelled, &written)
    }

    /// The JSON Schema of the format, with every spelling of a key.
    pub fn schema() -> Schema {
        spelling::schema()
    }
}

fn convert(spelled: &Spelled, written: &BlueprintFile) -> Result<Blueprint, Problems> {
    let lab = written.lab.as_ref().or(written.name.as_ref()).cloned().unwrap_or_default();
    let (drafts, in_recipes) = recipes::drafts(spelled, written, &lab);
    let suite_text = suite_text(spelled);
    let suite = read_suite(spelled, written, &suite_text);
    let in_suite = suite.as_ref().err().map_or(&[][..], |found| &found.0);
    let errors = merged(rules::mistakes(spelled, written), in_recipes, in_suite);
    let suite = match suite {
        Ok(Some(suite)) if errors.is_empty() => suite,
        _ => return Err(Problems(errors)),
    };
    let assertions = suite.assertions.len();
    let scenario = suite.scenarios.concat();
    let suite_path = format!("suites/{scenario}.json");
    let inventory = generated::json(&inventory(written, &lab, &drafts, &suite_path));
    check_together(spelled, written, suite, &inventory)?;
    let inventory = GeneratedFile::new(format!("inventory/{lab}.json"), inventory);
    let suite = GeneratedFile::new(suite_path, suite_text);
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

/// All mistakes in the order of the file, each once.
fn merged(
    in_blueprint: Vec<Problem>,
    in_recipes: Vec<Problem>,
    in_suite: &[Problem],
) -> Vec<Problem> {
    let mut errors = in_blueprint;
    for error in in_recipes {
        // Nodes that share a recipe share its mistakes.
        if !errors.contains(&error) {
            errors.push(error);
        }
    }
    // Where both find something, the blueprint's own rules have the better hint.
    let known: HashSet<String> = errors.iter().map(|error| error.path.clone()).collect();
    // The other keys of an assertion whose type is wrong are those of another type.
    let is_of_known_type = |error: &&Problem| {
        let assertion = error.path.rsplit_once('.').map_or("", |(assertion, _)| assertion);
        !known.contains(&error.path) && !known.contains(&format!("{assertion}.type"))
    };
    errors.extend(in_suite.iter().filter(is_of_known_type).cloned());
    errors.sort_by_key(|error| error.place);
    errors
}

/// The scenarios of the blueprint, in the format's own spelling. Nothing is lost.
fn suite_text(spelled: &Spelled) -> String {
    let list =
        spelled.value.get("scenarios").and_then(Value::as_array).cloned().unwrap_or_default();
    let all: Vec<_> = list.into_iter().chain(spelled.value.get("scenario").cloned()).collect();
    generated::json(&json!({"scenarios": all}))
}

/// The path in the blueprint of what has this path in the suite.
fn path_in_blueprint(written: &BlueprintFile, path: &str) -> String {
    let single = format!("scenarios[{}]", written.scenarios.len());
    path.strip_prefix(&single).map_or(path.to_owned(), |below| format!("scenario{below}"))
}

/// Errors of the suite, at their places in the blueprint.
fn from_suite(spelled: &Spelled, written: &BlueprintFile, errors: Problems) -> Problems {
    let locate = |error: Problem| {
        spelled.locate(Problem { path: path_in_blueprint(written, &error.path), ..error }, "")
    };
    Problems(errors.0.into_iter().map(locate).collect())
}

/// `None` without a scenario, which is a mistake that [`rules::mistakes`] reports.
fn read_suite(
    spelled: &Spelled,
    written: &BlueprintFile,
    text: &str,
) -> Result<Option<Suite>, Problems> {
    if rules::scenarios(written).next().is_none() {
        return Ok(None);
    }
    let parsed = Suite::parse(spelled.file(), text);
    let mut suite = parsed.map_err(|errors| from_suite(spelled, written, errors))?;
    for assertion in &mut suite.assertions {
        assertion.line = spelled.line(&path_in_blueprint(written, &assertion.path));
    }
    Ok(Some(suite))
}

/// Binds inventory and suite to each other, as a run would.
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

fn inventory(
    written: &BlueprintFile,
    lab: &str,
    drafts: &[RecipeDraft],
    suite: &str,
) -> InventoryFile {
    let defaults = drafts.first().and_then(login).unwrap_or_default();
    let entry = |draft: &RecipeDraft| {
        let recipe = &draft.recipe;
        let node = written.nodes.iter().find(|node| node.name == recipe.name);
        let entry = VmEntry {
            role: Some(recipe.role.clone()),
            address: Some(recipe.os.network.alias_address().to_owned()),
            ports: node.map_or_else(Vec::new, |node| node.ports.clone()),
            udp_ports: node.map_or_else(Vec::new, |node| node.udp_ports.clone()),
            // Only a user other than the first VM's is written down at the VM.
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
        suites: Some(vec![PathBuf::from(format!("../{suite}"))]),
        schema: None,
        lab: lab.to_owned(),
        description: written.description.clone(),
        known_hosts: Some(format!("{lab}.known_hosts").into()),
        defaults,
        readiness: Readiness::default(),
        vars: Map::new(),
        groups: IndexMap::new(),
        vms,
        connections: written.connections.clone(),
        peers: written.peers,
        warnings: written.warnings.clone(),
    }
}

/// bootproof logs in as the first user of the recipe.
fn login(draft: &RecipeDraft) -> Option<Access> {
    let User { name, password, .. } = draft.recipe.os.users.first()?.clone();
    Some(Access {
        user: Some(name),
        password: Some(SecretSource::Literal(password.into())),
        ..Access::default()
    })
}

fn recipe_files(draft: RecipeDraft) -> [GeneratedFile; 2] {
    let folder = PathBuf::from("recipes").join(&draft.recipe.name);
    [
        GeneratedFile::new(folder.join("recipe.json"), draft.text),
        GeneratedFile {
            path: folder.join(draft.script.file),
            text: draft.script.text,
            executable: true,
        },
    ]
}

fn warnings(written: &BlueprintFile, drafts: &[RecipeDraft]) -> Vec<(Option<String>, String)> {
    let of_lab = written.warnings.iter().map(|text| (None, text.clone()));
    let of_node = |draft: &RecipeDraft| {
        let name = draft.recipe.name.clone();
        draft.recipe.warnings.clone().into_iter().map(move |text| (Some(name.clone()), text))
    };
    of_lab.chain(drafts.iter().flat_map(of_node)).collect()
}

fn remarks(spelled: &Spelled, drafts: &[RecipeDraft]) -> Vec<String> {
    let remark = |draft: &RecipeDraft| {
        let path = format!("{}.os.startup_scripts[0]", draft.path);
        let remark = recipe::script_remark(&draft.script.text)?;
        Some(format!("{}:{}: {}: {remark}", spelled.file(), spelled.line(&path), draft.recipe.name))
    };
    drafts.iter().filter_map(remark).collect()
}
