//! Errors of russh as an [`Obstacle`].

use crate::obstacle::{Obstacle, Stage};

impl Obstacle {
    /// The SSH connection is gone.
    pub(crate) fn lost() -> Self {
        Self::passing(Stage::Channel, "the SSH connection was lost").hint(
            "the VM rebooted, or its sshd restarted; \
                 `bootproof lab logs` shows the console of a local VM",
        )
    }
}

/// Errors of russh itself; callers that know the stage of a login set it.
impl From<russh::Error> for Obstacle {
    fn from(error: russh::Error) -> Self {
        match error {
            russh::Error::NoCommonAlgo { kind, theirs, .. } => Self::lasting(
                Stage::Handshake,
                format!("the server shares no {kind:?} algorithm with us; it offers {theirs:?}"),
            ),
            russh::Error::Disconnect
            | russh::Error::HUP
            | russh::Error::SendError
            | russh::Error::RecvError => Self::lost(),
            russh::Error::KeepaliveTimeout | russh::Error::InactivityTimeout => {
                Self::passing(Stage::Timeout, "the connection is dead: keepalives get no answer")
            }
            other => Self::passing(Stage::Channel, other.to_string()),
        }
    }
}
