//! Lloyd's iterations, with a bound after Hamerly (SIAM Data Mining 2010) that spares most cells
//! the comparison with every centroid.
//!
//! The bound changes nothing but the time: a cell is skipped only when its label is certain to
//! be the one that the comparison, with its rounding errors, would give. Sums over cells are
//! exact, so they depend neither on the order of the cells nor on how often a label changed.

use ndarray::Array2;

use super::scorer::{Nearest, Scorer};
use super::tiles::{Lanes, Points, WIDTH, gather, largest_norm};
use crate::graph::points::{BLOCK, row, squared_distance, squared_distance_f64};
use crate::kernel::vectorize::{Vectorize, vectorize};
use crate::parallel::{for_each, map};

/// Copying a cell into a tile takes about as long as comparing it with this many centroids.
const GATHER_COST: usize = 12;
/// Cells are handed to the thread pool in at most so many groups.
const GROUPS: usize = 64;

/// What Lloyd's algorithm found from one start.
pub(super) struct Run {
    pub centroids: Array2<f32>,
    pub labels: Vec<u32>,
    pub inertia: f64,
    pub iterations: usize,
    pub converged: bool,
}

/// Lloyd's algorithm from `centroids`. `points` are centred, below 1 and [`on_grid`]; it ends
/// when no label changes, or when the squared changes of the centroids sum to at most
/// `shift_tolerance`.
pub(super) fn run(
    points: &Points,
    mut centroids: Array2<f32>,
    shift_tolerance: f64,
    max_iterations: usize,
) -> Run {
    let mut cells = Cells::new(points, &centroids);
    let mut iterations = 0;
    let mut converged = false;
    let mut labels_current = false;
    while iterations < max_iterations {
        iterations += 1;
        let changed = cells.assign(&centroids);
        let relocation = cells.relocate_empty(&centroids);
        if changed == 0 && relocation.is_none() {
            converged = true;
            labels_current = true;
            break;
        }
        let members = relocation.as_ref().unwrap_or(&cells.members);
        let moved = members.means(&centroids);
        let shifts: Vec<f64> = (0..centroids.nrows())
            .map(|cluster| squared_distance_f64(row(&moved, cluster), row(&centroids, cluster)))
            .collect();
        cells.loosen(&shifts);
        centroids = moved;
        if shifts.iter().sum::<f64>() <= shift_tolerance {
            converged = true;
            break;
        }
    }
    if !labels_current {
        cells.assign(&centroids);
    }
    let inertia = cells.inertia(&centroids);
    Run {
        labels: cells.labels,
        centroids,
        inertia,
        iterations,
        converged,
    }
}

/// The nearest of `centroids` for every point, the first of equals.
pub(super) fn nearest(points: &Points, centroids: &Array2<f32>) -> Vec<u32> {
    let mut cells = Cells::new(points, centroids);
    cells.assign(centroids);
    cells.labels
}

/// Bits after the binary point of the coordinates of `cells` points, few enough for sums of all
/// coordinates to fit 64 bits.
fn fraction_bits(cells: usize) -> u32 {
    let size = usize::BITS - cells.leading_zeros();
    62u32.saturating_sub(size).min(40)
}

/// Points below 1 rounded to multiples of 2⁻⁴⁰ (a little more for over 4 million cells), so that
/// their sums are exact integers. Coordinates of 2⁻¹⁶ and more are such multiples already.
pub(super) fn on_grid(points: &Array2<f32>) -> Array2<f32> {
    let unit = libm::ldexp(1.0, fraction_bits(points.nrows()) as i32);
    points.mapv(|value| ((f64::from(value) * unit).round() / unit) as f32)
}

/// No label yet.
const UNASSIGNED: u32 = u32::MAX;

struct Cells<'a> {
    points: &'a Points,
    labels: Vec<u32>,
    /// A cell keeps its label while [`drift`](Self::drift) of its cluster is below this.
    due: Vec<f32>,
    /// For every cluster, the sum over the iterations of how far its centroid moved and how far
    /// another one moved at most.
    drift: Vec<f64>,
    /// At least the norm of every point and every centroid: a mean is not farther out than all
    /// of its members.
    radius: f64,
    members: Members,
}

impl<'a> Cells<'a> {
    fn new(points: &'a Points, centroids: &Array2<f32>) -> Self {
        let (clusters, dimensions) = centroids.dim();
        let cells = points.cells();
        Self {
            points,
            labels: vec![UNASSIGNED; cells],
            due: vec![f32::NEG_INFINITY; cells],
            drift: vec![0.0; clusters],
            radius: points.radius.max(largest_norm(centroids)),
            members: Members::empty(clusters, dimensions, fraction_bits(cells)),
        }
    }

    /// Sets every label to the nearest centroid, the first of equals, and brings the sums of the
    /// members up to date. Returns how many labels changed.
    fn assign(&mut self, centroids: &Array2<f32>) -> usize {
        let pass = Pass::new(self.points, centroids, self.radius, &self.drift);
        let members = &self.members;
        // Sums are exact: how the blocks are grouped does not matter.
        let group = BLOCK * (self.labels.len().div_ceil(BLOCK * GROUPS)).max(1);
        let mut changes: Vec<Members> = Vec::new();
        changes.resize_with(self.labels.len().div_ceil(group), || members.unchanged());
        let labels = self.labels.chunks_mut(group);
        let groups = labels.zip(self.due.chunks_mut(group)).zip(&mut changes);
        for_each(groups.enumerate(), |(number, ((labels, due), change))| {
            let mut scratch = Scratch::new(self.points.dimensions());
            let blocks = labels.chunks_mut(BLOCK).zip(due.chunks_mut(BLOCK));
            for (block, (labels, due)) in blocks.enumerate() {
                vectorize(Block {
                    pass: &pass,
                    start: number * group + block * BLOCK,
                    labels,
                    due,
                    scratch: &mut scratch,
                    change,
                });
            }
        });
        let mut changed = 0;
        for change in &changes {
            self.members.add(change);
            changed += change.changed;
        }
        changed
    }

    /// Takes note that the centroids moved by the given squared distances.
    fn loosen(&mut self, squared_shifts: &[f64]) {
        let shifts: Vec<f64> = squared_shifts.iter().map(|shift| shift.sqrt()).collect();
        let (mut farthest, mut largest, mut second) = (0, 0.0f64, 0.0f64);
        for (cluster, &shift) in shifts.iter().enumerate() {
            if shift > largest {
                (farthest, second, largest) = (cluster, largest, shift);
            } else if shift > second {
                second = shift;
            }
        }
        for (cluster, (drift, shift)) in self.drift.iter_mut().zip(shifts).enumerate() {
            *drift += shift + if cluster == farthest { second } else { largest };
        }
    }

    /// The members after giving every empty cluster the cell farthest from its centroid; `None`
    /// when no cluster is empty or no cell can be given.
    ///
    /// Cells that lie on their centroid, and the last cell of a cluster, stay where they are.
    fn relocate_empty(&self, centroids: &Array2<f32>) -> Option<Members> {
        let empty: Vec<usize> = (0..centroids.nrows())
            .filter(|&cluster| self.members.counts[cluster] == 0)
            .collect();
        if empty.is_empty() {
            return None;
        }
        let rows = &self.points.rows;
        let mut farthest: Vec<(f32, usize)> = self
            .labels
            .iter()
            .enumerate()
            .map(|(cell, &label)| {
                let centroid = row(centroids, label as usize);
                (squared_distance(row(rows, cell), centroid), cell)
            })
            .filter(|&(distance, _)| distance > 0.0)
            .collect();
        farthest.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        let mut members = self.members.clone();
        let mut candidates = farthest.into_iter().map(|(_, cell)| cell);
        let mut relocated = false;
        for cluster in empty {
            let label = |cell: usize| self.labels[cell] as usize;
            let Some(cell) = candidates.find(|&cell| members.counts[label(cell)] > 1) else {
                break;
            };
            let point = row(rows, cell);
            members.count(label(cell), point, -1);
            members.count(cluster, point, 1);
            relocated = true;
        }
        relocated.then_some(members)
    }

    fn inertia(&self, centroids: &Array2<f32>) -> f64 {
        let cells = self.labels.len();
        let blocks: Vec<f64> = map(cells.div_ceil(BLOCK), |block| {
            let distances = (block * BLOCK..cells.min((block + 1) * BLOCK)).map(|cell| {
                squared_distance_f64(
                    row(&self.points.rows, cell),
                    row(centroids, self.labels[cell] as usize),
                )
            });
            distances.sum()
        });
        blocks.iter().sum()
    }
}

/// The cells of every cluster, counted and summed; also a change of them.
#[derive(Clone)]
struct Members {
    /// Sums of the coordinates `[clusters, dimensions]` in units of 2^−fraction_bits: exact.
    sums: Vec<i64>,
    /// Number of cells of every cluster.
    counts: Vec<i64>,
    /// Cells whose label changed.
    changed: usize,
    dimensions: usize,
    fraction_bits: u32,
}

impl Members {
    fn empty(clusters: usize, dimensions: usize, fraction_bits: u32) -> Self {
        Self {
            sums: vec![0; clusters * dimensions],
            counts: vec![0; clusters],
            changed: 0,
            dimensions,
            fraction_bits,
        }
    }

    fn unchanged(&self) -> Self {
        Self::empty(self.counts.len(), self.dimensions, self.fraction_bits)
    }

    fn unit(&self) -> f64 {
        libm::ldexp(1.0, self.fraction_bits as i32)
    }

    fn add(&mut self, other: &Self) {
        for (sum, more) in self.sums.iter_mut().zip(&other.sums) {
            *sum += more;
        }
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
        self.changed += other.changed;
    }

    /// Counts a point `times` (1 or −1) more in a cluster.
    #[inline(always)]
    fn count(&mut self, cluster: usize, point: &[f32], times: i64) {
        let factor = self.unit() * times as f64;
        let start = cluster * self.dimensions;
        for (sum, &value) in self.sums[start..].iter_mut().zip(point) {
            *sum += (f64::from(value) * factor) as i64;
        }
        self.counts[cluster] += times;
    }

    /// The mean of every cluster; an empty one keeps its centroid.
    fn means(&self, centroids: &Array2<f32>) -> Array2<f32> {
        let unit = self.unit();
        Array2::from_shape_fn(centroids.dim(), |(cluster, dimension)| {
            let count = self.counts[cluster];
            if count == 0 {
                return centroids[[cluster, dimension]];
            }
            let sum = self.sums[cluster * self.dimensions + dimension] as f64;
            (sum / unit / count as f64) as f32
        })
    }
}

/// Memory that one thread uses again and again.
struct Scratch {
    /// Offsets in the block of the cells to be compared with every centroid; up to [`BLOCK`].
    unsettled: Vec<usize>,
    /// Cells gathered from the block `[dimensions]`.
    tile: Vec<Lanes>,
}

impl Scratch {
    fn new(dimensions: usize) -> Self {
        Self {
            unsettled: vec![0; BLOCK],
            tile: vec![Lanes::ZERO; dimensions],
        }
    }
}

/// One assignment of all cells.
struct Pass<'a> {
    points: &'a Points,
    scorer: Scorer,
    clusters: usize,
    drift: Vec<f32>,
    /// The drift with room for the rounding of sums of drift and margin, in f32.
    limits: Vec<f32>,
}

impl<'a> Pass<'a> {
    fn new(points: &'a Points, centroids: &Array2<f32>, radius: f64, drift: &[f64]) -> Self {
        let unit = f64::from(f32::EPSILON) / 2.0;
        Self {
            points,
            scorer: Scorer::new(centroids, radius),
            clusters: centroids.nrows(),
            drift: drift.iter().map(|&drift| drift as f32).collect(),
            // A margin is at most 2R and drift only grows, so each of three roundings (this one,
            // that of the sum and that of the drift in it) is within u(3R + drift).
            limits: drift
                .iter()
                .map(|&drift| (drift + 4.0 * unit * (3.0 * radius + drift)) as f32)
                .collect(),
        }
    }
}

/// The part of a pass that concerns a block of cells.
struct Block<'a> {
    pass: &'a Pass<'a>,
    /// Its first cell.
    start: usize,
    labels: &'a mut [u32],
    due: &'a mut [f32],
    scratch: &'a mut Scratch,
    change: &'a mut Members,
}

impl Vectorize for Block<'_> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool, const WIDE: bool>(mut self) {
        let count = self.find_unsettled();
        let Pass { points, scorer, .. } = self.pass;
        let dimensions = points.dimensions();
        if count * (self.pass.clusters + GATHER_COST) > self.labels.len() * self.pass.clusters {
            let tiles = points.tiles[self.start / WIDTH * dimensions..].chunks_exact(dimensions);
            for (first, tile) in (0..self.labels.len()).step_by(WIDTH).zip(tiles) {
                let nearest = scorer.nearest::<FMA, WIDE>(tile);
                for lane in 0..WIDTH.min(self.labels.len() - first) {
                    self.settle(first + lane, &nearest, lane);
                }
            }
            return;
        }
        for first in (0..count).step_by(WIDTH) {
            let lanes = WIDTH.min(count - first);
            let mut cells = [self.start; WIDTH];
            let chosen = &self.scratch.unsettled[first..first + lanes];
            for (cell, offset) in cells.iter_mut().zip(chosen) {
                *cell += offset;
            }
            gather(&points.rows, cells, &mut self.scratch.tile);
            let nearest = scorer.nearest::<FMA, WIDE>(&self.scratch.tile);
            for lane in 0..lanes {
                self.settle(self.scratch.unsettled[first + lane], &nearest, lane);
            }
        }
    }
}

impl Block<'_> {
    /// Lists the cells whose labels are not certain; returns how many these are.
    #[inline(always)]
    fn find_unsettled(&mut self) -> usize {
        let limits = self.pass.limits.as_slice();
        let unsettled = self.scratch.unsettled.as_mut_slice();
        let mut count = 0;
        for (offset, (&label, &due)) in self.labels.iter().zip(self.due.iter()).enumerate() {
            let settled = limits.get(label as usize).is_some_and(|&limit| limit < due);
            // Written always, kept or not: a branch here would be hard to predict.
            unsettled[count] = offset;
            count += usize::from(!settled);
        }
        count
    }

    /// Takes over what was found for the cell at `offset`.
    #[inline(always)]
    fn settle(&mut self, offset: usize, nearest: &Nearest, lane: usize) {
        let label = nearest.labels[lane];
        self.due[offset] = nearest.margins[lane] + self.pass.drift[label as usize];
        let before = std::mem::replace(&mut self.labels[offset], label);
        if label != before {
            let point = row(&self.pass.points.rows, self.start + offset);
            if before != UNASSIGNED {
                self.change.count(before as usize, point, -1);
            }
            self.change.count(label as usize, point, 1);
            self.change.changed += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::RngExt;

    use super::*;
    use crate::random::{Purpose, stream};

    proptest! {
        #[test]
        fn bounds_do_not_change_the_result(
            cells in 8usize..300,
            dimensions in 1usize..6,
            clusters in 2usize..8,
            steps in prop::sample::select(vec![4.0f32, 64.0, 1.0e6]),
            seed: u64,
        ) {
            let mut random = stream(seed, Purpose::Simulation, 0, 0);
            // Few steps make many equal distances.
            let points = on_grid(&Array2::from_shape_fn((cells, dimensions), |_| {
                (random.random::<f32>() * steps).round() / steps - 0.5
            }));
            let mut centroids = points.slice(ndarray::s![..clusters, ..]).to_owned();
            let points = Points::new(points);
            let mut bounded = Cells::new(&points, &centroids);
            for _ in 0..30 {
                bounded.assign(&centroids);
                let mut fresh = Cells::new(&points, &centroids);
                fresh.assign(&centroids);
                prop_assert_eq!(&bounded.labels, &fresh.labels);
                prop_assert_eq!(&bounded.members.sums, &fresh.members.sums);
                prop_assert_eq!(&bounded.members.counts, &fresh.members.counts);
                let moved = bounded.members.means(&centroids);
                let shifts: Vec<f64> = (0..clusters)
                    .map(|c| squared_distance_f64(row(&moved, c), row(&centroids, c)))
                    .collect();
                bounded.loosen(&shifts);
                centroids = moved;
            }
        }

        #[test]
        fn the_grid_changes_little_and_sums_exactly(values in prop::collection::vec(-1.0f32..1.0, 1..50)) {
            let points = Array2::from_shape_fn((values.len(), 1), |(i, _)| values[i]);
            let rounded = on_grid(&points);
            let mut members = Members::empty(1, 1, fraction_bits(values.len()));
            for (value, &rounded) in values.iter().zip(&rounded) {
                prop_assert!((value - rounded).abs() <= 4.6e-13);
                members.count(0, &[rounded], 1);
            }
            let exact: f64 = rounded.iter().map(|&value| f64::from(value)).sum();
            prop_assert_eq!(members.sums[0] as f64 / members.unit(), exact);
            for &rounded in &rounded {
                members.count(0, &[rounded], -1);
            }
            prop_assert_eq!(members.sums[0], 0);
        }
    }

    #[test]
    fn sums_fit_for_any_number_of_cells() {
        for cells in [1usize, 1000, 1 << 22, (1 << 22) + 1, 1 << 30, 1 << 40] {
            let bits = fraction_bits(cells);
            assert!(bits <= 40);
            assert!(cells as f64 * libm::ldexp(1.0, bits as i32) <= libm::ldexp(1.0, 62));
        }
    }
}
