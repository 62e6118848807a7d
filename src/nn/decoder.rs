//! The decoder: latent space to the features that a head turns into expression.

use burn::config::Config;
use burn::module::Module;
use burn::tensor::{Device, Tensor};

use super::dense::{Activation, Dense, stack};

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
}

impl Decoder {
    /// `[cells, latent]` → `[cells, features]`.
    pub fn forward(&self, latent: Tensor<2>) -> Tensor<2> {
        self.layers
            .iter()
            .fold(latent, |hidden, layer| layer.forward(hidden))
    }
}
