//! What happens during a run, for whoever watches it.

use std::sync::Arc;

use crate::outcome::{Cause, VerdictKind};
use crate::spec::plan::AssertionId;

/// Something that happened.
#[derive(Debug, Clone)]
pub enum Event {
    /// A VM cannot be logged in to yet.
    Waiting {
        /// The VM's name.
        vm: String,
        /// What the last attempt met.
        why: String,
    },
    /// A VM is logged in to.
    Ready {
        /// The VM's name.
        vm: String,
    },
    /// The run has given up on a VM.
    Lost {
        /// Why, and which VM.
        cause: Cause,
    },
    /// An assertion has its verdict.
    Done {
        /// The assertion.
        id: AssertionId,
        /// Its VM.
        vm: String,
        /// Its verdict.
        kind: VerdictKind,
    },
}

/// Receives every [`Event`], from any thread.
pub type Listener = Arc<dyn Fn(Event) + Send + Sync>;
