//! scDCC: joint reconstruction and clustering, with optional constraint pairs.

use burn::config::Config;
use burn::tensor::Device;

use super::checkpoint::CheckpointConfig;
use super::fitting::{
    check_encoder, check_weight, check_widths, describe, for_training, initial_clusters,
    keep_freed_memory, model_info, start_at_components,
};
use super::observer::Observer;
use super::pretrain::{EarlyStopping, PretrainConfig, Stage, pretrain};
use super::run::TrainingRun;
use super::self_train::{
    Constraints, SelfTrainConfig, SelfTraining, SelfTrainingOutcome, last_good_evaluation,
};
use crate::batches::{Batches, Corruption};
use crate::error::{LastGood, ParameterError, Result};
use crate::graph::{GraphConfig, NeighborAverage};
use crate::loss::{
    CannotLinkLoss, ClusteringLoss, CountLoss, GraphSmoothed, KlSelfTraining, MustLinkLoss,
    PairGuided, ReconstructionLoss, Weighted, check_pair_errors,
};
use crate::model::{Evaluation, Fit, FittedModel, StopReason};
use crate::nn::{
    Activation, Autoencoder, AutoencoderConfig, ClusteringLayer, ClusteringNetwork,
    CountDistribution, InitialWeights, ReconstructionHead, SimilarityKernel, initialize_weights,
};
use crate::optim::OptimizerConfig;
use crate::pairs::ConstraintPairs;
use crate::preprocess::Cells;
use crate::start::{CentroidStart, KMeansConfig, SmoothedKMeansConfig, StableGraphConfig};

/// Settings of scDCC; [`init`](Self::init) makes a [`ScdccTrainer`].
///
/// ```
/// use celldec::prelude::*;
///
/// let config = ScdccConfig::new(8).with_seed(7);
/// let trainer = config.init(&Device::default())?;
///
/// // Invalid settings are refused before any work.
/// assert!(ScdccConfig::new(8).with_batch_size(0).init(&Device::default()).is_err());
/// # let _ = trainer;
/// # Ok::<(), celldec::Error>(())
/// ```
#[derive(Config, Debug)]
pub struct ScdccConfig {
    /// Number of clusters. With a graph [`start`](field@Self::start) the number comes from the
    /// resolution and this one is not used.
    pub clusters: usize,
    /// Where centroids come from; `None`: [`SmoothedKMeansConfig::new`] with
    /// [`clusters`](Self::clusters) clusters.
    pub start: Option<CentroidStart>,
    /// The distribution of counts that the decoder describes.
    #[config(default = "CountDistribution::NegativeBinomial")]
    pub distribution: CountDistribution,
    /// Whether the decoder's output starts at the mean and dispersion of every gene, instead of at
    /// random.
    #[config(default = true)]
    pub start_at_moments: bool,
    /// Whether a trainable linear map from genes to the latent space is added to the encoder; it
    /// starts at the principal components of the input.
    #[config(default = true)]
    pub linear_skip: bool,
    /// Width of every layer of the encoder, the last is the latent space; the decoder mirrors it.
    #[config(default = "vec![256, 64, 32]")]
    pub widths: Vec<usize>,
    /// Cells (or pairs) per step.
    #[config(default = 256)]
    pub batch_size: usize,
    /// Standard deviation of the noise added to the input while training.
    #[config(default = 2.5)]
    pub noise: f64,
    /// Epochs of pretraining (Adam with AMSGrad on the reconstruction loss).
    #[config(default = 15)]
    pub pretraining_epochs: usize,
    /// When to end pretraining before its last epoch; `None`: never, which is right for the few
    /// epochs of the default.
    pub early_stopping: Option<EarlyStopping>,
    /// Learning rate of pretraining.
    #[config(default = 1e-3)]
    pub pretraining_learning_rate: f64,
    /// The most epochs of self-training.
    #[config(default = 100)]
    pub max_epochs: usize,
    /// Self-training ends when a smaller fraction of labels changes between two updates of the
    /// target.
    #[config(default = 5e-3)]
    pub tolerance: f64,
    /// Epochs between two updates of the target.
    #[config(default = 1)]
    pub update_interval: usize,
    /// Optimizer of self-training.
    #[config(default = "OptimizerConfig::Adam { amsgrad: true }")]
    pub optimizer: OptimizerConfig,
    /// Learning rate of self-training.
    #[config(default = 1e-3)]
    pub learning_rate: f64,
    /// Whether self-training visits the cells in a new order in every epoch; the original keeps
    /// the file's order.
    #[config(default = true)]
    pub shuffle: bool,
    /// Weight γ of the clustering loss against the reconstruction loss.
    #[config(default = 1.0)]
    pub clustering_weight: f64,
    /// Weight of the reconstruction loss in self-training. With 0 encoder and centroids train on
    /// the clustering loss and the constraints alone, which takes a third of the time; the decoder
    /// stays as pretraining left it.
    #[config(default = 0.0)]
    pub reconstruction_weight: f64,
    /// Nearest neighbours, in latent space, over which soft assignments are averaged before they
    /// become the target; 0: none.
    #[config(default = 15)]
    pub target_neighbors: usize,
    /// Over whom the target's soft assignments are averaged.
    #[config(default = "NeighborAverage::ByHubness")]
    pub neighbor_average: NeighborAverage,
    /// Weight of the must-link loss.
    #[config(default = 1.0)]
    pub must_link_weight: f64,
    /// Weight of the cannot-link loss.
    #[config(default = 1.0)]
    pub cannot_link_weight: f64,
    /// Whether centroids start at the groups of cells that constraint pairs
    /// [let know](ConstraintPairs::known_groups).
    #[config(default = true)]
    pub start_at_constraints: bool,
    /// Whether the target of the clustering loss agrees with constraint pairs and with what
    /// follows from them for other cells ([`PairGuided`]).
    #[config(default = true)]
    pub guide_by_constraints: bool,
    /// The share of constraint pairs that are thought to be wrong: above 0 and below 0.5.
    #[config(default = 0.05)]
    pub pair_errors: f64,
    /// Similarity of cells to centroids.
    #[config(default = "SimilarityKernel::StudentT { alpha: 1.0 }")]
    pub kernel: SimilarityKernel,
    /// What is added to q in the logarithm of the clustering loss; 1e-6 in the original.
    #[config(default = 0.0)]
    pub assignment_offset: f64,
    /// Seed of everything random.
    #[config(default = 0)]
    pub seed: u64,
}

impl ScdccConfig {
    /// The settings of the paper and its code to the letter (Tian et al., 2021), for comparisons.
    ///
    /// ZINB with three output layers, random start, 300 epochs of pretraining, plain k-means, joint
    /// training with Adadelta on batches in the file's order until 0.1 % of labels change, and an
    /// offset of 1e-6 in the clustering loss. The input to go with it is
    /// [`Preprocess::scdcc_reference`](crate::preprocess::Preprocess::scdcc_reference).
    pub fn reference(clusters: usize) -> Self {
        Self::new(clusters)
            .with_start(Some(CentroidStart::KMeans(KMeansConfig::new(clusters))))
            .with_distribution(CountDistribution::ZeroInflated)
            .with_start_at_moments(false)
            .with_linear_skip(false)
            .with_pretraining_epochs(300)
            .with_max_epochs(2000)
            .with_tolerance(1e-3)
            .with_optimizer(OptimizerConfig::Adadelta { rho: 0.95 })
            .with_learning_rate(1.0)
            .with_shuffle(false)
            .with_reconstruction_weight(1.0)
            .with_target_neighbors(0)
            .with_start_at_constraints(false)
            .with_guide_by_constraints(false)
            .with_assignment_offset(1e-6)
    }

    /// For an unknown number of clusters: Leiden communities of the embedding's neighbour graph, at
    /// the resolution that the data prefer ([`StableGraphConfig`]).
    pub fn auto() -> Self {
        let start = CentroidStart::StableGraph(StableGraphConfig::new());
        Self::new(0).with_start(Some(start))
    }

    /// For an unknown number of clusters: Leiden communities of the embedding's neighbour graph
    /// (14 neighbours, which are 15 in scanpy: it counts the cell itself) at a resolution.
    pub fn from_resolution(resolution: f64) -> Self {
        Self::new(0).with_start(Some(CentroidStart::Graph(
            GraphConfig::new(resolution).with_neighbors(14),
        )))
    }

    /// Checks the settings and makes the trainer, with the loss of the count
    /// [`distribution`](field@Self::distribution) and KL self-training.
    ///
    /// # Errors
    /// One [`ParameterError`] for the first setting outside its range.
    pub fn init(&self, device: &Device) -> Result<ScdccTrainer> {
        self.start().check_settings()?;
        self.check()?;
        Ok(ScdccTrainer {
            reconstruction: CountLoss::new(),
            head: self.distribution,
            clustering: GraphSmoothed::new(
                KlSelfTraining::new().with_offset(self.assignment_offset),
                self.target_neighbors,
            )
            .with_average(self.neighbor_average),
            constraints: ConstraintPairs::default(),
            config: self.clone(),
            checkpoint: None,
            device: device.clone().inner(),
        })
    }

    fn check(&self) -> Result<(), ParameterError> {
        check_widths("the widths of the encoder", &self.widths)?;
        for (name, value) in [
            ("the weight of the clustering loss", self.clustering_weight),
            (
                "the weight of the reconstruction loss",
                self.reconstruction_weight,
            ),
            ("the weight of the must-link loss", self.must_link_weight),
            (
                "the weight of the cannot-link loss",
                self.cannot_link_weight,
            ),
            ("the assignment offset", self.assignment_offset),
        ] {
            check_weight(name, value)?;
        }
        check_pair_errors(self.pair_errors)?;
        self.kernel.check()?;
        self.pretraining().check("pretraining")?;
        self.self_training().check()
    }

    fn pretraining(&self) -> PretrainConfig {
        PretrainConfig::new(
            vec![Stage::new(
                self.pretraining_learning_rate,
                self.pretraining_epochs,
            )],
            OptimizerConfig::Adam { amsgrad: true },
        )
        .with_batch_size(self.batch_size)
        .with_corruption(Corruption::Gaussian(self.noise))
        .with_early_stopping(self.early_stopping)
    }

    fn self_training(&self) -> SelfTrainConfig {
        SelfTrainConfig::new(
            self.optimizer.clone(),
            self.learning_rate,
            self.max_epochs,
            self.tolerance,
        )
        .with_update_interval(self.update_interval)
        .with_batch_size(self.batch_size)
        .with_shuffle(self.shuffle)
        .with_corruption(Corruption::Gaussian(self.noise))
    }

    fn start(&self) -> CentroidStart {
        self.start.clone().unwrap_or_else(|| {
            CentroidStart::SmoothedKMeans(SmoothedKMeansConfig::new(self.clusters))
        })
    }
}

/// Trains scDCC (Tian et al., *Nat. Commun.* 2021); without constraint pairs it is scDeepCluster
/// (Tian et al., *Nat. Mach. Intell.* 2019).
///
/// 1. A denoising autoencoder learns a zero-inflated negative binomial of the counts.
/// 2. Centroids come from k-means of the embedding, or from communities of its neighbour graph.
/// 3. Encoder, decoder and centroids train jointly on ZINB + γ·KL(p‖q), and on the constraint
///    pairs.
///
/// Any [`ReconstructionLoss`] with its head and any [`ClusteringLoss`] take the place of the
/// default ones.
#[derive(Debug, Clone)]
pub struct ScdccTrainer<
    R: ReconstructionLoss = CountLoss,
    C: ClusteringLoss = GraphSmoothed<KlSelfTraining>,
> {
    reconstruction: R,
    head: <R::Head as ReconstructionHead>::Config,
    clustering: C,
    constraints: ConstraintPairs,
    config: ScdccConfig,
    checkpoint: Option<CheckpointConfig>,
    device: Device,
}

impl<R: ReconstructionLoss, C: ClusteringLoss> ScdccTrainer<R, C> {
    /// Takes another reconstruction loss, with the settings of its head.
    pub fn with_reconstruction_loss<L: ReconstructionLoss>(
        self,
        loss: L,
        head: <L::Head as ReconstructionHead>::Config,
    ) -> ScdccTrainer<L, C> {
        ScdccTrainer {
            reconstruction: loss,
            head,
            clustering: self.clustering,
            constraints: self.constraints,
            config: self.config,
            checkpoint: self.checkpoint,
            device: self.device,
        }
    }

    /// Takes another clustering loss.
    pub fn with_clustering_loss<L: ClusteringLoss>(self, loss: L) -> ScdccTrainer<R, L> {
        ScdccTrainer {
            reconstruction: self.reconstruction,
            head: self.head,
            clustering: loss,
            constraints: self.constraints,
            config: self.config,
            checkpoint: self.checkpoint,
            device: self.device,
        }
    }

    /// Adds constraint pairs; they replace earlier ones.
    pub fn with_constraints(mut self, constraints: ConstraintPairs) -> Self {
        self.constraints = constraints;
        self
    }

    /// Makes `fit` and `fit_observed` write checkpoints, and resume from the one that is there;
    /// [`pretrain`](Self::pretrain) and [`cluster`](Self::cluster) do what their
    /// [run](TrainingRun::with_checkpoint) says.
    pub fn with_checkpoint(mut self, checkpoint: CheckpointConfig) -> Self {
        self.checkpoint = Some(checkpoint);
        self
    }

    /// The settings.
    pub fn config(&self) -> &ScdccConfig {
        &self.config
    }

    /// Fits cells.
    ///
    /// # Errors
    /// [`ParameterError::Clusters`] when there are more clusters than cells, another
    /// [`ParameterError`] when the start does not suit the number of cells,
    /// [`Error::Constraint`](crate::Error::Constraint) when a pair names no cell,
    /// [`Error::SingleCommunity`](crate::Error::SingleCommunity) when a graph start finds one
    /// community, [`Error::Diverged`](crate::Error::Diverged) when training does, with
    /// [what it had reached](crate::error::LastGood); with checkpoints,
    /// [`Error::CheckpointMismatch`](crate::Error::CheckpointMismatch),
    /// [`Error::Checkpoint`](crate::Error::Checkpoint) or [`Error::Io`](crate::Error::Io) when the
    /// one that is there cannot be resumed.
    pub fn fit(&self, cells: &Cells) -> Result<Fit<R::Head>> {
        self.run(cells, TrainingRun::new(self.config.seed))
    }

    /// Fits cells while an observer watches.
    ///
    /// # Errors
    /// As [`fit`](Self::fit).
    pub fn fit_observed(&self, cells: &Cells, observer: &mut dyn Observer) -> Result<Fit<R::Head>> {
        self.run(cells, TrainingRun::observed(self.config.seed, observer))
    }

    /// The first phase alone: a pretrained autoencoder.
    ///
    /// # Errors
    /// As [`fit`](Self::fit).
    pub fn pretrain(
        &self,
        cells: &Cells,
        run: &mut TrainingRun<'_>,
    ) -> Result<Autoencoder<R::Head>> {
        keep_freed_memory();
        describe("scdcc", &self.config, &self.head, run)?;
        let device = self.device.clone().autodiff();
        let config = &self.config;
        let mut architecture =
            AutoencoderConfig::symmetric(cells.genes(), &config.widths, Activation::Linear);
        architecture.encoder.linear_skip = config.linear_skip;
        let autoencoder = architecture.init::<R::Head>(&self.head, &device);
        let mut autoencoder = initialize_weights(autoencoder, InitialWeights::Pytorch, config.seed);
        if config.linear_skip {
            autoencoder.encoder = start_at_components(autoencoder.encoder, cells, config.seed)?;
        }
        if config.start_at_moments {
            let moments = cells.gene_moments()?;
            autoencoder.head = autoencoder
                .head
                .start_at_moments(&moments.means, &moments.dispersions);
        }
        pretrain(
            autoencoder,
            &self.reconstruction,
            &Batches::new(cells, &device),
            &self.config.pretraining(),
            run,
        )
    }

    /// The second phase alone: clusters cells with a pretrained autoencoder, for example one
    /// [read from the original's weights](crate::model::read_scdcc_weights).
    ///
    /// # Errors
    /// As [`fit`](Self::fit), and [`Error::LengthMismatch`](crate::Error::LengthMismatch) when the
    /// encoder does not fit the cells' genes.
    pub fn cluster(
        &self,
        autoencoder: impl Into<Autoencoder<R::Head>>,
        cells: &Cells,
        mut run: TrainingRun<'_>,
    ) -> Result<Fit<R::Head>> {
        let autoencoder = autoencoder.into();
        describe("scdcc", &self.config, &self.head, &mut run)?;
        self.check_cells(cells)?;
        check_encoder(&autoencoder.encoder, cells)?;
        let config = &self.config;
        let device = self.device.clone().autodiff();
        let batches = Batches::new(cells, &device);
        let autoencoder = for_training(autoencoder, &device);
        let known_groups = match config.start_at_constraints {
            true => self.constraints.known_groups(),
            false => Vec::new(),
        };
        let initial = initial_clusters(
            &autoencoder.encoder,
            &batches,
            &config.start(),
            &known_groups,
            &mut run,
        )?;
        let clustering = ClusteringLayer::from_centroids(
            initial.centroids.view(),
            config.kernel.clone(),
            &device,
        );
        let (together, apart) = match config.guide_by_constraints {
            true => (self.constraints.must_link(), self.constraints.cannot_link()),
            false => Default::default(),
        };
        let guided = PairGuided::new(&self.clustering, together, apart)
            .with_pair_errors(config.pair_errors)?;
        let clustering_loss = Weighted::new(guided, config.clustering_weight);
        let reconstruction = Weighted::new(&self.reconstruction, config.reconstruction_weight);
        let must_link = Weighted::new(MustLinkLoss::new(), config.must_link_weight);
        let cannot_link = Weighted::new(CannotLinkLoss::new(), config.cannot_link_weight);
        let outcome = SelfTraining {
            clustering: &clustering_loss,
            reconstruction: (config.reconstruction_weight > 0.0).then_some(&reconstruction),
            constraints: (!self.constraints.is_empty()).then_some(Constraints {
                pairs: &self.constraints,
                must_link: &must_link,
                cannot_link: &cannot_link,
            }),
            config: &config.self_training(),
        }
        .run(
            ClusteringNetwork::joint(autoencoder, clustering),
            &batches,
            &initial.labels,
            &mut run,
        );
        let info = model_info("scdcc", config.seed, config, cells)?;
        let finish = |network, evaluation: Evaluation, stop_reason| {
            let model = FittedModel::new(
                network,
                Some(self.head.clone()),
                cells.preprocessing().clone(),
                info,
                &self.device,
            );
            let history = run.into_history();
            Fit::new(model, evaluation, initial, stop_reason, history)
        };
        match outcome {
            Ok(SelfTrainingOutcome {
                network,
                evaluation,
                stop_reason,
            }) => Ok(finish(network, evaluation, stop_reason)),
            Err(error) => {
                Err(
                    error.map_last_good(|state| match last_good_evaluation(state, &batches) {
                        Some((network, evaluation)) => {
                            LastGood::new(finish(network, evaluation, StopReason::Diverged))
                        }
                        None => LastGood::default(),
                    }),
                )
            }
        }
    }

    fn run(&self, cells: &Cells, run: TrainingRun<'_>) -> Result<Fit<R::Head>> {
        self.check_cells(cells)?;
        let mut run = match &self.checkpoint {
            Some(checkpoint) => run.with_checkpoint(checkpoint.clone()),
            None => run,
        };
        let autoencoder = self.pretrain(cells, &mut run)?;
        self.cluster(autoencoder, cells, run)
    }

    fn check_cells(&self, cells: &Cells) -> Result<()> {
        self.config.start().validate(cells.cells())?;
        self.constraints.check_range(cells.cells())?;
        Ok(())
    }
}
