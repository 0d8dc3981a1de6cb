//! What can end a run early: its deadline, and signals to the process.

use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::record::Stop;

/// The signals that end a process. They stay watched for as long as this lives, also between runs.
pub(super) struct Signals(watch::Sender<Option<Stop>>);

impl Signals {
    /// Starts to watch; needs a runtime around it.
    pub(super) fn watch() -> std::io::Result<Self> {
        let received = watch::Sender::new(None);
        let watched = [
            (SignalKind::interrupt(), Stop::Interrupt),
            (SignalKind::terminate(), Stop::Terminate),
        ];
        for (kind, reason) in watched {
            let mut signals = signal(kind)?;
            let received = received.clone();
            tokio::spawn(async move {
                while signals.recv().await.is_some() {
                    set_once(&received, reason);
                }
            });
        }
        Ok(Self(received))
    }
}

/// Tells every task of one run to end.
pub(super) struct RunStop {
    reason: watch::Sender<Option<Stop>>,
    watching: JoinHandle<()>,
}

impl RunStop {
    /// Starts to wait for a signal or the end of `deadline`; needs a runtime around it.
    pub(super) fn arm(signals: &Signals, deadline: Option<Duration>) -> Self {
        let reason = watch::Sender::new(None);
        let (setting, mut received) = (reason.clone(), signals.0.subscribe());
        let watching = tokio::spawn(async move {
            let stop = tokio::select! {
                stop = first(&mut received) => stop,
                stop = deadline_passed(deadline) => stop,
            };
            set_once(&setting, stop);
        });
        Self { reason, watching }
    }

    /// Why the run was ended, if it was.
    pub(super) fn reason(&self) -> Option<Stop> {
        *self.reason.borrow()
    }

    /// Ends when the run must end.
    pub(super) async fn requested(&self) -> Stop {
        first(&mut self.reason.subscribe()).await
    }
}

impl Drop for RunStop {
    fn drop(&mut self) {
        self.watching.abort();
    }
}

async fn deadline_passed(deadline: Option<Duration>) -> Stop {
    match deadline {
        Some(span) => {
            sleep(span).await;
            Stop::Deadline(span)
        }
        None => std::future::pending().await,
    }
}

async fn first(reasons: &mut watch::Receiver<Option<Stop>>) -> Stop {
    loop {
        if let Some(reason) = *reasons.borrow_and_update() {
            return reason;
        }
        if reasons.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// The first reason stays.
fn set_once(stop: &watch::Sender<Option<Stop>>, reason: Stop) {
    stop.send_if_modified(|stop| {
        let first = stop.is_none();
        stop.get_or_insert(reason);
        first
    });
}
