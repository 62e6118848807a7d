//! The clustering loss: how far soft assignments are from their target.

use burn::tensor::Tensor;

use super::composite::{Sum, Weighted, check_weight};
use super::term::Term;
use crate::description::Description;
use crate::error::ParameterError;
use crate::kernel::assignment::{self, SMALLEST};

/// The distance of a batch's soft assignments from their [target](super::Target).
///
/// A loss of every cell, of which that of a batch is the mean, can be shared by
/// [several devices](crate::train::Plan::trainer_on); one of the batch as a whole is computed by the first
/// of them.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a clustering loss",
    note = "a closure becomes one by `loss::clustering_from_fn(name, closure)`",
    note = "a target is set by `Plan::with_target`, a reconstruction loss by `Plan::with_reconstruction`"
)]
pub trait ClusteringLoss: Send + Sync {
    /// The loss `[1]` of a batch: q and p are `[cells in the batch, clusters]`.
    fn forward(&self, q: Tensor<2>, p: Tensor<2>) -> Tensor<1>;

    /// The loss of every cell `[cells in the batch]`, of which [`forward`](Self::forward) is the
    /// mean. `None`, the default, says that the loss is one of the batch as a whole; it is then not
    /// weighed by the weights of [cells](crate::preprocess::Cells::with_weights).
    fn forward_no_reduction(&self, q: Tensor<2>, p: Tensor<2>) -> Option<Tensor<1>> {
        let _ = (q, p);
        None
    }

    /// The named terms of the loss, by default [`forward`](Self::forward) alone; of a sum those of
    /// its parts. `weights` are those of the batch's cells `[cells in the batch]`, if they have any.
    fn terms(&self, q: Tensor<2>, p: Tensor<2>, weights: Option<&Tensor<1>>) -> Vec<Term> {
        let weighed = weights.and_then(|weights| {
            let losses = self.forward_no_reduction(q.clone(), p.clone())?;
            Some((losses * weights.clone()).mean())
        });
        let loss = weighed.unwrap_or_else(|| self.forward(q, p));
        vec![Term::new(self.description().name(), loss)]
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

    /// This loss times `weight`.
    fn weighted(self, weight: f64) -> Weighted<Self>
    where
        Self: Sized,
    {
        Weighted::new(self, weight)
    }

    /// The sum of this loss and another one.
    fn plus<L: ClusteringLoss>(self, other: L) -> Sum<Self, L>
    where
        Self: Sized,
    {
        Sum::new(self, other)
    }
}

/// Kullback–Leibler divergence from the target (Xie et al., 2016; DESC and scDCC alike):
/// `KL(p‖q) = Σ_j p_ij ln(p_ij / q_ij)`, averaged over the cells of the batch.
///
/// A term with p = 0 is 0 and q is kept above the smallest normal number, so the loss and its
/// gradient stay finite for one-hot assignments.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct KlDivergence {
    offset: f64,
}

impl KlDivergence {
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

impl Default for KlDivergence {
    fn default() -> Self {
        Self::new()
    }
}

impl ClusteringLoss for KlDivergence {
    fn forward(&self, q: Tensor<2>, p: Tensor<2>) -> Tensor<1> {
        assignment::divergence(&q, &p, self.offset)
            .unwrap_or_else(|| self.forward_no_reduction(q, p).mean())
    }

    fn forward_no_reduction(&self, q: Tensor<2>, p: Tensor<2>) -> Option<Tensor<1>> {
        Some(self.forward_no_reduction(q, p))
    }

    fn check(&self) -> Result<(), ParameterError> {
        check_weight("the offset of the clustering loss", self.offset)
    }

    fn description(&self) -> Description {
        Description::new("clustering")
            .with("distance", "kl_divergence")
            .with("offset", self.offset)
    }
}
