//! What went wrong on the way to a VM, and at which stage.

use thiserror::Error;

use crate::outcome::Stage;

/// A failure of the transport: it says nothing about what an assertion asks.
#[derive(Debug, Clone, Error)]
#[error("{message}")]
pub struct SshError {
    /// Where on the way.
    pub stage: Stage,
    /// What happened.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// Whether it can be different at the next try. A refused login or host key stays refused.
    pub may_pass: bool,
}

impl SshError {
    /// Something that may be different at the next try.
    pub fn passing(stage: Stage, message: impl Into<String>) -> Self {
        Self { stage, message: message.into(), hint: None, may_pass: true }
    }

    /// Something that will not change by trying again.
    pub fn lasting(stage: Stage, message: impl Into<String>) -> Self {
        Self { may_pass: false, ..Self::passing(stage, message) }
    }

    /// The connection is gone.
    pub fn lost() -> Self {
        Self::passing(Stage::Channel, "the SSH connection was lost")
            .hint("the VM rebooted, or its sshd was restarted; `bootproof lab logs` shows the console of a local VM")
    }

    /// The same with advice.
    #[must_use]
    pub fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }
}

/// What russh reports by itself, outside of the stages that are told apart by their callers.
impl From<russh::Error> for SshError {
    fn from(error: russh::Error) -> Self {
        match error {
            russh::Error::NoCommonAlgo { kind, theirs, .. } => Self::lasting(
                Stage::Handshake,
                format!("no {kind:?} algorithm in common; the server offers {theirs:?}"),
            ),
            russh::Error::Disconnect
            | russh::Error::HUP
            | russh::Error::SendError
            | russh::Error::RecvError => Self::lost(),
            russh::Error::KeepaliveTimeout | russh::Error::InactivityTimeout => {
                Self::passing(Stage::Timeout, "the connection is dead: keepalives are not answered")
            }
            other => Self::passing(Stage::Channel, other.to_string()),
        }
    }
}
