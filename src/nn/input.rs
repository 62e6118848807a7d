//! What a network reads.

use burn::tensor::{Device, Tensor};

pub use crate::kernel::sparse::SparseInput;

/// Network input `[cells, genes]`, dense or sparse; clones share their memory.
#[derive(Debug, Clone)]
#[allow(
    clippy::large_enum_variant,
    reason = "one lives at a time, and a box around every tensor would be in the way of its users"
)]
pub enum NetworkInput {
    /// A tensor: corrupted input, or clean input of cells with few zero counts.
    Dense(Tensor<2>),
    /// Clean input of cells most of whose counts are zero.
    Sparse(SparseInput),
}

impl NetworkInput {
    /// The input as a tensor; sparse input becomes one on `device`.
    pub fn into_tensor(self, device: &Device) -> Tensor<2> {
        match self {
            Self::Dense(input) => input,
            Self::Sparse(input) => input.to_tensor(device),
        }
    }
}

impl From<Tensor<2>> for NetworkInput {
    fn from(input: Tensor<2>) -> Self {
        Self::Dense(input)
    }
}

impl From<SparseInput> for NetworkInput {
    fn from(input: SparseInput) -> Self {
        Self::Sparse(input)
    }
}
