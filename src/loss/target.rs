//! The target of self-training: what soft assignments are drawn towards.

use burn::tensor::Tensor;

use crate::description::Description;
use crate::error::{ParameterError, Result};
use crate::graph::{EmbeddedCells, NeighborSearch};
use crate::kernel::assignment::SMALLEST;

/// From the soft assignment of all cells to the target that a
/// [clustering loss](super::ClusteringLoss) compares them with.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a target",
    note = "a closure becomes one by `loss::target_from_fn(name, closure)`",
    note = "a clustering loss is set by `Plan::with_clustering`"
)]
pub trait Target: Send + Sync {
    /// The target p `[cells, clusters]` from the soft assignment q `[cells, clusters]` of **all**
    /// cells, whose embedding and neighbours can be looked at. It is held fixed between updates and
    /// carries no gradient.
    ///
    /// # Errors
    /// What looking at the embedding may bring.
    fn target(&self, q: Tensor<2>, cells: &EmbeddedCells<'_>) -> Result<Tensor<2>>;

    /// What a reader of a result should know of this target on so many cells, whose neighbours are
    /// looked for in this way, for its [status](crate::model::Status::warnings); nothing, by default.
    fn warning(&self, cells: usize, search: &NeighborSearch) -> Option<String> {
        let _ = (cells, search);
        None
    }

    /// Refuses settings that cannot be, before any work; there are none by default.
    ///
    /// # Errors
    /// [`ParameterError`] for the first setting outside its range.
    fn check(&self) -> Result<(), ParameterError> {
        Ok(())
    }

    /// Its name and settings.
    fn description(&self) -> Description;
}

/// The soft assignment sharpened, with clusters balanced by their frequency (Xie et al., 2016; DESC
/// and scDCC alike):
///
/// ```text
/// p_ij = (q_ij² / f_j) / Σ_j' (q_ij'² / f_j'),   f_j = Σ_i q_ij over all cells.
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SharpenedTarget;

impl SharpenedTarget {
    /// The target.
    pub fn new() -> Self {
        Self
    }

    /// p `[cells, clusters]` from q `[cells, clusters]`.
    pub fn forward(&self, q: Tensor<2>) -> Tensor<2> {
        let frequency = q.clone().sum_dim(0).clamp_min(SMALLEST);
        let weight = q.clone() * (q / frequency);
        let total = weight.clone().sum_dim(1).clamp_min(SMALLEST);
        weight / total
    }
}

impl Target for SharpenedTarget {
    fn target(&self, q: Tensor<2>, _cells: &EmbeddedCells<'_>) -> Result<Tensor<2>> {
        Ok(self.forward(q))
    }

    fn description(&self) -> Description {
        Description::new("sharpened")
    }
}
