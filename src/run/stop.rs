//! What can end a run early: its deadline, and signals.

use std::time::Duration;

use crate::record::Stop;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::time::sleep;

/// Tells every task of a run to end.
pub(super) struct StopSwitch(watch::Sender<Option<Stop>>);

impl Default for StopSwitch {
    fn default() -> Self {
        Self(watch::Sender::new(None))
    }
}

impl StopSwitch {
    /// Starts to watch for signals and the deadline; needs a runtime around it.
    pub(super) fn arm(&self, deadline: Option<Duration>) -> std::io::Result<()> {
        for (kind, reason) in
            [(SignalKind::interrupt(), Stop::Interrupt), (SignalKind::terminate(), Stop::Terminate)]
        {
            let mut signals = signal(kind)?;
            let switch = self.0.clone();
            tokio::spawn(async move {
                while signals.recv().await.is_some() {
                    pull(&switch, reason);
                }
            });
        }
        if let Some(span) = deadline {
            let switch = self.0.clone();
            tokio::spawn(async move {
                sleep(span).await;
                pull(&switch, Stop::Deadline(span));
            });
        }
        Ok(())
    }

    /// Why the run was ended, if it was.
    pub(super) fn reason(&self) -> Option<Stop> {
        *self.0.borrow()
    }

    /// Ends when the run must end.
    pub(super) async fn pulled(&self) -> Stop {
        let mut watch = self.0.subscribe();
        loop {
            if let Some(reason) = *watch.borrow_and_update() {
                return reason;
            }
            if watch.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
}

/// The first reason stays.
fn pull(switch: &watch::Sender<Option<Stop>>, reason: Stop) {
    switch.send_if_modified(|stop| {
        let first = stop.is_none();
        stop.get_or_insert(reason);
        first
    });
}
