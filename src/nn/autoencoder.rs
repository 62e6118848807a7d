//! Encoder, decoder and head in one module.

use burn::config::Config;
use burn::module::Module;
use burn::tensor::{Device, Tensor};

use super::decoder::{Decoder, DecoderConfig};
use super::dense::Activation;
use super::encoder::{Encoder, EncoderConfig};
use super::head::{CountHead, NbHead, ReconstructionHead, ZinbHead};
use super::input::NetworkInput;

/// Configuration of an [`Autoencoder`]; the head brings its own.
#[derive(Config, Debug, PartialEq)]
pub struct AutoencoderConfig {
    /// The encoder.
    pub encoder: EncoderConfig,
    /// The decoder.
    pub decoder: DecoderConfig,
}

impl AutoencoderConfig {
    /// An encoder through `widths` (the last is the latent space) and the mirrored decoder.
    ///
    /// The latent layer has `latent_activation`, all others ReLU.
    pub fn symmetric(genes: usize, widths: &[usize], latent_activation: Activation) -> Self {
        let encoder =
            EncoderConfig::new(genes, widths.to_vec()).with_latent_activation(latent_activation);
        let mirrored = widths.iter().rev().skip(1).copied().collect();
        let decoder = DecoderConfig::new(encoder.latent(), mirrored);
        Self::new(encoder, decoder)
    }

    /// Creates the autoencoder with a head.
    pub fn init<H: ReconstructionHead>(&self, head: &H::Config, device: &Device) -> Autoencoder<H> {
        Autoencoder {
            encoder: self.encoder.init(device),
            decoder: self.decoder.init(device),
            head: H::init(head, self.decoder.features(), self.encoder.genes, device),
        }
    }
}

/// An autoencoder: [`Encoder`], [`Decoder`] and a [reconstruction head](ReconstructionHead).
#[derive(Module, Debug)]
pub struct Autoencoder<H: Module> {
    /// Genes to latent space.
    pub encoder: Encoder,
    /// Latent space to features.
    pub decoder: Decoder,
    /// Features to a distribution over expression.
    pub head: H,
}

impl From<Autoencoder<ZinbHead>> for Autoencoder<CountHead> {
    fn from(autoencoder: Autoencoder<ZinbHead>) -> Self {
        Self {
            encoder: autoencoder.encoder,
            decoder: autoencoder.decoder,
            head: CountHead::ZeroInflated(autoencoder.head),
        }
    }
}

impl From<Autoencoder<NbHead>> for Autoencoder<CountHead> {
    fn from(autoencoder: Autoencoder<NbHead>) -> Self {
        Self {
            encoder: autoencoder.encoder,
            decoder: autoencoder.decoder,
            head: CountHead::NegativeBinomial(autoencoder.head),
        }
    }
}

impl<H: ReconstructionHead> Autoencoder<H> {
    /// Network input `[cells, genes]` → output of the head.
    pub fn forward(&self, input: impl Into<NetworkInput>) -> H::Output {
        let input = input.into();
        let covariates = input.covariates.clone();
        self.decode_with(self.encode(input), covariates.as_ref())
    }

    /// Network input `[cells, genes]` → embedding `[cells, latent]`.
    pub fn encode(&self, input: impl Into<NetworkInput>) -> Tensor<2> {
        self.encoder.forward(input)
    }

    /// Embedding `[cells, latent]` → output of the head, of cells without covariates.
    pub fn decode(&self, latent: Tensor<2>) -> H::Output {
        self.decode_with(latent, None)
    }

    /// Embedding `[cells, latent]` and encoded covariates `[cells, columns]` → output of the head.
    pub fn decode_with(&self, latent: Tensor<2>, covariates: Option<&Tensor<2>>) -> H::Output {
        self.head
            .forward(self.decoder.forward_with(latent, covariates))
    }
}
