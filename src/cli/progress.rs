//! The live display of a run.

use std::collections::HashSet;
use std::sync::Arc;

use super::crowd::Crowd;
use super::live::{LiveLines, room};
use crate::error::Error;
use crate::gate::{self, Ending, Gate};
use crate::report::redact::Redactor;
use crate::run::{Event, Listener, RunSettings};
use crate::spec::plan::{AssertionId, Plan};

/// Runs with a live line for each VM, or one for all of them if there are too many.
pub(super) fn run_with_progress(gate: Gate, settings: RunSettings) -> Result<Ending, Error> {
    let progress = Progress::new(gate.plan(), gate.selected());
    let listener = progress.listener(gate.redactor().clone());
    let ending = gate.run(&gate::engine()?, settings, listener);
    progress.end();
    Ok(ending)
}

/// Runs and shows nothing.
pub(super) fn run_silently(gate: Gate, settings: RunSettings) -> Result<Ending, Error> {
    Ok(gate.run(&gate::engine()?, settings, Arc::new(|_| {})))
}

/// Shows the events of a run on standard error.
#[derive(Clone)]
enum Progress {
    Each(Arc<LiveLines>),
    Crowd(Arc<Crowd>),
}

impl Progress {
    /// Shows the VMs with selected assertions.
    fn new(plan: &Plan, selected: &HashSet<AssertionId>) -> Self {
        let counts = plan.by_vm().into_iter().map(|(vm, assertions)| {
            let count = assertions.into_iter().filter(|one| selected.contains(&one.id)).count();
            (vm.name.as_str(), count)
        });
        let counts: Vec<_> = counts.filter(|(_, count)| *count > 0).collect();
        if counts.len() > room() {
            let assertions = counts.iter().map(|(_, count)| count).sum();
            return Self::Crowd(Arc::new(Crowd::new(counts.len(), assertions)));
        }
        Self::Each(Arc::new(LiveLines::with_counters(counts, "connecting")))
    }

    /// What the runner calls for each event.
    fn listener(&self, redactor: Redactor) -> Listener {
        let progress = self.clone();
        Arc::new(move |event| match &progress {
            Self::Each(lines) => show(lines, event, &redactor),
            Self::Crowd(crowd) => crowd.show(&event),
        })
    }

    /// Removes the live lines: the report comes next.
    fn end(&self) {
        match self {
            Self::Each(lines) => lines.clear(),
            Self::Crowd(crowd) => crowd.clear(),
        }
    }
}

fn show(lines: &LiveLines, event: Event, redactor: &Redactor) {
    let (vm, text) = match event {
        Event::Waiting { vm, why, .. } => (vm, format!("waiting: {}", redactor.line(&why))),
        Event::Ready { vm } => (vm, "logged in".to_owned()),
        Event::Lost { cause } => {
            let why = redactor.line(&cause.to_string());
            (cause.vm, format!("gave up: {why}"))
        }
        Event::Done { vm, .. } => return lines.advance(&vm),
    };
    if lines.has(&vm) {
        lines.set(&vm, &text);
    }
}
