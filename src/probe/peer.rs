//! How to look at what is compared between VMs: which machine each is, and its clock.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

use super::context::{ProbeContext, Unanswered};
use crate::assertion::facts::{Clock, PeerIdentity, PeerReading, READ_CLOCK, READ_IDENTITY};
use crate::assertion::peer::{Aspect, Peer, PeerSeen};
use crate::obstacle::{Obstacle, Stage};
use crate::ssh::Session;
use crate::ssh::exec::{exec, exec_when_ready};

/// A clock that is known to this many seconds is not read again.
const GOOD_ENOUGH: f64 = 0.5;

/// How often a clock is read at most.
const CLOCK_READS: usize = 3;

/// The VM alone: whoever knows the others adds them.
pub(super) async fn look(peer: &Peer, context: &ProbeContext) -> Result<PeerSeen, Unanswered> {
    let own = read(peer.aspect, context).await?;
    Ok(PeerSeen { own, facts: Arc::default() })
}

/// Reads one aspect of the VM.
pub async fn read(aspect: Aspect, context: &ProbeContext) -> Result<PeerReading, Unanswered> {
    let vm = &context.vm;
    let session = &vm.session;
    match aspect {
        Aspect::Identity { .. } => {
            let reading = context.fact(vm, &vm.identity, |until| read_identity(session, until));
            reading.await.map(PeerReading::Identity)
        }
        Aspect::Clock { read: READ_CLOCK, .. } => {
            let reading =
                context.fact(vm, &vm.clock, |until| read_clock(session, READ_CLOCK, until));
            reading.await.map(PeerReading::Clock)
        }
        // Nobody else wants to know the time in another way.
        Aspect::Clock { read, .. } => {
            let clock = |until| read_clock(session, read, until);
            let reading = vm.read(context.alone, context.limit, clock).await;
            reading.result.map(PeerReading::Clock)
        }
    }
}

async fn read_identity(session: &Session, deadline: Instant) -> Result<PeerIdentity, Unanswered> {
    let printed = exec(session, READ_IDENTITY, None, deadline).await?;
    let identity = PeerIdentity::parse(&printed.stdout.text, &session.fingerprint);
    identity.ok_or_else(|| Unanswered {
        obstacle: unreadable("cannot read the VM's addresses"),
        partial: Some(printed),
    })
}

/// The best of a few readings: a reading that had to wait for its turn is late and inexact.
async fn read_clock(session: &Session, read: &str, deadline: Instant) -> Result<Clock, Unanswered> {
    let mut best: Option<Clock> = None;
    for _ in 0..CLOCK_READS {
        let called = now();
        let (printed, ready_after) = exec_when_ready(session, read, deadline).await?;
        let asked = called + ready_after.as_secs_f64();
        let Some(clock) = Clock::parse(&printed.stdout.text, asked, now()) else {
            let obstacle = unreadable("cannot read the VM's clock");
            return Err(Unanswered { obstacle, partial: Some(printed) });
        };
        let better = best.filter(|best| best.doubt <= clock.doubt).unwrap_or(clock);
        best = Some(better);
        if better.doubt <= GOOD_ENOUGH {
            break;
        }
    }
    best.ok_or_else(|| unreadable("the VM's clock was not read").into())
}

fn unreadable(what: &str) -> Obstacle {
    Obstacle::passing(Stage::Answer, what)
}

/// Seconds since 1970.
fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}
