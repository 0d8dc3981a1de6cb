//! Collects outcomes; whoever needs one waits for it here.

use std::collections::HashMap;
use std::sync::{Condvar, Mutex, PoisonError};

use crate::outcome::Outcome;
use crate::spec::plan::AssertionId;

#[derive(Default)]
pub(super) struct Recorder {
    outcomes: Mutex<HashMap<AssertionId, Outcome>>,
    recorded: Condvar,
}

impl Recorder {
    pub(super) fn record(&self, id: AssertionId, outcome: Outcome) {
        self.outcomes.lock().unwrap_or_else(PoisonError::into_inner).insert(id, outcome);
        self.recorded.notify_all();
    }

    pub(super) fn wait_for(&self, id: &AssertionId) -> Outcome {
        let mut outcomes = self.outcomes.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(outcome) = outcomes.get(id) {
                return outcome.clone();
            }
            outcomes = self.recorded.wait(outcomes).unwrap_or_else(PoisonError::into_inner);
        }
    }
}
