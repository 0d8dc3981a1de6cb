//! `bootproof plan`: what a run would do.

use std::collections::HashSet;
use std::path::PathBuf;

use clap::Args;

use super::output::{show, tell};
use crate::error::Error;
use crate::exit_code::ExitCode;
use crate::health::READ_HEALTH;
use crate::problem::Problem;
use crate::report::CoverageReport;
use crate::report::redact::Redactor;
use crate::report::text::{counted, harmless};
use crate::secrets::Secrets;
use crate::settings;
use crate::spec::plan::{AssertionId, Plan};

/// Print what a run would do: every id and every remote command
#[derive(Debug, Args)]
#[command(after_help = "\
It does not connect to any VM.

Example:
  bootproof plan -i lab.json -s suite.json --limit redis")]
pub struct PlanArgs {
    #[command(flatten)]
    pub selection: Selection,
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

    /// Run only assertions on these VMs; separate several with commas
    #[arg(short, long, value_name = "VM", value_delimiter = ',')]
    pub limit: Vec<String>,

    /// Run only assertions whose id contains this text; repeat it for several
    #[arg(short, long = "filter", value_name = "TEXT")]
    pub filters: Vec<String>,
}

impl Selection {
    /// Reads and binds the files.
    pub fn plan(&self) -> Result<Plan, Error> {
        Ok(settings::load_plan(self.inventory.as_deref(), &self.suites)?)
    }

    /// What is selected of `plan`; prints an error if that is nothing.
    pub fn of(&self, plan: &Plan) -> Result<HashSet<AssertionId>, Error> {
        let selected = settings::select(plan, &self.limit, &self.filters)?;
        if selected.is_empty() {
            tell("error", &self.nothing());
        }
        Ok(selected)
    }

    fn nothing(&self) -> Problem {
        let limit = (!self.limit.is_empty()).then(|| format!("on {}", self.limit.join(", ")));
        let filters = (!self.filters.is_empty())
            .then(|| format!("with `{}` in its id", self.filters.join("` or `")));
        let which: Vec<_> = limit.into_iter().chain(filters).collect();
        Problem::new(format!("there is no assertion {}", which.join(" ")))
            .hint("`bootproof plan` lists all ids")
    }
}

pub fn run(arguments: &PlanArgs) -> Result<ExitCode, Error> {
    let plan = arguments.selection.plan()?;
    let selected = arguments.selection.of(&plan)?;
    let redactor = Redactor::new(&Secrets::at_hand(plan.inventory.vms.values()));
    let mut text = String::new();
    for (vm, assertions) in plan.by_vm() {
        let chosen: Vec<_> =
            assertions.into_iter().filter(|one| selected.contains(&one.id)).collect();
        if chosen.is_empty() {
            continue;
        }
        text += &format!("{} ({}@{})\n", vm.name, vm.ssh.user, vm.ssh.address());
        text += &format!(
            "  identity and health, before and after the assertions\n    run: {READ_HEALTH}\n"
        );
        for assertion in chosen {
            text += &format!(
                "  {}\n    {}\n    expect: {}\n",
                assertion.id,
                redactor.text(&harmless(&assertion.expectation.how())),
                redactor.text(&harmless(&assertion.expectation.describe()))
            );
        }
    }
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
    show(&text);
    Ok(if selected.is_empty() { ExitCode::NothingSelected } else { ExitCode::Conforms })
}
