//! The methods as values.

use std::sync::Arc;

use super::phases::{EarlyStopping, PretrainConfig, SelfTrainConfig, Stage};
use super::plan::{DecoderTraining, NetworkConfig, Plan, Widths};
use crate::batches::Corruption;
use crate::graph::{CommunityMethod, GraphConfig, NeighborAverage};
use crate::loss::{CountLoss, KlDivergence, MseLoss, SharpenedTarget, SmoothedTarget};
use crate::nn::{
    Activation, CountDistribution, CountHead, InitialWeights, MseHead, MseHeadConfig,
    SimilarityKernel,
};
use crate::optim::OptimizerConfig;
use crate::start::{CentroidStart, KMeansConfig, SmoothedKMeansConfig, StableGraphConfig};

/// Nearest neighbours over which the target is averaged.
const TARGET_NEIGHBORS: usize = 15;
/// Steps of pretraining after which no further epoch begins.
const ENOUGH_STEPS: usize = 3000;

/// The settings of scDCC.
impl Plan<CountHead> {
    /// scDCC (Tian et al., *Nat. Commun.* 2021) with this crate's defaults, for a known number of
    /// clusters:
    ///
    /// 1. A denoising autoencoder learns a negative binomial of the counts, with one dispersion per
    ///    gene, in 15 epochs, or as few as take 3000 steps (above 54 784 cells); a linear map beside
    ///    the encoder starts at the principal components.
    /// 2. Centroids come from k-means of the embedding averaged over neighbours.
    /// 3. Encoder and centroids train on the clustering loss, whose target is averaged over 15
    ///    neighbours, and on the constraint pairs if there are any; the decoder stays as it is.
    ///
    /// The published method is [`scdcc_reference`](Self::scdcc_reference).
    pub fn scdcc(clusters: usize) -> Self {
        let kmeans = SmoothedKMeansConfig::new(clusters);
        Self::scdcc_from(CentroidStart::SmoothedKMeans(kmeans))
    }

    /// [`scdcc`](Self::scdcc) for an unknown number of clusters: Leiden communities of the
    /// embedding's neighbour graph, at the resolution that the data prefer
    /// ([`StableGraphConfig`]).
    pub fn scdcc_auto() -> Self {
        Self::scdcc_from(CentroidStart::StableGraph(StableGraphConfig::new()))
    }

    /// [`scdcc`](Self::scdcc) for an unknown number of clusters: Leiden communities of the
    /// embedding's neighbour graph at a resolution, with 14 neighbours beside the cell, as scanpy's
    /// `n_neighbors=15` counts them.
    pub fn scdcc_at_resolution(resolution: f64) -> Self {
        let graph = GraphConfig::new(resolution).with_neighbors(14);
        Self::scdcc_from(CentroidStart::Graph(graph))
    }

    fn scdcc_from(start: CentroidStart) -> Self {
        let target = SmoothedTarget::new(SharpenedTarget::new(), TARGET_NEIGHBORS)
            .with_average(NeighborAverage::ByHubness);
        Self {
            method: "scdcc".into(),
            seed: 0,
            network: NetworkConfig::new(),
            head: CountDistribution::NegativeBinomial,
            layerwise: None,
            pretraining: PretrainConfig::new().with_enough_steps(Some(ENOUGH_STEPS)),
            starts: vec![start],
            similarity: SimilarityKernel::StudentT { alpha: 1.0 },
            self_training: SelfTrainConfig::new(),
            decoder: DecoderTraining::Kept,
            frozen: Vec::new(),
            reconstruction: Arc::new(CountLoss::new()),
            target: Arc::new(target),
            clustering: Arc::new(KlDivergence::new()),
            pairs: None,
            published_pairs: false,
        }
    }

    /// The settings of scDCC's paper and code to the letter (Tian et al., 2021), for comparisons.
    ///
    /// ZINB with three output layers, random start, 300 epochs of pretraining, plain k-means, joint
    /// training with Adadelta on batches in the file's order until 0.1 % of labels change, and an
    /// offset of 1e-6 in the clustering loss; pairs act in their losses alone. The input to go with
    /// it is [`Preprocess::scdcc_reference`](crate::preprocess::Preprocess::scdcc_reference).
    pub fn scdcc_reference(clusters: usize) -> Self {
        let kmeans = CentroidStart::KMeans(KMeansConfig::new(clusters));
        let mut plan = Self::scdcc_from(kmeans)
            .with_network(|network| network.with_linear_skip(false).with_start_at_moments(false))
            .with_pretraining(|phase| phase.with_epochs(300))
            .with_self_training(|phase| {
                phase
                    .with_max_epochs(2000)
                    .with_tolerance(1e-3)
                    .with_optimizer(OptimizerConfig::adadelta(0.95))
                    .with_learning_rate(1.0)
                    .with_shuffle(false)
            })
            .with_decoder(DecoderTraining::Joint {
                weight: 1.0,
                corruption: Corruption::Gaussian(2.5),
            })
            .with_target(SharpenedTarget::new())
            .with_clustering(KlDivergence::new().with_offset(1e-6));
        plan.head = CountDistribution::ZeroInflated;
        plan.published_pairs = true;
        plan
    }

    /// scDeepCluster (Tian et al., *Nat. Mach. Intell.* 2019) as its PyTorch code has it, which is
    /// [`scdcc_reference`](Self::scdcc_reference) without constraint pairs.
    pub fn scdeepcluster(clusters: usize) -> Self {
        Self::scdcc_reference(clusters).with_method("scdeepcluster")
    }

    /// Sets the distribution of counts that the decoder describes.
    pub fn with_distribution(mut self, distribution: CountDistribution) -> Self {
        self.head = distribution;
        self
    }
}

/// The settings of DESC.
impl Plan<MseHead> {
    /// DESC (Li et al., *Nat. Commun.* 2020) with this crate's defaults:
    ///
    /// 1. A denoising autoencoder learns to reconstruct scaled expression in 10 epochs, or as few as
    ///    take 3000 steps (above 85 248 cells); a linear map beside the encoder starts at the
    ///    principal components.
    /// 2. Centroids are the means of Leiden communities of the embedding's neighbour graph, whose
    ///    number comes from a resolution, 0.3 unless
    ///    [another is set](Plan::with_resolutions).
    /// 3. The decoder is removed; encoder and centroids train on the clustering loss, whose target
    ///    is averaged over 15 neighbours.
    ///
    /// The published method is [`desc_reference`](Self::desc_reference).
    pub fn desc() -> Self {
        Self::desc_from(CentroidStart::Graph(
            GraphConfig::new(0.3).with_neighbors(19),
        ))
    }

    /// [`desc`](Self::desc) at the resolution that the data prefer ([`StableGraphConfig`]).
    pub fn desc_auto() -> Self {
        Self::desc_from(CentroidStart::StableGraph(StableGraphConfig::new()))
    }

    fn desc_from(start: CentroidStart) -> Self {
        let target = SmoothedTarget::new(SharpenedTarget::new(), TARGET_NEIGHBORS);
        Self {
            method: "desc".into(),
            seed: 0,
            network: NetworkConfig::new()
                .with_widths([128, 32])
                .with_initial_weights(InitialWeights::Glorot)
                .with_start_at_moments(false),
            head: MseHeadConfig::new(),
            layerwise: None,
            pretraining: PretrainConfig::new()
                .with_epochs(10)
                .with_enough_steps(Some(ENOUGH_STEPS)),
            starts: vec![start],
            similarity: SimilarityKernel::StudentT { alpha: 1.0 },
            self_training: SelfTrainConfig::new(),
            decoder: DecoderTraining::Removed,
            frozen: Vec::new(),
            reconstruction: Arc::new(MseLoss::new()),
            target: Arc::new(target),
            clustering: Arc::new(KlDivergence::new()),
            pairs: None,
            published_pairs: false,
        }
    }

    /// The settings of DESC's paper and code to the letter (Li et al., 2020), for comparisons.
    ///
    /// Widths by the number of cells; layer-wise pretraining with dropout, then 300 epochs end to
    /// end in stages of 50 with a tenfold lower learning rate each; the reconstruction ends in tanh
    /// although inputs reach ±6; communities are Louvain's on the unweighted graph with 9 neighbours
    /// beside the cell; self-training by gradient descent with momentum.
    pub fn desc_reference() -> Self {
        let descent = OptimizerConfig::sgd(0.9);
        let graph = GraphConfig::new(1.0)
            .with_neighbors(9)
            .with_method(CommunityMethod::Louvain)
            .with_weighted(false);
        let mut plan = Self::desc_from(CentroidStart::Graph(graph))
            .with_network(|network| {
                network
                    .with_widths(Widths::by_cells())
                    .with_linear_skip(false)
                    .with_latent_activation(Activation::Tanh)
            })
            .with_pretraining(|phase| {
                phase
                    .with_corruption(Corruption::None)
                    .with_optimizer(descent.clone())
            })
            .with_self_training(|phase| {
                phase
                    .with_max_epochs(5000)
                    .with_update_interval(5)
                    .with_optimizer(descent)
                    .with_learning_rate(0.01)
            })
            .with_target(SharpenedTarget::new());
        plan.head = MseHeadConfig::new().with_activation(Activation::Tanh);
        plan.with_published_pretraining(300)
    }

    /// DESC's published pretraining, for a number of epochs end to end: those in stages of 50 with a
    /// tenfold lower learning rate each, from 1 on; before them every layer with half as many, in
    /// three stages from 0.1 on, each of which ends when its loss no longer falls. However many cells
    /// there are.
    pub fn with_published_pretraining(mut self, epochs: usize) -> Self {
        self.pretraining = self.pretraining.with_enough_steps(None);
        let stage = (epochs / 2).div_ceil(3);
        let stages = (1..=3).map(|power| Stage::new(0.1f64.powi(power), stage));
        self.layerwise = Some(
            self.pretraining
                .clone()
                .with_optimizer(OptimizerConfig::sgd(0.9))
                .with_corruption(Corruption::Dropout(0.2))
                .with_early_stopping(Some(EarlyStopping::new(1e-4, 10)))
                .with_stages(stages.collect()),
        );
        self.with_pretraining(|phase| phase.with_stages(Stage::falling(1.0, epochs, 50)))
    }
}
