//! What was seen during a run, as plain data: [`crate::run`] writes it, [`crate::report`] reads it.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::Serialize;

use crate::health::evidence::EvidenceItem;
use crate::health::identity::SystemIdentity;
use crate::outcome::{Cause, Outcome};
use crate::spec::plan::AssertionId;

/// What a finished run has seen.
pub struct RunRecord {
    /// What became of each assertion of the plan.
    pub outcomes: HashMap<AssertionId, Outcome>,
    /// What was seen of each VM that was connected to.
    pub vms: HashMap<String, VmRecord>,
    /// When it began.
    pub started: DateTime<Utc>,
    /// When it ended.
    pub ended: DateTime<Utc>,
    /// Why it ended early, if it did.
    pub stop: Option<Stop>,
}

/// What was seen of a VM.
#[derive(Debug, Clone, Default)]
pub struct VmRecord {
    /// The server's identification.
    pub banner: Option<String>,
    /// Fingerprint of its host key.
    pub host_key: Option<String>,
    /// Why the host key was trusted.
    pub trust: Option<Trust>,
    /// How it came up.
    pub timeline: Timeline,
    /// How often it was tried to log in.
    pub connects: u32,
    /// Which machine it is.
    pub identity: SystemIdentity,
    /// Why what was seen of it is not to be relied on: it rebooted, services were restarted, memory ran out.
    pub unstable: Vec<String>,
    /// Services that failed or do not run although they should, each with its state; only when something is red.
    pub suspects: Vec<(String, String)>,
    /// What an operator would look at next; only when something is red.
    pub evidence: Vec<EvidenceItem>,
    /// Why it was given up.
    pub cause: Option<Cause>,
}

/// When a VM had come how far, from the start of the run.
#[derive(Debug, Clone, Default)]
pub struct Timeline {
    /// A TCP connection.
    pub tcp: Option<Duration>,
    /// The SSH banner.
    pub banner: Option<Duration>,
    /// The login.
    pub login: Option<Duration>,
    /// The end of the boot.
    pub running: Option<Duration>,
    /// What systemd said of the boot last.
    pub system: Option<String>,
}

/// Why a run ended early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// Its deadline passed.
    Deadline(Duration),
    /// SIGINT came.
    Interrupt,
    /// SIGTERM came.
    Terminate,
}

impl fmt::Display for Stop {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Deadline(span) => {
                write!(formatter, "the deadline of {} passed", humantime::format_duration(*span))
            }
            Self::Interrupt => formatter.write_str("interrupted (SIGINT)"),
            Self::Terminate => formatter.write_str("terminated (SIGTERM)"),
        }
    }
}

/// Why a host key was trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Trust {
    /// The inventory names its fingerprint.
    Pinned,
    /// It stands in a known_hosts file.
    Known,
    /// The host was unknown; its key was accepted and written down in this run.
    AcceptedOnce,
}
