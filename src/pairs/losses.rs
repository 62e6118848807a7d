//! Losses of pairwise constraints (scDCC).

use burn::tensor::Tensor;

use crate::description::Description;
use crate::error::ParameterError;
use crate::loss::Weighted;

/// The loss of pairs of cells by their soft assignments; of a batch of pairs the mean, of which
/// [several devices](crate::train::Plan::trainer_on) each compute a share.
pub trait ConstraintLoss: Send + Sync {
    /// The loss of every pair `[pairs]`; `first` and `second` are the soft assignments
    /// `[pairs, clusters]` of the two sides.
    fn forward_no_reduction(&self, first: Tensor<2>, second: Tensor<2>) -> Tensor<1>;

    /// The mean over the pairs `[1]`.
    fn forward(&self, first: Tensor<2>, second: Tensor<2>) -> Tensor<1> {
        self.forward_no_reduction(first, second).mean()
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
}

/// Probabilities below this count as this in the logarithm: the loss stays below 17.
const FLOOR: f64 = 1e-7;

/// Two cells belong to one cluster: `−ln Σ_j q_1j q_2j`.
///
/// The probability is kept above 1e-7, so two one-hot assignments that disagree have a finite
/// loss.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MustLinkLoss;

impl MustLinkLoss {
    /// The loss.
    pub fn new() -> Self {
        Self
    }
}

impl ConstraintLoss for MustLinkLoss {
    fn forward_no_reduction(&self, first: Tensor<2>, second: Tensor<2>) -> Tensor<1> {
        let together: Tensor<1> = (first * second).sum_dim(1).squeeze_dim(1);
        (together + FLOOR).log().neg()
    }

    fn description(&self) -> Description {
        Description::new("must-link")
    }
}

/// Two cells belong to different clusters: `−ln(1 − Σ_j q_1j q_2j)`.
///
/// The probability of being apart is summed as `Σ_j q_1j (1 − q_2j)`, without cancellation, and
/// kept above 1e-7; the published form is unbounded when both cells are certain.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CannotLinkLoss;

impl CannotLinkLoss {
    /// The loss.
    pub fn new() -> Self {
        Self
    }
}

impl ConstraintLoss for CannotLinkLoss {
    fn forward_no_reduction(&self, first: Tensor<2>, second: Tensor<2>) -> Tensor<1> {
        let apart: Tensor<1> = (first * (second.neg() + 1.0)).sum_dim(1).squeeze_dim(1);
        (apart.clamp_min(0.0) + FLOOR).log().neg()
    }

    fn description(&self) -> Description {
        Description::new("cannot-link")
    }
}

impl<L: ConstraintLoss> ConstraintLoss for Weighted<L> {
    fn forward_no_reduction(&self, first: Tensor<2>, second: Tensor<2>) -> Tensor<1> {
        self.loss().forward_no_reduction(first, second) * self.weight()
    }

    fn forward(&self, first: Tensor<2>, second: Tensor<2>) -> Tensor<1> {
        self.loss().forward(first, second) * self.weight()
    }

    fn check(&self) -> Result<(), ParameterError> {
        self.check_weight()?;
        self.loss().check()
    }

    fn description(&self) -> Description {
        self.describe(self.loss().description())
    }
}
