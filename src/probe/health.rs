//! How to look at a VM's health, and at the evidence when something is red.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use tokio::time::Instant;

use super::{Vantage, command_output};
use crate::assertion::command_output::CommandOutput;
use crate::health::evidence::{self, EvidenceItem};
use crate::health::identity::{self, SystemIdentity};
pub use crate::health::is_booting;
use crate::health::{self, Health, READ_HEALTH, Service};
use crate::ssh::Session;
use crate::ssh::exec::exec;

/// The report is not worth waiting longer for this.
const TIMEOUT: Duration = Duration::from_secs(20);

/// Who answers, and how it is now; what the VM does not tell stays empty.
pub async fn look(session: &Session) -> (SystemIdentity, Option<Health>) {
    let text = printed(session, READ_HEALTH).await.unwrap_or_default();
    (identity::parse(&text), Health::parse(&text))
}

/// The services of these names; those that systemd does not know are missing.
pub async fn services(session: &Session, names: &[&str]) -> Vec<Service> {
    if names.is_empty() {
        return Vec::new();
    }
    let command = health::read_services(names.iter().copied());
    printed(session, &command).await.map_or_else(Vec::new, |text| health::parse_services(&text))
}

/// The services that are in a state in which they should not be.
pub async fn suspects(session: &Session) -> Vec<Service> {
    let seen = printed(session, &health::read_candidates()).await.unwrap_or_default();
    health::suspects(&health::parse_services(&seen)).into_iter().cloned().collect()
}

/// What systemd says of the boot: `starting`, `running`, `degraded`, ...; `None` when there is no systemd.
pub async fn boot_state(session: &Session) -> Option<String> {
    let state = printed(session, health::READ_BOOT_STATE).await?.trim().to_owned();
    (!state.is_empty()).then_some(state)
}

async fn printed(session: &Session, command: &str) -> Option<String> {
    exec(session, command, None, Instant::now() + TIMEOUT)
        .await
        .ok()
        .map(|result| result.stdout.text)
}

/// What an operator would look at next: through sudo where it works, else as the user.
pub async fn evidence(from: &Vantage, services: &[&str]) -> Vec<EvidenceItem> {
    let mark = format!("bootproof-{:016x}", RandomState::new().hash_one(services));
    let command = evidence::read_evidence(&mark, services);
    for run_as_root in [true, false] {
        let wanted =
            CommandOutput { command: command.clone(), run_as_root, ..CommandOutput::default() };
        let from = Vantage { deadline: Instant::now() + TIMEOUT, ..from.clone() };
        if let Ok(result) = command_output::look(&wanted, &from).await {
            return evidence::parse(&mark, &result.stdout.text);
        }
    }
    Vec::new()
}
