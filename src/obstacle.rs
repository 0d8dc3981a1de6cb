//! Why something could not be looked at, and at which stage. Every layer below a run reports it:
//! SSH, sudo, a missing tool, jq.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The stage at which bootproof failed to get an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// The name has no address.
    Resolve,
    /// No TCP connection.
    Tcp,
    /// No SSH banner on it.
    Banner,
    /// No agreement on keys and ciphers.
    Handshake,
    /// The host key is not the one that was expected.
    HostKey,
    /// The login was refused.
    Auth,
    /// The login shell did not run a command as it should.
    Shell,
    /// sudo was refused.
    Sudo,
    /// No channel, or it broke.
    Channel,
    /// The time limit passed.
    Timeout,
    /// A program is not installed on the VM.
    MissingTool,
    /// The answer could not be read.
    Answer,
    /// bootproof itself failed.
    Internal,
}

impl Stage {
    /// The word in reports and on the screen.
    pub fn word(self) -> &'static str {
        match self {
            Self::Resolve => "resolve",
            Self::Tcp => "tcp",
            Self::Banner => "banner",
            Self::Handshake => "handshake",
            Self::HostKey => "host-key",
            Self::Auth => "auth",
            Self::Shell => "shell",
            Self::Sudo => "sudo",
            Self::Channel => "channel",
            Self::Timeout => "timeout",
            Self::MissingTool => "missing-tool",
            Self::Answer => "answer",
            Self::Internal => "internal",
        }
    }
}

/// Why an assertion could not look: it says nothing about whether what it expects holds.
#[derive(Debug, Clone, Error)]
#[error("{message}")]
pub struct Obstacle {
    /// Where on the way.
    pub stage: Stage,
    /// What happened.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// Whether it can be different at the next attempt. A refused login or host key stays refused.
    pub may_pass: bool,
}

impl Obstacle {
    /// Something that may be different at the next attempt.
    pub fn passing(stage: Stage, message: impl Into<String>) -> Self {
        Self { stage, message: message.into(), hint: None, may_pass: true }
    }

    /// Something that will not change by trying again.
    pub fn lasting(stage: Stage, message: impl Into<String>) -> Self {
        Self { may_pass: false, ..Self::passing(stage, message) }
    }

    /// The same with advice.
    #[must_use]
    pub fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }
}
