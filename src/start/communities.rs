//! Communities as clusters: at least two.

use ndarray::ArrayView2;

use super::initial::{InitialCentroids, ResolutionCandidate};
use crate::error::{Error, Result};
use crate::graph::points::means;
use crate::graph::{Graph, GraphConfig, find_communities};

/// Communities that were found in a cell graph.
pub(super) struct Communities {
    /// The community of every cell `[cells]`.
    pub labels: Vec<usize>,
    pub resolution: f64,
    /// What the resolution was chosen from.
    pub candidates: Vec<ResolutionCandidate>,
}

impl Communities {
    /// The communities with their means in the embedding `[cells, dimensions]`.
    pub fn with_centroids_in(self, embedding: ArrayView2<f32>) -> InitialCentroids {
        InitialCentroids {
            centroids: means(embedding, &self.labels),
            labels: self.labels,
            resolution: Some(self.resolution),
            candidates: self.candidates,
        }
    }
}

/// The communities of a graph: at least two.
pub(super) fn several_communities(
    graph: &Graph,
    config: &GraphConfig,
    seed: u64,
) -> Result<Vec<usize>> {
    let labels = find_communities(graph, config.resolution, config.method, seed)?;
    if labels.iter().all(|&label| label == 0) {
        return Err(Error::SingleCommunity {
            resolution: config.resolution,
            suggestion: higher_resolution(graph, config, seed)?,
        });
    }
    Ok(labels)
}

/// How often the resolution is doubled in search of one that gives several communities.
const DOUBLINGS: u32 = 6;

/// The first doubling of the resolution that gives several communities, or the last tried.
pub(super) fn higher_resolution(graph: &Graph, config: &GraphConfig, seed: u64) -> Result<f64> {
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
