//! The report: one record of a run, from which every format is rendered.
//!
//! Formats are pure functions of [`Report`] and know nothing of each other; [`store`] alone writes files.

pub mod json;
pub mod junit;
pub mod redact;
mod spelling;
pub mod store;
pub mod terminal;
pub mod text;

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use schemars::JsonSchema;
use serde::Serialize;

use crate::assertion::Expectation;
use crate::assertion::port_listening::Protocol;
use crate::assertion::wire::{Wire, WireSeen};
use crate::health::evidence::EvidenceItem;
use crate::outcome::{Attempt, Cause, Outcome, Output, Stream, Verdict, VerdictKind};
use crate::record::Trust;
use crate::record::{RunRecord, Timeline, VmRecord};
use crate::spec::coverage::{Coverage, Uncovered};
use crate::spec::inventory::Vm;
use crate::spec::plan::{AssertionId, Plan, PlannedAssertion};
use redact::Redactor;

/// Raised when a reader of an older report would misread a newer one.
pub const SCHEMA_VERSION: u32 = 1;

/// A whole run.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[schemars(title = "bootproof report")]
pub struct Report {
    /// Version of this format.
    pub schema_version: u32,
    /// What wrote it.
    pub tool: Tool,
    /// The lab's name.
    pub lab: String,
    /// The inventory file, as given.
    pub inventory: String,
    /// The suite files, as given.
    pub suites: Vec<String>,
    /// Start of the run, RFC 3339 in UTC.
    pub started: String,
    /// End of the run, RFC 3339 in UTC.
    pub ended: String,
    /// How long it took, in milliseconds.
    pub duration_ms: u64,
    /// Whether the run came to its end.
    pub complete: bool,
    /// Why it did not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stopped: Option<String>,
    /// How many assertions got which verdict.
    pub totals: Totals,
    /// How much of what the inventory declares is looked at.
    pub coverage: CoverageReport,
    /// The VMs, in the order of the inventory.
    pub vms: Vec<VmReport>,
    /// The assertions, in the order of the suites.
    pub results: Vec<ResultRow>,
}

/// What wrote a report.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Tool {
    /// `bootproof`.
    pub name: String,
    /// Its version.
    pub version: String,
}

/// How many assertions got which verdict.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Totals {
    /// All of the plan.
    pub assertions: usize,
    /// Looked, and it is so.
    pub passed: usize,
    /// Looked, and it is not so.
    pub failed: usize,
    /// Could not look.
    pub errored: usize,
    /// What it depends on could not be reached.
    pub blocked: usize,
    /// The run ended before.
    pub not_run: usize,
    /// The user did not select it.
    pub not_selected: usize,
}

impl Totals {
    /// Counts verdicts.
    pub fn count(kinds: impl IntoIterator<Item = VerdictKind>) -> Self {
        let mut totals = Self::default();
        for kind in kinds {
            totals.assertions += 1;
            *match kind {
                VerdictKind::Passed => &mut totals.passed,
                VerdictKind::Failed => &mut totals.failed,
                VerdictKind::Errored => &mut totals.errored,
                VerdictKind::Blocked => &mut totals.blocked,
                VerdictKind::NotRun => &mut totals.not_run,
                VerdictKind::NotSelected => &mut totals.not_selected,
            } += 1;
        }
        totals
    }
}

/// How much of what the inventory declares is looked at, whatever was selected.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct CoverageReport {
    /// How many VMs and ports are declared.
    pub declared: usize,
    /// Those at which no assertion looks.
    pub uncovered: Vec<UncoveredRow>,
    /// Whether they make the run red.
    pub required: bool,
}

/// A VM or a port at which no assertion looks.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct UncoveredRow {
    /// `uncovered::redis::9121`.
    pub id: String,
    /// The VM's name.
    pub vm: String,
    /// `no assertion looks at 9121/tcp of redis`.
    pub message: String,
}

impl CoverageReport {
    /// Of a plan.
    pub fn of(plan: &Plan) -> Self {
        let Coverage { declared, uncovered } = Coverage::of(plan);
        let row = |one: &Uncovered| UncoveredRow {
            id: format!("uncovered::{}", one.slug()),
            vm: one.vm.clone(),
            message: format!("no assertion looks at {}", one.describe()),
        };
        Self { declared, uncovered: uncovered.iter().map(row).collect(), required: false }
    }

    /// `10 of 10 declared VMs and ports are looked at`.
    pub fn describe(&self) -> String {
        let covered = self.declared - self.uncovered.len();
        format!("{covered} of {} declared VMs and ports are looked at", self.declared)
    }

    /// What makes the run red.
    pub fn failures(&self) -> &[UncoveredRow] {
        if self.required { &self.uncovered } else { &[] }
    }
}

/// What was seen of one VM.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct VmReport {
    /// Its name.
    pub name: String,
    /// What it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// `host:port` that was connected to.
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
    /// How often it was tried to log in; 0 when no assertion of it was selected.
    pub connects: u32,
    /// `/etc/machine-id`.
    pub machine_id: Option<String>,
    /// The kernel's id of this boot.
    pub boot_id: Option<String>,
    /// The kernel's release.
    pub kernel: Option<String>,
    /// `PRETTY_NAME` of `/etc/os-release`.
    pub os_release: Option<String>,
    /// Why it could not be reached.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
    /// Why what was seen of it is not to be relied on: it rebooted, services were restarted, memory ran out.
    pub unstable: Vec<String>,
    /// Services that failed, or do not run although they are enabled; only when something is red.
    pub suspects: Vec<Suspect>,
    /// What an operator would look at next; only when something is red.
    pub evidence: Vec<Evidence>,
}

/// When a VM had come how far, in milliseconds from the start of the run.
#[derive(Debug, Clone, Default, Serialize, JsonSchema)]
pub struct TimelineReport {
    /// A TCP connection.
    pub tcp_ms: Option<u64>,
    /// The SSH banner.
    pub banner_ms: Option<u64>,
    /// The login.
    pub login_ms: Option<u64>,
    /// The end of the boot.
    pub running_ms: Option<u64>,
    /// What systemd says of the boot: `starting`, `running`, `degraded`, ...
    pub system: Option<String>,
}

impl TimelineReport {
    fn new(timeline: &Timeline, redactor: &Redactor) -> Self {
        let ms =
            |span: Option<Duration>| span.and_then(|span| u64::try_from(span.as_millis()).ok());
        Self {
            tcp_ms: ms(timeline.tcp),
            banner_ms: ms(timeline.banner),
            login_ms: ms(timeline.login),
            running_ms: ms(timeline.running),
            system: timeline.system.as_deref().map(|state| redactor.line(state)),
        }
    }
}

/// A service that is not as it should be.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Suspect {
    /// `redis-server.service`.
    pub service: String,
    /// `failed (exit-code), restarted 5 times`.
    pub state: String,
}

/// One piece of evidence.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Evidence {
    /// A service, or `sockets`, `addresses`, `disk`, `memory`.
    pub about: String,
    /// What the VM printed; the end of it, at most 8 KiB.
    pub text: String,
}

/// What became of one assertion.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct ResultRow {
    /// Its id, the same in every run and every format.
    pub id: String,
    /// The scenario's name.
    pub scenario: String,
    /// The test's name.
    pub test: String,
    /// The VM's name.
    pub vm: String,
    /// The assertion's type.
    #[serde(rename = "type")]
    pub kind: String,
    /// One line about it, from the suite.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The suite file.
    pub file: String,
    /// Its line in the suite file.
    pub line: usize,
    /// The verdict.
    pub verdict: VerdictKind,
    /// Why it is not `passed`.
    pub message: Option<String>,
    /// What was expected.
    pub expected: String,
    /// What was seen instead.
    pub actual: Option<String>,
    /// Why it could not be looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
    /// What is red elsewhere and explains it, a line each: the port that it connects to, or the VM.
    pub because: Vec<String>,
    /// The edge, if it is one of the inventory's `connections`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wire: Option<WireRow>,
    /// Every try.
    pub attempts: Vec<Attempt>,
    /// From the first try's start to the last one's end, in milliseconds.
    pub duration_ms: u64,
    /// What was printed at the last try.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<Output>,
}

/// An edge of the inventory's `connections`, and what its two ends said.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct WireRow {
    /// The VM that connects.
    pub from: String,
    /// The VM that answers.
    pub to: String,
    /// Its port.
    pub port: u16,
    /// `tcp` or `udp`.
    pub protocol: String,
    /// What the edge is for.
    pub intent: Option<String>,
    /// There must be no way.
    pub deny: bool,
    /// The addresses on which the port listens; null when it is not known.
    pub listens_on: Option<Vec<IpAddr>>,
    /// Whether it was reached; null when it was not tried.
    pub reached: Option<bool>,
}

impl WireRow {
    fn new(wire: &Wire, seen: Option<&WireSeen>) -> Self {
        let mut listens_on = seen.and_then(|seen| seen.listens_on(wire.port, wire.protocol));
        if let Some(addresses) = &mut listens_on {
            addresses.sort();
            addresses.dedup();
        }
        Self {
            from: wire.from.clone(),
            to: wire.to.clone(),
            port: wire.port,
            protocol: wire.protocol.word().to_owned(),
            intent: wire.intent.clone(),
            deny: wire.deny,
            listens_on,
            // Nobody can see from outside whether a UDP service is reached.
            reached: seen
                .filter(|_| wire.protocol == Protocol::Tcp)
                .map(|seen| seen.unreached.is_none()),
        }
    }
}

impl Report {
    /// The report of a finished run, with every secret masked.
    pub fn new(plan: &Plan, finished: &RunRecord, redactor: &Redactor) -> Self {
        let row = |assertion: &PlannedAssertion| {
            let outcome = finished.outcomes.get(&assertion.id);
            let missing =
                || Outcome::without_attempt(Verdict::NotRun("it has no outcome".to_owned()));
            let outcome = outcome.cloned().unwrap_or_else(missing);
            let because = because(plan, assertion, |id| finished.outcomes.get(id).cloned());
            ResultRow::new(assertion, &outcome, &because, redactor)
        };
        let results: Vec<_> = plan.assertions.iter().map(row).collect();
        let vms = plan.inventory.vms.values();
        let vms = vms.map(|vm| VmReport::new(vm, finished.vms.get(&vm.name), redactor)).collect();
        let stopped = finished.stop.map(|stop| stop.to_string());
        Self::assemble(plan, (finished.started, finished.ended), stopped, vms, results)
    }

    /// Whether every VM stayed the same while it was looked at.
    pub fn is_stable(&self) -> bool {
        self.vms.iter().all(|vm| vm.unstable.is_empty())
    }

    /// The same; what is not covered makes it red.
    #[must_use]
    pub fn with_coverage_required(mut self, required: bool) -> Self {
        self.coverage.required = required;
        self
    }

    /// Whether the verdicts are to be relied on, and are all that was asked for.
    pub fn is_sound(&self) -> bool {
        self.is_stable() && self.coverage.failures().is_empty()
    }

    /// The report that stands on the disk while a run is under way: should the run be killed, this is what is left,
    /// and not the report of an older run.
    pub fn unfinished(plan: &Plan, redactor: &Redactor) -> Self {
        let now = Utc::now();
        let why = "the run has not come to its end";
        let outcome = Outcome::without_attempt(Verdict::NotRun(why.to_owned()));
        let results = plan
            .assertions
            .iter()
            .map(|one| ResultRow::new(one, &outcome, &[], redactor))
            .collect();
        let vms = plan.inventory.vms.values().map(|vm| VmReport::new(vm, None, redactor)).collect();
        Self::assemble(plan, (now, now), Some(why.to_owned()), vms, results)
    }

    fn assemble(
        plan: &Plan,
        (started, ended): (DateTime<Utc>, DateTime<Utc>),
        stopped: Option<String>,
        vms: Vec<VmReport>,
        results: Vec<ResultRow>,
    ) -> Self {
        Self {
            schema_version: SCHEMA_VERSION,
            tool: Tool {
                name: env!("CARGO_PKG_NAME").to_owned(),
                version: env!("CARGO_PKG_VERSION").to_owned(),
            },
            lab: plan.inventory.lab.clone(),
            inventory: plan.inventory.file.clone(),
            suites: plan.suite_files.clone(),
            started: started.to_rfc3339_opts(SecondsFormat::Millis, true),
            ended: ended.to_rfc3339_opts(SecondsFormat::Millis, true),
            duration_ms: u64::try_from((ended - started).num_milliseconds()).unwrap_or(0),
            complete: stopped.is_none(),
            stopped,
            totals: Totals::count(results.iter().map(|row| row.verdict)),
            coverage: CoverageReport::of(plan),
            vms,
            results,
        }
    }
}

impl VmReport {
    fn new(vm: &Vm, record: Option<&VmRecord>, redactor: &Redactor) -> Self {
        let record = record.cloned().unwrap_or_default();
        let clean = |text: Option<String>| text.map(|text| redactor.text(&text));
        let timeline = TimelineReport::new(&record.timeline, redactor);
        let suspect = |(service, state): &(String, String)| Suspect {
            service: redactor.line(service),
            state: redactor.line(state),
        };
        let piece = |piece: &EvidenceItem| Evidence {
            about: redactor.line(&piece.about),
            text: redactor.text(&piece.text),
        };
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
            cause: record.cause.map(|cause| redactor.cause(cause)),
            unstable: record.unrest.iter().map(|line| redactor.line(line)).collect(),
            suspects: record.suspects.iter().map(suspect).collect(),
            evidence: record.evidence.iter().map(piece).collect(),
        }
    }
}

impl ResultRow {
    /// The row of one assertion, bounded and with every secret masked.
    pub fn new(
        assertion: &PlannedAssertion,
        outcome: &Outcome,
        because: &[String],
        redactor: &Redactor,
    ) -> Self {
        let clean = |text: &str| redactor.stream(&Stream::bounded(text, 0)).text;
        let (expected, actual) = match &outcome.verdict {
            Verdict::Failed(mismatch) => (mismatch.expected.clone(), Some(clean(&mismatch.actual))),
            _ => (assertion.expectation.describe(), None),
        };
        let cause = match &outcome.verdict {
            Verdict::Errored(cause) | Verdict::Blocked(cause) => {
                Some(redactor.cause(cause.clone()))
            }
            _ => None,
        };
        let explicable = matches!(outcome.verdict, Verdict::Failed(_) | Verdict::Errored(_));
        let attempt = |attempt: &Attempt| Attempt {
            message: attempt.message.as_deref().map(|text| redactor.line(text)),
            ..attempt.clone()
        };
        Self {
            id: assertion.id.to_string(),
            scenario: assertion.scenario.clone(),
            test: assertion.test.clone(),
            vm: assertion.vm.clone(),
            kind: assertion.expectation.type_name().to_owned(),
            description: assertion.description.as_deref().map(|text| redactor.text(text)),
            file: assertion.file.clone(),
            line: assertion.line,
            verdict: outcome.verdict.kind(),
            message: outcome.verdict.message().map(|text| redactor.line(&text)),
            expected: redactor.text(&expected),
            actual,
            cause,
            because: if explicable {
                because.iter().map(|line| redactor.line(line)).collect()
            } else {
                Vec::new()
            },
            wire: match &assertion.expectation {
                Expectation::Wire(wire) => Some(WireRow::new(wire, outcome.wire.as_ref())),
                _ => None,
            },
            attempts: outcome.attempts.iter().map(attempt).collect(),
            duration_ms: u64::try_from(outcome.duration.as_millis()).unwrap_or(u64::MAX),
            output: outcome.output.as_ref().map(|output| redactor.output(output)),
        }
    }
}

/// What is red elsewhere and explains why `assertion` is: the port checks of what it connects to.
pub fn because(
    plan: &Plan,
    assertion: &PlannedAssertion,
    outcome: impl Fn(&AssertionId) -> Option<Outcome>,
) -> Vec<String> {
    let red = |one: &&PlannedAssertion| match outcome(&one.id)?.verdict {
        verdict @ (Verdict::Failed(_) | Verdict::Errored(_) | Verdict::Blocked(_)) => {
            Some(format!("{}: {}", one.id, verdict.message()?))
        }
        _ => None,
    };
    plan.explained_by(assertion).iter().filter_map(red).collect()
}

/// The rows of each VM that has any, or that should have, in the order of the VMs.
fn rows_by_vm(report: &Report) -> Vec<(&VmReport, Vec<&ResultRow>)> {
    let mut rows: HashMap<&str, Vec<&ResultRow>> = HashMap::new();
    for row in &report.results {
        rows.entry(&row.vm).or_default().push(row);
    }
    for uncovered in report.coverage.failures() {
        rows.entry(&uncovered.vm).or_default();
    }
    report.vms.iter().filter_map(|vm| Some((vm, rows.remove(vm.name.as_str())?))).collect()
}
