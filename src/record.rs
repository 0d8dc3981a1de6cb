//! What was seen during a run, as plain data: [`crate::run`] writes it, [`crate::report`] reads it.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::assertion::facts::Facts;
use crate::health::evidence::EvidenceItem;
use crate::health::identity::SystemIdentity;
use crate::outcome::{Cause, Outcome};
use crate::spec::plan::AssertionId;

/// A finished run.
pub struct RunRecord {
    /// The outcome of each assertion of the plan.
    pub outcomes: HashMap<AssertionId, Outcome>,
    /// What was seen of each VM that the run connected to.
    pub vms: HashMap<String, VmRecord>,
    /// When it began.
    pub started: DateTime<Utc>,
    /// When every VM was looked back at.
    pub ended: DateTime<Utc>,
    /// Why it ended early, if it did.
    pub stop: Option<Stop>,
}

/// What was seen of a VM.
#[derive(Debug, Clone, Default)]
pub struct VmRecord {
    /// The SSH server's identification, such as `SSH-2.0-OpenSSH_10.0p2 Debian-7`.
    pub banner: Option<String>,
    /// SHA256 fingerprint of its host key.
    pub host_key: Option<String>,
    /// Why the host key was trusted.
    pub trust: Option<Trust>,
    /// How it came up.
    pub timeline: Timeline,
    /// How often the run tried to log in.
    pub connects: u32,
    /// Which machine it is.
    pub identity: SystemIdentity,
    /// What is compared between VMs; empty unless peers are checked.
    pub facts: Facts,
    /// What of it could not be read.
    pub unread: Vec<Unread>,
    /// How many CPUs it has, as far as is known.
    pub cpus: Option<usize>,
    /// What its login shell prints around each command; nothing of it counts.
    pub noise: Vec<ShellNoise>,
    /// How quickly it answered commands.
    pub pace: Option<Pace>,
    /// Why its verdicts are not reliable: it rebooted, restarted services or ran out of memory.
    pub unstable: Vec<String>,
    /// Services that failed or do not run although they are enabled, each with its state; empty
    /// unless an assertion is red.
    pub suspects: Vec<SuspectService>,
    /// What an operator would look at next; empty unless an assertion is red.
    pub evidence: Vec<EvidenceItem>,
    /// Why the run gave up on it.
    pub cause: Option<Cause>,
}

/// A fact of a VM that could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Unread {
    /// `identity` or `clock`.
    pub fact: String,
    /// Why.
    pub cause: Cause,
}

/// What a login shell prints around each command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShellNoise {
    /// Where and when, such as `on standard output before each command`.
    pub place: String,
    /// What it prints.
    pub text: String,
}

/// How quickly a VM answered commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// How many answers there were.
    pub answers: usize,
    /// Half of the answers took at most this long.
    pub median: Duration,
    /// The slowest answer.
    pub slowest: Duration,
    /// How many questions it had to answer at once at most.
    pub at_once: usize,
}

/// A service that failed, or does not run although it is enabled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SuspectService {
    /// Its unit, such as `redis-server.service`.
    pub unit: String,
    /// Its state in one line, such as `failed (exit-code), restarted 5 times`.
    pub state: String,
}

/// When a VM reached each step of its boot, from the start of the run.
#[derive(Debug, Clone, Default)]
pub struct Timeline {
    /// The first TCP connection.
    pub tcp: Option<Duration>,
    /// The SSH banner.
    pub banner: Option<Duration>,
    /// The login.
    pub login: Option<Duration>,
    /// The end of the boot.
    pub running: Option<Duration>,
    /// What systemd said last about the boot.
    pub system: Option<String>,
}

/// Why a run ended early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// It reached its deadline.
    Deadline(Duration),
    /// SIGINT.
    Interrupt,
    /// SIGTERM.
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Trust {
    /// The inventory names its fingerprint.
    Pinned,
    /// It is in a known_hosts file.
    Known,
    /// The host was unknown; this run accepted its key and wrote it down.
    AcceptedOnce,
}
