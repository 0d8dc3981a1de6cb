//! What every task of a run sees.

use tokio::time::Instant;

use super::event::{Event, Listener};
use super::peers::Peers;
use super::recorder::Recorder;
use super::settings::RunSettings;
use super::stop::RunStop;
use crate::outcome::Outcome;
use crate::spec::plan::AssertionId;

pub(super) struct Shared {
    pub(super) settings: RunSettings,
    pub(super) recorder: Recorder,
    pub(super) stop: RunStop,
    pub(super) peers: Peers,
    pub(super) listener: Listener,
    /// When the run began.
    pub(super) start: Instant,
}

impl Shared {
    /// Keeps an outcome and says so.
    pub(super) fn record(&self, id: &AssertionId, vm: &str, outcome: Outcome) {
        let kind = outcome.verdict.kind();
        self.recorder.record(id.clone(), outcome);
        self.notify(Event::Done { id: id.clone(), vm: vm.to_owned(), kind });
    }

    pub(super) fn notify(&self, event: Event) {
        (self.listener)(event);
    }
}
