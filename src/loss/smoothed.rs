//! A target that agrees with neighbouring cells.

use burn::tensor::Tensor;

use super::target::Target;
use crate::description::Description;
use crate::error::{ParameterError, Result};
use crate::graph::{
    EmbeddedCells, NeighborAverage, NeighborSearch, fewer_neighbors, neighbors_among,
};
use crate::tensors::{array_to_tensor, read_matrix};

/// A [`Target`] made of soft assignments averaged over the nearest-neighbour graph of the embedding:
///
/// ```text
/// q̄_i = (q_i + Σ_{j ∈ N(i)} q_j) / (1 + |N(i)|),   p = target(q̄)
/// ```
///
/// Self-training then does not sharpen what a single cell happens to look like but what its
/// neighbourhood says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SmoothedTarget<T> {
    target: T,
    neighbors: usize,
    average: NeighborAverage,
}

impl<T> SmoothedTarget<T> {
    /// `target` smoothed over the given number of nearest neighbours, the cell itself excluded; 0
    /// leaves the target as it is. Where there are not that many other cells, a third of the cells
    /// are taken, and a [warning](Target::warning) says so.
    pub fn new(target: T, neighbors: usize) -> Self {
        Self {
            target,
            neighbors,
            average: NeighborAverage::Directed,
        }
    }

    /// Over whom soft assignments are averaged (default: the cell and its neighbours).
    pub fn with_average(mut self, average: NeighborAverage) -> Self {
        self.average = average;
        self
    }
}

impl<T: Target> Target for SmoothedTarget<T> {
    fn target(&self, q: Tensor<2>, cells: &EmbeddedCells<'_>) -> Result<Tensor<2>> {
        let count = cells.embedding().nrows();
        if self.neighbors == 0 || count < 2 {
            return self.target.target(q, cells);
        }
        let device = q.device();
        let q = read_matrix(q)?;
        let neighbors = cells.neighbors(neighbors_among(count, self.neighbors))?;
        let smoothed = neighbors.average_over(q.view(), self.average);
        self.target
            .target(array_to_tensor(smoothed.view(), &device), cells)
    }

    fn warning(&self, cells: usize, search: &NeighborSearch) -> Option<String> {
        let neighbors = neighbors_among(cells, self.neighbors);
        if self.neighbors > 0 && !search.finds_exactly(cells, neighbors) {
            return Some(format!(
                "of the neighbours over which the target was averaged about {:.0} % are the nearest: among \
                 {cells} cells they were found approximately (`graph::NeighborSearch`)",
                100.0 * search.recall
            ));
        }
        if self.neighbors > 0
            && let Some(fewer) = fewer_neighbors("the average of the target", cells, self.neighbors)
        {
            return Some(fewer);
        }
        self.target.warning(cells, search)
    }

    fn check(&self) -> Result<(), ParameterError> {
        self.target.check()
    }

    fn description(&self) -> Description {
        Description::new("smoothed")
            .with("of", self.target.description())
            .with("neighbors", self.neighbors)
            .with("average", self.average)
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;
    use crate::graph::NeighborMemory;
    use crate::loss::SharpenedTarget;

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
        let plain = SharpenedTarget::new();
        let smoothed = SmoothedTarget::new(plain, 1);
        let found = values(smoothed.target(q(), &cells).expect("a target"));
        for (found, expected) in found.iter().zip(values(plain.forward(averages))) {
            assert!((found - expected).abs() < 1e-6, "{found} {expected}");
        }
        assert_eq!(smoothed.warning(4, &NeighborSearch::default()), None);
        let wide = SmoothedTarget::new(plain, 15);
        let warning = wide
            .warning(4, &NeighborSearch::default())
            .expect("a warning");
        assert!(
            warning.contains("1 neighbours of each cell instead of 15"),
            "{warning}"
        );
        assert_eq!(
            values(wide.target(q(), &cells).expect("a target")),
            values(smoothed.target(q(), &cells).expect("a target"))
        );
        let unsmoothed = values(plain.forward(q()));
        let target = SmoothedTarget::new(plain, 0);
        assert_eq!(
            values(target.target(q(), &cells).expect("a target")),
            unsmoothed
        );
    }

    #[test]
    fn approximate_neighbours_are_told() {
        let smoothed = SmoothedTarget::new(SharpenedTarget::new(), 15);
        let search = NeighborSearch::default();
        assert_eq!(smoothed.warning(50_000, &search), None);
        let warning = smoothed.warning(1_000_000, &search).expect("a warning");
        assert!(
            warning.contains("1000000 cells") && warning.contains("98 %"),
            "{warning}"
        );
        assert_eq!(
            SmoothedTarget::new(SharpenedTarget::new(), 0).warning(1_000_000, &search),
            None
        );
    }
}
