//! The traits of losses for weighted losses, sums and shared ones.

use std::sync::Arc;

use burn::tensor::Tensor;

use super::clustering::ClusteringLoss;
use super::composite::{Sum, Weighted};
use super::reconstruction::ReconstructionLoss;
use super::target::Target;
use super::term::Term;
use crate::batches::{Batch, ReconstructionTarget};
use crate::description::Description;
use crate::error::{ParameterError, Result};
use crate::graph::{EmbeddedCells, NeighborSearch};
use crate::nn::{HeadOutput, ReconstructionHead};

fn describe_sum(first: Description, second: Description) -> Description {
    Description::new(format!("{} + {}", first.name(), second.name()))
        .with("first", first)
        .with("second", second)
}

fn joined(mut first: Vec<Term>, second: Vec<Term>) -> Vec<Term> {
    first.extend(second);
    first
}

impl<L: ReconstructionLoss> ReconstructionLoss for Weighted<L> {
    type Head = L::Head;

    fn forward_no_reduction(&self, output: &HeadOutput<L::Head>, batch: &Batch) -> Tensor<2> {
        self.loss().forward_no_reduction(output, batch) * self.weight()
    }

    fn forward(&self, output: &HeadOutput<L::Head>, batch: &Batch) -> Tensor<1> {
        self.loss().forward(output, batch) * self.weight()
    }

    fn terms(&self, output: &HeadOutput<L::Head>, batch: &Batch) -> Vec<Term> {
        self.weighted_terms(self.loss().terms(output, batch))
    }

    fn target(&self) -> ReconstructionTarget {
        self.loss().target()
    }

    fn check(&self) -> Result<(), ParameterError> {
        self.check_weight()?;
        self.loss().check()
    }

    fn description(&self) -> Description {
        self.describe(self.loss().description())
    }
}

impl<A, B> ReconstructionLoss for Sum<A, B>
where
    A: ReconstructionLoss,
    B: ReconstructionLoss<Head = A::Head>,
{
    type Head = A::Head;

    fn forward_no_reduction(&self, output: &HeadOutput<A::Head>, batch: &Batch) -> Tensor<2> {
        self.first().forward_no_reduction(output, batch)
            + self.second().forward_no_reduction(output, batch)
    }

    fn forward(&self, output: &HeadOutput<A::Head>, batch: &Batch) -> Tensor<1> {
        self.first().forward(output, batch) + self.second().forward(output, batch)
    }

    fn terms(&self, output: &HeadOutput<A::Head>, batch: &Batch) -> Vec<Term> {
        let first = self.first().terms(output, batch);
        joined(first, self.second().terms(output, batch))
    }

    fn target(&self) -> ReconstructionTarget {
        self.first().target().and(self.second().target())
    }

    fn check(&self) -> Result<(), ParameterError> {
        self.first().check()?;
        self.second().check()
    }

    fn description(&self) -> Description {
        describe_sum(self.first().description(), self.second().description())
    }
}

impl<H: ReconstructionHead> ReconstructionLoss for Arc<dyn ReconstructionLoss<Head = H>> {
    type Head = H;

    fn forward_no_reduction(&self, output: &HeadOutput<H>, batch: &Batch) -> Tensor<2> {
        (**self).forward_no_reduction(output, batch)
    }

    fn forward(&self, output: &HeadOutput<H>, batch: &Batch) -> Tensor<1> {
        (**self).forward(output, batch)
    }

    fn terms(&self, output: &HeadOutput<H>, batch: &Batch) -> Vec<Term> {
        (**self).terms(output, batch)
    }

    fn target(&self) -> ReconstructionTarget {
        (**self).target()
    }

    fn check(&self) -> Result<(), ParameterError> {
        (**self).check()
    }

    fn description(&self) -> Description {
        (**self).description()
    }
}

impl<L: ClusteringLoss> ClusteringLoss for Weighted<L> {
    fn forward(&self, q: Tensor<2>, p: Tensor<2>) -> Tensor<1> {
        self.loss().forward(q, p) * self.weight()
    }

    fn forward_no_reduction(&self, q: Tensor<2>, p: Tensor<2>) -> Option<Tensor<1>> {
        Some(self.loss().forward_no_reduction(q, p)? * self.weight())
    }

    fn terms(&self, q: Tensor<2>, p: Tensor<2>, weights: Option<&Tensor<1>>) -> Vec<Term> {
        self.weighted_terms(self.loss().terms(q, p, weights))
    }

    fn check(&self) -> Result<(), ParameterError> {
        self.check_weight()?;
        self.loss().check()
    }

    fn description(&self) -> Description {
        self.describe(self.loss().description())
    }
}

impl<A: ClusteringLoss, B: ClusteringLoss> ClusteringLoss for Sum<A, B> {
    fn forward(&self, q: Tensor<2>, p: Tensor<2>) -> Tensor<1> {
        self.first().forward(q.clone(), p.clone()) + self.second().forward(q, p)
    }

    fn forward_no_reduction(&self, q: Tensor<2>, p: Tensor<2>) -> Option<Tensor<1>> {
        let first = self.first().forward_no_reduction(q.clone(), p.clone())?;
        Some(first + self.second().forward_no_reduction(q, p)?)
    }

    fn terms(&self, q: Tensor<2>, p: Tensor<2>, weights: Option<&Tensor<1>>) -> Vec<Term> {
        let first = self.first().terms(q.clone(), p.clone(), weights);
        joined(first, self.second().terms(q, p, weights))
    }

    fn check(&self) -> Result<(), ParameterError> {
        self.first().check()?;
        self.second().check()
    }

    fn description(&self) -> Description {
        describe_sum(self.first().description(), self.second().description())
    }
}

impl Target for Arc<dyn Target> {
    fn target(&self, q: Tensor<2>, cells: &EmbeddedCells<'_>) -> Result<Tensor<2>> {
        (**self).target(q, cells)
    }

    fn warning(&self, cells: usize, search: &NeighborSearch) -> Option<String> {
        (**self).warning(cells, search)
    }

    fn check(&self) -> Result<(), ParameterError> {
        (**self).check()
    }

    fn description(&self) -> Description {
        (**self).description()
    }
}
