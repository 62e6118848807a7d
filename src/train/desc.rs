//! DESC: an autoencoder, then the encoder alone on the clustering loss.

use burn::config::Config;
use burn::tensor::Device;

use super::checkpoint::CheckpointConfig;
use super::fitting::{
    check_encoder, check_widths, describe, for_training, initial_clusters, keep_freed_memory,
    model_info, start_at_components,
};
use super::layerwise::pretrain_layers;
use super::observer::Observer;
use super::pretrain::{EarlyStopping, PretrainConfig, Stage, pretrain};
use super::run::TrainingRun;
use super::self_train::{SelfTrainConfig, SelfTraining, SelfTrainingOutcome, last_good_evaluation};
use crate::batches::{Batches, Corruption};
use crate::error::{LastGood, ParameterError, Result};
use crate::graph::{CommunityMethod, GraphConfig};
use crate::loss::{ClusteringLoss, GraphSmoothed, KlSelfTraining, MseLoss, ReconstructionLoss};
use crate::model::{Evaluation, Fit, FittedModel, StopReason};
use crate::nn::{
    Activation, Autoencoder, AutoencoderConfig, ClusteringLayer, ClusteringNetwork, InitialWeights,
    MseHeadConfig, ReconstructionHead, SimilarityKernel, initialize_weights,
};
use crate::optim::OptimizerConfig;
use crate::preprocess::Cells;
use crate::start::{CentroidStart, StableGraphConfig};

/// Settings of DESC; [`init`](Self::init) makes a [`DescTrainer`].
#[derive(Config, Debug)]
pub struct DescConfig {
    /// Resolutions of the graph clustering, one run each; all share one pretraining. Higher ones
    /// give more clusters.
    #[config(default = "vec![0.3]")]
    pub resolutions: Vec<f64>,
    /// Nearest neighbours of a cell in the graph, the cell itself not counted; scanpy's
    /// `n_neighbors`, which counts it, is one more.
    #[config(default = 19)]
    pub neighbors: usize,
    /// How communities of the graph are found.
    #[config(default = "CommunityMethod::Leiden")]
    pub communities: CommunityMethod,
    /// Whether edges of the graph count by their connectivity or all alike. The original calls
    /// scanpy's `louvain`, which counts them alike.
    #[config(default = true)]
    pub weighted_graph: bool,
    /// Another start, for example k-means with a known number of clusters, in place of the graph
    /// at the [`resolutions`](Self::resolutions); a single run.
    pub start: Option<CentroidStart>,
    /// Width of every layer of the encoder, the last is the latent space; `None`: by the number
    /// of cells as in the paper, [`DescConfig::widths_for`].
    #[config(default = "Some(vec![128, 32])")]
    pub widths: Option<Vec<usize>>,
    /// Whether a trainable linear map from genes to the latent space is added to the encoder; it
    /// starts at the principal components of the input.
    #[config(default = true)]
    pub linear_skip: bool,
    /// Activation of the latent space; tanh in the paper.
    #[config(default = "Activation::Linear")]
    pub latent_activation: Activation,
    /// Activation of the reconstruction. The published one is tanh although inputs reach ±6.
    #[config(default = "Activation::Linear")]
    pub output_activation: Activation,
    /// Where weights start.
    #[config(default = "InitialWeights::Glorot")]
    pub initial_weights: InitialWeights,
    /// Cells per step.
    #[config(default = 256)]
    pub batch_size: usize,
    /// Whether the layers are pretrained one by one before the whole autoencoder.
    #[config(default = false)]
    pub layerwise: bool,
    /// Input and hidden dropout of the layer-wise pretraining.
    #[config(default = 0.2)]
    pub dropout: f64,
    /// Standard deviation of the noise added to the input while the autoencoder is pretrained end
    /// to end; none in the paper.
    #[config(default = 2.5)]
    pub noise: f64,
    /// Epochs of pretraining the autoencoder end to end, in stages of 50 epochs with a tenfold
    /// lower learning rate each; before them half as many for each layer, if
    /// [layer-wise](field@Self::layerwise).
    #[config(default = 10)]
    pub pretraining_epochs: usize,
    /// When to end a stage of pretraining end to end before its last epoch; `None`: never, which
    /// is right for the few epochs of the default.
    pub early_stopping: Option<EarlyStopping>,
    /// Optimizer of pretraining.
    #[config(default = "OptimizerConfig::Adam { amsgrad: true }")]
    pub pretraining_optimizer: OptimizerConfig,
    /// Learning rate of the first stage end to end; layers start at a tenth of it.
    #[config(default = 1e-3)]
    pub pretraining_learning_rate: f64,
    /// The most epochs of self-training.
    #[config(default = 100)]
    pub max_epochs: usize,
    /// Epochs between two updates of the target.
    #[config(default = 1)]
    pub update_interval: usize,
    /// Self-training ends when a smaller fraction of labels changes between two updates of the
    /// target.
    #[config(default = 5e-3)]
    pub tolerance: f64,
    /// Optimizer of self-training.
    #[config(default = "OptimizerConfig::Adam { amsgrad: true }")]
    pub optimizer: OptimizerConfig,
    /// Learning rate of self-training.
    #[config(default = 1e-3)]
    pub learning_rate: f64,
    /// Nearest neighbours, in latent space, over which soft assignments are averaged before they
    /// become the target; 0: none.
    #[config(default = 15)]
    pub target_neighbors: usize,
    /// Similarity of cells to centroids.
    #[config(default = "SimilarityKernel::StudentT { alpha: 1.0 }")]
    pub kernel: SimilarityKernel,
    /// Seed of everything random.
    #[config(default = 0)]
    pub seed: u64,
}

impl DescConfig {
    /// The settings of the paper and its code to the letter (Li et al., 2020), for comparisons:
    /// the reconstruction ends in tanh, communities are Louvain's on the unweighted graph.
    pub fn reference() -> Self {
        let descent = OptimizerConfig::Sgd { momentum: 0.9 };
        Self::new()
            .with_resolutions(vec![1.0])
            .with_neighbors(9)
            .with_widths(None)
            .with_linear_skip(false)
            .with_latent_activation(Activation::Tanh)
            .with_output_activation(Activation::Tanh)
            .with_layerwise(true)
            .with_noise(0.0)
            .with_pretraining_epochs(300)
            .with_pretraining_optimizer(descent.clone())
            .with_pretraining_learning_rate(1.0)
            .with_max_epochs(5000)
            .with_update_interval(5)
            .with_optimizer(descent)
            .with_learning_rate(0.01)
            .with_target_neighbors(0)
            .with_communities(CommunityMethod::Louvain)
            .with_weighted_graph(false)
    }

    /// A single run at the resolution that the data prefer ([`StableGraphConfig`]).
    pub fn auto() -> Self {
        let start = CentroidStart::StableGraph(StableGraphConfig::new());
        Self::new().with_start(Some(start))
    }

    /// Widths of the encoder by the number of cells, as in the paper.
    pub fn widths_for(cells: usize) -> Vec<usize> {
        match cells {
            20_001.. => vec![128, 32],
            10_001.. => vec![64, 32],
            5_001.. => vec![32, 16],
            2_001.. => vec![128],
            501.. => vec![64],
            _ => vec![16],
        }
    }

    /// Checks the settings and makes the trainer, with the mean squared error and KL
    /// self-training.
    ///
    /// # Errors
    /// One [`ParameterError`] for the first setting outside its range.
    pub fn init(&self, device: &Device) -> Result<DescTrainer> {
        self.check()?;
        for (_, start) in self.starts() {
            start.check_settings()?;
        }
        Ok(DescTrainer {
            reconstruction: MseLoss::new(),
            head: MseHeadConfig::new().with_activation(self.output_activation),
            clustering: GraphSmoothed::new(KlSelfTraining::new(), self.target_neighbors),
            config: self.clone(),
            checkpoint: None,
            device: device.clone().inner(),
        })
    }

    fn check(&self) -> Result<(), ParameterError> {
        let valid = |resolution: &f64| resolution.is_finite() && *resolution > 0.0;
        if self.resolutions.is_empty() || !self.resolutions.iter().all(valid) {
            return Err(ParameterError::Resolutions {
                value: self.resolutions.clone(),
            });
        }
        if let Some(widths) = &self.widths {
            check_widths("the widths of the encoder", widths)?;
        }
        self.kernel.check()?;
        self.layerwise_pretraining()
            .check("layer-wise pretraining")?;
        self.pretraining().check("pretraining")?;
        self.self_training().check()
    }

    fn layerwise_pretraining(&self) -> PretrainConfig {
        let epochs = (self.pretraining_epochs / 2).div_ceil(3);
        let stages = (1..=3)
            .map(|stage| Stage::new(self.pretraining_learning_rate * 0.1f64.powi(stage), epochs))
            .collect();
        PretrainConfig::new(stages, self.pretraining_optimizer.clone())
            .with_batch_size(self.batch_size)
            .with_corruption(Corruption::Dropout(self.dropout))
            .with_early_stopping(Some(EarlyStopping::new(1e-4, 10)))
    }

    fn pretraining(&self) -> PretrainConfig {
        const STAGE: usize = 50;
        let stages = (0..self.pretraining_epochs.div_ceil(STAGE))
            .map(|stage| {
                Stage::new(
                    self.pretraining_learning_rate * 0.1f64.powi(stage as i32),
                    STAGE.min(self.pretraining_epochs - stage * STAGE),
                )
            })
            .collect();
        PretrainConfig::new(stages, self.pretraining_optimizer.clone())
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
    }

    /// The start of every run, with the resolution where there is one.
    fn starts(&self) -> Vec<(Option<f64>, CentroidStart)> {
        match &self.start {
            Some(start) => vec![(None, start.clone())],
            None => self
                .resolutions
                .iter()
                .map(|&resolution| {
                    let graph = GraphConfig::new(resolution)
                        .with_neighbors(self.neighbors)
                        .with_method(self.communities)
                        .with_weighted(self.weighted_graph);
                    (Some(resolution), CentroidStart::Graph(graph))
                })
                .collect(),
        }
    }
}

/// The clustering at one resolution.
#[derive(Debug, Clone)]
pub struct DescRun<H: ReconstructionHead> {
    /// The resolution, given or found; `None` when the centroids did not come from a graph.
    pub resolution: Option<f64>,
    /// The outcome.
    pub fit: Fit<H>,
}

/// Trains DESC (Li et al., *Nat. Commun.* 2020).
///
/// 1. An autoencoder is pretrained layer by layer with dropout, then end to end, on the mean
///    squared error.
/// 2. Centroids are the means of the communities of the embedding's neighbour graph, whose number
///    comes from a resolution.
/// 3. The decoder is removed; encoder and centroids train on KL(p‖q) alone.
///
/// Several resolutions share one pretraining.
#[derive(Debug, Clone)]
pub struct DescTrainer<
    R: ReconstructionLoss = MseLoss,
    C: ClusteringLoss = GraphSmoothed<KlSelfTraining>,
> {
    reconstruction: R,
    head: <R::Head as ReconstructionHead>::Config,
    clustering: C,
    config: DescConfig,
    checkpoint: Option<CheckpointConfig>,
    device: Device,
}

impl<R: ReconstructionLoss, C: ClusteringLoss> DescTrainer<R, C> {
    /// Takes another reconstruction loss, with the settings of its head.
    pub fn with_reconstruction_loss<L: ReconstructionLoss>(
        self,
        loss: L,
        head: <L::Head as ReconstructionHead>::Config,
    ) -> DescTrainer<L, C> {
        DescTrainer {
            reconstruction: loss,
            head,
            clustering: self.clustering,
            config: self.config,
            checkpoint: self.checkpoint,
            device: self.device,
        }
    }

    /// Takes another clustering loss.
    pub fn with_clustering_loss<L: ClusteringLoss>(self, loss: L) -> DescTrainer<R, L> {
        DescTrainer {
            reconstruction: self.reconstruction,
            head: self.head,
            clustering: loss,
            config: self.config,
            checkpoint: self.checkpoint,
            device: self.device,
        }
    }

    /// Makes `fit` and `fit_observed` write checkpoints, and resume from the one that is there;
    /// [`pretrain`](Self::pretrain) and [`cluster`](Self::cluster) do what their
    /// [run](TrainingRun::with_checkpoint) says.
    pub fn with_checkpoint(mut self, checkpoint: CheckpointConfig) -> Self {
        self.checkpoint = Some(checkpoint);
        self
    }

    /// The settings.
    pub fn config(&self) -> &DescConfig {
        &self.config
    }

    /// Fits cells: one run for every resolution, in their order.
    ///
    /// # Errors
    /// [`Error::Parameter`](crate::Error::Parameter) when the start does not suit the number of
    /// cells, [`Error::SingleCommunity`](crate::Error::SingleCommunity) when the graph has one
    /// community at a resolution, [`Error::Diverged`](crate::Error::Diverged) when training does,
    /// with [what it had reached](crate::error::LastGood); with checkpoints,
    /// [`Error::CheckpointMismatch`](crate::Error::CheckpointMismatch),
    /// [`Error::Checkpoint`](crate::Error::Checkpoint) or [`Error::Io`](crate::Error::Io) when the
    /// one that is there cannot be resumed.
    pub fn fit(&self, cells: &Cells) -> Result<Vec<DescRun<R::Head>>> {
        self.run(cells, TrainingRun::new(self.config.seed))
    }

    /// Fits cells while an observer watches.
    ///
    /// # Errors
    /// As [`fit`](Self::fit).
    pub fn fit_observed(
        &self,
        cells: &Cells,
        observer: &mut dyn Observer,
    ) -> Result<Vec<DescRun<R::Head>>> {
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
        describe("desc", &self.config, &self.head, run)?;
        let config = &self.config;
        let device = self.device.clone().autodiff();
        let batches = Batches::new(cells, &device);
        let widths = config
            .widths
            .clone()
            .unwrap_or_else(|| DescConfig::widths_for(cells.cells()));
        let mut architecture =
            AutoencoderConfig::symmetric(cells.genes(), &widths, config.latent_activation);
        architecture.encoder.linear_skip = config.linear_skip;
        let autoencoder = architecture.init::<R::Head>(&self.head, &device);
        let mut autoencoder = initialize_weights(autoencoder, config.initial_weights, config.seed);
        if config.linear_skip {
            autoencoder.encoder = start_at_components(autoencoder.encoder, cells, config.seed)?;
        }
        if config.layerwise {
            autoencoder = pretrain_layers(
                autoencoder,
                &self.reconstruction,
                &batches,
                &config.layerwise_pretraining(),
                run,
            )?;
        }
        pretrain(
            autoencoder,
            &self.reconstruction,
            &batches,
            &config.pretraining(),
            run,
        )
    }

    /// The second phase alone: clusters cells with a pretrained autoencoder, whose decoder is
    /// removed.
    ///
    /// # Errors
    /// As [`fit`](Self::fit), and [`Error::LengthMismatch`](crate::Error::LengthMismatch) when the
    /// encoder does not fit the cells' genes.
    pub fn cluster(
        &self,
        autoencoder: Autoencoder<R::Head>,
        cells: &Cells,
        mut run: TrainingRun<'_>,
    ) -> Result<Vec<DescRun<R::Head>>> {
        let config = &self.config;
        describe("desc", &self.config, &self.head, &mut run)?;
        self.check_cells(cells)?;
        check_encoder(&autoencoder.encoder, cells)?;
        let device = self.device.clone().autodiff();
        let batches = Batches::new(cells, &device);
        let encoder = for_training(autoencoder.encoder, &device);
        let pretraining_epochs = run.history().len();
        let mut runs = Vec::new();
        for (given, start) in config.starts() {
            let initial = initial_clusters(&encoder, &batches, &start, &[], &mut run)?;
            let clustering = ClusteringLayer::from_centroids(
                initial.centroids.view(),
                config.kernel.clone(),
                &device,
            );
            let mut settings = config.clone();
            settings.resolutions = given.map_or(settings.resolutions, |value| vec![value]);
            let info = model_info("desc", config.seed, &settings, cells)?;
            let finish = |network, evaluation: Evaluation, stop_reason, run: &TrainingRun<'_>| {
                let model = FittedModel::new(
                    network,
                    None,
                    cells.preprocessing().clone(),
                    info.clone(),
                    &self.device,
                );
                DescRun {
                    resolution: initial.resolution,
                    fit: Fit::new(
                        model,
                        evaluation,
                        initial.clone(),
                        stop_reason,
                        run.history().to_vec(),
                    ),
                }
            };
            let outcome = SelfTraining::<R, C> {
                clustering: &self.clustering,
                reconstruction: None,
                constraints: None,
                config: &config.self_training(),
            }
            .run(
                ClusteringNetwork::encoder_only(encoder.clone(), clustering),
                &batches,
                &initial.labels,
                &mut run,
            );
            match outcome {
                Ok(SelfTrainingOutcome {
                    network,
                    evaluation,
                    stop_reason,
                }) => runs.push(finish(network, evaluation, stop_reason, &run)),
                Err(error) => {
                    return Err(error.map_last_good(|state| {
                        runs.extend(last_good_evaluation(state, &batches).map(
                            |(network, evaluation)| {
                                finish(network, evaluation, StopReason::Diverged, &run)
                            },
                        ));
                        LastGood::new(runs)
                    }));
                }
            }
            run.truncate_history(pretraining_epochs);
        }
        Ok(runs)
    }

    fn check_cells(&self, cells: &Cells) -> Result<()> {
        self.config
            .starts()
            .iter()
            .try_for_each(|(_, start)| start.validate(cells.cells()))
    }

    fn run(&self, cells: &Cells, run: TrainingRun<'_>) -> Result<Vec<DescRun<R::Head>>> {
        self.check_cells(cells)?;
        let mut run = match &self.checkpoint {
            Some(checkpoint) => run.with_checkpoint(checkpoint.clone()),
            None => run,
        };
        let autoencoder = self.pretrain(cells, &mut run)?;
        self.cluster(autoencoder, cells, run)
    }
}
