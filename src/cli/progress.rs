//! The live display of a run.

use std::collections::HashSet;
use std::sync::Arc;

use super::live::LiveLines;
use crate::error::Error;
use crate::gate::{self, Ending, Gate};
use crate::report::redact::Redactor;
use crate::run::{Event, Listener, RunSettings};
use crate::spec::plan::{AssertionId, Plan};

/// Runs with a live line for each VM.
pub(super) fn run_with_progress(gate: Gate, settings: RunSettings) -> Result<Ending, Error> {
    let progress = Progress::new(gate.plan(), gate.selected());
    let listener = progress.listener(gate.redactor().clone());
    let ending = gate.run(&gate::engine()?, settings, listener);
    progress.end();
    Ok(ending)
}

/// Shows the events of a run on standard error.
struct Progress {
    lines: Arc<LiveLines>,
}

impl Progress {
    /// A line for each VM with selected assertions.
    fn new(plan: &Plan, selected: &HashSet<AssertionId>) -> Self {
        let counts = plan.by_vm().into_iter().map(|(vm, assertions)| {
            let count = assertions.into_iter().filter(|one| selected.contains(&one.id)).count();
            (vm.name.as_str(), count)
        });
        let lines = LiveLines::with_counters(counts.filter(|(_, count)| *count > 0), "connecting");
        Self { lines: Arc::new(lines) }
    }

    /// What the runner calls for each event.
    fn listener(&self, redactor: Redactor) -> Listener {
        let lines = self.lines.clone();
        Arc::new(move |event| match event {
            Event::Waiting { vm, why, .. } => {
                show(&lines, &vm, &format!("waiting: {}", redactor.line(&why)));
            }
            Event::Ready { vm } => show(&lines, &vm, "logged in"),
            Event::Lost { cause } => {
                let why = redactor.line(&cause.to_string());
                show(&lines, &cause.vm, &format!("gave up: {why}"));
            }
            Event::Done { vm, .. } => lines.advance(&vm),
        })
    }

    /// Removes the live lines: the report comes next.
    fn end(&self) {
        self.lines.clear();
    }
}

fn show(lines: &LiveLines, vm: &str, text: &str) {
    if lines.has(vm) {
        lines.set(vm, text);
    }
}
