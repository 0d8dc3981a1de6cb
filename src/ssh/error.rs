//! What russh reports, as an [`Obstacle`].

use crate::obstacle::{Obstacle, Stage};

impl Obstacle {
    /// The SSH connection is gone.
    pub(crate) fn lost() -> Self {
        Self::passing(Stage::Channel, "the SSH connection was lost")
            .hint("the VM rebooted, or its sshd was restarted; `bootproof lab logs` shows the console of a local VM")
    }
}

/// What russh reports by itself, outside of the stages that are told apart by their callers.
impl From<russh::Error> for Obstacle {
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
