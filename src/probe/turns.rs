//! Turns: how many questions a VM has to answer at once. A VM with one busy CPU answers many
//! questions at once so slowly that all of them run into their time limits.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{Mutex as AsyncMutex, OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};

use crate::record::Pace;

/// Never more commands at once; the remaining channels of a connection are for the health watch.
const COMMANDS_AT_MOST: usize = 6;

/// Requests through the VM's sshd cost the VM little, and may wait for a server for long.
const REQUESTS_AT_MOST: usize = 6;

/// An answer that took less than this part of its time limit is quick, one that took more than
/// [`SLOW_PART`] is slow.
const QUICK_PART: u32 = 10;
const SLOW_PART: u32 = 3;

/// If no command ends for so long, the commands wait for something and do not keep the VM busy.
const STALLED: Duration = Duration::from_secs(8);

/// The turns of one VM.
pub(super) struct Turns {
    commands: Arc<Semaphore>,
    requests: Arc<Semaphore>,
    /// The permits of the requests that run while no command does.
    quiet: AsyncMutex<Weak<OwnedSemaphorePermit>>,
    state: Arc<Mutex<State>>,
    stalled_after: Duration,
}

/// Whom a turn is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Load {
    /// A command: the VM starts processes for it.
    Command,
    /// A connection or a request through its sshd.
    Request,
}

struct State {
    /// How many commands may run at once. The semaphore has as many permits, and `debt` more.
    limit: usize,
    /// Permits to take away as soon as they come back.
    debt: usize,
    /// Quick answers since the limit changed.
    quick: usize,
    /// Questions that run now.
    running: usize,
    /// Changes whenever one begins beside another.
    crowds: usize,
    /// Who waits to be alone, or is. The limit stays the same meanwhile.
    loners: usize,
    /// When a command ended last, or the limit changed.
    progress: Instant,
    times: Vec<Duration>,
    most_at_once: usize,
}

/// Permission to ask; asking ends when it is dropped.
pub(super) struct Turn {
    permit: Permit,
    state: Arc<Mutex<State>>,
    load: Load,
    began: Instant,
    /// [`State::crowds`] at the beginning; `None` if others ran then.
    quiet_since: Option<usize>,
}

enum Permit {
    /// `None` only after it was taken away.
    One(Option<OwnedSemaphorePermit>),
    /// All permits for commands, shared with the requests that run at the same time.
    All { _permits: Option<Arc<OwnedSemaphorePermit>> },
}

impl Turns {
    /// For a VM with `cpus` CPUs.
    pub(super) fn new(cpus: usize) -> Self {
        let limit = cpus.clamp(1, COMMANDS_AT_MOST);
        let state = State {
            limit,
            debt: 0,
            quick: 0,
            running: 0,
            crowds: 0,
            loners: 0,
            progress: Instant::now(),
            times: Vec::new(),
            most_at_once: 0,
        };
        Self {
            commands: Arc::new(Semaphore::new(limit)),
            requests: Arc::new(Semaphore::new(REQUESTS_AT_MOST)),
            quiet: AsyncMutex::default(),
            state: Arc::new(Mutex::new(state)),
            stalled_after: STALLED,
        }
    }

    /// Waits for a turn, in the order of asking.
    pub(super) async fn take(&self, load: Load) -> Turn {
        let permit = match load {
            Load::Command => self.command_permit().await,
            Load::Request => self.requests.clone().acquire_owned().await.ok(),
        };
        self.begin(Permit::One(permit), load)
    }

    async fn command_permit(&self) -> Option<OwnedSemaphorePermit> {
        let waiting = self.commands.clone().acquire_owned();
        tokio::pin!(waiting);
        loop {
            match timeout(self.stalled_after, &mut waiting).await {
                Ok(permit) => return permit.ok(),
                Err(_) => lock(&self.state).grow_if_stalled(self.stalled_after, &self.commands),
            }
        }
    }

    /// Waits until no command runs, and keeps further ones waiting.
    pub(super) async fn take_alone(&self, load: Load) -> Turn {
        let loner = Loner::among(&self.state);
        let permits = match load {
            Load::Command => self.all_permits().await.map(Arc::new),
            Load::Request => self.quiet_permits().await,
        };
        let turn = self.begin(Permit::All { _permits: permits }, load);
        // From now on the turn counts.
        std::mem::forget(loner);
        turn
    }

    /// Requests do not keep the VM busy, so they may run beside each other.
    async fn quiet_permits(&self) -> Option<Arc<OwnedSemaphorePermit>> {
        let mut quiet = self.quiet.lock().await;
        if let Some(permits) = quiet.upgrade() {
            return Some(permits);
        }
        let permits = Arc::new(self.all_permits().await?);
        *quiet = Arc::downgrade(&permits);
        Some(permits)
    }

    async fn all_permits(&self) -> Option<OwnedSemaphorePermit> {
        let all = {
            let state = lock(&self.state);
            u32::try_from(state.limit + state.debt).unwrap_or(u32::MAX)
        };
        self.commands.clone().acquire_many_owned(all).await.ok()
    }

    fn begin(&self, permit: Permit, load: Load) -> Turn {
        let mut state = lock(&self.state);
        let quiet = state.running == 0;
        state.running += 1;
        state.most_at_once = state.most_at_once.max(state.running);
        if !quiet {
            state.crowds += 1;
        }
        let quiet_since = quiet.then_some(state.crowds);
        Turn { permit, state: self.state.clone(), load, began: Instant::now(), quiet_since }
    }

    /// How quickly the VM has answered until now; `None` if it was asked nothing.
    pub(super) fn pace(&self) -> Option<Pace> {
        let state = lock(&self.state);
        let mut times = state.times.clone();
        times.sort_unstable();
        Some(Pace {
            answers: times.len(),
            median: *times.get(times.len().checked_sub(1)? / 2)?,
            slowest: *times.last()?,
            at_once: state.most_at_once,
        })
    }
}

impl Turn {
    /// When it began.
    pub(super) fn began(&self) -> Instant {
        self.began
    }

    /// Whether the VM had other questions to answer meanwhile.
    pub(super) fn was_crowded(&self) -> bool {
        let alone = matches!(self.permit, Permit::All { .. });
        !alone && self.quiet_since != Some(lock(&self.state).crowds)
    }

    /// Ends the turn of a question whose time limit was `limit`.
    pub(super) fn end(self, limit: Duration) {
        let took = self.began.elapsed();
        self.end_after(took, limit);
    }

    fn end_after(self, took: Duration, limit: Duration) {
        if self.load == Load::Request {
            return;
        }
        let mut state = lock(&self.state);
        state.times.push(took);
        state.progress = Instant::now();
        if let Permit::One(Some(permit)) = &self.permit {
            state.adapt(took, limit, permit.semaphore());
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut state = lock(&self.state);
        state.running -= 1;
        match &mut self.permit {
            Permit::All { .. } => state.loners -= 1,
            Permit::One(permit) => {
                let is_owed = state.debt > 0 && state.loners == 0;
                if self.load == Load::Command
                    && is_owed
                    && let Some(permit) = permit.take()
                {
                    permit.forget();
                    state.debt -= 1;
                }
            }
        }
    }
}

impl State {
    /// One more after as many quick answers as may run at once; one less after a slow one.
    fn adapt(&mut self, took: Duration, limit: Duration, commands: &Semaphore) {
        if self.loners > 0 {
            return;
        }
        if took * SLOW_PART > limit && self.limit > 1 {
            self.limit -= 1;
            self.debt += 1;
            self.quick = 0;
        } else if took * QUICK_PART < limit {
            self.quick += 1;
            if self.quick >= self.limit {
                self.grow(commands);
            }
        }
    }

    fn grow_if_stalled(&mut self, after: Duration, commands: &Semaphore) {
        if self.loners == 0 && self.progress.elapsed() >= after {
            self.grow(commands);
            self.progress = Instant::now();
        }
    }

    fn grow(&mut self, commands: &Semaphore) {
        if self.limit == COMMANDS_AT_MOST {
            return;
        }
        self.limit += 1;
        self.quick = 0;
        if self.debt > 0 {
            self.debt -= 1;
        } else {
            commands.add_permits(1);
        }
    }
}

/// Somebody who waits to be alone, and may be dropped meanwhile.
struct Loner(Arc<Mutex<State>>);

impl Loner {
    fn among(state: &Arc<Mutex<State>>) -> Self {
        lock(state).loners += 1;
        Self(state.clone())
    }
}

impl Drop for Loner {
    fn drop(&mut self) {
        lock(&self.0).loners -= 1;
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(30);

    async fn answer(turns: &Turns, seconds: u64) -> usize {
        turns.take(Load::Command).await.end_after(Duration::from_secs(seconds), LIMIT);
        lock(&turns.state).limit
    }

    #[tokio::test]
    async fn quick_answers_let_more_run_at_once_and_slow_ones_fewer() {
        let turns = Turns::new(1);
        for (seconds, expected) in [
            (0, 2),
            (0, 2),
            (0, 3),
            (1, 3),
            (2, 3),
            (0, 4),
            (5, 4),
            (12, 3),
            (29, 2),
            (30, 1),
            (30, 1),
        ] {
            assert_eq!(answer(&turns, seconds).await, expected);
            assert_eq!(turns.commands.available_permits(), expected);
        }
        for _ in 0..100 {
            answer(&turns, 0).await;
        }
        assert_eq!(turns.commands.available_permits(), COMMANDS_AT_MOST);
        let pace = turns.pace().unwrap();
        assert_eq!((pace.median, pace.slowest), (Duration::ZERO, LIMIT));
        assert_eq!((pace.answers, pace.at_once), (111, 1));
    }

    #[tokio::test]
    async fn a_slow_answer_beside_others_takes_a_permit_away() {
        let turns = Turns::new(3);
        let [first, second] = [turns.take(Load::Command).await, turns.take(Load::Command).await];
        assert!(first.was_crowded() && second.was_crowded());
        first.end_after(LIMIT, LIMIT);
        second.end_after(LIMIT, LIMIT);
        assert_eq!(turns.commands.available_permits(), 1);
        assert_eq!(lock(&turns.state).limit, 1);
        assert!(!turns.take(Load::Command).await.was_crowded());
    }

    #[tokio::test]
    async fn commands_that_only_wait_do_not_hold_up_the_others() {
        let turns = Turns { stalled_after: Duration::from_millis(10), ..Turns::new(1) };
        let first = turns.take(Load::Command).await;
        let second = turns.take(Load::Command).await;
        assert!(first.was_crowded() && second.was_crowded());
    }

    #[tokio::test]
    async fn who_asks_alone_waits_for_the_others_and_keeps_them_waiting() {
        let turns = Arc::new(Turns::new(2));
        let [first, second] = [turns.take(Load::Command).await, turns.take(Load::Command).await];
        let asking = |alone, load| {
            let turns = turns.clone();
            tokio::spawn(async move {
                if alone { turns.take_alone(load).await } else { turns.take(load).await }
            })
        };
        let waiting = asking(true, Load::Command);
        first.end(LIMIT);
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        second.end(LIMIT);
        let alone = waiting.await.unwrap();
        assert!(!alone.was_crowded());
        let [next, request] = [asking(false, Load::Command), asking(true, Load::Request)];
        tokio::task::yield_now().await;
        assert!(!next.is_finished() && !request.is_finished());
        alone.end(LIMIT);
        next.await.unwrap().end(LIMIT);
        let requests = [request.await.unwrap(), turns.take_alone(Load::Request).await];
        assert!(requests.iter().all(|request| !request.was_crowded()), "beside each other");
        drop(requests);
        assert_eq!(turns.commands.available_permits(), lock(&turns.state).limit);
    }

    #[tokio::test]
    async fn whoever_stops_waiting_to_be_alone_changes_nothing() {
        let turns = Turns::new(2);
        let turn = turns.take(Load::Command).await;
        assert!(timeout(Duration::from_millis(10), turns.take_alone(Load::Command)).await.is_err());
        turn.end(LIMIT);
        let state = lock(&turns.state);
        assert_eq!((state.loners, state.running, state.debt), (0, 0, 0));
    }
}
