//! What outlives a run: the tokio runtime and the watched signals.

use tokio::runtime::{Handle, Runtime};

use super::stop::Signals;

/// Runs plans, one after the other or at once. A process makes one and keeps it.
pub struct Engine {
    /// `None` only while it is dropped.
    runtime: Option<Runtime>,
    signals: Signals,
}

impl Engine {
    /// Starts the runtime and watches SIGINT and SIGTERM until the engine is dropped.
    pub fn start() -> std::io::Result<Self> {
        let mut building = tokio::runtime::Builder::new_multi_thread();
        let runtime = building.worker_threads(2).enable_all().build()?;
        let signals = {
            let _context = runtime.enter();
            Signals::watch()?
        };
        Ok(Self { runtime: Some(runtime), signals })
    }

    pub(super) fn signals(&self) -> &Signals {
        &self.signals
    }

    /// # Panics
    /// Never: the runtime is there until the engine is dropped.
    pub(super) fn handle(&self) -> Handle {
        self.runtime.as_ref().expect("the runtime lives as long as the engine").handle().clone()
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // A name lookup that hangs must not keep the process alive.
            runtime.shutdown_background();
        }
    }
}
