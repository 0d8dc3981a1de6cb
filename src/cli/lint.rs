//! `bootproof lint`: checks files without touching a VM.

use std::error::Error;
use std::path::{Path, PathBuf};

use clap::Args;

use super::output::tell;
use crate::exit_code::ExitCode;
use crate::lab::blueprint::Blueprint;
use crate::lab::recipe::{Recipe, RecipeFolder};
use crate::problem::Problems;
use crate::report::text::counted;
use crate::settings;
use crate::spec::inventory::Inventory;
use crate::spec::lint::{self, Finding, Level};
use crate::spec::plan::Plan;
use crate::spec::source::Source;
use crate::spec::suite::Suite;

/// Check inventories, suites, recipes and blueprints
#[derive(Debug, Args)]
#[command(after_help = concat!(
    "What a file is, is seen from its keys (`vms`, `scenarios`, `os`, `nodes`). When inventories are among the\n",
    "files, the suites are bound to each of them, too. When a blueprint is, inventory and recipes of its lab must\n",
    "have kept its warnings.\n\n",
    "A check that can never fail is an error; one that hides a failure is a warning, which changes the exit code\n",
    "only with --deny-warnings. An assertion accepts its warnings with `\"waive\": \"the reason\"`.\n\n",
    "Example:\n  bootproof lint inventory/*.json suites/*.json recipes/*/recipe.json\n\n",
    "Exit codes:\n  0  the files are right\n  2  one of them is wrong, or --deny-warnings and there is a warning"
))]
pub struct LintArgs {
    /// The files
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,

    /// A warning ends with exit code 2, too; a waived one does not
    #[arg(long)]
    deny_warnings: bool,
}

/// A file that was understood.
enum Read {
    Inventory(Box<Inventory>),
    Suite(Box<Suite>),
    Recipe(Box<RecipeFolder>),
    Plan(Box<Blueprint>),
}

/// All files that were understood.
#[derive(Default)]
struct Files {
    inventories: Vec<Inventory>,
    suites: Vec<Suite>,
    recipes: Vec<RecipeFolder>,
    plans: Vec<(PathBuf, Blueprint)>,
}

pub fn run(arguments: &LintArgs) -> ExitCode {
    let mut wrong = false;
    let mut files = Files::default();
    for file in &arguments.files {
        match read(file) {
            Ok(read) => files.tell_and_keep(file, read),
            Err(error) => {
                wrong = true;
                tell("error", &error);
            }
        }
    }
    for error in files.lost_warnings() {
        wrong = true;
        tell("error", &error);
    }
    let Files { inventories, suites, .. } = files;
    let mut findings = lint::suites(&suites);
    for inventory in inventories.into_iter().filter(|_| !suites.is_empty()) {
        let file = inventory.file.clone();
        match Plan::resolve(&suites, inventory) {
            Ok(plan) => {
                let (own, others): (Vec<_>, Vec<_>) =
                    plan.assertions.iter().partition(|one| one.file == file);
                let own = if own.is_empty() {
                    String::new()
                } else {
                    format!(", and {} more are its own", own.len())
                };
                println!("{file}: all {} assertions are on VMs of it{own}: ok", others.len());
                findings.extend(lint::login_ports(&suites, &plan.inventory));
            }
            Err(errors) => {
                wrong = true;
                tell("error", &errors);
            }
        }
    }
    findings.iter().for_each(tell_finding);
    let denied = |finding: &Finding| match finding.level {
        Level::Error => true,
        Level::Warning => arguments.deny_warnings,
        Level::Waived(_) => false,
    };
    if wrong || findings.iter().any(denied) { ExitCode::Usage } else { ExitCode::Conforms }
}

fn tell_finding(finding: &Finding) {
    match &finding.level {
        Level::Error => tell("error", &finding.error),
        Level::Warning => tell("warning", &finding.error),
        Level::Waived(reason) => tell("waived", &format!("{}\n  waiver: {reason}", finding.error)),
    }
}

impl Files {
    fn tell_and_keep(&mut self, path: &Path, read: Read) {
        let file = path.display();
        match read {
            Read::Inventory(inventory) => {
                println!("{file}: inventory, {}: ok", counted(inventory.vms.len(), "VM"));
                self.inventories.push(*inventory);
            }
            Read::Suite(suite) => {
                println!("{file}: suite, {} assertions: ok", suite.assertions.len());
                self.suites.push(*suite);
            }
            Read::Recipe(folder) => {
                for remark in folder.remarks() {
                    tell("warning", &format!("{file}: {remark}"));
                }
                println!("{file}: recipe, {} startup scripts: ok", folder.scripts.len());
                self.recipes.push(*folder);
            }
            Read::Plan(plan) => {
                for remark in &plan.remarks {
                    tell("warning", &remark);
                }
                println!(
                    "{file}: blueprint, {} nodes, {} assertions: ok",
                    plan.nodes.len(),
                    plan.assertions
                );
                self.plans.push((path.to_owned(), *plan));
            }
        }
    }

    /// The warnings of a plan that did not arrive in the files of its lab.
    fn lost_warnings(&self) -> Vec<String> {
        let lost = |(path, plan): &(PathBuf, Blueprint)| {
            let lost = plan
                .warnings
                .iter()
                .filter(|(node, text)| self.has_lost(&plan.lab, node.as_deref(), text));
            let file = path.display();
            let told = lost.map(|(node, text)| {
                let home = node.as_ref().map_or("the inventory".to_owned(), |node| format!("the recipe of {node}"));
                format!("{file}: {home} has lost the warning \"{text}\"\n  hint: write it there under `warnings`")
            });
            told.collect::<Vec<_>>()
        };
        self.plans.iter().flat_map(lost).collect()
    }

    /// Whether the file that should have the warning is here, and has it not.
    fn has_lost(&self, lab: &str, node: Option<&str>, text: &String) -> bool {
        let recipes = self.recipes.iter().map(|folder| &folder.recipe);
        let kept: Vec<_> = match node {
            Some(node) => recipes
                .filter(|one| one.lab == lab && one.name == node)
                .map(|one| one.warnings.contains(text))
                .collect(),
            None => self
                .inventories
                .iter()
                .filter(|one| one.lab == lab)
                .map(|one| one.warnings.contains(text))
                .collect(),
        };
        !kept.is_empty() && !kept.contains(&true)
    }
}

fn read(path: &Path) -> Result<Read, Box<dyn Error>> {
    let text = settings::read(path)?;
    let name = path.display().to_string();
    let source = Source::parse(&name, &text)?;
    let has = |key: &str| source.value.get(key).is_some();
    if has("nodes") {
        return Ok(Read::Plan(Box::new(Blueprint::parse(&name, &text)?)));
    }
    if has("vms") {
        return Ok(Read::Inventory(Box::new(Inventory::parse(&name, &text)?)));
    }
    if has("scenarios") {
        return Ok(Read::Suite(Box::new(Suite::parse(&name, &text)?)));
    }
    if has("os") {
        Recipe::parse(&name, &text)?;
        let folder = path.parent().unwrap_or(Path::new("."));
        return Ok(Read::Recipe(Box::new(RecipeFolder::read(folder)?)));
    }
    let hint = "an inventory has `vms`, a suite `scenarios`, a recipe `os`, a blueprint `nodes`"
        .to_owned();
    let error = source.error(
        "",
        "this is neither an inventory nor a suite nor a recipe nor a blueprint",
        Some(hint),
    );
    Err(Problems::from(error).into())
}
