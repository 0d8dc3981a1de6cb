//! A plan of counter-examples: each assertion as it is, and again where what it looks at is absent.

use std::collections::HashSet;
use std::sync::Arc;

use super::counter_example::{CounterExample, NoCounterExample, counter_examples, not_run};
use crate::assertion::Expectation;
use crate::spec::plan::{AssertionId, Plan, PlannedAssertion};

/// What `prove` runs, and how to read the outcomes.
#[derive(Debug, Clone)]
pub struct Proof {
    /// The assertions under their own ids, and their counter-examples; it runs as any other plan.
    pub plan: Plan,
    /// A case for each selected assertion, in the order of the plan.
    pub cases: Vec<Case>,
}

/// One assertion and its counter-examples.
#[derive(Debug, Clone)]
pub struct Case {
    /// The assertion's id.
    pub id: AssertionId,
    /// What must fail; or why there is no counter-example.
    pub examples: Result<Vec<Example>, NoCounterExample>,
}

/// A counter-example in the plan.
#[derive(Debug, Clone)]
pub struct Example {
    /// Its id in the plan.
    pub id: AssertionId,
    /// What it looks at instead of the real thing.
    pub what: String,
}

impl Proof {
    /// The counter-examples of the selected assertions.
    pub fn of(plan: &Plan, selected: &HashSet<AssertionId>) -> Self {
        let (mut planned, mut cases) = (Vec::new(), Vec::new());
        for assertion in plan.assertions.iter().filter(|assertion| selected.contains(&assertion.id))
        {
            let examples = examples(assertion);
            let examples = examples.map(|examples| plan_both(&mut planned, assertion, examples));
            cases.push(Case { id: assertion.id.clone(), examples });
        }
        let plan = Plan::of(plan.inventory.clone(), plan.suite_files.clone(), planned);
        Self { plan, cases }
    }

    /// All ids of its plan.
    pub fn ids(&self) -> HashSet<AssertionId> {
        self.plan.assertions.iter().map(|assertion| assertion.id.clone()).collect()
    }
}

/// Plans the assertion as it is, and its counter-examples; nothing is waited for.
fn plan_both(
    plan: &mut Vec<PlannedAssertion>,
    assertion: &PlannedAssertion,
    examples: Vec<CounterExample>,
) -> Vec<Example> {
    let original = PlannedAssertion { wait: None, ..assertion.clone() };
    plan.push(original.clone());
    let mut planned = Vec::new();
    for (index, CounterExample { what, expectation }) in examples.into_iter().enumerate() {
        let id = assertion.id.below(&format!("counter-example-{}", index + 1));
        let expectation = Arc::new(expectation);
        plan.push(PlannedAssertion { id: id.clone(), expectation, ..original.clone() });
        planned.push(Example { id, what });
    }
    planned
}

fn examples(assertion: &PlannedAssertion) -> Result<Vec<CounterExample>, NoCounterExample> {
    let Some(own) = &assertion.counter_example else {
        return counter_examples(&assertion.expectation);
    };
    let how = match &**own {
        Expectation::CommandOutput(_) | Expectation::HttpResponds(_) => own.how(),
        other => other.describe(),
    };
    let what = format!("the suite's own: {how}");
    let own = CounterExample { what, expectation: Expectation::clone(own) };
    Ok(std::iter::once(own).chain(not_run(&assertion.expectation)).collect())
}
