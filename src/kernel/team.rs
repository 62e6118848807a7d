//! Threads that stay awake while a training step runs.
//!
//! A step is a chain of some twenty short pieces of parallel work with a little work of a single
//! thread between them. To wake a sleeping thread of the pool for each of them, and the calling
//! thread at its end, takes a tenth of a millisecond a piece: a tenth of the step. The members of a
//! team stay awake until the step is over, or until nothing has been shared for a while, and the
//! thread that leads it works along with them.
//!
//! Members are threads of the pool, so three things must hold for a step never to wait for a thread
//! that waits for it: a member runs nothing but parts of its team's work; it leaves when it has
//! waited in vain, and serves the pool again; and no part waits for the pool.
//!
//! There are never more of them than cores that the process may use, and none for a while after
//! one had to share its core ([`room`]).

mod room;

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use room::Room;

/// How often a waiting thread looks before it lets others have the core.
const SPINS: usize = 1 << 10;
/// How long a member waits for work: longer than a step's pieces for a single thread usually take.
const PATIENCE: Duration = Duration::from_millis(1);

/// The threads that work on a step.
#[derive(Debug)]
pub(crate) struct Team {
    /// The work that members may join; null while there is none.
    work: AtomicPtr<Work<'static>>,
    /// How many pieces of work there have been, so that nobody joins one twice.
    published: AtomicUsize,
    /// Members that may be looking at the work.
    inside: AtomicUsize,
    /// Members there are.
    members: AtomicUsize,
    /// Whether a member has left before the step was over.
    deserted: AtomicBool,
    /// Whether the step is over.
    over: AtomicBool,
    /// Whether a member had to share its core.
    crowded: AtomicBool,
    /// How long a member waits for work.
    patience: Duration,
    /// The cores for it.
    room: &'static Room,
}

/// Parts of work, taken one after the other by whoever is free.
struct Work<'a> {
    next: AtomicUsize,
    parts: usize,
    run: &'a (dyn Fn(usize) + Sync),
    /// What a part has panicked with on a member.
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

impl Work<'_> {
    fn take_parts(&self) {
        loop {
            let part = self.next.fetch_add(1, Ordering::Relaxed);
            if part >= self.parts {
                break;
            }
            (self.run)(part);
        }
    }
}

thread_local! {
    /// The team that this thread leads, while it shares no work.
    static LED: Cell<Option<NonNull<Team>>> = const { Cell::new(None) };
    /// Whether this thread has a part in a step: it does not join a team meanwhile, which it may
    /// find in the pool's queue while it waits for the pool.
    static ENGAGED: Cell<bool> = const { Cell::new(false) };
}

/// Keeps the calling thread from joining a team.
struct Engaged {
    before: bool,
}

impl Engaged {
    fn new() -> Self {
        Self {
            before: ENGAGED.replace(true),
        }
    }
}

impl Drop for Engaged {
    fn drop(&mut self) {
        ENGAGED.set(self.before);
    }
}

/// Runs what a step waits for and what may wait for the pool; the calling thread joins no team
/// meanwhile.
pub(crate) fn engaged<R>(work: impl FnOnce() -> R) -> R {
    let _engaged = Engaged::new();
    work()
}

impl Team {
    pub fn new() -> Self {
        Self::within(Room::of_process(), PATIENCE)
    }

    /// Whether the next step is to have members: not for a while after a crowded one.
    pub fn has_room() -> bool {
        Room::of_process().admits_team()
    }

    /// A team with these cores, whose members wait this long for work.
    fn within(room: &'static Room, patience: Duration) -> Self {
        Self {
            work: AtomicPtr::new(ptr::null_mut()),
            published: AtomicUsize::new(0),
            inside: AtomicUsize::new(0),
            members: AtomicUsize::new(0),
            deserted: AtomicBool::new(false),
            over: AtomicBool::new(false),
            crowded: AtomicBool::new(false),
            patience,
            room,
        }
    }

    /// Runs a step on the calling thread, which leads the team and shares its work with the
    /// members, and ends the team.
    pub fn lead<R>(&self, step: impl FnOnce() -> R) -> R {
        struct End<'a>(&'a Team, Option<NonNull<Team>>);
        impl Drop for End<'_> {
            fn drop(&mut self) {
                LED.set(self.1);
                self.0.over.store(true, Ordering::Release);
                let Team {
                    members,
                    published,
                    crowded,
                    room,
                    ..
                } = self.0;
                // Awake, because whoever lends the members waits for them asleep.
                wait_for_zero(members);
                if crowded.load(Ordering::Relaxed) {
                    room.note_crowded();
                } else if published.load(Ordering::Relaxed) > 0 {
                    room.note_quiet();
                }
            }
        }
        let _seat = self.room.lead();
        let _end = End(self, LED.replace(Some(NonNull::from(self))));
        engaged(step)
    }

    /// Makes the calling thread a member until the step is over or nothing has been shared for a
    /// while; not a thread that has a part in a step already.
    pub fn join(&self) {
        if ENGAGED.get() {
            return;
        }
        let Some(_seat) = self.room.join() else {
            return;
        };
        let _engaged = Engaged::new();
        struct Member<'a>(&'a AtomicUsize);
        impl Drop for Member<'_> {
            fn drop(&mut self) {
                self.0.fetch_sub(1, Ordering::Relaxed);
            }
        }
        self.members.fetch_add(1, Ordering::Relaxed);
        let _member = Member(&self.members);
        let mut seen = 0;
        let mut spins = 0usize;
        let mut since = Instant::now();
        while !self.over.load(Ordering::Acquire) {
            let published = self.published.load(Ordering::Acquire);
            if published != seen {
                seen = published;
                self.take_part();
                spins = 0;
                since = Instant::now();
            } else {
                spins += 1;
                if spins.is_multiple_of(SPINS) {
                    let crowded = self.room.yield_core();
                    self.crowded.fetch_or(crowded, Ordering::Relaxed);
                    if crowded || since.elapsed() > self.patience {
                        self.deserted.store(true, Ordering::Relaxed);
                        break;
                    }
                }
                std::hint::spin_loop();
            }
        }
    }

    /// Whether all who came have left: the pool does what is left of the step.
    fn is_deserted(&self) -> bool {
        self.deserted.load(Ordering::Relaxed) && self.members.load(Ordering::Relaxed) == 0
    }

    fn take_part(&self) {
        // In this order, and all of them sequentially consistent: either the leader, who takes the
        // work away before it looks for members inside, finds this one, or this one finds no work,
        // or the next, which is as good.
        self.inside.fetch_add(1, Ordering::SeqCst);
        struct Leave<'a>(&'a AtomicUsize);
        impl Drop for Leave<'_> {
            fn drop(&mut self) {
                self.0.fetch_sub(1, Ordering::SeqCst);
            }
        }
        let _leave = Leave(&self.inside);
        // SAFETY: the leader keeps the work until nobody is inside.
        let Some(work) = (unsafe { self.work.load(Ordering::SeqCst).as_ref() }) else {
            return;
        };
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| work.take_parts())) {
            let mut first = work.panic.lock().unwrap_or_else(PoisonError::into_inner);
            first.get_or_insert(panic);
        }
    }

    /// Lets the members take parts of `work`, takes parts itself and returns when all are done.
    fn publish(&self, work: &Work<'_>) {
        /// Takes the work away again, also if a part panics on the leading thread.
        struct TakeAway<'a>(&'a Team);
        impl Drop for TakeAway<'_> {
            fn drop(&mut self) {
                self.0.work.store(ptr::null_mut(), Ordering::SeqCst);
                wait_for_zero(&self.0.inside);
            }
        }
        let shared = ptr::from_ref(work).cast::<Work<'static>>().cast_mut();
        self.work.store(shared, Ordering::SeqCst);
        self.published.fetch_add(1, Ordering::Release);
        let _away = TakeAway(self);
        work.take_parts();
    }
}

/// Waits, awake, until threads that are about to leave have left.
fn wait_for_zero(threads: &AtomicUsize) {
    let mut spins = 0usize;
    while threads.load(Ordering::SeqCst) != 0 {
        spins += 1;
        if spins.is_multiple_of(SPINS) {
            thread::yield_now();
        }
        std::hint::spin_loop();
    }
}

/// Calls `run` with every number below `parts`, shared with the team that this thread leads.
/// Returns whether it leads one that is there and has nothing else to do; otherwise `run` is not
/// called.
pub(super) fn share(parts: usize, run: &(dyn Fn(usize) + Sync)) -> bool {
    /// Puts the team back.
    struct Back(NonNull<Team>);
    impl Drop for Back {
        fn drop(&mut self) {
            LED.set(Some(self.0));
        }
    }
    let Some(team) = LED.take() else {
        return false;
    };
    let back = Back(team);
    // SAFETY: this runs within the step, as long as which `lead` borrows the team.
    let team = unsafe { back.0.as_ref() };
    if team.is_deserted() {
        return false;
    }
    let work = Work {
        next: AtomicUsize::new(0),
        parts,
        run,
        panic: Mutex::new(None),
    };
    team.publish(&work);
    let panic = work.panic.into_inner();
    if let Some(panic) = panic.unwrap_or_else(PoisonError::into_inner) {
        resume_unwind(panic);
    }
    true
}

#[cfg(test)]
mod tests;
