//! Settings of a cell graph and its communities.

use ndarray::ArrayView2;
use serde::{Deserialize, Serialize};

use super::communities::{CommunityMethod, check_resolution};
use super::connectivities::{Graph, connectivities};
use super::neighbors::{Neighbors, nearest_neighbors};
use crate::error::{ParameterError, Result};

/// Settings of a cell graph and its communities: nearest neighbours, UMAP connectivities, a
/// resolution.
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

    /// The graph of these neighbours.
    pub(crate) fn edges(&self, neighbors: &Neighbors) -> Result<Graph> {
        let graph = connectivities(neighbors)?;
        Ok(if self.weighted {
            graph
        } else {
            graph.into_unweighted()
        })
    }
}

/// The graph of an embedding's cells.
pub(crate) fn cell_graph(embedding: ArrayView2<f32>, config: &GraphConfig) -> Result<Graph> {
    config.edges(&nearest_neighbors(embedding, config.neighbors - 1)?)
}
