use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use super::*;

/// Where nobody minds how busy the machine is.
static UNBOUNDED: Room = Room::new(usize::MAX, Duration::MAX);

/// Runs a step led by this thread with `members` others, which stay however busy the machine is.
fn with_members<R: Send>(members: usize, step: impl FnOnce() -> R + Send) -> R {
    let team = Team::within(&UNBOUNDED, Duration::MAX);
    thread::scope(|scope| {
        for _ in 0..members {
            scope.spawn(|| team.join());
        }
        team.lead(step)
    })
}

#[test]
fn every_part_once_whoever_takes_it() {
    for members in [0, 1, 3] {
        with_members(members, || {
            for parts in [0, 1, 2, 17, 500] {
                let taken: Vec<AtomicUsize> = (0..parts).map(|_| AtomicUsize::new(0)).collect();
                let run = |part: usize| {
                    taken[part].fetch_add(1, Ordering::Relaxed);
                };
                assert!(share(parts, &run));
                assert!(taken.into_iter().all(|times| times.into_inner() == 1));
            }
        });
    }
}

/// Two parts that wait for each other.
#[test]
fn members_and_the_leader_work_at_the_same_time() {
    with_members(1, || {
        for _ in 0..200 {
            let meet = Barrier::new(2);
            assert!(share(2, &|_| {
                meet.wait();
            }));
        }
    });
}

#[test]
fn many_short_pieces_in_a_row() {
    let sum = AtomicU64::new(0);
    with_members(2, || {
        for _ in 0..20_000 {
            assert!(share(3, &|part| {
                sum.fetch_add(part as u64, Ordering::Relaxed);
            }));
        }
    });
    assert_eq!(sum.into_inner(), 60_000);
}

#[test]
fn without_a_team_nothing_is_shared() {
    let untouched = |_| panic!("nobody leads a team here");
    assert!(!share(3, &untouched));
    with_members(1, || {
        // Work within work: the team is busy.
        let led_by = thread::current().id();
        assert!(share(4, &|_| {
            if thread::current().id() == led_by {
                assert!(!share(2, &untouched));
            }
        }));
        assert!(share(1, &|_| ()));
    });
    assert!(!share(3, &untouched));
}

#[test]
fn who_has_a_part_in_a_step_joins_no_team() {
    let team = Team::within(&UNBOUNDED, PATIENCE);
    engaged(|| team.join());
    team.lead(|| team.join());
    assert!(!team.is_deserted());
}

#[test]
fn a_member_that_waits_in_vain_leaves_and_the_pool_takes_over() {
    let team = Team::within(&UNBOUNDED, PATIENCE);
    thread::scope(|scope| {
        let member = scope.spawn(|| team.join());
        team.lead(|| {
            while !member.is_finished() {
                thread::yield_now();
            }
            assert!(team.is_deserted());
            assert!(!share(2, &|_| panic!("the pool does this")));
        });
    });
}

#[test]
fn panics_of_any_part_reach_the_leader() {
    for members in [0, 2] {
        for at in [0, 40, 99] {
            let result = catch_unwind(AssertUnwindSafe(|| {
                with_members(members, || {
                    share(100, &|part| assert_ne!(part, at, "part {at}"));
                });
            }));
            let panic = result.expect_err("a part panicked");
            let message = panic.downcast_ref::<String>().expect("a message");
            assert!(message.contains(&format!("part {at}")), "{message}");
        }
    }
}

/// Steps at the same time on a pool that is smaller than their teams together.
#[test]
fn steps_beside_each_other_end() {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build();
    let pool = pool.expect("a thread pool");
    let sum = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..50 {
                    let team = Team::within(&UNBOUNDED, PATIENCE);
                    pool.in_place_scope(|scope| {
                        for _ in 0..3 {
                            scope.spawn(|_| team.join());
                        }
                        team.lead(|| {
                            let part = |_| {
                                sum.fetch_add(1, Ordering::Relaxed);
                            };
                            // On a busy machine all members may have left.
                            if !share(8, &part) {
                                (0..8).for_each(part);
                            }
                            // Waits for a thread of the pool.
                            sum.fetch_add(pool.install(|| 1), Ordering::Relaxed);
                        });
                    });
                }
            });
        }
    });
    assert_eq!(sum.into_inner(), 4 * 50 * 9);
}

#[test]
fn a_member_without_a_core_does_not_stay() {
    static ONE_CORE: Room = Room::new(1, Duration::MAX);
    let team = Team::within(&ONE_CORE, Duration::MAX);
    thread::scope(|scope| {
        team.lead(|| {
            scope
                .spawn(|| team.join())
                .join()
                .expect("it leaves at once, without a panic");
            // Nobody has left who was there.
            assert!(!team.is_deserted());
        });
    });
}

#[test]
fn a_member_that_has_to_share_its_core_leaves_and_the_next_step_has_none() {
    static SHARED: Room = Room::new(usize::MAX, Duration::ZERO);
    let team = Team::within(&SHARED, Duration::MAX);
    assert!(SHARED.admits_team());
    thread::scope(|scope| {
        let member = scope.spawn(|| team.join());
        team.lead(|| {
            while !member.is_finished() {
                thread::yield_now();
            }
            assert!(team.is_deserted());
        });
    });
    assert!(!SHARED.admits_team());
    assert!(SHARED.admits_team());
}
