//! A clustering loss whose target agrees with neighbouring cells.

use burn::tensor::{Tensor, TensorData};

use super::clustering::ClusteringLoss;
use crate::error::Result;
use crate::graph::{EmbeddedCells, NeighborAverage};
use crate::model::tensor_to_array;

/// A [`ClusteringLoss`] whose target comes from soft assignments averaged over the
/// nearest-neighbour graph of the embedding:
///
/// ```text
/// q̄_i = (q_i + Σ_{j ∈ N(i)} q_j) / (1 + |N(i)|),   p = target(q̄)
/// ```
///
/// Self-training then does not sharpen what a single cell happens to look like but what its
/// neighbourhood says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GraphSmoothed<L> {
    loss: L,
    neighbors: usize,
    average: NeighborAverage,
    max_cells: usize,
}

impl<L> GraphSmoothed<L> {
    /// `loss` with a target smoothed over the given number of nearest neighbours, the cell itself
    /// excluded; 0 leaves the target as it is.
    pub fn new(loss: L, neighbors: usize) -> Self {
        Self {
            loss,
            neighbors,
            average: NeighborAverage::Directed,
            max_cells: 200_000,
        }
    }

    /// Over whom soft assignments are averaged (default: the cell and its neighbours).
    pub fn with_average(mut self, average: NeighborAverage) -> Self {
        self.average = average;
        self
    }

    /// The number of cells above which the target is not smoothed, because neighbours would take
    /// too long to find (default 200 000).
    pub fn with_max_cells(mut self, max_cells: usize) -> Self {
        self.max_cells = max_cells;
        self
    }
}

impl<L: ClusteringLoss> ClusteringLoss for GraphSmoothed<L> {
    fn target(&self, q: Tensor<2>) -> Tensor<2> {
        self.loss.target(q)
    }

    fn target_among(&self, q: Tensor<2>, cells: &EmbeddedCells<'_>) -> Result<Tensor<2>> {
        let count = cells.embedding().nrows();
        if self.neighbors == 0 || count < 2 {
            return self.loss.target_among(q, cells);
        }
        if count > self.max_cells {
            tracing::info!(
                cells = count,
                max_cells = self.max_cells,
                "target not smoothed: too many cells to look for neighbours"
            );
            return self.loss.target_among(q, cells);
        }
        let device = q.device();
        let shape = q.dims();
        let q = tensor_to_array(q);
        let neighbors = cells.neighbors(self.neighbors)?;
        let smoothed = neighbors.average_over(q.view(), self.average);
        let smoothed = TensorData::new(smoothed.into_raw_vec_and_offset().0, shape);
        self.loss
            .target_among(Tensor::from_data(smoothed, &device), cells)
    }

    fn forward(&self, q: Tensor<2>, p: Tensor<2>) -> Tensor<1> {
        self.loss.forward(q, p)
    }

    fn name(&self) -> String {
        self.loss.name()
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;
    use crate::graph::NeighborMemory;
    use crate::loss::KlSelfTraining;

    fn values(tensor: Tensor<2>) -> Vec<f32> {
        tensor
            .into_data_as::<f32>()
            .try_to_vec::<f32>()
            .expect("floats")
    }

    #[test]
    fn the_target_is_that_of_averages_over_neighbours() {
        let device = Device::default();
        // Two groups of two; the second cell disagrees with its neighbour.
        let embedding = ndarray::array![[0.0], [0.1], [9.0], [9.1]];
        let q =
            || Tensor::<2>::from_floats([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8], [0.1, 0.9]], &device);
        let averages = Tensor::<2>::from_floats(
            [[0.65, 0.35], [0.65, 0.35], [0.15, 0.85], [0.15, 0.85]],
            &device,
        );
        let memory = NeighborMemory::new(1);
        let cells = EmbeddedCells::new(embedding.view(), &memory);
        let plain = KlSelfTraining::new();
        let smoothed = GraphSmoothed::new(plain, 1);
        let found = values(smoothed.target_among(q(), &cells).expect("a target"));
        for (found, expected) in found.iter().zip(values(plain.target(averages))) {
            assert!((found - expected).abs() < 1e-6, "{found} {expected}");
        }
        let unsmoothed = values(plain.target(q()));
        for loss in [GraphSmoothed::new(plain, 0), smoothed.with_max_cells(3)] {
            assert_eq!(
                values(loss.target_among(q(), &cells).expect("a target")),
                unsmoothed
            );
        }
    }
}
