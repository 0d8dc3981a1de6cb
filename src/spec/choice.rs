//! Which assertions of a plan to run.

use std::collections::HashSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::plan::{AssertionId, Plan};
use super::selector::Selector;
use crate::problem::Problem;

/// Which assertions of a plan to run; all, where nothing is said.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Choice {
    /// Selectors: only on these VMs.
    pub limit: Vec<String>,
    /// Selectors: not on these VMs.
    pub exclude: Vec<String>,
    /// Only ids that contain one of these texts.
    #[serde(rename = "filter")]
    pub filters: Vec<String>,
    /// No ids that contain one of these texts.
    pub skip: Vec<String>,
}

/// The ids that were chosen.
pub fn select(plan: &Plan, choice: &Choice) -> Result<HashSet<AssertionId>, Problem> {
    let limit = chosen_vms(plan, "--limit", &choice.limit)?;
    let excluded = chosen_vms(plan, "--exclude", &choice.exclude)?;
    let is_on_vm = |vm: &str| {
        limit.as_ref().is_none_or(|limit| limit.contains(vm))
            && excluded.as_ref().is_none_or(|excluded| !excluded.contains(vm))
    };
    let has_one_of = |id: &str, texts: &[String]| texts.iter().any(|text| id.contains(text));
    let matches = |id: &str| {
        (choice.filters.is_empty() || has_one_of(id, &choice.filters))
            && !has_one_of(id, &choice.skip)
    };
    let selected = plan.assertions.iter();
    let selected = selected.filter(|one| is_on_vm(&one.vm) && matches(one.id.as_str()));
    Ok(selected.map(|assertion| assertion.id.clone()).collect())
}

/// The VMs that the selectors of a flag mean; `None` without selectors.
fn chosen_vms<'a>(
    plan: &'a Plan,
    flag: &str,
    words: &[String],
) -> Result<Option<HashSet<&'a str>>, Problem> {
    if words.is_empty() {
        return Ok(None);
    }
    let vms = Selector::parse(words).and_then(|selector| selector.resolve(&plan.inventory));
    match vms {
        Ok(vms) => Ok(Some(vms.into_iter().map(|vm| vm.name.as_str()).collect())),
        Err(mistake) => {
            Err(Problem::new(format!("{flag}: {}", mistake.message)).hint(mistake.hint))
        }
    }
}
