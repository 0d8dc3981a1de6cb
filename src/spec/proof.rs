//! A plan of counter-examples: each check as it is, and then where what it looks at is not there.

use std::collections::HashSet;

use super::plan::{AssertionId, Plan, PlannedAssertion};
use crate::assertion::Expectation;
use crate::assertion::counter_example::CounterExample;

/// What is to be proven of a plan's assertions.
#[derive(Debug, Clone)]
pub struct Proof {
    /// The assertions as they are, under their own ids, and their counter-examples. It is run as any other plan.
    pub plan: Plan,
    /// A case for each selected assertion, in the order of the plan.
    pub cases: Vec<Case>,
}

/// One assertion and what must be red.
#[derive(Debug, Clone)]
pub struct Case {
    /// Its id.
    pub id: AssertionId,
    /// Its counter-examples; or why it has none.
    pub examples: Result<Vec<Example>, String>,
}

/// A counter-example in the plan.
#[derive(Debug, Clone)]
pub struct Example {
    /// Its id in the plan.
    pub id: AssertionId,
    /// What is looked at in the place of the real thing.
    pub what: String,
}

impl Proof {
    /// The counter-examples of what is selected.
    pub fn of(plan: &Plan, selected: &HashSet<AssertionId>) -> Self {
        let (mut cases, mut assertions) = (Vec::new(), Vec::new());
        for assertion in plan.assertions.iter().filter(|one| selected.contains(&one.id)) {
            let examples = examples(assertion).map(|examples| {
                assertions.push(PlannedAssertion { wait: None, ..assertion.clone() });
                let planned = examples.into_iter().enumerate().map(|(index, example)| {
                    let id = assertion.id.below(&format!("counter-example-{}", index + 1));
                    let one = PlannedAssertion { id: id.clone(), wait: None, ..assertion.clone() };
                    assertions.push(PlannedAssertion { expectation: example.expectation, ..one });
                    Example { id, what: example.what }
                });
                planned.collect()
            });
            cases.push(Case { id: assertion.id.clone(), examples });
        }
        Self { plan: Plan { assertions, ..plan.clone() }, cases }
    }

    /// All ids of its plan.
    pub fn ids(&self) -> HashSet<AssertionId> {
        self.plan.assertions.iter().map(|one| one.id.clone()).collect()
    }
}

fn examples(assertion: &PlannedAssertion) -> Result<Vec<CounterExample>, String> {
    let Some(own) = &assertion.counter_example else {
        return assertion.expectation.counter_examples();
    };
    let what = match own {
        Expectation::PortListening(port) => port.describe(),
        other => other.how(),
    };
    Ok(vec![CounterExample { what: format!("the suite's own: {what}"), expectation: own.clone() }])
}
