//! What was seen of one VM.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::redact::Redactor;
use super::text::shortened;
use crate::assertion::facts::Facts;
use crate::health::evidence::EvidenceItem;
use crate::outcome::Cause;
use crate::record::{Pace, ShellNoise, SuspectService, Timeline, Trust, Unread, VmRecord};
use crate::spec::inventory::Vm;

/// What was seen of one VM.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct VmReport {
    /// Its name.
    pub name: String,
    /// Its role in the lab.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// The `host:port` that bootproof connects to.
    pub address: String,
    /// Its address on the lab's own network.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lab_address: Option<String>,
    /// The SSH server's identification.
    pub banner: Option<String>,
    /// SHA256 fingerprint of its host key.
    pub host_key: Option<String>,
    /// Why the host key was trusted.
    pub host_key_trust: Option<Trust>,
    /// From the start of the run to the login, in milliseconds.
    pub ready_ms: Option<u64>,
    /// How it came up.
    pub timeline: TimelineReport,
    /// How often the run tried to log in; 0 if no assertion needed this VM.
    pub connects: u32,
    /// `/etc/machine-id`.
    pub machine_id: Option<String>,
    /// The kernel's id of this boot.
    pub boot_id: Option<String>,
    /// The kernel's release.
    pub kernel: Option<String>,
    /// `PRETTY_NAME` of `/etc/os-release`.
    pub os_release: Option<String>,
    /// What is compared between VMs; absent unless peers are checked.
    #[serde(default, skip_serializing_if = "Facts::is_empty")]
    pub facts: Facts,
    /// What of it could not be read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unread: Vec<Unread>,
    /// How many CPUs it has.
    pub cpus: Option<usize>,
    /// How quickly it answered; null if it was not asked.
    pub pace: Option<PaceReport>,
    /// What is odd about it and changes no verdict: its login shell prints something by itself.
    pub warnings: Vec<String>,
    /// Why it cannot be asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
    /// Why its verdicts are not reliable: it rebooted, restarted services or ran out of memory.
    pub unstable: Vec<String>,
    /// Services that failed, or do not run although they are enabled; empty unless an assertion is
    /// red.
    pub suspects: Vec<Suspect>,
    /// What an operator would look at next; empty unless an assertion is red.
    pub evidence: Vec<Evidence>,
}

/// How quickly the VM answered commands. The times of a slow VM say how close it came to a time
/// limit.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, JsonSchema)]
pub struct PaceReport {
    /// How many commands it answered.
    pub answers: usize,
    /// Half of the answers took at most this long, in milliseconds.
    pub median_ms: u64,
    /// The slowest answer, in milliseconds.
    pub slowest_ms: u64,
    /// How many questions it had to answer at once at most.
    pub at_once: usize,
}

impl PaceReport {
    fn new(pace: Pace) -> Self {
        Self {
            answers: pace.answers,
            median_ms: milliseconds(pace.median),
            slowest_ms: milliseconds(pace.slowest),
            at_once: pace.at_once,
        }
    }
}

pub(super) fn milliseconds(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// When the VM reached each step of its boot, in milliseconds from the start of the run.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
pub struct TimelineReport {
    /// The first TCP connection.
    pub tcp_ms: Option<u64>,
    /// The SSH banner.
    pub banner_ms: Option<u64>,
    /// The login.
    pub login_ms: Option<u64>,
    /// The end of the boot.
    pub running_ms: Option<u64>,
    /// What systemd says about the boot: `starting`, `running`, `degraded`, ...
    pub system: Option<String>,
}

impl TimelineReport {
    fn new(timeline: &Timeline, redactor: &Redactor) -> Self {
        let ms = |span: Option<Duration>| span.map(milliseconds);
        Self {
            tcp_ms: ms(timeline.tcp),
            banner_ms: ms(timeline.banner),
            login_ms: ms(timeline.login),
            running_ms: ms(timeline.running),
            system: timeline.system.as_deref().map(|state| redactor.line(state)),
        }
    }
}

/// A service that failed, or does not run although it is enabled.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Suspect {
    /// `redis-server.service`.
    pub service: String,
    /// `failed (exit-code), restarted 5 times`.
    pub state: String,
}

/// One item of evidence.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Evidence {
    /// A service, or `sockets`, `addresses`, `disk`, `memory`.
    pub about: String,
    /// What the VM printed: the last 8 KiB.
    pub text: String,
}

/// How many characters of what a login shell prints are reported.
const NOISE_LIMIT: usize = 200;

fn warning(noise: &ShellNoise, redactor: &Redactor) -> String {
    let ShellNoise { place, text } = noise;
    let text = redactor.line(text);
    let text = shortened(&text, NOISE_LIMIT);
    format!("its login shell prints {text:?} {place}; bootproof ignores it")
}

impl VmReport {
    pub(super) fn new(vm: &Vm, record: Option<&VmRecord>, redactor: &Redactor) -> Self {
        let record = record.cloned().unwrap_or_default();
        let clean = |text: Option<String>| text.map(|text| redactor.text(&text));
        let timeline = TimelineReport::new(&record.timeline, redactor);
        let suspect = |suspect: &SuspectService| Suspect {
            service: redactor.line(&suspect.unit),
            state: redactor.line(&suspect.state),
        };
        let item = |item: &EvidenceItem| Evidence {
            about: redactor.line(&item.about),
            text: redactor.text(&item.text),
        };
        let unread = |it: &Unread| Unread { cause: redactor.cause(it.cause.clone()), ..it.clone() };
        Self {
            name: vm.name.clone(),
            role: vm.role.clone(),
            address: vm.ssh.address(),
            lab_address: vm.address.clone(),
            banner: clean(record.banner),
            host_key: record.host_key,
            host_key_trust: record.trust,
            ready_ms: timeline.login_ms,
            timeline,
            connects: record.connects,
            machine_id: clean(record.identity.machine_id),
            boot_id: clean(record.identity.boot_id),
            kernel: clean(record.identity.kernel),
            os_release: clean(record.identity.os_release),
            facts: record.facts,
            unread: record.unread.iter().map(unread).collect(),
            cpus: record.cpus,
            pace: record.pace.map(PaceReport::new),
            warnings: record.noise.iter().map(|noise| warning(noise, redactor)).collect(),
            cause: record.cause.map(|cause| redactor.cause(cause)),
            unstable: record.unstable.iter().map(|line| redactor.line(line)).collect(),
            suspects: record.suspects.iter().map(suspect).collect(),
            evidence: record.evidence.iter().map(item).collect(),
        }
    }

    /// The report of the same VM with what `seen` says of it. What the inventory says stays.
    pub(super) fn with_what_was_seen(self, seen: &Self) -> Self {
        Self {
            name: self.name,
            role: self.role,
            address: self.address,
            lab_address: self.lab_address,
            ..seen.clone()
        }
    }
}
