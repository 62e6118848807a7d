//! Reconstruction losses: mean squared error, negative binomial, zero-inflated negative binomial.

use burn::tensor::Tensor;

use super::composite::{Sum, Weighted};
use super::term::Term;
use crate::batches::{Batch, ReconstructionTarget};
use crate::description::Description;
use crate::error::ParameterError;
use crate::kernel::{likelihood, squared_error};
use crate::nn::{
    CountHead, CountOutput, HeadOutput, MseHead, NbHead, ReconstructionHead, ZinbHead,
};

/// How well the output of a decoder head explains a batch of cells.
///
/// An implementation needs [`forward_no_reduction`](Self::forward_no_reduction); override
/// [`forward`](Self::forward) where the mean has a faster way of its own.
///
/// The loss of a batch is a mean over its cells, and that of a cell does not depend on the others:
/// [several devices](crate::train::Plan::trainer_on) each compute a share of the batch, and what they
/// find is weighed by its number of cells. They do so at the same time, in threads of their own.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a reconstruction loss",
    note = "a closure becomes one by `loss::from_fn::<Head, _>(name, closure)`",
    note = "a clustering loss is set by `Plan::with_clustering`"
)]
pub trait ReconstructionLoss: Send + Sync {
    /// The decoder head whose output this loss can score.
    type Head: ReconstructionHead;

    /// The loss of every entry `[cells, genes]`.
    fn forward_no_reduction(&self, output: &HeadOutput<Self::Head>, batch: &Batch) -> Tensor<2>;

    /// The loss of the batch `[1]`: the mean over all entries.
    fn forward(&self, output: &HeadOutput<Self::Head>, batch: &Batch) -> Tensor<1> {
        self.forward_no_reduction(output, batch).mean()
    }

    /// Which tensors of a batch the loss reads, so that training makes no others: both the clean
    /// input and the counts, by default.
    ///
    /// In place of a tensor that is not named here a batch holds a single NaN.
    fn target(&self) -> ReconstructionTarget {
        ReconstructionTarget::Both
    }

    /// The named terms of the loss, by default the mean over all entries alone; of a sum those of
    /// its parts. Where cells have [weights](crate::preprocess::Cells::with_weights), each entry is
    /// weighed by its cell's.
    fn terms(&self, output: &HeadOutput<Self::Head>, batch: &Batch) -> Vec<Term> {
        let loss = match &batch.weights {
            None => self.forward(output, batch),
            Some(weights) => {
                let entries = self.forward_no_reduction(output, batch);
                (entries.mean_dim(1).squeeze_dim(1) * weights.clone()).mean()
            }
        };
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

    /// The sum of this loss and another one that scores the same head.
    fn plus<L: ReconstructionLoss<Head = Self::Head>>(self, other: L) -> Sum<Self, L>
    where
        Self: Sized,
    {
        Sum::new(self, other)
    }
}

/// Mean squared error between the network's input and its reconstruction (DESC).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MseLoss;

impl MseLoss {
    /// The loss.
    pub fn new() -> Self {
        Self
    }
}

impl ReconstructionLoss for MseLoss {
    type Head = MseHead;

    fn forward_no_reduction(&self, output: &HeadOutput<MseHead>, batch: &Batch) -> Tensor<2> {
        (output.reconstruction.clone() - batch.input.clone()).square()
    }

    fn forward(&self, output: &HeadOutput<MseHead>, batch: &Batch) -> Tensor<1> {
        squared_error::mean(output.reconstruction.clone(), batch.input.clone())
    }

    fn target(&self) -> ReconstructionTarget {
        ReconstructionTarget::Input
    }

    fn description(&self) -> Description {
        Description::new("mse")
    }
}

/// Negative log-likelihood of the raw counts under a negative binomial.
///
/// With μ the head's mean times the size factor and θ its dispersion,
///
/// ```text
/// −ln NB(x; μ, θ) = ln Γ(θ) + ln Γ(x+1) − ln Γ(x+θ) + (θ+x) ln(1 + μ/θ) + x (ln θ − ln μ)
/// ```
///
/// computed from logits in log space ([`kernel::likelihood`](crate::kernel::likelihood)).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NbLoss;

impl NbLoss {
    /// The loss.
    pub fn new() -> Self {
        Self
    }
}

impl ReconstructionLoss for NbLoss {
    type Head = NbHead;

    fn forward_no_reduction(&self, output: &HeadOutput<NbHead>, batch: &Batch) -> Tensor<2> {
        likelihood::nb_negative_log_likelihood(
            batch.counts.clone(),
            batch.size_factors.clone(),
            output.mean_logits.clone(),
            output.dispersion_logits.clone(),
        )
    }

    fn forward(&self, output: &HeadOutput<NbHead>, batch: &Batch) -> Tensor<1> {
        likelihood::nb_negative_log_likelihood_mean(
            batch.counts.clone(),
            batch.size_factors.clone(),
            output.mean_logits.clone(),
            output.dispersion_logits.clone(),
        )
    }

    fn target(&self) -> ReconstructionTarget {
        ReconstructionTarget::Counts
    }

    fn description(&self) -> Description {
        Description::new("nb")
    }
}

/// Negative log-likelihood of the raw counts under a zero-inflated negative binomial (Eraslan et
/// al., 2019; scDeepCluster; scDCC).
///
/// With π the head's dropout and NB as in [`NbLoss`],
///
/// ```text
/// x = 0:  −ln(π + (1−π) (θ/(θ+μ))^θ)
/// x > 0:  −ln(1−π) − ln NB(x; μ, θ)
/// ```
///
/// computed from logits in log space; the original adds 1e-10 to logarithms' arguments instead.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ZinbLoss;

impl ZinbLoss {
    /// The loss.
    pub fn new() -> Self {
        Self
    }
}

impl ReconstructionLoss for ZinbLoss {
    type Head = ZinbHead;

    fn forward_no_reduction(&self, output: &HeadOutput<ZinbHead>, batch: &Batch) -> Tensor<2> {
        likelihood::zinb_negative_log_likelihood(
            batch.counts.clone(),
            batch.size_factors.clone(),
            output.mean_logits.clone(),
            output.dispersion_logits.clone(),
            output.dropout_logits.clone(),
        )
    }

    fn forward(&self, output: &HeadOutput<ZinbHead>, batch: &Batch) -> Tensor<1> {
        likelihood::zinb_negative_log_likelihood_mean(
            batch.counts.clone(),
            batch.size_factors.clone(),
            output.mean_logits.clone(),
            output.dispersion_logits.clone(),
            output.dropout_logits.clone(),
        )
    }

    fn target(&self) -> ReconstructionTarget {
        ReconstructionTarget::Counts
    }

    fn description(&self) -> Description {
        Description::new("zinb")
    }
}

/// Negative log-likelihood of the raw counts under the distribution that a [`CountHead`]
/// describes: [`NbLoss`] or [`ZinbLoss`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CountLoss;

impl CountLoss {
    /// The loss.
    pub fn new() -> Self {
        Self
    }
}

impl ReconstructionLoss for CountLoss {
    type Head = CountHead;

    fn forward_no_reduction(&self, output: &CountOutput, batch: &Batch) -> Tensor<2> {
        match output {
            CountOutput::NegativeBinomial(output) => NbLoss.forward_no_reduction(output, batch),
            CountOutput::ZeroInflated(output) => ZinbLoss.forward_no_reduction(output, batch),
        }
    }

    fn forward(&self, output: &CountOutput, batch: &Batch) -> Tensor<1> {
        match output {
            CountOutput::NegativeBinomial(output) => NbLoss.forward(output, batch),
            CountOutput::ZeroInflated(output) => ZinbLoss.forward(output, batch),
        }
    }

    fn target(&self) -> ReconstructionTarget {
        ReconstructionTarget::Counts
    }

    fn description(&self) -> Description {
        Description::new("counts")
    }
}
