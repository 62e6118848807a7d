//! Initial centroids of the clusters that self-training refines.

use ndarray::{ArrayView2, Axis};
use serde::{Deserialize, Serialize};

use super::communities::{Communities, several_communities};
use super::given::{self, GivenCentroids, check_labels, from_labels, validate_labels};
use super::initial::InitialCentroids;
use super::kmeans::{KMeans, KMeansConfig, nearest_centroids};
use super::smoothed::{SmoothedKMeansConfig, smoothed_kmeans};
use super::stable::{StableGraphConfig, stable_communities};
use crate::error::{ParameterError, Result};
use crate::graph::points::{check_embedding, means};
use crate::graph::{GraphConfig, NeighborSearch, cell_graph, fewer_neighbors};
use crate::random::{Purpose, stream, subsample};

/// Where initial centroids come from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum CentroidStart {
    /// k-means: the number of clusters is given (scDCC).
    KMeans(KMeansConfig),
    /// k-means of the embedding averaged over each cell's neighbourhood: the number of clusters is
    /// given, and single cells between clusters weigh less.
    SmoothedKMeans(SmoothedKMeansConfig),
    /// Communities of the nearest-neighbour graph: a resolution is given (DESC).
    Graph(GraphConfig),
    /// Communities of the nearest-neighbour graph at the resolution that the data prefer: nothing
    /// is given.
    StableGraph(StableGraphConfig),
    /// Centroids that are given, in the latent space of an encoder that is used again.
    Given(GivenCentroids),
    /// The means of labelled cells: the cluster of every cell is given, by annotation or another
    /// method. Labels count from 0, and each has a cell
    /// ([`encode_labels`](crate::metrics::encode_labels) makes them of names).
    Labels(#[serde(with = "given::labels")] Vec<usize>),
}

/// Bytes of a cell for the starts of k-means that run at the same time: bounds and labels.
const KMEANS_CELL: usize = 300;
/// Bytes of an edge of a cell graph while communities are found.
const EDGE: usize = 40;

impl CentroidStart {
    /// Checks the settings for data of `cells` cells.
    ///
    /// # Errors
    /// As [`KMeansConfig::validate`], [`SmoothedKMeansConfig::validate`],
    /// [`GraphConfig::validate`] and [`StableGraphConfig::validate`];
    /// [`ParameterError::Clusters`] for more given centroids than cells; for labels
    /// [`ParameterError::TooFewClusters`], [`ParameterError::Conflict`] for one without cells, and
    /// [`Error::LengthMismatch`](crate::Error::LengthMismatch) unless every cell has one.
    pub fn validate(&self, cells: usize) -> Result<()> {
        match self {
            Self::KMeans(config) => config.validate(cells),
            Self::SmoothedKMeans(config) => config.validate(cells),
            Self::Graph(config) => config.validate(cells),
            Self::StableGraph(config) => config.validate(cells),
            Self::Given(given) => given.validate(cells),
            Self::Labels(labels) => validate_labels(labels, cells),
        }
    }

    /// What should be known of a start in data of `cells` cells: neighbourhoods that are smaller than
    /// asked for, because there are not that many cells, or centroids found among some of many.
    pub fn warning(&self, cells: usize) -> Option<String> {
        let (limit, what, neighbors) = match self {
            Self::SmoothedKMeans(config) => {
                let used = config.rounds > 0 || config.modularity.is_some();
                let neighbors = if used { config.neighbors } else { 0 };
                (config.max_cells, "the average of the start", neighbors)
            }
            Self::Graph(config) => (config.max_cells, "the cell graph", config.neighbors),
            Self::StableGraph(config) => {
                let graph = &config.graph;
                if (config.max_cells + 1..=graph.max_cells).contains(&cells) {
                    return Some(format!(
                        "the resolution was chosen among a random subsample of {} of the {cells} cells",
                        config.max_cells
                    ));
                }
                (graph.max_cells, "the cell graph", graph.neighbors)
            }
            Self::KMeans(_) | Self::Given(_) | Self::Labels(_) => return None,
        };
        if cells > limit {
            return Some(format!(
                "initial centroids were found among a random subsample of {limit} of the {cells} cells"
            ));
        }
        fewer_neighbors(what, cells, neighbors)
    }

    /// How many clusters it gives, where that is set.
    pub(crate) fn clusters(&self) -> Option<usize> {
        match self {
            Self::KMeans(config) => Some(config.clusters),
            Self::SmoothedKMeans(config) => Some(config.kmeans.clusters),
            Self::Given(given) => Some(given.centroids().nrows()),
            Self::Labels(labels) => labels.iter().max().map(|&largest| largest + 1),
            Self::Graph(_) | Self::StableGraph(_) => None,
        }
    }

    /// About how much memory it takes, with the embedding `[cells, dimensions]`, in bytes.
    pub(crate) fn bytes(&self, cells: usize, dimensions: usize) -> u64 {
        let (among, of_cell, neighbors) = match self {
            Self::KMeans(_) => (cells, KMEANS_CELL, 0),
            Self::SmoothedKMeans(config) => (config.max_cells, KMEANS_CELL, config.neighbors),
            Self::Graph(graph) => (graph.max_cells, EDGE * graph.neighbors, graph.neighbors),
            Self::StableGraph(StableGraphConfig { graph, .. }) => {
                (graph.max_cells, EDGE * graph.neighbors, graph.neighbors)
            }
            Self::Given(_) | Self::Labels(_) => (0, 0, 0),
        };
        let among = among.min(cells);
        let search = match neighbors {
            0 => 0,
            k => NeighborSearch::default().bytes(among, dimensions, k),
        };
        // The embedding and what is selected of it; labels.
        let embedded = (4 * dimensions + 8) as u64 * (cells + 3 * among) as u64;
        embedded + search + among as u64 * of_cell as u64
    }

    /// Checks a start for a latent space of `width` dimensions.
    pub(crate) fn check_width(&self, width: usize) -> Result<()> {
        match self {
            Self::Given(given) => given.check_width(width),
            _ => Ok(()),
        }
    }

    /// Checks what can be checked before there are data.
    pub(crate) fn check_settings(&self) -> Result<()> {
        let clusters = match self {
            Self::KMeans(config) => Some(config.clusters),
            Self::SmoothedKMeans(config) => Some(config.kmeans.clusters),
            Self::Labels(labels) => return check_labels(labels),
            Self::Graph(_) | Self::StableGraph(_) | Self::Given(_) => None,
        };
        if let Some(clusters) = clusters.filter(|&clusters| clusters < 2) {
            return Err(ParameterError::TooFewClusters { clusters }.into());
        }
        // With any number of cells, only the settings can be wrong.
        self.validate(usize::MAX)
    }
}

/// Initial centroids for the rows of `embedding` `[cells, dimensions]`.
///
/// With a graph start, clusters are numbered by size, largest first (rare groups that were split
/// off last), and a centroid is the mean of its community; cells that are all alike are one cluster.
/// Given centroids and labels keep their numbers.
///
/// ```
/// use celldec::graph::GraphConfig;
/// use celldec::start::{CentroidStart, initial_centroids};
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
/// [`Error::EmptyInput`](crate::Error::EmptyInput) without cells or dimensions;
/// [`Error::NonFiniteValue`](crate::Error::NonFiniteValue) for a NaN or
/// infinite value; [`Error::SingleCommunity`](crate::Error::SingleCommunity) when the graph gives one
/// community; [`Error::LengthMismatch`](crate::Error::LengthMismatch) when given centroids have
/// another number of dimensions; and as [`CentroidStart::validate`].
pub fn initial_centroids(
    embedding: ArrayView2<f32>,
    start: &CentroidStart,
    seed: u64,
) -> Result<InitialCentroids> {
    centroids_by(embedding, start, seed, &NeighborSearch::default())
}

/// [`initial_centroids`], where neighbours are looked for as `search` says.
pub(crate) fn centroids_by(
    embedding: ArrayView2<f32>,
    start: &CentroidStart,
    seed: u64,
    search: &NeighborSearch,
) -> Result<InitialCentroids> {
    check_embedding(embedding)?;
    match start {
        CentroidStart::KMeans(config) => {
            let found = config.fit(embedding, seed)?;
            Ok(InitialCentroids::new(found.centroids, found.labels))
        }
        CentroidStart::SmoothedKMeans(config) => {
            config.validate(embedding.nrows())?;
            among_some(embedding, config.max_cells, seed, |embedding| {
                from_smoothed(embedding, config, seed, search)
            })
        }
        CentroidStart::Graph(config) => {
            config.validate(embedding.nrows())?;
            if are_alike(embedding) {
                return Ok(one_cluster(embedding, config.resolution));
            }
            among_some(embedding, config.max_cells, seed, |embedding| {
                let graph = cell_graph(embedding, config, search)?;
                let labels = several_communities(&graph, config, seed)?;
                let found = Communities {
                    labels,
                    resolution: config.resolution,
                    candidates: Vec::new(),
                };
                Ok(found.with_centroids_in(embedding))
            })
        }
        CentroidStart::StableGraph(config) => {
            config.validate(embedding.nrows())?;
            if are_alike(embedding) {
                let resolutions = config.resolutions.iter().copied();
                let lowest = resolutions.fold(f64::INFINITY, f64::min);
                return Ok(one_cluster(embedding, lowest));
            }
            among_some(embedding, config.graph.max_cells, seed, |embedding| {
                let found = stable_communities(embedding, config, seed, search)?;
                Ok(found.with_centroids_in(embedding))
            })
        }
        CentroidStart::Given(given) => given.find(embedding),
        CentroidStart::Labels(labels) => from_labels(embedding, labels),
    }
}

/// Whether cells differ by no more than rounding: their nearest neighbours are then accidents, and
/// the communities of these as well.
fn are_alike(embedding: ArrayView2<f32>) -> bool {
    const ROUNDING: f32 = 1e-5;
    let scale = embedding
        .iter()
        .fold(0.0f32, |scale, value| scale.max(value.abs()));
    embedding.columns().into_iter().all(|column| {
        let first = column[0];
        column
            .iter()
            .all(|value| (value - first).abs() <= ROUNDING * scale)
    })
}

fn one_cluster(embedding: ArrayView2<f32>, resolution: f64) -> InitialCentroids {
    let found = Communities {
        labels: vec![0; embedding.nrows()],
        resolution,
        candidates: Vec::new(),
    };
    found.with_centroids_in(embedding)
}

fn from_smoothed(
    embedding: ArrayView2<f32>,
    config: &SmoothedKMeansConfig,
    seed: u64,
    search: &NeighborSearch,
) -> Result<InitialCentroids> {
    let KMeans {
        mut centroids,
        labels,
        ..
    } = smoothed_kmeans(embedding, config, seed, search)?;
    let means = means(embedding, &labels);
    for (cluster, mean) in means.rows().into_iter().enumerate() {
        // The mean of a cluster without cells is NaN: it keeps the place that k-means gave it.
        if mean.iter().all(|value| value.is_finite()) {
            centroids.row_mut(cluster).assign(&mean);
        }
    }
    Ok(InitialCentroids::new(centroids, labels))
}

/// What `find` finds among all cells, or of more than `max_cells` among a random subsample, where the
/// others go to the nearest centroid.
fn among_some(
    embedding: ArrayView2<f32>,
    max_cells: usize,
    seed: u64,
    find: impl FnOnce(ArrayView2<f32>) -> Result<InitialCentroids>,
) -> Result<InitialCentroids> {
    let cells = embedding.nrows();
    if cells <= max_cells {
        return find(embedding);
    }
    tracing::info!(
        cells,
        subsample = max_cells,
        "looking for initial centroids among a subsample"
    );
    let mut random = stream(seed, Purpose::Subsample, 0, 0);
    let chosen = subsample(&mut random, cells, max_cells);
    let mut found = find(embedding.select(Axis(0), &chosen).view())?;
    let mut labels = nearest_centroids(embedding, found.centroids.view());
    for (&cell, &label) in chosen.iter().zip(&found.labels) {
        labels[cell] = label;
    }
    found.labels = labels;
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::super::blobs::blobs;
    use super::*;
    use crate::error::{Error, ParameterError};
    use crate::graph::CommunityMethod;

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
    fn a_resolution_that_was_chosen_among_some_cells_is_told() {
        let start = CentroidStart::StableGraph(StableGraphConfig::new());
        assert_eq!(start.warning(5_000), None);
        for (cells, what) in [(5_001, "resolution"), (200_001, "centroids")] {
            let warning = start.warning(cells).unwrap();
            assert!(warning.contains(what), "{warning}");
            assert!(
                warning.contains(&format!("of the {cells} cells")),
                "{warning}"
            );
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
    fn centroids_move_to_known_groups() {
        let (points, truth) = blobs(3, 40, 8.0);
        // As from a bad optimum: two centroids in the first blob, none between the others.
        let centroids = points.select(Axis(0), &[0, 1, 60]);
        let initial = InitialCentroids::new(centroids, vec![0; 120]);
        let group = |blob: usize, size: usize| (blob * 40..blob * 40 + size).collect::<Vec<_>>();
        let found = initial
            .clone()
            .moved_to(points.view(), &[group(0, 10), group(1, 8), group(2, 6)]);
        let agreement = crate::metrics::adjusted_rand_index(&truth, &found.labels).unwrap();
        assert_eq!(agreement, 1.0);
        // Too few cells are not used.
        assert_eq!(
            initial.clone().moved_to(points.view(), &[group(0, 4)]),
            initial
        );
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
    fn few_cells_have_fewer_neighbours() {
        for cells in [3, 6, 10] {
            let (points, truth) = blobs(2, cells, 8.0);
            for start in [
                CentroidStart::Graph(GraphConfig::new(0.5).with_neighbors(40)),
                CentroidStart::StableGraph(StableGraphConfig::new()),
            ] {
                let found = initial_centroids(points.view(), &start, 0).unwrap();
                assert!(agrees(&found.labels, &truth), "{cells} {start:?}");
                let warning = start.warning(2 * cells).unwrap();
                assert!(warning.contains("there are only"), "{warning}");
                assert_eq!(start.warning(100), None);
            }
        }
    }

    #[test]
    fn cells_that_are_alike_are_one_cluster() {
        for start in [
            CentroidStart::Graph(GraphConfig::default()),
            CentroidStart::StableGraph(StableGraphConfig::new()),
        ] {
            for cells in [2, 80, 300] {
                let points = ndarray::Array2::from_shape_fn((cells, 4), |(cell, column)| {
                    // As rounding in products of different shapes leaves them.
                    column as f32 * (1.0 + 1e-7 * (cell % 3) as f32)
                });
                let found = initial_centroids(points.view(), &start, 0).unwrap();
                assert_eq!(found.labels, vec![0; cells]);
                assert_eq!(found.centroids.dim(), (1, 4));
            }
        }
    }

    #[test]
    fn graphs_need_neighbours_and_cells() {
        let (points, _) = blobs(2, 10, 5.0);
        for config in [
            GraphConfig::default().with_neighbors(0),
            GraphConfig::default().with_max_cells(1),
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
