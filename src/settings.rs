//! From file names, variables and filters to a plan and a selection: what every face shares.

use std::collections::HashSet;
use std::io::ErrorKind;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

use zeroize::Zeroizing;

use crate::problem::{Problem, Problems, hint_for_unknown};
use crate::secrets::Secrets;
use crate::spec::duration;
use crate::spec::inventory::{Inventory, Via};
use crate::spec::plan::{AssertionId, Plan};
use crate::spec::selector::Selector;
use crate::spec::suite::Suite;

/// Written by `bootproof lab up`, removed by `bootproof lab down`.
pub const LOCAL_INVENTORY: &str = "inventory/local.json";

/// Used when no file is named and no local lab is up.
pub const DEFAULT_INVENTORY: &str = "inventory/immich-photo-vault.json";

/// Used when no file is named.
pub const DEFAULT_SUITE: &str = "suites/immich-photo-vault-validation.json";

/// Where reports go unless a flag names another place.
pub const DEFAULT_REPORTS: &str = "reports";

/// A length of time in an environment variable; `None` if it is not set or empty.
pub fn span_variable(name: &str) -> Result<Option<Duration>, Problem> {
    match std::env::var(name) {
        Ok(text) if !text.is_empty() => duration::parse(&text)
            .map(Some)
            .map_err(|error| Problem::new(format!("{name}: {error}"))),
        _ => Ok(None),
    }
}

/// How many VMs to work on at once, as `BOOTPROOF_JOBS` says; `None` if it is not set or empty.
pub fn jobs_variable() -> Result<Option<NonZeroUsize>, Problem> {
    let text = std::env::var("BOOTPROOF_JOBS").unwrap_or_default();
    if text.is_empty() {
        return Ok(None);
    }
    let number = text.parse().map(Some);
    number.map_err(|_| {
        let problem = Problem::new(format!("BOOTPROOF_JOBS: `{text}` is not a number from 1 on"));
        problem.hint("it says how many VMs to work on at once; leave it out to adapt")
    })
}

/// Values for suites in the environment: `NAME=VALUE`, separated by white space.
pub fn vars_variable() -> Vec<String> {
    let text = std::env::var("BOOTPROOF_VARS").unwrap_or_default();
    text.split_whitespace().map(str::to_owned).collect()
}

/// Which files to read, and what to set in them.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// The inventory, if one is named.
    pub inventory: Option<PathBuf>,
    /// The suites; none if they are not named.
    pub suites: Vec<PathBuf>,
    /// `NAME=VALUE`: values of the suites.
    pub vars: Vec<String>,
}

/// Reads an inventory and suites, and binds them.
///
/// Without suites, the inventory names them (`suites`). Without an inventory and without suites,
/// the files of this repository are used: the inventory of the local lab if one is up.
pub fn load_plan(sources: &Sources) -> Result<Plan, Problems> {
    let Sources { inventory, suites, vars } = sources;
    let file = match inventory {
        Some(file) => file.clone(),
        None => default_inventory(suites)?,
    };
    let text = Zeroizing::new(read(&file)?);
    let parsed = Inventory::parse(&file.display().to_string(), &text)?;
    let mut suites = if !suites.is_empty() {
        read_suites(suites)?
    } else if !parsed.suites.is_empty() {
        named_suites(&parsed)?
    } else {
        read_suites(&default_suites(inventory.as_deref(), &parsed)?)?
    };
    vars.iter().try_for_each(|var| set_var(&mut suites, var))?;
    Plan::resolve(&suites, parsed)
}

/// Sets a value in each suite that has one of this name.
fn set_var(suites: &mut [Suite], var: &str) -> Result<(), Problem> {
    let Some((name, value)) = var.split_once('=') else {
        let problem = Problem::new(format!("`{var}` is not a value for --var"));
        return Err(problem.hint("write NAME=VALUE"));
    };
    let mut is_known = false;
    for suite in suites.iter_mut() {
        is_known |= suite.set_var(name, value)?;
    }
    if is_known {
        return Ok(());
    }
    let known: Vec<&str> = suites.iter().flat_map(Suite::var_names).collect();
    let hint = if known.is_empty() {
        "name it in the `vars` of the suite, with its default".to_owned()
    } else {
        hint_for_unknown(name, known)
    };
    Err(Problem::new(format!("no suite has a value `{name}`, which --var sets")).hint(hint))
}

/// The inventory when none is named: that of the local lab if one is up, else that of this
/// repository.
fn default_inventory(suites: &[PathBuf]) -> Result<PathBuf, Problem> {
    let known = [LOCAL_INVENTORY, DEFAULT_INVENTORY].map(Path::new);
    match known.into_iter().find(|file| file.exists()) {
        Some(file) if suites.is_empty() => Ok(file.to_owned()),
        Some(file) => Err(Problem::new("a suite is given, but no inventory that lists its VMs")
            .hint(format!("name the inventory, for example -i {}", file.display()))),
        None => Err(Problem::new("no inventory is named")
            .hint("name an inventory with -i FILE and a suite with -s FILE")),
    }
}

fn read_suites(files: &[PathBuf]) -> Result<Vec<Suite>, Problems> {
    files.iter().map(|file| Suite::parse(&file.display().to_string(), &read(file)?)).collect()
}

/// The suites that an inventory names.
pub fn named_suites(inventory: &Inventory) -> Result<Vec<Suite>, Problems> {
    let mut suites = Vec::new();
    for (index, file) in inventory.suites.iter().enumerate() {
        let text = std::fs::read_to_string(file).map_err(|error| Problem {
            file: Some(inventory.file.clone()),
            path: format!("suites[{index}]"),
            ..Problem::io(format!("read the suite {}", file.display()))(error)
                .hint("the path is relative to the folder of the inventory")
        })?;
        suites.push(Suite::parse(&file.display().to_string(), &text)?);
    }
    Ok(suites)
}

/// The suite when none is named: that of this repository, unless somebody names an inventory.
fn default_suites(inventory: Option<&Path>, parsed: &Inventory) -> Result<Vec<PathBuf>, Problem> {
    if inventory.is_none() && Path::new(DEFAULT_SUITE).exists() {
        return Ok(vec![PathBuf::from(DEFAULT_SUITE)]);
    }
    Err(Problem::new(format!("no suite is named for {}", parsed.file)).hint(
        "name one with -s FILE, or in the inventory: \"suites\": [\"path relative to the inventory\"]",
    ))
}

/// The text of a file.
pub fn read(path: &Path) -> Result<String, Problem> {
    std::fs::read_to_string(path).map_err(|error| {
        let hint = match error.kind() {
            ErrorKind::NotFound => "is the name right? It is relative to the working directory",
            ErrorKind::IsADirectory => "it is a folder; name a file",
            ErrorKind::InvalidData => "the file must be text in UTF-8",
            _ => "check that this user has permission to read it",
        };
        Problem::io(format!("read {}", path.display()))(error).hint(hint)
    })
}

/// Which assertions of a plan to run; all, where nothing is said.
#[derive(Debug, Clone, Default)]
pub struct Choice {
    /// Selectors: only on these VMs.
    pub limit: Vec<String>,
    /// Selectors: not on these VMs.
    pub exclude: Vec<String>,
    /// Only ids that contain one of these texts.
    pub filters: Vec<String>,
    /// No ids that contain one of these texts.
    pub skip: Vec<String>,
}

/// The ids that were chosen.
pub fn select(plan: &Plan, choice: &Choice) -> Result<HashSet<AssertionId>, Problem> {
    let limit = chosen_vms(plan, "--limit", &choice.limit)?;
    let excluded = chosen_vms(plan, "--exclude", &choice.exclude)?;
    let is_on_vm = |vm: &str| {
        limit.as_ref().is_none_or(|limit| limit.contains(vm))
            && excluded.as_ref().is_none_or(|excluded| !excluded.contains(vm))
    };
    let has_one_of = |id: &str, texts: &[String]| texts.iter().any(|text| id.contains(text));
    let matches = |id: &str| {
        (choice.filters.is_empty() || has_one_of(id, &choice.filters))
            && !has_one_of(id, &choice.skip)
    };
    let selected = plan.assertions.iter();
    let selected = selected.filter(|one| is_on_vm(&one.vm) && matches(one.id.as_str()));
    Ok(selected.map(|assertion| assertion.id.clone()).collect())
}

/// The VMs that the selectors of a flag mean; `None` without selectors.
fn chosen_vms<'a>(
    plan: &'a Plan,
    flag: &str,
    words: &[String],
) -> Result<Option<HashSet<&'a str>>, Problem> {
    if words.is_empty() {
        return Ok(None);
    }
    let vms = Selector::parse(words).and_then(|selector| selector.resolve(&plan.inventory));
    match vms {
        Ok(vms) => Ok(Some(vms.into_iter().map(|vm| vm.name.as_str()).collect())),
        Err(mistake) => {
            Err(Problem::new(format!("{flag}: {}", mistake.message)).hint(mistake.hint))
        }
    }
}

/// The secrets of every VM that a run of `selected` can touch, jump hosts among them.
pub fn read_secrets(plan: &Plan, selected: &HashSet<AssertionId>) -> Result<Secrets, Problem> {
    let vms = &plan.inventory.vms;
    let mut needed = plan.needed_vms(selected);
    let mut next: Vec<&str> = needed.iter().copied().collect();
    while let Some(name) = next.pop() {
        if let Some(Via::Vm(jump)) = &vms[name].ssh.via
            && needed.insert(jump)
        {
            next.push(jump);
        }
    }
    Secrets::read(vms.values().filter(|vm| needed.contains(vm.name.as_str())))
}
