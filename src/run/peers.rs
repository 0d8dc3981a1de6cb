//! What the VMs of a run are beside each other. Each VM is asked once; when all have answered or
//! were given up, they are compared.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::assertion::facts::PeerReading;
use crate::assertion::peers::AllFacts;

pub(super) struct Peers {
    state: Mutex<State>,
    /// How many VMs are still to come.
    missing: watch::Sender<usize>,
}

#[derive(Default)]
struct State {
    facts: AllFacts,
    /// What can be compared, as long as nothing new is known.
    compared: Option<Arc<AllFacts>>,
}

/// One VM that is still to come. Dropping it says that no more will be known of it soon.
pub(super) struct Arrival<'a>(&'a Peers);

impl Peers {
    /// For this many VMs.
    pub(super) fn new(vms: usize) -> Self {
        Self { state: Mutex::default(), missing: watch::Sender::new(vms) }
    }

    /// A VM that will come; once for each VM.
    pub(super) fn arrival(&self) -> Arrival<'_> {
        Arrival(self)
    }

    /// Notes what was read of a VM.
    pub(super) fn note(&self, vm: &str, reading: PeerReading) {
        let mut state = self.state();
        state.facts.note(vm, reading);
        state.compared = None;
    }

    /// Waits until no VM is missing.
    pub(super) async fn complete(&self) {
        // The sender lives as long as we do.
        let _ = self.missing.subscribe().wait_for(|missing| *missing == 0).await;
    }

    /// What is known by now.
    pub(super) fn known(&self) -> Arc<AllFacts> {
        let mut state = self.state();
        if let Some(compared) = &state.compared {
            return compared.clone();
        }
        let mut facts = state.facts.clone();
        facts.compare();
        state.compared.insert(Arc::new(facts)).clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Arrival<'_> {
    fn drop(&mut self) {
        self.0.missing.send_modify(|missing| *missing -= 1);
    }
}
