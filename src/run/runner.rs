//! One run under way.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, Utc};
use tokio::runtime::Handle;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;

use super::attempts;
use super::engine::Engine;
use super::event::{Event, Listener};
use super::link::Link;
use super::links::{Links, links};
use super::recorder::Recorder;
use super::settings::RunSettings;
use super::shared::Shared;
use super::stop::RunStop;
use crate::obstacle::{Obstacle, Stage};
use crate::outcome::{Outcome, Verdict, VerdictKind};
use crate::probe::Wanted;
use crate::record::{RunRecord, VmRecord};
use crate::secrets::Secrets;
use crate::spec::plan::{AssertionId, Plan, PlannedAssertion};
use crate::ssh::Limits;

/// A run under way.
pub struct Runner {
    runtime: Handle,
    shared: Arc<Shared>,
    links: Arc<Links>,
    /// One for each VM: ends when the VM's assertions are done and it was looked back at.
    vms: Mutex<Vec<JoinHandle<()>>>,
    started: DateTime<Utc>,
}

impl Runner {
    /// Starts to run the selected assertions of `plan`; the others are `not-selected`.
    pub fn start(
        engine: &Engine,
        plan: &Plan,
        selected: &HashSet<AssertionId>,
        secrets: &Secrets,
        settings: RunSettings,
        listener: Listener,
    ) -> Self {
        let runtime = engine.handle();
        let _context = runtime.enter();
        let shared = Arc::new(Shared {
            settings,
            recorder: Recorder::new(plan.assertions.iter().map(|assertion| assertion.id.clone())),
            stop: RunStop::arm(engine.signals(), settings.deadline),
            listener,
            start: Instant::now(),
        });
        let links = Arc::new(links(&plan.inventory, secrets, Limits::default()));
        let started = Utc::now();
        let mut vms = Vec::new();
        for (vm, assertions) in plan.by_vm() {
            let (chosen, others): (Vec<_>, Vec<_>) = assertions
                .into_iter()
                .cloned()
                .partition(|assertion| selected.contains(&assertion.id));
            for assertion in others {
                let outcome = Outcome::without_attempt(Verdict::NotSelected);
                shared.recorder.record(assertion.id, outcome);
            }
            if !chosen.is_empty() {
                let link = links[&vm.name].clone();
                link.announce(Wanted::of(chosen.iter().map(|chosen| &*chosen.expectation)));
                let task = run_vm(shared.clone(), links.clone(), link, chosen);
                vms.push(tokio::spawn(task));
            }
        }
        Self { runtime: runtime.clone(), shared, links, vms: Mutex::new(vms), started }
    }

    /// Waits for the outcome of an assertion; `None` for an id that is not in the plan.
    pub fn outcome(&self, id: &AssertionId) -> Option<Outcome> {
        self.shared.recorder.wait_for(id)
    }

    /// Waits for all outcomes and ends the run.
    pub fn finish(&self) -> RunRecord {
        let outcomes = self.shared.recorder.wait_for_all();
        let vms = self.runtime.block_on(self.close());
        let stop = self.shared.stop.reason();
        RunRecord { outcomes, vms, started: self.started, ended: Utc::now(), stop }
    }

    async fn close(&self) -> HashMap<String, VmRecord> {
        let vms = std::mem::take(&mut *self.vms.lock().unwrap_or_else(PoisonError::into_inner));
        for vm in vms {
            // What is known by now is kept, even of a task that panicked.
            let _ = vm.await;
        }
        self.end_commands().await;
        let mut records = HashMap::new();
        for (name, link) in self.links.iter() {
            if let Some(record) = link.close().await {
                records.insert(name.clone(), record);
            }
        }
        records
    }

    /// On all VMs before any connection is closed: another VM may be behind it.
    async fn end_commands(&self) {
        let links = self.links.values().cloned();
        let ending: JoinSet<()> =
            links.map(|link| async move { link.end_commands().await }).collect();
        ending.join_all().await;
    }
}

/// Runs the assertions of one VM, all at once, and looks back at it when they are done.
async fn run_vm(
    shared: Arc<Shared>,
    links: Arc<Links>,
    link: Arc<Link>,
    assertions: Vec<PlannedAssertion>,
) {
    let mut running = Vec::new();
    for assertion in assertions {
        let unit = assertion.unit.clone();
        running.push((unit, spawn(&shared, &links, &link, assertion)));
    }
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
    link.look_back(&shared, red, &units).await;
}

/// Runs one assertion; even a panic in it ends with an outcome.
fn spawn(
    shared: &Arc<Shared>,
    links: &Arc<Links>,
    link: &Arc<Link>,
    assertion: PlannedAssertion,
) -> JoinHandle<VerdictKind> {
    let id = assertion.id.clone();
    let task = {
        let (shared, links, link) = (shared.clone(), links.clone(), link.clone());
        tokio::spawn(async move { attempts::run(&shared, &links, &link, &assertion).await })
    };
    let (shared, link) = (shared.clone(), link.clone());
    tokio::spawn(async move {
        let outcome = task.await.unwrap_or_else(|panic| {
            let bug = Obstacle::lasting(Stage::Internal, format!("bootproof failed: {panic}"))
                .hint("this is a bug in bootproof; please report it");
            Outcome::without_attempt(Verdict::Errored(link.cause(bug)))
        });
        let kind = outcome.verdict.kind();
        shared.recorder.record(id.clone(), outcome);
        shared.notify(Event::Done { id, vm: link.name().to_owned(), kind });
        kind
    })
}
