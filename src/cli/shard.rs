//! Flags that say which shard of a run this is.

use std::collections::HashSet;
use std::path::Path;

use clap::{Args, ValueEnum};

use crate::error::Error;
use crate::problem::Problem;
use crate::report::Part;
use crate::report::nodes::folded;
use crate::settings;
use crate::spec::choice::Choice;
use crate::spec::digest::Digests;
use crate::spec::inventory::Inventory;
use crate::spec::plan::{AssertionId, Plan};
use crate::spec::shard::{Shard, ShardBy};
use crate::spec::shard_auto;

/// Which shard; shared by `check` and `plan`.
#[derive(Debug, Args)]
pub struct ShardArgs {
    /// Run only a part of the VMs: 3/8 is the third of eight shards; auto is what the
    /// CI system or the batch system says [env: BOOTPROOF_SHARD]
    #[arg(long, value_name = "INDEX/COUNT")]
    shard: Option<String>,

    /// What stays together in a shard
    #[arg(long, value_enum, value_name = "WHAT", default_value_t = By::Vm)]
    shard_by: By,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum By {
    /// Nothing: each VM counts alone
    Vm,
    /// The VMs with the same first group
    Group,
}

/// The shard that was asked for.
pub struct Wanted {
    pub shard: Shard,
    pub by: ShardBy,
    /// How the engine calls the run.
    run_id: Option<String>,
    /// A file that the engine wants to see.
    status_file: Option<String>,
}

impl ShardArgs {
    /// The shard that a flag or the environment asks for.
    pub fn wanted(&self) -> Result<Option<Wanted>, Problem> {
        let text = self.shard.clone().or_else(|| settings::variable("BOOTPROOF_SHARD"));
        let by = match self.shard_by {
            By::Vm => ShardBy::Vm,
            By::Group => ShardBy::Group,
        };
        match text.as_deref() {
            None => Ok(None),
            Some("auto") => {
                let found = shard_auto::find(settings::variable)?;
                let shard_auto::Found { shard, run_id, status_file } = found;
                Ok(Some(Wanted { shard, by, run_id, status_file }))
            }
            Some(text) => {
                let shard = Shard::parse(text)?;
                Ok(Some(Wanted { shard, by, run_id: None, status_file: None }))
            }
        }
    }
}

impl Wanted {
    /// Shows the engine that its shards are understood.
    pub fn acknowledge(&self) -> Result<(), Error> {
        match &self.status_file {
            None => Ok(()),
            Some(file) => settings::create_empty(Path::new(file)).map_err(Error::internal),
        }
    }

    /// Its VMs, in a line.
    pub fn describe(&self, inventory: &Inventory) -> String {
        let own = inventory.vms.values().filter(|vm| self.shard.has(self.by, vm));
        let names: Vec<&str> = own.map(|vm| vm.name.as_str()).collect();
        let nodes = if names.is_empty() { "no VM".to_owned() } else { folded(names) };
        format!("shard {}: {nodes}\n", self.shard)
    }

    /// The part of `plan` that is this shard, and what of `selected` is in it. `run_id` is what a
    /// person calls the run.
    pub fn part(
        self,
        plan: &Plan,
        selected: &HashSet<AssertionId>,
        (digests, choice, run_id): (Digests, Choice, Option<String>),
    ) -> (Part, HashSet<AssertionId>) {
        let named = run_id.or_else(|| settings::variable("BOOTPROOF_RUN_ID")).or(self.run_id);
        Part::of(plan, self.shard, self.by, selected, (digests, choice, named))
    }
}
