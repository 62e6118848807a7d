//! How well an embedding separates its clusters.

use ndarray::{ArrayView2, Axis};
use serde::{Deserialize, Serialize};

use super::centroids::{CentroidStart, initial_centroids};
use crate::error::{Error, ParameterError, Result};
use crate::metrics::best_jaccard;
use crate::parallel::try_map;
use crate::random::{Purpose, stream, subsample};

/// Settings of [`cluster_stability`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StabilityConfig {
    /// How subsamples are clustered.
    pub start: CentroidStart,
    /// Number of subsamples. Default 20.
    pub subsamples: usize,
    /// Fraction of the cells in a subsample. Default 0.8.
    pub fraction: f64,
}

impl StabilityConfig {
    /// The defaults, with `start` clustering the subsamples.
    pub fn new(start: CentroidStart) -> Self {
        Self {
            start,
            subsamples: 20,
            fraction: 0.8,
        }
    }

    /// Sets the number of subsamples.
    pub fn with_subsamples(mut self, subsamples: usize) -> Self {
        self.subsamples = subsamples;
        self
    }

    /// Sets the fraction of the cells in a subsample.
    pub fn with_fraction(mut self, fraction: f64) -> Self {
        self.fraction = fraction;
        self
    }
}

/// The stability of every cluster `[clusters]` of an embedding `[cells, dimensions]` under
/// subsampling: random subsamples of the cells are clustered anew, and a cluster's stability is the
/// Jaccard index of its cells in a subsample with the most similar new cluster, mean over the
/// subsamples that hold any of it (Hennig, Comput. Stat. Data Anal. 2007: below 0.6 doubtful, above
/// 0.85 highly stable). A cluster without cells has 0.
///
/// It tells whether *this embedding* separates a cluster. Self-training draws cells towards the
/// clusters it began with, so a cluster may be stable here that another seed would not find: for
/// that, train several times ([`consensus`](crate::metrics::consensus)).
///
/// ```
/// use celldec::start::{CentroidStart, KMeansConfig, StabilityConfig, cluster_stability};
/// use ndarray::Array2;
///
/// let cells = Array2::from_shape_fn((40, 2), |(cell, _)| {
///     let group = if cell < 20 { 0.0 } else { 50.0 };
///     group + 0.1 * (cell % 20) as f32
/// });
/// let labels: Vec<usize> = (0..40).map(|cell| cell / 20).collect();
/// let config = StabilityConfig::new(CentroidStart::KMeans(KMeansConfig::new(2)));
/// assert_eq!(cluster_stability(cells.view(), &labels, &config, 7)?, [1.0, 1.0]);
/// # Ok::<(), celldec::Error>(())
/// ```
///
/// # Errors
/// [`Error::LengthMismatch`] unless there is one label for each cell,
/// [`ParameterError::OutOfRange`] for no subsamples or a fraction that is not above 0 and at most 1,
/// and as [`initial_centroids`]. A subsample whose graph has a single community counts as one
/// cluster.
pub fn cluster_stability(
    embedding: ArrayView2<f32>,
    labels: &[usize],
    config: &StabilityConfig,
    seed: u64,
) -> Result<Vec<f64>> {
    let cells = embedding.nrows();
    if labels.len() != cells {
        return Err(Error::LengthMismatch {
            what: "the list of labels".into(),
            expected: cells,
            found: labels.len(),
        });
    }
    for (name, requirement, value, valid) in [
        (
            "the number of subsamples",
            "at least 1",
            config.subsamples as f64,
            config.subsamples > 0,
        ),
        (
            "the fraction of cells in a subsample",
            "above 0 and at most 1",
            config.fraction,
            config.fraction > 0.0 && config.fraction <= 1.0,
        ),
    ] {
        if !valid {
            return Err(ParameterError::OutOfRange {
                name,
                requirement,
                value,
            }
            .into());
        }
    }
    let clusters = labels.iter().max().map_or(0, |&last| last + 1);
    let count = ((cells as f64 * config.fraction).round() as usize).clamp(1, cells.max(1));
    let runs = try_map(config.subsamples, |number| {
        let number = number as u64;
        let mut random = stream(seed, Purpose::Subsample, number, 2);
        let chosen = subsample(&mut random, cells, count);
        let subsample = embedding.select(Axis(0), &chosen);
        let seed = seed.wrapping_add(number);
        let found = match initial_centroids(subsample.view(), &config.start, seed) {
            Ok(found) => found.labels,
            Err(Error::SingleCommunity { .. }) => vec![0; count],
            Err(error) => return Err(error),
        };
        let known: Vec<usize> = chosen.iter().map(|&cell| labels[cell]).collect();
        let mut present = vec![false; clusters];
        for &label in &known {
            present[label] = true;
        }
        Ok((best_jaccard(&known, &found, clusters), present))
    })?;
    Ok((0..clusters)
        .map(|cluster| {
            let held = runs.iter().filter(|(_, present)| present[cluster]);
            let (sum, count) = held.fold((0.0, 0usize), |(sum, count), (jaccard, _)| {
                (sum + jaccard[cluster], count + 1)
            });
            sum / count.max(1) as f64
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::super::blobs::blobs;
    use super::super::kmeans::KMeansConfig;
    use super::*;

    #[test]
    fn an_arbitrary_cut_is_less_stable_than_a_group() {
        let (points, mut labels) = blobs(3, 60, 12.0);
        // The third group is cut in two at random.
        for cell in (120..180).step_by(2) {
            labels[cell] = 3;
        }
        let config = StabilityConfig::new(CentroidStart::KMeans(KMeansConfig::new(3)));
        let stability = cluster_stability(points.view(), &labels, &config, 1).unwrap();
        assert_eq!(stability[..2], [1.0, 1.0]);
        assert!(stability[2] < 0.7 && stability[3] < 0.7, "{stability:?}");
        let again = cluster_stability(points.view(), &labels, &config, 1).unwrap();
        assert_eq!(stability, again);
    }

    #[test]
    fn settings_and_lengths_are_checked() {
        let (points, labels) = blobs(2, 20, 5.0);
        let good = StabilityConfig::new(CentroidStart::KMeans(KMeansConfig::new(2)));
        let stability = |labels: &[usize], config: &StabilityConfig| {
            cluster_stability(points.view(), labels, config, 0)
        };
        assert!(stability(&labels, &good).is_ok());
        assert!(stability(&labels[1..], &good).is_err());
        assert!(stability(&labels, &good.clone().with_subsamples(0)).is_err());
        assert!(stability(&labels, &good.clone().with_fraction(0.0)).is_err());
        assert!(stability(&labels, &good.clone().with_fraction(1.5)).is_err());
    }
}
