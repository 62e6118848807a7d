//! Communities at the resolution that the data themselves prefer.

use ndarray::{ArrayView2, Axis};
use serde::{Deserialize, Serialize};

use super::communities::{Communities, higher_resolution, several_communities};
use super::initial::ResolutionCandidate;
use super::rare::{RareGroupsConfig, split_rare_groups};
use crate::error::{Error, ParameterError, Result};
use crate::graph::{
    Graph, GraphConfig, NeighborSearch, cell_graph, check_resolution, find_communities,
};
use crate::metrics::{adjusted_rand_index, silhouette};
use crate::parallel::{map, try_map};
use crate::random::{Purpose, stream, subsample};

/// Settings of the stable graph start: communities of the cell graph, at a resolution that is
/// chosen and need not be given.
///
/// For every resolution the communities of the whole graph are compared with those of subgraphs of
/// randomly drawn cells; the mean adjusted Rand index is the resolution's stability. Of the
/// resolutions whose stability comes near the best, the one is taken whose communities have the
/// highest silhouette in the embedding averaged over neighbourhoods. (Stability alone does not
/// decide: few large communities and many small ones are often equally stable.) Then
/// [rare groups](RareGroupsConfig) are split off.
///
/// No fixed resolution suits all data: on five real sets 0.3 was best and on five simulated ones,
/// whose types overlap more, 0.8, at which the real ones fall apart (docs/accuracy.md).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StableGraphConfig {
    /// The graph; its resolution is not used. Default: 29 neighbours.
    pub graph: GraphConfig,
    /// Resolutions to choose from. Default: twelve from 0.1 to 1.3.
    pub resolutions: Vec<f64>,
    /// Number of subgraphs. Default 10.
    pub subsamples: usize,
    /// Fraction of the cells in a subgraph. Default 0.8.
    pub fraction: f64,
    /// How much less stable than the most stable a resolution may be. Default 0.05.
    pub tolerance: f64,
    /// With more cells than this, the resolution is chosen on a random subsample of this many.
    /// Default 5000.
    pub max_cells: usize,
    /// The search for rare groups; `None`: none.
    pub rare: Option<RareGroupsConfig>,
}

impl Default for StableGraphConfig {
    fn default() -> Self {
        Self {
            graph: GraphConfig::default().with_neighbors(29),
            resolutions: vec![
                0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.65, 0.8, 1.0, 1.3,
            ],
            subsamples: 10,
            fraction: 0.8,
            tolerance: 0.05,
            max_cells: 5000,
            rare: Some(RareGroupsConfig::new()),
        }
    }
}

impl StableGraphConfig {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the graph.
    pub fn with_graph(mut self, graph: GraphConfig) -> Self {
        self.graph = graph;
        self
    }

    /// Sets the resolutions to choose from.
    pub fn with_resolutions(mut self, resolutions: impl Into<Vec<f64>>) -> Self {
        self.resolutions = resolutions.into();
        self
    }

    /// Sets the number of subgraphs.
    pub fn with_subsamples(mut self, subsamples: usize) -> Self {
        self.subsamples = subsamples;
        self
    }

    /// Sets the fraction of the cells in a subgraph.
    pub fn with_fraction(mut self, fraction: f64) -> Self {
        self.fraction = fraction;
        self
    }

    /// Sets how much less stable than the most stable a resolution may be.
    pub fn with_tolerance(mut self, tolerance: f64) -> Self {
        self.tolerance = tolerance;
        self
    }

    /// Sets the number of cells above which the resolution is chosen on a subsample.
    pub fn with_max_cells(mut self, max_cells: usize) -> Self {
        self.max_cells = max_cells;
        self
    }

    /// Sets the search for rare groups.
    pub fn with_rare(mut self, rare: impl Into<Option<RareGroupsConfig>>) -> Self {
        self.rare = rare.into();
        self
    }

    /// Checks the settings for data of `cells` cells.
    ///
    /// # Errors
    /// As [`GraphConfig::validate`], [`ParameterError::Resolutions`] without resolutions or with one
    /// that is not positive and finite, and [`ParameterError::OutOfRange`] for fewer than 2
    /// subgraphs, a fraction not between 0 and 1, a negative tolerance, no more cells to choose
    /// the resolution on than a cell has neighbours, or a setting of the search for rare groups.
    pub fn validate(&self, cells: usize) -> Result<()> {
        if let Some(rare) = &self.rare {
            rare.validate()?;
        }
        self.graph.validate(cells)?;
        if self.resolutions.is_empty() {
            return Err(ParameterError::Resolutions { value: Vec::new() }.into());
        }
        self.resolutions
            .iter()
            .try_for_each(|&resolution| check_resolution(resolution))?;
        for (name, requirement, value, valid) in [
            (
                "the number of subgraphs of the stable graph start",
                "at least 2",
                self.subsamples as f64,
                self.subsamples >= 2,
            ),
            (
                "the fraction of cells in a subgraph",
                "above 0 and below 1",
                self.fraction,
                self.fraction > 0.0 && self.fraction < 1.0,
            ),
            (
                "the tolerance for less stable resolutions",
                "at least 0",
                self.tolerance,
                self.tolerance >= 0.0,
            ),
            (
                "the number of cells on which the resolution is chosen",
                "above the number of neighbors",
                self.max_cells as f64,
                self.max_cells > self.graph.neighbors,
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
        Ok(())
    }
}

/// The communities of an embedding's cell graph, at least two, at the resolution that is chosen.
pub(super) fn stable_communities(
    embedding: ArrayView2<f32>,
    config: &StableGraphConfig,
    seed: u64,
    search: &NeighborSearch,
) -> Result<Communities> {
    let cells = embedding.nrows();
    config.validate(cells)?;
    let settings = config.graph.among(cells);
    let (graph, candidates) = if cells > config.max_cells {
        let mut random = stream(seed, Purpose::Subsample, 0, 1);
        let chosen = subsample(&mut random, cells, config.max_cells);
        let subsample = embedding.select(Axis(0), &chosen);
        let (_, candidates) =
            compare_resolutions(subsample.view(), config, &settings, seed, search)?;
        (cell_graph(embedding, &settings, search)?, candidates)
    } else {
        compare_resolutions(embedding, config, &settings, seed, search)?
    };
    let chosen = candidates.iter().find(|candidate| candidate.chosen);
    let resolutions = config.resolutions.iter().copied();
    let resolution = match chosen {
        Some(candidate) => candidate.resolution,
        None => resolutions.fold(f64::INFINITY, f64::min),
    };
    let settings = settings.with_resolution(resolution);
    let mut labels = match several_communities(&graph, &settings, seed) {
        // One that was to choose from would not help.
        Err(Error::SingleCommunity { .. }) => {
            let resolutions = config.resolutions.iter().copied();
            let highest = resolutions.fold(resolution, f64::max);
            let settings = settings.with_resolution(highest);
            return Err(Error::SingleCommunity {
                resolution,
                suggestion: higher_resolution(&graph, &settings, seed)?,
            });
        }
        labels => labels?,
    };
    if let Some(rare) = &config.rare {
        split_rare_groups(embedding, &graph, &mut labels, rare, &settings, seed)?;
    }
    Ok(Communities {
        labels,
        resolution,
        candidates,
    })
}

/// A resolution and what is known about its communities.
struct Candidate {
    resolution: f64,
    labels: Vec<usize>,
    /// Mean adjusted Rand index with the communities of subgraphs.
    stability: f64,
}

/// The graph of an embedding's cells and the resolutions compared on it; none is chosen when none gives
/// several communities.
fn compare_resolutions(
    embedding: ArrayView2<f32>,
    config: &StableGraphConfig,
    settings: &GraphConfig,
    seed: u64,
    search: &NeighborSearch,
) -> Result<(Graph, Vec<ResolutionCandidate>)> {
    let cells = embedding.nrows();
    let neighbors = search.find(embedding, settings.neighbors)?;
    let graph = settings.edges(&neighbors)?;
    let subgraphs = Subgraphs::draw(&graph, config, seed);
    let candidates = try_map(config.resolutions.len(), |index| {
        let resolution = config.resolutions[index];
        let labels = find_communities(&graph, resolution, settings.method, seed)?;
        let stability = if labels.iter().any(|&label| label > 0) {
            subgraphs.agreement(&labels, resolution, settings, seed)?
        } else {
            0.0
        };
        Ok(Candidate {
            resolution,
            labels,
            stability,
        })
    })?;
    let communities =
        |candidate: &Candidate| candidate.labels.iter().max().map_or(0, |&last| last + 1);
    let several = |candidate: &Candidate| (2..cells).contains(&communities(candidate));
    let stabilities = candidates.iter().filter(|candidate| several(candidate));
    let best = stabilities.map(|candidate| candidate.stability);
    let best = best.fold(f64::NEG_INFINITY, f64::max);
    let smoothed = neighbors.average(neighbors.average(embedding).view());
    let mut chosen: Option<(f64, usize)> = None;
    let mut compared = Vec::with_capacity(candidates.len());
    for (index, candidate) in candidates.iter().enumerate() {
        let eligible = several(candidate) && candidate.stability >= best - config.tolerance;
        let silhouette = match eligible {
            true => Some(silhouette(smoothed.view(), &candidate.labels)?),
            false => None,
        };
        if let Some(silhouette) = silhouette
            && chosen.is_none_or(|(highest, _)| silhouette > highest)
        {
            chosen = Some((silhouette, index));
        }
        compared.push(ResolutionCandidate {
            resolution: candidate.resolution,
            clusters: communities(candidate),
            stability: candidate.stability,
            silhouette,
            chosen: false,
        });
    }
    if let Some((silhouette, index)) = chosen {
        let candidate = &mut compared[index];
        candidate.chosen = true;
        tracing::info!(
            resolution = candidate.resolution,
            stability = candidate.stability,
            silhouette,
            "resolution of the cell graph chosen"
        );
    }
    compared.sort_by(|a, b| a.resolution.total_cmp(&b.resolution));
    Ok((graph, compared))
}

/// Subgraphs of randomly drawn cells.
struct Subgraphs(Vec<(Vec<usize>, Graph)>);

impl Subgraphs {
    fn draw(graph: &Graph, config: &StableGraphConfig, seed: u64) -> Self {
        let cells = graph.nodes();
        let count = ((cells as f64 * config.fraction).round() as usize).clamp(1, cells);
        Self(map(config.subsamples, |number| {
            let mut random = stream(seed, Purpose::Subsample, 1 + number as u64, 1);
            let chosen = subsample(&mut random, cells, count);
            let subgraph = graph.among(&chosen);
            (chosen, subgraph)
        }))
    }

    /// Mean adjusted Rand index of their communities with labels of the whole graph.
    fn agreement(
        &self,
        labels: &[usize],
        resolution: f64,
        settings: &GraphConfig,
        seed: u64,
    ) -> Result<f64> {
        let agreements = try_map(self.0.len(), |number| {
            let (cells, graph) = &self.0[number];
            let seed = seed.wrapping_add(1 + number as u64);
            let found = find_communities(graph, resolution, settings.method, seed)?;
            let whole: Vec<usize> = cells.iter().map(|&cell| labels[cell]).collect();
            adjusted_rand_index(&whole, &found)
        })?;
        Ok(agreements.iter().sum::<f64>() / agreements.len() as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::super::blobs::blobs;
    use super::super::centroids::{CentroidStart, initial_centroids};
    use super::*;

    #[test]
    fn separate_groups_are_found_whatever_their_number() {
        for groups in [2, 5, 9] {
            let (points, truth) = blobs(groups, 60, 12.0);
            let start = CentroidStart::StableGraph(StableGraphConfig::new());
            let found = initial_centroids(points.view(), &start, 3).unwrap();
            assert_eq!(found.centroids.nrows(), groups);
            assert_eq!(adjusted_rand_index(&truth, &found.labels).unwrap(), 1.0);
            assert!(found.resolution.is_some());
        }
    }

    #[test]
    fn choice_is_repeatable_and_subsampled_above_the_limit() {
        let (points, truth) = blobs(4, 150, 8.0);
        for limit in [5000, 300] {
            let config = StableGraphConfig::new().with_max_cells(limit);
            let start = CentroidStart::StableGraph(config);
            let found = initial_centroids(points.view(), &start, 3).unwrap();
            let again = initial_centroids(points.view(), &start, 3).unwrap();
            assert_eq!(found, again);
            assert!(adjusted_rand_index(&truth, &found.labels).unwrap() > 0.99);
        }
    }

    #[test]
    fn cells_fewer_than_neighbours_are_clustered_too() {
        let (points, truth) = blobs(2, 6, 30.0);
        let start = CentroidStart::StableGraph(StableGraphConfig::new());
        let found = initial_centroids(points.view(), &start, 0).unwrap();
        assert_eq!(adjusted_rand_index(&truth, &found.labels).unwrap(), 1.0);
    }

    #[test]
    fn a_single_community_is_an_error_that_suggests_what_there_was_not_to_choose_from() {
        let (points, _) = blobs(1, 60, 0.0);
        let config = StableGraphConfig::new()
            .with_graph(GraphConfig::default())
            .with_resolutions([0.001, 0.01]);
        let start = CentroidStart::StableGraph(config);
        let error = initial_centroids(points.view(), &start, 1).unwrap_err();
        let message = error.to_string();
        assert!(message.contains("the number of clusters"), "{message}");
        assert!(!message.contains("auto"), "{message}");
        let Error::SingleCommunity { suggestion, .. } = error else {
            panic!("{message}");
        };
        assert!(suggestion > 0.01, "{suggestion}");
        let given = CentroidStart::Graph(GraphConfig::new(suggestion));
        assert!(initial_centroids(points.view(), &given, 1).is_ok());
    }

    #[test]
    fn settings_are_checked() {
        let good = StableGraphConfig::new();
        assert!(good.validate(1000).is_ok());
        for bad in [
            good.clone().with_resolutions([]),
            good.clone().with_resolutions([0.3, f64::NAN]),
            good.clone().with_subsamples(1),
            good.clone().with_fraction(0.0),
            good.clone().with_fraction(1.0),
            good.clone().with_tolerance(-0.1),
            good.clone().with_max_cells(10),
            good.clone()
                .with_graph(GraphConfig::default().with_neighbors(0)),
        ] {
            assert!(bad.validate(1000).is_err(), "{bad:?}");
        }
    }
}
