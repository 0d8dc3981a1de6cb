//! From file names, variables and filters to a plan and a selection: what every face shares.

use std::collections::HashSet;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use zeroize::Zeroizing;

use crate::problem::{Problem, Problems, hint_for_unknown};
use crate::secrets::Secrets;
use crate::spec::duration;
use crate::spec::inventory::{Inventory, Via};
use crate::spec::plan::{AssertionId, Plan, PlannedAssertion};
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

/// Reads an inventory and suites, and binds them.
///
/// Without suites, the inventory names them (`suites`). Without an inventory and without suites,
/// the files of this repository are used: the inventory of the local lab if one is up.
pub fn load_plan(inventory: Option<&Path>, suites: &[PathBuf]) -> Result<Plan, Problems> {
    let file = match inventory {
        Some(file) => file.to_owned(),
        None => default_inventory(suites)?,
    };
    let text = Zeroizing::new(read(&file)?);
    let parsed = Inventory::parse(&file.display().to_string(), &text)?;
    let suites = if !suites.is_empty() {
        read_suites(suites)?
    } else if !parsed.suites.is_empty() {
        named_suites(&parsed)?
    } else {
        read_suites(&default_suites(inventory, &parsed)?)?
    };
    Plan::resolve(&suites, parsed)
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

/// The ids on the VMs of `limit` (all VMs, if it is empty) that contain one of `filters` (all ids,
/// if it is empty).
pub fn select(
    plan: &Plan,
    limit: &[String],
    filters: &[String],
) -> Result<HashSet<AssertionId>, Problem> {
    let vms = &plan.inventory.vms;
    if let Some(vm) = limit.iter().find(|vm| !vms.contains_key(*vm)) {
        let hint = hint_for_unknown(vm, vms.keys().map(String::as_str));
        return Err(Problem::new(format!("unknown VM `{vm}` in --limit")).hint(hint));
    }
    let on_vm = |vm: &String| limit.is_empty() || limit.contains(vm);
    let matches =
        |id: &str| filters.is_empty() || filters.iter().any(|text| id.contains(text.as_str()));
    let selected = plan.assertions.iter();
    let selected = selected.filter(|one| on_vm(&one.vm) && matches(one.id.as_str()));
    Ok(selected.map(|assertion| assertion.id.clone()).collect())
}

/// The secrets of every VM that a run of `selected` can touch, jump hosts among them.
pub fn read_secrets(plan: &Plan, selected: &HashSet<AssertionId>) -> Result<Secrets, Problem> {
    let vms = &plan.inventory.vms;
    let chosen = plan.assertions.iter().filter(|assertion| selected.contains(&assertion.id));
    let mut needed: Vec<&str> = chosen.flat_map(PlannedAssertion::vms).collect();
    let mut at = 0;
    while let Some(name) = needed.get(at) {
        if let Some(Via::Vm(jump)) = &vms[*name].ssh.via
            && !needed.contains(&jump.as_str())
        {
            needed.push(jump);
        }
        at += 1;
    }
    Secrets::read(vms.values().filter(|vm| needed.contains(&vm.name.as_str())))
}
