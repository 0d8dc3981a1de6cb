//! What is shared by the VMs behind one jump host.

use std::sync::Arc;

use tokio::sync::{Mutex, Semaphore, SemaphorePermit};
use tokio::time::Instant;

use crate::obstacle::Obstacle;
use crate::spec::inventory::Ssh;
use crate::ssh::{Limits, Session, Target, connect};

/// So many logins at once through one jump host: sshd refuses more than ten that are not yet
/// finished (`MaxStartups 10:30:100`), and several addresses may lead to one VM.
const LOGINS_BEHIND: usize = 8;

/// The logins through one jump host.
pub(super) struct Behind(Semaphore);

impl Default for Behind {
    fn default() -> Self {
        Self(Semaphore::new(LOGINS_BEHIND))
    }
}

impl Behind {
    /// Waits until one more login may begin; it ends with the permit.
    pub(super) async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        self.0.acquire().await.ok()
    }
}

/// A jump host that is not a VM of the inventory: one connection for all VMs behind it.
pub(super) struct JumpHost {
    target: Target,
    behind: Behind,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    session: Option<Arc<Session>>,
    /// When the last try ended that did not succeed, and why.
    failed: Option<(Instant, Obstacle)>,
}

impl JumpHost {
    pub(super) fn new(target: Target) -> Self {
        Self { target, behind: Behind::default(), state: Mutex::default() }
    }

    /// Whether it is reached in this way.
    pub(super) fn is_reached_by(&self, ssh: &Ssh) -> bool {
        self.target.ssh == *ssh
    }

    pub(super) fn behind(&self) -> &Behind {
        &self.behind
    }

    /// The connection. Whoever asks first connects; the others wait for the same answer.
    pub(super) async fn session(&self, limits: Limits) -> Result<Arc<Session>, Obstacle> {
        let asked = Instant::now();
        let mut state = self.state.lock().await;
        if let Some(session) = state.session.as_ref().filter(|session| !session.is_closed()) {
            return Ok(session.clone());
        }
        if let Some((ended, obstacle)) = &state.failed
            && *ended > asked
        {
            return Err(obstacle.clone());
        }
        match connect(&self.target, None, limits, &|_| {}).await {
            Ok(session) => Ok(state.session.insert(Arc::new(session)).clone()),
            Err(obstacle) => {
                let at = self.target.ssh.address();
                let message = format!("jump host {at}: {}", obstacle.message);
                let obstacle = Obstacle { message, ..obstacle };
                state.failed = Some((Instant::now(), obstacle.clone()));
                Err(obstacle)
            }
        }
    }

    pub(super) async fn disconnect(&self) {
        if let Some(session) = self.state.lock().await.session.take() {
            session.disconnect().await;
        }
    }
}
