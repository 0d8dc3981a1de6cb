//! Collects outcomes; whoever needs one waits for it here.

use std::collections::HashMap;
use std::sync::{Condvar, Mutex, PoisonError};

use crate::outcome::Outcome;
use crate::spec::plan::AssertionId;

/// The outcome of each assertion of a plan, as soon as it has one.
pub(super) struct Recorder {
    outcomes: Mutex<HashMap<AssertionId, Option<Outcome>>>,
    recorded: Condvar,
}

impl Recorder {
    pub(super) fn new(ids: impl IntoIterator<Item = AssertionId>) -> Self {
        let pending = ids.into_iter().map(|id| (id, None)).collect();
        Self { outcomes: Mutex::new(pending), recorded: Condvar::new() }
    }

    pub(super) fn record(&self, id: AssertionId, outcome: Outcome) {
        let mut outcomes = self.outcomes.lock().unwrap_or_else(PoisonError::into_inner);
        outcomes.insert(id, Some(outcome));
        self.recorded.notify_all();
    }

    /// Whether an assertion has no outcome yet.
    pub(super) fn is_pending(&self, id: &AssertionId) -> bool {
        let outcomes = self.outcomes.lock().unwrap_or_else(PoisonError::into_inner);
        outcomes.get(id).is_some_and(Option::is_none)
    }

    /// Waits for an outcome; `None` at once for an id that is not in the plan.
    pub(super) fn wait_for(&self, id: &AssertionId) -> Option<Outcome> {
        let mut outcomes = self.outcomes.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(outcome) = outcomes.get(id)? {
                return Some(outcome.clone());
            }
            outcomes = self.recorded.wait(outcomes).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Waits for all outcomes.
    pub(super) fn wait_for_all(&self) -> HashMap<AssertionId, Outcome> {
        let mut outcomes = self.outcomes.lock().unwrap_or_else(PoisonError::into_inner);
        while outcomes.values().any(Option::is_none) {
            outcomes = self.recorded.wait(outcomes).unwrap_or_else(PoisonError::into_inner);
        }
        let known = outcomes.iter();
        known.filter_map(|(id, outcome)| Some((id.clone(), outcome.clone()?))).collect()
    }
}
