//! Points ready for distance computations, and the distances themselves.

use ndarray::{Array2, ArrayView2};

use crate::error::{Error, Result};

/// Rows handled as one unit of work. Fixed, so that partial sums never depend on the number of
/// threads.
pub(crate) const BLOCK: usize = 2048;

/// Points moved to their mean and scaled by a power of two so that no coordinate exceeds 1.
///
/// Distances computed as ‖x‖² − 2x·y + ‖y‖² lose the digits that x and y share; without a common
/// offset they share few. The scale keeps squares of any finite input within the range of f32.
pub(crate) struct CentredPoints {
    /// The moved and scaled points `[cells, dimensions]`, in standard layout.
    pub points: Array2<f32>,
    /// The mean of the original points.
    pub centre: Vec<f64>,
    /// What the centred points were multiplied by.
    pub scale: f64,
}

impl CentredPoints {
    /// From finite points.
    pub fn new(embedding: ArrayView2<f32>) -> Self {
        let (cells, dimensions) = embedding.dim();
        let mut centre = vec![0.0f64; dimensions];
        for row in embedding.rows() {
            for (sum, &value) in centre.iter_mut().zip(row) {
                *sum += f64::from(value);
            }
        }
        for sum in &mut centre {
            *sum /= cells as f64;
        }
        let largest = embedding
            .indexed_iter()
            .map(|((_, dimension), &value)| (f64::from(value) - centre[dimension]).abs())
            .fold(0.0f64, f64::max);
        let mut centred = Self {
            points: Array2::zeros((0, dimensions)),
            centre,
            scale: power_of_two_below_inverse(largest),
        };
        centred.points = centred.transform(embedding);
        centred
    }

    /// Other points of the original space, moved and scaled like these.
    pub fn transform(&self, others: ArrayView2<f32>) -> Array2<f32> {
        Array2::from_shape_fn(others.dim(), |(row, dimension)| {
            ((f64::from(others[[row, dimension]]) - self.centre[dimension]) * self.scale) as f32
        })
    }

    /// A coordinate of the centred space in the original space.
    pub fn restore(&self, dimension: usize, value: f32) -> f32 {
        (f64::from(value) / self.scale + self.centre[dimension]) as f32
    }
}

/// The power of two that brings `largest` into [0.5, 1), or 1 for zero.
pub(crate) fn power_of_two_below_inverse(largest: f64) -> f64 {
    if largest == 0.0 {
        return 1.0;
    }
    let (_, exponent) = libm::frexp(largest);
    libm::ldexp(1.0, -exponent)
}

/// Refuses an embedding without cells or dimensions, and one with a NaN or infinite value.
pub(crate) fn check_embedding(embedding: ArrayView2<f32>) -> Result<()> {
    if embedding.is_empty() {
        return Err(Error::EmptyInput {
            what: "the embedding".into(),
        });
    }
    match embedding
        .indexed_iter()
        .find(|(_, value)| !value.is_finite())
    {
        Some(((row, column), _)) => Err(Error::NonFiniteValue {
            what: "the embedding".into(),
            row,
            column,
        }),
        None => Ok(()),
    }
}

/// The mean of every cluster `[clusters, dimensions]`, up to the largest label.
pub(crate) fn means(embedding: ArrayView2<f32>, labels: &[usize]) -> Array2<f32> {
    let clusters = labels.iter().max().map_or(0, |&largest| largest + 1);
    let mut sums = Array2::<f64>::zeros((clusters, embedding.ncols()));
    let mut counts = vec![0usize; clusters];
    for (cell, &label) in embedding.rows().into_iter().zip(labels) {
        counts[label] += 1;
        for (sum, &value) in sums.row_mut(label).iter_mut().zip(cell) {
            *sum += f64::from(value);
        }
    }
    Array2::from_shape_fn(sums.dim(), |(cluster, dimension)| {
        (sums[[cluster, dimension]] / counts[cluster] as f64) as f32
    })
}

/// ‖a − b‖² in f32, exactly 0 for equal points.
pub(crate) fn squared_distance(a: &[f32], b: &[f32]) -> f32 {
    const LANES: usize = 8;
    let (a_lanes, a_rest) = a.as_chunks::<LANES>();
    let (b_lanes, b_rest) = b.as_chunks::<LANES>();
    let mut sums = [0.0f32; LANES];
    for (a, b) in a_lanes.iter().zip(b_lanes) {
        for lane in 0..LANES {
            let difference = a[lane] - b[lane];
            sums[lane] += difference * difference;
        }
    }
    let rest: f32 = a_rest
        .iter()
        .zip(b_rest)
        .map(|(a, b)| (a - b).powi(2))
        .sum();
    sums.iter().sum::<f32>() + rest
}

/// ‖a − b‖² in f64, summed in the order of the coordinates.
pub(crate) fn squared_distance_f64(a: &[f32], b: &[f32]) -> f64 {
    a.iter()
        .zip(b)
        .map(|(&a, &b)| (f64::from(a) - f64::from(b)).powi(2))
        .sum()
}

/// ‖x‖² of every row, in f64.
pub(crate) fn squared_norms(points: &Array2<f32>) -> Vec<f64> {
    points
        .rows()
        .into_iter()
        .map(|row| row.iter().map(|&value| f64::from(value).powi(2)).sum())
        .collect()
}

/// Row `index` of a matrix in standard layout.
pub(crate) fn row(points: &Array2<f32>, index: usize) -> &[f32] {
    let dimensions = points.ncols();
    // A matrix in standard layout is one slice; the empty slice only satisfies the compiler.
    let all = points.as_slice().unwrap_or_default();
    &all[index * dimensions..(index + 1) * dimensions]
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    #[test]
    fn centring_is_undone_by_restore() {
        let points = array![[1.0e6f32, -3.0], [1.0e6 + 2.0, 5.0], [1.0e6 + 4.0, 1.0]];
        let centred = CentredPoints::new(points.view());
        for ((cell, dimension), &value) in points.indexed_iter() {
            assert_eq!(
                centred.restore(dimension, centred.points[[cell, dimension]]),
                value
            );
        }
        assert!(centred.points.iter().all(|value| value.abs() < 1.0));
    }

    #[test]
    fn extreme_coordinates_stay_in_range() {
        for size in [1.0e-30f32, 1.0, 1.0e38] {
            let points = array![[size, -size], [-size, size]];
            let centred = CentredPoints::new(points.view());
            let distance = squared_distance(row(&centred.points, 0), row(&centred.points, 1));
            assert!((1.0..8.0).contains(&distance), "{size}: {distance}");
        }
    }

    #[test]
    fn squared_distances_agree() {
        let a: Vec<f32> = (0..19).map(|i| i as f32 * 0.37).collect();
        let b: Vec<f32> = (0..19).map(|i| 3.0 - i as f32 * 0.11).collect();
        let exact = squared_distance_f64(&a, &b);
        assert!((f64::from(squared_distance(&a, &b)) / exact - 1.0).abs() < 1e-6);
        assert_eq!(squared_distance(&a, &a), 0.0);
    }
}
