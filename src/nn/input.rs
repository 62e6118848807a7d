//! What a network reads.

use burn::tensor::{Device, Tensor};

pub use crate::kernel::sparse::SparseInput;

/// Scaled expression `[cells, genes]`, dense or sparse; clones share their memory.
#[derive(Debug, Clone)]
#[allow(
    clippy::large_enum_variant,
    reason = "one lives at a time, and a box around every tensor would be in the way of its users"
)]
pub enum Expression {
    /// A tensor: corrupted input, or clean input of cells with few zero counts.
    Dense(Tensor<2>),
    /// Clean input of cells most of whose counts are zero.
    Sparse(SparseInput),
}

impl Expression {
    /// The input as a tensor; sparse input becomes one on `device`.
    pub fn into_tensor(self, device: &Device) -> Tensor<2> {
        match self {
            Self::Dense(input) => input,
            Self::Sparse(input) => input.to_tensor(device),
        }
    }
}

/// Network input: scaled expression and, where cells have some, covariates.
#[derive(Debug, Clone)]
pub struct NetworkInput {
    /// Scaled expression `[cells, genes]`.
    pub expression: Expression,
    /// Encoded covariates `[cells, columns]`
    /// ([`CovariateDesign`](crate::preprocess::CovariateDesign)).
    pub covariates: Option<Tensor<2>>,
}

impl NetworkInput {
    /// Adds encoded covariates `[cells, columns]`.
    pub fn with_covariates(mut self, covariates: Option<Tensor<2>>) -> Self {
        self.covariates = covariates;
        self
    }
}

impl From<Expression> for NetworkInput {
    fn from(expression: Expression) -> Self {
        Self {
            expression,
            covariates: None,
        }
    }
}

impl From<Tensor<2>> for NetworkInput {
    fn from(input: Tensor<2>) -> Self {
        Expression::Dense(input).into()
    }
}

impl From<SparseInput> for NetworkInput {
    fn from(input: SparseInput) -> Self {
        Expression::Sparse(input).into()
    }
}
