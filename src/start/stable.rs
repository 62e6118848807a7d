//! Communities at the resolution that the data themselves prefer.

use ndarray::{ArrayView2, Axis};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::communities::several_communities;
use super::rare::{RareGroupsConfig, split_rare_groups};
use crate::error::{ParameterError, Result};
use crate::graph::{
    Graph, GraphConfig, cell_graph, check_resolution, find_communities, nearest_neighbors,
};
use crate::metrics::{adjusted_rand_index, silhouette};
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

/// The communities of an embedding's cell graph, at least two, and the resolution they were found
/// at.
pub(super) fn stable_communities(
    embedding: ArrayView2<f32>,
    config: &StableGraphConfig,
    seed: u64,
) -> Result<(Vec<usize>, f64)> {
    let cells = embedding.nrows();
    config.validate(cells)?;
    let settings = config.graph.among(cells);
    let (graph, resolution) = if cells > config.max_cells {
        let mut random = stream(seed, Purpose::Subsample, 0, 1);
        let chosen = subsample(&mut random, cells, config.max_cells);
        let subsample = embedding.select(Axis(0), &chosen);
        let (_, resolution) = stable_resolution(subsample.view(), config, &settings, seed)?;
        (cell_graph(embedding, &settings)?, resolution)
    } else {
        stable_resolution(embedding, config, &settings, seed)?
    };
    let settings = settings.with_resolution(resolution);
    let mut labels = several_communities(&graph, &settings, seed)?;
    if let Some(rare) = &config.rare {
        split_rare_groups(embedding, &graph, &mut labels, rare, &settings, seed)?;
    }
    Ok((labels, resolution))
}

/// A resolution and what is known about its communities.
struct Candidate {
    resolution: f64,
    labels: Vec<usize>,
    /// Mean adjusted Rand index with the communities of subgraphs.
    stability: f64,
}

/// The graph of an embedding's cells and the resolution to take on it; the lowest given when none
/// gives several communities.
fn stable_resolution(
    embedding: ArrayView2<f32>,
    config: &StableGraphConfig,
    settings: &GraphConfig,
    seed: u64,
) -> Result<(Graph, f64)> {
    let cells = embedding.nrows();
    let neighbors = nearest_neighbors(embedding, settings.neighbors)?;
    let graph = settings.edges(&neighbors)?;
    let subgraphs = Subgraphs::draw(&graph, config, seed);
    let candidates = config
        .resolutions
        .par_iter()
        .map(|&resolution| {
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
        })
        .collect::<Result<Vec<_>>>()?;
    let several = |candidate: &&Candidate| {
        let communities = candidate.labels.iter().max().map_or(0, |&last| last + 1);
        (2..cells).contains(&communities)
    };
    let stabilities = candidates.iter().filter(several);
    let best = stabilities.map(|candidate| candidate.stability);
    let best = best.fold(f64::NEG_INFINITY, f64::max);
    let smoothed = neighbors.average(neighbors.average(embedding).view());
    let mut chosen: Option<(f64, &Candidate)> = None;
    for candidate in candidates.iter().filter(several) {
        if candidate.stability < best - config.tolerance {
            continue;
        }
        let silhouette = silhouette(smoothed.view(), &candidate.labels)?;
        if chosen.is_none_or(|(highest, _)| silhouette > highest) {
            chosen = Some((silhouette, candidate));
        }
    }
    let Some((silhouette, candidate)) = chosen else {
        let resolutions = config.resolutions.iter().copied();
        return Ok((graph, resolutions.fold(f64::INFINITY, f64::min)));
    };
    tracing::info!(
        resolution = candidate.resolution,
        stability = candidate.stability,
        silhouette,
        "resolution of the cell graph chosen"
    );
    Ok((graph, candidate.resolution))
}

/// Subgraphs of randomly drawn cells.
struct Subgraphs(Vec<(Vec<usize>, Graph)>);

impl Subgraphs {
    fn draw(graph: &Graph, config: &StableGraphConfig, seed: u64) -> Self {
        let cells = graph.nodes();
        let count = ((cells as f64 * config.fraction).round() as usize).clamp(1, cells);
        let subgraphs = (0..config.subsamples as u64).into_par_iter().map(|number| {
            let mut random = stream(seed, Purpose::Subsample, 1 + number, 1);
            let chosen = subsample(&mut random, cells, count);
            let subgraph = graph.among(&chosen);
            (chosen, subgraph)
        });
        Self(subgraphs.collect())
    }

    /// Mean adjusted Rand index of their communities with labels of the whole graph.
    fn agreement(
        &self,
        labels: &[usize],
        resolution: f64,
        settings: &GraphConfig,
        seed: u64,
    ) -> Result<f64> {
        let agreements = self
            .0
            .par_iter()
            .enumerate()
            .map(|(number, (cells, graph))| {
                let seed = seed.wrapping_add(1 + number as u64);
                let found = find_communities(graph, resolution, settings.method, seed)?;
                let whole: Vec<usize> = cells.iter().map(|&cell| labels[cell]).collect();
                adjusted_rand_index(&whole, &found)
            });
        let agreements = agreements.collect::<Result<Vec<f64>>>()?;
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
