//! How many threads of the process stay awake in teams.
//!
//! An awake thread that has a core to itself saves a step time. One that has to share its core takes
//! time from whoever has work to do: another step, another pool of the program, another program.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Most steps that go without a team after a crowded one.
const LONGEST_REST: usize = 64;
/// A thread that lets others have its core, and gets it back later than this, has to share it.
const LATE: Duration = Duration::from_micros(200);

/// The cores that teams may keep busy.
#[derive(Debug)]
pub(super) struct Room {
    /// Most threads that are awake.
    limit: usize,
    /// From when on a core is shared.
    late: Duration,
    /// Threads that are awake: leaders and members.
    awake: AtomicUsize,
    /// Steps that are to go without a team.
    rest: AtomicUsize,
    /// Steps that will, after the next crowded one.
    next_rest: AtomicUsize,
}

/// A thread that is awake, until dropped.
#[derive(Debug)]
pub(super) struct Seat<'a>(&'a Room);

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        self.0.awake.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Room {
    /// The cores of this process.
    pub fn of_process() -> &'static Self {
        static ROOM: OnceLock<Room> = OnceLock::new();
        ROOM.get_or_init(|| {
            let cores = thread::available_parallelism().map_or(1, usize::from);
            Self::new(cores, LATE)
        })
    }

    /// So many cores, one of which is shared when it comes back later than `late`.
    pub const fn new(limit: usize, late: Duration) -> Self {
        Self {
            limit,
            late,
            awake: AtomicUsize::new(0),
            rest: AtomicUsize::new(0),
            next_rest: AtomicUsize::new(1),
        }
    }

    /// Whether the next step may have a team: not for a while after a crowded one.
    pub fn admits_team(&self) -> bool {
        let rest = self
            .rest
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |rest| {
                rest.checked_sub(1)
            });
        rest.is_err()
    }

    /// A place for who leads: it has work to do, whether or not there is a core for it.
    pub fn lead(&self) -> Seat<'_> {
        self.awake.fetch_add(1, Ordering::Relaxed);
        Seat(self)
    }

    /// A place for a member, if there is a core for it.
    pub fn join(&self) -> Option<Seat<'_>> {
        let before = self.awake.fetch_add(1, Ordering::Relaxed);
        let seat = Seat(self);
        (before < self.limit).then_some(seat)
    }

    /// Lets others have the core; returns whether somebody took it for long.
    pub fn yield_core(&self) -> bool {
        let start = Instant::now();
        thread::yield_now();
        start.elapsed() > self.late
    }

    /// Takes note of a crowded step: 1, 2, 4, … steps go without a team.
    pub fn note_crowded(&self) {
        let next = self.next_rest.load(Ordering::Relaxed);
        self.rest.store(next, Ordering::Relaxed);
        self.next_rest
            .store((2 * next).min(LONGEST_REST), Ordering::Relaxed);
    }

    /// Takes note of a step whose team had its cores.
    pub fn note_quiet(&self) {
        let next = self.next_rest.load(Ordering::Relaxed);
        self.next_rest.store((next / 2).max(1), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_find_room_beside_leaders_only() {
        let room = Room::new(2, LATE);
        let leader = room.lead();
        let member = room.join();
        assert!(member.is_some());
        assert!(room.join().is_none());
        drop(leader);
        assert!(room.join().is_some());
        drop(member);
        let leaders = [room.lead(), room.lead(), room.lead()];
        assert!(room.join().is_none());
        drop(leaders);
        assert_eq!(room.awake.into_inner(), 0);
    }

    #[test]
    fn crowded_steps_cost_ever_more_of_the_next_their_team() {
        let room = Room::new(2, LATE);
        let rest = || {
            let mut steps = 0;
            while !room.admits_team() {
                steps += 1;
            }
            steps
        };
        assert_eq!(rest(), 0);
        let rests: Vec<usize> = (0..9)
            .map(|_| {
                room.note_crowded();
                rest()
            })
            .collect();
        assert_eq!(rests, [1, 2, 4, 8, 16, 32, 64, 64, 64]);
        for _ in 0..3 {
            room.note_quiet();
        }
        room.note_crowded();
        assert_eq!(rest(), 8);
    }
}
