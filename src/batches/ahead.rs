//! Reading ahead: the next minibatch is prepared while the current one trains.

use std::sync::Mutex;

use burn::tensor::Device;

use crate::kernel::computes_on;
use crate::kernel::team::{Team, engaged};

/// More threads than this have nothing to share in a step.
const MOST_MEMBERS: usize = 15;

/// Who prepares an item and computes a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Workers {
    /// The thread pool prepares; steps run elsewhere, on a GPU for example.
    Ahead,
    /// Steps are computed by the same threads: they stay awake between the pieces of a step.
    Team,
}

impl Workers {
    /// What suits steps on a device.
    pub fn of(device: &Device) -> Self {
        if computes_on(device) {
            Self::Team
        } else {
            Self::Ahead
        }
    }
}

/// Folds `step` over the items on the calling thread, each prepared by `prepare`.
///
/// While a step runs, the thread pool prepares the item after it. With one thread there is nobody
/// to do so and preparing and stepping take turns.
///
/// # Errors
/// The first of a step; no step follows it.
pub(crate) fn fold_ahead<T: Sync, P: Send, S, E>(
    items: &[T],
    workers: Workers,
    prepare: impl Fn(&T) -> P + Sync,
    start: S,
    mut step: impl FnMut(S, usize, P) -> Result<S, E>,
) -> Result<S, E> {
    let slots = [const { Mutex::new(None) }; 2];
    let slot = |position: usize| {
        let slot: &Mutex<Option<P>> = &slots[position % 2];
        slot.lock().expect("nobody panics with the lock")
    };
    let mut state = Some(start);
    let mut failure = None;
    in_turn(
        items.len(),
        workers,
        &|position| {
            let prepared = prepare(&items[position]);
            *slot(position) = Some(prepared);
        },
        &mut |position| {
            let prepared = slot(position).take().expect("prepared before its step");
            let before = state.take().expect("no step follows one that failed");
            match step(before, position, prepared) {
                Ok(after) => state = Some(after),
                Err(error) => failure = Some(error),
            }
            failure.is_none()
        },
    );
    match failure {
        Some(error) => Err(error),
        None => Ok(state.expect("every step that does not fail leaves a state")),
    }
}

/// Lets `prepare` prepare every number below `count`, and `step` use it, until it returns false.
fn in_turn(
    count: usize,
    workers: Workers,
    prepare: &(dyn Fn(usize) + Sync),
    step: &mut dyn FnMut(usize) -> bool,
) {
    let others = rayon::current_num_threads() - 1;
    if others == 0 {
        for position in 0..count {
            prepare(position);
            if !step(position) {
                break;
            }
        }
        return;
    }
    let members = match workers {
        Workers::Ahead => 0,
        Workers::Team => others.min(MOST_MEMBERS),
    };
    if count > 0 {
        prepare(0);
    }
    for position in 0..count {
        let team = &Team::new();
        let goes_on = rayon::in_place_scope(|scope| {
            let members = if members > 0 && Team::has_room() {
                members
            } else {
                0
            };
            let mut joining = 0..members;
            if position + 1 < count {
                let joins = joining.next().is_some();
                scope.spawn(move |_| {
                    engaged(|| prepare(position + 1));
                    if joins {
                        team.join();
                    }
                });
            }
            joining.for_each(|_| scope.spawn(move |_| team.join()));
            team.lead(|| step(position))
        });
        if !goes_on {
            break;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;
    use std::time::{Duration, Instant};

    use rayon::prelude::*;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(60);

    fn on_threads<T: Send>(threads: usize, work: impl FnOnce() -> T + Send) -> T {
        rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .expect("a thread pool")
            .install(work)
    }

    #[test]
    fn steps_see_every_item_in_order_on_the_calling_thread() {
        let items: Vec<usize> = (0..20).collect();
        for threads in [1, 2, 4] {
            let seen = on_threads(threads, || {
                let caller = thread::current().id();
                fold_ahead(
                    &items,
                    Workers::Team,
                    |item| item * 10,
                    Vec::new(),
                    |mut seen, position, prepared| {
                        assert_eq!(thread::current().id(), caller);
                        seen.push((position, prepared));
                        Ok::<_, ()>(seen)
                    },
                )
            });
            let expected = items.iter().map(|&item| (item, item * 10)).collect();
            assert_eq!(seen, Ok(expected));
        }
        let none = fold_ahead(
            &[],
            Workers::Team,
            |()| (),
            7,
            |state, _, ()| Ok::<_, ()>(state + 1),
        );
        assert_eq!(none, Ok(7));
    }

    /// A step waits until the item after it is prepared: in vain if nobody prepares meanwhile; and
    /// finds the count too large if someone runs further ahead.
    #[test]
    fn one_item_ahead_is_prepared_while_a_step_runs() {
        let items = [(); 8];
        let prepared = AtomicUsize::new(0);
        on_threads(2, || {
            fold_ahead(
                &items,
                Workers::Team,
                |()| prepared.fetch_add(1, Ordering::SeqCst),
                (),
                |(), position, _| {
                    let expected = (position + 2).min(items.len());
                    let start = Instant::now();
                    while prepared.load(Ordering::SeqCst) < expected && start.elapsed() < PATIENCE {
                        thread::yield_now();
                    }
                    assert_eq!(prepared.load(Ordering::SeqCst), expected);
                    Ok::<_, ()>(())
                },
            )
        })
        .expect("no step fails");
    }

    /// Steps that wait for the pool, led by its threads, whose items are prepared in parallel.
    #[test]
    fn steps_on_threads_of_the_pool_beside_each_other() {
        for threads in [2, 3, 4] {
            let sums: Vec<usize> = on_threads(threads, || {
                (0..6usize)
                    .into_par_iter()
                    .map(|fit| {
                        let items: Vec<usize> = (0..30).collect();
                        let prepare = |&item: &usize| -> usize {
                            (0..64usize).into_par_iter().map(|part| part * item).sum()
                        };
                        let step = |sum: usize, _, prepared: usize| {
                            let (left, right) = rayon::join(|| prepared, || fit);
                            Ok::<_, ()>(sum + left + right)
                        };
                        fold_ahead(&items, Workers::Team, prepare, 0, step).expect("no step fails")
                    })
                    .collect()
            });
            let items: usize = (0..30).map(|item| item * 2016).sum();
            let expected: Vec<usize> = (0..6).map(|fit| items + 30 * fit).collect();
            assert_eq!(sums, expected);
        }
    }

    #[test]
    fn one_thread_prepares_when_the_step_before_is_done() {
        let prepared = AtomicUsize::new(0);
        on_threads(1, || {
            fold_ahead(
                &[(); 5],
                Workers::Team,
                |()| prepared.fetch_add(1, Ordering::SeqCst),
                (),
                |(), position, _| {
                    assert_eq!(prepared.load(Ordering::SeqCst), position + 1);
                    Ok::<_, ()>(())
                },
            )
        })
        .expect("no step fails");
    }

    #[test]
    fn the_first_error_ends_it() {
        for threads in [1, 3] {
            let result = on_threads(threads, || {
                fold_ahead(
                    &[0, 1, 2, 3, 4],
                    Workers::Team,
                    |&item| item,
                    0,
                    |steps, _, item| if item == 2 { Err(steps) } else { Ok(steps + 1) },
                )
            });
            assert_eq!(result, Err(2));
        }
    }

    #[test]
    fn panics_reach_the_caller() {
        for threads in [1, 3] {
            for at in [0, 3] {
                let result = on_threads(threads, || {
                    catch_unwind(AssertUnwindSafe(|| {
                        fold_ahead(
                            &[0, 1, 2, 3, 4],
                            Workers::Team,
                            |&item| assert_ne!(item, at, "no such item"),
                            (),
                            |(), _, ()| Ok::<_, ()>(()),
                        )
                    }))
                });
                assert!(result.is_err(), "{threads} threads, item {at}");
                let result = on_threads(threads, || {
                    catch_unwind(AssertUnwindSafe(|| {
                        fold_ahead(
                            &[0, 1, 2, 3, 4],
                            Workers::Team,
                            |&item| item,
                            (),
                            |(), _, item| {
                                assert_ne!(item, at, "no such step");
                                Ok::<_, ()>(())
                            },
                        )
                    }))
                });
                assert!(result.is_err(), "{threads} threads, step {at}");
            }
        }
    }
}
