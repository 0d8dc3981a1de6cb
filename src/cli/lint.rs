//! `bootproof lint`: checks files without connecting to a VM.

use std::path::{Path, PathBuf};

use clap::Args;

use crate::analysis::lint::{self, Finding, Level};
use crate::error::Error;
use crate::exit_code::ExitCode;
use crate::lab::blueprint::Blueprint;
use crate::lab::recipe::{Recipe, RecipeFolder};
use crate::problem::{Problem, Problems};
use crate::report::text::counted;
use crate::settings::{self, SettingsError};
use crate::spec::inventory::Inventory;
use crate::spec::plan::Plan;
use crate::spec::source::Source;
use crate::spec::suite::Suite;

/// Check inventories, suites, recipes and blueprints
#[derive(Debug, Args)]
#[command(after_help = concat!(
    // One line a paragraph: clap wraps them.
    "The keys of a file tell what it is: `vms` an inventory, `scenarios` a suite, `os` a recipe, ",
    "`nodes` a blueprint. Suites are checked against every inventory among the files. ",
    "Inventories and recipes must contain the warnings of a blueprint among the files.\n\n",
    "An assertion that can never fail is an error. One that hides a failure is a warning; ",
    "to accept it, add `\"lint_allow\": \"the reason\"` to the assertion.\n\n",
    "Example:\n  bootproof lint inventory/*.json suites/*.json recipes/*/recipe.json\n\n",
    "Exit codes:\n  0  the files are right\n",
    "  2  a file is wrong, or there is a warning and --deny-warnings"
))]
pub struct LintArgs {
    /// The files
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,

    /// Exit with 2 if there is a warning; those with `lint_allow` do not count
    #[arg(long)]
    deny_warnings: bool,
}

/// A file that was understood.
enum File {
    Inventory(Box<Inventory>),
    Suite(Box<Suite>),
    Recipe(Box<RecipeFolder>),
    Blueprint(Box<Blueprint>),
}

/// All files that were understood.
#[derive(Default)]
struct Files {
    inventories: Vec<Inventory>,
    suites: Vec<Suite>,
    recipes: Vec<RecipeFolder>,
    blueprints: Vec<(PathBuf, Blueprint)>,
}

pub fn run(arguments: &LintArgs) -> Result<ExitCode, Error> {
    let mut problems = Vec::new();
    let mut files = Files::default();
    for path in &arguments.files {
        match read(path) {
            Ok(file) => files.show_and_keep(path, file),
            Err(found) => problems.extend(found.0),
        }
    }
    problems.extend(files.lost_warnings());
    let Files { inventories, suites, .. } = files;
    let mut findings = lint::suites(&suites);
    for inventory in inventories.into_iter().filter(|_| !suites.is_empty()) {
        match Plan::resolve(&suites, inventory) {
            Ok(plan) => {
                show_bound(&plan);
                findings.extend(lint::login_ports(&suites, &plan.inventory));
            }
            Err(found) => problems.extend(found.0),
        }
    }
    let has_warnings = findings.iter().any(|finding| finding.level == Level::Warning);
    problems.extend(findings.into_iter().filter_map(show_or_return));
    if !problems.is_empty() {
        return Err(Problems(problems).into());
    }
    let denied = arguments.deny_warnings && has_warnings;
    Ok(if denied { ExitCode::Usage } else { ExitCode::Conforms })
}

/// Shows a warning; returns an error, which is shown at the end.
fn show_or_return(finding: Finding) -> Option<Problem> {
    match finding.level {
        Level::Error => return Some(finding.problem),
        Level::Warning => super::tell("warning", &finding.problem),
        Level::Allowed(reason) => {
            super::tell("allowed", &format!("{}\n  reason: {reason}", finding.problem));
        }
    }
    None
}

fn show_ok(file: &str, what: &str) {
    super::show(&format!("{file}: ok: {what}\n"));
}

/// Says that every assertion of the suites was found a VM.
fn show_bound(plan: &Plan) {
    let file = &plan.inventory.file;
    let own = plan.assertions.iter().filter(|assertion| assertion.file == *file).count();
    let from_suites = match plan.assertions.len() - own {
        1 => "the only assertion targets a VM".to_owned(),
        several => format!("all {several} assertions target VMs"),
    };
    let adds = if own == 0 { String::new() } else { format!(", which adds {own} of its own") };
    show_ok(file, &format!("{from_suites} in this inventory{adds}"));
}

impl Files {
    fn show_and_keep(&mut self, path: &Path, file: File) {
        let name = path.display().to_string();
        match file {
            File::Inventory(inventory) => {
                let vms = counted(inventory.vms.len(), "VM");
                show_ok(&name, &format!("inventory with {vms}"));
                self.inventories.push(*inventory);
            }
            File::Suite(suite) => {
                let assertions = counted(suite.assertions.len(), "assertion");
                show_ok(&name, &format!("suite with {assertions}"));
                self.suites.push(*suite);
            }
            File::Recipe(folder) => {
                for remark in folder.remarks() {
                    super::tell("warning", &format!("{name}: {remark}"));
                }
                let scripts = counted(folder.scripts.len(), "startup script");
                show_ok(&name, &format!("recipe with {scripts}"));
                self.recipes.push(*folder);
            }
            File::Blueprint(blueprint) => {
                for remark in &blueprint.remarks {
                    super::tell("warning", &remark);
                }
                let nodes = counted(blueprint.nodes.len(), "node");
                let assertions = counted(blueprint.assertions, "assertion");
                show_ok(&name, &format!("blueprint with {nodes} and {assertions}"));
                self.blueprints.push((path.to_owned(), *blueprint));
            }
        }
    }

    /// The warnings of blueprints that are missing from the files of their lab.
    fn lost_warnings(&self) -> Vec<Problem> {
        let mut lost = Vec::new();
        for (path, blueprint) in &self.blueprints {
            for (node, text) in &blueprint.warnings {
                if self.have_lost(&blueprint.lab, node.as_deref(), text) {
                    lost.push(lost_warning(path, node.as_deref(), text));
                }
            }
        }
        lost
    }

    /// Whether files that should have the warning are here, and none of them has it.
    fn have_lost(&self, lab: &str, node: Option<&str>, text: &String) -> bool {
        let kept: Vec<bool> = if let Some(node) = node {
            let recipes = self.recipes.iter().map(|folder| &folder.recipe);
            let of_node = recipes.filter(|recipe| recipe.lab == lab && recipe.name == node);
            of_node.map(|recipe| recipe.warnings.contains(text)).collect()
        } else {
            let of_lab = self.inventories.iter().filter(|inventory| inventory.lab == lab);
            of_lab.map(|inventory| inventory.warnings.contains(text)).collect()
        };
        !kept.is_empty() && !kept.contains(&true)
    }
}

fn lost_warning(blueprint: &Path, node: Option<&str>, text: &str) -> Problem {
    let home = node.map_or("the inventory".to_owned(), |node| format!("the recipe of {node}"));
    Problem {
        file: Some(blueprint.display().to_string()),
        ..Problem::new(format!("{home} has lost the warning \"{text}\""))
    }
    .hint("add it there to `warnings`")
}

fn read(path: &Path) -> Result<File, Problems> {
    let text = settings::read(path).map_err(unreadable)?;
    let name = path.display().to_string();
    let source = Source::parse(&name, &text)?;
    let has = |key: &str| source.value.get(key).is_some();
    if has("nodes") {
        return Ok(File::Blueprint(Box::new(Blueprint::parse(&name, &text)?)));
    }
    if has("vms") {
        return Ok(File::Inventory(Box::new(Inventory::parse(&name, &text)?)));
    }
    if has("scenarios") {
        return Ok(File::Suite(Box::new(Suite::parse(&name, &text)?)));
    }
    if has("os") {
        Recipe::parse(&name, &text)?;
        let folder = path.parent().unwrap_or(Path::new("."));
        let folder = RecipeFolder::read(folder).map_err(|error| Problem::new(error.to_string()))?;
        return Ok(File::Recipe(Box::new(folder)));
    }
    let message = "this is neither an inventory nor a suite nor a recipe nor a blueprint";
    let hint = "an inventory has `vms`, a suite `scenarios`, a recipe `os`, a blueprint `nodes`";
    Err(source.problem("", message).hint(hint).into())
}

fn unreadable(error: SettingsError) -> Problem {
    match error {
        SettingsError::Read { path, error, hint } => {
            Problem::new(format!("cannot read {}: {error}", path.display())).hint(hint)
        }
        other => Problem::new(other.to_string()),
    }
}
