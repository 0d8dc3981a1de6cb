//! The link to one VM: waited for patiently, shared by its assertions, given up once.
//!
//! A VM that others are reached through needs a connection; a VM that is asked itself also needs a
//! login shell that runs commands.

use std::future::Future;
use std::hash::{BuildHasher, RandomState};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::{Instant, sleep};

use super::event::Event;
use super::jump_host::{Behind, JumpHost};
use super::seat::Seat;
use super::shared::Shared;
use super::vm_log::VmLog;
use super::watch::{Aftermath, HealthWatch};
use super::window::Window;
use crate::assertion::facts::PeerReading;
use crate::obstacle::{Obstacle, Stage};
use crate::outcome::Cause;
use crate::probe::{LiveVm, Wanted, shell};
use crate::record::{Unread, VmRecord};
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
    /// The logins of the VMs that are reached through this one.
    behind: Behind,
    seat: Seat,
    /// How many still need the connection: its own visit, wires of other VMs, VMs behind it.
    needs: AtomicUsize,
    limits: Limits,
    budgets: Readiness,
    connected: Mutex<Option<Connected>>,
    lost: OnceLock<Cause>,
    wanted: OnceLock<Arc<Wanted>>,
    log: Arc<VmLog>,
    watch: HealthWatch,
}

/// What a connection goes through.
pub(super) enum Jump {
    Direct,
    /// Another VM of the inventory.
    Vm(Arc<Link>),
    /// Another machine.
    Host(Arc<JumpHost>),
}

/// What a connection is needed for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Need {
    Connection,
    Shell,
}

/// A connection, and what it is good for.
#[derive(Clone)]
struct Connected {
    session: Arc<Session>,
    /// `None` as long as nobody needed more than the connection.
    vm: Option<Arc<LiveVm>>,
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
        window: &Arc<Window>,
    ) -> Self {
        let log = Arc::new(VmLog::default());
        Self {
            name: name.to_owned(),
            target,
            jump,
            behind: Behind::default(),
            seat: Seat::new(window.clone()),
            needs: AtomicUsize::new(0),
            limits,
            budgets,
            connected: Mutex::default(),
            lost: OnceLock::new(),
            wanted: OnceLock::new(),
            watch: HealthWatch::new(name, log.clone(), budgets.running),
            log,
        }
    }

    /// The VM's name.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The VM's place in the window.
    pub(super) fn seat(&self) -> &Seat {
        &self.seat
    }

    /// Somebody will need the connection, and therefore what it goes through.
    pub(super) fn need(&self) {
        if self.needs.fetch_add(1, Ordering::Relaxed) == 0
            && let Jump::Vm(jump) = &self.jump
        {
            jump.need();
        }
    }

    /// Somebody does not need the connection any more; it ends with the last one.
    pub(super) fn done(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(async move {
            if self.needs.fetch_sub(1, Ordering::Relaxed) > 1 {
                return;
            }
            self.end_commands().await;
            self.disconnect().await;
            if let Jump::Vm(jump) = &self.jump {
                jump.done().await;
            }
        })
    }

    /// Says what will be asked about this VM, so that one look can answer all; only once.
    pub(super) fn announce(&self, wanted: Wanted) {
        let _ = self.wanted.set(Arc::new(wanted));
    }

    /// Keeps what is compared between VMs.
    pub(super) fn note_fact(&self, reading: PeerReading) {
        self.log.change(|record| record.facts.note(reading));
    }

    /// Keeps why something that is compared could not be read.
    pub(super) fn note_unread(&self, fact: &str, obstacle: Obstacle) {
        let unread = Unread { fact: fact.to_owned(), cause: self.cause(obstacle) };
        self.log.change(|record| record.unread.push(unread));
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

    /// The VM, ready to be asked. Whoever asks first connects, and tries until `until`; the others
    /// wait for the same answer. A VM that is given up stays so: it is one cause, not one for each
    /// assertion.
    pub(super) async fn vm(&self, shared: &Shared, until: Instant) -> Result<Arc<LiveVm>, Cause> {
        let mut connected = self.connected.lock().await;
        if let Some(vm) = connected.as_ref().filter(|it| it.is_live()).and_then(|it| it.vm.clone())
        {
            return Ok(vm);
        }
        let ready = self.ready_until(shared, until, &mut connected, Need::Shell).await?;
        ready.vm.ok_or_else(|| self.cause(Obstacle::lost()))
    }

    /// The VM's connection, for what is behind it.
    fn connection<'a>(
        &'a self,
        shared: &'a Shared,
        until: Instant,
    ) -> Pin<Box<dyn Future<Output = Result<Arc<Session>, Cause>> + Send + 'a>> {
        Box::pin(async move {
            let mut connected = self.connected.lock().await;
            if let Some(live) = connected.as_ref().filter(|it| it.is_live()) {
                return Ok(live.session.clone());
            }
            let ready = self.ready_until(shared, until, &mut connected, Need::Connection).await?;
            Ok(ready.session)
        })
    }

    async fn ready_until(
        &self,
        shared: &Shared,
        until: Instant,
        connected: &mut Option<Connected>,
        need: Need,
    ) -> Result<Connected, Cause> {
        if let Some(cause) = self.lost.get() {
            return Err(cause.clone());
        }
        let live = connected.take().filter(Connected::is_live);
        match self.try_until(shared, until, live, need).await {
            Ok(ready) => {
                *connected = Some(ready.clone());
                if let Some(vm) = &ready.vm {
                    self.watch.begin(shared, vm);
                    shared.notify(Event::Ready { vm: self.name.clone() });
                }
                Ok(ready)
            }
            Err(cause) => Err(self.give_up(shared, cause)),
        }
    }

    async fn try_until(
        &self,
        shared: &Shared,
        until: Instant,
        mut live: Option<Connected>,
        need: Need,
    ) -> Result<Connected, Cause> {
        let mut pause = FIRST_PAUSE;
        let began = Instant::now();
        loop {
            let cause = match self.try_once(shared, until, live.take(), need).await {
                Ok(ready) => return Ok(ready),
                Err(refusal) if !refusal.may_pass => return Err(refusal.cause),
                Err(refusal) if Instant::now() >= until => {
                    return Err(after_waiting(refusal.cause, pause > FIRST_PAUSE, began.elapsed()));
                }
                Err(refusal) => refusal.cause,
            };
            if let Some(spent) = self.log.spent_budget(self.budgets, shared.start.elapsed()) {
                return Err(Cause { message: format!("{}; {spent}", cause.message), ..cause });
            }
            shared.notify(Event::Waiting { vm: self.name.clone(), why: cause.to_string() });
            let left = until.saturating_duration_since(Instant::now());
            self.seat.rest(sleep(jittered(pause).min(left))).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Connects, unless there is a `live` connection, and looks at the login shell if it is needed.
    async fn try_once(
        &self,
        shared: &Shared,
        until: Instant,
        live: Option<Connected>,
        need: Need,
    ) -> Result<Connected, Refusal> {
        let session = match live {
            Some(live) => live.session,
            None => self.log_in(shared, until).await?,
        };
        if need == Need::Connection {
            return Ok(Connected { session, vm: None });
        }
        let shell = shell::look(&session).await.map_err(|obstacle| self.refusal(obstacle))?;
        self.log.note_shell(&shell);
        let wanted = self.wanted.get().cloned().unwrap_or_default();
        let vm = Some(Arc::new(LiveVm::new(session.clone(), &shell, wanted)));
        Ok(Connected { session, vm })
    }

    async fn log_in(&self, shared: &Shared, until: Instant) -> Result<Arc<Session>, Refusal> {
        self.log.note_connect();
        let session = self.connect_once(shared, until).await?;
        self.log.note_login(&session);
        Ok(Arc::new(session))
    }

    async fn connect_once(&self, shared: &Shared, until: Instant) -> Result<Session, Refusal> {
        match &self.jump {
            Jump::Direct => self.connect_through(None, shared).await,
            Jump::Vm(jump) => {
                let session = jump.connection(shared, until).await;
                let session = session.map_err(|cause| Refusal { cause, may_pass: false })?;
                let _turn = jump.behind.turn().await;
                self.connect_through(Some(&session), shared).await
            }
            Jump::Host(jump) => {
                let session = jump.session(self.limits).await;
                let session = session.map_err(|obstacle| self.refusal(obstacle))?;
                let _turn = jump.behind().turn().await;
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
        let began = Instant::now();
        let session = connect(&self.target, jump, self.limits, &reached).await;
        let is_answered = match &session {
            Ok(_) => true,
            // A server that is not there, or does not let us in, says nothing about our speed.
            Err(obstacle) => matches!(obstacle.stage, Stage::Banner | Stage::Handshake),
        };
        if is_answered {
            self.seat.window().note_login(began.elapsed());
        }
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
    pub(super) async fn abandon(&self, shared: &Shared, dead: &LiveVm, until: Instant) -> Cause {
        let cause = self.cause(frozen());
        let mut connected = self.connected.lock().await;
        if connected.as_ref().is_some_and(|current| Arc::ptr_eq(&current.session, &dead.session)) {
            *connected = None;
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
            let connected = self.connected.lock().await.clone();
            let live = connected.filter(Connected::is_live).and_then(|connected| connected.vm);
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
        let connected = self.connected.lock().await.clone();
        if let Some(Connected { session, .. }) = connected {
            end_commands(&session).await;
        }
    }

    /// Ends the connection.
    pub(super) async fn disconnect(&self) {
        self.watch.close().await;
        let connected = self.connected.lock().await.take();
        if let Some(Connected { session, vm }) = connected {
            self.log.note_pace(vm.and_then(|vm| vm.pace()));
            session.disconnect().await;
        }
    }

    /// What was seen of the VM; `None` if nothing connected to it.
    pub(super) fn record(&self) -> Option<VmRecord> {
        let record = self.log.snapshot();
        (record.connects > 0).then_some(record)
    }
}

/// A little less or more, so that those who failed together do not come again together.
fn jittered(pause: Duration) -> Duration {
    let random = u32::try_from(RandomState::new().hash_one(()) % 512).unwrap_or(0);
    pause * (768 + random) / 1024
}

/// The cause of the last try does not say how long bootproof has tried.
fn after_waiting(cause: Cause, tried_often: bool, span: Duration) -> Cause {
    if !tried_often {
        return cause;
    }
    let span = humantime::format_duration(Duration::from_secs(span.as_secs()));
    Cause { message: format!("{}; bootproof has tried for {span}", cause.message), ..cause }
}

impl Connected {
    fn is_live(&self) -> bool {
        !self.session.is_closed()
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
