//! Work shared with the thread pool: the one place where it is split.
//!
//! The pool's iterators are compiled anew, splitting and joining included, for everything that they
//! run. The pieces of work here are long enough that a call through a pointer costs nothing, so that
//! one loop, compiled once, serves all of them.
//!
//! Results are in the order of the items, whatever the number of threads.

use std::sync::Mutex;

use rayon::iter::{IndexedParallelIterator, IntoParallelIterator, ParallelIterator};

use crate::error::Result;

/// Most rows that are handed over together.
const ROWS: usize = 64;
/// Rows are handed over in so many groups a thread, where they are enough.
const GROUPS: usize = 4;

/// Calls `work` with every number below `count`; in which order and on which thread is open.
pub(crate) fn for_each_index(count: usize, work: &(dyn Fn(usize) + Sync)) {
    // Handing over what nobody can share would only cost time.
    if count < 2 {
        (0..count).for_each(work);
    } else {
        (0..count).into_par_iter().with_max_len(1).for_each(work);
    }
}

/// Calls `work` for every item; in which order and on which thread is open.
pub(crate) fn for_each<T: Send>(items: impl Iterator<Item = T>, work: impl Fn(T) + Sync) {
    share(items, work, for_each_index);
}

/// Calls `work` for every item through `loop_over`, which calls what it is given with every number
/// below a count.
pub(crate) fn share<T: Send>(
    items: impl Iterator<Item = T>,
    work: impl Fn(T) + Sync,
    loop_over: impl FnOnce(usize, &(dyn Fn(usize) + Sync)),
) {
    // Each is taken once: a lock that nobody waits for.
    let items: Vec<_> = items.map(|item| Mutex::new(Some(item))).collect();
    loop_over(items.len(), &|index| {
        let item = items[index]
            .lock()
            .expect("nobody panics with the lock")
            .take();
        work(item.expect("every item is taken once"));
    });
}

/// What `work` returns for every number below `count`.
pub(crate) fn map<R: Send>(count: usize, work: impl Fn(usize) -> R + Sync) -> Vec<R> {
    gather(0..count, work, for_each_index)
}

/// What `work` returns for every item, through `loop_over` as in [`share`].
pub(crate) fn gather<T: Send, R: Send>(
    items: impl Iterator<Item = T>,
    work: impl Fn(T) -> R + Sync,
    loop_over: impl FnOnce(usize, &(dyn Fn(usize) + Sync)),
) -> Vec<R> {
    let items: Vec<T> = items.collect();
    let mut results: Vec<Option<R>> = items.iter().map(|_| None).collect();
    let pairs = items.into_iter().zip(&mut results);
    share(
        pairs,
        |(item, result)| *result = Some(work(item)),
        loop_over,
    );
    let all = |result: Option<R>| result.expect("every item has a result");
    results.into_iter().map(all).collect()
}

/// What `work` returns for every number below `count`.
///
/// # Errors
/// That of the lowest number.
pub(crate) fn try_map<R: Send>(
    count: usize,
    work: impl Fn(usize) -> Result<R> + Sync,
) -> Result<Vec<R>> {
    map(count, work).into_iter().collect()
}

/// What `work` returns for every row below `count`, where one row is too little to hand over.
/// `room` makes what the work on a group of rows may keep and write over.
pub(crate) fn map_rows<S, R: Send>(
    count: usize,
    room: impl Fn() -> S + Sync,
    work: impl Fn(&mut S, usize) -> R + Sync,
) -> Vec<R> {
    let together = together(count);
    let groups = map(count.div_ceil(together), |group| {
        let mut room = room();
        let rows = group * together..count.min((group + 1) * together);
        rows.map(|row| work(&mut room, row)).collect::<Vec<R>>()
    });
    groups.into_iter().flatten().collect()
}

/// Lets `write` write every row of `values`, which are `width` long.
///
/// # Panics
/// When the width is 0 or does not divide the number of values.
pub(crate) fn write_rows<T: Send>(
    values: &mut [T],
    width: usize,
    write: impl Fn(usize, &mut [T]) + Sync,
) {
    assert_eq!(values.len() % width, 0);
    let together = together(values.len() / width);
    let groups = values.chunks_mut(together * width).enumerate();
    for_each(groups, |(group, rows)| {
        for (row, values) in rows.chunks_mut(width).enumerate() {
            write(group * together + row, values);
        }
    });
}

/// How many rows of so many are handed over together.
fn together(rows: usize) -> usize {
    (rows / (GROUPS * rayon::current_num_threads())).clamp(1, ROWS)
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::error::Error;

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
            for count in [0usize, 1, 2, 63, 64, 65, 1000] {
                let calls = AtomicUsize::new(0);
                let square = |item: usize| {
                    calls.fetch_add(1, Ordering::Relaxed);
                    item * item
                };
                let (squares, rows) = on_threads(threads, || {
                    (
                        map(count, square),
                        map_rows(count, || (), |(), row| square(row)),
                    )
                });
                let expected: Vec<usize> = (0..count).map(|item| item * item).collect();
                assert_eq!(squares, expected);
                assert_eq!(rows, expected);
                assert_eq!(calls.into_inner(), 2 * count);
            }
        }
    }

    #[test]
    fn rows_are_written_with_their_numbers() {
        let mut values = vec![0; 3 * 1000];
        on_threads(3, || {
            write_rows(&mut values, 3, |row, values| values.fill(row));
        });
        let expected: Vec<usize> = (0..3000).map(|value| value / 3).collect();
        assert_eq!(values, expected);
    }

    #[test]
    fn the_first_error_in_order() {
        let error = |index: usize| Error::EmptyInput {
            what: index.to_string(),
        };
        let found = on_threads(3, || {
            try_map(100, |index| match index {
                40 | 70 => Err(error(index)),
                _ => Ok(index),
            })
        });
        assert_eq!(found.unwrap_err().to_string(), error(40).to_string());
        assert_eq!(try_map(3, Ok).unwrap(), [0, 1, 2]);
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
