//! Work shared between the threads of a training step.
//!
//! A training step is a long chain of short pieces of parallel work. With a pool of one thread,
//! handing each piece over and sleeping until it is done would cost two changes of thread a piece
//! and gain nothing, so there it stays on the calling thread.

use super::team;
use crate::parallel::{for_each_index, share};

/// Calls `work` for every item; in which order and on which thread is open.
pub(super) fn for_each<T: Send>(items: impl Iterator<Item = T>, work: impl Fn(T) + Sync) {
    if shared() {
        share(items, work, for_each_part);
    } else {
        items.for_each(work);
    }
}

/// Shares with the team that the calling thread leads, if any, else with the pool.
fn for_each_part(parts: usize, run: &(dyn Fn(usize) + Sync)) {
    if parts < 2 || !team::share(parts, run) {
        for_each_index(parts, run);
    }
}

/// What `work` returns for every item, in the order of the items.
pub(super) fn map<T: Send, R: Send>(
    items: impl Iterator<Item = T>,
    work: impl Fn(T) -> R + Sync,
) -> Vec<R> {
    if !shared() {
        return items.map(work).collect();
    }
    let items: Vec<T> = items.collect();
    let mut results: Vec<Option<R>> = items.iter().map(|_| None).collect();
    for_each(items.into_iter().zip(&mut results), |(item, result)| {
        *result = Some(work(item));
    });
    let all = |result: Option<R>| result.expect("every item has a result");
    results.into_iter().map(all).collect()
}

fn shared() -> bool {
    rayon::current_num_threads() > 1
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn on_threads<T: Send>(threads: usize, work: impl FnOnce() -> T + Send) -> T {
        rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .expect("a thread pool")
            .install(work)
    }

    #[test]
    fn every_item_once_and_results_in_order() {
        for threads in [1, 2, 5] {
            for count in [0usize, 1, 2, 1000] {
                let calls = AtomicUsize::new(0);
                let squares = on_threads(threads, || {
                    map(0..count, |item| {
                        calls.fetch_add(1, Ordering::Relaxed);
                        item * item
                    })
                });
                let expected: Vec<usize> = (0..count).map(|item| item * item).collect();
                assert_eq!(squares, expected);
                assert_eq!(calls.into_inner(), count);
            }
        }
    }

    #[test]
    fn mutable_parts_of_a_slice() {
        let mut values = vec![1; 1000];
        on_threads(3, || {
            for_each(values.chunks_mut(7), |chunk| {
                for value in chunk {
                    *value += 1;
                }
            });
        });
        assert!(values.iter().all(|&value| value == 2));
    }

    #[test]
    fn panics_reach_the_caller() {
        for threads in [1, 3] {
            let result = on_threads(threads, || {
                catch_unwind(AssertUnwindSafe(|| {
                    for_each(0..100, |item| assert_ne!(item, 50, "no such item"));
                }))
            });
            assert!(result.is_err());
        }
    }
}
