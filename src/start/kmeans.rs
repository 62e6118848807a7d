//! k-means with k-means++ starts.

mod lloyd;
mod scorer;
mod start;
mod tiles;

use std::sync::Mutex;

use ndarray::{Array2, ArrayView2};
use serde::{Deserialize, Serialize};

use self::tiles::Points;
use crate::error::{Error, ParameterError, Result};
use crate::graph::points::{CentredPoints, check_embedding};
use crate::parallel::{for_each_index, map};
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
/// use celldec::start::KMeansConfig;
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
        let data = Prepared::new(self, embedding)?;
        let best: Mutex<Option<(usize, lloyd::Run)>> = Mutex::new(None);
        for_each_index(self.restarts, &|restart| {
            let run = data.run(self, seed, restart);
            let mut best = best.lock().expect("nobody panics with the lock");
            let better = best.as_ref().is_none_or(|(other, known)| {
                let order = run.inertia.total_cmp(&known.inertia);
                order.then(restart.cmp(other)).is_lt()
            });
            if better {
                *best = Some((restart, run));
            }
        });
        let best = best.into_inner().expect("nobody panics with the lock");
        let Some((_, run)) = best else {
            return Err(out_of_range("k-means restarts", "at least 1", 0.0));
        };
        let found = data.restore(self, run);
        if found.distinct_clusters < self.clusters {
            tracing::warn!(
                clusters = self.clusters,
                distinct_clusters = found.distinct_clusters,
                "k-means found fewer distinct clusters than asked for; are there duplicate cells?"
            );
        }
        Ok(found)
    }

    /// What every restart found, least inertia first.
    ///
    /// # Errors
    /// As [`fit`](Self::fit).
    pub fn fit_all(&self, embedding: ArrayView2<f32>, seed: u64) -> Result<Vec<KMeans>> {
        let data = Prepared::new(self, embedding)?;
        let mut found = map(self.restarts, |restart| {
            data.restore(self, data.run(self, seed, restart))
        });
        found.sort_by(|a, b| a.inertia.total_cmp(&b.inertia));
        Ok(found)
    }
}

/// An embedding as Lloyd's algorithm reads it.
struct Prepared {
    centred: CentredPoints,
    points: Points,
    shift_tolerance: f64,
}

impl Prepared {
    fn new(config: &KMeansConfig, embedding: ArrayView2<f32>) -> Result<Self> {
        check_embedding(embedding)?;
        config.validate(embedding.nrows())?;
        let centred = CentredPoints::new(embedding);
        let points = Points::new(lloyd::on_grid(&centred.points));
        let shift_tolerance = config.tolerance * mean_variance(&points.rows);
        Ok(Self {
            centred,
            points,
            shift_tolerance,
        })
    }

    fn run(&self, config: &KMeansConfig, seed: u64, restart: usize) -> lloyd::Run {
        let mut random = stream(seed, Purpose::KMeans, 0, restart as u64);
        let start = start::greedy(&self.points, config.clusters, &mut random);
        lloyd::run(
            &self.points,
            start,
            self.shift_tolerance,
            config.max_iterations,
        )
    }

    fn restore(&self, config: &KMeansConfig, run: lloyd::Run) -> KMeans {
        let mut occupied = vec![false; config.clusters];
        for &label in &run.labels {
            occupied[label as usize] = true;
        }
        let centred = &self.centred;
        let centroids = Array2::from_shape_fn(run.centroids.dim(), |(cluster, dimension)| {
            centred.restore(dimension, run.centroids[[cluster, dimension]])
        });
        KMeans {
            centroids,
            labels: run.labels.iter().map(|&label| label as usize).collect(),
            inertia: run.inertia / (centred.scale * centred.scale),
            iterations: run.iterations,
            converged: run.converged,
            distinct_clusters: occupied.iter().filter(|&&occupied| occupied).count(),
        }
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
pub(super) fn nearest_centroids(points: ArrayView2<f32>, centroids: ArrayView2<f32>) -> Vec<usize> {
    let centred = CentredPoints::new(points);
    let centroids = centred.transform(centroids);
    let labels = lloyd::nearest(&Points::new(centred.points), &centroids);
    labels.into_iter().map(|label| label as usize).collect()
}

/// The mean over the dimensions of the variance over the (centred) points.
fn mean_variance(points: &Array2<f32>) -> f64 {
    let sum: f64 = points.iter().map(|&value| f64::from(value).powi(2)).sum();
    sum / points.len() as f64
}

#[cfg(test)]
mod tests;
