//! Weighted losses and sums of losses.

use burn::tensor::Tensor;

use super::clustering::ClusteringLoss;
use super::constraint::ConstraintLoss;
use super::reconstruction::ReconstructionLoss;
use crate::batches::{Batch, ReconstructionTarget};
use crate::error::Result;
use crate::graph::EmbeddedCells;
use crate::nn::HeadOutput;

/// A loss times a weight.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Weighted<L> {
    loss: L,
    weight: f64,
}

impl<L> Weighted<L> {
    /// `weight · loss`.
    pub fn new(loss: L, weight: f64) -> Self {
        Self { loss, weight }
    }
}

/// The sum of two losses.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sum<A, B> {
    first: A,
    second: B,
}

impl<A, B> Sum<A, B> {
    /// `first + second`.
    pub fn new(first: A, second: B) -> Self {
        Self { first, second }
    }
}

fn weighted_name(weight: f64, name: String) -> String {
    if weight == 1.0 {
        name
    } else {
        format!("{weight}·{name}")
    }
}

impl<L: ReconstructionLoss> ReconstructionLoss for Weighted<L> {
    type Head = L::Head;

    fn forward_no_reduction(&self, output: &HeadOutput<L::Head>, batch: &Batch) -> Tensor<2> {
        self.loss.forward_no_reduction(output, batch) * self.weight
    }

    fn forward(&self, output: &HeadOutput<L::Head>, batch: &Batch) -> Tensor<1> {
        self.loss.forward(output, batch) * self.weight
    }

    fn target(&self) -> ReconstructionTarget {
        self.loss.target()
    }

    fn name(&self) -> String {
        weighted_name(self.weight, self.loss.name())
    }
}

impl<A, B> ReconstructionLoss for Sum<A, B>
where
    A: ReconstructionLoss,
    B: ReconstructionLoss<Head = A::Head>,
{
    type Head = A::Head;

    fn forward_no_reduction(&self, output: &HeadOutput<A::Head>, batch: &Batch) -> Tensor<2> {
        self.first.forward_no_reduction(output, batch)
            + self.second.forward_no_reduction(output, batch)
    }

    fn forward(&self, output: &HeadOutput<A::Head>, batch: &Batch) -> Tensor<1> {
        self.first.forward(output, batch) + self.second.forward(output, batch)
    }

    fn target(&self) -> ReconstructionTarget {
        self.first.target().and(self.second.target())
    }

    fn name(&self) -> String {
        format!("{} + {}", self.first.name(), self.second.name())
    }
}

impl<L: ReconstructionLoss> ReconstructionLoss for &L {
    type Head = L::Head;

    fn forward_no_reduction(&self, output: &HeadOutput<L::Head>, batch: &Batch) -> Tensor<2> {
        (**self).forward_no_reduction(output, batch)
    }

    fn forward(&self, output: &HeadOutput<L::Head>, batch: &Batch) -> Tensor<1> {
        (**self).forward(output, batch)
    }

    fn target(&self) -> ReconstructionTarget {
        (**self).target()
    }

    fn name(&self) -> String {
        (**self).name()
    }
}

impl<L: ClusteringLoss> ClusteringLoss for &L {
    fn target(&self, q: Tensor<2>) -> Tensor<2> {
        (**self).target(q)
    }

    fn target_among(&self, q: Tensor<2>, cells: &EmbeddedCells<'_>) -> Result<Tensor<2>> {
        (**self).target_among(q, cells)
    }

    fn forward(&self, q: Tensor<2>, p: Tensor<2>) -> Tensor<1> {
        (**self).forward(q, p)
    }

    fn name(&self) -> String {
        (**self).name()
    }
}

impl<L: ClusteringLoss> ClusteringLoss for Weighted<L> {
    fn target(&self, q: Tensor<2>) -> Tensor<2> {
        self.loss.target(q)
    }

    fn target_among(&self, q: Tensor<2>, cells: &EmbeddedCells<'_>) -> Result<Tensor<2>> {
        self.loss.target_among(q, cells)
    }

    fn forward(&self, q: Tensor<2>, p: Tensor<2>) -> Tensor<1> {
        self.loss.forward(q, p) * self.weight
    }

    fn name(&self) -> String {
        weighted_name(self.weight, self.loss.name())
    }
}

impl<A: ClusteringLoss, B: ClusteringLoss> ClusteringLoss for Sum<A, B> {
    fn target(&self, q: Tensor<2>) -> Tensor<2> {
        self.first.target(q)
    }

    fn target_among(&self, q: Tensor<2>, cells: &EmbeddedCells<'_>) -> Result<Tensor<2>> {
        self.first.target_among(q, cells)
    }

    fn forward(&self, q: Tensor<2>, p: Tensor<2>) -> Tensor<1> {
        self.first.forward(q.clone(), p.clone()) + self.second.forward(q, p)
    }

    fn name(&self) -> String {
        format!("{} + {}", self.first.name(), self.second.name())
    }
}

impl<L: ConstraintLoss> ConstraintLoss for Weighted<L> {
    fn forward_no_reduction(&self, first: Tensor<2>, second: Tensor<2>) -> Tensor<1> {
        self.loss.forward_no_reduction(first, second) * self.weight
    }

    fn name(&self) -> String {
        weighted_name(self.weight, self.loss.name())
    }
}
