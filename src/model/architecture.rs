//! The shape of a network: what is needed to create it before its weights are loaded.

use burn::tensor::Device;

use crate::nn::{
    ClusteringLayerConfig, ClusteringNetwork, DecoderConfig, EncoderConfig, Reconstruction,
    ReconstructionHead, SimilarityKernel,
};

/// The shape of a network: what is needed to create it before its weights are loaded.
#[derive(Debug, Clone)]
pub(super) struct Architecture<H: ReconstructionHead> {
    pub encoder: EncoderConfig,
    pub clusters: usize,
    pub similarity: SimilarityKernel,
    pub decoder: Option<(DecoderConfig, H::Config)>,
}

impl<H: ReconstructionHead> Architecture<H> {
    /// The shape of a network; `head` is the configuration of its head.
    pub fn of(network: &ClusteringNetwork<H>, head: Option<H::Config>) -> Self {
        let layers = &network.encoder.layers;
        let rows = |covariates: &Option<_>| {
            let rows: Option<&burn::module::Param<burn::tensor::Tensor<2>>> = covariates.as_ref();
            rows.map_or(0, |rows| rows.lazy_shape()[0])
        };
        let mut encoder = EncoderConfig::new(
            layers.first().map_or(0, |layer| layer.inputs()),
            layers.iter().map(|layer| layer.outputs()).collect(),
        )
        .with_latent_activation(network.encoder.latent_activation())
        .with_linear_skip(network.encoder.skip.is_some())
        .with_covariates(rows(&network.encoder.covariates));
        if let Some(first) = layers.first() {
            encoder.hidden_activation = first.activation;
        }
        let decoder = network
            .reconstruction
            .as_ref()
            .zip(head)
            .map(|(part, head)| {
                let layers = &part.decoder.layers;
                let widths = layers.iter().map(|layer| layer.outputs()).collect();
                let mut config = DecoderConfig::new(encoder.latent(), widths)
                    .with_covariates(rows(&part.decoder.covariates));
                if let Some(first) = layers.first() {
                    config.activation = first.activation;
                }
                (config, head)
            });
        Self {
            encoder,
            clusters: network.clustering.clusters(),
            similarity: network.clustering.kernel.clone(),
            decoder,
        }
    }

    /// Columns of covariates that encoder or decoder are told.
    pub fn covariate_columns(&self) -> usize {
        let decoder = self
            .decoder
            .as_ref()
            .map_or(0, |(decoder, _)| decoder.covariates);
        self.encoder.covariates.max(decoder)
    }

    /// Whether a description is one that a fit of data with so many genes and columns of covariates
    /// can have.
    pub fn check(&self, genes: usize, columns: usize) -> Result<(), String> {
        let widths = &self.encoder.widths;
        if self.encoder.genes == 0 || widths.is_empty() || widths.contains(&0) || self.clusters == 0
        {
            return Err(format!(
                "impossible network: {} genes, widths {widths:?}, {} clusters",
                self.encoder.genes, self.clusters
            ));
        }
        if self.encoder.genes != genes {
            return Err(format!(
                "its network reads {} genes, its preprocessing returns {genes}",
                self.encoder.genes
            ));
        }
        self.similarity.check().map_err(|error| error.to_string())?;
        let mut told = vec![self.encoder.covariates];
        if let Some((decoder, _)) = &self.decoder {
            if decoder.latent != self.encoder.latent() || decoder.widths.contains(&0) {
                return Err(format!(
                    "impossible decoder: from {} to {:?}, the embedding has {}",
                    decoder.latent,
                    decoder.widths,
                    self.encoder.latent()
                ));
            }
            told.push(decoder.covariates);
        }
        match told
            .into_iter()
            .find(|&found| found != 0 && found != columns)
        {
            None => Ok(()),
            Some(found) => Err(format!(
                "its network reads {found} columns of covariates, its cells have {columns}"
            )),
        }
    }

    /// Whether the layers of a network follow each other and the centroids are in its latent space.
    pub fn check_network(&self, network: &ClusteringNetwork<H>) -> Result<(), String> {
        let mut width = self.encoder.genes;
        for (number, layer) in network.encoder.layers.iter().enumerate() {
            if layer.inputs() != width {
                return Err(format!(
                    "layer {number} of the encoder reads {}, what comes before it has {width}",
                    layer.inputs()
                ));
            }
            width = layer.outputs();
        }
        let centroids = network.clustering.centroids.lazy_shape()[1];
        if centroids == width {
            Ok(())
        } else {
            Err(format!(
                "a centroid has {centroids} dimensions, the embedding has {width}"
            ))
        }
    }

    pub fn init(&self, device: &Device) -> ClusteringNetwork<H> {
        ClusteringNetwork {
            encoder: self.encoder.init(device),
            clustering: ClusteringLayerConfig::new(self.clusters, self.encoder.latent())
                .with_kernel(self.similarity.clone())
                .init(device),
            reconstruction: self.decoder.as_ref().map(|(decoder, head)| Reconstruction {
                decoder: decoder.init(device),
                head: H::init(head, decoder.features(), self.encoder.genes, device),
            }),
        }
    }
}
