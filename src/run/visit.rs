//! Everything that a run does on one VM: log in, check, look back, leave; and, when all VMs were
//! visited, compare it with the others.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::attempts::{self, Look};
use super::link::Link;
use super::links::Links;
use super::shared::Shared;
use crate::assertion::Expectation;
use crate::assertion::facts::READ_CLOCK;
use crate::assertion::peer::Aspect;
use crate::obstacle::{Obstacle, Stage};
use crate::outcome::{Cause, Outcome, Verdict, VerdictKind};
use crate::probe::{LiveVm, ProbeContext, peer};
use crate::spec::plan::{AssertionId, DEFAULT_TIMEOUT, PlannedAssertion};

/// What to do on one VM.
pub(super) struct Visit {
    pub(super) shared: Arc<Shared>,
    pub(super) links: Arc<Links>,
    pub(super) link: Arc<Link>,
    /// What to check there.
    pub(super) assertions: Vec<PlannedAssertion>,
    /// What to check when all VMs were visited.
    pub(super) comparisons: Vec<PlannedAssertion>,
    /// What other VMs are compared in.
    pub(super) aspects: Vec<Aspect>,
}

impl Visit {
    /// Starts; each assertion gets an outcome, even if bootproof itself fails.
    pub(super) fn start(self) -> JoinHandle<()> {
        let (shared, link) = (self.shared.clone(), self.link.clone());
        let all = self.assertions.iter().chain(&self.comparisons);
        let ids: Vec<AssertionId> = all.map(|assertion| assertion.id.clone()).collect();
        let visiting = tokio::spawn(self.run());
        tokio::spawn(async move {
            let Err(panic) = visiting.await else { return };
            for id in ids.iter().filter(|id| shared.recorder.is_pending(id)) {
                shared.record(id, link.name(), failed(&link, &panic));
            }
        })
    }

    async fn run(self) {
        let arrival = self.shared.peers.arrival();
        let stopped = tokio::select! {
            biased;
            _ = self.shared.stop.requested() => true,
            () = self.link.seat().take() => false,
        };
        // The future of a visit is large: those that wait for their place do without.
        let seen = if stopped { Vec::new() } else { Box::pin(self.on_the_vm()).await };
        drop(arrival);
        if !stopped {
            // Until the connection is closed, the VM takes memory.
            self.link.done().await;
            self.link.seat().leave();
        }
        Box::pin(self.compare(seen)).await;
    }

    /// Checks what is on the VM, and reads what its comparisons need.
    async fn on_the_vm(&self) -> Vec<Look> {
        let patience = Instant::now() + self.shared.settings.default_wait();
        let vm = tokio::select! {
            biased;
            _ = self.shared.stop.requested() => return Vec::new(),
            vm = self.link.vm(&self.shared, patience) => vm,
        };
        let vm = match vm {
            Ok(vm) => vm,
            Err(cause) => {
                self.block(&cause);
                return Vec::new();
            }
        };
        // One for each assertion, and one for the comparisons.
        self.link.seat().share(self.assertions.len() + 1);
        let mut running = Vec::new();
        for assertion in &self.assertions {
            running.push((assertion.unit.clone(), self.spawn(assertion.clone())));
        }
        let seen = tokio::select! {
            biased;
            _ = self.shared.stop.requested() => Vec::new(),
            seen = self.read_facts(vm) => seen,
        };
        self.link.seat().worker_is_done();
        let mut red = false;
        let mut units = Vec::new();
        for (unit, assertion) in running {
            // A panic in it is an outcome, too.
            if assertion.await.is_ok_and(|kind| kind == VerdictKind::Passed) {
                continue;
            }
            red = true;
            units.extend(unit.map(|unit| unit.to_string()));
        }
        self.link.look_back(&self.shared, red, &units).await;
        seen
    }

    /// The VM cannot be asked.
    fn block(&self, cause: &Cause) {
        for assertion in self.assertions.iter().chain(&self.comparisons) {
            let outcome = Outcome::without_attempt(Verdict::Blocked(cause.clone()));
            self.shared.record(&assertion.id, &assertion.vm, outcome);
        }
    }

    /// Runs one assertion; even a panic in it ends with an outcome.
    fn spawn(&self, assertion: PlannedAssertion) -> JoinHandle<VerdictKind> {
        let (shared, links, link) = (self.shared.clone(), self.links.clone(), self.link.clone());
        tokio::spawn(async move {
            let (id, vm) = (assertion.id.clone(), assertion.vm.clone());
            let others = assertion.expectation.clone();
            let task = {
                let (shared, links, link) = (shared.clone(), links.clone(), link.clone());
                tokio::spawn(async move { attempts::run(&shared, &links, &link, &assertion).await })
            };
            let outcome = task.await.unwrap_or_else(|panic| failed(&link, &panic));
            let kind = outcome.verdict.kind();
            shared.record(&id, &vm, outcome);
            link.seat().worker_is_done();
            for other in others.others().into_iter().filter_map(|name| links.get(name)) {
                other.done().await;
            }
            kind
        })
    }

    /// Reads what is compared: what other VMs want to know, and what the own comparisons need.
    async fn read_facts(&self, vm: Arc<LiveVm>) -> Vec<Look> {
        let asked = Instant::now();
        for aspect in &self.aspects {
            let context = context(vm.clone(), DEFAULT_TIMEOUT, asked);
            match peer::read(*aspect, &context).await {
                Ok(reading) => {
                    self.link.note_fact(reading.clone());
                    self.shared.peers.note(self.link.name(), reading);
                }
                Err(unanswered) => self.link.note_unread(aspect.word(), unanswered.obstacle),
            }
        }
        let mut looks = Vec::new();
        for (aspect, timeout) in self.comparisons.iter().filter_map(aspect) {
            let context = context(vm.clone(), timeout, asked);
            let seen = peer::read(aspect, &context).await;
            looks.push(Look::at_a_peer(seen, &context));
        }
        looks
    }

    /// Compares the VM with the others, as soon as all were visited.
    async fn compare(&self, mut seen: Vec<Look>) {
        let pending = self.assertions.iter().chain(&self.comparisons);
        let pending: Vec<_> =
            pending.filter(|one| self.shared.recorder.is_pending(&one.id)).collect();
        if pending.is_empty() {
            return;
        }
        let stopped = tokio::select! {
            biased;
            stop = self.shared.stop.requested() => Some(stop),
            () = self.shared.peers.complete() => None,
        };
        seen.reverse();
        self.link.need();
        for assertion in pending {
            let outcome = match (stopped, seen.pop()) {
                (Some(stop), _) => Outcome::without_attempt(Verdict::NotRun(stop.to_string())),
                (None, look) => {
                    attempts::go_on(&self.shared, &self.links, &self.link, assertion, look).await
                }
            };
            self.shared.record(&assertion.id, &assertion.vm, outcome);
        }
        self.link.done().await;
        self.link.seat().leave();
    }
}

/// For reading what is compared.
fn context(vm: Arc<LiveVm>, limit: Duration, asked: Instant) -> ProbeContext {
    ProbeContext {
        vm,
        others: HashMap::new(),
        sudo_password: None,
        limit,
        alone: false,
        fresh_since: asked,
        course: Arc::default(),
    }
}

/// In what an assertion compares its VM, and for how long it may look.
fn aspect(assertion: &PlannedAssertion) -> Option<(Aspect, Duration)> {
    match &*assertion.expectation {
        Expectation::Peer(peer) => Some((peer.aspect, assertion.timeout)),
        _ => None,
    }
}

/// The aspects in which at least one of these assertions compares VMs, each as every VM is asked
/// about it.
pub(super) fn aspects_of<'a>(
    assertions: impl Iterator<Item = &'a PlannedAssertion>,
) -> Vec<Aspect> {
    let (mut identity, mut clock) = (None, None);
    for (aspect, _) in assertions.filter_map(aspect) {
        match aspect {
            Aspect::Identity { .. } => {
                identity = Some(Aspect::Identity { address: None, is_its_own_peer: false });
            }
            Aspect::Clock { within, .. } => {
                clock = Some(Aspect::Clock { within, read: READ_CLOCK });
            }
        }
    }
    identity.into_iter().chain(clock).collect()
}

/// bootproof itself failed.
fn failed(link: &Link, panic: &tokio::task::JoinError) -> Outcome {
    let bug = Obstacle::lasting(Stage::Internal, format!("bootproof failed: {panic}"))
        .hint("this is a bug in bootproof; please report it");
    Outcome::without_attempt(Verdict::Errored(link.cause(bug)))
}
