//! `bootproof import`: a blueprint becomes inventory, suite and recipes.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use clap::Args;

use super::output::{show, tell};
use crate::error::Error;
use crate::exit_code::ExitCode;
use crate::lab::blueprint::store::{self, Change};
use crate::lab::blueprint::{Blueprint, GeneratedFile};
use crate::problem::{Problem, Problems};
use crate::report::text::counted;
use crate::settings;

/// Turn a blueprint into an inventory, a suite and recipes
#[derive(Debug, Args)]
#[command(after_help = "\
A blueprint is one JSON or YAML file with the nodes, connections, recipes, scenario and warnings of a lab. \
Its keys may be in camelCase or snake_case; `bootproof schema blueprint` prints its JSON Schema. \
The command writes all files, or none.

Example:
  bootproof import blueprint.json --into labs/paperless")]
pub struct ImportArgs {
    /// Blueprint file
    #[arg(value_name = "BLUEPRINT")]
    blueprint: PathBuf,

    /// Folder for `inventory`, `suites` and `recipes`
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    into: PathBuf,

    /// Replace existing files whose content is different
    #[arg(long)]
    force: bool,
}

pub fn run(arguments: &ImportArgs) -> Result<ExitCode, Error> {
    let into = &arguments.into;
    let text =
        settings::read(&arguments.blueprint).map_err(|error| Problem::new(error.to_string()))?;
    let blueprint = Blueprint::parse(&arguments.blueprint.display().to_string(), &text)?;
    for remark in &blueprint.remarks {
        tell("warning", remark);
    }
    if !arguments.force {
        check_destination(into, &blueprint)?;
    }
    let changes: Vec<_> = blueprint.files.iter().map(|file| store::change(into, file)).collect();
    store::write(into, &blueprint.files)
        .map_err(|problem| Error::internal(problem.hint("nothing was changed")))?;
    show(&summary(into, &blueprint, &changes));
    Ok(ExitCode::Conforms)
}

/// Refuses to replace files with other content, and to mix the recipes of two labs.
fn check_destination(into: &Path, blueprint: &Blueprint) -> Result<(), Problems> {
    let replaced = replaced_files(into, blueprint);
    let mixed = mixed_recipes(into, blueprint);
    let problems: Vec<_> = replaced.into_iter().chain(mixed).collect();
    if problems.is_empty() { Ok(()) } else { Err(Problems(problems)) }
}

fn replaced_files(into: &Path, blueprint: &Blueprint) -> Option<Problem> {
    let paths: String = blueprint
        .files
        .iter()
        .filter(|file| store::change(into, file) == Change::Replaced)
        .map(|file| format!("\n  {}", shown(into, &file.path)))
        .collect();
    let message =
        format!("these files exist with different content, so bootproof wrote nothing:{paths}");
    (!paths.is_empty()).then(|| {
        Problem::new(message)
            .hint("use --force to replace them, or --into FOLDER to write elsewhere")
    })
}

fn mixed_recipes(into: &Path, blueprint: &Blueprint) -> Option<Problem> {
    let others = store::other_recipes(into, &blueprint.nodes);
    let message = format!(
        "{} has recipes that are not in the blueprint, so bootproof wrote nothing: {}",
        shown(into, Path::new("recipes")),
        others.join(", "),
    );
    (!others.is_empty()).then(|| {
        Problem::new(message).hint(
            "`bootproof lab up` would boot them, too; use --into FOLDER to write elsewhere, or \
             --force",
        )
    })
}

/// A path from the current folder, quoted for a shell.
fn shown(into: &Path, path: &Path) -> String {
    if into == Path::new(".") { quoted(path) } else { quoted(&into.join(path)) }
}

fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    shlex::try_quote(&text).map_or(text.clone(), Cow::into_owned)
}

fn summary(into: &Path, blueprint: &Blueprint, changes: &[Change]) -> String {
    let line = |(file, change): (&GeneratedFile, &Change)| {
        let word = match change {
            Change::New => "wrote",
            Change::Unchanged => "unchanged",
            Change::Replaced => "replaced",
        };
        format!("{word:<10} {}\n", shown(into, &file.path))
    };
    let files: String = blueprint.files.iter().zip(changes).map(line).collect();
    format!(
        "{files}\n{}: {}, {}, {}\n\n{}",
        blueprint.lab,
        counted(blueprint.nodes.len(), "VM"),
        counted(blueprint.assertions, "assertion"),
        counted(blueprint.warnings.len(), "warning"),
        next_steps(into, blueprint),
    )
}

/// Commands to go on with. They run in the folder of the lab, because `lab up` writes
/// `inventory/local.json` in the current folder and looks for the declared inventory beside it.
fn next_steps(into: &Path, blueprint: &Blueprint) -> String {
    let change_folder =
        if into == Path::new(".") { String::new() } else { format!("  cd {}\n", quoted(into)) };
    let inventory = quoted(&blueprint.inventory);
    let suite = quoted(&blueprint.suite);
    format!(
        "Next:\n{change_folder}  \
         bootproof lint {inventory} {suite} recipes/*/recipe.json\n  \
         bootproof plan -i {inventory} -s {suite}\n\
         Then, for VMs on this machine:\n  \
         bootproof lab up\n  \
         bootproof check -i {} -s {suite} --wait 5m\n\
         Or, for VMs elsewhere:\n  \
         bootproof check -i {inventory} -s {suite} --wait 5m\n",
        settings::LOCAL_INVENTORY,
    )
}
