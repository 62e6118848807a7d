//! Pretraining an autoencoder end to end.

use std::time::Instant;

use burn::config::Config;
use burn::module::Module;

use super::epoch::{EpochAddress, MeanLosses, Steps, Term};
use super::fitting::check_encoder;
use super::observer::{Event, TrainingRun};
use crate::batches::{Batches, Corruption, epoch_order, split};
use crate::error::{LastGood, ParameterError, Result};
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
/// [`Autoencoder`].
pub fn pretrain<R: ReconstructionLoss>(
    autoencoder: Autoencoder<R::Head>,
    loss: &R,
    batches: &Batches<'_>,
    config: &PretrainConfig,
    run: &mut TrainingRun<'_>,
) -> Result<Autoencoder<R::Head>> {
    check_encoder(&autoencoder.encoder, batches.cells())?;
    let (name, seed, target) = (loss.name(), run.seed(), loss.target());
    let cells = batches.cells().cells();
    run_stages(
        autoencoder,
        config,
        cells,
        Phase::Pretraining,
        run,
        |rows, at| {
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

/// Runs the stages of a schedule over `count` rows: `prepare` reads a batch, `forward` computes its
/// loss.
///
/// # Errors
/// The first invalid setting; [`Error::Diverged`](crate::Error::Diverged) with the last good `M`.
pub(super) fn run_stages<M: Module + Sync + 'static, P: Send>(
    mut model: M,
    config: &PretrainConfig,
    count: usize,
    phase: Phase,
    run: &mut TrainingRun<'_>,
    prepare: impl Fn(&[usize], EpochAddress) -> P + Sync,
    forward: impl Fn(&M, P) -> Vec<Term>,
) -> Result<M> {
    config.check("pretraining")?;
    let phase_start = Instant::now();
    run.event(&Event::PhaseStarted {
        phase,
        epochs: config.epochs(),
    });
    let mut epoch = 0;
    for stage in &config.stages {
        let mut steps = Steps::new(config.optimizer.init(), stage.learning_rate);
        let mut best = f64::INFINITY;
        let mut epochs_without_fall = 0;
        for _ in 0..stage.epochs {
            let epoch_start = Instant::now();
            let at = EpochAddress { phase, epoch };
            let order = epoch_order(count, true, run.seed(), at.stream());
            let mut losses = MeanLosses::default();
            let last_good = model.clone();
            model = steps
                .epoch(
                    model,
                    &split(&order, config.batch_size),
                    at,
                    &mut losses,
                    |rows| prepare(rows, at),
                    &forward,
                )
                .map_err(|error| error.map_last_good(|_| LastGood::new(last_good)))?;
            let total = losses.total();
            let record = EpochRecord {
                phase,
                epoch,
                losses: losses.into_named(),
                changed: None,
                seconds: epoch_start.elapsed().as_secs_f64(),
            };
            run.record(record);
            epoch += 1;
            if let Some(rule) = config.early_stopping {
                if total < best - rule.min_delta {
                    best = total;
                    epochs_without_fall = 0;
                } else {
                    epochs_without_fall += 1;
                    if epochs_without_fall >= rule.patience {
                        break;
                    }
                }
            }
        }
    }
    run.event(&Event::PhaseFinished {
        phase,
        epochs: epoch,
        seconds: phase_start.elapsed().as_secs_f64(),
    });
    Ok(model)
}
