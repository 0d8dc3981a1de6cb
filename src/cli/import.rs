//! `bootproof import`: a whole plan from elsewhere becomes inventory, suite and recipes.

use std::error::Error;
use std::path::{Path, PathBuf};

use clap::Args;

use crate::exit_code::ExitCode;
use crate::lab::blueprint::store::{self, Change};
use crate::lab::blueprint::{Blueprint, PlannedFile};
use crate::report::text::counted;
use crate::settings;

/// Turn a whole plan into inventory, suite and recipes
#[derive(Debug, Args)]
#[command(after_help = concat!(
    "A plan is one JSON file with `nodes`, `connections`, `recipes`, a scenario and `warnings`, in camelCase or in\n",
    "snake_case; `bootproof schema plan` prints its JSON Schema. All files are written, or none.\n\n",
    "Example:\n  bootproof import plan.json --into labs/paperless"
))]
pub struct ImportArgs {
    /// The plan
    #[arg(value_name = "PLAN")]
    plan: PathBuf,

    /// The folder in which `inventory`, `suites` and `recipes` stand or are made
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    into: PathBuf,

    /// Write over files that say something else
    #[arg(long)]
    force: bool,
}

pub fn run(arguments: &ImportArgs) -> Result<ExitCode, Box<dyn Error>> {
    let text = settings::read(&arguments.plan)?;
    let blueprint = Blueprint::parse(&arguments.plan.display().to_string(), &text)?;
    for remark in &blueprint.remarks {
        super::tell("warning", remark);
    }
    if !arguments.force {
        in_the_way(&arguments.into, &blueprint)?;
    }
    let changes: Vec<_> =
        blueprint.files.iter().map(|file| store::change(&arguments.into, file)).collect();
    if let Err(error) = store::write(&arguments.into, &blueprint.files) {
        super::tell("error", &format!("{error}\n  hint: nothing was changed"));
        return Ok(ExitCode::Internal);
    }
    super::show(&told(&arguments.into, &blueprint, &changes));
    Ok(ExitCode::Conforms)
}

/// What the import would destroy or mix.
fn in_the_way(into: &Path, blueprint: &Blueprint) -> Result<(), String> {
    let differing =
        blueprint.files.iter().filter(|file| store::change(into, file) == Change::Differs);
    let differing: String =
        differing.map(|file| format!("\n  {}", shown(into, &file.path))).collect();
    if !differing.is_empty() {
        return Err(format!(
            "these files are there and say something else; nothing was written{differing}\n  \
             hint: --force writes over them, --into FOLDER writes elsewhere"
        ));
    }
    let others = store::other_recipes(into, &blueprint.nodes);
    if others.is_empty() {
        return Ok(());
    }
    Err(format!(
        "{} has recipes that are not in the plan: {}; nothing was written\n  \
         hint: `bootproof lab up` would boot them, too; write elsewhere with --into FOLDER, or use --force",
        shown(into, Path::new("recipes")),
        others.join(", ")
    ))
}

/// A path as it can be typed.
fn shown(into: &Path, path: &Path) -> String {
    let path = if into == Path::new(".") { path.to_owned() } else { into.join(path) };
    let text = path.display().to_string();
    shlex::try_quote(&text).map_or(text.clone(), std::borrow::Cow::into_owned)
}

fn told(into: &Path, blueprint: &Blueprint, changes: &[Change]) -> String {
    let line = |(file, change): (&PlannedFile, &Change)| {
        let word = match change {
            Change::New => "wrote",
            Change::Same => "unchanged",
            Change::Differs => "replaced",
        };
        format!("{word:<10} {}\n", shown(into, &file.path))
    };
    let files: String = blueprint.files.iter().zip(changes).map(line).collect();
    let [inventory, suite, recipes] =
        [&blueprint.inventory, &blueprint.suite, Path::new("recipes")]
            .map(|path| shown(into, path));
    format!(
        "{files}\n{}: {}, {}, {}. Next:\n  \
         bootproof lint {inventory} {suite} {recipes}/*/recipe.json\n  \
         bootproof plan -i {inventory} -s {suite}\n  \
         bootproof lab --recipes {recipes} up && bootproof check -s {suite} --wait 5m    # on VMs here\n  \
         bootproof check -i {inventory} -s {suite} --wait 5m    # on VMs elsewhere\n",
        blueprint.lab,
        counted(blueprint.nodes.len(), "VM"),
        counted(blueprint.assertions, "assertion"),
        counted(blueprint.warnings.len(), "warning"),
    )
}
