//! How to read a VM's health, and the evidence when something is red.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use super::command_output;
use super::context::ProbeContext;
use super::vm::LiveVm;
use crate::assertion::command_output::CommandOutput;
use crate::health::evidence::{self, EvidenceItem};
use crate::health::identity::{self, SystemIdentity};
use crate::health::{self, Health, READ_BOOT_STATE, READ_HEALTH, Service};

/// The report does not wait longer than this.
const TIMEOUT: Duration = Duration::from_secs(20);

/// Which machine answered, and its health; both may be incomplete.
#[derive(Default)]
pub struct HealthReading {
    /// Which machine, and which boot of it.
    pub identity: SystemIdentity,
    /// `None` if the VM's answer was cut off.
    pub health: Option<Health>,
}

/// Reads who answers and its health.
pub async fn read(vm: &LiveVm) -> HealthReading {
    let text = printed(vm, READ_HEALTH).await.unwrap_or_default();
    HealthReading { identity: identity::parse(&text), health: Health::parse(&text) }
}

/// The services of these names; services that systemd does not know are missing.
pub async fn services(vm: &LiveVm, names: &[&str]) -> Vec<Service> {
    if names.is_empty() {
        return Vec::new();
    }
    let command = health::read_services(names.iter().copied());
    let text = printed(vm, &command).await.unwrap_or_default();
    health::parse_services(&text)
}

/// The services that an operator would look at first.
pub async fn suspects(vm: &LiveVm) -> Vec<Service> {
    let text = printed(vm, &health::read_candidates()).await.unwrap_or_default();
    let services = health::parse_services(&text);
    services.into_iter().filter(Service::is_suspect).collect()
}

/// What systemd says about the boot: `starting`, `running`, `degraded`, ...
pub async fn boot_state(vm: &LiveVm) -> Option<String> {
    let state = printed(vm, READ_BOOT_STATE).await?.trim().to_owned();
    (!state.is_empty()).then_some(state)
}

async fn printed(vm: &LiveVm, command: &str) -> Option<String> {
    vm.run(command, TIMEOUT).await.map(|result| result.stdout.text)
}

/// What an operator would look at next: through sudo where it works, else as the user.
pub async fn evidence(context: &ProbeContext, services: &[&str]) -> Vec<EvidenceItem> {
    let mark = format!("bootproof-{:016x}", RandomState::new().hash_one(services));
    let command = evidence::read_evidence(&mark, services);
    for run_as_root in [true, false] {
        let wanted =
            CommandOutput { command: command.clone(), run_as_root, ..CommandOutput::default() };
        let context = ProbeContext { limit: TIMEOUT, ..context.clone() };
        if let Ok(result) = command_output::look(&wanted, &context).await {
            return evidence::parse(&mark, &result.stdout.text);
        }
    }
    Vec::new()
}
