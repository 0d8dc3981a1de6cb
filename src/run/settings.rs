//! How to run.

use std::num::NonZeroUsize;
use std::time::Duration;

/// How to run a plan.
#[derive(Debug, Clone, Copy, Default)]
pub struct RunSettings {
    /// How long to wait for a VM, and to repeat an assertion until it holds, unless the suite says
    /// otherwise. Zero asks once.
    pub wait: Duration,
    /// Ask once, whatever the suite says.
    pub once: bool,
    /// Time limit for the whole run.
    pub deadline: Option<Duration>,
    /// How many VMs to work on at once; `None` adapts to how quickly they let us in.
    pub jobs: Option<NonZeroUsize>,
    /// Collect evidence from VMs on which an assertion is red.
    pub evidence: bool,
}

impl RunSettings {
    /// How long to wait where the suite does not say.
    pub(super) fn default_wait(self) -> Duration {
        if self.once { Duration::ZERO } else { self.wait }
    }
}
