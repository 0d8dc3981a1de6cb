//! The link to one VM: waited for patiently, shared by its assertions, given up once.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex as StdMutex, OnceLock, PoisonError};
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use super::{Event, Shared};
use crate::outcome::Cause;
use crate::probe::identity::{self, Identity};
use crate::secrets::{Secret, Secrets};
use crate::spec::inventory::{Inventory, Ssh, Via, Vm};
use crate::ssh::host_key::{HostKeyPolicy, Trust};
use crate::ssh::{Limits, Session, SshError, Target, connect};

/// What was seen of a VM.
#[derive(Debug, Clone, Default)]
pub struct VmRecord {
    /// The server's identification.
    pub banner: Option<String>,
    /// Fingerprint of its host key.
    pub host_key: Option<String>,
    /// Why the host key was trusted.
    pub trust: Option<Trust>,
    /// From the start of the run to the login.
    pub ready: Option<Duration>,
    /// How often it was tried to log in.
    pub connects: u32,
    /// Which machine it is.
    pub identity: Identity,
    /// Why it was given up.
    pub cause: Option<Cause>,
}

/// The way to one VM.
pub(super) struct Link {
    name: String,
    target: Target,
    jump: Jump,
    limits: Limits,
    session: Mutex<Option<Arc<Session>>>,
    lost: OnceLock<Cause>,
    record: StdMutex<VmRecord>,
    identity: StdMutex<Option<JoinHandle<Identity>>>,
}

/// Through whom.
enum Jump {
    Direct,
    Vm(Arc<Link>),
    Host(Box<Target>),
}

/// Makes the links of all VMs; nothing is connected yet.
pub(super) fn links(inventory: &Inventory, secrets: &Secrets, limits: Limits) -> HashMap<String, Arc<Link>> {
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
        Some(Via::Vm(name)) => Jump::Vm(make_link(inventory, secrets, limits, &inventory.vms[name], links)),
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
        session: Mutex::default(),
        lost: OnceLock::new(),
        record: StdMutex::default(),
        identity: StdMutex::default(),
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
    pub(super) fn cause(&self, error: SshError) -> Cause {
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
                Err((cause, may_pass)) if !may_pass || Instant::now() >= until => return Err(cause),
                Err((cause, _)) => cause,
            };
            (shared.listener)(Event::Waiting { vm: self.name.clone(), why: cause.to_string() });
            sleep(pause.min(until.saturating_duration_since(Instant::now()))).await;
            // sshd penalizes who comes too often (PerSourcePenalties).
            pause = (pause * 2).min(Duration::from_secs(5));
        }
    }

    async fn connect_once(&self, shared: &Shared, until: Instant) -> Result<Session, (Cause, bool)> {
        let here = |error: SshError| {
            let may_pass = error.may_pass;
            (self.cause(error), may_pass)
        };
        match &self.jump {
            Jump::Direct => connect(&self.target, None, self.limits).await.map_err(here),
            Jump::Vm(jump) => {
                let jump = jump.session(shared, until).await.map_err(|cause| (cause, false))?;
                connect(&self.target, Some(&jump), self.limits).await.map_err(here)
            }
            Jump::Host(jump) => {
                let through = connect(jump, None, self.limits).await.map_err(|error| {
                    let message = format!("jump host {}: {}", jump.ssh.address(), error.message);
                    here(SshError { message, ..error })
                })?;
                connect(&self.target, Some(&through), self.limits).await.map_err(here)
            }
        }
    }

    fn note(&self, change: impl FnOnce(&mut VmRecord)) {
        change(&mut self.record.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn note_ready(&self, shared: &Shared, session: &Arc<Session>) {
        self.note(|record| {
            record.banner = Some(session.banner.clone());
            record.host_key = Some(session.fingerprint.clone());
            // Accepted in this run stays the word for it, also after a reconnect.
            record.trust.get_or_insert(session.trust);
            record.ready.get_or_insert(shared.start.elapsed());
        });
        let asking = session.clone();
        let identity = tokio::spawn(async move { identity::look(&asking).await });
        *self.identity.lock().unwrap_or_else(PoisonError::into_inner) = Some(identity);
        (shared.listener)(Event::Ready { vm: self.name.clone() });
    }

    /// Ends the connection and tells what was seen; `None` when it was never tried.
    pub(super) async fn close(&self, shared: &Shared) -> Option<VmRecord> {
        let asking = self.identity.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(mut asking) = asking {
            let known = tokio::select! {
                // What is known by now is kept, also when the run is ended early.
                biased;
                known = &mut asking => known.ok(),
                _ = shared.stop.pulled() => None,
            };
            self.note(|record| record.identity = known.unwrap_or_default());
        }
        if let Some(session) = self.session.lock().await.take() {
            let _ = timeout(Duration::from_millis(200), session.disconnect()).await;
        }
        let record = self.record.lock().unwrap_or_else(PoisonError::into_inner).clone();
        (record.connects > 0).then_some(record)
    }
}
