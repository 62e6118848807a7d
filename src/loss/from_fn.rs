//! Losses and targets from closures.

use std::marker::PhantomData;

use burn::tensor::Tensor;
use serde::Serialize;

use super::clustering::ClusteringLoss;
use super::reconstruction::ReconstructionLoss;
use super::target::Target;
use crate::batches::Batch;
use crate::description::Description;
use crate::error::Result;
use crate::graph::EmbeddedCells;
use crate::nn::{HeadOutput, ReconstructionHead};

/// A loss or target from a closure, made by [`from_fn`], [`clustering_from_fn`] or
/// [`target_from_fn`].
pub struct FromFn<F, H = ()> {
    function: F,
    description: Description,
    head: PhantomData<fn() -> H>,
}

impl<F, H> FromFn<F, H> {
    fn new(name: &str, function: F) -> Self {
        Self {
            function,
            description: Description::new(name),
            head: PhantomData,
        }
    }

    /// Records a value that the closure captured, so that models say it and checkpoints compare it.
    pub fn with_setting(mut self, name: &str, value: impl Serialize) -> Self {
        self.description = self.description.with(name, value);
        self
    }
}

/// A reconstruction loss of head `H` from a closure: the loss of every entry `[cells, genes]`.
///
/// ```
/// use celldec::loss;
/// use celldec::nn::LinearHead;
/// use celldec::prelude::*;
///
/// // −ln Poisson(x; s·λ) without ln x!, from log-rates ln λ.
/// let poisson = loss::from_fn::<LinearHead, _>("poisson", |output, batch| {
///     let log_mean = output.logits.clone() + batch.log_size_factors();
///     log_mean.clone().exp() - batch.counts.clone() * log_mean
/// });
/// assert_eq!(poisson.description().name(), "poisson");
/// ```
pub fn from_fn<H, F>(name: &str, function: F) -> FromFn<F, H>
where
    H: ReconstructionHead,
    F: Fn(&HeadOutput<H>, &Batch) -> Tensor<2> + Send + Sync,
{
    FromFn::new(name, function)
}

/// A clustering loss from a closure: the loss `[1]` of a batch from q and p.
///
/// ```
/// use celldec::loss;
///
/// let squares = loss::clustering_from_fn("squares", |q, p| (q - p).square().sum_dim(1).mean());
/// # let _ = squares;
/// ```
pub fn clustering_from_fn<F>(name: &str, function: F) -> FromFn<F>
where
    F: Fn(Tensor<2>, Tensor<2>) -> Tensor<1> + Send + Sync,
{
    FromFn::new(name, function)
}

/// A target from a closure: p `[cells, clusters]` from q of all cells.
///
/// ```
/// use celldec::burn::tensor::Tensor;
/// use celldec::loss;
///
/// let squared = loss::target_from_fn("squared", |q: Tensor<2>, _| {
///     let squared = q.square();
///     Ok(squared.clone() / squared.sum_dim(1))
/// });
/// # let _ = squared;
/// ```
pub fn target_from_fn<F>(name: &str, function: F) -> FromFn<F>
where
    F: Fn(Tensor<2>, &EmbeddedCells<'_>) -> Result<Tensor<2>> + Send + Sync,
{
    FromFn::new(name, function)
}

impl<H, F> ReconstructionLoss for FromFn<F, H>
where
    H: ReconstructionHead,
    F: Fn(&HeadOutput<H>, &Batch) -> Tensor<2> + Send + Sync,
{
    type Head = H;

    fn forward_no_reduction(&self, output: &HeadOutput<H>, batch: &Batch) -> Tensor<2> {
        (self.function)(output, batch)
    }

    fn description(&self) -> Description {
        self.description.clone()
    }
}

impl<F> ClusteringLoss for FromFn<F>
where
    F: Fn(Tensor<2>, Tensor<2>) -> Tensor<1> + Send + Sync,
{
    fn forward(&self, q: Tensor<2>, p: Tensor<2>) -> Tensor<1> {
        (self.function)(q, p)
    }

    fn description(&self) -> Description {
        self.description.clone()
    }
}

impl<F> Target for FromFn<F>
where
    F: Fn(Tensor<2>, &EmbeddedCells<'_>) -> Result<Tensor<2>> + Send + Sync,
{
    fn target(&self, q: Tensor<2>, cells: &EmbeddedCells<'_>) -> Result<Tensor<2>> {
        (self.function)(q, cells)
    }

    fn description(&self) -> Description {
        self.description.clone()
    }
}
