//! A simulated embedding: overlapping Gaussian groups in 32 dimensions.

use celldec::random::{Purpose, stream};
use ndarray::Array2;
use rand_distr::{Distribution, StandardNormal};

/// Dimensions of the embedding.
pub const DIMENSIONS: usize = 32;

/// Groups of the embedding.
pub const GROUPS: usize = 20;

/// The cells' positions `[count, DIMENSIONS]`.
pub fn simulated_embedding(count: usize) -> Array2<f32> {
    let mut random = stream(1, Purpose::Simulation, 0, 0);
    let mut normal = |scale: f32| {
        let value: f32 = StandardNormal.sample(&mut random);
        scale * value
    };
    let centers = Array2::from_shape_fn((GROUPS, DIMENSIONS), |_| normal(1.5));
    Array2::from_shape_fn((count, DIMENSIONS), |(cell, dimension)| {
        centers[[cell % GROUPS, dimension]] + normal(1.0)
    })
}
