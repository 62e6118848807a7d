//! Principal components of an embedding.

use nalgebra::{DMatrix, SymmetricEigen};
use ndarray::{Array2, ArrayView2, Axis};

use super::Projection;
use crate::error::Result;
use crate::graph::points::check_embedding;

/// The two leading principal components of an embedding `[cells, dimensions]`.
///
/// Exact, from the covariance of the dimensions; a component's sign is such that its largest
/// loading is positive. The second coordinate of a one-dimensional embedding is 0. For the
/// components of scaled expression, with thousands of genes, use
/// [`PrincipalComponents`](crate::preprocess::PrincipalComponents).
///
/// # Errors
/// [`Error::EmptyInput`](crate::Error::EmptyInput) without cells or dimensions,
/// [`Error::NonFiniteValue`](crate::Error::NonFiniteValue) for a NaN or infinite value.
///
/// ```
/// use ndarray::array;
///
/// let embedding = array![[1.0, 2.0], [2.0, 4.0], [3.0, 6.0]];
/// let projection = celldec::view::projection::pca(embedding.view())?;
/// // All variance is along one direction.
/// assert!(projection.coordinates().column(1).iter().all(|y| y.abs() < 1e-5));
/// # Ok::<(), celldec::Error>(())
/// ```
pub fn pca(embedding: ArrayView2<'_, f32>) -> Result<Projection> {
    check_embedding(embedding)?;
    let mut centred = embedding.mapv(f64::from);
    let mean = centred.sum_axis(Axis(0)) / embedding.nrows() as f64;
    centred -= &mean;
    let covariance = centred.t().dot(&centred);
    let dimensions = embedding.ncols();
    let eigen = SymmetricEigen::new(DMatrix::from_fn(dimensions, dimensions, |i, j| {
        covariance[[i, j]]
    }));
    let mut order: Vec<usize> = (0..dimensions).collect();
    order.sort_by(|&a, &b| eigen.eigenvalues[b].total_cmp(&eigen.eigenvalues[a]));

    let mut loadings = Array2::<f64>::zeros((dimensions, 2));
    for (mut loading, &component) in loadings.columns_mut().into_iter().zip(&order) {
        let vector = eigen.eigenvectors.column(component);
        let largest = vector.iter().fold(
            0.0f64,
            |best, &x| if x.abs() > best.abs() { x } else { best },
        );
        for (value, &x) in loading.iter_mut().zip(vector.iter()) {
            *value = x * largest.signum();
        }
    }
    Projection::new("PCA", centred.dot(&loadings).mapv(|x| x as f32))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Error;
    use ndarray::array;

    #[test]
    fn finds_the_directions_of_largest_variance() {
        // Variance 4 along (3, 4)/5, 1 along (−4, 3)/5, 0 along the third axis, around (7, 8, 9).
        let mut points = Array2::zeros((4, 3));
        for (mut row, (a, b)) in
            points
                .rows_mut()
                .into_iter()
                .zip([(2.0, 1.0), (-2.0, 1.0), (2.0, -1.0), (-2.0, -1.0)])
        {
            row.assign(&array![
                7.0 + 0.6 * a - 0.8 * b,
                8.0 + 0.8 * a + 0.6 * b,
                9.0
            ]);
        }
        let found = pca(points.view()).unwrap();
        // The sign: the largest loadings are 0.8 and −(−0.8).
        let expected = array![[2.0, -1.0], [-2.0, -1.0], [2.0, 1.0], [-2.0, 1.0]];
        for (found, expected) in found.coordinates().iter().zip(&expected) {
            assert!((found - expected).abs() < 1e-5, "{found} {expected}");
        }
    }

    #[test]
    fn one_dimension_and_one_cell_are_enough() {
        let line = pca(array![[1.0], [3.0]].view()).unwrap();
        assert_eq!(line.coordinates(), array![[-1.0, 0.0], [1.0, 0.0]]);
        let point = pca(array![[1.0, 3.0]].view()).unwrap();
        assert_eq!(point.coordinates(), array![[0.0, 0.0]]);
        assert!(matches!(
            pca(array![[1.0, f32::INFINITY]].view()),
            Err(Error::NonFiniteValue { .. })
        ));
    }
}
