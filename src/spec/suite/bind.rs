//! From one assertion of a suite to one for each VM and each value.

use super::content::{Content, read_content};
use super::expand::{Each, Expand};
use super::read::{Suite, SuiteAssertion};
use crate::assertion::slug;
use crate::problem::Problems;
use crate::spec::template::Names;

/// What one assertion of a suite says for one value of each list.
#[derive(Debug, Clone)]
pub struct Expanded {
    /// The last part of the id.
    pub slug: String,
    /// What it says.
    pub content: Content,
}

impl Suite {
    /// What an assertion of this suite says on a VM, once for each combination of its values.
    pub(in crate::spec) fn expand(
        &self,
        assertion: &SuiteAssertion,
        names: &Names,
        vm: &str,
    ) -> Result<Vec<Expanded>, Problems> {
        if let Some(content) = assertion.sample.as_ref().filter(|_| !assertion.has_templates) {
            return Ok(vec![Expanded::of(content.clone(), &Each::default(), true)]);
        }
        let SuiteAssertion { path, keys, .. } = assertion;
        let expand = Expand { source: &self.source, templates: &self.templates, path, keys };
        let combinations = expand.combinations(&assertion.for_each, names, vm);
        let combinations = combinations.map_err(|found| *found.problem)?;
        let mut all = Vec::with_capacity(combinations.len());
        for each in combinations {
            let rendered = expand.render(&names.on(vm, &each.0)).map_err(|found| *found.problem)?;
            let content = read_content(&self.source, path, keys, &rendered)?;
            all.push(Expanded::of(content, &each, keys.name_has_template()));
        }
        Ok(all)
    }

    /// Whether an assertion of this suite says the same on every VM.
    pub(in crate::spec) fn is_the_same_everywhere(&self, assertion: &SuiteAssertion) -> bool {
        let uses_vm = |text: &str| self.templates.uses(text, "vm");
        let visited = assertion.keys.visit_templates(&assertion.path, &mut |_, _, text| {
            if uses_vm(text) { Err(()) } else { Ok(()) }
        });
        visited.is_ok()
    }
}

impl Expanded {
    /// A `name` without a template is the same for each value, so the values become part of the id;
    /// so they do without a `name`, unless what is expected has them in its id already.
    fn of(content: Content, each: &Each, is_named_by_template: bool) -> Self {
        let own = match &content.name {
            Some(name) => slug(name),
            None => content.expectation.slug(),
        };
        let values = each.slug();
        let is_complete = values.is_empty()
            || (content.name.is_some() && is_named_by_template)
            || (content.name.is_none() && has_words(&own, &values));
        let slug = if is_complete { own } else { format!("{own}-{values}") };
        Self { slug, content }
    }
}

/// Whether the parts of `values` are all parts of `own`.
fn has_words(own: &str, values: &str) -> bool {
    let parts: Vec<&str> = own.split(['-', '.']).collect();
    values.split('-').all(|value| parts.contains(&value))
}
