//! The health of one VM during a run: a first look at the login, and a look back when its
//! assertions are done.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::event::Event;
use super::shared::Shared;
use super::vm_log::{BootState, VmLog};
use crate::health::evidence::SERVICES_AT_MOST;
use crate::health::identity::SystemIdentity;
use crate::health::{Health, is_booting};
use crate::probe::{LiveVm, ProbeContext, health};
use crate::record::SuspectService;
use crate::secrets::Secret;
use crate::spec::duration::Span;

/// How long a VM that changed while the run waited for it must stay the same.
const SETTLING: Duration = Duration::from_secs(10);

/// Between two questions whether the boot is over.
const BOOT_PAUSE: Duration = Duration::from_secs(1);

/// Which machine answered, and how it was when its first assertion began.
struct FirstLook {
    identity: SystemIdentity,
    health: Option<Health>,
    boot: BootState,
}

/// What the assertions of a VM came to.
pub(super) struct Aftermath<'a> {
    /// At least one assertion is red.
    pub(super) red: bool,
    /// The systemd units that red assertions name.
    pub(super) units: &'a [String],
    /// For evidence that only root may read.
    pub(super) sudo_password: Option<Secret>,
}

pub(super) struct HealthWatch {
    vm: String,
    log: Arc<VmLog>,
    /// The readiness budget for the end of the boot.
    boot_budget: Option<Span>,
    looking: Mutex<Option<JoinHandle<FirstLook>>>,
    before: Mutex<Option<Health>>,
}

impl HealthWatch {
    pub(super) fn new(vm: &str, log: Arc<VmLog>, boot_budget: Option<Span>) -> Self {
        let (looking, before) = (Mutex::default(), Mutex::default());
        Self { vm: vm.to_owned(), log, boot_budget, looking, before }
    }

    /// Looks at a VM that was just logged in to, beside its assertions.
    pub(super) fn begin(&self, shared: &Shared, vm: &Arc<LiveVm>) {
        let mut looking = self.looking.lock().unwrap_or_else(PoisonError::into_inner);
        // After a reconnect: the VM may have rebooted since, so what was seen first is what counts.
        let earlier = looking.take();
        let (vm, start) = (vm.clone(), shared.start);
        let until = Instant::now() + self.patience(shared);
        *looking = Some(tokio::spawn(async move {
            let first = match earlier {
                Some(earlier) => earlier.await.ok().and_then(|look| look.health),
                None => None,
            };
            let reading = health::read(&vm).await;
            let (identity, health) = (reading.identity, reading.health);
            let system = health.as_ref().and_then(Health::system).map(str::to_owned);
            let boot = await_boot(&vm, system, start, until).await;
            FirstLook { identity, health: first.or(health), boot }
        }));
    }

    /// Compares a VM whose assertions are done with the first look, and collects evidence if
    /// something is wrong.
    pub(super) async fn look_back(
        &self,
        shared: &Shared,
        vm: Option<Arc<LiveVm>>,
        aftermath: Aftermath<'_>,
    ) {
        self.finish_first_look().await;
        let Some(vm) = vm else { return };
        let mut unstable = self.changes(shared, &vm).await;
        unstable.extend(self.unfinished_boot(shared));
        let troubled = aftermath.red || !unstable.is_empty();
        self.log.change(|record| record.unstable = unstable);
        if troubled && shared.settings.evidence {
            self.collect_evidence(vm, aftermath).await;
        }
    }

    /// Keeps what the first look has seen, if it is done, of a run that ended early; forgets the rest.
    pub(super) async fn close(&self) {
        let looking = self.looking.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(looking) = looking.filter(JoinHandle::is_finished)
            && let Ok(look) = looking.await
        {
            self.log.note_first_look(look.identity, look.boot);
        }
        drop(self.before.lock().unwrap_or_else(PoisonError::into_inner).take());
    }

    async fn finish_first_look(&self) {
        let looking = self.looking.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(looking) = looking else { return };
        let Ok(look) = looking.await else { return };
        self.log.note_first_look(look.identity, look.boot);
        let mut before = self.before.lock().unwrap_or_else(PoisonError::into_inner);
        if before.is_none() {
            *before = look.health;
        }
    }

    /// What has changed since the first look. A VM that the run waited for may still have been
    /// coming up: what counts is whether it has settled.
    async fn changes(&self, shared: &Shared, vm: &LiveVm) -> Vec<String> {
        let before = self.before.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(before) = before else { return Vec::new() };
        let Some(after) = health::read(vm).await.health else { return Vec::new() };
        let changes = compare(vm, &before, &after, &after.young()).await;
        let waits = !shared.settings.default_wait().is_zero();
        if changes.is_empty() || after.is_another_boot_than(&before) || !waits {
            return changes;
        }
        let why = format!("{}: {}", self.vm, changes.join("; "));
        shared.notify(Event::Waiting { vm: self.vm.clone(), why });
        sleep(SETTLING).await;
        let Some(later) = health::read(vm).await.health else { return changes };
        compare(vm, &after, &later, &[]).await
    }

    /// How long to wait for the end of the boot.
    fn patience(&self, shared: &Shared) -> Duration {
        let wait = shared.settings.default_wait();
        self.boot_budget.map_or(wait, |Span(budget)| budget.min(wait))
    }

    /// Whoever waits for a boot wants to see its end.
    fn unfinished_boot(&self, shared: &Shared) -> Option<String> {
        if shared.settings.default_wait().is_zero() {
            return None;
        }
        let state = self.log.snapshot().timeline.system?;
        let patience = humantime::format_duration(self.patience(shared));
        is_booting(&state)
            .then(|| format!("its boot did not finish: systemd says `{state}` after {patience}"))
    }

    async fn collect_evidence(&self, vm: Arc<LiveVm>, aftermath: Aftermath<'_>) {
        let suspects: Vec<_> = health::suspects(&vm)
            .await
            .iter()
            .map(|service| SuspectService { unit: service.name.clone(), state: service.describe() })
            .collect();
        let mut names: Vec<&str> = suspects.iter().map(|suspect| suspect.unit.as_str()).collect();
        let others = aftermath.units.iter().map(String::as_str);
        let others: Vec<_> = others.filter(|unit| !names.contains(unit)).collect();
        names.extend(others);
        names.truncate(SERVICES_AT_MOST);
        let sudo_password = aftermath.sudo_password;
        let context = ProbeContext {
            vm,
            others: HashMap::new(),
            sudo_password,
            limit: Duration::ZERO,
            alone: false,
            fresh_since: Instant::now(),
            course: Arc::default(),
        };
        let evidence = health::evidence(&context, &names).await;
        self.log.change(|record| {
            record.suspects = suspects;
            record.evidence = evidence;
        });
    }
}

/// Asks systemd until the boot is over, or `until`.
async fn await_boot(
    vm: &LiveVm,
    mut system: Option<String>,
    start: Instant,
    until: Instant,
) -> BootState {
    while system.as_deref().is_some_and(is_booting) {
        if Instant::now() >= until {
            return BootState { system, ended_after: None };
        }
        sleep(BOOT_PAUSE).await;
        system = health::boot_state(vm).await;
    }
    BootState { system, ended_after: Some(start.elapsed()) }
}

async fn compare(vm: &LiveVm, before: &Health, after: &Health, young: &[&str]) -> Vec<String> {
    let mut names = after.moved_since(before);
    let young: Vec<_> = young.iter().filter(|name| !names.contains(name)).copied().collect();
    names.extend(young);
    after.instability_since(before, &health::services(vm, &names).await)
}
