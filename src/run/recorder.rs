//! Collects outcomes; whoever needs one waits for it here.

use std::collections::HashMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use crate::outcome::Outcome;
use crate::spec::plan::AssertionId;

/// The outcome of each assertion of a plan, as soon as it has one.
pub(super) struct Recorder {
    state: Mutex<State>,
    recorded: Condvar,
}

struct State {
    outcomes: HashMap<AssertionId, Option<Outcome>>,
    pending: usize,
}

impl Recorder {
    pub(super) fn new(ids: impl IntoIterator<Item = AssertionId>) -> Self {
        let outcomes: HashMap<_, _> = ids.into_iter().map(|id| (id, None)).collect();
        let pending = outcomes.len();
        Self { state: Mutex::new(State { outcomes, pending }), recorded: Condvar::new() }
    }

    pub(super) fn record(&self, id: AssertionId, outcome: Outcome) {
        let mut state = self.state();
        if let Some(None) = state.outcomes.insert(id, Some(outcome)) {
            state.pending -= 1;
        }
        self.recorded.notify_all();
    }

    /// Whether an assertion has no outcome yet.
    pub(super) fn is_pending(&self, id: &AssertionId) -> bool {
        self.state().outcomes.get(id).is_some_and(Option::is_none)
    }

    /// Waits for an outcome; `None` at once for an id that is not in the plan.
    pub(super) fn wait_for(&self, id: &AssertionId) -> Option<Outcome> {
        let mut state = self.state();
        loop {
            if let Some(outcome) = state.outcomes.get(id)? {
                return Some(outcome.clone());
            }
            state = self.recorded.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Waits for all outcomes, and gives them away: nobody can wait for one afterwards.
    pub(super) fn take_all(&self) -> HashMap<AssertionId, Outcome> {
        let mut state = self.state();
        while state.pending > 0 {
            state = self.recorded.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let known = std::mem::take(&mut state.outcomes).into_iter();
        known.filter_map(|(id, outcome)| Some((id, outcome?))).collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
