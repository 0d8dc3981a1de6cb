//! Runs a plan: all VMs at once, one connection a VM, every assertion a task.
//!
//! [`Runner`] owns the runtime; outside of it nothing is async. It prints nothing: what happens is told as
//! [`Event`]s, and what came of it as outcomes.

mod attempts;
mod link;
mod recorder;
mod stop;

use crate::obstacle::Stage;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;

use link::{Link, links};
use recorder::Recorder;
use stop::StopSwitch;

use crate::outcome::{Cause, Outcome, Verdict, VerdictKind};
use crate::record::RunRecord;
use crate::secrets::Secrets;
use crate::spec::plan::{AssertionId, Plan, PlannedAssertion};
use crate::ssh::Limits;

/// How to run.
#[derive(Debug, Clone, Copy, Default)]
pub struct RunSettings {
    /// How long a VM is waited for, and an assertion tried until it holds, unless the suite says otherwise.
    /// Zero asks once.
    pub wait: Duration,
    /// Ask once, whatever the suite says.
    pub once: bool,
    /// When the whole run must have ended.
    pub deadline: Option<Duration>,
    /// Take evidence from VMs on which something is red.
    pub evidence: bool,
}

impl RunSettings {
    /// How long is waited when the suite says nothing else.
    fn waits(self) -> Duration {
        if self.once { Duration::ZERO } else { self.wait }
    }
}

/// Something that happened, for whoever watches.
#[derive(Debug, Clone)]
pub enum Event {
    /// A VM could not be logged in to yet.
    Waiting {
        /// The VM.
        vm: String,
        /// Why.
        why: String,
    },
    /// A VM is logged in to.
    Ready {
        /// The VM.
        vm: String,
    },
    /// A VM is given up.
    Lost {
        /// Why.
        cause: Cause,
    },
    /// An assertion has its verdict.
    Done {
        /// The assertion.
        id: AssertionId,
        /// Its VM.
        vm: String,
        /// What came of it.
        kind: VerdictKind,
    },
}

/// Told of every [`Event`], from any thread.
pub type Listener = Arc<dyn Fn(Event) + Send + Sync>;

/// A run under way.
pub struct Runner {
    /// `None` only while it is dropped.
    runtime: Option<Runtime>,
    shared: Arc<Shared>,
    /// One a VM: ends when its assertions are done and it was looked back at.
    vms: Mutex<Vec<JoinHandle<()>>>,
    started: chrono::DateTime<chrono::Utc>,
}

/// What every task of a run sees.
struct Shared {
    settings: RunSettings,
    recorder: Recorder,
    stop: StopSwitch,
    listener: Listener,
    start: Instant,
    /// Set right after it is made.
    links: OnceLock<HashMap<String, Arc<Link>>>,
}

impl Runner {
    /// Starts to run the selected assertions of `plan`; the others are `not-selected`.
    pub fn start(
        plan: &Plan,
        selected: &HashSet<AssertionId>,
        secrets: &Secrets,
        settings: RunSettings,
        listener: Listener,
    ) -> std::io::Result<Self> {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let started = chrono::Utc::now();
        let context = runtime.enter();
        let shared = Arc::new(Shared {
            settings,
            recorder: Recorder::default(),
            stop: StopSwitch::default(),
            listener,
            start: Instant::now(),
            links: OnceLock::new(),
        });
        shared.stop.arm(settings.deadline)?;
        let links = shared.links.get_or_init(|| links(&plan.inventory, secrets, Limits::default()));
        let mut vms = Vec::new();
        for (vm, assertions) in plan.by_vm() {
            let (chosen, others): (Vec<_>, Vec<_>) =
                assertions.into_iter().cloned().partition(|one| selected.contains(&one.id));
            for assertion in others {
                shared
                    .recorder
                    .record(assertion.id, Outcome::without_attempt(Verdict::NotSelected));
            }
            if !chosen.is_empty() {
                vms.push(tokio::spawn(run_vm(shared.clone(), links[&vm.name].clone(), chosen)));
            }
        }
        drop(context);
        Ok(Self { runtime: Some(runtime), shared, vms: Mutex::new(vms), started })
    }

    /// Waits for the outcome of an assertion of the plan.
    pub fn outcome(&self, id: &AssertionId) -> Outcome {
        self.shared.recorder.wait_for(id)
    }

    /// Waits for all outcomes and ends the run.
    pub fn finish(&self, plan: &Plan) -> RunRecord {
        let outcomes =
            plan.assertions.iter().map(|one| (one.id.clone(), self.outcome(&one.id))).collect();
        let looking_back =
            std::mem::take(&mut *self.vms.lock().unwrap_or_else(PoisonError::into_inner));
        let closing = async {
            for vm in looking_back {
                // What is known by now is kept, even of one that panicked.
                let _ = vm.await;
            }
            // On all VMs before any connection is closed: another VM may be behind it.
            let links = self.shared.links.get().into_iter().flatten();
            let ending: JoinSet<()> = links
                .map(|(_, link)| link.clone())
                .map(|link| async move { link.end_commands().await })
                .collect();
            ending.join_all().await;
            let mut vms = HashMap::new();
            for (name, link) in self.shared.links.get().into_iter().flatten() {
                if let Some(record) = link.close().await {
                    vms.insert(name.clone(), record);
                }
            }
            vms
        };
        let vms =
            self.runtime.as_ref().map(|runtime| runtime.block_on(closing)).unwrap_or_default();
        RunRecord {
            outcomes,
            vms,
            started: self.started,
            ended: chrono::Utc::now(),
            stop: self.shared.stop.reason(),
        }
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // A name lookup that hangs must not keep the process alive.
            runtime.shutdown_background();
        }
    }
}

/// Runs the assertions of one VM, all at once, and looks back at it when they are done.
async fn run_vm(shared: Arc<Shared>, link: Arc<Link>, assertions: Vec<PlannedAssertion>) {
    let mut red = false;
    let mut services = Vec::new();
    let running: Vec<_> = assertions
        .into_iter()
        .map(|one| (one.unit.clone(), spawn(&shared, link.clone(), one)))
        .collect();
    for (unit, assertion) in running {
        // A panic in it is an outcome, too.
        if assertion.await.is_ok_and(|kind| kind == VerdictKind::Passed) {
            continue;
        }
        red = true;
        services.extend(unit);
    }
    link.look_back(&shared, red, &services).await;
}

/// Runs one assertion; even a panic in it ends with an outcome.
fn spawn(
    shared: &Arc<Shared>,
    link: Arc<Link>,
    assertion: PlannedAssertion,
) -> JoinHandle<VerdictKind> {
    let (id, vm, address) = (assertion.id.clone(), assertion.vm.clone(), link.address());
    let task = {
        let shared = shared.clone();
        tokio::spawn(async move { attempts::run(&shared, &link, &assertion).await })
    };
    let shared = shared.clone();
    tokio::spawn(async move {
        let outcome = task.await.unwrap_or_else(|panic| {
            Outcome::without_attempt(Verdict::Errored(Cause {
                vm: vm.clone(),
                stage: Stage::Internal,
                address,
                message: format!("bootproof failed: {panic}"),
                hint: Some("this is a bug in bootproof; please report it".to_owned()),
            }))
        });
        let kind = outcome.verdict.kind();
        shared.recorder.record(id.clone(), outcome);
        (shared.listener)(Event::Done { id, vm, kind });
        kind
    })
}
