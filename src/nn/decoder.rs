//! The decoder: latent space to the features that a head turns into expression.

use burn::config::Config;
use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};

use super::covariates;
use super::dense::{Activation, Dense, stack};
use crate::kernel::dense;

/// Configuration of a [`Decoder`].
#[derive(Config, Debug, PartialEq)]
pub struct DecoderConfig {
    /// Width of the latent space.
    pub latent: usize,
    /// Width of every hidden layer, from the latent space outwards; may be empty, then the head
    /// reads the embedding itself.
    pub widths: Vec<usize>,
    /// Activation of all layers.
    #[config(default = "Activation::Relu")]
    pub activation: Activation,
    /// Columns of encoded covariates that the first layer is told; 0: none.
    #[config(default = 0)]
    pub covariates: usize,
}

impl DecoderConfig {
    /// Creates the decoder.
    pub fn init(&self, device: &Device) -> Decoder {
        Decoder {
            layers: stack(
                self.latent,
                &self.widths,
                self.activation,
                self.activation,
                device,
            ),
            covariates: {
                let width = self.widths.first().copied().unwrap_or(self.latent);
                covariates::rows(self.covariates, width, device)
            },
        }
    }

    /// Width of the features that the decoder returns.
    pub fn features(&self) -> usize {
        self.widths.last().copied().unwrap_or(self.latent)
    }
}

/// Fully connected layers from the embedding `[cells, latent]` to features `[cells, features]`.
///
/// The last step, features to genes, is the
/// [reconstruction head](super::ReconstructionHead)'s.
#[derive(Module, Debug)]
pub struct Decoder {
    /// The layers, latent space first.
    pub layers: Vec<Dense>,
    /// A learned row for every column of covariates, added to the first layer's sums, or to the
    /// embedding where there are no layers; none where the decoder is told none.
    pub covariates: Option<Param<Tensor<2>>>,
}

impl Decoder {
    /// `[cells, latent]` → `[cells, features]`, of cells without covariates.
    pub fn forward(&self, latent: Tensor<2>) -> Tensor<2> {
        self.forward_with(latent, None)
    }

    /// `[cells, latent]` and encoded covariates `[cells, columns]` → `[cells, features]`.
    pub fn forward_with(&self, latent: Tensor<2>, covariates: Option<&Tensor<2>>) -> Tensor<2> {
        let shift = covariates::shift(self.covariates.as_ref(), covariates);
        let Some((first, others)) = self.layers.split_first() else {
            return match shift {
                Some(shift) => latent + shift,
                None => latent,
            };
        };
        let hidden = match shift {
            Some(shift) => {
                let sums = dense::forward(&first.linear, Activation::Linear, latent);
                first.activation.forward(sums + shift)
            }
            None => first.forward(latent),
        };
        others
            .iter()
            .fold(hidden, |hidden, layer| layer.forward(hidden))
    }
}
