//! The encoder: genes to latent space.

use burn::config::Config;
use burn::module::Module;
use burn::tensor::{Device, Tensor};

use super::dense::{Activation, Dense, stack};

/// Configuration of an [`Encoder`].
#[derive(Config, Debug, PartialEq)]
pub struct EncoderConfig {
    /// Number of genes.
    pub genes: usize,
    /// Width of every layer; the last one is the latent space.
    pub widths: Vec<usize>,
    /// Activation of the hidden layers.
    #[config(default = "Activation::Relu")]
    pub hidden_activation: Activation,
    /// Activation of the latent layer: linear in scDCC, hyperbolic tangent in DESC.
    #[config(default = "Activation::Linear")]
    pub latent_activation: Activation,
}

impl EncoderConfig {
    /// Creates the encoder.
    pub fn init(&self, device: &Device) -> Encoder {
        Encoder {
            layers: stack(
                self.genes,
                &self.widths,
                self.hidden_activation,
                self.latent_activation,
                device,
            ),
        }
    }

    /// Width of the latent space.
    pub fn latent(&self) -> usize {
        self.widths.last().copied().unwrap_or(self.genes)
    }
}

/// Fully connected layers from `[cells, genes]` to the embedding `[cells, latent]`.
///
/// scDCC: genes → 256 → 64 → 32, ReLU, linear latent layer. DESC: widths by the number of cells,
/// ReLU, hyperbolic tangent in the latent layer.
#[derive(Module, Debug)]
pub struct Encoder {
    /// The layers, input first; the last one is the latent layer.
    pub layers: Vec<Dense>,
}

impl Encoder {
    /// Embeds cells: `[cells, genes]` → `[cells, latent]`.
    pub fn forward(&self, input: Tensor<2>) -> Tensor<2> {
        self.layers
            .iter()
            .fold(input, |hidden, layer| layer.forward(hidden))
    }
}
