//! Groups of cells for tests.

use ndarray::Array2;
use rand::RngExt;

use crate::random::{Purpose, stream};

/// `groups` blobs of `size` cells in 4 dimensions, `distance` apart.
pub(super) fn blobs(groups: usize, size: usize, distance: f32) -> (Array2<f32>, Vec<usize>) {
    let mut random = stream(5, Purpose::Simulation, 0, 0);
    let points = Array2::from_shape_fn((groups * size, 4), |(cell, dimension)| {
        let group = cell / size;
        let centre = if dimension == group % 4 {
            distance * (1 + group / 4) as f32
        } else {
            0.0
        };
        centre + random.random::<f32>()
    });
    let truth = (0..groups * size).map(|cell| cell / size).collect();
    (points, truth)
}
