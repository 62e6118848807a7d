//! k-means with k-means++ starts.

use ndarray::{Array2, ArrayView2, s};
use rand::RngExt;
use rand::rngs::ChaCha8Rng;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::points::{
    BLOCK, CentredPoints, check_embedding, row, squared_distance, squared_distance_f64,
};
use crate::error::{Error, ParameterError, Result};
use crate::random::{Purpose, stream};

/// Settings of k-means.
///
/// k-means looks for k centroids μ that minimise the inertia Σᵢ minⱼ ‖xᵢ − μⱼ‖². Lloyd's algorithm
/// assigns every cell to its nearest centroid and moves every centroid to the mean of its cells
/// until nothing changes. It finds a local minimum, so it is started several times, each time
/// from a greedy k-means++ draw (Arthur and Vassilvitskii, SODA 2007), and the result of least
/// inertia is kept. The defaults are those of the scDCC paper (20 restarts) and of scikit-learn
/// (the other settings); a cluster that loses all its cells is moved to the cell farthest from
/// its centroid, as scikit-learn does.
///
/// ```
/// use celldec::cluster::KMeansConfig;
/// use ndarray::array;
///
/// let cells = array![[0.0, 0.1], [0.2, 0.0], [5.0, 5.1], [5.2, 5.0]];
/// let found = KMeansConfig::new(2).fit(cells.view(), 7)?;
/// assert_eq!(found.labels[0], found.labels[1]);
/// assert_ne!(found.labels[0], found.labels[2]);
/// assert_eq!(found.centroids.dim(), (2, 2));
/// # Ok::<(), celldec::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KMeansConfig {
    /// Number of clusters k, between 2 and the number of cells.
    pub clusters: usize,
    /// Number of k-means++ starts; the best result is kept. Default 20.
    pub restarts: usize,
    /// Most Lloyd iterations of one start. Default 300.
    pub max_iterations: usize,
    /// A start ends when Σ‖change of centroid‖² is at most this times the mean variance of the
    /// dimensions. Default 1e-4.
    pub tolerance: f64,
}

impl KMeansConfig {
    /// The defaults for `clusters` clusters.
    pub fn new(clusters: usize) -> Self {
        Self {
            clusters,
            restarts: 20,
            max_iterations: 300,
            tolerance: 1e-4,
        }
    }

    /// Sets the number of starts.
    pub fn with_restarts(mut self, restarts: usize) -> Self {
        self.restarts = restarts;
        self
    }

    /// Sets the most Lloyd iterations of one start.
    pub fn with_max_iterations(mut self, max_iterations: usize) -> Self {
        self.max_iterations = max_iterations;
        self
    }

    /// Sets the tolerance, relative to the mean variance of the dimensions.
    pub fn with_tolerance(mut self, tolerance: f64) -> Self {
        self.tolerance = tolerance;
        self
    }

    /// Checks the settings for data of `cells` cells.
    ///
    /// # Errors
    /// [`ParameterError::Clusters`] when k is below 2 or above `cells`,
    /// [`ParameterError::OutOfRange`] for restarts or iterations of 0 and for a tolerance that is
    /// negative or not finite.
    pub fn validate(&self, cells: usize) -> Result<()> {
        if self.clusters < 2 || self.clusters > cells {
            return Err(ParameterError::Clusters {
                clusters: self.clusters,
                cells,
            }
            .into());
        }
        for (name, value) in [
            ("k-means restarts", self.restarts),
            ("k-means max_iterations", self.max_iterations),
        ] {
            if value == 0 {
                return Err(out_of_range(name, "at least 1", 0.0));
            }
        }
        if !(self.tolerance.is_finite() && self.tolerance >= 0.0) {
            return Err(out_of_range(
                "k-means tolerance",
                "finite and not negative",
                self.tolerance,
            ));
        }
        Ok(())
    }

    /// Clusters the rows of `embedding` `[cells, dimensions]`.
    ///
    /// The result depends on the data, the settings and `seed` alone. With fewer distinct cells
    /// than clusters it ends normally, with empty clusters and a warning; see
    /// [`KMeans::distinct_clusters`].
    ///
    /// # Errors
    /// As [`validate`](Self::validate); [`Error::EmptyInput`] without cells or dimensions;
    /// [`Error::NonFiniteValue`] for a NaN or infinite value.
    pub fn fit(&self, embedding: ArrayView2<f32>, seed: u64) -> Result<KMeans> {
        check_embedding(embedding)?;
        self.validate(embedding.nrows())?;
        let centred = CentredPoints::new(embedding);
        let points = &centred.points;
        let shift_tolerance = self.tolerance * mean_variance(points);
        let best = (0..self.restarts)
            .into_par_iter()
            .map(|restart| {
                let mut random = stream(seed, Purpose::KMeans, 0, restart as u64);
                let start = greedy_start(points, self.clusters, &mut random);
                (
                    restart,
                    lloyd(points, start, shift_tolerance, self.max_iterations),
                )
            })
            .reduce_with(|a, b| {
                let order = a.1.inertia.total_cmp(&b.1.inertia).then(a.0.cmp(&b.0));
                if order.is_le() { a } else { b }
            });
        let Some((_, run)) = best else {
            return Err(out_of_range("k-means restarts", "at least 1", 0.0));
        };
        let mut occupied = vec![false; self.clusters];
        for &label in &run.labels {
            occupied[label as usize] = true;
        }
        let distinct_clusters = occupied.iter().filter(|&&occupied| occupied).count();
        if distinct_clusters < self.clusters {
            tracing::warn!(
                clusters = self.clusters,
                distinct_clusters,
                "k-means found fewer distinct clusters than asked for; are there duplicate cells?"
            );
        }
        let centroids = Array2::from_shape_fn(run.centroids.dim(), |(cluster, dimension)| {
            centred.restore(dimension, run.centroids[[cluster, dimension]])
        });
        Ok(KMeans {
            centroids,
            labels: run.labels.iter().map(|&label| label as usize).collect(),
            inertia: run.inertia / (centred.scale * centred.scale),
            iterations: run.iterations,
            converged: run.converged,
            distinct_clusters,
        })
    }
}

fn out_of_range(name: &'static str, requirement: &'static str, value: f64) -> Error {
    ParameterError::OutOfRange {
        name,
        requirement,
        value,
    }
    .into()
}

/// What k-means found.
#[derive(Debug, Clone, PartialEq)]
pub struct KMeans {
    /// Centroids `[clusters, dimensions]`.
    pub centroids: Array2<f32>,
    /// The nearest centroid of every cell, `[cells]`.
    pub labels: Vec<usize>,
    /// Sum of the squared distances of the cells to their centroids.
    pub inertia: f64,
    /// Lloyd iterations of the best start.
    pub iterations: usize,
    /// Whether the best start ended by itself rather than at the most iterations allowed.
    pub converged: bool,
    /// Clusters that hold at least one cell: fewer than asked for when there are fewer distinct
    /// cells than clusters.
    pub distinct_clusters: usize,
}

/// The nearest of `centroids` for every row of `points`, the first of equals.
pub(crate) fn nearest_centroids(points: ArrayView2<f32>, centroids: ArrayView2<f32>) -> Vec<usize> {
    let centred = CentredPoints::new(points);
    let centroids = centred.transform(centroids);
    let points = centred.points;
    let mut labels = vec![u32::MAX; points.nrows()];
    assign(&points, &centroids, &mut labels);
    labels.into_iter().map(|label| label as usize).collect()
}

struct Run {
    centroids: Array2<f32>,
    labels: Vec<u32>,
    inertia: f64,
    iterations: usize,
    converged: bool,
}

/// The mean over the dimensions of the variance over the (centred) points.
fn mean_variance(points: &Array2<f32>) -> f64 {
    let sum: f64 = points.iter().map(|&value| f64::from(value).powi(2)).sum();
    sum / points.len() as f64
}

/// Draws k starting centroids: each is the best of 2 + ⌊ln k⌋ points drawn with probability
/// proportional to their squared distance from the centroids drawn before.
fn greedy_start(points: &Array2<f32>, clusters: usize, random: &mut ChaCha8Rng) -> Array2<f32> {
    let cells = points.nrows();
    let trials = 2 + (clusters as f64).ln() as usize;
    let mut centroids = Array2::zeros((clusters, points.ncols()));
    let first = random.random_range(0..cells);
    centroids.row_mut(0).assign(&points.row(first));
    let mut closest = vec![0.0f32; cells];
    let mut mass = block_sums(&mut closest, 1, |cell, value| {
        value[0] = squared_distance(row(points, cell), row(points, first));
    });
    let mut distances = vec![0.0f32; cells * trials];
    for cluster in 1..clusters {
        let candidates: Vec<usize> = (0..trials).map(|_| draw(&closest, &mass, random)).collect();
        let sums = block_sums(&mut distances, trials, |cell, values| {
            for (value, &candidate) in values.iter_mut().zip(&candidates) {
                let distance = squared_distance(row(points, cell), row(points, candidate));
                *value = distance.min(closest[cell]);
            }
        });
        let mut totals = vec![0.0f64; trials];
        for block in sums.chunks_exact(trials) {
            for (total, sum) in totals.iter_mut().zip(block) {
                *total += sum;
            }
        }
        let best = (1..trials).fold(0, |best, trial| {
            if totals[trial] < totals[best] {
                trial
            } else {
                best
            }
        });
        centroids
            .row_mut(cluster)
            .assign(&points.row(candidates[best]));
        for (closest, distances) in closest.iter_mut().zip(distances.chunks_exact(trials)) {
            *closest = distances[best];
        }
        mass = sums.chunks_exact(trials).map(|block| block[best]).collect();
    }
    centroids
}

/// Fills `values` (`width` per cell) and returns their sums `[blocks, width]` over blocks of
/// cells.
fn block_sums(
    values: &mut [f32],
    width: usize,
    fill: impl Fn(usize, &mut [f32]) + Sync,
) -> Vec<f64> {
    values
        .par_chunks_mut(BLOCK * width)
        .enumerate()
        .flat_map_iter(|(block, values)| {
            let mut sums = vec![0.0f64; width];
            for (offset, values) in values.chunks_exact_mut(width).enumerate() {
                fill(block * BLOCK + offset, values);
                for (sum, &value) in sums.iter_mut().zip(values.iter()) {
                    *sum += f64::from(value);
                }
            }
            sums
        })
        .collect()
}

/// Draws a cell with probability proportional to `weights`, whose sums over blocks are `mass`;
/// uniformly when all are zero.
fn draw(weights: &[f32], mass: &[f64], random: &mut ChaCha8Rng) -> usize {
    let total: f64 = mass.iter().sum();
    if total <= 0.0 {
        return random.random_range(0..weights.len());
    }
    let target = random.random::<f64>() * total;
    let mut before = 0.0f64;
    let mut last = 0;
    for (block, &sum) in mass.iter().enumerate() {
        if sum <= 0.0 {
            continue;
        }
        let reaches = before + sum > target;
        let mut within = before;
        let start = block * BLOCK;
        let end = weights.len().min(start + BLOCK);
        for (cell, &weight) in (start..end).zip(&weights[start..end]) {
            if weight > 0.0 {
                last = cell;
                within += f64::from(weight);
                if reaches && within > target {
                    return cell;
                }
            }
        }
        before += sum;
    }
    // Only rounding of the sums leads here: the target was all but the total.
    last
}

/// Lloyd's algorithm from `centroids`.
fn lloyd(
    points: &Array2<f32>,
    mut centroids: Array2<f32>,
    shift_tolerance: f64,
    max_iterations: usize,
) -> Run {
    let mut labels = vec![u32::MAX; points.nrows()];
    let mut iterations = 0;
    let mut converged = false;
    let mut labels_current = false;
    while iterations < max_iterations {
        iterations += 1;
        let mut members = assign(points, &centroids, &mut labels);
        let relocated = members.counts.contains(&0)
            && relocate_empty(points, &centroids, &labels, &mut members);
        if members.changed == 0 && !relocated {
            converged = true;
            labels_current = true;
            break;
        }
        let shift = members.move_to_means(&mut centroids);
        if shift <= shift_tolerance {
            converged = true;
            break;
        }
    }
    if !labels_current {
        assign(points, &centroids, &mut labels);
    }
    let inertia = labels
        .par_chunks(BLOCK)
        .enumerate()
        .map(|(block, labels)| {
            labels
                .iter()
                .enumerate()
                .map(|(offset, &label)| {
                    squared_distance_f64(
                        row(points, block * BLOCK + offset),
                        row(&centroids, label as usize),
                    )
                })
                .sum::<f64>()
        })
        .collect::<Vec<_>>()
        .iter()
        .sum();
    Run {
        centroids,
        labels,
        inertia,
        iterations,
        converged,
    }
}

/// The cells of every cluster, summed.
struct Members {
    /// Sums of the coordinates `[clusters, dimensions]`.
    sums: Vec<f64>,
    /// Number of cells of every cluster.
    counts: Vec<usize>,
    /// Cells whose label changed.
    changed: usize,
}

impl Members {
    fn empty(clusters: usize, dimensions: usize) -> Self {
        Self {
            sums: vec![0.0; clusters * dimensions],
            counts: vec![0; clusters],
            changed: 0,
        }
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

    /// Moves the centroids of non-empty clusters to the means of their cells; returns the sum of
    /// the squared changes.
    fn move_to_means(&self, centroids: &mut Array2<f32>) -> f64 {
        let dimensions = centroids.ncols();
        let mut shift = 0.0f64;
        for (cluster, mut centroid) in centroids.rows_mut().into_iter().enumerate() {
            if self.counts[cluster] == 0 {
                continue;
            }
            let sums = &self.sums[cluster * dimensions..(cluster + 1) * dimensions];
            for (value, sum) in centroid.iter_mut().zip(sums) {
                let mean = (sum / self.counts[cluster] as f64) as f32;
                shift += (f64::from(mean) - f64::from(*value)).powi(2);
                *value = mean;
            }
        }
        shift
    }
}

/// Sets every label to the nearest centroid, the first of equals, and sums the members.
fn assign(points: &Array2<f32>, centroids: &Array2<f32>, labels: &mut [u32]) -> Members {
    let (clusters, dimensions) = centroids.dim();
    let norms: Vec<f32> = super::points::squared_norms(centroids)
        .into_iter()
        .map(|norm| norm as f32)
        .collect();
    let minus_twice = centroids.mapv(|value| -2.0 * value);
    let blocks: Vec<Members> = labels
        .par_chunks_mut(BLOCK)
        .enumerate()
        .map_init(
            || (vec![0.0f32; BLOCK], vec![0u32; BLOCK]),
            |(best, nearest), (block, labels)| {
                let start = block * BLOCK;
                let (best, nearest) = (&mut best[..labels.len()], &mut nearest[..labels.len()]);
                let rows = points.slice(s![start..start + labels.len(), ..]);
                // One row of scores per centroid, so that the search below runs over cells side
                // by side.
                let scores = minus_twice.dot(&rows.t());
                best.fill(f32::INFINITY);
                nearest.fill(0);
                for (cluster, scores) in scores.rows().into_iter().enumerate() {
                    let norm = norms[cluster];
                    for ((best, nearest), &score) in
                        best.iter_mut().zip(nearest.iter_mut()).zip(scores)
                    {
                        let score = score + norm;
                        let closer = score < *best;
                        *best = if closer { score } else { *best };
                        *nearest = if closer { cluster as u32 } else { *nearest };
                    }
                }
                let mut members = Members::empty(clusters, dimensions);
                for (offset, (label, &nearest)) in labels.iter_mut().zip(nearest.iter()).enumerate()
                {
                    members.changed += usize::from(*label != nearest);
                    *label = nearest;
                    let cluster = nearest as usize;
                    members.counts[cluster] += 1;
                    let sums = &mut members.sums[cluster * dimensions..(cluster + 1) * dimensions];
                    for (sum, &value) in sums.iter_mut().zip(row(points, start + offset)) {
                        *sum += f64::from(value);
                    }
                }
                members
            },
        )
        .collect();
    let mut total = Members::empty(clusters, dimensions);
    for block in &blocks {
        total.add(block);
    }
    total
}

/// Gives every empty cluster the cell farthest from its centroid; returns whether any was moved.
///
/// Cells that lie on their centroid, and the last cell of a cluster, stay where they are.
fn relocate_empty(
    points: &Array2<f32>,
    centroids: &Array2<f32>,
    labels: &[u32],
    members: &mut Members,
) -> bool {
    let dimensions = points.ncols();
    let mut farthest: Vec<(f32, usize)> = labels
        .iter()
        .enumerate()
        .map(|(cell, &label)| {
            let centroid = row(centroids, label as usize);
            (squared_distance(row(points, cell), centroid), cell)
        })
        .filter(|&(distance, _)| distance > 0.0)
        .collect();
    farthest.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    let empty: Vec<usize> = (0..members.counts.len())
        .filter(|&cluster| members.counts[cluster] == 0)
        .collect();
    let mut candidates = farthest.into_iter().map(|(_, cell)| cell);
    let mut relocated = false;
    for cluster in empty {
        let Some(cell) = candidates.find(|&cell| members.counts[labels[cell] as usize] > 1) else {
            break;
        };
        let old = labels[cell] as usize;
        for (dimension, &value) in row(points, cell).iter().enumerate() {
            members.sums[old * dimensions + dimension] -= f64::from(value);
            members.sums[cluster * dimensions + dimension] = f64::from(value);
        }
        members.counts[old] -= 1;
        members.counts[cluster] = 1;
        relocated = true;
    }
    relocated
}

#[cfg(test)]
mod tests;
