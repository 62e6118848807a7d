//! Settings of a cell graph and its communities.

use ndarray::ArrayView2;
use serde::{Deserialize, Serialize};

use super::communities::{CommunityMethod, check_resolution};
use super::connectivities::{Graph, connectivities};
use super::neighbors::{Neighbors, neighbors_among};
use super::search::NeighborSearch;
use crate::error::{ParameterError, Result};

/// Settings of a cell graph and its communities: nearest neighbours, UMAP connectivities, a
/// resolution.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GraphConfig {
    /// Nearest neighbours of every cell, the cell itself not counted. At least 1; default 9, which
    /// is 10 in scanpy (and so in DESC), whose `n_neighbors` counts the cell itself. Where there are
    /// not that many other cells, a third of the cells.
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
            neighbors: 9,
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

    /// Sets the number of nearest neighbours, the cell itself not counted.
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
    /// [`ParameterError::OutOfRange`] without neighbours, or with fewer than two cells in the graph.
    pub fn validate(&self, cells: usize) -> Result<()> {
        check_resolution(self.resolution)?;
        for (name, requirement, value, least) in [
            (
                "the number of neighbors of the cell graph",
                "at least 1",
                self.neighbors,
                1,
            ),
            (
                "the number of cells to cluster",
                "at least 2",
                cells.min(self.max_cells),
                2,
            ),
        ] {
            if value < least {
                return Err(ParameterError::OutOfRange {
                    name,
                    requirement,
                    value: value as f64,
                }
                .into());
            }
        }
        Ok(())
    }

    /// The settings for a graph of so many cells, which may be fewer than neighbours are asked for.
    pub(crate) fn among(&self, cells: usize) -> Self {
        let cells = cells.min(self.max_cells);
        self.clone()
            .with_neighbors(neighbors_among(cells, self.neighbors))
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
pub(crate) fn cell_graph(
    embedding: ArrayView2<f32>,
    config: &GraphConfig,
    search: &NeighborSearch,
) -> Result<Graph> {
    let neighbors = neighbors_among(embedding.nrows(), config.neighbors);
    config.edges(&search.find(embedding, neighbors)?)
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    #[test]
    fn neighbours_do_not_count_the_cell_itself() {
        let pairs = array![[0.0f32], [1.0], [50.0], [52.0]];
        let config = GraphConfig::default().with_neighbors(1);
        let graph = cell_graph(pairs.view(), &config, &NeighborSearch::default()).unwrap();
        let others: Vec<_> = (0..4).map(|cell| graph.row(cell).0.to_vec()).collect();
        assert_eq!(others, [[1], [0], [3], [2]]);
        assert!(config.validate(2).is_ok());
        assert!(config.validate(1).is_err());
    }
}
