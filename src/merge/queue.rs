//! A queue for large pieces of work: a few run at a time.
//!
//! rayon fills all cores with small pieces of work. But while a thread of its pool waits, it takes up the next large piece, and then all
//! large pieces are in memory at once. So large pieces run here on a few threads of their own, and only the small pieces that they consist
//! of go to the pool.

use std::num::NonZero;
use std::sync::{Mutex, PoisonError};
use std::thread::Builder;

use crate::error::{Error, Result};

/// Returns the number of large pieces that run at once: enough to keep the pool busy while one of them reads.
pub(crate) fn in_flight() -> usize {
    let cores = std::thread::available_parallelism().map_or(2, NonZero::get);
    (cores / 2).clamp(2, 4)
}

/// Runs `work` on all items, in their order; stops at the first failure. The results are in no order.
pub(super) fn each<T: Send, R: Send>(
    items: Vec<T>,
    work: impl Fn(T) -> Result<R> + Sync,
) -> Result<Vec<R>> {
    // A fuzzer runs thousands of small merges, each in one thread.
    let threads = match cfg!(fuzzing) {
        true => 1,
        false => in_flight().min(items.len()),
    };
    let queue = Mutex::new(Some(items.into_iter()));
    let take = || {
        let mut queue = queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.as_mut().and_then(Iterator::next)
    };
    let worker = || -> Result<Vec<R>> {
        let mut done = Vec::new();
        while let Some(item) = take() {
            match work(item) {
                Ok(result) => done.push(result),
                Err(error) => {
                    // Nobody needs the other items any more.
                    queue.lock().unwrap_or_else(PoisonError::into_inner).take();
                    return Err(error);
                }
            }
        }
        Ok(done)
    };
    if threads == 1 && (cfg!(fuzzing) || rayon::current_thread_index().is_none()) {
        return worker();
    }
    let outcomes: Vec<_> = std::thread::scope(|scope| {
        let mut started = Vec::new();
        for n in 0..threads {
            let thread = Builder::new().name(format!("merge-{n}"));
            match thread.spawn_scoped(scope, worker) {
                Ok(thread) => started.push(thread),
                // The threads that have started do all of the work.
                Err(_) if n > 0 => break,
                Err(error) => {
                    return vec![Err(Error::io("start a thread for", "the merge")(error))];
                }
            }
        }
        let joined = started.into_iter().map(|thread| thread.join());
        joined
            .map(|outcome| outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    });
    let done: Result<Vec<Vec<R>>> = outcomes.into_iter().collect();
    Ok(done?.into_iter().flatten().collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn all_is_done_once_and_a_failure_stops_the_rest() {
        let mut done = each((0..100).collect(), Ok).unwrap();
        done.sort_unstable();
        assert_eq!(done, (0..100).collect::<Vec<_>>());
        assert!(each(Vec::<u8>::new(), Ok).unwrap().is_empty());
        let begun = Mutex::new(0);
        let outcome = each((0..10_000).collect(), |n: u32| {
            *begun.lock().unwrap() += 1;
            match n {
                3 => Err(Error::Cancelled),
                _ => Ok(()),
            }
        });
        assert!(matches!(outcome, Err(Error::Cancelled)));
        assert!(*begun.lock().unwrap() < 10_000);
    }
}
