//! `bootproof lint`: checks files without connecting to a VM.

use std::path::{Path, PathBuf};

use clap::Args;
use indexmap::IndexMap;

use super::output::{show, tell};
use crate::analysis::lint::{self, Finding, Level};
use crate::error::Error;
use crate::exit_code::ExitCode;
use crate::lab::blueprint::Blueprint;
use crate::lab::recipe::{Recipe, RecipeFolder};
use crate::problem::{Problem, Problems};
use crate::report::text::counted;
use crate::settings;
use crate::spec::inventory::Inventory;
use crate::spec::plan::Plan;
use crate::spec::source::Source;
use crate::spec::suite::Suite;

/// How many places of the same warning are named beside the first.
const PLACES: usize = 5;

/// Check inventories, suites, recipes and blueprints
#[derive(Debug, Args)]
#[command(after_help = "\
`lint` recognizes a file by its keys: `vms` is in an inventory, `scenarios` in a suite, `os` in a \
recipe, `nodes` in a blueprint. It checks each suite against every inventory on the command line; \
without a suite there, it reads those that the inventories name. If a blueprint is there, too, its \
lab's inventory and recipes must contain its warnings.

Files named *.yaml or *.yml are YAML. All others are JSON, in which comments and trailing commas \
are allowed.

An assertion that can never fail is an error. One that hides a failure is a warning; to accept it, \
add `\"lint_allow\": \"the reason\"` to the assertion.

Example:
  bootproof lint inventory/*.json suites/*.json recipes/*/recipe.json

Exit codes:
  0  no file has an error
  2  a file has an error; with --deny-warnings, also if one has a warning")]
pub struct LintArgs {
    /// Files to check
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
    good: Vec<GoodNews>,
    problems: Vec<Problem>,
}

/// What is right about a file; printed unless something else is wrong with it.
struct GoodNews {
    file: String,
    what: String,
}

pub fn run(arguments: &LintArgs) -> Result<ExitCode, Error> {
    let mut files = Files::default();
    for path in &arguments.files {
        match read(path) {
            Ok(file) => files.keep(path, file),
            Err(found) => files.problems.extend(found.0),
        }
    }
    let lost_warnings = files.lost_warnings();
    files.problems.extend(lost_warnings);
    let mut findings = files.bind();
    findings.extend(lint::suites(&files.suites));
    files.show(&findings);
    let has_warnings = findings.iter().any(|finding| finding.level == Level::Warning);
    let (errors, warnings): (Vec<Finding>, Vec<Finding>) =
        findings.into_iter().partition(|finding| finding.level == Level::Error);
    show_warnings(&warnings);
    files.problems.extend(errors.into_iter().map(|finding| finding.problem));
    if !files.problems.is_empty() {
        return Err(Problems(files.problems).into());
    }
    let denied = arguments.deny_warnings && has_warnings;
    Ok(if denied { ExitCode::Usage } else { ExitCode::Conforms })
}

/// Shows each warning once, with all places that it is about.
fn show_warnings(warnings: &[Finding]) {
    let mut same: IndexMap<_, Vec<&Problem>> = IndexMap::new();
    for Finding { level, problem } in warnings {
        let reason = match level {
            Level::Allowed(reason) => Some(reason),
            Level::Error | Level::Warning => None,
        };
        same.entry((reason, &problem.message, &problem.hint)).or_default().push(problem);
    }
    for ((reason, ..), problems) in same {
        let mut text = problems[0].to_string() + &other_places(&problems[1..]);
        if let Some(reason) = reason {
            text += &format!("\n  reason: {reason}");
        }
        tell(if reason.is_some() { "allowed" } else { "warning" }, &text);
    }
}

/// A line with the places of the same warning.
fn other_places(problems: &[&Problem]) -> String {
    let place = |problem: &&Problem| {
        let file = problem.file.as_deref().unwrap_or_default();
        let (line, column) = problem.place.unwrap_or_default();
        format!("{file}:{line}:{column}")
    };
    let shown: Vec<String> = problems.iter().take(PLACES).map(place).collect();
    match problems.len() - shown.len() {
        _ if problems.is_empty() => String::new(),
        0 => format!("\n  also: {}", shown.join(", ")),
        more => format!("\n  also: {} and {}", shown.join(", "), counted(more, "other place")),
    }
}

/// That every assertion of the suites has a VM.
fn describe_bound(plan: &Plan) -> String {
    let file = &plan.inventory.file;
    let own = plan.assertions.iter().filter(|assertion| *assertion.file == **file).count();
    let from_suites = match plan.assertions.len() - own {
        1 => "the only assertion targets a VM".to_owned(),
        several => format!("all {several} assertions target VMs"),
    };
    let adds = if own == 0 { String::new() } else { format!(", which adds {own} of its own") };
    format!("{from_suites} in this inventory{adds}")
}

impl Files {
    fn keep(&mut self, path: &Path, file: File) {
        let name = path.display().to_string();
        match file {
            File::Inventory(inventory) => {
                let vms = counted(inventory.vms.len(), "VM");
                self.is_ok(&name, format!("inventory with {vms}"));
                self.inventories.push(*inventory);
            }
            File::Suite(suite) => self.keep_suite(*suite),
            File::Recipe(folder) => {
                for remark in folder.remarks() {
                    tell("warning", &format!("{name}: {remark}"));
                }
                let scripts = counted(folder.scripts.len(), "startup script");
                self.is_ok(&name, format!("recipe with {scripts}"));
                self.recipes.push(*folder);
            }
            File::Blueprint(blueprint) => {
                for remark in &blueprint.remarks {
                    tell("warning", &remark);
                }
                let nodes = counted(blueprint.nodes.len(), "node");
                let assertions = counted(blueprint.assertions, "assertion");
                self.is_ok(&name, format!("blueprint with {nodes} and {assertions}"));
                self.blueprints.push((path.to_owned(), *blueprint));
            }
        }
    }

    fn keep_suite(&mut self, suite: Suite) {
        let assertions = counted(suite.assertions.len(), "assertion");
        self.is_ok(&suite.file, format!("suite with {assertions}"));
        self.suites.push(suite);
    }

    fn is_ok(&mut self, file: &str, what: String) {
        self.good.push(GoodNews { file: file.to_owned(), what });
    }

    /// Binds the suites to each inventory; without any, each inventory binds those that it names.
    fn bind(&mut self) -> Vec<Finding> {
        let given = self.suites.clone();
        let mut findings = Vec::new();
        for inventory in std::mem::take(&mut self.inventories) {
            let suites = if given.is_empty() { self.named(&inventory) } else { given.clone() };
            if suites.is_empty() {
                continue;
            }
            match Plan::resolve(&suites, inventory) {
                Ok(plan) => {
                    self.is_ok(&plan.inventory.file, describe_bound(&plan));
                    findings.extend(lint::login_ports(&suites, &plan.inventory));
                }
                Err(found) => self.problems.extend(found.0),
            }
        }
        findings
    }

    /// The suites that an inventory names; kept once, even if several inventories name them.
    fn named(&mut self, inventory: &Inventory) -> Vec<Suite> {
        let named = settings::named_suites(inventory).unwrap_or_else(|found| {
            self.problems.extend(found.0);
            Vec::new()
        });
        for suite in &named {
            if !self.suites.iter().any(|kept| kept.file == suite.file) {
                self.keep_suite(suite.clone());
            }
        }
        named
    }

    /// Prints what is right, except about files with an error.
    fn show(&self, findings: &[Finding]) {
        let errors = findings.iter().filter(|finding| finding.level == Level::Error);
        let errors = errors.map(|finding| &finding.problem).chain(&self.problems);
        let wrong: Vec<&str> = errors.filter_map(|problem| problem.file.as_deref()).collect();
        for GoodNews { file, what } in &self.good {
            if !wrong.contains(&file.as_str()) {
                show(&format!("{file}: ok: {what}\n"));
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
        ..Problem::new(format!("{home} lacks the warning \"{text}\""))
    }
    .hint("add it to `warnings` there")
}

fn read(path: &Path) -> Result<File, Problems> {
    let text = settings::read(path)?;
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
        let folder = RecipeFolder::read(folder)?;
        return Ok(File::Recipe(Box::new(folder)));
    }
    let message = "this is neither an inventory nor a suite nor a recipe nor a blueprint";
    let hint = "an inventory has `vms`, a suite `scenarios`, a recipe `os`, a blueprint `nodes`";
    Err(source.problem("", message).hint(hint).into())
}
