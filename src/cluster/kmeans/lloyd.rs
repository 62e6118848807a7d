//! Lloyd's iterations, with the bounds of Hamerly (SIAM Data Mining 2010) that spare most cells
//! the comparison with every centroid.
//!
//! The bounds change nothing but the time: a cell is skipped only when its label is certain to
//! be the one that the comparison, with its rounding errors, would give. Sums over cells are
//! exact, so they depend neither on the order of the cells nor on how often a label changed.

use ndarray::{Array2, ArrayView2};
use rayon::prelude::*;

use crate::cluster::points::{BLOCK, row, squared_distance, squared_distance_f64, squared_norms};

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
    points: &Array2<f32>,
    mut centroids: Array2<f32>,
    shift_tolerance: f64,
    max_iterations: usize,
) -> Run {
    let mut cells = Cells::new(points, centroids.nrows());
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
        labels: cells.nearest.into_iter().map(|cell| cell.label).collect(),
        centroids,
        inertia,
        iterations,
        converged,
    }
}

/// The nearest of `centroids` for every point, the first of equals.
pub(super) fn nearest(points: &Array2<f32>, centroids: &Array2<f32>) -> Vec<u32> {
    let mut cells = Cells::new(points, centroids.nrows());
    cells.assign(centroids);
    cells.nearest.into_iter().map(|cell| cell.label).collect()
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

/// What is known of a cell's nearest centroids.
#[derive(Clone, Copy)]
struct Nearest {
    /// The nearest centroid; `u32::MAX` before the first assignment.
    label: u32,
    /// At least the distance to it.
    upper: f64,
    /// At most the distance to any other.
    lower: f64,
}

struct Cells<'a> {
    points: &'a Array2<f32>,
    norms: Vec<f64>,
    nearest: Vec<Nearest>,
    members: Members,
}

impl<'a> Cells<'a> {
    fn new(points: &'a Array2<f32>, clusters: usize) -> Self {
        let unknown = Nearest {
            label: u32::MAX,
            upper: f64::INFINITY,
            lower: 0.0,
        };
        Self {
            points,
            norms: squared_norms(points),
            nearest: vec![unknown; points.nrows()],
            members: Members::empty(clusters, points.ncols(), fraction_bits(points.nrows())),
        }
    }

    /// Sets every label to the nearest centroid, the first of equals, and brings the sums of the
    /// members up to date. Returns how many labels changed.
    fn assign(&mut self, centroids: &Array2<f32>) -> usize {
        let scorer = Scorer::new(centroids);
        let (points, norms) = (self.points, &self.norms);
        let changes = self
            .nearest
            .par_chunks_mut(BLOCK)
            .enumerate()
            .map_init(Scratch::default, |scratch, (block, nearest)| {
                let mut change = self.members.unchanged();
                scorer.block(points, norms, block * BLOCK, nearest, scratch, &mut change);
                change
            })
            .reduce_with(|mut a, b| {
                a.add(&b);
                a
            });
        let Some(changes) = changes else {
            return 0;
        };
        self.members.add(&changes);
        changes.changed
    }

    /// Loosens the bounds after the centroids moved by the given squared distances.
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
        self.nearest.par_chunks_mut(BLOCK).for_each(|nearest| {
            for cell in nearest {
                let label = cell.label as usize;
                cell.upper += shifts[label];
                cell.lower -= if label == farthest { second } else { largest };
            }
        });
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
        let mut farthest: Vec<(f32, usize)> = self
            .nearest
            .iter()
            .enumerate()
            .map(|(cell, nearest)| {
                let centroid = row(centroids, nearest.label as usize);
                (squared_distance(row(self.points, cell), centroid), cell)
            })
            .filter(|&(distance, _)| distance > 0.0)
            .collect();
        farthest.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        let mut members = self.members.clone();
        let mut candidates = farthest.into_iter().map(|(_, cell)| cell);
        let mut relocated = false;
        for cluster in empty {
            let label = |cell: usize| self.nearest[cell].label as usize;
            let Some(cell) = candidates.find(|&cell| members.counts[label(cell)] > 1) else {
                break;
            };
            let point = row(self.points, cell);
            members.count(label(cell), point, -1);
            members.count(cluster, point, 1);
            relocated = true;
        }
        relocated.then_some(members)
    }

    fn inertia(&self, centroids: &Array2<f32>) -> f64 {
        let blocks: Vec<f64> = self
            .nearest
            .par_chunks(BLOCK)
            .enumerate()
            .map(|(block, nearest)| {
                nearest
                    .iter()
                    .enumerate()
                    .map(|(offset, nearest)| {
                        squared_distance_f64(
                            row(self.points, block * BLOCK + offset),
                            row(centroids, nearest.label as usize),
                        )
                    })
                    .sum()
            })
            .collect();
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
#[derive(Default)]
struct Scratch {
    /// Offsets in the block of the cells to be compared with every centroid.
    unsettled: Vec<usize>,
    /// Their coordinates.
    rows: Vec<f32>,
    /// Their least scores, the clusters of these, and the second least scores.
    best: Vec<f32>,
    label: Vec<u32>,
    second: Vec<f32>,
}

/// Compares cells with centroids.
struct Scorer<'a> {
    centroids: &'a Array2<f32>,
    minus_twice: Array2<f32>,
    norms: Vec<f32>,
    largest_norm: f64,
    /// Distance of every centroid to the nearest other.
    separation: Vec<f64>,
}

impl<'a> Scorer<'a> {
    fn new(centroids: &'a Array2<f32>) -> Self {
        let norms = squared_norms(centroids);
        let clusters = centroids.nrows();
        let separation = (0..clusters)
            .map(|cluster| {
                (0..clusters)
                    .filter(|&other| other != cluster)
                    .map(|other| {
                        squared_distance_f64(row(centroids, cluster), row(centroids, other))
                    })
                    .fold(f64::INFINITY, f64::min)
                    .sqrt()
            })
            .collect();
        Self {
            centroids,
            minus_twice: centroids.mapv(|value| -2.0 * value),
            largest_norm: norms.iter().copied().fold(0.0, f64::max).sqrt(),
            norms: norms.into_iter().map(|norm| norm as f32).collect(),
            separation,
        }
    }

    /// How far a score (the squared distance less ‖x‖², in f32) can be from the truth.
    ///
    /// With u = 2⁻²⁴, d dimensions and R = ‖x‖ + max ‖μ‖, a dot product of d terms is within
    /// d·u of the sum of the terms' magnitudes, at most R²; rounding ‖μ‖² and the sum adds
    /// 2uR². The factor 2 and the generous constant leave room for second-order terms and for
    /// the rounding of the bounds, which are f64.
    fn slack(&self, norm: f64) -> f64 {
        let unit = f64::from(f32::EPSILON) / 2.0;
        let reach = (norm.sqrt() + self.largest_norm).powi(2);
        2.0 * unit * (self.centroids.ncols() as f64 + 8.0) * reach
    }

    /// Assigns the cells of the block that begins at cell `start`.
    fn block(
        &self,
        points: &Array2<f32>,
        norms: &[f64],
        start: usize,
        nearest: &mut [Nearest],
        scratch: &mut Scratch,
        change: &mut Members,
    ) {
        scratch.unsettled.clear();
        scratch.rows.clear();
        for (offset, cell) in nearest.iter_mut().enumerate() {
            let point = row(points, start + offset);
            if !self.is_settled(cell, point, norms[start + offset]) {
                scratch.unsettled.push(offset);
                scratch.rows.extend_from_slice(point);
            }
        }
        self.score(scratch);
        for (place, &offset) in scratch.unsettled.iter().enumerate() {
            let cell = &mut nearest[offset];
            let norm = norms[start + offset];
            let slack = self.slack(norm);
            let label = scratch.label[place];
            cell.upper = (f64::from(scratch.best[place]) + norm + slack)
                .max(0.0)
                .sqrt();
            cell.lower = (f64::from(scratch.second[place]) + norm - slack)
                .max(0.0)
                .sqrt();
            if label != cell.label {
                let point = row(points, start + offset);
                if cell.label != u32::MAX {
                    change.count(cell.label as usize, point, -1);
                }
                change.count(label as usize, point, 1);
                change.changed += 1;
                cell.label = label;
            }
        }
    }

    /// Whether the scores of a cell are certain to give the label that it has.
    fn is_settled(&self, cell: &mut Nearest, point: &[f32], norm: f64) -> bool {
        if cell.label == u32::MAX {
            return false;
        }
        let label = cell.label as usize;
        let slack = self.slack(norm);
        let certain = |upper: f64, lower: f64| {
            // By the triangle inequality no other centroid is nearer than this.
            let lower = lower.max(self.separation[label] - upper);
            lower > 0.0 && upper * upper + 2.0 * slack < lower * lower
        };
        if certain(cell.upper, cell.lower) {
            return true;
        }
        let distance = f64::from(squared_distance(point, row(self.centroids, label)));
        cell.upper = (distance + slack).sqrt();
        certain(cell.upper, cell.lower)
    }

    /// The two least scores of every unsettled cell, the first of equals first.
    fn score(&self, scratch: &mut Scratch) {
        let count = scratch.unsettled.len();
        let dimensions = self.centroids.ncols();
        scratch.best.clear();
        scratch.best.resize(count, f32::INFINITY);
        scratch.second.clear();
        scratch.second.resize(count, f32::INFINITY);
        scratch.label.clear();
        scratch.label.resize(count, 0);
        let Ok(rows) = ArrayView2::from_shape((count, dimensions), &scratch.rows) else {
            return;
        };
        if count == 0 {
            return;
        }
        // One row of scores per centroid, so that the search runs over cells side by side.
        let scores = self.minus_twice.dot(&rows.t());
        for (cluster, scores) in scores.rows().into_iter().enumerate() {
            let norm = self.norms[cluster];
            for (((best, second), label), &score) in scratch
                .best
                .iter_mut()
                .zip(scratch.second.iter_mut())
                .zip(scratch.label.iter_mut())
                .zip(scores)
            {
                let score = score + norm;
                let closer = score < *best;
                let rival = if closer { *best } else { score };
                *second = if rival < *second { rival } else { *second };
                *best = if closer { score } else { *best };
                *label = if closer { cluster as u32 } else { *label };
            }
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
            let mut bounded = Cells::new(&points, clusters);
            for _ in 0..30 {
                bounded.assign(&centroids);
                let mut fresh = Cells::new(&points, clusters);
                fresh.assign(&centroids);
                for (a, b) in bounded.nearest.iter().zip(&fresh.nearest) {
                    prop_assert_eq!(a.label, b.label);
                }
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
