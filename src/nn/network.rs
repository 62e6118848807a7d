//! What the self-training phase trains: an encoder with centroids and, for joint training, the
//! decoder.

use burn::module::Module;
use burn::tensor::Tensor;

use super::autoencoder::Autoencoder;
use super::clustering::ClusteringLayer;
use super::decoder::Decoder;
use super::encoder::Encoder;
use super::head::ReconstructionHead;
use super::input::NetworkInput;

/// The half of an autoencoder that turns an embedding back into expression.
#[derive(Module, Debug)]
pub struct Reconstruction<H: Module> {
    /// Latent space to features.
    pub decoder: Decoder,
    /// Features to a distribution over expression.
    pub head: H,
}

impl<H: ReconstructionHead> Reconstruction<H> {
    /// Embedding `[cells, latent]` and encoded covariates `[cells, columns]` → output of the head.
    pub fn forward(&self, latent: Tensor<2>, covariates: Option<&Tensor<2>>) -> H::Output {
        self.head
            .forward(self.decoder.forward_with(latent, covariates))
    }
}

/// An encoder with a [`ClusteringLayer`] and, when training is joint, a decoder.
///
/// DESC removes the decoder before self-training; scDCC keeps it.
#[derive(Module, Debug)]
pub struct ClusteringNetwork<H: Module> {
    /// Genes to latent space.
    pub encoder: Encoder,
    /// Centroids and soft assignment.
    pub clustering: ClusteringLayer,
    /// The decoder with its head; `None` once it is removed.
    pub reconstruction: Option<Reconstruction<H>>,
}

impl<H: ReconstructionHead> ClusteringNetwork<H> {
    /// Keeps the whole autoencoder, for joint training.
    pub fn joint(autoencoder: Autoencoder<H>, clustering: ClusteringLayer) -> Self {
        let Autoencoder {
            encoder,
            decoder,
            head,
        } = autoencoder;
        Self {
            encoder,
            clustering,
            reconstruction: Some(Reconstruction { decoder, head }),
        }
    }

    /// Removes the decoder, as DESC does.
    pub fn encoder_only(encoder: Encoder, clustering: ClusteringLayer) -> Self {
        Self {
            encoder,
            clustering,
            reconstruction: None,
        }
    }

    /// Network input `[cells, genes]` → embedding `[cells, latent]`.
    pub fn encode(&self, input: impl Into<NetworkInput>) -> Tensor<2> {
        self.encoder.forward(input)
    }

    /// Embedding `[cells, latent]` → soft assignment `[cells, clusters]`.
    pub fn assign(&self, latent: Tensor<2>) -> Tensor<2> {
        self.clustering.forward(latent)
    }

    /// Embedding `[cells, latent]` → output of the head, of cells without covariates; `None` without
    /// a decoder.
    pub fn decode(&self, latent: Tensor<2>) -> Option<H::Output> {
        Some(self.reconstruction.as_ref()?.forward(latent, None))
    }

    /// Network input `[cells, genes]` → output of the head; `None` without a decoder.
    pub fn reconstruct(&self, input: impl Into<NetworkInput>) -> Option<H::Output> {
        let part = self.reconstruction.as_ref()?;
        let input = input.into();
        let covariates = input.covariates.clone();
        Some(part.forward(self.encode(input), covariates.as_ref()))
    }
}
