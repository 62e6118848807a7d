//! Uniform manifold approximation and projection.

use manifolds_rs::prelude::{UmapGraphParams, UmapOptimParams};
use manifolds_rs::{UmapParams, umap};
use ndarray::{Array2, ArrayView2};
use rand::RngExt;
use serde::{Deserialize, Serialize};

use super::{Projection, check_cells, is_one_point};
use crate::error::{Error, ParameterError, Result};
use crate::graph::NeighborSearch;
use crate::random::{Purpose, stream};

/// Up to this number of cells more epochs are affordable and needed (umap-learn).
const SMALL: usize = 10_000;

/// The settings of UMAP (McInnes et al., *JOSS* 2018).
///
/// Neighbours are exact; graph, spectral start and layout are those of the crate `manifolds-rs`,
/// whose layout is optimised by Adam instead of plain gradient descent, so that every cell moves
/// by its own sum of forces and the result does not depend on the number of threads.
///
/// ```
/// use celldec::view::projection::UmapConfig;
/// use ndarray::Array2;
///
/// let embedding = Array2::from_shape_fn((60, 3), |(cell, dimension)| {
///     let group = if cell < 30 { 0.0 } else { 20.0 };
///     group + ((cell * 7 + dimension * 3) % 10) as f32 / 10.0
/// });
/// let projection = UmapConfig::new().with_seed(1).project(embedding.view())?;
/// assert_eq!(projection.coordinates().dim(), (60, 2));
/// # Ok::<(), celldec::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct UmapConfig {
    /// Nearest neighbours of a cell, itself not counted.
    pub neighbors: usize,
    /// How near to each other cells may lie.
    pub min_distance: f64,
    /// Iterations; `None` chooses by the number of cells.
    pub epochs: Option<usize>,
    /// Seed of the layout.
    pub seed: u64,
}

impl Default for UmapConfig {
    fn default() -> Self {
        Self {
            neighbors: 14,
            min_distance: 0.5,
            epochs: None,
            seed: 0,
        }
    }
}

impl UmapConfig {
    /// 14 neighbours (15 in scanpy, which counts the cell itself) and a minimum distance of 0.5.
    pub fn new() -> Self {
        Self::default()
    }

    /// Nearest neighbours of a cell, itself not counted (default 14; all others where there are
    /// fewer).
    pub fn with_neighbors(mut self, neighbors: usize) -> Self {
        self.neighbors = neighbors;
        self
    }

    /// How near to each other cells may lie, between 0 and 1 (default 0.5).
    pub fn with_min_distance(mut self, min_distance: f64) -> Self {
        self.min_distance = min_distance;
        self
    }

    /// Iterations (default: 500 for up to 10 000 cells, else 200, as in umap-learn).
    pub fn with_epochs(mut self, epochs: usize) -> Self {
        self.epochs = Some(epochs);
        self
    }

    /// The seed of the layout (default 0).
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Projects an embedding `[cells, dimensions]`.
    ///
    /// # Errors
    /// [`ParameterError::OutOfRange`] for fewer than four cells, no neighbours or a minimum
    /// distance outside 0..=1, [`ParameterError::Epochs`] for 0 epochs,
    /// [`Error::EmptyInput`] without dimensions, [`Error::NonFiniteValue`] for a NaN or infinite
    /// value, [`Error::Projection`] when the layout fails.
    pub fn project(&self, embedding: ArrayView2<'_, f32>) -> Result<Projection> {
        self.check()?;
        let (cells, dimensions) = embedding.dim();
        check_cells("the number of cells of a UMAP", cells)?;
        let others = self.neighbors.min(cells - 1);
        let neighbors = NeighborSearch::default().find(embedding, others)?;
        if is_one_point(embedding) {
            return Projection::new("UMAP", Array2::zeros((cells, 2)));
        }
        let indices = neighbors.indices.rows().into_iter();
        let indices = indices.map(|row| row.iter().map(|&index| index as usize).collect());
        let distances = neighbors.distances.rows().into_iter();
        let distances = distances.map(|row| row.to_vec());

        let settings = self.settings(cells, others);
        // The library adds the number of a cell to its seed: half the bits leave room for that.
        let seed: u32 = stream(self.seed, Purpose::Projection, 0, 0).random();
        let points: Vec<f32> = embedding.iter().copied().collect();
        let layout = umap(
            (points.as_slice(), cells, dimensions),
            Some((indices.collect(), distances.collect())),
            &settings,
            seed as usize,
            0,
        );
        let failed = |reason: String| Error::Projection {
            method: "UMAP",
            reason,
        };
        let layout = layout.map_err(|error| failed(error.to_string()))?;
        let [x, y] = layout.as_slice() else {
            return Err(failed(format!("it returned {} dimensions", layout.len())));
        };
        if x.len() != cells || y.len() != cells {
            return Err(failed(format!("it returned {} of {cells} cells", x.len())));
        }
        let mut coordinates = Array2::zeros((cells, 2));
        for (mut row, (&x, &y)) in coordinates.rows_mut().into_iter().zip(x.iter().zip(y)) {
            row[0] = x;
            row[1] = y;
        }
        Projection::new("UMAP", coordinates)
    }

    fn settings(&self, cells: usize, others: usize) -> UmapParams<f32> {
        let epochs = if cells <= SMALL { 500 } else { 200 };
        UmapParams {
            n_dim: 2,
            k: others,
            optimiser: "adam_parallel".into(),
            initialisation: "spectral".into(),
            umap_graph_params: UmapGraphParams::default(),
            optim_params: UmapOptimParams::from_min_dist_spread(
                self.min_distance as f32,
                1.0,
                None,
                None,
                Some(self.epochs.unwrap_or(epochs)),
                None,
                None,
                None,
                None,
            ),
            ..UmapParams::default()
        }
    }

    fn check(&self) -> Result<()> {
        let out_of_range = |name, requirement, value| {
            Err(ParameterError::OutOfRange {
                name,
                requirement,
                value,
            }
            .into())
        };
        if self.neighbors == 0 {
            let name = "the number of neighbors of a UMAP";
            return out_of_range(name, "at least 1", 0.0);
        }
        if !(0.0..=1.0).contains(&self.min_distance) {
            let name = "the minimum distance of a UMAP";
            return out_of_range(name, "between 0 and 1", self.min_distance);
        }
        if self.epochs == Some(0) {
            return Err(ParameterError::Epochs {
                name: "the number of epochs of a UMAP",
            }
            .into());
        }
        Ok(())
    }
}
