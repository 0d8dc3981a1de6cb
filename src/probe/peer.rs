//! How to look at a VM among its peers: the same question to all of them, at once.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::context::{ProbeContext, Unanswered};
use super::vm::LiveVm;
use crate::assertion::peer::{
    Aspect, Clock, Peer, PeerIdentity, PeerSeen, READ_CLOCK, READ_IDENTITY,
};
use crate::obstacle::{Obstacle, Stage};
use crate::ssh::Session;
use crate::ssh::exec::{exec, exec_when_ready};

/// A clock that is known to this many seconds is not read again.
const GOOD_ENOUGH: f64 = 0.5;

/// How often a clock is read at most.
const CLOCK_READS: usize = 3;

pub(super) async fn look(peer: &Peer, context: &ProbeContext) -> Result<PeerSeen, Unanswered> {
    match peer.aspect {
        Aspect::Identity { .. } => {
            let others = ask_others(peer, context, identity);
            let own = identity(context.vm.clone(), context.clone()).await?;
            Ok(PeerSeen::Identity(own, answers(others).await))
        }
        Aspect::Clock { read, .. } => {
            let others = ask_others(peer, context, clock);
            let own = if read == READ_CLOCK {
                clock(context.vm.clone(), context.clone()).await?
            } else {
                own_clock(context, read).await?
            };
            Ok(PeerSeen::Clock(own, answers(others).await))
        }
    }
}

/// A question to another VM; `None` if that VM is down.
struct Question<T> {
    vm: String,
    answer: Option<Asking<T>>,
}

/// A question under way. Dropping it takes the question back, so that its command ends, too.
struct Asking<T>(JoinHandle<Result<T, Unanswered>>);

impl<T> Drop for Asking<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn ask_others<T, F>(
    peer: &Peer,
    context: &ProbeContext,
    ask: impl Fn(Arc<LiveVm>, ProbeContext) -> F,
) -> Vec<Question<T>>
where
    T: Send + 'static,
    F: Future<Output = Result<T, Unanswered>> + Send + 'static,
{
    let mut questions = Vec::new();
    for (name, _) in &peer.others {
        let vm = context.others.get(name).cloned();
        let answer = vm.map(|vm| Asking(tokio::spawn(ask(vm, context.clone()))));
        questions.push(Question { vm: name.clone(), answer });
    }
    questions
}

/// The answers, by VM; `None` for a VM that could not be asked.
async fn answers<T>(questions: Vec<Question<T>>) -> Vec<(String, Option<T>)> {
    let mut answers = Vec::new();
    for question in questions {
        let answer = match question.answer {
            Some(mut asking) => (&mut asking.0).await.ok().and_then(Result::ok),
            None => None,
        };
        answers.push((question.vm, answer));
    }
    answers
}

async fn identity(vm: Arc<LiveVm>, context: ProbeContext) -> Result<PeerIdentity, Unanswered> {
    let session = &vm.session;
    context.fact(&vm, &vm.identity, |deadline| read_identity(session, deadline)).await
}

async fn read_identity(session: &Session, deadline: Instant) -> Result<PeerIdentity, Unanswered> {
    let printed = exec(session, READ_IDENTITY, None, deadline).await?;
    let identity = PeerIdentity::parse(&printed.stdout.text, &session.fingerprint);
    identity.ok_or_else(|| Unanswered {
        obstacle: unreadable("cannot read the VM's addresses"),
        partial: Some(printed),
    })
}

async fn clock(vm: Arc<LiveVm>, context: ProbeContext) -> Result<Clock, Unanswered> {
    let session = &vm.session;
    context.fact(&vm, &vm.clock, |deadline| read_clock(session, READ_CLOCK, deadline)).await
}

/// The VM's clock by another command, which nobody else wants to know.
async fn own_clock(context: &ProbeContext, read: &str) -> Result<Clock, Unanswered> {
    let vm = &context.vm;
    let reading =
        vm.read(context.alone, context.limit, |deadline| read_clock(&vm.session, read, deadline));
    reading.await.result
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
