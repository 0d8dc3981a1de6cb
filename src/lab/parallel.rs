//! Work on several VMs at the same time.

use std::thread::ScopedJoinHandle;

use crate::problem::Problem;

/// Does the work for all items at the same time and waits for all of them; returns the first error
/// in the order of the items.
pub fn for_each<T: Send>(
    items: impl IntoIterator<Item = T>,
    work: impl Fn(T) -> Result<(), Problem> + Sync,
) -> Result<(), Problem> {
    let work = &work;
    let results: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> =
            items.into_iter().map(|item| scope.spawn(move || work(item))).collect();
        threads.into_iter().map(ScopedJoinHandle::join).collect()
    });
    results
        .into_iter()
        .try_for_each(|result| result.map_err(|_| Problem::new("a thread panicked"))?)
}
