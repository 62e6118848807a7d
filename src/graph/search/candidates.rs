//! The nearest cells of every cell that were found so far, and nearer ones among their neighbours.

use ndarray::Array2;

use crate::graph::points::{row, squared_distance};
use crate::parallel::for_each;

/// Cells that are worked on together.
const ROWS: usize = 64;
/// Of how many others, at most, a cell is known to be among the nearest.
const MOST_REVERSE: usize = 16;

/// For every cell the nearest of those that it was compared with.
///
/// Cells are named by their places in an order in which near ones lie together, so that what is
/// compared is mostly in the cache.
pub(super) struct Candidates {
    /// How many there are of each cell.
    width: usize,
    /// Nearest first, `[cells, width]`.
    indices: Vec<u32>,
    /// Squared distances, in f32.
    distances: Vec<f32>,
    /// Those that were not there before the last round.
    fresh: Vec<bool>,
}

impl Candidates {
    /// Those that a search has found, all of them new; `distances` are not squared.
    pub fn new(width: usize, indices: Vec<u32>, mut distances: Vec<f32>) -> Self {
        for distance in &mut distances {
            *distance *= *distance;
        }
        Self {
            width,
            fresh: vec![true; indices.len()],
            indices,
            distances,
        }
    }

    /// Those of one cell.
    pub fn of(&self, cell: usize) -> &[u32] {
        &self.indices[cell * self.width..(cell + 1) * self.width]
    }

    /// Squared distances of those of one cell.
    pub fn distances_of(&self, cell: usize) -> &[f32] {
        &self.distances[cell * self.width..(cell + 1) * self.width]
    }

    /// Each cell compared with the cells that are linked to those that it is linked to, whichever of the
    /// two is the other's neighbour: they are near, so they are likely to be neighbours too (Dong, Moses
    /// and Li, "Efficient k-nearest neighbor graph construction for generic similarity measures", WWW
    /// 2011).
    ///
    /// A pair that met in an earlier round is not compared again. All cells are compared on the
    /// candidates as they were before, so that neither order nor threads matter.
    pub fn refined(&self, points: &Array2<f32>) -> Self {
        let width = self.width;
        let reverse = Reverse::of(self);
        let mut next = Self {
            width,
            indices: vec![0; self.indices.len()],
            distances: vec![0.0; self.indices.len()],
            fresh: vec![false; self.indices.len()],
        };
        let blocks = next
            .indices
            .chunks_mut(ROWS * width)
            .zip(next.distances.chunks_mut(ROWS * width))
            .zip(next.fresh.chunks_mut(ROWS * width));
        for_each(
            blocks.enumerate(),
            |(block, ((indices, distances), fresh))| {
                let mut met = Met::new((width + MOST_REVERSE + 1).pow(2));
                let mut nearest = Vec::with_capacity(width + 1);
                let rows = indices
                    .chunks_mut(width)
                    .zip(distances.chunks_mut(width))
                    .zip(fresh.chunks_mut(width));
                for (row, ((indices, distances), fresh)) in rows.enumerate() {
                    self.improve(points, &reverse, block * ROWS + row, &mut met, &mut nearest);
                    for (slot, found) in nearest.iter().enumerate() {
                        indices[slot] = found.index;
                        distances[slot] = found.distance;
                        fresh[slot] = found.is_new;
                    }
                }
            },
        );
        next
    }

    /// The nearest of a cell's candidates and of those of cells that it is linked to.
    fn improve(
        &self,
        points: &Array2<f32>,
        reverse: &Reverse,
        cell: usize,
        met: &mut Met,
        nearest: &mut Vec<Found>,
    ) {
        let own = cell * self.width..(cell + 1) * self.width;
        met.clear();
        met.insert(cell as u32);
        nearest.clear();
        for slot in own.clone() {
            met.insert(self.indices[slot]);
            nearest.push(Found {
                distance: self.distances[slot],
                index: self.indices[slot],
                is_new: false,
            });
        }
        let point = row(points, cell);
        let mut meet = |other: u32| {
            if met.insert(other) {
                let distance = squared_distance(point, row(points, other as usize));
                offer(nearest, distance, other);
            }
        };
        let linked = own
            .map(|slot| (self.indices[slot], self.fresh[slot]))
            .chain(reverse.of_cell(cell));
        for (through, is_fresh) in linked {
            meet(through);
            let through = through as usize;
            for slot in through * self.width..(through + 1) * self.width {
                if is_fresh || self.fresh[slot] {
                    meet(self.indices[slot]);
                }
            }
            for (other, is_new) in reverse.of_cell(through) {
                if is_fresh || is_new {
                    meet(other);
                }
            }
        }
    }
}

struct Found {
    distance: f32,
    index: u32,
    is_new: bool,
}

/// Takes a cell into a full list, nearest first, when it is nearer than the last.
fn offer(nearest: &mut Vec<Found>, distance: f32, index: u32) {
    let before = |found: &Found| (found.distance, found.index) < (distance, index);
    if nearest.last().is_none_or(before) {
        return;
    }
    let place = nearest.partition_point(before);
    nearest.pop();
    nearest.insert(
        place,
        Found {
            distance,
            index,
            is_new: true,
        },
    );
}

/// For every cell some of those that it is a candidate of, preferably those that it is nearest to.
struct Reverse {
    counts: Vec<u8>,
    indices: Vec<u32>,
    fresh: Vec<bool>,
}

impl Reverse {
    fn of(candidates: &Candidates) -> Self {
        let width = candidates.width;
        let cells = candidates.indices.len() / width;
        let mut reverse = Self {
            counts: vec![0; cells],
            indices: vec![0; cells * MOST_REVERSE],
            fresh: vec![false; cells * MOST_REVERSE],
        };
        for slot in 0..width {
            for cell in 0..cells {
                let of_cell = cell * width + slot;
                let other = candidates.indices[of_cell] as usize;
                let count = &mut reverse.counts[other];
                if usize::from(*count) < MOST_REVERSE {
                    let place = other * MOST_REVERSE + usize::from(*count);
                    reverse.indices[place] = cell as u32;
                    reverse.fresh[place] = candidates.fresh[of_cell];
                    *count += 1;
                }
            }
        }
        reverse
    }

    fn of_cell(&self, cell: usize) -> impl Iterator<Item = (u32, bool)> {
        let places = cell * MOST_REVERSE..cell * MOST_REVERSE + usize::from(self.counts[cell]);
        places.map(|place| (self.indices[place], self.fresh[place]))
    }
}

/// A set of cells that is soon emptied again.
struct Met {
    /// Where a cell is, or would be, after those that lie in its way.
    places: Vec<u32>,
    taken: Vec<u32>,
}

impl Met {
    const NOBODY: u32 = u32::MAX;

    /// With room for so many.
    fn new(most: usize) -> Self {
        Self {
            places: vec![Self::NOBODY; (2 * most).next_power_of_two()],
            taken: Vec::with_capacity(most),
        }
    }

    fn clear(&mut self) {
        for place in self.taken.drain(..) {
            self.places[place as usize] = Self::NOBODY;
        }
    }

    /// Whether the cell was not there.
    fn insert(&mut self, cell: u32) -> bool {
        let mask = self.places.len() - 1;
        let mut place = (cell.wrapping_mul(0x9e37_79b1) >> 7) as usize & mask;
        while self.places[place] != Self::NOBODY {
            if self.places[place] == cell {
                return false;
            }
            place = (place + 1) & mask;
        }
        self.places[place] = cell;
        self.taken.push(place as u32);
        true
    }
}
