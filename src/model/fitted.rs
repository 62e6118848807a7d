//! The fitted model: embeds, assigns and denoises cells.

use std::sync::Arc;

use burn::module::{Module, Param};
use burn::tensor::Device;
use ndarray::{Array2, s};
use serde::{Deserialize, Serialize};

use super::evaluate::{Evaluation, evaluate, tensor_to_array};
use super::results::Assignment;
use crate::batches::Batches;
use crate::counts::{CountMatrix, CountSource};
use crate::error::{Error, Result};
use crate::kernel::finite;
use crate::nn::{
    ClusteringNetwork, CountHead, Decoder, DecoderConfig, EncoderConfig, MseHead, Reconstruction,
    ReconstructionHead, SimilarityKernel,
};
use crate::preprocess::{Cells, FittedPreprocess};

/// A model fitted by [`ScdccTrainer`](crate::train::ScdccTrainer) with its default head.
pub type ScdccModel = FittedModel<CountHead>;

/// A model fitted by [`DescTrainer`](crate::train::DescTrainer) with its default head.
pub type DescModel = FittedModel<MseHead>;

/// Where a model comes from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelInfo {
    /// The method: "scdcc" or "desc".
    pub method: String,
    /// The seed of the run.
    pub seed: u64,
    /// Version of this crate that fitted the model.
    pub version: String,
    /// Fingerprint of the training cells and their preprocessing.
    pub data_fingerprint: u64,
    /// The trainer's settings.
    pub settings: serde_json::Value,
}

/// The shape of a network: what is needed to create it before its weights are loaded.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(bound = "")]
pub(super) struct Architecture<H: ReconstructionHead> {
    pub encoder: EncoderConfig,
    pub clusters: usize,
    pub kernel: SimilarityKernel,
    pub decoder: Option<(DecoderConfig, H::Config)>,
}

impl<H: ReconstructionHead> Architecture<H> {
    /// Whether a file's description is one that a fit can have written.
    pub fn check(&self) -> Result<(), String> {
        let widths = &self.encoder.widths;
        if self.encoder.genes == 0 || widths.is_empty() || widths.contains(&0) || self.clusters == 0
        {
            return Err(format!(
                "impossible network: {} genes, widths {widths:?}, {} clusters",
                self.encoder.genes, self.clusters
            ));
        }
        self.kernel.check().map_err(|error| error.to_string())?;
        match &self.decoder {
            Some((decoder, _))
                if decoder.latent != self.encoder.latent() || decoder.widths.contains(&0) =>
            {
                Err(format!(
                    "impossible decoder: from {} to {:?}, the embedding has {}",
                    decoder.latent,
                    decoder.widths,
                    self.encoder.latent()
                ))
            }
            _ => Ok(()),
        }
    }

    pub fn init(&self, device: &Device) -> ClusteringNetwork<H> {
        ClusteringNetwork {
            encoder: self.encoder.init(device),
            clustering: crate::nn::ClusteringLayerConfig::new(self.clusters, self.encoder.latent())
                .with_kernel(self.kernel.clone())
                .init(device),
            reconstruction: self.decoder.as_ref().map(|(decoder, head)| Reconstruction {
                decoder: decoder.init(device),
                head: H::init(head, decoder.features(), self.encoder.genes, device),
            }),
        }
    }
}

/// A trained network with the preprocessing that its cells went through.
///
/// ```
/// use celldec::prelude::*;
///
/// let counts = SimulationConfig::new(120, 60).with_seed(1).simulate()?.counts;
/// let device = Device::default();
/// let cells = Preprocess::scdcc().fit(&counts)?;
/// let fit = ScdccConfig::new(3)
///     .with_pretraining_epochs(2)
///     .with_max_epochs(2)
///     .init(&device)?
///     .fit(&cells)?;
///
/// let model = fit.model();
/// let new_cells = model.prepare(&counts)?;     // the training cells' preprocessing
/// assert_eq!(model.assign(&new_cells)?.labels(), fit.clusters().labels());
/// assert_eq!(model.denoise(&new_cells)?.dim(), (new_cells.cells(), new_cells.genes()));
/// # Ok::<(), celldec::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct FittedModel<H: ReconstructionHead> {
    pub(super) network: ClusteringNetwork<H>,
    pub(super) architecture: Architecture<H>,
    pub(super) preprocessing: FittedPreprocess,
    pub(super) info: ModelInfo,
    pub(super) device: Device,
}

impl<H: ReconstructionHead> FittedModel<H> {
    /// A model from a trained network and the preprocessing of its training cells.
    ///
    /// `head` is the configuration of the network's head; it is not needed when the decoder was
    /// removed.
    pub(crate) fn new(
        network: ClusteringNetwork<H>,
        head: Option<H::Config>,
        preprocessing: FittedPreprocess,
        info: ModelInfo,
        device: &Device,
    ) -> Self {
        let encoder = EncoderConfig {
            genes: network.encoder.layers[0].inputs(),
            widths: network.encoder.layers.iter().map(|l| l.outputs()).collect(),
            hidden_activation: network.encoder.layers[0].activation,
            latent_activation: network.encoder.latent_activation(),
            linear_skip: network.encoder.skip.is_some(),
        };
        let decoder = network
            .reconstruction
            .as_ref()
            .zip(head)
            .map(|(part, head)| (decoder_config(&part.decoder, encoder.latent()), head));
        Self {
            architecture: Architecture {
                encoder,
                clusters: network.clustering.clusters(),
                kernel: network.clustering.kernel.clone(),
                decoder,
            },
            network,
            preprocessing,
            info,
            device: device.clone().inner(),
        }
    }

    /// Where the model comes from.
    pub fn info(&self) -> &ModelInfo {
        &self.info
    }

    /// The preprocessing of its cells.
    pub fn preprocessing(&self) -> &FittedPreprocess {
        &self.preprocessing
    }

    /// The network, for those who want its parts.
    pub fn network(&self) -> &ClusteringNetwork<H> {
        &self.network
    }

    /// Number of clusters.
    pub fn clusters(&self) -> usize {
        self.architecture.clusters
    }

    /// Centroids `[clusters, latent]`.
    pub fn centroids(&self) -> Array2<f32> {
        tensor_to_array(self.network.clustering.centroids.val())
    }

    /// Preprocesses new cells as the training cells were; genes are aligned by name.
    ///
    /// # Errors
    /// [`Error::GeneOverlap`] when fewer than 80 % of the model's genes are present.
    pub fn prepare(&self, counts: &CountMatrix) -> Result<Cells> {
        self.preprocessing.transform(counts)
    }

    /// As [`prepare`](Self::prepare), of counts that need not fit in memory.
    ///
    /// # Errors
    /// As [`prepare`](Self::prepare), and those of the source.
    pub fn prepare_source(&self, source: Arc<dyn CountSource>) -> Result<Cells> {
        self.preprocessing.transform_source(source)
    }

    /// Embeds cells `[cells, latent]`.
    ///
    /// # Errors
    /// [`Error::LengthMismatch`] when the cells have another number of genes than the model; cells
    /// from [`prepare`](Self::prepare) fit. Those of the source, when counts are read from one.
    pub fn embed(&self, cells: &Cells) -> Result<Array2<f32>> {
        self.check(cells)?;
        let batches = Batches::new(cells, &self.device);
        Ok(evaluate(&self.network.encoder, None, &batches)?.embedding)
    }

    /// Assigns cells to clusters.
    ///
    /// # Errors
    /// As [`embed`](Self::embed).
    pub fn assign(&self, cells: &Cells) -> Result<Assignment> {
        Ok(Assignment::from_soft(
            self.evaluate(cells)?.soft_assignments,
        ))
    }

    /// Embeds and assigns cells in one pass.
    ///
    /// # Errors
    /// As [`embed`](Self::embed).
    pub fn evaluate(&self, cells: &Cells) -> Result<Evaluation> {
        self.check(cells)?;
        let batches = Batches::new(cells, &self.device);
        evaluate(
            &self.network.encoder,
            Some(&self.network.clustering),
            &batches,
        )
    }

    /// Denoised expression `[cells, genes]`: the decoder's expectation times each cell's size
    /// factor, on the scale of the counts (for an [`MseHead`] on the scale of its input).
    ///
    /// The result is dense, `4 · cells · genes` bytes: of a million cells, denoise a selection at a
    /// time ([`CountMatrix::select_cells`], then [`prepare`](Self::prepare)).
    ///
    /// # Errors
    /// As [`embed`](Self::embed), and [`Error::NoDecoder`] when it was removed (DESC).
    pub fn denoise(&self, cells: &Cells) -> Result<Array2<f32>> {
        self.check(cells)?;
        let Some(part) = &self.network.reconstruction else {
            return Err(Error::NoDecoder);
        };
        let batches = Batches::new(cells, &self.device);
        let mut denoised = Array2::zeros((cells.cells(), cells.genes()));
        batches.for_each_block(1024, |block, batches| {
            let latent = self.network.encode(batches.network_input(block)?);
            let output = part.head.forward(part.decoder.forward(latent));
            let mut values = tensor_to_array(part.head.expectation(&output));
            if H::SCALES_WITH_SIZE_FACTOR {
                for (mut row, &cell) in values.rows_mut().into_iter().zip(block) {
                    row *= cells.size_factors()[cell];
                }
            }
            denoised
                .slice_mut(s![block[0]..block[0] + block.len(), ..])
                .assign(&values);
            Ok(())
        })?;
        Ok(denoised)
    }

    fn check(&self, cells: &Cells) -> Result<()> {
        if cells.genes() == self.architecture.encoder.genes {
            Ok(())
        } else {
            Err(Error::LengthMismatch {
                what: "the list of genes of the cells given to a fitted model".into(),
                expected: self.architecture.encoder.genes,
                found: cells.genes(),
            })
        }
    }
}

pub(super) fn decoder_config(decoder: &Decoder, latent: usize) -> DecoderConfig {
    let config = DecoderConfig::new(
        latent,
        decoder.layers.iter().map(|layer| layer.outputs()).collect(),
    );
    match decoder.layers.first() {
        Some(layer) => config.with_activation(layer.activation),
        None => config,
    }
}

/// Whether every parameter of a module outside automatic differentiation is finite.
pub(crate) fn is_finite<M: Module>(module: &M) -> bool {
    struct Finite(bool);
    impl burn::module::ModuleVisitor for Finite {
        fn visit_float<const D: usize>(&mut self, param: &Param<burn::tensor::Tensor<D>>) {
            self.0 = self.0 && finite::is_finite(&param.val());
        }
    }
    let mut visitor = Finite(true);
    module.visit(&mut visitor);
    visitor.0
}
