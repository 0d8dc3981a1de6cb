//! The link to one VM: waited for patiently, shared by its assertions, given up once.

use crate::obstacle::{Obstacle, Stage};
use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex as StdMutex, OnceLock, PoisonError};
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::{Event, Shared};
use crate::health::evidence::SERVICES_AT_MOST;
use crate::health::identity::SystemIdentity;
use crate::health::{Health, is_booting};
use crate::outcome::Cause;
use crate::probe::{ProbeContext, health};
use crate::record::{Timeline, VmRecord};
use crate::secrets::{Secret, Secrets};
use crate::spec::duration::Span;
use crate::spec::inventory::{Inventory, Readiness, Ssh, Via, Vm};
use crate::ssh::host_key::HostKeyPolicy;
use crate::ssh::leftovers::end_commands;
use crate::ssh::{Limits, Milestone, Session, Target, connect};

/// So long a VM that moved while it was waited for must keep still.
const SETTLING: Duration = Duration::from_secs(10);

/// Between two questions whether the boot is over.
const BOOT_PAUSE: Duration = Duration::from_secs(1);

/// The boot step that a VM is to reach next: its name, its budget, and since when it is waited for.
fn next_step(timeline: &Timeline, budgets: Readiness) -> (&'static str, Option<Span>, Duration) {
    match (timeline.tcp, timeline.banner, timeline.login) {
        (None, ..) => ("tcp", budgets.tcp, Duration::ZERO),
        (Some(tcp), None, _) => ("banner", budgets.banner, tcp),
        (_, Some(banner), None) => ("login", budgets.login, banner),
        (_, _, Some(login)) => ("running", budgets.running, login),
    }
}

/// The way to one VM.
pub(super) struct Link {
    name: String,
    target: Target,
    jump: Jump,
    limits: Limits,
    budgets: Readiness,
    session: Mutex<Option<Arc<Session>>>,
    lost: OnceLock<Cause>,
    record: StdMutex<VmRecord>,
    asking: StdMutex<Option<FirstLook>>,
    /// How it was when its first assertion began.
    before: StdMutex<Option<Health>>,
}

/// Who answered, and how it was.
type FirstLook = JoinHandle<(SystemIdentity, Option<Health>, Boot)>;

/// What systemd says of the boot, and when it was over.
type Boot = (Option<String>, Option<Duration>);

/// Through whom.
enum Jump {
    Direct,
    Vm(Arc<Link>),
    Host(Box<Target>),
}

/// Makes the links of all VMs; nothing is connected yet.
pub(super) fn links(
    inventory: &Inventory,
    secrets: &Secrets,
    limits: Limits,
) -> HashMap<String, Arc<Link>> {
    let mut links = HashMap::new();
    for vm in inventory.vms.values() {
        make_link(inventory, secrets, limits, vm, &mut links);
    }
    links
}

/// Jump hosts first; the inventory has no circles.
fn make_link(
    inventory: &Inventory,
    secrets: &Secrets,
    limits: Limits,
    vm: &Vm,
    links: &mut HashMap<String, Arc<Link>>,
) -> Arc<Link> {
    if let Some(link) = links.get(&vm.name) {
        return link.clone();
    }
    let target = |ssh: Ssh| Target {
        host_keys: HostKeyPolicy {
            pin: ssh.host_key.clone(),
            known_hosts: HostKeyPolicy::usual_known_hosts(),
            lab_known_hosts: inventory.known_hosts.clone(),
        },
        secrets: secrets.of(&vm.name),
        ssh,
    };
    let jump = match &vm.ssh.via {
        None => Jump::Direct,
        Some(Via::Vm(name)) => {
            Jump::Vm(make_link(inventory, secrets, limits, &inventory.vms[name], links))
        }
        Some(Via::Host { user, host, port }) => Jump::Host(Box::new(target(Ssh {
            user: user.clone(),
            host: host.clone(),
            port: *port,
            // The pin is the VM's; the jump host must be known otherwise.
            host_key: None,
            ..vm.ssh.clone()
        }))),
    };
    let link = Arc::new(Link {
        name: vm.name.clone(),
        target: target(vm.ssh.clone()),
        jump,
        limits,
        budgets: vm.readiness,
        session: Mutex::default(),
        lost: OnceLock::new(),
        record: StdMutex::default(),
        asking: StdMutex::default(),
        before: StdMutex::default(),
    });
    links.insert(vm.name.clone(), link.clone());
    link
}

impl Link {
    /// `host:port` of the VM.
    pub(super) fn address(&self) -> String {
        self.target.ssh.address()
    }

    /// The password for sudo.
    pub(super) fn sudo_password(&self) -> Option<Secret> {
        self.target.secrets.sudo_password.clone()
    }

    /// A cause at this VM.
    pub(super) fn cause(&self, error: Obstacle) -> Cause {
        Cause {
            vm: self.name.clone(),
            stage: error.stage,
            address: self.address(),
            message: error.message,
            hint: error.hint,
        }
    }

    /// The VM's connection. Whoever asks first connects, and tries until `until`; the others wait for the same
    /// answer. A VM that is given up stays so: it is one cause, not one for each assertion.
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
                    self.note_ready(shared, &fresh);
                    *session = Some(fresh.clone());
                    Ok(fresh)
                }
                Err(cause) => {
                    self.note(|record| record.cause = Some(cause.clone()));
                    (shared.listener)(Event::Lost { cause: cause.clone() });
                    Err(self.lost.get_or_init(|| cause).clone())
                }
            }
        })
    }

    async fn connect_until(&self, shared: &Shared, until: Instant) -> Result<Session, Cause> {
        let mut pause = Duration::from_millis(500);
        loop {
            self.note(|record| record.connects += 1);
            let cause = match self.connect_once(shared, until).await {
                Ok(session) => return Ok(session),
                Err((cause, may_pass)) if !may_pass || Instant::now() >= until => {
                    return Err(cause);
                }
                Err((cause, _)) => cause,
            };
            if let Some(spent) = self.spent_budget(shared) {
                return Err(Cause { message: format!("{}; {spent}", cause.message), ..cause });
            }
            (shared.listener)(Event::Waiting { vm: self.name.clone(), why: cause.to_string() });
            sleep(pause.min(until.saturating_duration_since(Instant::now()))).await;
            // sshd penalizes who comes too often (PerSourcePenalties).
            pause = (pause * 2).min(Duration::from_secs(5));
        }
    }

    /// Which step of the boot has used up its budget.
    fn spent_budget(&self, shared: &Shared) -> Option<String> {
        let record = self.record.lock().unwrap_or_else(PoisonError::into_inner);
        let (step, budget, since) = next_step(&record.timeline, self.budgets);
        let Span(budget) = budget.filter(|budget| shared.start.elapsed() > since + budget.0)?;
        let budget = humantime::format_duration(budget);
        Some(format!("the readiness budget of {budget} for `{step}` is used up"))
    }

    async fn connect_once(
        &self,
        shared: &Shared,
        until: Instant,
    ) -> Result<Session, (Cause, bool)> {
        let here = |error: Obstacle| {
            let may_pass = error.may_pass;
            (self.cause(error), may_pass)
        };
        let reached = |milestone| self.note_milestone(milestone, shared.start.elapsed());
        match &self.jump {
            Jump::Direct => connect(&self.target, None, self.limits, &reached).await.map_err(here),
            Jump::Vm(jump) => {
                let jump = jump.session(shared, until).await.map_err(|cause| (cause, false))?;
                connect(&self.target, Some(&jump), self.limits, &reached).await.map_err(here)
            }
            Jump::Host(jump) => {
                let through = connect(jump, None, self.limits, &|_| {}).await.map_err(|error| {
                    let message = format!("jump host {}: {}", jump.ssh.address(), error.message);
                    here(Obstacle { message, ..error })
                })?;
                connect(&self.target, Some(&through), self.limits, &reached).await.map_err(here)
            }
        }
    }

    fn note(&self, change: impl FnOnce(&mut VmRecord)) {
        change(&mut self.record.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// The first time counts: a VM that reboots in the middle has come up all the same.
    fn note_milestone(&self, milestone: Milestone, at: Duration) {
        self.note(|record| {
            let step = match milestone {
                Milestone::Tcp => &mut record.timeline.tcp,
                Milestone::Banner => &mut record.timeline.banner,
                Milestone::Login => &mut record.timeline.login,
            };
            step.get_or_insert(at);
        });
    }

    fn note_ready(&self, shared: &Shared, session: &Arc<Session>) {
        self.note(|record| {
            record.banner = Some(session.banner.clone());
            record.host_key = Some(session.fingerprint.clone());
            // Accepted in this run stays the word for it, also after a reconnect.
            record.trust.get_or_insert(session.trust);
        });
        let session = session.clone();
        let mut asking = self.asking.lock().unwrap_or_else(PoisonError::into_inner);
        // A VM that was connected to before may have rebooted since: what was seen first is what counts.
        let earlier = asking.take();
        let (start, patience) = (shared.start, self.patience(shared));
        *asking = Some(tokio::spawn(async move {
            let until = Instant::now() + patience;
            let first = match earlier {
                Some(earlier) => earlier.await.ok().and_then(|(_, health, _)| health),
                None => None,
            };
            let reading = health::read(&session).await;
            let (identity, health) = (reading.identity, reading.health);
            let system = health.as_ref().and_then(Health::system).map(str::to_owned);
            (identity, first.or(health), await_boot(&session, system, start, until).await)
        }));
        drop(asking);
        (shared.listener)(Event::Ready { vm: self.name.clone() });
    }

    /// A connection on which nothing is answered any more is no connection: the next one who needs the VM connects
    /// anew, or, when its time is up, the VM is given up for all.
    pub(super) async fn abandon(
        &self,
        shared: &Shared,
        dead: &Arc<Session>,
        until: Instant,
    ) -> Cause {
        let frozen = Obstacle::passing(
            Stage::Timeout,
            "it stopped answering: the SSH connection is open, and nothing comes back on it",
        )
        .hint("is the VM paused, frozen, or cut off from the network? `bootproof lab status` tells of a local one");
        let cause = self.cause(frozen);
        let mut session = self.session.lock().await;
        if session.as_ref().is_some_and(|current| Arc::ptr_eq(current, dead)) {
            *session = None;
            if Instant::now() >= until {
                self.note(|record| record.cause = Some(cause.clone()));
                (shared.listener)(Event::Lost { cause: cause.clone() });
                return self.lost.get_or_init(|| cause).clone();
            }
        }
        self.lost.get().cloned().unwrap_or(cause)
    }

    /// Looks once more at a VM whose assertions are done: did it stay the same, and, when something is `red`, why?
    pub(super) async fn look_back(&self, shared: &Shared, red: bool, services: &[String]) {
        let looking = async {
            self.await_identity().await;
            let session = self.session.lock().await.clone().filter(|session| !session.is_closed());
            let Some(session) = session else { return };
            let mut unrest = self.unrest(shared, &session).await;
            unrest.extend(self.endless_boot(shared));
            let troubled = red || !unrest.is_empty();
            self.note(|record| record.unrest = unrest);
            if troubled && shared.settings.evidence {
                self.gather_evidence(session, services).await;
            }
        };
        tokio::select! {
            biased;
            // Whoever ends a run early waits for nothing more; what is known by now is kept.
            () = looking => {}
            _ = shared.stop.pulled() => {}
        }
    }

    async fn await_identity(&self) {
        let asking = self.asking.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(asking) = asking else { return };
        let Ok((identity, health, boot)) = asking.await else { return };
        self.note_first_look(identity, boot);
        let mut before = self.before.lock().unwrap_or_else(PoisonError::into_inner);
        if before.is_none() {
            *before = health;
        }
    }

    fn note_first_look(&self, identity: SystemIdentity, (system, running): Boot) {
        self.note(|record| {
            record.identity = identity;
            record.timeline.system = system;
            record.timeline.running = running;
        });
    }

    /// What has changed since the first look. A VM that was waited for may still have been coming up: what counts is
    /// whether it has come to rest.
    async fn unrest(&self, shared: &Shared, session: &Session) -> Vec<String> {
        let before = self.before.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(before) = before else { return Vec::new() };
        let Some(after) = health::read(session).await.health else { return Vec::new() };
        let unrest = compare(session, &before, &after, &after.young()).await;
        if unrest.is_empty()
            || after.is_another_boot_than(&before)
            || shared.settings.waits().is_zero()
        {
            return unrest;
        }
        (shared.listener)(Event::Waiting {
            vm: self.name.clone(),
            why: format!("{}: {}", self.name, unrest.join("; ")),
        });
        sleep(SETTLING).await;
        let Some(later) = health::read(session).await.health else { return unrest };
        compare(session, &after, &later, &[]).await
    }

    /// How long the end of the boot is waited for.
    fn patience(&self, shared: &Shared) -> Duration {
        let waits = shared.settings.waits();
        self.budgets.running.map_or(waits, |Span(budget)| budget.min(waits))
    }

    /// Who waits for a boot wants to see its end.
    fn endless_boot(&self, shared: &Shared) -> Option<String> {
        let record = self.record.lock().unwrap_or_else(PoisonError::into_inner);
        let state = record.timeline.system.as_deref().filter(|state| is_booting(state))?;
        let patience = humantime::format_duration(self.patience(shared));
        (!shared.settings.waits().is_zero())
            .then(|| format!("its boot does not end: systemd says `{state}` after {patience}"))
    }

    async fn gather_evidence(&self, session: Arc<Session>, services: &[String]) {
        let suspects: Vec<_> = health::suspects(&session)
            .await
            .iter()
            .map(|one| (one.name.clone(), one.describe()))
            .collect();
        let mut names: Vec<&str> = suspects.iter().map(|(name, _)| name.as_str()).collect();
        names.extend(
            services
                .iter()
                .map(String::as_str)
                .filter(|name| !suspects.iter().any(|(known, _)| known == name)),
        );
        names.truncate(SERVICES_AT_MOST);
        let (others, sudo_password) = (HashMap::new(), self.sudo_password());
        let context = ProbeContext { session, others, sudo_password, deadline: Instant::now() };
        let evidence = health::evidence(&context, &names).await;
        self.note(|record| {
            record.suspects = suspects;
            record.evidence = evidence;
        });
    }

    /// Ends the commands that a stopped run left on the VM.
    pub(super) async fn end_commands(&self) {
        let session = self.session.lock().await.clone();
        if let Some(session) = session {
            end_commands(&session).await;
        }
    }

    /// Ends the connection and tells what was seen; `None` when it was never tried.
    pub(super) async fn close(&self) -> Option<VmRecord> {
        let known = self.asking.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(known) = known.filter(JoinHandle::is_finished) {
            // The run was ended early; what is known by now is kept.
            if let Ok((identity, _, boot)) = known.await {
                self.note_first_look(identity, boot);
            }
        }
        if let Some(session) = self.session.lock().await.take() {
            session.disconnect().await;
        }
        let record = self.record.lock().unwrap_or_else(PoisonError::into_inner).clone();
        (record.connects > 0).then_some(record)
    }
}

/// Asks systemd until the boot is over, or `until`; what it said last, and when that was, from `start`, if it is over.
async fn await_boot(
    session: &Session,
    mut state: Option<String>,
    start: Instant,
    until: Instant,
) -> Boot {
    while state.as_deref().is_some_and(is_booting) {
        if Instant::now() >= until {
            return (state, None);
        }
        sleep(BOOT_PAUSE).await;
        state = health::boot_state(session).await;
    }
    (state, Some(start.elapsed()))
}

async fn compare(
    session: &Session,
    before: &Health,
    after: &Health,
    young: &[&str],
) -> Vec<String> {
    let mut names = after.moved_since(before);
    let young: Vec<_> = young.iter().filter(|name| !names.contains(name)).copied().collect();
    names.extend(young);
    after.instability_since(before, &health::services(session, &names).await)
}
