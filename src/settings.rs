//! From file names to a plan: what the command line and the test harness share.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use thiserror::Error;
use zeroize::Zeroizing;

use crate::problem::{Problems, hint_for_unknown};
use crate::secrets::{SecretError, Secrets};
use crate::spec::duration;
use crate::spec::inventory::Inventory;
use crate::spec::plan::{AssertionId, Plan, PlannedAssertion};
use crate::spec::suite::Suite;

/// Written by `bootproof lab up`, removed by `bootproof lab down`.
pub const LOCAL_INVENTORY: &str = "inventory/local.json";

/// Used when no local lab is up.
pub const DEFAULT_INVENTORY: &str = "inventory/immich-photo-vault.json";

/// Used when no suite is named.
pub const DEFAULT_SUITE: &str = "suites/immich-photo-vault-validation.json";

/// Where reports go unless somebody says otherwise.
pub const DEFAULT_REPORTS: &str = "reports";

/// What was given cannot be run.
#[derive(Debug, Error)]
pub enum SettingsError {
    /// A file cannot be read.
    #[error("cannot read {}: {error}\n  hint: {hint}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
        /// What to do.
        hint: String,
    },
    /// A file is wrong.
    #[error(transparent)]
    Spec(#[from] Problems),
    /// A secret cannot be had.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// An environment variable cannot be used.
    #[error("{name}: {why}")]
    Variable {
        /// The variable.
        name: &'static str,
        /// Why.
        why: String,
    },
    /// `--limit` names a VM that is not in the inventory.
    #[error("unknown VM `{vm}` in --limit\n  hint: {hint}")]
    UnknownVm {
        /// The name.
        vm: String,
        /// What to do.
        hint: String,
    },
}

/// The inventory that is used when none is named: that of the local lab when one is up.
pub fn default_inventory() -> PathBuf {
    let local = Path::new(LOCAL_INVENTORY);
    if local.exists() { local.to_owned() } else { PathBuf::from(DEFAULT_INVENTORY) }
}

/// A length of time in an environment variable; none if it is not set or empty.
pub fn span_variable(name: &'static str) -> Result<Option<Duration>, SettingsError> {
    match std::env::var(name) {
        Ok(text) if !text.is_empty() => duration::parse(&text)
            .map(Some)
            .map_err(|error| SettingsError::Variable { name, why: error.to_string() }),
        _ => Ok(None),
    }
}

/// Reads inventory and suites and binds them; no suite means the default one.
pub fn load_plan(inventory: &Path, suites: &[PathBuf]) -> Result<Plan, SettingsError> {
    let inventory =
        Inventory::parse(&inventory.display().to_string(), &Zeroizing::new(read(inventory)?))?;
    let default = [PathBuf::from(DEFAULT_SUITE)];
    let files = if suites.is_empty() { &default } else { suites };
    let suites =
        files.iter().map(|file| Ok(Suite::parse(&file.display().to_string(), &read(file)?)?));
    let suites = suites.collect::<Result<Vec<_>, SettingsError>>()?;
    Ok(Plan::resolve(&suites, inventory)?)
}

/// The text of a file.
pub fn read(path: &Path) -> Result<String, SettingsError> {
    std::fs::read_to_string(path).map_err(|error| {
        let hint = match error.kind() {
            std::io::ErrorKind::NotFound if is_default(path) => {
                "this is where bootproof looks when no file is named; name one with -i (inventory) or -s (suite)"
            }
            std::io::ErrorKind::NotFound => "is the name right? It is looked for from the working directory",
            _ => "it must be a UTF-8 file that this user may read",
        };
        SettingsError::Read { path: path.to_owned(), error, hint: hint.to_owned() }
    })
}

fn is_default(path: &Path) -> bool {
    [LOCAL_INVENTORY, DEFAULT_INVENTORY, DEFAULT_SUITE]
        .iter()
        .any(|default| path == Path::new(default))
}

/// The ids on the VMs of `limit` (all, if there are none) that contain one of `filters` (all, if there are none).
pub fn select(
    plan: &Plan,
    limit: &[String],
    filters: &[String],
) -> Result<HashSet<AssertionId>, SettingsError> {
    let vms = &plan.inventory.vms;
    if let Some(vm) = limit.iter().find(|vm| !vms.contains_key(*vm)) {
        let hint = hint_for_unknown(vm, vms.keys().map(String::as_str));
        return Err(SettingsError::UnknownVm { vm: vm.clone(), hint });
    }
    let selected = plan.assertions.iter().filter(|one| {
        (limit.is_empty() || limit.contains(&one.vm))
            && (filters.is_empty()
                || filters.iter().any(|filter| one.id.as_str().contains(filter.as_str())))
    });
    Ok(selected.map(|one| one.id.clone()).collect())
}

/// The secrets of every VM that a run of `selected` can touch: jump hosts have theirs, too.
pub fn read_secrets(
    plan: &Plan,
    selected: &HashSet<AssertionId>,
) -> Result<Secrets, SettingsError> {
    use crate::spec::inventory::Via;
    let vms = &plan.inventory.vms;
    let chosen = plan.assertions.iter().filter(|one| selected.contains(&one.id));
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
    Ok(Secrets::read(vms.values().filter(|vm| needed.contains(&vm.name.as_str())))?)
}
