//! What bootproof reads once for all assertions that need it at the same time: the sockets of a VM,
//! its identity, its clock.

use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::ssh::exec::Unanswered;

/// Something about a VM that several assertions look at.
pub(super) struct Fact<T>(Mutex<Option<Reading<T>>>);

/// One reading.
#[derive(Debug, Clone)]
pub(super) struct Reading<T> {
    /// When it began.
    pub(super) began: Instant,
    /// How long it took.
    pub(super) took: Duration,
    /// Whether the VM had other questions to answer meanwhile.
    pub(super) crowded: bool,
    /// What came of it.
    pub(super) result: Result<T, Unanswered>,
}

impl<T> Default for Fact<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: Clone> Fact<T> {
    /// A reading that began at `since` or later. Whoever comes first reads; the others wait for it.
    pub(super) async fn get<F>(&self, since: Instant, read: impl FnOnce() -> F) -> Reading<T>
    where
        F: Future<Output = Reading<T>>,
    {
        let mut known = self.0.lock().await;
        if let Some(reading) = known.as_ref().filter(|reading| reading.began >= since) {
            return reading.clone();
        }
        let reading = read().await;
        *known = Some(reading.clone());
        reading
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_reading_serves_all_who_asked_before_it_began() {
        let fact = Fact::default();
        let reading = |value| async move {
            let (began, took) = (Instant::now(), Duration::ZERO);
            Reading { began, took, crowded: false, result: Ok(value) }
        };
        let start = Instant::now();
        let first = fact.get(start, || reading(1)).await;
        assert_eq!(first.result.unwrap(), 1);
        assert_eq!(fact.get(start, || reading(2)).await.result.unwrap(), 1);
        let later = Instant::now() + Duration::from_millis(1);
        assert_eq!(fact.get(later, || reading(3)).await.result.unwrap(), 3);
    }
}
