//! What a fit does, phase by phase.

mod network;
mod pairs;

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::phases::{PretrainConfig, SelfTrainConfig, check_corruption};
use crate::batches::Corruption;
use crate::error::{ParameterError, Result};
use crate::graph::GraphConfig;
use crate::loss::{ClusteringLoss, ReconstructionLoss, Target};
use crate::nn::{ReconstructionHead, SimilarityKernel};
use crate::pairs::ConstraintPairs;
use crate::start::CentroidStart;

pub use network::{NetworkConfig, WidthRule, Widths};
pub use pairs::PairTraining;

/// What self-training does with the decoder.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum DecoderTraining {
    /// It is removed before self-training (DESC): the model cannot denoise.
    Removed,
    /// It stays as pretraining left it; encoder and centroids train on the clustering loss and the
    /// pairs alone, which takes a third of the time of joint training.
    Kept,
    /// It trains jointly (scDCC).
    Joint {
        /// Weight of the reconstruction loss, above 0.
        weight: f64,
        /// What corrupts the input of the reconstruction; soft assignments see clean cells.
        corruption: Corruption,
    },
}

/// A part of the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Part {
    /// The encoder.
    Encoder,
    /// The decoder without its head.
    Decoder,
    /// The head of the decoder.
    Head,
    /// The centroids.
    Centroids,
}

/// A method with all its settings and parts: what a fit does, phase by phase.
///
/// 1. An autoencoder of the [network's](field@Self::network) widths is pretrained on the
///    reconstruction loss: first [layer by layer](field@Self::layerwise), if at all, then
///    [end to end](field@Self::pretraining).
/// 2. Centroids come from a [start](field@Self::starts) in the embedding of all cells.
/// 3. Encoder and centroids [train](field@Self::self_training) towards a target made of the cells' own
///    soft assignments; the [decoder](field@Self::decoder) is removed, kept or trained along.
///
/// # Presets
///
/// The published methods and our defaults are values that differ in their settings only:
///
/// | preset | what it is |
/// |---|---|
/// | [`Plan::scdcc`], [`scdcc_auto`](Plan::scdcc_auto), [`scdcc_at_resolution`](Plan::scdcc_at_resolution) | scDCC with this crate's defaults: number of clusters given, found, or by a resolution |
/// | [`Plan::scdcc_reference`] | scDCC to the letter of paper and code |
/// | [`Plan::scdeepcluster`] | scDeepCluster to the letter: scDCC without pairs |
/// | [`Plan::desc`], [`desc_auto`](Plan::desc_auto) | DESC with this crate's defaults: by a resolution, or found |
/// | [`Plan::desc_reference`] | DESC to the letter of paper and code |
///
/// # A method of one's own
///
/// Change one part, keep the rest. Settings of a phase change by a closure, parts are replaced:
///
/// ```
/// use celldec::burn::optim::grad_clipping::GradientClippingConfig;
/// use celldec::burn::optim::lr_scheduler::cosine::CosineAnnealingLrSchedulerConfig;
/// use celldec::loss::{self, KlDivergence};
/// use celldec::nn::{LinearHead, LinearHeadConfig};
/// use celldec::optim::OptimizerConfig;
/// use celldec::prelude::*;
///
/// let counts = SimulationConfig::new(120, 60).with_groups(3).with_seed(1).simulate()?.counts;
/// let cells = Preprocess::scdcc().fit(&counts)?;
///
/// let clipped = OptimizerConfig::amsgrad().with_clipping(GradientClippingConfig::Norm(5.0));
/// let fit = Plan::scdcc(3)
///     .with_seed(7)
///     .with_network(|network| network.with_widths([32, 8]))
///     .with_pretraining(|phase| phase.with_epochs(3))
///     .with_self_training(|phase| {
///         phase
///             .with_max_epochs(3)
///             .with_learning_rate(CosineAnnealingLrSchedulerConfig::new(1e-3, 30))
///             .with_optimizer(clipped)
///     })
///     .with_clustering(KlDivergence::new().weighted(2.0))
///     .with_reconstruction(
///         loss::from_fn::<LinearHead, _>("poisson", |output, batch| {
///             let log_mean = output.logits.clone() + batch.log_size_factors();
///             log_mean.clone().exp() - batch.counts.clone() * log_mean
///         }),
///         LinearHeadConfig::exp(),
///     )
///     .trainer(&Device::default())?
///     .fit(&cells)?;
/// assert_eq!(fit.model().info().settings["reconstruction"]["name"], "poisson");
/// # Ok::<(), celldec::Error>(())
/// ```
///
/// What a plan holds is [recorded](Plan::record) in every model, and a checkpoint is resumed by the
/// same plan only.
pub struct Plan<H: ReconstructionHead> {
    /// Name of the method, for [`ModelInfo`](crate::model::ModelInfo) and messages.
    pub method: String,
    /// Seed of everything random.
    pub seed: u64,
    /// The autoencoder.
    pub network: NetworkConfig,
    /// Settings of the decoder's head.
    pub head: H::Config,
    /// Pretraining layer by layer, before that end to end; `None`: none.
    pub layerwise: Option<PretrainConfig>,
    /// Pretraining end to end.
    pub pretraining: PretrainConfig,
    /// Where centroids come from: one fit for each, all on one pretraining.
    pub starts: Vec<CentroidStart>,
    /// Similarity of cells to centroids.
    pub similarity: SimilarityKernel,
    /// Self-training.
    pub self_training: SelfTrainConfig,
    /// What self-training does with the decoder.
    pub decoder: DecoderTraining,
    /// Parts that keep their weights: in pretraining those it has, in self-training all.
    pub frozen: Vec<Part>,
    pub(super) reconstruction: Arc<dyn ReconstructionLoss<Head = H>>,
    pub(super) target: Arc<dyn Target>,
    pub(super) clustering: Arc<dyn ClusteringLoss>,
    pub(super) pairs: Option<PairTraining>,
    /// Whether pairs act as in the scDCC paper unless they are told otherwise.
    pub(super) published_pairs: bool,
}

impl<H: ReconstructionHead> Clone for Plan<H> {
    fn clone(&self) -> Self {
        Self {
            method: self.method.clone(),
            seed: self.seed,
            network: self.network.clone(),
            head: self.head.clone(),
            layerwise: self.layerwise.clone(),
            pretraining: self.pretraining.clone(),
            starts: self.starts.clone(),
            similarity: self.similarity.clone(),
            self_training: self.self_training.clone(),
            decoder: self.decoder,
            frozen: self.frozen.clone(),
            reconstruction: Arc::clone(&self.reconstruction),
            target: Arc::clone(&self.target),
            clustering: Arc::clone(&self.clustering),
            pairs: self.pairs.clone(),
            published_pairs: self.published_pairs,
        }
    }
}

impl<H: ReconstructionHead> fmt::Debug for Plan<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Plan").field(&self.record()).finish()
    }
}

/// As [`Plan::record`].
impl<H: ReconstructionHead> Serialize for Plan<H> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.record().serialize(serializer)
    }
}

impl<H: ReconstructionHead> Plan<H> {
    /// Sets the seed of everything random.
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Names the method, for [`ModelInfo`](crate::model::ModelInfo) and messages.
    pub fn with_method(mut self, name: impl Into<String>) -> Self {
        self.method = name.into();
        self
    }

    /// Changes the autoencoder.
    pub fn with_network(mut self, change: impl FnOnce(NetworkConfig) -> NetworkConfig) -> Self {
        self.network = change(self.network);
        self
    }

    /// Sets the widths of the encoder; the last one is the latent space, the decoder mirrors them.
    pub fn with_widths(self, widths: impl Into<Widths>) -> Self {
        self.with_network(|network| network.with_widths(widths))
    }

    /// Changes pretraining end to end.
    pub fn with_pretraining(
        mut self,
        change: impl FnOnce(PretrainConfig) -> PretrainConfig,
    ) -> Self {
        self.pretraining = change(self.pretraining);
        self
    }

    /// Sets pretraining layer by layer, before that end to end; `None`: none.
    pub fn with_layerwise(mut self, layerwise: Option<PretrainConfig>) -> Self {
        self.layerwise = layerwise;
        self
    }

    /// Changes self-training.
    pub fn with_self_training(
        mut self,
        change: impl FnOnce(SelfTrainConfig) -> SelfTrainConfig,
    ) -> Self {
        self.self_training = change(self.self_training);
        self
    }

    /// Sets the cells per step of every phase.
    pub fn with_batch_size(mut self, cells: usize) -> Self {
        self.layerwise = self.layerwise.map(|phase| phase.with_batch_size(cells));
        self.with_pretraining(|phase| phase.with_batch_size(cells))
            .with_self_training(|phase| phase.with_batch_size(cells))
    }

    /// Sets epochs of pretraining end to end, and the most of self-training.
    pub fn with_epochs(self, pretraining: usize, self_training: usize) -> Self {
        self.with_pretraining(|phase| phase.with_epochs(pretraining))
            .with_self_training(|phase| phase.with_max_epochs(self_training))
    }

    /// Sets the corruption of the input wherever a reconstruction is trained end to end.
    pub fn with_corruption(mut self, corruption: Corruption) -> Self {
        if let DecoderTraining::Joint { weight, .. } = self.decoder {
            self.decoder = DecoderTraining::Joint { weight, corruption };
        }
        self.with_pretraining(|phase| phase.with_corruption(corruption))
    }

    /// Sets what self-training does with the decoder.
    pub fn with_decoder(mut self, decoder: DecoderTraining) -> Self {
        self.decoder = decoder;
        self
    }

    /// Keeps the weights of parts of the network.
    pub fn with_frozen(mut self, parts: impl IntoIterator<Item = Part>) -> Self {
        self.frozen = parts.into_iter().collect();
        self
    }

    /// Sets where centroids come from.
    pub fn with_start(mut self, start: CentroidStart) -> Self {
        self.starts = vec![start];
        self
    }

    /// Sets several starts: one fit for each, all on one pretraining
    /// ([`Trainer::fit_each`](crate::train::Trainer::fit_each)).
    pub fn with_starts(mut self, starts: impl IntoIterator<Item = CentroidStart>) -> Self {
        self.starts = starts.into_iter().collect();
        self
    }

    /// Starts at communities of the neighbour graph at each of the resolutions: more clusters, the
    /// higher it is. Other settings of the graph are those of the present start, where it is one.
    pub fn with_resolutions(self, resolutions: impl IntoIterator<Item = f64>) -> Self {
        let graph = self.starts.iter().find_map(|start| match start {
            CentroidStart::Graph(graph) => Some(graph.clone()),
            _ => None,
        });
        let starts: Vec<CentroidStart> = resolutions
            .into_iter()
            .map(|resolution| {
                CentroidStart::Graph(match &graph {
                    Some(graph) => GraphConfig {
                        resolution,
                        ..graph.clone()
                    },
                    None => GraphConfig::new(resolution),
                })
            })
            .collect();
        self.with_starts(starts)
    }

    /// Sets the similarity of cells to centroids.
    pub fn with_similarity(mut self, similarity: SimilarityKernel) -> Self {
        self.similarity = similarity;
        self
    }

    /// Takes another reconstruction loss, with the settings of its head. A head that does not
    /// describe counts does not start at their moments.
    pub fn with_reconstruction<L>(
        self,
        loss: L,
        head: <L::Head as ReconstructionHead>::Config,
    ) -> Plan<L::Head>
    where
        L: ReconstructionLoss + 'static,
    {
        let mut network = self.network;
        network.start_at_moments &= L::Head::DESCRIBES_COUNTS;
        Plan {
            method: self.method,
            seed: self.seed,
            network,
            head,
            layerwise: self.layerwise,
            pretraining: self.pretraining,
            starts: self.starts,
            similarity: self.similarity,
            self_training: self.self_training,
            decoder: self.decoder,
            frozen: self.frozen,
            reconstruction: Arc::new(loss),
            target: self.target,
            clustering: self.clustering,
            pairs: self.pairs,
            published_pairs: self.published_pairs,
        }
    }

    /// Takes another target. The whole target is replaced: wrap it in a
    /// [`SmoothedTarget`](crate::loss::SmoothedTarget) to average over neighbours as the default
    /// does. Pairs go on to guide it.
    pub fn with_target(mut self, target: impl Target + 'static) -> Self {
        self.target = Arc::new(target);
        self
    }

    /// Takes another clustering loss: the distance to the target, which stays. Weigh it against the
    /// reconstruction by [`weighted`](ClusteringLoss::weighted).
    pub fn with_clustering(mut self, loss: impl ClusteringLoss + 'static) -> Self {
        self.clustering = Arc::new(loss);
        self
    }

    /// Adds constraint pairs, used as the preset does; they replace earlier ones.
    pub fn with_constraints(self, pairs: ConstraintPairs) -> Self {
        let training = if self.published_pairs {
            PairTraining::published(pairs)
        } else {
            PairTraining::new(pairs)
        };
        self.with_pairs(training)
    }

    /// Adds constraint pairs with everything that is made of them; they replace earlier ones.
    pub fn with_pairs(mut self, pairs: PairTraining) -> Self {
        self.pairs = Some(pairs);
        self
    }

    /// The constraint pairs.
    pub fn pairs(&self) -> Option<&PairTraining> {
        self.pairs.as_ref()
    }

    pub(super) fn check(&self) -> Result<()> {
        self.network.check()?;
        if self.network.start_at_moments && !H::DESCRIBES_COUNTS {
            return Err(conflict(format!(
                "the head \"{}\" does not describe counts, so it cannot start at their moments; \
                 switch `NetworkConfig::with_start_at_moments` off",
                H::NAME
            )));
        }
        if let Some(layerwise) = &self.layerwise {
            layerwise.check("layer-wise pretraining")?;
            if layerwise.validation != self.pretraining.validation {
                return Err(conflict(format!(
                    "layer-wise pretraining keeps {} of the cells apart and pretraining {}: what                      one trains on would be no validation of the other; give both the same share",
                    layerwise.validation, self.pretraining.validation
                )));
            }
        }
        self.pretraining.check("pretraining")?;
        if self.starts.is_empty() {
            return Err(conflict("a plan needs at least one start".into()));
        }
        for start in &self.starts {
            start.check_settings()?;
        }
        self.similarity.check()?;
        self.reconstruction.check()?;
        self.target.check()?;
        self.clustering.check()?;
        self.self_training.check()?;
        if let DecoderTraining::Joint { weight, corruption } = self.decoder {
            if !(weight > 0.0 && weight.is_finite()) {
                return Err(ParameterError::OutOfRange {
                    name: "the weight of the reconstruction loss in joint training",
                    requirement: "above 0 and finite; `DecoderTraining::Kept` trains without it",
                    value: weight,
                }
                .into());
            }
            check_corruption(corruption)?;
        }
        if let Some(pairs) = &self.pairs {
            pairs.check()?;
        }
        self.check_frozen()
    }

    /// Something must be left to train.
    fn check_frozen(&self) -> Result<()> {
        let frozen = |parts: &[Part]| parts.iter().all(|part| self.frozen.contains(part));
        let pretrains = self.pretraining.epochs() > 0;
        if pretrains && frozen(&[Part::Encoder, Part::Decoder, Part::Head]) {
            return Err(conflict(
                "pretraining has nothing to train: encoder, decoder and head are frozen; set its \
                 epochs to 0"
                    .into(),
            ));
        }
        if self.self_training.max_epochs > 0 && frozen(&[Part::Encoder, Part::Centroids]) {
            return Err(conflict(
                "self-training has nothing to train: encoder and centroids are frozen; set its \
                 epochs to 0"
                    .into(),
            ));
        }
        Ok(())
    }

    /// Everything that decides the result beside the cells: what models record, and what a
    /// checkpoint must have been written with.
    pub fn record(&self) -> Value {
        self.record_of(&self.starts)
    }

    /// The record of a fit from some of the starts.
    pub(super) fn record_of(&self, starts: &[CentroidStart]) -> Value {
        let mut record = json!({
            "method": self.method,
            "seed": self.seed,
            "network": self.network,
            "head": {"name": H::NAME, "settings": self.head},
            "reconstruction": self.reconstruction.description(),
            "pretraining": self.pretraining,
            "starts": starts,
            "similarity": self.similarity,
            "target": self.target.description(),
            "clustering": self.clustering.description(),
            "self_training": self.self_training,
            "decoder": self.decoder,
        });
        if let Some(layerwise) = &self.layerwise {
            record["layerwise"] = json!(layerwise);
        }
        if let Some(pairs) = &self.pairs {
            record["pairs"] = pairs.record();
        }
        if !self.frozen.is_empty() {
            record["frozen"] = json!(self.frozen);
        }
        record
    }
}

fn conflict(reason: String) -> crate::error::Error {
    ParameterError::Conflict { reason }.into()
}
