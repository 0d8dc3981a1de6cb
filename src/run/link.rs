//! The link to one VM: waited for patiently, shared by its assertions, given up once.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::{Instant, sleep};

use super::event::Event;
use super::shared::Shared;
use super::vm_log::VmLog;
use super::watch::{Aftermath, HealthWatch};
use crate::obstacle::{Obstacle, Stage};
use crate::outcome::Cause;
use crate::record::VmRecord;
use crate::secrets::Secret;
use crate::spec::inventory::Readiness;
use crate::ssh::leftovers::end_commands;
use crate::ssh::{Limits, Session, Target, connect};

/// Between two connects: first this long, then twice as long each time, up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// sshd penalizes who comes too often (`PerSourcePenalties`).
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// The link to one VM.
pub(super) struct Link {
    name: String,
    target: Target,
    jump: Jump,
    limits: Limits,
    budgets: Readiness,
    session: Mutex<Option<Arc<Session>>>,
    lost: OnceLock<Cause>,
    log: Arc<VmLog>,
    watch: HealthWatch,
}

/// What the connection goes through.
pub(super) enum Jump {
    Direct,
    Vm(Arc<Link>),
    Host(Box<Target>),
}

/// A connect that did not succeed.
struct Refusal {
    cause: Cause,
    may_pass: bool,
}

impl Link {
    pub(super) fn new(
        name: &str,
        target: Target,
        jump: Jump,
        limits: Limits,
        budgets: Readiness,
    ) -> Self {
        let log = Arc::new(VmLog::default());
        Self {
            name: name.to_owned(),
            target,
            jump,
            limits,
            budgets,
            session: Mutex::default(),
            lost: OnceLock::new(),
            watch: HealthWatch::new(name, log.clone(), budgets.running),
            log,
        }
    }

    /// The VM's name.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The password for sudo.
    pub(super) fn sudo_password(&self) -> Option<Secret> {
        self.target.secrets.sudo_password.clone()
    }

    /// What an obstacle is on this VM.
    pub(super) fn cause(&self, obstacle: Obstacle) -> Cause {
        Cause {
            vm: self.name.clone(),
            stage: obstacle.stage,
            address: self.target.ssh.address(),
            message: obstacle.message,
            hint: obstacle.hint,
        }
    }

    /// The VM's connection. Whoever asks first connects, and tries until `until`; the others wait
    /// for the same answer. A VM that is given up stays so: it is one cause, not one for each
    /// assertion.
    pub(super) fn session<'a>(
        &'a self,
        shared: &'a Shared,
        until: Instant,
    ) -> Pin<Box<dyn Future<Output = Result<Arc<Session>, Cause>> + Send + 'a>> {
        Box::pin(async move {
            let mut session = self.session.lock().await;
            if let Some(live) = session.as_ref().filter(|session| !session.is_closed()) {
                return Ok(live.clone());
            }
            if let Some(cause) = self.lost.get() {
                return Err(cause.clone());
            }
            match self.connect_until(shared, until).await {
                Ok(fresh) => {
                    let fresh = Arc::new(fresh);
                    self.log.note_login(&fresh);
                    self.watch.begin(shared, &fresh);
                    shared.notify(Event::Ready { vm: self.name.clone() });
                    *session = Some(fresh.clone());
                    Ok(fresh)
                }
                Err(cause) => Err(self.give_up(shared, cause)),
            }
        })
    }

    async fn connect_until(&self, shared: &Shared, until: Instant) -> Result<Session, Cause> {
        let mut pause = FIRST_PAUSE;
        loop {
            self.log.note_connect();
            let cause = match self.connect_once(shared, until).await {
                Ok(session) => return Ok(session),
                Err(refusal) if !refusal.may_pass || Instant::now() >= until => {
                    return Err(refusal.cause);
                }
                Err(refusal) => refusal.cause,
            };
            if let Some(spent) = self.log.spent_budget(self.budgets, shared.start.elapsed()) {
                return Err(Cause { message: format!("{}; {spent}", cause.message), ..cause });
            }
            shared.notify(Event::Waiting { vm: self.name.clone(), why: cause.to_string() });
            sleep(pause.min(until.saturating_duration_since(Instant::now()))).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn connect_once(&self, shared: &Shared, until: Instant) -> Result<Session, Refusal> {
        match &self.jump {
            Jump::Direct => self.connect_through(None, shared).await,
            Jump::Vm(jump) => {
                let session = jump.session(shared, until).await;
                let session = session.map_err(|cause| Refusal { cause, may_pass: false })?;
                self.connect_through(Some(&session), shared).await
            }
            Jump::Host(jump) => {
                let session = connect(jump, None, self.limits, &|_| {}).await;
                let session = session.map_err(|obstacle| {
                    let at = jump.ssh.address();
                    let message = format!("jump host {at}: {}", obstacle.message);
                    self.refusal(Obstacle { message, ..obstacle })
                })?;
                self.connect_through(Some(&session), shared).await
            }
        }
    }

    async fn connect_through(
        &self,
        jump: Option<&Session>,
        shared: &Shared,
    ) -> Result<Session, Refusal> {
        let reached = |milestone| self.log.note_milestone(milestone, shared.start.elapsed());
        let session = connect(&self.target, jump, self.limits, &reached).await;
        session.map_err(|obstacle| self.refusal(obstacle))
    }

    fn refusal(&self, obstacle: Obstacle) -> Refusal {
        let may_pass = obstacle.may_pass;
        Refusal { cause: self.cause(obstacle), may_pass }
    }

    /// The first cause stays.
    fn give_up(&self, shared: &Shared, cause: Cause) -> Cause {
        self.log.note_cause(&cause);
        shared.notify(Event::Lost { cause: cause.clone() });
        self.lost.get_or_init(|| cause).clone()
    }

    /// Drops a connection on which nothing is answered any more: the next one who needs the VM
    /// connects anew, or, when the time is up, the VM is given up for all.
    pub(super) async fn abandon(
        &self,
        shared: &Shared,
        dead: &Arc<Session>,
        until: Instant,
    ) -> Cause {
        let cause = self.cause(frozen());
        let mut session = self.session.lock().await;
        if session.as_ref().is_some_and(|current| Arc::ptr_eq(current, dead)) {
            *session = None;
            if Instant::now() >= until {
                return self.give_up(shared, cause);
            }
        }
        self.lost.get().cloned().unwrap_or(cause)
    }

    /// Looks once more at a VM whose assertions are done: did it stay the same, and, if an
    /// assertion is red, why?
    pub(super) async fn look_back(&self, shared: &Shared, red: bool, units: &[String]) {
        let looking = async {
            let session = self.session.lock().await.clone();
            let live = session.filter(|session| !session.is_closed());
            let aftermath = Aftermath { red, units, sudo_password: self.sudo_password() };
            self.watch.look_back(shared, live, aftermath).await;
        };
        tokio::select! {
            biased;
            // Whoever ends a run early waits for nothing more; what is known by now is kept.
            () = looking => {}
            _ = shared.stop.requested() => {}
        }
    }

    /// Ends the commands that a stopped run left on the VM.
    pub(super) async fn end_commands(&self) {
        let session = self.session.lock().await.clone();
        if let Some(session) = session {
            end_commands(&session).await;
        }
    }

    /// Ends the connection and returns what was seen; `None` if nothing connected to the VM.
    pub(super) async fn close(&self) -> Option<VmRecord> {
        self.watch.close().await;
        if let Some(session) = self.session.lock().await.take() {
            session.disconnect().await;
        }
        let record = self.log.snapshot();
        (record.connects > 0).then_some(record)
    }
}

fn frozen() -> Obstacle {
    Obstacle::passing(
        Stage::Timeout,
        "it stopped answering: the SSH connection is open, and nothing comes back on it",
    )
    .hint(
        "is the VM paused, frozen, or cut off from the network? \
         `bootproof lab status` shows the status of a local one",
    )
}
