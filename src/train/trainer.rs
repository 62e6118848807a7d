//! What runs a plan.

use std::fmt;

use burn::module::Module;
use burn::tensor::Device;

use super::checkpoint::CheckpointConfig;
use super::failure::{Failure, FitError, LastGood};
use super::memory::{DataSize, MemoryEstimate, of_sending};
use super::observer::Observer;
use super::phases::{
    Constraints, JointReconstruction, SelfTraining, SelfTrainingOutcome, check_encoder,
    for_training, initial_clusters, keep_freed_memory, pretrain, pretrain_layers,
    start_at_components,
};
use super::plan::{DecoderTraining, Part, Plan};
use super::run::TrainingRun;
use crate::batches::Batches;
use crate::error::{Error, ParameterError, Result};
use crate::graph::DeviceSearch;
use crate::loss::Weighted;
use crate::model::{Fit, FittedModel, ModelInfo};
use crate::nn::{
    Autoencoder, ClusteringLayer, ClusteringNetwork, CountHead, MseHead, ReconstructionHead,
    initialize_weights,
};
use crate::preprocess::Cells;
use crate::start::{CentroidStart, InitialCentroids};

/// A trainer of scDCC with its count head: what [`Plan::scdcc`] and its relatives give.
pub type ScdccTrainer = Trainer<CountHead>;

/// A trainer of DESC with its head: what [`Plan::desc`] and its relatives give.
pub type DescTrainer = Trainer<MseHead>;

/// A checked [`Plan`] on a device, or on several.
///
/// ```
/// use celldec::prelude::*;
///
/// let counts = SimulationConfig::new(120, 60).with_groups(3).with_seed(1).simulate()?.counts;
/// let cells = Preprocess::desc().fit(&counts)?;
///
/// let plan = Plan::desc().with_resolutions([1.5]).with_seed(7).with_epochs(2, 2);
/// let trainer = plan.trainer(&Device::default())?;
/// let fit = trainer.fit(&cells)?;
/// assert_eq!(fit.clusters().labels().len(), 120);
///
/// // Settings that cannot be are refused before any work.
/// assert!(Plan::desc().with_batch_size(0).trainer(&Device::default()).is_err());
/// # Ok::<(), celldec::Error>(())
/// ```
#[derive(Clone)]
pub struct Trainer<H: ReconstructionHead> {
    plan: Plan<H>,
    checkpoint: Option<CheckpointConfig>,
    memory_limit: Option<u64>,
    device: Device,
    /// Devices that share the steps of training with the first one.
    others: Vec<Device>,
    device_search: Option<DeviceSearch>,
}

impl<H: ReconstructionHead> fmt::Debug for Trainer<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trainer")
            .field("plan", &self.plan)
            .field("checkpoint", &self.checkpoint)
            .field("memory_limit", &self.memory_limit)
            .field("device", &self.device)
            .field("others", &self.others)
            .field("device_search", &self.device_search)
            .finish()
    }
}

impl<H: ReconstructionHead> Plan<H> {
    /// Checks the settings and makes the trainer.
    ///
    /// # Errors
    /// One [`ParameterError`] for the first setting outside its range, or that contradicts another.
    pub fn trainer(&self, device: &Device) -> Result<Trainer<H>> {
        self.trainer_on(std::slice::from_ref(device))
    }

    /// Checks the settings and makes a trainer whose steps several devices share.
    ///
    /// Each device computes losses and gradients of a contiguous share of every batch, in a thread of
    /// its own; the shares differ by one row at most, and where a batch has fewer rows than there are
    /// devices the last ones idle. The loss of a share counts by its part of the rows, the first device
    /// sums the gradients and takes the step. A fit agrees with that of the first device alone but for
    /// rounding, as long as every loss of a batch is the mean over its rows, cells or pairs, and no row's
    /// loss depends on the others, as the traits of losses demand. A
    /// [clustering loss](crate::loss::ClusteringLoss) without a loss of every cell is one of the batch as
    /// a whole: the first device computes it, and all that is trained with it, alone. So it is with phases
    /// of [one's own](super::train_phase), and with all that is no step: starts, targets, evaluations.
    ///
    /// Equal lists of devices give equal bits. A checkpoint may be resumed on other devices. The fitted
    /// model is on the first one.
    ///
    /// ```
    /// use celldec::prelude::*;
    ///
    /// let counts = SimulationConfig::new(120, 60).with_groups(3).with_seed(1).simulate()?.counts;
    /// let cells = Preprocess::scdcc().fit(&counts)?;
    ///
    /// // On a machine with two GPUs `Device::cuda(0)` and `Device::cuda(1)`.
    /// let devices = [Device::default(), Device::default()];
    /// let fit = Plan::scdcc(3).with_epochs(1, 1).trainer_on(&devices)?.fit(&cells)?;
    /// assert_eq!(fit.clusters().labels().len(), 120);
    /// assert!(Plan::scdcc(3).trainer_on(&[]).is_err());
    /// # Ok::<(), celldec::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`trainer`](Self::trainer), and [`ParameterError::OutOfRange`] without a device.
    pub fn trainer_on(&self, devices: &[Device]) -> Result<Trainer<H>> {
        self.check()?;
        let Some((device, others)) = devices.split_first() else {
            return Err(ParameterError::OutOfRange {
                name: "the number of devices",
                requirement: "at least 1",
                value: 0.0,
            }
            .into());
        };
        Ok(Trainer {
            plan: self.clone(),
            checkpoint: None,
            memory_limit: None,
            device: device.clone().inner(),
            others: others.iter().cloned().map(Device::inner).collect(),
            device_search: Some(DeviceSearch::new(device)),
        })
    }
}

impl<H: ReconstructionHead> Trainer<H> {
    /// Makes fits write checkpoints, and resume from the one that is there.
    pub fn with_checkpoint(mut self, checkpoint: CheckpointConfig) -> Self {
        self.checkpoint = Some(checkpoint);
        self
    }

    /// Refuses fits that are [expected](Self::memory) to take more than so many bytes of memory, before
    /// any work.
    pub fn with_memory_limit(mut self, bytes: u64) -> Self {
        self.memory_limit = Some(bytes);
        self
    }

    /// Sets how a device looks for neighbours in the place of the CPU; nothing leaves it to the CPU. By
    /// default the device that trains does where it is quicker.
    pub fn with_device_search(mut self, search: impl Into<Option<DeviceSearch>>) -> Self {
        self.device_search = search.into();
        self
    }

    /// The plan.
    pub fn plan(&self) -> &Plan<H> {
        &self.plan
    }

    /// How much memory a fit of data of this size will take, once they are prepared, on the devices of this
    /// trainer: the host's memory, which is also that of devices that have none of their own.
    pub fn memory(&self, data: &DataSize) -> MemoryEstimate {
        let devices: Vec<&Device> = std::iter::once(&self.device).chain(&self.others).collect();
        let mut memory = self.plan.memory_on(devices.len(), data);
        let sending = of_sending(&devices, data);
        memory.counts = memory.counts.saturating_add(sending);
        memory
    }

    /// Number of devices.
    fn devices(&self) -> usize {
        1 + self.others.len()
    }

    /// Batches of cells where this trainer trains, for a phase of one's own between its phases.
    pub fn batches<'a>(&self, cells: &'a Cells) -> Batches<'a> {
        let others: Vec<Device> = self.others.iter().cloned().map(Device::autodiff).collect();
        Batches::new(cells, &self.device.clone().autodiff()).shared_with(&others)
    }

    /// A run of this trainer: its seed and its checkpoint, for [`pretrain`](Self::pretrain) and
    /// [`cluster`](Self::cluster).
    pub fn run(&self) -> TrainingRun<'static> {
        self.prepared(TrainingRun::new(self.plan.seed))
    }

    /// A run of this trainer that an observer watches.
    pub fn run_observed<'a>(&self, observer: &'a mut dyn Observer) -> TrainingRun<'a> {
        self.prepared(TrainingRun::observed(self.plan.seed, observer))
    }

    fn prepared<'a>(&self, run: TrainingRun<'a>) -> TrainingRun<'a> {
        let run = run.with_device_search(self.device_search.clone());
        match &self.checkpoint {
            Some(checkpoint) => run.with_checkpoint(checkpoint.clone()),
            None => run,
        }
    }

    /// Fits cells from the plan's start.
    ///
    /// # Errors
    /// [`ParameterError::Conflict`] when the plan has several starts, [`ParameterError::Clusters`]
    /// when there are more clusters than cells, another [`ParameterError`] when the start does not
    /// suit the number of cells, [`Error::Constraint`](crate::Error::Constraint) when a pair names
    /// no cell, [`Error::InsufficientMemory`](crate::Error::InsufficientMemory) above a
    /// [limit](Self::with_memory_limit),
    /// [`Error::SingleCommunity`](crate::Error::SingleCommunity) when a graph start finds
    /// one community, [`Error::Diverged`](crate::Error::Diverged) when training does; those of the
    /// source, when counts are read from one; with checkpoints,
    /// [`Error::CheckpointMismatch`](crate::Error::CheckpointMismatch),
    /// [`Error::Checkpoint`](crate::Error::Checkpoint) or [`Error::Io`](crate::Error::Io) when the
    /// one that is there cannot be resumed. The error holds [what had been reached](LastGood).
    pub fn fit(&self, cells: &Cells) -> Result<Fit<H>, FitError<H>> {
        only(self.fits(cells, self.run(), self.single_start()?)?)
    }

    /// Fits cells while an observer watches.
    ///
    /// # Errors
    /// As [`fit`](Self::fit).
    pub fn fit_observed(
        &self,
        cells: &Cells,
        observer: &mut dyn Observer,
    ) -> Result<Fit<H>, FitError<H>> {
        only(self.fits(cells, self.run_observed(observer), self.single_start()?)?)
    }

    /// Fits cells from every start of the plan, in their order, on one pretraining.
    ///
    /// # Errors
    /// As [`fit`](Self::fit). The error holds the fits that were finished.
    pub fn fit_each(&self, cells: &Cells) -> Result<Vec<Fit<H>>, FitError<H>> {
        self.fits(cells, self.run(), &self.plan.starts)
    }

    /// Fits cells from every start of the plan while an observer watches; when it ends the run, the
    /// fits so far are the result.
    ///
    /// # Errors
    /// As [`fit_each`](Self::fit_each).
    pub fn fit_each_observed(
        &self,
        cells: &Cells,
        observer: &mut dyn Observer,
    ) -> Result<Vec<Fit<H>>, FitError<H>> {
        self.fits(cells, self.run_observed(observer), &self.plan.starts)
    }

    /// Fits cells with an autoencoder that is pretrained on, from the weights that it has: one from
    /// another fit, or read from the original's weights (`model::read_scdcc_weights`, feature `pytorch`).
    ///
    /// # Errors
    /// As [`fit`](Self::fit), and [`Error::LengthMismatch`](crate::Error::LengthMismatch) when the
    /// encoder does not fit the cells' genes.
    pub fn fit_from(
        &self,
        autoencoder: impl Into<Autoencoder<H>>,
        cells: &Cells,
    ) -> Result<Fit<H>, FitError<H>> {
        let starts = self.single_start()?;
        let mut run = self.run();
        let autoencoder = autoencoder.into();
        let latent = autoencoder.encoder.layers.last();
        self.check_cells(cells, starts, latent.map(|layer| layer.outputs()))?;
        let autoencoder = self
            .pretrain_from(autoencoder, cells, &mut run)
            .map_err(pretraining)?;
        only(self.cluster_from(starts, autoencoder, cells, &mut run)?)
    }

    /// The first phase alone: a pretrained autoencoder.
    ///
    /// # Errors
    /// As [`fit`](Self::fit), and [`ParameterError::Conflict`] for a run with another seed. The error
    /// holds the autoencoder after the last completed epoch.
    pub fn pretrain(
        &self,
        cells: &Cells,
        run: &mut TrainingRun<'_>,
    ) -> Result<Autoencoder<H>, Failure<Autoencoder<H>>> {
        keep_freed_memory();
        let plan = &self.plan;
        let device = self.device.clone().autodiff();
        let covariates = cells.covariate_columns();
        let config = plan
            .network
            .autoencoder(cells.cells(), cells.genes(), covariates);
        let autoencoder = config.init::<H>(&plan.head, &device);
        let scheme = plan.network.initial_weights;
        let mut autoencoder = initialize_weights(autoencoder, scheme, plan.seed);
        if plan.network.linear_skip {
            autoencoder.encoder = start_at_components(autoencoder.encoder, cells, plan.seed)?;
        }
        if plan.network.start_at_moments {
            let moments = cells.gene_moments()?;
            autoencoder.head = autoencoder
                .head
                .start_at_moments(&moments.means, &moments.dispersions);
        }
        self.pretrain_phases(autoencoder, cells, run)
    }

    /// The first phase alone, from the weights of an autoencoder.
    ///
    /// # Errors
    /// As [`pretrain`](Self::pretrain), and
    /// [`Error::LengthMismatch`](crate::Error::LengthMismatch) when the encoder does not fit the
    /// cells' genes.
    pub fn pretrain_from(
        &self,
        autoencoder: impl Into<Autoencoder<H>>,
        cells: &Cells,
        run: &mut TrainingRun<'_>,
    ) -> Result<Autoencoder<H>, Failure<Autoencoder<H>>> {
        keep_freed_memory();
        let autoencoder = autoencoder.into();
        check_encoder(&autoencoder.encoder, cells)?;
        let device = self.device.clone().autodiff();
        self.pretrain_phases(for_training(autoencoder, &device), cells, run)
    }

    fn pretrain_phases(
        &self,
        mut autoencoder: Autoencoder<H>,
        cells: &Cells,
        run: &mut TrainingRun<'_>,
    ) -> Result<Autoencoder<H>, Failure<Autoencoder<H>>> {
        let plan = &self.plan;
        self.describe(run)?;
        let batches = self.batches(cells);
        for part in &plan.frozen {
            match part {
                Part::Encoder => autoencoder.encoder = autoencoder.encoder.no_grad(),
                Part::Decoder => autoencoder.decoder = autoencoder.decoder.no_grad(),
                Part::Head => autoencoder.head = autoencoder.head.no_grad(),
                Part::Centroids => {}
            }
        }
        let loss = &*plan.reconstruction;
        if let Some(layerwise) = &plan.layerwise {
            autoencoder = pretrain_layers(autoencoder, loss, &batches, layerwise, run)?;
        }
        pretrain(autoencoder, loss, &batches, &plan.pretraining, run)
    }

    /// The second phase alone, from the plan's start: clusters cells with a pretrained autoencoder.
    ///
    /// # Errors
    /// As [`fit`](Self::fit), [`Error::LengthMismatch`](crate::Error::LengthMismatch) when the
    /// encoder does not fit the cells' genes, and [`ParameterError::Conflict`] for a run with
    /// another seed.
    pub fn cluster(
        &self,
        autoencoder: impl Into<Autoencoder<H>>,
        cells: &Cells,
        run: &mut TrainingRun<'_>,
    ) -> Result<Fit<H>, FitError<H>> {
        only(self.cluster_from(self.single_start()?, autoencoder, cells, run)?)
    }

    /// The second phase alone, from every start of the plan.
    ///
    /// # Errors
    /// As [`cluster`](Self::cluster).
    pub fn cluster_each(
        &self,
        autoencoder: impl Into<Autoencoder<H>>,
        cells: &Cells,
        run: &mut TrainingRun<'_>,
    ) -> Result<Vec<Fit<H>>, FitError<H>> {
        self.cluster_from(&self.plan.starts, autoencoder, cells, run)
    }

    fn fits(
        &self,
        cells: &Cells,
        mut run: TrainingRun<'_>,
        starts: &[CentroidStart],
    ) -> Result<Vec<Fit<H>>, FitError<H>> {
        let widths = self.plan.network.widths.of(cells.cells());
        self.check_cells(cells, starts, widths.last().copied())?;
        let autoencoder = self.pretrain(cells, &mut run).map_err(pretraining)?;
        self.cluster_from(starts, autoencoder, cells, &mut run)
    }

    fn cluster_from(
        &self,
        starts: &[CentroidStart],
        autoencoder: impl Into<Autoencoder<H>>,
        cells: &Cells,
        run: &mut TrainingRun<'_>,
    ) -> Result<Vec<Fit<H>>, FitError<H>> {
        let autoencoder = autoencoder.into();
        self.describe(run)?;
        let latent = autoencoder.encoder.layers.last();
        self.check_cells(cells, starts, latent.map(|layer| layer.outputs()))?;
        check_encoder(&autoencoder.encoder, cells)?;
        let batches = self.batches(cells);
        let autoencoder = for_training(autoencoder, batches.device());
        let pretraining_epochs = run.history().len();
        let mut fits = Vec::new();
        for start in starts {
            match self.cluster_once(start, &autoencoder, &batches, run) {
                Ok(fit) => fits.push(fit),
                Err(failure) => {
                    let (error, last) = failure.into_parts();
                    fits.extend(last);
                    let reached = (!fits.is_empty()).then_some(LastGood::Fits(fits));
                    return Err(Failure::new(error, reached));
                }
            }
            if run.is_interrupted() {
                break;
            }
            run.truncate_history(pretraining_epochs);
        }
        Ok(fits)
    }

    fn cluster_once(
        &self,
        start: &CentroidStart,
        autoencoder: &Autoencoder<H>,
        batches: &Batches<'_>,
        run: &mut TrainingRun<'_>,
    ) -> Result<Fit<H>, Failure<Fit<H>>> {
        let plan = &self.plan;
        let pairs = plan.pairs.as_ref();
        let groups = pairs.map(|pairs| pairs.start_groups()).unwrap_or_default();
        let initial = initial_clusters(&autoencoder.encoder, batches, start, &groups, run)?;
        let network = self.network(autoencoder.clone(), &initial, batches.device());
        let target = match pairs {
            Some(pairs) => pairs.guide(&plan.target),
            None => plan.target.clone(),
        };
        let (weight, corruption) = match plan.decoder {
            DecoderTraining::Joint { weight, corruption } => (weight, Some(corruption)),
            DecoderTraining::Removed | DecoderTraining::Kept => (1.0, None),
        };
        let reconstruction = Weighted::new(plan.reconstruction.clone(), weight);
        let outcome = SelfTraining {
            target: &*target,
            clustering: &*plan.clustering,
            reconstruction: corruption.map(|corruption| JointReconstruction {
                loss: &reconstruction,
                corruption,
            }),
            constraints: pairs
                .filter(|pairs| !pairs.pairs().is_empty())
                .map(|pairs| Constraints {
                    pairs: pairs.pairs(),
                    must_link: pairs.must_link(),
                    cannot_link: pairs.cannot_link(),
                }),
            config: &plan.self_training,
        }
        .run(network, batches, &initial.labels, run);
        let mut record = plan.record_of(std::slice::from_ref(start));
        if !run.own_phases().is_empty() {
            record["own_phases"] = run.own_phases().into();
        }
        let info = ModelInfo::new(&plan.method, plan.seed, record, batches.cells())?;
        let finish = |outcome: SelfTrainingOutcome<H>| -> Result<Fit<H>> {
            let head = Some(plan.head.clone());
            let model = FittedModel::of(outcome.network, head, batches.cells(), info, &self.device);
            let history = run.history().to_vec();
            let stop_reason = outcome.stop_reason;
            let fit = Fit::from_parts(model, outcome.evaluation, initial, stop_reason, history)?;
            let cells = batches.cells().cells();
            let search = run.neighbor_search(&self.device);
            let warnings = [start.warning(cells), plan.target.warning(cells, &search)];
            let warnings = warnings.into_iter().flatten();
            Ok(warnings.fold(fit, |fit, warning| fit.with_warning(warning)))
        };
        match outcome {
            Ok(outcome) => Ok(finish(outcome)?),
            Err(failure) => {
                let (error, last) = failure.into_parts();
                Err(Failure::new(
                    error,
                    last.and_then(|outcome| finish(outcome).ok()),
                ))
            }
        }
    }

    /// What self-training trains, from a pretrained autoencoder and centroids.
    fn network(
        &self,
        autoencoder: Autoencoder<H>,
        initial: &InitialCentroids,
        device: &Device,
    ) -> ClusteringNetwork<H> {
        let plan = &self.plan;
        let similarity = plan.similarity.clone();
        let clustering =
            ClusteringLayer::from_centroids(initial.centroids.view(), similarity, device);
        let mut network = match plan.decoder {
            DecoderTraining::Removed => {
                ClusteringNetwork::encoder_only(autoencoder.encoder, clustering)
            }
            DecoderTraining::Kept | DecoderTraining::Joint { .. } => {
                ClusteringNetwork::joint(autoencoder, clustering)
            }
        };
        for part in &plan.frozen {
            match (part, &mut network.reconstruction) {
                (Part::Encoder, _) => network.encoder = network.encoder.no_grad(),
                (Part::Centroids, _) => network.clustering = network.clustering.no_grad(),
                (Part::Decoder, Some(part)) => part.decoder = part.decoder.clone().no_grad(),
                (Part::Head, Some(part)) => part.head = part.head.clone().no_grad(),
                (Part::Decoder | Part::Head, None) => {}
            }
        }
        network
    }

    fn single_start(&self) -> Result<&[CentroidStart], ParameterError> {
        match self.plan.starts.len() {
            1 => Ok(&self.plan.starts),
            starts => Err(ParameterError::Conflict {
                reason: format!(
                    "the plan has {starts} starts, of which each gives a fit; use `fit_each`, or \
                     give one start"
                ),
            }),
        }
    }

    /// Checks what would otherwise fail after pretraining.
    fn check_cells(
        &self,
        cells: &Cells,
        starts: &[CentroidStart],
        latent: Option<usize>,
    ) -> Result<()> {
        for start in starts {
            start.validate(cells.cells())?;
            latent.map_or(Ok(()), |width| start.check_width(width))?;
        }
        if let Some(pairs) = &self.plan.pairs {
            pairs.pairs().check_range(cells.cells())?;
        }
        self.check_memory(cells)
    }

    fn check_memory(&self, cells: &Cells) -> Result<()> {
        let size = DataSize::of(cells);
        let memory = self.memory(&size);
        tracing::info!(%memory, "memory that the fit is expected to take");
        let Some(limit) = self.memory_limit.filter(|&limit| limit < memory.peak()) else {
            return Ok(());
        };
        Err(Error::InsufficientMemory {
            cells: size.cells,
            genes: size.genes,
            needed: memory.peak(),
            limit,
            advice: self.plan.memory_advice(self.devices(), cells, limit),
        })
    }

    /// Makes the plan part of what the run's checkpoint is compared by.
    fn describe(&self, run: &mut TrainingRun<'_>) -> Result<()> {
        if run.seed() != self.plan.seed {
            return Err(ParameterError::Conflict {
                reason: format!(
                    "the run has the seed {}, the plan {}; make the run by `Trainer::run`",
                    run.seed(),
                    self.plan.seed
                ),
            }
            .into());
        }
        run.describe(&self.plan.record())
    }
}

/// The fit of a single start.
fn only<H: ReconstructionHead>(mut fits: Vec<Fit<H>>) -> Result<Fit<H>, FitError<H>> {
    fits.pop().ok_or_else(|| {
        let reason = "the plan has no start".to_string();
        ParameterError::Conflict { reason }.into()
    })
}

fn pretraining<H: ReconstructionHead>(failure: Failure<Autoencoder<H>>) -> FitError<H> {
    failure.map(|autoencoder| LastGood::Pretraining(Box::new(autoencoder)))
}
