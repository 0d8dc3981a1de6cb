//! What a probe has to look with.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::time::Instant;

use crate::secrets::Secret;
use crate::ssh::Session;
pub use crate::ssh::exec::Unanswered;

/// The connections, the password and the deadline of one attempt.
#[derive(Clone)]
pub struct ProbeContext {
    /// The VM's connection.
    pub session: Arc<Session>,
    /// Connections to the other VMs that the assertion names; VMs that are down are missing.
    pub others: HashMap<String, Arc<Session>>,
    /// For `become`.
    pub sudo_password: Option<Secret>,
    /// The end of this attempt.
    pub deadline: Instant,
}
