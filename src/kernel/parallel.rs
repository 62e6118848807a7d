//! Work shared between the threads of a training step.
//!
//! A training step is a long chain of short pieces of parallel work. With a pool of one thread,
//! handing each piece over and sleeping until it is done would cost two changes of thread a piece
//! and gain nothing, so there it stays on the calling thread.

use super::team;
use crate::parallel::{for_each_index, gather, share};

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
    if shared() {
        gather(items, work, for_each_part)
    } else {
        items.map(work).collect()
    }
}

fn shared() -> bool {
    rayon::current_num_threads() > 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_thread_or_several_do_the_same() {
        for threads in [1, 3] {
            let pool = rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .expect("a thread pool");
            let mut values = vec![1; 1000];
            let lengths = pool.install(|| {
                for_each(values.chunks_mut(7), |chunk| {
                    for value in chunk {
                        *value += 1;
                    }
                });
                map(values.chunks(7).enumerate(), |(number, chunk)| {
                    (number, chunk.len())
                })
            });
            assert!(values.iter().all(|&value| value == 2));
            let expected = values.chunks(7).map(<[i32]>::len).enumerate();
            assert_eq!(lengths, expected.collect::<Vec<_>>());
        }
    }
}
