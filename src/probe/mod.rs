//! Looks at VMs. The only I/O of an assertion; nothing here judges.
//!
//! A word of the suite is a file here, as in [`crate::assertion`].

mod command_output;
pub mod health;
mod http_responds;
mod peer;
mod port_listening;
mod wire;

use crate::obstacle::Obstacle;
use std::collections::HashMap;
use std::sync::Arc;

use thiserror::Error;
use tokio::time::Instant;

use crate::assertion::{Expectation, Observation};
use crate::command::CommandResult;
use crate::secrets::Secret;
use crate::ssh::Session;
use crate::ssh::exec::ExecError;

/// From where, and until when, is looked.
#[derive(Clone)]
pub struct Vantage {
    /// The VM's connection.
    pub session: Arc<Session>,
    /// The connections to other VMs that it is about, by name; those that could not be had are missing.
    pub others: HashMap<String, Arc<Session>>,
    /// For `become`.
    pub sudo_password: Option<Secret>,
    /// The end of this attempt.
    pub deadline: Instant,
}

/// Could not look.
#[derive(Debug, Clone, Error)]
#[error("{error}")]
pub struct ProbeError {
    /// Why.
    pub error: Obstacle,
    /// What a command had printed until then.
    pub partial: Option<CommandResult>,
}

impl From<Obstacle> for ProbeError {
    fn from(error: Obstacle) -> Self {
        Self { error, partial: None }
    }
}

impl From<ExecError> for ProbeError {
    fn from(failed: ExecError) -> Self {
        Self { error: failed.error, partial: Some(failed.partial) }
    }
}

/// Looks at what `expectation` is about.
pub async fn observe(expectation: &Expectation, from: &Vantage) -> Result<Observation, ProbeError> {
    match expectation {
        Expectation::PortListening(_) => {
            port_listening::look(from).await.map(Observation::Listeners)
        }
        Expectation::CommandOutput(wanted) => {
            command_output::look(wanted, from).await.map(Observation::Command)
        }
        Expectation::HttpResponds(wanted) => {
            http_responds::look(wanted, from).await.map(Observation::Http)
        }
        Expectation::Wire(wanted) => wire::look(wanted, from).await.map(Observation::Wire),
        Expectation::Peer(wanted) => peer::look(wanted, from).await.map(Observation::Peer),
    }
}
