//! `bootproof plan`: what a run would do.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use indexmap::IndexMap;
use indexmap::map::Entry;

use super::output::{show, tell};
use super::shard::ShardArgs;
use crate::error::Error;
use crate::exit_code::ExitCode;
use crate::health::READ_HEALTH;
use crate::problem::Problem;
use crate::report::CoverageReport;
use crate::report::nodes::{MANY_VMS, folded};
use crate::report::redact::Redactor;
use crate::report::text::{all_visible, counted};
use crate::secrets::Secrets;
use crate::settings::{self, Loaded, Sources};
use crate::spec::choice::{Choice, select};
use crate::spec::plan::{AssertionId, Plan, PlannedAssertion};

/// Print what a run would do: every id and every remote command
#[derive(Debug, Args)]
#[command(after_help = "\
It does not connect to any VM. From five VMs on, what is the same on several VMs is printed once.

Examples:
  bootproof plan -i lab.json -s suite.json --limit redis
  bootproof plan -i lab.json -s suite.json --list-targets
  bootproof plan -i lab.json --shard 3/8 --list-targets")]
pub struct PlanArgs {
    #[command(flatten)]
    pub selection: Selection,

    #[command(flatten)]
    shard: ShardArgs,

    /// Print only which assertion holds on which VMs
    #[arg(long)]
    list_targets: bool,

    /// Print every assertion of every VM, however many there are
    #[arg(short, long, conflicts_with = "list_targets")]
    verbose: bool,
}

/// What to run; shared by `plan`, `check` and `prove`.
#[derive(Debug, Args)]
pub struct Selection {
    /// The inventory: the VMs and how to reach them
    #[arg(short, long, value_name = "FILE", env = "BOOTPROOF_INVENTORY")]
    pub inventory: Option<PathBuf>,

    /// A suite; repeat it for several [default: the suites that the inventory names]
    #[arg(
        short,
        long = "suite",
        value_name = "FILE",
        env = "BOOTPROOF_SUITE",
        value_delimiter = ':'
    )]
    pub suites: Vec<PathBuf>,

    /// Run only assertions on these VMs: names, `role:NAME`, `group:NAME`, `!NAME`; separate
    /// several with commas
    #[arg(short, long, value_name = "VM", value_delimiter = ',')]
    pub limit: Vec<String>,

    /// Run no assertion on these VMs; written as for --limit
    #[arg(long, value_name = "VM", value_delimiter = ',')]
    pub exclude: Vec<String>,

    /// Run only assertions whose id contains this text; repeat it for several
    #[arg(short, long = "filter", value_name = "TEXT")]
    pub filters: Vec<String>,

    /// Run no assertion whose id contains this text; repeat it for several
    #[arg(long, value_name = "TEXT")]
    pub skip: Vec<String>,

    /// Set a value that a suite names in its `vars`; repeat it for several (also `BOOTPROOF_VARS`)
    #[arg(long = "var", value_name = "NAME=VALUE")]
    pub vars: Vec<String>,
}

impl Selection {
    /// Reads and binds the files.
    pub fn plan(&self) -> Result<Plan, Error> {
        Ok(self.load()?.plan)
    }

    /// The same with what the files were.
    pub fn load(&self) -> Result<Loaded, Error> {
        let (inventory, suites) = (self.inventory.clone(), self.suites.clone());
        let vars = settings::vars_and_variable(&self.vars);
        Ok(settings::load(&Sources { inventory, suites, vars })?)
    }

    /// What is selected, as it was written.
    pub fn choice(&self) -> Choice {
        Choice {
            limit: self.limit.clone(),
            exclude: self.exclude.clone(),
            filters: self.filters.clone(),
            skip: self.skip.clone(),
        }
    }

    /// What is selected of `plan`; prints an error if that is nothing.
    pub fn of(&self, plan: &Plan) -> Result<HashSet<AssertionId>, Error> {
        let selected = select(plan, &self.choice())?;
        if selected.is_empty() {
            tell("error", &self.nothing());
        }
        Ok(selected)
    }

    fn nothing(&self) -> Problem {
        let some = |before: &str, words: &[String], between: &str, after: &str| {
            (!words.is_empty()).then(|| format!("{before}{}{after}", words.join(between)))
        };
        let which: Vec<_> = [
            some("on ", &self.limit, ", ", ""),
            some("not on ", &self.exclude, ", ", ""),
            some("with `", &self.filters, "` or `", "` in its id"),
            some("without `", &self.skip, "` and `", "` in its id"),
        ]
        .into_iter()
        .flatten()
        .collect();
        Problem::new(format!("there is no assertion {}", which.join(" ")))
            .hint("`bootproof plan` lists all ids")
    }
}

pub fn run(arguments: &PlanArgs) -> Result<ExitCode, Error> {
    let wanted = arguments.shard.wanted()?;
    let Loaded { plan, digests } = arguments.selection.load()?;
    let whole = arguments.selection.of(&plan)?;
    let (selected, shard) = match wanted {
        None => (whole.clone(), String::new()),
        Some(wanted) => {
            let line = wanted.describe(&plan.inventory);
            let made_of = (digests, arguments.selection.choice(), None);
            (wanted.part(&plan, &whole, made_of).1, line)
        }
    };
    let printer = Printer {
        plan: &plan,
        selected: &selected,
        redactor: Redactor::new(&Secrets::at_hand(plan.inventory.vms.values())),
    };
    let few = plan.by_vm().len() < MANY_VMS;
    let mut text = match arguments {
        PlanArgs { list_targets: true, .. } => printer.targets(),
        PlanArgs { verbose, .. } if *verbose || few => printer.by_vm(),
        _ => printer.folded(),
    };
    let coverage = CoverageReport::of(&plan);
    text += &format!("{}\n", coverage.describe());
    text +=
        &coverage.uncovered.iter().map(|row| format!("  {}\n", row.message)).collect::<String>();
    text += &format!(
        "{} of {} on {}\n",
        selected.len(),
        counted(plan.assertions.len(), "assertion"),
        counted(plan.inventory.vms.len(), "VM")
    );
    text += &shard;
    show(&text);
    Ok(if whole.is_empty() { ExitCode::NothingSelected } else { ExitCode::Conforms })
}

/// What a run does on every VM, before and after its assertions.
const HEALTH: &str = "identity and health, before and after the assertions";

struct Printer<'a> {
    plan: &'a Plan,
    selected: &'a HashSet<AssertionId>,
    redactor: Redactor,
}

/// An assertion of a suite, or of the inventory, on all its VMs.
struct Everywhere<'a> {
    /// The id of the first, with `*` for the VM's name if there are several.
    id: String,
    vms: Vec<&'a str>,
    first: &'a PlannedAssertion,
    /// Whether the others do and expect the same.
    how_is_same: bool,
    expected_is_same: bool,
}

impl<'a> Printer<'a> {
    fn chosen(&self) -> impl Iterator<Item = &'a PlannedAssertion> {
        self.plan.assertions.iter().filter(|one| self.selected.contains(&one.id))
    }

    /// Every assertion, VM by VM.
    fn by_vm(&self) -> String {
        let mut text = String::new();
        for (vm, assertions) in self.plan.by_vm() {
            let chosen: Vec<_> =
                assertions.into_iter().filter(|one| self.selected.contains(&one.id)).collect();
            if chosen.is_empty() {
                continue;
            }
            text += &format!("{} ({}@{})\n", vm.name, vm.ssh.user, vm.ssh.address());
            text += &format!("  {HEALTH}\n    run: {READ_HEALTH}\n");
            for one in chosen {
                text += &format!("  {}\n", one.id);
                text += &self.details(one, "    ", ["", ""]);
            }
        }
        text
    }

    /// Every assertion once, with its VMs.
    fn folded(&self) -> String {
        let groups = self.everywhere();
        let mut text = format!("every VM: {HEALTH}\n  run: {READ_HEALTH}\n");
        for group in &groups {
            let only = format!(" (on {}; not the same on all)", group.first.vm);
            let note = |is_same: bool| if is_same { "" } else { only.as_str() };
            text += &group.heading();
            let notes = [note(group.how_is_same), note(group.expected_is_same)];
            text += &self.details(group.first, "  ", notes);
        }
        text
    }

    fn targets(&self) -> String {
        self.everywhere().iter().map(Everywhere::heading).collect()
    }

    fn details(&self, one: &PlannedAssertion, indent: &str, notes: [&str; 2]) -> String {
        let shown = |text: &str| self.redactor.text(&all_visible(text));
        let [how, expected] = [one.expectation.how(), one.expectation.describe()];
        let [how, expected] = [shown(&how), shown(&expected)];
        format!("{indent}{how}{}\n{indent}expect: {expected}{}\n", notes[0], notes[1])
    }

    fn everywhere(&self) -> Vec<Everywhere<'a>> {
        let mut groups: IndexMap<_, Everywhere> = IndexMap::new();
        for one in self.chosen() {
            match groups.entry((&one.file, one.line, &one.scenario, &one.test, one.id.last_part()))
            {
                Entry::Occupied(mut group) => group.get_mut().add(one),
                Entry::Vacant(place) => drop(place.insert(Everywhere::new(one))),
            }
        }
        groups.into_values().collect()
    }
}

impl<'a> Everywhere<'a> {
    fn new(first: &'a PlannedAssertion) -> Self {
        let (id, vms) = (first.id.to_string(), vec![&*first.vm]);
        Self { id, vms, first, how_is_same: true, expected_is_same: true }
    }

    fn add(&mut self, other: &'a PlannedAssertion) {
        let first = self.first;
        if self.vms.len() == 1 {
            self.id = first.id.on_any_vm();
        }
        self.vms.push(&other.vm);
        let [one, other] = [first, other].map(|it| &it.expectation);
        if Arc::ptr_eq(one, other) {
            return;
        }
        self.how_is_same = self.how_is_same && one.how() == other.how();
        self.expected_is_same = self.expected_is_same && one.describe() == other.describe();
    }

    fn heading(&self) -> String {
        let vms = folded(self.vms.iter().copied());
        match self.vms.len() {
            1 => format!("{}\n", self.id),
            several => format!("{} on {several} VMs: {vms}\n", self.id),
        }
    }
}
