//! Projections of an embedding to two dimensions.
//!
//! All of them are reproducible: the same embedding, settings and seed give the same bits on one
//! machine, with any number of threads.

mod pca;
#[cfg(feature = "tsne")]
mod tsne;
#[cfg(feature = "umap")]
mod umap;

use ndarray::{Array2, ArrayView2};

use crate::error::{Error, Result};
use crate::graph::points::check_embedding;

pub use pca::pca;
#[cfg(feature = "tsne")]
pub use tsne::TsneConfig;
#[cfg(feature = "umap")]
pub use umap::UmapConfig;

/// Cells in two dimensions.
#[derive(Debug, Clone, PartialEq)]
pub struct Projection {
    method: String,
    coordinates: Array2<f32>,
}

impl Projection {
    /// Coordinates `[cells, 2]` from elsewhere and the name of the method, which labels the axes.
    ///
    /// # Errors
    /// [`Error::LengthMismatch`] when there are not two columns, [`Error::EmptyInput`] without
    /// cells, [`Error::NonFiniteValue`] for a NaN or infinite coordinate.
    ///
    /// ```
    /// use celldec::view::projection::Projection;
    /// use ndarray::array;
    ///
    /// let projection = Projection::new("UMAP", array![[0.0, 1.0], [2.0, -1.0]])?;
    /// assert_eq!(projection.cells(), 2);
    /// # Ok::<(), celldec::Error>(())
    /// ```
    pub fn new(method: impl Into<String>, coordinates: Array2<f32>) -> Result<Self> {
        if coordinates.ncols() != 2 {
            return Err(Error::LengthMismatch {
                what: "the list of coordinates of each cell in a projection".into(),
                expected: 2,
                found: coordinates.ncols(),
            });
        }
        check_embedding(coordinates.view())?;
        Ok(Self {
            method: method.into(),
            coordinates,
        })
    }

    /// Name of the method, for example "UMAP".
    pub fn method(&self) -> &str {
        &self.method
    }

    /// Coordinates `[cells, 2]`.
    pub fn coordinates(&self) -> ArrayView2<'_, f32> {
        self.coordinates.view()
    }

    /// Number of cells.
    pub fn cells(&self) -> usize {
        self.coordinates.nrows()
    }
}

/// Whether all cells lie at one point, so that there is nothing to lay out.
#[cfg(any(feature = "tsne", feature = "umap"))]
fn is_one_point(embedding: ArrayView2<'_, f32>) -> bool {
    let mut rows = embedding.rows().into_iter();
    let first = rows.next();
    rows.all(|row| Some(row) == first)
}

/// Refuses fewer cells than a method needs.
#[cfg(any(feature = "tsne", feature = "umap"))]
fn check_cells(name: &'static str, cells: usize) -> Result<()> {
    const FEWEST: usize = 4;
    if cells >= FEWEST {
        Ok(())
    } else {
        Err(crate::error::ParameterError::OutOfRange {
            name,
            requirement: "at least 4 (use `projection::pca` for fewer)",
            value: cells as f64,
        }
        .into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn coordinates_are_checked() {
        let three = Projection::new("x", array![[1.0, 2.0, 3.0]]);
        assert!(matches!(three, Err(Error::LengthMismatch { found: 3, .. })));
        let nan = Projection::new("x", array![[1.0, 2.0], [0.0, f32::NAN]]);
        assert!(matches!(
            nan,
            Err(Error::NonFiniteValue {
                row: 1,
                column: 1,
                ..
            })
        ));
        let empty = Projection::new("x", Array2::zeros((0, 2)));
        assert!(matches!(empty, Err(Error::EmptyInput { .. })));
    }
}
