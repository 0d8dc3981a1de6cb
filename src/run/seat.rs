//! The seat of one VM in the window. Several tasks work on a VM; while all of them only wait for it
//! to change, its place is free for another VM.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::window::{Place, Window};

pub(super) struct Seat {
    window: Arc<Window>,
    state: Mutex<State>,
    /// Only one task waits for the place.
    taking: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct State {
    place: Option<Place>,
    begun: bool,
    /// How many tasks work on the VM, and how many of them rest.
    workers: usize,
    resting: usize,
}

impl Seat {
    pub(super) fn new(window: Arc<Window>) -> Self {
        Self { window, state: Mutex::default(), taking: tokio::sync::Mutex::default() }
    }

    /// The window that the place belongs to.
    pub(super) fn window(&self) -> &Arc<Window> {
        &self.window
    }

    /// Waits until the VM may be worked on.
    pub(super) async fn take(&self) {
        let _taking = self.taking.lock().await;
        let begun = {
            let state = self.state();
            if state.place.is_some() {
                return;
            }
            state.begun
        };
        let place = self.window.place(begun).await;
        let mut state = self.state();
        state.begun = true;
        state.place = Some(place);
    }

    /// Nobody works on the VM any more.
    pub(super) fn leave(&self) {
        let place = self.state().place.take();
        drop(place);
    }

    /// This many tasks begin to work on the VM, instead of the one that has the seat.
    pub(super) fn share(&self, workers: usize) {
        self.state().workers = workers;
    }

    /// One of these tasks is done. After the last one, whoever shared the seat has it again.
    pub(super) fn worker_is_done(&self) {
        let mut state = self.state();
        state.workers -= 1;
        let place = state.unused_place();
        drop(state);
        drop(place);
    }

    /// Waits for something that needs no work on the VM, then for the place.
    pub(super) async fn rest<T>(&self, until: impl Future<Output = T>) -> T {
        let result = {
            let _resting = Resting::begin(self);
            until.await
        };
        self.take().await;
        result
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The place, if everybody rests. Without workers, one task has the seat alone.
    fn unused_place(&mut self) -> Option<Place> {
        let is_unused = self.resting > 0 && self.resting >= self.workers;
        if is_unused { self.place.take() } else { None }
    }
}

/// A task that rests, and may be dropped meanwhile.
struct Resting<'a>(&'a Seat);

impl<'a> Resting<'a> {
    fn begin(seat: &'a Seat) -> Self {
        let mut state = seat.state();
        state.resting += 1;
        let place = state.unused_place();
        drop(state);
        drop(place);
        Self(seat)
    }
}

impl Drop for Resting<'_> {
    fn drop(&mut self) {
        self.0.state().resting -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::oneshot;

    fn seats() -> [Arc<Seat>; 2] {
        let window = Window::new(Some(1));
        [(); 2].map(|()| Arc::new(Seat::new(window.clone())))
    }

    async fn turn() {
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn the_place_is_free_only_while_all_tasks_rest() {
        let [one, other] = seats();
        one.take().await;
        one.share(2);
        let waiting = tokio::spawn({
            let other = other.clone();
            async move { other.take().await }
        });
        let rest = || {
            let (wake, sleeping) = oneshot::channel::<()>();
            let one = one.clone();
            (wake, tokio::spawn(async move { one.rest(sleeping).await }))
        };
        let first = rest();
        turn().await;
        assert!(!waiting.is_finished());
        let second = rest();
        turn().await;
        assert!(waiting.is_finished());
        // Awake again, it waits for the other VM.
        first.0.send(()).unwrap();
        turn().await;
        assert!(!first.1.is_finished());
        other.leave();
        first.1.await.unwrap().unwrap();
        // The last task that works is done, and the other one rests.
        one.worker_is_done();
        other.take().await;
        second.0.send(()).unwrap();
        other.leave();
        second.1.await.unwrap().unwrap();
        one.worker_is_done();
        assert!(one.state().place.is_some(), "whoever shared the seat has it again");
    }
}
