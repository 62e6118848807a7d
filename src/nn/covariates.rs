//! What a layer is told about cells beside their expression.

use burn::module::{Initializer, Param};
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

/// Which parts of a network are told covariates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum CovariatePlacement {
    /// The encoder.
    Encoder,
    /// The decoder: the embedding need then not say what it is told.
    Decoder,
    /// Both, as in conditional autoencoders (scVI; scDeepCluster's batch-conditional form).
    Both,
}

impl CovariatePlacement {
    /// Whether the encoder is told covariates.
    pub fn in_encoder(self) -> bool {
        self != Self::Decoder
    }

    /// Whether the decoder is told covariates.
    pub fn in_decoder(self) -> bool {
        self != Self::Encoder
    }
}

/// A learned row `[columns, width]` for every column of encoded covariates, to be added to a layer's
/// sums. All start at zero, where the network is that without covariates.
///
/// A row added to the sums is the same as wider input, but leaves sparse input as it is.
pub(super) fn rows(columns: usize, width: usize, device: &Device) -> Option<Param<Tensor<2>>> {
    (columns > 0).then(|| Initializer::Zeros.init([columns, width], device))
}

/// What rows add to the sums `[cells, width]` of a layer, if there are rows and covariates.
pub(super) fn shift(
    rows: Option<&Param<Tensor<2>>>,
    covariates: Option<&Tensor<2>>,
) -> Option<Tensor<2>> {
    let (rows, covariates) = rows.zip(covariates)?;
    Some(covariates.clone().matmul(rows.val()))
}
