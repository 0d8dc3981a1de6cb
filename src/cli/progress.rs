//! The live display of a run.

use std::collections::HashSet;
use std::sync::Arc;

use super::live::LiveLines;
use crate::report::redact::Redactor;
use crate::run::{Event, Listener};
use crate::spec::plan::{AssertionId, Plan};

/// Shows the events of a run on standard error.
pub struct Progress {
    lines: Arc<LiveLines>,
}

impl Progress {
    /// A line for each VM with selected assertions.
    pub fn new(plan: &Plan, selected: &HashSet<AssertionId>) -> Self {
        let counts = plan.by_vm().into_iter().map(|(vm, assertions)| {
            let count = assertions.into_iter().filter(|one| selected.contains(&one.id)).count();
            (vm.name.as_str(), count)
        });
        let lines = LiveLines::with_counters(counts.filter(|(_, count)| *count > 0), "connecting");
        Self { lines: Arc::new(lines) }
    }

    /// What the runner calls for each event.
    pub fn listener(&self, redactor: Redactor) -> Listener {
        let lines = self.lines.clone();
        Arc::new(move |event| match event {
            Event::Waiting { vm, why, .. } => {
                show(&lines, &vm, &format!("waiting: {}", redactor.line(&why)));
            }
            Event::Ready { vm } => show(&lines, &vm, "logged in"),
            Event::Lost { cause } => {
                let why = redactor.line(&cause.to_string());
                show(&lines, &cause.vm, &format!("given up: {why}"));
            }
            Event::Done { vm, .. } => lines.advance(&vm),
        })
    }

    /// Removes the live lines: the report comes next.
    pub fn end(&self) {
        self.lines.clear();
    }
}

fn show(lines: &LiveLines, vm: &str, text: &str) {
    if lines.has(vm) {
        lines.set(vm, text);
    }
}
