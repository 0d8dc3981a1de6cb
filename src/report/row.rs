//! The row of one assertion.

use std::net::IpAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::redact::Redactor;
use super::vm::milliseconds;
use crate::assertion::port_listening::Protocol;
use crate::assertion::wire::{Wire, WireSeen};
use crate::assertion::{Expectation, Observation};
use crate::outcome::{Attempt, Cause, Outcome, Output, Stream, Verdict, VerdictKind};
use crate::spec::plan::{PlannedAssertion, last_part, on_any_vm};

/// The result of one assertion.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
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
    /// The suite's own line about it.
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
    /// The command that ran on the VM, as the suite writes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// The HTTP request that was sent: its method and URL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
    /// What was expected.
    pub expected: String,
    /// What was seen instead.
    pub actual: Option<String>,
    /// Why bootproof could not look.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
    /// Other red assertions that explain it, a line each, such as the port that it connects to.
    pub because: Vec<String>,
    /// The wire, if it is one of the inventory's `connections`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wire: Option<WireRow>,
    /// Every attempt, the first one first.
    pub attempts: Vec<Attempt>,
    /// From the start of the first attempt to the end of the last one, in milliseconds.
    pub duration_ms: u64,
    /// What the last attempt printed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<Output>,
}

/// A wire: one of the inventory's `connections`, and what its two ends say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WireRow {
    /// The VM that connects.
    pub from: String,
    /// The VM that answers.
    pub to: String,
    /// Its port.
    pub port: u16,
    /// `tcp` or `udp`.
    pub protocol: String,
    /// What the wire is for.
    pub intent: Option<String>,
    /// Whether the connection must not be possible.
    pub deny: bool,
    /// The addresses on which the port listens; null if that is not known.
    pub listens_on: Option<Vec<IpAddr>>,
    /// Whether the near end reached it; null if it did not try.
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
        let attempt = |attempt: &Attempt| Attempt {
            message: attempt.message.as_deref().map(|text| redactor.line(text)),
            ..attempt.clone()
        };
        Self {
            id: assertion.id.to_string(),
            scenario: assertion.scenario.to_string(),
            test: assertion.test.to_string(),
            vm: assertion.vm.to_string(),
            kind: assertion.expectation.type_name().to_owned(),
            description: assertion.description.as_deref().map(|text| redactor.text(text)),
            file: assertion.file.to_string(),
            line: assertion.line,
            verdict: outcome.verdict.kind(),
            message: outcome.verdict.message().map(|text| redactor.line(&text)),
            command: command(&assertion.expectation).map(|text| redactor.text(text)),
            request: request(&assertion.expectation).map(|text| redactor.text(&text)),
            expected: redactor.text(&expected),
            actual,
            cause,
            because: because.iter().map(|line| redactor.line(line)).collect(),
            wire: match &*assertion.expectation {
                Expectation::Wire(wire) => Some(WireRow::new(wire, wire_seen(outcome))),
                _ => None,
            },
            attempts: outcome.attempts.iter().map(attempt).collect(),
            duration_ms: milliseconds(outcome.duration),
            output: outcome.output.as_ref().map(|output| redactor.output(output)),
        }
    }

    /// The row of the same assertion with what `seen` says of it. What the plan says stays: a file
    /// from another machine can say anything.
    pub(super) fn with_what_was_seen(self, seen: &Self) -> Self {
        let wires = self.wire.zip(seen.wire.as_ref());
        let wire = |(wire, seen): (WireRow, &WireRow)| WireRow {
            listens_on: seen.listens_on.clone(),
            reached: seen.reached,
            ..wire
        };
        Self {
            id: self.id,
            scenario: self.scenario,
            test: self.test,
            vm: self.vm,
            kind: self.kind,
            file: self.file,
            line: self.line,
            because: self.because,
            wire: wires.map(wire),
            ..seen.clone()
        }
    }

    /// The last part of the id: what is looked at.
    pub(super) fn last_part(&self) -> &str {
        last_part(&self.id)
    }

    /// The id with a star in place of the VM.
    pub(super) fn id_of_any_vm(&self) -> String {
        on_any_vm(&self.id)
    }
}

fn command(expectation: &Expectation) -> Option<&str> {
    match expectation {
        Expectation::CommandOutput(command) => Some(&command.command),
        _ => None,
    }
}

fn request(expectation: &Expectation) -> Option<String> {
    match expectation {
        Expectation::HttpResponds(http) => Some(format!("{} {}", http.method, http.url)),
        _ => None,
    }
}

fn wire_seen(outcome: &Outcome) -> Option<&WireSeen> {
    match &outcome.observation {
        Some(Observation::Wire(seen)) => Some(seen),
        _ => None,
    }
}
