//! Threads that stay awake while a training step runs.
//!
//! A step is a chain of some twenty short pieces of parallel work with a little work of a single
//! thread between them. To wake a sleeping thread of the pool for each of them, and the calling
//! thread at its end, takes a tenth of a millisecond a piece: a tenth of the step. The members of a
//! team stay awake until the step is over, and the thread that leads it shares its work with them
//! without a call to the operating system. A member that finds nothing to do works for the pool.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr::{self, NonNull};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};
use std::thread::{self, ThreadId};

use burn::tensor::Device;

/// How often a waiting thread looks before it lets others have the core.
const SPINS: usize = 1 << 10;

/// The threads that work on a step.
#[derive(Debug)]
pub(crate) struct Team {
    leader: ThreadId,
    /// The work that members may join; null while there is none.
    work: AtomicPtr<Work<'static>>,
    /// How many pieces of work there have been, so that nobody joins one twice.
    published: AtomicUsize,
    /// Members that may be looking at the work.
    inside: AtomicUsize,
    /// Whether the step is over.
    over: AtomicBool,
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
    /// Whether this thread is a member of a team.
    static MEMBER: Cell<bool> = const { Cell::new(false) };
}

impl Team {
    /// A team led by the calling thread.
    pub fn new() -> Self {
        Self {
            leader: thread::current().id(),
            work: AtomicPtr::new(ptr::null_mut()),
            published: AtomicUsize::new(0),
            inside: AtomicUsize::new(0),
            over: AtomicBool::new(false),
        }
    }

    /// Runs a step on the leading thread, which shares its work with the members, and ends the
    /// team.
    pub fn lead<R>(&self, step: impl FnOnce() -> R) -> R {
        struct End<'a>(&'a Team, Option<NonNull<Team>>);
        impl Drop for End<'_> {
            fn drop(&mut self) {
                LED.set(self.1);
                self.0.over.store(true, Ordering::Release);
            }
        }
        let _end = End(self, LED.replace(Some(NonNull::from(self))));
        step()
    }

    /// Makes the calling thread a member until the step is over; not the leading thread, nor a
    /// member of another team, which find this in the pool's queue while they wait.
    pub fn join(&self) {
        struct Member;
        impl Drop for Member {
            fn drop(&mut self) {
                MEMBER.set(false);
            }
        }
        if thread::current().id() == self.leader || MEMBER.replace(true) {
            return;
        }
        let _member = Member;
        let mut seen = 0;
        let mut spins = 0usize;
        while !self.over.load(Ordering::Acquire) {
            let published = self.published.load(Ordering::Acquire);
            if published != seen {
                seen = published;
                self.take_part();
                spins = 0;
            } else {
                spins += 1;
                // Another step may be waiting for a thread of the pool, and so for this one.
                if spins.is_multiple_of(SPINS) && rayon::yield_now() != Some(rayon::Yield::Executed)
                {
                    thread::yield_now();
                }
                std::hint::spin_loop();
            }
        }
    }

    fn take_part(&self) {
        // In this order, and all of them sequentially consistent: either the leader, who takes the
        // work away before it looks for members inside, finds this one, or this one finds no work.
        self.inside.fetch_add(1, Ordering::SeqCst);
        struct Leave<'a>(&'a AtomicUsize);
        impl Drop for Leave<'_> {
            fn drop(&mut self) {
                self.0.fetch_sub(1, Ordering::SeqCst);
            }
        }
        let _leave = Leave(&self.inside);
        // SAFETY: the leader keeps the work until nobody is inside.
        if let Some(work) = unsafe { self.work.load(Ordering::SeqCst).as_ref() } {
            let result = catch_unwind(AssertUnwindSafe(|| work.take_parts()));
            if let (Err(panic), Ok(mut first)) = (result, work.panic.lock()) {
                first.get_or_insert(panic);
            }
        }
    }

    #[cfg(feature = "flex")]
    /// Lets the members take parts of `work`, takes parts itself and returns when all are done.
    fn publish(&self, work: &Work<'_>) {
        /// Takes the work away again, also if a part panics on the leading thread.
        struct TakeAway<'a>(&'a Team);
        impl Drop for TakeAway<'_> {
            fn drop(&mut self) {
                self.0.work.store(ptr::null_mut(), Ordering::SeqCst);
                let mut spins = 0usize;
                while self.0.inside.load(Ordering::SeqCst) != 0 {
                    spins += 1;
                    if spins.is_multiple_of(SPINS) {
                        thread::yield_now();
                    }
                    std::hint::spin_loop();
                }
            }
        }
        let shared = ptr::from_ref(work).cast::<Work<'static>>().cast_mut();
        self.work.store(shared, Ordering::SeqCst);
        self.published.fetch_add(1, Ordering::Release);
        let _away = TakeAway(self);
        work.take_parts();
    }
}

/// Whether steps on a device are computed by threads that can share their work.
pub(crate) fn computes_on(device: &Device) -> bool {
    #[cfg(feature = "flex")]
    return super::flex::is_flex(device);
    #[cfg(not(feature = "flex"))]
    {
        let _ = device;
        false
    }
}

/// Calls `run` with every number below `parts`, shared with the team that this thread leads.
/// Returns whether it leads one that has nothing else to do; otherwise `run` is not called.
#[cfg(feature = "flex")]
pub(super) fn share(parts: usize, run: &(dyn Fn(usize) + Sync)) -> bool {
    let Some(team) = LED.take() else {
        return false;
    };
    /// Gives the team back.
    struct Back(NonNull<Team>);
    impl Drop for Back {
        fn drop(&mut self) {
            LED.set(Some(self.0));
        }
    }
    let _back = Back(team);
    let work = Work {
        next: AtomicUsize::new(0),
        parts,
        run,
        panic: Mutex::new(None),
    };
    // SAFETY: `lead` takes the team out of this thread's cell before it lets go of it.
    unsafe { team.as_ref() }.publish(&work);
    if let Ok(Some(panic)) = work.panic.into_inner() {
        resume_unwind(panic);
    }
    true
}

#[cfg(test)]
mod tests;
