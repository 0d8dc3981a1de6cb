//! What every task of a run sees.

use tokio::time::Instant;

use super::event::{Event, Listener};
use super::recorder::Recorder;
use super::settings::RunSettings;
use super::stop::RunStop;

pub(super) struct Shared {
    pub(super) settings: RunSettings,
    pub(super) recorder: Recorder,
    pub(super) stop: RunStop,
    pub(super) listener: Listener,
    /// When the run began.
    pub(super) start: Instant,
}

impl Shared {
    /// Until when to wait for a VM where nothing else is asked for.
    pub(super) fn patience_ends(&self) -> Instant {
        self.start + self.settings.default_wait()
    }

    pub(super) fn notify(&self, event: Event) {
        (self.listener)(event);
    }
}
