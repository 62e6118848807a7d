//! Pretraining an autoencoder end to end.

use std::time::Instant;

use burn::config::Config;
use burn::module::Module;
use serde::{Deserialize, Serialize};

use super::checkpoint::{Snapshot, Step};
use super::epoch::{EpochAddress, MeanLosses, Steps, Term};
use super::fitting::check_encoder;
use super::observer::Event;
use super::run::TrainingRun;
use crate::batches::{Batches, Corruption, EpochPlan};
use crate::error::{LastGood, ParameterError, Result};
use crate::exact;
use crate::loss::ReconstructionLoss;
use crate::model::{EpochRecord, Phase};
use crate::nn::Autoencoder;
use crate::optim::OptimizerConfig;

/// A stretch of epochs at one learning rate; the optimizer starts anew in each stage.
#[derive(Config, Debug, Copy, PartialEq)]
pub struct Stage {
    /// Learning rate.
    pub learning_rate: f64,
    /// Number of epochs.
    pub epochs: usize,
}

/// Ends a stage when its loss no longer falls.
#[derive(Config, Debug, Copy, PartialEq)]
pub struct EarlyStopping {
    /// A fall smaller than this counts as none.
    pub min_delta: f64,
    /// Epochs without a fall after which the stage ends.
    pub patience: usize,
}

/// Schedule of a pretraining phase.
#[derive(Config, Debug, PartialEq)]
pub struct PretrainConfig {
    /// Learning rates and epochs, one stage after the other.
    pub stages: Vec<Stage>,
    /// Optimizer.
    pub optimizer: OptimizerConfig,
    /// Cells per step.
    #[config(default = 256)]
    pub batch_size: usize,
    /// What corrupts the input.
    #[config(default = "Corruption::None")]
    pub corruption: Corruption,
    /// When to end a stage before its last epoch.
    pub early_stopping: Option<EarlyStopping>,
}

impl PretrainConfig {
    /// Checks the settings.
    pub(super) fn check(&self, phase: &'static str) -> Result<(), ParameterError> {
        for stage in &self.stages {
            check_learning_rate(phase, stage.learning_rate)?;
        }
        check_batch_size(self.batch_size)?;
        self.optimizer.check()?;
        let (name, value, valid) = match self.corruption {
            Corruption::None => return Ok(()),
            Corruption::Gaussian(deviation) => (
                "the standard deviation of the input noise",
                deviation,
                deviation >= 0.0 && deviation.is_finite(),
            ),
            Corruption::Dropout(rate) => ("the input dropout", rate, (0.0..1.0).contains(&rate)),
        };
        if valid {
            Ok(())
        } else {
            Err(ParameterError::OutOfRange {
                name,
                requirement: "at least 0 and finite (dropout: below 1)",
                value,
            })
        }
    }

    /// The most epochs the schedule can take.
    pub fn epochs(&self) -> usize {
        self.stages.iter().map(|stage| stage.epochs).sum()
    }
}

pub(super) fn check_learning_rate(phase: &'static str, value: f64) -> Result<(), ParameterError> {
    if value.is_finite() && value > 0.0 {
        Ok(())
    } else {
        Err(ParameterError::LearningRate { phase, value })
    }
}

pub(super) fn check_batch_size(value: usize) -> Result<(), ParameterError> {
    if value == 0 {
        Err(ParameterError::BatchSize)
    } else {
        Ok(())
    }
}

/// Trains an autoencoder on its reconstruction loss.
///
/// The input of every cell is corrupted anew in every epoch, the loss compares with the clean
/// cell. Epochs visit cells in an order shuffled by `seed`.
///
/// # Errors
/// [`Error::LengthMismatch`](crate::Error::LengthMismatch) when the autoencoder has another number
/// of genes than the cells; [`ParameterError`] for a setting outside its range;
/// [`Error::Diverged`](crate::Error::Diverged) when the loss becomes non-finite, with the last good
/// [`Autoencoder`]; those of the source, when counts are read from one; when the run has a checkpoint that cannot be resumed,
/// [`Error::CheckpointMismatch`](crate::Error::CheckpointMismatch),
/// [`Error::Checkpoint`](crate::Error::Checkpoint) or [`Error::Io`](crate::Error::Io).
pub fn pretrain<R: ReconstructionLoss>(
    autoencoder: Autoencoder<R::Head>,
    loss: &R,
    batches: &Batches<'_>,
    config: &PretrainConfig,
    run: &mut TrainingRun<'_>,
) -> Result<Autoencoder<R::Head>> {
    check_encoder(&autoencoder.encoder, batches.cells())?;
    let (name, seed, target) = (loss.name(), run.seed(), loss.target());
    let stages = Stages {
        phase: Phase::Pretraining,
        config,
        batches,
        reads_cells: true,
        loss: &name,
    };
    run_stages(
        stages,
        autoencoder,
        run,
        |batches, rows, at| {
            let noise = at.noise(config.corruption, seed);
            batches.read_reconstruction(rows, target, noise, false)
        },
        |model, rows| {
            let inputs = rows.into_inputs(batches.device());
            let output = model.forward(inputs.corrupted);
            vec![Term::new(&name, loss.forward(&output, &inputs.batch))]
        },
    )
}

/// What [`run_stages`] runs.
pub(super) struct Stages<'a> {
    pub phase: Phase,
    pub config: &'a PretrainConfig,
    pub batches: &'a Batches<'a>,
    /// Whether batches read counts, or something else that is in memory.
    pub reads_cells: bool,
    /// Name of the loss.
    pub loss: &'a str,
}

/// How far the stages have come.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Progress {
    stage: usize,
    /// Epochs of the stage.
    stage_epochs: usize,
    /// Epochs of all stages.
    epoch: usize,
    /// The lowest loss of the stage.
    #[serde(with = "exact::number")]
    best: f64,
    epochs_without_fall: usize,
}

impl Progress {
    fn new() -> Self {
        Self {
            stage: 0,
            stage_epochs: 0,
            epoch: 0,
            best: f64::INFINITY,
            epochs_without_fall: 0,
        }
    }

    fn next_stage(&mut self) {
        *self = Self {
            stage: self.stage + 1,
            epoch: self.epoch,
            ..Self::new()
        };
    }

    /// Whether the stage has another epoch.
    fn continues(&self, stage: &Stage, rule: Option<EarlyStopping>) -> bool {
        let stopped = rule.is_some_and(|rule| {
            self.epochs_without_fall > 0 && self.epochs_without_fall >= rule.patience
        });
        self.stage_epochs < stage.epochs && !stopped
    }

    /// Counts an epoch that ended with a loss.
    fn advance(&mut self, loss: f64, rule: Option<EarlyStopping>) {
        self.epoch += 1;
        self.stage_epochs += 1;
        if let Some(rule) = rule {
            if loss < self.best - rule.min_delta {
                self.best = loss;
                self.epochs_without_fall = 0;
            } else {
                self.epochs_without_fall += 1;
            }
        }
    }
}

/// Runs the stages of a schedule over all cells: `prepare` reads a batch, `forward` computes its
/// loss.
///
/// # Errors
/// The first invalid setting; a checkpoint that cannot be resumed;
/// [`Error::Diverged`](crate::Error::Diverged) with the last good `M`.
pub(super) fn run_stages<M: Module + Sync + 'static, P: Send>(
    stages: Stages<'_>,
    mut model: M,
    run: &mut TrainingRun<'_>,
    prepare: impl Fn(&Batches<'_>, &[usize], EpochAddress) -> Result<P> + Sync,
    forward: impl Fn(&M, P) -> Vec<Term>,
) -> Result<M> {
    let Stages {
        phase,
        config,
        batches,
        reads_cells,
        loss,
    } = stages;
    let cells = batches.cells();
    config.check("pretraining")?;
    let step = Step {
        name: phase.to_string(),
        cells,
        settings: Settings { config, loss },
    };
    let saved = run.resume::<Progress>(&step, &model)?;
    if let Some(saved) = &saved {
        model = saved.weights(model)?;
        if saved.is_finished() {
            return Ok(model);
        }
    }
    if reads_cells {
        batches.log_order();
    }
    let phase_start = Instant::now();
    run.event(&Event::PhaseStarted {
        phase,
        epochs: config.epochs(),
    });
    let mut progress = Progress::new();
    let mut optimizer = None;
    if let Some(saved) = saved {
        progress = saved.progress().clone();
        optimizer = Some(saved.optimizer(config.optimizer.init(), &model)?);
        let epoch = progress.epoch;
        run.event(&Event::Resumed { phase, epoch });
    }
    for stage in config.stages.iter().skip(progress.stage) {
        let optimizer = optimizer.take().unwrap_or_else(|| config.optimizer.init());
        let mut steps = Steps::new(optimizer, stage.learning_rate);
        while progress.continues(stage, config.early_stopping) {
            let epoch_start = Instant::now();
            let epoch = progress.epoch;
            let at = EpochAddress { phase, epoch };
            let (size, seed, stream) = (config.batch_size, run.seed(), at.stream());
            let plan = match reads_cells {
                true => EpochPlan::of_cells(cells, true, size, seed, stream),
                false => EpochPlan::of_rows(cells.cells(), true, size, seed, stream),
            };
            let mut losses = MeanLosses::default();
            let last_good = model.clone();
            model = steps
                .epoch(
                    model,
                    (batches, &plan),
                    at,
                    &mut losses,
                    |batches, rows| prepare(batches, rows, at),
                    &forward,
                )
                .map_err(|error| error.map_last_good(|_| LastGood::new(last_good)))?;
            progress.advance(losses.total(), config.early_stopping);
            run.record(EpochRecord {
                phase,
                epoch,
                losses: losses.into_named(),
                changed: None,
                seconds: epoch_start.elapsed().as_secs_f64(),
            });
            run.checkpoint(|| {
                Ok(Snapshot::new(&progress)?
                    .with_weights(&model)?
                    .with_optimizer(steps.state(&model)?))
            });
        }
        progress.next_stage();
    }
    run.finish_step(true, || Snapshot::new(&progress)?.with_weights(&model));
    run.event(&Event::PhaseFinished {
        phase,
        epochs: progress.epoch,
        seconds: phase_start.elapsed().as_secs_f64(),
    });
    Ok(model)
}

/// What decides the result of stages beside cells, seed and first weights.
#[derive(Serialize)]
struct Settings<'a> {
    config: &'a PretrainConfig,
    loss: &'a str,
}
