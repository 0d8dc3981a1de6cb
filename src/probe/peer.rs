//! How to look at a VM among its peers: the same question to all of them, at once.

use crate::obstacle::{Obstacle, Stage};
use std::net::IpAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::task::JoinHandle;

use super::{ProbeError, Vantage};
use crate::assertion::peer::{
    Aspect, Clock, Peer, PeerIdentity, PeerSeen, READ_CLOCK, READ_IDENTITY,
};
use crate::ssh::exec::exec;

/// A clock is asked again when the answer is off by more than this, in seconds, at most.
const GOOD_ENOUGH: f64 = 0.5;
const CLOCK_TRIES: usize = 3;

pub(super) async fn look(peer: &Peer, from: &Vantage) -> Result<PeerSeen, ProbeError> {
    match peer.aspect {
        Aspect::Identity { .. } => {
            let others = ask_others(peer, from, identity);
            Ok(PeerSeen::Identity(identity(from.clone()).await?, answers(others).await))
        }
        Aspect::Clock { read, .. } => {
            let others = ask_others(peer, from, |there| clock(there, READ_CLOCK));
            Ok(PeerSeen::Clock(clock(from.clone(), read).await?, answers(others).await))
        }
    }
}

type Asked<T> = Vec<(String, Option<JoinHandle<Result<T, ProbeError>>>)>;

fn ask_others<T, F>(peer: &Peer, from: &Vantage, ask: impl Fn(Vantage) -> F) -> Asked<T>
where
    T: Send + 'static,
    F: Future<Output = Result<T, ProbeError>> + Send + 'static,
{
    let asked = |(name, _): &(String, Option<IpAddr>)| {
        let session = from.others.get(name).cloned();
        let there = session.map(|session| Vantage { session, ..from.clone() });
        (name.clone(), there.map(|there| tokio::spawn(ask(there))))
    };
    peer.others.iter().map(asked).collect()
}

/// Of those that could be asked.
async fn answers<T>(asked: Asked<T>) -> Vec<(String, Option<T>)> {
    let mut seen = Vec::new();
    for (name, asking) in asked {
        let answer = match asking {
            Some(asking) => asking.await.ok().and_then(Result::ok),
            None => None,
        };
        seen.push((name, answer));
    }
    seen
}

async fn identity(from: Vantage) -> Result<PeerIdentity, ProbeError> {
    let printed = exec(&from.session, READ_IDENTITY, None, from.deadline).await?;
    let identity = PeerIdentity::parse(&printed.stdout.text, &from.session.fingerprint);
    identity.ok_or_else(|| ProbeError {
        error: unreadable("its addresses cannot be read"),
        partial: Some(printed),
    })
}

/// The best of a few answers: what waits for its turn comes late, and says little.
async fn clock(from: Vantage, read: &'static str) -> Result<Clock, ProbeError> {
    let mut best: Option<Clock> = None;
    for _ in 0..CLOCK_TRIES {
        let asked = now();
        let printed = exec(&from.session, read, None, from.deadline).await?;
        let Some(clock) = Clock::parse(&printed.stdout.text, asked, now()) else {
            return Err(ProbeError {
                error: unreadable("its clock cannot be read"),
                partial: Some(printed),
            });
        };
        let better = best.filter(|best| best.doubt <= clock.doubt).unwrap_or(clock);
        best = Some(better);
        if better.doubt <= GOOD_ENOUGH {
            break;
        }
    }
    best.ok_or_else(|| unreadable("its clock was not read").into())
}

fn unreadable(what: &str) -> Obstacle {
    Obstacle::passing(Stage::Answer, what)
}

/// Seconds since 1970.
fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}
