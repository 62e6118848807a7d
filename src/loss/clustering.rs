//! The clustering loss: a target from soft assignments, and the distance to it.

use burn::tensor::Tensor;

use super::combine::{Sum, Weighted};
use crate::error::Result;
use crate::graph::EmbeddedCells;

/// From the soft assignment of all cells to a target, and from a batch to its distance from the
/// target.
pub trait ClusteringLoss: Send + Sync {
    /// The target p `[cells, clusters]` from the soft assignment q `[cells, clusters]` of **all**
    /// cells. It is held fixed between updates and carries no gradient.
    fn target(&self, q: Tensor<2>) -> Tensor<2>;

    /// The target for cells whose embedding matters as well: the one that trainers call.
    /// [`target`](Self::target) by default.
    ///
    /// # Errors
    /// What looking at the embedding may bring.
    fn target_among(&self, q: Tensor<2>, cells: &EmbeddedCells<'_>) -> Result<Tensor<2>> {
        let _ = cells;
        Ok(self.target(q))
    }

    /// The loss `[1]` of a batch: q and p are `[cells in the batch, clusters]`.
    fn forward(&self, q: Tensor<2>, p: Tensor<2>) -> Tensor<1>;

    /// What the loss is called in histories and messages.
    fn name(&self) -> String;

    /// This loss times `weight`.
    fn weighted(self, weight: f64) -> Weighted<Self>
    where
        Self: Sized,
    {
        Weighted::new(self, weight)
    }

    /// The sum of this loss and another one. Both see the target of this one.
    fn plus<L: ClusteringLoss>(self, other: L) -> Sum<Self, L>
    where
        Self: Sized,
    {
        Sum::new(self, other)
    }
}

/// Self-training by Kullback–Leibler divergence (Xie et al., 2016; DESC and scDCC alike).
///
/// The target sharpens the soft assignment and balances clusters by their frequency,
///
/// ```text
/// p_ij = (q_ij² / f_j) / Σ_j' (q_ij'² / f_j'),   f_j = Σ_i q_ij over all cells,
/// ```
///
/// and the loss is `KL(p‖q) = Σ_j p_ij ln(p_ij / q_ij)`, averaged over the cells of the batch.
/// A term with p = 0 is 0 and q is kept above the smallest normal number, so the loss and its
/// gradient stay finite for one-hot assignments.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct KlSelfTraining {
    offset: f64,
}

impl KlSelfTraining {
    /// The exact divergence.
    pub fn new() -> Self {
        Self { offset: 0.0 }
    }

    /// `ln(p / (q + offset))`, as scDCC computes it with an offset of 1e-6.
    pub fn with_offset(mut self, offset: f64) -> Self {
        self.offset = offset;
        self
    }

    /// The divergence of every cell `[cells]`.
    pub fn forward_no_reduction(&self, q: Tensor<2>, p: Tensor<2>) -> Tensor<1> {
        let log_p = p.clone().clamp_min(SMALLEST).log();
        let log_q = (q + self.offset).clamp_min(SMALLEST).log();
        (p * (log_p - log_q)).sum_dim(1).squeeze_dim(1)
    }
}

/// The smallest normal f32: below it a probability counts as zero.
const SMALLEST: f64 = f32::MIN_POSITIVE as f64;

impl Default for KlSelfTraining {
    fn default() -> Self {
        Self::new()
    }
}

impl ClusteringLoss for KlSelfTraining {
    fn target(&self, q: Tensor<2>) -> Tensor<2> {
        let frequency = q.clone().sum_dim(0).clamp_min(SMALLEST);
        let weight = q.clone() * (q / frequency);
        let total = weight.clone().sum_dim(1).clamp_min(SMALLEST);
        weight / total
    }

    fn forward(&self, q: Tensor<2>, p: Tensor<2>) -> Tensor<1> {
        self.forward_no_reduction(q, p).mean()
    }

    fn name(&self) -> String {
        "clustering".into()
    }
}
