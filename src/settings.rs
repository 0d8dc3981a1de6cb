//! From file names, variables and filters to a plan and a selection: what every face shares.

use std::collections::HashSet;
use std::io::ErrorKind;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

use zeroize::Zeroizing;

use crate::problem::{Problem, Problems, hint_for_unknown};
use crate::secrets::Secrets;
use crate::spec::digest::Digests;
use crate::spec::duration;
use crate::spec::inventory::{Inventory, Via};
use crate::spec::plan::{AssertionId, Plan};
use crate::spec::suite::Suite;

/// Written by `bootproof lab up`, removed by `bootproof lab down`.
pub const LOCAL_INVENTORY: &str = "inventory/local.json";

/// Used when no file is named and no local lab is up.
pub const DEFAULT_INVENTORY: &str = "inventory/immich-photo-vault.json";

/// Used when no file is named.
pub const DEFAULT_SUITE: &str = "suites/immich-photo-vault-validation.json";

/// Where reports go unless a flag names another place.
pub const DEFAULT_REPORTS: &str = "reports";

/// An environment variable; `None` if it is not set or empty.
pub fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|text| !text.is_empty())
}

/// A length of time in an environment variable; `None` if it is not set or empty.
pub fn span_variable(name: &str) -> Result<Option<Duration>, Problem> {
    let parse = |text: String| {
        duration::parse(&text).map_err(|error| Problem::new(format!("{name}: {error}")))
    };
    variable(name).map(parse).transpose()
}

/// How many VMs to work on at once, as `BOOTPROOF_JOBS` says; `None` if it is not set or empty.
pub fn jobs_variable() -> Result<Option<NonZeroUsize>, Problem> {
    let parse = |text: String| {
        text.parse().map_err(|_| {
            let message = format!("BOOTPROOF_JOBS: `{text}` is not a number from 1 on");
            let hint = "it says how many VMs to work on at once; leave it out to adapt";
            Problem::new(message).hint(hint)
        })
    };
    variable("BOOTPROOF_JOBS").map(parse).transpose()
}

/// Values for suites in the environment: `NAME=VALUE`, separated by white space.
pub fn vars_variable() -> Vec<String> {
    let text = std::env::var("BOOTPROOF_VARS").unwrap_or_default();
    text.split_whitespace().map(str::to_owned).collect()
}

/// The same, and then `vars`: what the command line says comes last, and counts.
pub fn vars_and_variable(vars: &[String]) -> Vec<String> {
    vars_variable().into_iter().chain(vars.iter().cloned()).collect()
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

/// A plan, and what it was made of.
pub struct Loaded {
    /// The plan.
    pub plan: Plan,
    /// The digests of its files and values.
    pub digests: Digests,
}

/// Reads an inventory and suites, and binds them.
pub fn load_plan(sources: &Sources) -> Result<Plan, Problems> {
    Ok(load(sources)?.plan)
}

/// Reads an inventory and suites, binds them, and says what they were.
///
/// Without suites, the inventory names them (`suites`). Without an inventory and without suites,
/// the files of this repository are used: the inventory of the local lab if one is up.
pub fn load(sources: &Sources) -> Result<Loaded, Problems> {
    let Sources { inventory, suites, vars } = sources;
    let file = match inventory {
        Some(file) => file.clone(),
        None => default_inventory(suites)?,
    };
    let text = Zeroizing::new(read(&file)?);
    let parsed = Inventory::parse(&file.display().to_string(), &text)?;
    let texts = if !suites.is_empty() {
        suite_texts(suites)?
    } else if !parsed.suites.is_empty() {
        named_texts(&parsed)?
    } else {
        suite_texts(&default_suites(inventory.as_deref(), &parsed)?)?
    };
    let digests = Digests::of(&text, texts.iter().map(|(_, text)| text.as_str()), vars);
    let mut suites = parse_suites(&texts)?;
    vars.iter().try_for_each(|var| set_var(&mut suites, var))?;
    Ok(Loaded { plan: Plan::resolve(&suites, parsed)?, digests })
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

/// Names of files, each with its text.
type Texts = Vec<(String, String)>;

fn suite_texts(files: &[PathBuf]) -> Result<Texts, Problem> {
    files.iter().map(|file| Ok((file.display().to_string(), read(file)?))).collect()
}

fn parse_suites(texts: &Texts) -> Result<Vec<Suite>, Problems> {
    texts.iter().map(|(file, text)| Suite::parse(file, text)).collect()
}

/// The suites that an inventory names.
pub fn named_suites(inventory: &Inventory) -> Result<Vec<Suite>, Problems> {
    parse_suites(&named_texts(inventory)?)
}

fn named_texts(inventory: &Inventory) -> Result<Texts, Problem> {
    let mut texts = Vec::new();
    for (index, file) in inventory.suites.iter().enumerate() {
        let text = std::fs::read_to_string(file).map_err(|error| Problem {
            file: Some(inventory.file.clone()),
            path: format!("suites[{index}]"),
            ..Problem::io(format!("read the suite {}", file.display()))(error)
                .hint("the path is relative to the folder of the inventory")
        })?;
        texts.push((file.display().to_string(), text));
    }
    Ok(texts)
}

/// Creates an empty file, or leaves the one that is there; its being there is the message.
pub fn create_empty(path: &Path) -> Result<(), Problem> {
    let created = std::fs::File::options().create(true).append(true).open(path);
    created.map(drop).map_err(Problem::io(format!("create {}", path.display())))
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

/// The secrets of every VM that a run of `selected` can touch, jump hosts among them, and those of
/// `others`.
pub fn read_secrets<'a>(
    plan: &'a Plan,
    selected: &HashSet<AssertionId>,
    others: impl Iterator<Item = &'a String>,
) -> Result<Secrets, Problem> {
    let vms = &plan.inventory.vms;
    let mut needed = plan.needed_vms(selected);
    needed.extend(others.map(String::as_str));
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
