//! t-distributed stochastic neighbour embedding.

use bhtsne::{Neighbor, tSNE};
use ndarray::{Array2, ArrayView2};
use serde::{Deserialize, Serialize};

use super::{Projection, check_cells, is_one_point, pca};
use crate::error::{Error, ParameterError, Result};
use crate::graph::NeighborSearch;

/// Neighbours of each cell for each unit of perplexity, as in van der Maaten's implementation.
const NEIGHBORS: usize = 3;
/// Up to this number of cells repulsion is that of Barnes and Hut: the grid of the interpolation
/// grows with the layout, which spreads far when cells are few.
const SMALL: usize = 5000;
/// Which groups of cells repel as one (Barnes and Hut), as in van der Maaten's implementation.
const THETA: f32 = 0.5;
/// Standard deviation of the first coordinate at the start (Kobak and Berens, *Nat. Commun.* 2019).
const INITIAL_SPREAD: f64 = 1e-4;

/// The settings of t-SNE (van der Maaten and Hinton, *JMLR* 2008).
///
/// Neighbours are exact; repulsion is that of Barnes and Hut for up to 5000 cells (van der Maaten,
/// *JMLR* 2014), interpolated for more (FIt-SNE, Linderman et al., *Nat. Methods* 2019), both by
/// the crate `bhtsne`. The start is the embedding's two principal components (Kobak and Berens,
/// *Nat. Commun.* 2019), so that there is nothing random and groups lie where they lie in the
/// embedding. Iterations run on one thread, because the library's parallel sums would make the
/// result depend on the number of threads.
///
/// ```
/// use celldec::view::projection::TsneConfig;
/// use ndarray::Array2;
///
/// // Two groups, far from each other.
/// let embedding = Array2::from_shape_fn((60, 3), |(cell, dimension)| {
///     let group = if cell < 30 { 0.0 } else { 20.0 };
///     group + ((cell * 7 + dimension * 3) % 10) as f32 / 10.0
/// });
/// let projection = TsneConfig::new().with_perplexity(8.0).project(embedding.view())?;
/// assert_eq!(projection.coordinates().dim(), (60, 2));
/// # Ok::<(), celldec::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TsneConfig {
    /// Effective number of neighbours of a cell.
    pub perplexity: f64,
    /// Iterations of gradient descent.
    pub epochs: usize,
}

impl Default for TsneConfig {
    fn default() -> Self {
        Self {
            perplexity: 30.0,
            epochs: 1000,
        }
    }
}

impl TsneConfig {
    /// Perplexity 30 and 1000 epochs.
    pub fn new() -> Self {
        Self::default()
    }

    /// The effective number of neighbours of a cell (default 30; lowered to a third of the number
    /// of other cells where there are too few).
    pub fn with_perplexity(mut self, perplexity: f64) -> Self {
        self.perplexity = perplexity;
        self
    }

    /// Iterations of gradient descent (default 1000), the first 250 of them with early
    /// exaggeration.
    pub fn with_epochs(mut self, epochs: usize) -> Self {
        self.epochs = epochs;
        self
    }

    /// Projects an embedding `[cells, dimensions]`.
    ///
    /// # Errors
    /// [`ParameterError::OutOfRange`] for fewer than four cells or a perplexity that is not finite
    /// or below 1, [`ParameterError::Epochs`] without epochs, [`Error::EmptyInput`] without
    /// dimensions, [`Error::NonFiniteValue`] for a NaN or infinite value,
    /// [`Error::Projection`] when the optimisation fails.
    pub fn project(&self, embedding: ArrayView2<'_, f32>) -> Result<Projection> {
        self.check()?;
        let cells = embedding.nrows();
        check_cells("the number of cells of a t-SNE", cells)?;
        let perplexity = self.perplexity.min((cells - 1) as f64 / NEIGHBORS as f64);
        let count = NEIGHBORS * perplexity as usize;
        let neighbors = NeighborSearch::default().find(embedding, count)?;
        let neighbors: Vec<Vec<Neighbor<f32>>> = neighbors
            .indices
            .rows()
            .into_iter()
            .zip(neighbors.distances.rows())
            .map(|(indices, distances)| {
                let pairs = indices.iter().zip(&distances);
                pairs
                    .map(|(&index, &distance)| Neighbor {
                        index: index as usize,
                        distance,
                    })
                    .collect()
            })
            .collect();
        if is_one_point(embedding) {
            return Projection::new("t-SNE", Array2::zeros((cells, 2)));
        }
        let start = initial(embedding)?;
        let coordinates = one_thread(|| {
            // Distances come with the neighbours; the library asks for one sample per cell only.
            let samples = vec![(); cells];
            let mut tsne: tSNE<'_, f32, ()> = tSNE::new(&samples);
            tsne.perplexity(perplexity as f32)
                .epochs(self.epochs)
                .learning_rate(learning_rate(cells))
                .initial_embedding(start);
            if cells <= SMALL {
                tsne.barnes_hut_with_neighbors(THETA, &neighbors);
            } else {
                tsne.fit_sne_with_neighbors(&neighbors);
            }
            tsne.embedding()
        })?;
        let failed = |_| Error::Projection {
            method: "t-SNE",
            reason: format!("it did not return coordinates for {cells} cells"),
        };
        let coordinates = Array2::from_shape_vec((cells, 2), coordinates).map_err(failed)?;
        Projection::new("t-SNE", coordinates)
    }

    fn check(&self) -> Result<()> {
        if !(self.perplexity >= 1.0 && self.perplexity.is_finite()) {
            return Err(ParameterError::OutOfRange {
                name: "the perplexity of a t-SNE",
                requirement: "finite and at least 1",
                value: self.perplexity,
            }
            .into());
        }
        if self.epochs == 0 {
            return Err(ParameterError::Epochs {
                name: "the number of epochs of a t-SNE",
            }
            .into());
        }
        Ok(())
    }
}

/// The step of gradient descent: the usual one, of scikit-learn and openTSNE, from 400 cells on;
/// smaller for fewer, which it would throw far apart.
fn learning_rate(cells: usize) -> f32 {
    let cells = cells as f32;
    (cells / 48.0).max((cells / 8.0).min(50.0))
}

/// The principal components, scaled to a small spread.
fn initial(embedding: ArrayView2<'_, f32>) -> Result<Vec<f32>> {
    let components = pca(embedding)?;
    let components = components.coordinates();
    let sum: f64 = components
        .column(0)
        .iter()
        .map(|&x| f64::from(x).powi(2))
        .sum();
    let spread = (sum / components.nrows() as f64).sqrt();
    let scale = if spread > 0.0 {
        INITIAL_SPREAD / spread
    } else {
        1.0
    };
    Ok(components
        .iter()
        .map(|&x| (f64::from(x) * scale) as f32)
        .collect())
}

/// Runs on a thread pool of one thread.
fn one_thread<T: Send>(work: impl FnOnce() -> T + Send) -> Result<T> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build();
    let pool = pool.map_err(|error| Error::Projection {
        method: "t-SNE",
        reason: format!("a thread could not be started: {error}"),
    })?;
    Ok(pool.install(work))
}
