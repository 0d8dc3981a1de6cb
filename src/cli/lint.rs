//! `bootproof lint`: checks files without touching a VM.

use std::error::Error;
use std::path::{Path, PathBuf};

use clap::Args;

use crate::exit_code::ExitCode;
use crate::lab::recipe::{Recipe, RecipeFolder};
use crate::settings;
use crate::spec::error::SpecErrors;
use crate::spec::inventory::Inventory;
use crate::spec::lint::{self, Finding, Level};
use crate::spec::plan::Plan;
use crate::spec::source::Source;
use crate::spec::suite::Suite;

/// Check inventories, suites and recipes
#[derive(Debug, Args)]
#[command(after_help = concat!(
    "What a file is, is seen from its keys (`vms`, `scenarios`, `os`). When inventories are among the files,\n",
    "the suites are bound to each of them, too.\n\n",
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
}

pub fn run(arguments: &LintArgs) -> ExitCode {
    let mut wrong = false;
    let (mut inventories, mut suites) = (Vec::new(), Vec::new());
    for file in &arguments.files {
        match read(file) {
            Ok(Read::Inventory(inventory)) => {
                println!("{}: inventory, {} VMs: ok", file.display(), inventory.vms.len());
                inventories.push(*inventory);
            }
            Ok(Read::Suite(suite)) => {
                println!("{}: suite, {} assertions: ok", file.display(), suite.assertions.len());
                suites.push(*suite);
            }
            Ok(Read::Recipe(folder)) => {
                println!("{}: recipe, {} startup scripts: ok", file.display(), folder.scripts.len());
            }
            Err(error) => {
                wrong = true;
                eprintln!("error: {error}");
            }
        }
    }
    let mut findings = lint::suites(&suites);
    for inventory in inventories.into_iter().filter(|_| !suites.is_empty()) {
        let file = inventory.file.clone();
        match Plan::resolve(&suites, inventory) {
            Ok(plan) => {
                println!("{file}: all {} assertions are on VMs of it: ok", plan.assertions.len());
                findings.extend(lint::login_ports(&suites, &plan.inventory));
            }
            Err(errors) => {
                wrong = true;
                eprintln!("error: {errors}");
            }
        }
    }
    findings.iter().for_each(tell);
    let denied = |finding: &Finding| match finding.level {
        Level::Error => true,
        Level::Warning => arguments.deny_warnings,
        Level::Waived(_) => false,
    };
    if wrong || findings.iter().any(denied) { ExitCode::Usage } else { ExitCode::Conforms }
}

fn tell(finding: &Finding) {
    match &finding.level {
        Level::Error => eprintln!("error: {}", finding.error),
        Level::Warning => eprintln!("warning: {}", finding.error),
        Level::Waived(reason) => eprintln!("waived: {}\n  waiver: {reason}", finding.error),
    }
}

fn read(path: &Path) -> Result<Read, Box<dyn Error>> {
    let text = settings::read(path)?;
    let name = path.display().to_string();
    let source = Source::parse(&name, &text)?;
    let has = |key: &str| source.value.get(key).is_some();
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
    let hint = "an inventory has `vms`, a suite `scenarios`, a recipe `os`".to_owned();
    let error = source.error("", "this is neither an inventory nor a suite nor a recipe", Some(hint));
    Err(SpecErrors::from(error).into())
}
