//! One run under way.

use std::collections::{HashMap, HashSet};
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, Utc};
use tokio::runtime::Handle;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;

use super::engine::Engine;
use super::event::Listener;
use super::links::Links;
use super::peers::Peers;
use super::recorder::Recorder;
use super::settings::RunSettings;
use super::shared::Shared;
use super::stop::RunStop;
use super::visit::{Visit, aspects_of};
use super::window::Window;
use crate::outcome::{Outcome, Verdict};
use crate::probe::Wanted;
use crate::record::{RunRecord, VmRecord};
use crate::secrets::Secrets;
use crate::spec::plan::{AssertionId, Plan, PlannedAssertion};
use crate::ssh::Limits;

/// What to run.
pub struct Work<'a> {
    /// What can be run.
    pub plan: &'a Plan,
    /// What of it to run; the other assertions are `not-selected`.
    pub selected: &'a HashSet<AssertionId>,
    /// What else to read.
    pub reading: Option<Reading<'a>>,
}

/// What to read of VMs that somebody else compares.
pub struct Reading<'a> {
    /// The assertions that compare them.
    pub comparisons: &'a [AssertionId],
    /// The VMs.
    pub vms: &'a HashSet<String>,
}

/// A run under way.
pub struct Runner {
    runtime: Handle,
    shared: Arc<Shared>,
    links: Arc<Links>,
    /// One for each VM.
    visits: Mutex<Vec<JoinHandle<()>>>,
    started: DateTime<Utc>,
}

impl Runner {
    /// Starts.
    pub fn start(
        engine: &Engine,
        Work { plan, selected, reading }: &Work<'_>,
        secrets: &Secrets,
        settings: RunSettings,
        listener: Listener,
    ) -> Self {
        let runtime = engine.handle();
        let _context = runtime.enter();
        let is_chosen = |one: &PlannedAssertion| selected.contains(&one.id);
        let compared_here = aspects_of(plan.assertions.iter().filter(|one| is_chosen(one)));
        let compared_elsewhere = reading.iter().flat_map(|reading| reading.comparisons);
        let compared_elsewhere = aspects_of(compared_elsewhere.filter_map(|id| plan.find(id)));
        let is_read = |vm: &str| {
            // Whoever is compared is compared with all.
            !compared_here.is_empty()
                || !compared_elsewhere.is_empty()
                    && reading.as_ref().is_some_and(|reading| reading.vms.contains(vm))
        };
        let mut visited: Vec<(&str, Vec<PlannedAssertion>)> = Vec::new();
        for name in plan.inventory.vms.keys() {
            let chosen: Vec<_> = plan.on_vm(name).filter(|one| is_chosen(one)).cloned().collect();
            if !chosen.is_empty() || is_read(name) {
                visited.push((name, chosen));
            }
        }
        let aspects = if compared_here.is_empty() { compared_elsewhere } else { compared_here };
        let shared = Arc::new(Shared {
            settings,
            recorder: Recorder::new(plan.assertions.iter().map(|assertion| assertion.id.clone())),
            stop: RunStop::arm(engine.signals(), settings.deadline),
            peers: Peers::new(visited.len()),
            listener,
            start: Instant::now(),
        });
        for other in plan.assertions.iter().filter(|one| !is_chosen(one)) {
            let outcome = Outcome::without_attempt(Verdict::NotSelected);
            shared.recorder.record(other.id.clone(), outcome);
        }
        let window = Window::new(settings.jobs.map(NonZeroUsize::get));
        let links = Arc::new(Links::new(&plan.inventory, secrets, Limits::default(), &window));
        for (vm, assertions) in &visited {
            links.need(vm, assertions);
        }
        let mut visits = Vec::new();
        for (vm, chosen) in visited {
            let Some(link) = links.get(vm).cloned() else { continue };
            link.announce(Wanted::of(chosen.iter().map(|chosen| &*chosen.expectation)));
            let (comparisons, assertions) =
                chosen.into_iter().partition(|one| one.expectation.is_about_all_vms());
            let (shared, links, aspects) = (shared.clone(), links.clone(), aspects.clone());
            let visit = Visit { shared, links, link, assertions, comparisons, aspects };
            visits.push(visit.start());
        }
        let (visits, started) = (Mutex::new(visits), Utc::now());
        Self { runtime: runtime.clone(), shared, links, visits, started }
    }

    /// Waits for the outcome of an assertion; `None` for an id that is not in the plan.
    pub fn outcome(&self, id: &AssertionId) -> Option<Outcome> {
        self.shared.recorder.wait_for(id)
    }

    /// Waits for all outcomes and ends the run.
    pub fn finish(&self) -> RunRecord {
        let outcomes = self.shared.recorder.take_all();
        let vms = self.runtime.block_on(self.close());
        let stop = self.shared.stop.reason();
        RunRecord { outcomes, vms, started: self.started, ended: Utc::now(), stop }
    }

    async fn close(&self) -> HashMap<String, VmRecord> {
        let visits =
            std::mem::take(&mut *self.visits.lock().unwrap_or_else(PoisonError::into_inner));
        for visit in visits {
            // What is known by now is kept, even of a task that panicked.
            let _ = visit.await;
        }
        self.end_commands().await;
        self.links.disconnect().await;
        let records = self.links.iter();
        records.filter_map(|(name, link)| Some((name.clone(), link.record()?))).collect()
    }

    /// On all VMs before any connection is closed: another VM may be behind it.
    async fn end_commands(&self) {
        let links = self.links.iter().map(|(_, link)| link.clone());
        let ending: JoinSet<()> =
            links.map(|link| async move { link.end_commands().await }).collect();
        ending.join_all().await;
    }
}
