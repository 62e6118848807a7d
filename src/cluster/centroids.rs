//! Initial centroids of the clusters that self-training refines.

use ndarray::{Array2, ArrayView2, Axis};
use rand::seq::index;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::communities::{CommunityMethod, check_resolution, find_communities, modularity};
use super::connectivities::{Graph, connectivities};
use super::kmeans::{KMeans, KMeansConfig, nearest_centroids};
use super::neighbors::{Neighbors, nearest_neighbors};
use super::points::check_embedding;
use crate::error::{Error, ParameterError, Result};
use crate::random::{Purpose, stream};

/// Where initial centroids come from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum CentroidStart {
    /// k-means: the number of clusters is given (scDCC).
    KMeans(KMeansConfig),
    /// k-means of the embedding averaged over each cell's neighbourhood: the number of clusters is
    /// given, and single cells between clusters weigh less.
    SmoothedKMeans(SmoothedKMeansConfig),
    /// Communities of the nearest-neighbour graph: a resolution is given (DESC).
    Graph(GraphConfig),
}

impl CentroidStart {
    /// Checks the settings for data of `cells` cells.
    ///
    /// # Errors
    /// As [`KMeansConfig::validate`], [`SmoothedKMeansConfig::validate`] and
    /// [`GraphConfig::validate`].
    pub fn validate(&self, cells: usize) -> Result<()> {
        match self {
            Self::KMeans(config) => config.validate(cells),
            Self::SmoothedKMeans(config) => config.validate(cells),
            Self::Graph(config) => config.validate(cells),
        }
    }
}

/// Settings of the smoothed k-means start.
///
/// The embedding is averaged over each cell and its nearest neighbours, several times over; k-means
/// labels the averaged cells from many starts; of the half with the least inertia, the labels of
/// highest modularity on the nearest-neighbour graph are taken; centroids are the means of the
/// embedding itself over them.
///
/// Several optima of k-means often have nearly the same inertia, of which some cut through dense
/// regions. Modularity tells them apart: on 1080 starts over nine labelled data sets, choosing by
/// both raised the mean adjusted Rand index from 0.610 to 0.639 and lowered it on none by more than
/// 0.001 (docs/accuracy.md).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SmoothedKMeansConfig {
    /// k-means. Default: 40 starts.
    pub kmeans: KMeansConfig,
    /// The resolution at which the modularity of labels is compared; `None`: the least inertia
    /// alone decides, as in k-means. Default 0.5.
    pub modularity: Option<f64>,
    /// Nearest neighbours that a cell is averaged with, itself excluded. Default 15; with fewer
    /// cells, all others.
    pub neighbors: usize,
    /// How often the average is repeated. Default 2.
    pub rounds: usize,
    /// With more cells than this, whose neighbours would take long to find, the embedding is not
    /// averaged. Default 200 000.
    pub max_cells: usize,
}

impl SmoothedKMeansConfig {
    /// The defaults for `clusters` clusters.
    pub fn new(clusters: usize) -> Self {
        Self {
            kmeans: KMeansConfig::new(clusters).with_restarts(40),
            modularity: Some(0.5),
            neighbors: 15,
            rounds: 2,
            max_cells: 200_000,
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

    /// Sets the number of neighbours.
    pub fn with_neighbors(mut self, neighbors: usize) -> Self {
        self.neighbors = neighbors;
        self
    }

    /// Sets how often the average is repeated.
    pub fn with_rounds(mut self, rounds: usize) -> Self {
        self.rounds = rounds;
        self
    }

    /// Sets the number of cells above which nothing is averaged.
    pub fn with_max_cells(mut self, max_cells: usize) -> Self {
        self.max_cells = max_cells;
        self
    }

    /// Checks the settings for data of `cells` cells.
    ///
    /// # Errors
    /// As [`KMeansConfig::validate`], [`ParameterError::OutOfRange`] for 0 neighbours, and
    /// [`ParameterError::Resolutions`] when the resolution is not positive and finite.
    pub fn validate(&self, cells: usize) -> Result<()> {
        if let Some(resolution) = self.modularity {
            check_resolution(resolution)?;
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

/// Settings of the graph start: nearest neighbours, UMAP connectivities, communities, means.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GraphConfig {
    /// Size of a cell's neighbourhood, the cell itself included, as scanpy's `n_neighbors`.
    /// At least 2; default 10 (DESC).
    pub neighbors: usize,
    /// Resolution of the communities: higher gives more. Default 1.
    pub resolution: f64,
    /// Leiden (default) or Louvain (DESC paper).
    pub method: CommunityMethod,
    /// Whether edges count by their connectivity (default, as scanpy's `leiden`) or all alike (as
    /// scanpy's `louvain`, and so the DESC paper: fewer communities at the same resolution).
    #[serde(default = "weighted_by_default")]
    pub weighted: bool,
    /// With more cells than this, the graph is built on a random subsample of this many, and the
    /// other cells go to the nearest centroid. Default 200 000.
    pub max_cells: usize,
}

fn weighted_by_default() -> bool {
    true
}

impl Default for GraphConfig {
    fn default() -> Self {
        Self {
            neighbors: 10,
            resolution: 1.0,
            method: CommunityMethod::Leiden,
            weighted: true,
            max_cells: 200_000,
        }
    }
}

impl GraphConfig {
    /// The defaults at `resolution`.
    pub fn new(resolution: f64) -> Self {
        Self {
            resolution,
            ..Self::default()
        }
    }

    /// Sets the size of a neighbourhood, the cell itself included.
    pub fn with_neighbors(mut self, neighbors: usize) -> Self {
        self.neighbors = neighbors;
        self
    }

    /// Sets the resolution.
    pub fn with_resolution(mut self, resolution: f64) -> Self {
        self.resolution = resolution;
        self
    }

    /// Sets the method.
    pub fn with_method(mut self, method: CommunityMethod) -> Self {
        self.method = method;
        self
    }

    /// Sets whether edges count by their connectivity.
    pub fn with_weighted(mut self, weighted: bool) -> Self {
        self.weighted = weighted;
        self
    }

    /// Sets the number of cells above which the graph is built on a subsample.
    pub fn with_max_cells(mut self, max_cells: usize) -> Self {
        self.max_cells = max_cells;
        self
    }

    /// Checks the settings for data of `cells` cells.
    ///
    /// # Errors
    /// [`ParameterError::Resolutions`] when the resolution is not positive and finite,
    /// [`ParameterError::OutOfRange`] when the neighbourhood is smaller than 2 or larger than the
    /// number of cells of the graph.
    pub fn validate(&self, cells: usize) -> Result<()> {
        check_resolution(self.resolution)?;
        if self.neighbors < 2 || self.neighbors > cells.min(self.max_cells) {
            return Err(ParameterError::OutOfRange {
                name: "the number of neighbors of the cell graph",
                requirement: "at least 2 and at most the number of cells in the graph",
                value: self.neighbors as f64,
            }
            .into());
        }
        Ok(())
    }
}

/// Initial centroids and the cells' clusters.
#[derive(Debug, Clone, PartialEq)]
pub struct InitialCentroids {
    /// Centroids `[clusters, dimensions]`.
    pub centroids: Array2<f32>,
    /// The cluster of every cell `[cells]`, below the number of clusters.
    pub labels: Vec<usize>,
}

/// Initial centroids for the rows of `embedding` `[cells, dimensions]`.
///
/// With [`CentroidStart::Graph`], clusters are numbered by size, largest first, and a centroid is
/// the mean of its community.
///
/// ```
/// use celldec::cluster::{CentroidStart, GraphConfig, initial_centroids};
/// use ndarray::Array2;
///
/// // Two groups of 20 cells, far apart.
/// let cells = Array2::from_shape_fn((40, 2), |(cell, _)| {
///     let group = if cell < 20 { 0.0 } else { 50.0 };
///     group + 0.1 * (cell % 20) as f32
/// });
/// let start = CentroidStart::Graph(GraphConfig::new(0.1));
/// let found = initial_centroids(cells.view(), &start, 7)?;
/// assert_eq!(found.centroids.dim(), (2, 2));
/// assert_ne!(found.labels[0], found.labels[39]);
/// # Ok::<(), celldec::Error>(())
/// ```
///
/// # Errors
/// [`Error::EmptyInput`] without cells or dimensions; [`Error::NonFiniteValue`] for a NaN or
/// infinite value; [`Error::SingleCommunity`] when the graph gives one community; and
/// [`Error::Parameter`] as [`KMeansConfig::validate`] and [`GraphConfig::validate`] say.
pub fn initial_centroids(
    embedding: ArrayView2<f32>,
    start: &CentroidStart,
    seed: u64,
) -> Result<InitialCentroids> {
    check_embedding(embedding)?;
    match start {
        CentroidStart::KMeans(config) => {
            let found = config.fit(embedding, seed)?;
            Ok(InitialCentroids {
                centroids: found.centroids,
                labels: found.labels,
            })
        }
        CentroidStart::SmoothedKMeans(config) => from_smoothed(embedding, config, seed),
        CentroidStart::Graph(config) => from_graph(embedding, config, seed),
    }
}

fn from_smoothed(
    embedding: ArrayView2<f32>,
    config: &SmoothedKMeansConfig,
    seed: u64,
) -> Result<InitialCentroids> {
    let cells = embedding.nrows();
    config.validate(cells)?;
    if cells > config.max_cells {
        tracing::info!(
            cells,
            max_cells = config.max_cells,
            "k-means of the embedding itself: too many cells to average over neighbours"
        );
        let found = config.kmeans.fit(embedding, seed)?;
        return Ok(InitialCentroids {
            centroids: found.centroids,
            labels: found.labels,
        });
    }
    let neighbors = nearest_neighbors(embedding, config.neighbors.min(cells - 1))?;
    let mut smoothed = embedding.to_owned();
    for _ in 0..config.rounds {
        smoothed = neighbors.average(smoothed.view());
    }
    let found = match config.modularity {
        None => config.kmeans.fit(smoothed.view(), seed)?,
        Some(resolution) => {
            let runs = config.kmeans.fit_all(smoothed.view(), seed)?;
            most_modular_of_better_half(runs, &neighbors, resolution)?
        }
    };
    // A cluster without cells keeps the place that k-means gave it.
    let mut centroids = found.centroids;
    let counts = found
        .labels
        .iter()
        .fold(vec![0usize; centroids.nrows()], |mut counts, &label| {
            counts[label] += 1;
            counts
        });
    let means = means(embedding, &found.labels);
    for (cluster, mean) in means.rows().into_iter().enumerate() {
        if counts[cluster] > 0 {
            centroids.row_mut(cluster).assign(&mean);
        }
    }
    Ok(InitialCentroids {
        centroids,
        labels: found.labels,
    })
}

/// Of the half of k-means' results with the least inertia, the one whose labels have the highest
/// modularity; `runs` come least inertia first.
fn most_modular_of_better_half(
    mut runs: Vec<KMeans>,
    neighbors: &Neighbors,
    resolution: f64,
) -> Result<KMeans> {
    runs.truncate(runs.len().div_ceil(2));
    let graph = connectivities(neighbors)?;
    let modularities = runs
        .par_iter()
        .map(|run| modularity(&graph, &run.labels, resolution))
        .collect::<Result<Vec<f64>>>()?;
    let mut best = 0;
    for (run, modularity) in modularities.iter().enumerate() {
        if *modularity > modularities[best] {
            best = run;
        }
    }
    Ok(runs.swap_remove(best))
}

fn from_graph(
    embedding: ArrayView2<f32>,
    config: &GraphConfig,
    seed: u64,
) -> Result<InitialCentroids> {
    let cells = embedding.nrows();
    config.validate(cells)?;
    if cells <= config.max_cells {
        let labels = communities(embedding, config, seed)?;
        let centroids = means(embedding, &labels);
        return Ok(InitialCentroids { centroids, labels });
    }
    let mut random = stream(seed, Purpose::Subsample, 0, 0);
    let mut chosen = index::sample(&mut random, cells, config.max_cells).into_vec();
    chosen.sort_unstable();
    tracing::info!(
        cells,
        subsample = config.max_cells,
        "building the cell graph on a subsample"
    );
    let subsample = embedding.select(Axis(0), &chosen);
    let chosen_labels = communities(subsample.view(), config, seed)?;
    let centroids = means(subsample.view(), &chosen_labels);
    let mut labels = nearest_centroids(embedding, centroids.view());
    for (&cell, &label) in chosen.iter().zip(&chosen_labels) {
        labels[cell] = label;
    }
    Ok(InitialCentroids { centroids, labels })
}

/// The communities of an embedding's cell graph: at least two.
fn communities(embedding: ArrayView2<f32>, config: &GraphConfig, seed: u64) -> Result<Vec<usize>> {
    let neighbors = nearest_neighbors(embedding, config.neighbors - 1)?;
    let graph = match config.weighted {
        true => connectivities(&neighbors)?,
        false => connectivities(&neighbors)?.into_unweighted(),
    };
    let labels = find_communities(&graph, config.resolution, config.method, seed)?;
    if labels.iter().all(|&label| label == 0) {
        return Err(Error::SingleCommunity {
            resolution: config.resolution,
            suggestion: higher_resolution(&graph, config, seed)?,
        });
    }
    Ok(labels)
}

/// How often the resolution is doubled in search of one that gives several communities.
const DOUBLINGS: u32 = 6;

/// The first doubling of the resolution that gives several communities, or the last tried.
fn higher_resolution(graph: &Graph, config: &GraphConfig, seed: u64) -> Result<f64> {
    let mut resolution = config.resolution;
    for _ in 0..DOUBLINGS {
        resolution *= 2.0;
        if !resolution.is_finite() {
            return Ok(config.resolution);
        }
        let labels = find_communities(graph, resolution, config.method, seed)?;
        if labels.iter().any(|&label| label > 0) {
            break;
        }
    }
    Ok(resolution)
}

/// The mean of every cluster `[clusters, dimensions]`, up to the largest label.
fn means(embedding: ArrayView2<f32>, labels: &[usize]) -> Array2<f32> {
    let clusters = labels.iter().max().map_or(0, |&largest| largest + 1);
    let mut sums = Array2::<f64>::zeros((clusters, embedding.ncols()));
    let mut counts = vec![0usize; clusters];
    for (cell, &label) in embedding.rows().into_iter().zip(labels) {
        counts[label] += 1;
        for (sum, &value) in sums.row_mut(label).iter_mut().zip(cell) {
            *sum += f64::from(value);
        }
    }
    Array2::from_shape_fn(sums.dim(), |(cluster, dimension)| {
        (sums[[cluster, dimension]] / counts[cluster] as f64) as f32
    })
}

#[cfg(test)]
mod tests {
    use rand::RngExt;

    use super::*;

    /// `groups` blobs of `size` cells in 4 dimensions, `distance` apart.
    fn blobs(groups: usize, size: usize, distance: f32) -> (Array2<f32>, Vec<usize>) {
        let mut random = stream(5, Purpose::Simulation, 0, 0);
        let points = Array2::from_shape_fn((groups * size, 4), |(cell, dimension)| {
            let group = cell / size;
            let centre = if dimension == group % 4 {
                distance * (1 + group / 4) as f32
            } else {
                0.0
            };
            centre + random.random::<f32>()
        });
        let truth = (0..groups * size).map(|cell| cell / size).collect();
        (points, truth)
    }

    fn agrees(a: &[usize], b: &[usize]) -> bool {
        crate::metrics::adjusted_rand_index(a, b).unwrap() == 1.0
    }

    #[test]
    fn both_starts_find_blobs() {
        let (points, truth) = blobs(4, 60, 20.0);
        for start in [
            CentroidStart::KMeans(KMeansConfig::new(4)),
            CentroidStart::SmoothedKMeans(SmoothedKMeansConfig::new(4)),
            CentroidStart::Graph(GraphConfig::new(0.2)),
            CentroidStart::Graph(GraphConfig::new(0.2).with_method(CommunityMethod::Louvain)),
        ] {
            let found = initial_centroids(points.view(), &start, 3).unwrap();
            assert!(agrees(&found.labels, &truth), "{start:?}");
            assert_eq!(found.centroids.dim(), (4, 4));
            let means = means(points.view(), &found.labels);
            for (a, b) in found.centroids.iter().zip(&means) {
                assert!((a - b).abs() < 1e-5, "{start:?}");
            }
        }
    }

    #[test]
    fn a_subsample_labels_every_cell() {
        let (points, truth) = blobs(3, 100, 20.0);
        let config = GraphConfig::new(0.2).with_max_cells(120);
        let start = CentroidStart::Graph(config);
        let found = initial_centroids(points.view(), &start, 3).unwrap();
        assert!(agrees(&found.labels, &truth));
        assert_eq!(initial_centroids(points.view(), &start, 3).unwrap(), found);
        assert_ne!(
            initial_centroids(points.view(), &start, 4)
                .unwrap()
                .centroids,
            found.centroids
        );
    }

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
        let skipped = SmoothedKMeansConfig::new(4)
            .with_kmeans(KMeansConfig::new(4))
            .with_max_cells(100);
        assert_eq!(disagreement(CentroidStart::SmoothedKMeans(skipped)), plain);
    }

    #[test]
    fn modularity_chooses_within_the_better_half_by_inertia() {
        let (points, _) = blobs(6, 60, 0.9);
        let config = SmoothedKMeansConfig::new(6);
        let labels = |config: SmoothedKMeansConfig| {
            let start = CentroidStart::SmoothedKMeans(config);
            initial_centroids(points.view(), &start, 3).unwrap().labels
        };
        let neighbors = nearest_neighbors(points.view(), 15).unwrap();
        let graph = connectivities(&neighbors).unwrap();
        let modularity = |labels: &[usize]| modularity(&graph, labels, 0.5).unwrap();
        let chosen = labels(config.clone());
        let smoothed = neighbors.average(neighbors.average(points.view()).view());
        let runs = config.kmeans.fit_all(smoothed.view(), 3).unwrap();
        assert!(
            runs.windows(2)
                .all(|pair| pair[0].inertia <= pair[1].inertia)
        );
        let better = runs[..20].iter().map(|run| modularity(&run.labels));
        assert_eq!(modularity(&chosen), better.fold(f64::MIN, f64::max));
        assert_eq!(labels(config.clone().with_modularity(None)), runs[0].labels);
        for resolution in [0.0, f64::NAN] {
            let bad = config.clone().with_modularity(resolution);
            assert!(bad.validate(360).is_err());
        }
    }

    #[test]
    fn few_cells_are_averaged_with_all_others() {
        let (points, _) = blobs(2, 3, 5.0);
        let start = CentroidStart::SmoothedKMeans(SmoothedKMeansConfig::new(2).with_rounds(0));
        assert!(initial_centroids(points.view(), &start, 0).is_ok());
        let start = CentroidStart::SmoothedKMeans(SmoothedKMeansConfig::new(2));
        let found = initial_centroids(points.view(), &start, 0).unwrap();
        assert!(found.centroids.iter().all(|value| value.is_finite()));
        let start = CentroidStart::SmoothedKMeans(SmoothedKMeansConfig::new(2).with_neighbors(0));
        assert!(initial_centroids(points.view(), &start, 0).is_err());
    }

    /// scanpy's `louvain` ignores the connectivities, which matters: on structureless data it finds
    /// fewer communities at the same resolution.
    #[test]
    fn an_unweighted_graph_has_fewer_communities_at_the_same_resolution() {
        let (points, _) = blobs(1, 400, 0.0);
        let count = |weighted| {
            let config = GraphConfig::new(1.0).with_weighted(weighted);
            let start = CentroidStart::Graph(config);
            initial_centroids(points.view(), &start, 1)
                .unwrap()
                .centroids
                .nrows()
        };
        let (weighted, unweighted) = (count(true), count(false));
        assert!(unweighted < weighted, "{unweighted} against {weighted}");
    }

    #[test]
    fn fault_12_a_single_community_is_an_error_that_suggests_a_resolution() {
        let (points, _) = blobs(1, 60, 0.0);
        let error = initial_centroids(
            points.view(),
            &CentroidStart::Graph(GraphConfig::new(0.01)),
            1,
        )
        .unwrap_err();
        let Error::SingleCommunity {
            resolution,
            suggestion,
        } = error
        else {
            panic!("{error}");
        };
        assert_eq!(resolution, 0.01);
        let retry = CentroidStart::Graph(GraphConfig::new(suggestion));
        assert!(initial_centroids(points.view(), &retry, 1).is_ok());
    }

    #[test]
    fn non_finite_embeddings_name_the_row() {
        let (mut points, _) = blobs(2, 10, 5.0);
        points[[7, 2]] = f32::INFINITY;
        for start in [
            CentroidStart::KMeans(KMeansConfig::new(2)),
            CentroidStart::SmoothedKMeans(SmoothedKMeansConfig::new(2)),
            CentroidStart::Graph(GraphConfig::default()),
        ] {
            assert!(matches!(
                initial_centroids(points.view(), &start, 0),
                Err(Error::NonFiniteValue {
                    row: 7,
                    column: 2,
                    ..
                })
            ));
        }
    }

    #[test]
    fn neighbourhoods_must_fit_the_graph() {
        let (points, _) = blobs(2, 10, 5.0);
        for config in [
            GraphConfig::default().with_neighbors(1),
            GraphConfig::default().with_neighbors(21),
            GraphConfig::default().with_max_cells(9),
        ] {
            assert!(matches!(
                initial_centroids(points.view(), &CentroidStart::Graph(config), 0),
                Err(Error::Parameter(ParameterError::OutOfRange { .. }))
            ));
        }
    }

    #[test]
    fn settings_survive_json() {
        for start in [
            CentroidStart::KMeans(KMeansConfig::new(3).with_restarts(5)),
            CentroidStart::SmoothedKMeans(SmoothedKMeansConfig::new(3).with_rounds(1)),
            CentroidStart::Graph(GraphConfig::new(0.6).with_method(CommunityMethod::Louvain)),
        ] {
            let text = serde_json::to_string(&start).unwrap();
            assert_eq!(
                serde_json::from_str::<CentroidStart>(&text).unwrap(),
                start,
                "{text}"
            );
        }
    }
}
