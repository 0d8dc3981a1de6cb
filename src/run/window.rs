//! The window: how many VMs are worked on at once. A thousand logins at once are so slow that some
//! of them run into their time limits, although every VM is healthy.
//!
//! The window begins small. It grows while logins take as long as they do beside few others, and
//! shrinks when they take much longer. `--jobs` sets it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

/// How many VMs at first.
const FIRST: usize = 8;

/// How many VMs at least, and at most. Each takes memory, and a file of the process.
const LEAST: usize = 4;
const MOST: usize = 64;

/// Logins that take this many times as long as beside few others are slow; up to half as many
/// times, they are quick.
const SLOW: u32 = 4;

/// A login this quick is never slow.
const QUICK: Duration = Duration::from_millis(50);

/// The places of one run.
pub(super) struct Window(Mutex<State>);

struct State {
    /// How many places there are.
    limit: usize,
    /// Whether a user chose the limit.
    fixed: bool,
    taken: usize,
    /// Who waits: first those who have begun, so that what is begun ends.
    returning: VecDeque<oneshot::Sender<Place>>,
    coming: VecDeque<oneshot::Sender<Place>>,
    /// How long the logins took since the limit changed.
    logins: Vec<Duration>,
    /// The median of the quickest logins so far.
    best: Option<Duration>,
}

/// The right to work on a VM; dropping it gives it back.
pub(super) struct Place(Option<Arc<Window>>);

impl Window {
    /// With `jobs` places; `None` adapts.
    pub(super) fn new(jobs: Option<usize>) -> Arc<Self> {
        Arc::new(Self(Mutex::new(State {
            limit: jobs.unwrap_or(FIRST),
            fixed: jobs.is_some(),
            taken: 0,
            returning: VecDeque::new(),
            coming: VecDeque::new(),
            logins: Vec::new(),
            best: None,
        })))
    }

    /// Waits for a place. Whoever had one before comes first.
    pub(super) async fn place(self: &Arc<Self>, returns: bool) -> Place {
        let waiting = {
            let mut state = self.state();
            if state.taken < state.limit {
                state.taken += 1;
                return Place(Some(self.clone()));
            }
            let (sender, waiting) = oneshot::channel();
            if returns { &mut state.returning } else { &mut state.coming }.push_back(sender);
            waiting
        };
        // Nobody drops a sender before it was used: the queue lives as long as we do.
        waiting.await.unwrap_or(Place(None))
    }

    /// Notes how long a login took.
    pub(super) fn note_login(self: &Arc<Self>, took: Duration) {
        let mut state = self.state();
        state.adapt(took);
        self.let_in(&mut state);
    }

    /// Gives free places to those who wait.
    fn let_in(self: &Arc<Self>, state: &mut State) {
        while state.taken < state.limit {
            let next = state.returning.pop_front().or_else(|| state.coming.pop_front());
            let Some(next) = next else { return };
            match next.send(Place(Some(self.clone()))) {
                Ok(()) => state.taken += 1,
                // It does not wait any longer, and nobody holds this place.
                Err(mut unused) => drop(unused.0.take()),
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some(window) = self.0.take() else { return };
        let mut state = window.state();
        state.taken -= 1;
        window.let_in(&mut state);
    }
}

impl State {
    /// After as many logins as there are places, looks at their median: a few slow VMs do not
    /// count.
    fn adapt(&mut self, took: Duration) {
        if self.fixed {
            return;
        }
        self.logins.push(took);
        if self.logins.len() < self.limit {
            return;
        }
        self.logins.sort();
        let median = self.logins[self.logins.len() / 2].max(QUICK);
        self.logins.clear();
        let best = self.best.map_or(median, |best| best.min(median));
        self.best = Some(best);
        if median > best * SLOW {
            self.limit = (self.limit * 3 / 4).max(LEAST);
        } else if median * 2 <= best * SLOW {
            self.limit = (self.limit * 3 / 2).min(MOST);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(window: &Window) -> usize {
        window.state().limit
    }

    fn logins(window: &Arc<Window>, milliseconds: u64) {
        for _ in 0..limit(window) {
            window.note_login(Duration::from_millis(milliseconds));
        }
    }

    #[tokio::test]
    async fn quick_logins_widen_the_window_and_slow_ones_narrow_it() {
        let window = Window::new(None);
        for (milliseconds, expected) in
            [(100, 12), (200, 18), (201, 18), (400, 18), (401, 13), (9000, 9), (100, 13)]
        {
            logins(&window, milliseconds);
            assert_eq!(limit(&window), expected, "after {milliseconds} ms");
        }
        (0..20).for_each(|_| logins(&window, 1));
        assert_eq!(limit(&window), MOST);
        (0..20).for_each(|_| logins(&window, 9000));
        assert_eq!(limit(&window), LEAST);
    }

    #[tokio::test]
    async fn a_few_slow_vms_do_not_narrow_the_window() {
        let window = Window::new(None);
        for number in 0..8 {
            window.note_login(Duration::from_millis(if number < 3 { 20_000 } else { 100 }));
        }
        assert_eq!(limit(&window), 12);
    }

    #[tokio::test]
    async fn a_chosen_number_of_places_stays() {
        let window = Window::new(Some(3));
        logins(&window, 1);
        assert_eq!(limit(&window), 3);
    }

    #[tokio::test]
    async fn a_free_place_goes_first_to_whoever_has_begun() {
        let window = Window::new(Some(1));
        let first = window.place(false).await;
        let asking = |returns| {
            let window = window.clone();
            tokio::spawn(async move { window.place(returns).await })
        };
        let coming = asking(false);
        tokio::task::yield_now().await;
        let returning = asking(true);
        tokio::task::yield_now().await;
        drop(first);
        let second = returning.await.unwrap();
        assert!(!coming.is_finished());
        drop(second);
        drop(coming.await.unwrap());
        assert_eq!(window.state().taken, 0);
    }

    #[tokio::test]
    async fn whoever_stops_waiting_takes_no_place() {
        let window = Window::new(Some(1));
        let first = window.place(false).await;
        let gone = tokio::spawn({
            let window = window.clone();
            async move { window.place(false).await }
        });
        tokio::task::yield_now().await;
        gone.abort();
        assert!(gone.await.is_err());
        drop(first);
        assert_eq!(window.state().taken, 0);
        drop(window.place(false).await);
    }
}
