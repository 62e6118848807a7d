//! k-means of an embedding that is averaged over neighbourhoods.

use ndarray::{Array2, ArrayView2};
use serde::{Deserialize, Serialize};

use super::kmeans::{KMeans, KMeansConfig};
use crate::error::{ParameterError, Result};
use crate::graph::{
    NeighborAverage, NeighborSearch, Neighbors, check_resolution, connectivities, modularity,
    neighbors_among,
};
use crate::parallel::try_map;
use crate::selection::argmax;

/// Settings of the smoothed k-means start.
///
/// The embedding is averaged over each cell and its nearest neighbours, once and once more; after
/// each average k-means labels the averaged cells from many starts, and the quarter of its results
/// with the least inertia is kept. Of both quarters together the labels of highest modularity on the
/// nearest-neighbour graph are taken; centroids are the means of the embedding itself over them.
///
/// Several optima of k-means often have nearly the same inertia, of which some cut through dense
/// regions. Modularity tells them apart. Averages let small distinct groups stand out, and blur
/// what is gradual; which of them suits the data, modularity tells as well (docs/accuracy.md).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SmoothedKMeansConfig {
    /// k-means. Default: 40 starts.
    pub kmeans: KMeansConfig,
    /// The resolution at which the modularity of labels is compared; `None`: k-means after the last
    /// average, whose least inertia alone decides. Default 0.75.
    pub modularity: Option<f64>,
    /// The share of k-means' results after each average, least inertia first, among which modularity
    /// decides: above 0 and at most 1. Default 0.25; without effect if inertia alone decides.
    pub shortlist: f64,
    /// Nearest neighbours that a cell is averaged with, itself excluded. Default 15; where there are
    /// not that many other cells, a third of the cells.
    pub neighbors: usize,
    /// How many averages there are, each over the one before; with 0, k-means labels the embedding
    /// itself. Default 2.
    pub rounds: usize,
    /// Over whom. Default: the cell and its neighbours.
    #[serde(default)]
    pub average: NeighborAverage,
    /// With more cells than this, centroids are found among a random subsample of this many, and the
    /// other cells go to the nearest. Default 50 000.
    pub max_cells: usize,
}

impl SmoothedKMeansConfig {
    /// The defaults for `clusters` clusters.
    pub fn new(clusters: usize) -> Self {
        Self {
            kmeans: KMeansConfig::new(clusters).with_restarts(40),
            modularity: Some(0.75),
            shortlist: 0.25,
            neighbors: 15,
            rounds: 2,
            average: NeighborAverage::Directed,
            max_cells: 50_000,
        }
    }

    /// Sets k-means.
    pub fn with_kmeans(mut self, kmeans: KMeansConfig) -> Self {
        self.kmeans = kmeans;
        self
    }

    /// Sets the resolution at which the modularity of labels is compared.
    pub fn with_modularity(mut self, resolution: impl Into<Option<f64>>) -> Self {
        self.modularity = resolution.into();
        self
    }

    /// Sets the share of k-means' results among which modularity decides.
    pub fn with_shortlist(mut self, shortlist: f64) -> Self {
        self.shortlist = shortlist;
        self
    }

    /// Sets the number of neighbours.
    pub fn with_neighbors(mut self, neighbors: usize) -> Self {
        self.neighbors = neighbors;
        self
    }

    /// Sets how many averages there are.
    pub fn with_rounds(mut self, rounds: usize) -> Self {
        self.rounds = rounds;
        self
    }

    /// Sets over whom the embedding is averaged.
    pub fn with_average(mut self, average: NeighborAverage) -> Self {
        self.average = average;
        self
    }

    /// Sets the number of cells above which centroids are found among a subsample.
    pub fn with_max_cells(mut self, max_cells: usize) -> Self {
        self.max_cells = max_cells;
        self
    }

    /// Checks the settings for data of `cells` cells.
    ///
    /// # Errors
    /// As [`KMeansConfig::validate`], [`ParameterError::OutOfRange`] for 0 neighbours or a share
    /// outside its range, and [`ParameterError::Resolutions`] when the resolution is not positive
    /// and finite.
    pub fn validate(&self, cells: usize) -> Result<()> {
        if let Some(resolution) = self.modularity {
            check_resolution(resolution)?;
        }
        if !(self.shortlist > 0.0 && self.shortlist <= 1.0) {
            return Err(ParameterError::OutOfRange {
                name: "the share of k-means' results among which modularity decides",
                requirement: "above 0 and at most 1",
                value: self.shortlist,
            }
            .into());
        }
        if self.neighbors == 0 {
            return Err(ParameterError::OutOfRange {
                name: "the number of neighbors of smoothed k-means",
                requirement: "at least 1",
                value: 0.0,
            }
            .into());
        }
        self.kmeans.validate(cells)
    }
}

/// k-means of the averaged embedding: labels, and centroids among the averaged cells. All cells are
/// used, however many.
pub(super) fn smoothed_kmeans(
    embedding: ArrayView2<f32>,
    config: &SmoothedKMeansConfig,
    seed: u64,
    search: &NeighborSearch,
) -> Result<KMeans> {
    let cells = embedding.nrows();
    config.validate(cells)?;
    let neighbors = neighbors_among(cells, config.neighbors);
    let neighbors = search.find(embedding, neighbors)?;
    let average = |points: Array2<f32>| neighbors.average_over(points.view(), config.average);
    let Some(resolution) = config.modularity else {
        let smoothed = (0..config.rounds).fold(embedding.to_owned(), |points, _| average(points));
        return config.kmeans.fit(smoothed.view(), seed);
    };
    let shortlisted = |points: &Array2<f32>| -> Result<Vec<KMeans>> {
        let mut runs = config.kmeans.fit_all(points.view(), seed)?;
        runs.truncate((runs.len() as f64 * config.shortlist).ceil() as usize);
        Ok(runs)
    };
    let mut points = embedding.to_owned();
    let mut runs = match config.rounds {
        0 => shortlisted(&points)?,
        _ => Vec::new(),
    };
    for _ in 0..config.rounds {
        points = average(points);
        runs.extend(shortlisted(&points)?);
    }
    most_modular(runs, &neighbors, resolution)
}

/// The result of k-means whose labels have the highest modularity; of equal ones the first.
fn most_modular(mut runs: Vec<KMeans>, neighbors: &Neighbors, resolution: f64) -> Result<KMeans> {
    let graph = connectivities(neighbors)?;
    let modularities = try_map(runs.len(), |run| {
        modularity(&graph, &runs[run].labels, resolution)
    })?;
    Ok(runs.swap_remove(argmax(modularities)))
}

#[cfg(test)]
mod tests {
    use super::super::blobs::blobs;
    use super::super::centroids::{CentroidStart, initial_centroids};
    use super::*;
    use crate::graph::nearest_neighbors;

    #[test]
    fn smoothing_gives_cells_between_groups_to_their_neighbours() {
        // Overlapping groups: what plain k-means labels cell by cell, smoothing labels by
        // neighbourhood, so that fewer neighbours disagree.
        let (points, _) = blobs(4, 150, 0.8);
        let disagreement = |start: CentroidStart| {
            let labels = initial_centroids(points.view(), &start, 3).unwrap().labels;
            let neighbors = nearest_neighbors(points.view(), 10).unwrap();
            let pairs = neighbors.indices.indexed_iter();
            pairs
                .filter(|&((cell, _), &other)| labels[cell] != labels[other as usize])
                .count()
        };
        let plain = disagreement(CentroidStart::KMeans(KMeansConfig::new(4)));
        let smoothed = disagreement(CentroidStart::SmoothedKMeans(SmoothedKMeansConfig::new(4)));
        assert!(smoothed < plain, "{smoothed} {plain}");
    }

    #[test]
    fn many_cells_go_to_centroids_found_among_some() {
        let (points, truth) = blobs(4, 150, 8.0);
        let config = SmoothedKMeansConfig::new(4).with_max_cells(200);
        let start = CentroidStart::SmoothedKMeans(config);
        let found = initial_centroids(points.view(), &start, 3).unwrap();
        assert_eq!(found.labels.len(), 600);
        assert_eq!(found.centroids.nrows(), 4);
        let agreement = crate::metrics::adjusted_rand_index(&truth, &found.labels).unwrap();
        assert_eq!(agreement, 1.0);
        let warning = start.warning(600).expect("a warning");
        assert!(warning.contains("200 of the 600 cells"), "{warning}");
        assert_eq!(start.warning(200), None);
    }

    #[test]
    fn modularity_chooses_within_the_shortlist() {
        let (points, _) = blobs(6, 60, 0.9);
        let config = SmoothedKMeansConfig::new(6);
        let labels = |config: SmoothedKMeansConfig| {
            let start = CentroidStart::SmoothedKMeans(config);
            initial_centroids(points.view(), &start, 3).unwrap().labels
        };
        let neighbors = nearest_neighbors(points.view(), 15).unwrap();
        let graph = connectivities(&neighbors).unwrap();
        let modularity = |labels: &[usize]| modularity(&graph, labels, 0.75).unwrap();
        let chosen = labels(config.clone());
        let once = neighbors.average(points.view());
        let twice = neighbors.average(once.view());
        let of = |points: &Array2<f32>| config.kmeans.fit_all(points.view(), 3).unwrap();
        let (once, twice) = (of(&once), of(&twice));
        for runs in [&once, &twice] {
            assert!(
                runs.windows(2)
                    .all(|pair| pair[0].inertia <= pair[1].inertia)
            );
        }
        let highest = |runs: &[&[KMeans]]| {
            let values = runs.iter().copied().flatten();
            let values = values.map(|run| modularity(&run.labels));
            values.fold(f64::MIN, f64::max)
        };
        assert_eq!(modularity(&chosen), highest(&[&once[..10], &twice[..10]]));
        let of_all = labels(config.clone().with_shortlist(1.0));
        assert_eq!(modularity(&of_all), highest(&[&once, &twice]));
        let of_the_best = labels(config.clone().with_shortlist(0.01));
        assert_eq!(
            modularity(&of_the_best),
            highest(&[&once[..1], &twice[..1]])
        );
        let single = KMeansConfig::new(6).with_restarts(1);
        let of_one_start = labels(config.clone().with_kmeans(single.clone()).with_rounds(1));
        let averaged = neighbors.average(points.view());
        let expected = single.fit(averaged.view(), 3).unwrap().labels;
        assert_eq!(modularity(&of_one_start), modularity(&expected));
        let after_one = labels(config.clone().with_rounds(1));
        assert_eq!(modularity(&after_one), highest(&[&once[..10]]));
        let itself = of(&points);
        let without = labels(config.clone().with_rounds(0));
        assert_eq!(modularity(&without), highest(&[&itself[..10]]));
        assert_eq!(
            labels(config.clone().with_modularity(None)),
            twice[0].labels
        );
        for resolution in [0.0, f64::NAN] {
            let bad = config.clone().with_modularity(resolution);
            assert!(bad.validate(360).is_err());
        }
        for shortlist in [0.0, 1.5, f64::NAN] {
            let bad = config.clone().with_shortlist(shortlist);
            assert!(bad.validate(360).is_err());
        }
    }

    #[test]
    fn few_cells_keep_their_groups() {
        let (points, truth) = blobs(2, 3, 5.0);
        let start = CentroidStart::SmoothedKMeans(SmoothedKMeansConfig::new(2).with_rounds(0));
        assert!(initial_centroids(points.view(), &start, 0).is_ok());
        let start = CentroidStart::SmoothedKMeans(SmoothedKMeansConfig::new(2));
        let found = initial_centroids(points.view(), &start, 0).unwrap();
        assert!(found.centroids.iter().all(|value| value.is_finite()));
        let agreement = crate::metrics::adjusted_rand_index(&truth, &found.labels).unwrap();
        assert_eq!(agreement, 1.0);
        let start = CentroidStart::SmoothedKMeans(SmoothedKMeansConfig::new(2).with_neighbors(0));
        assert!(initial_centroids(points.view(), &start, 0).is_err());
    }
}
