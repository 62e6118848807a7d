//! A phase of epochs over cells in stages: what pretraining, its layers and phases of one's own
//! share.

use std::time::Instant;

use burn::module::Module;
use burn::tensor::Device;
use serde::{Deserialize, Serialize};

use super::config::{EarlyStopping, PretrainConfig, Stage};
use super::prepare::check_trainable;
use super::validation::Validation;
use crate::batches::{Batches, Corruption, EpochPlan};
use crate::description::Description;
use crate::error::Result;
use crate::exact;
use crate::loss::Term;
use crate::model::{EpochRecord, Phase};
use crate::train::checkpoint::{Snapshot, Step};
use crate::train::epoch::{EpochAddress, MeanLosses, Steps, validation_losses};
use crate::train::failure::Failure;
use crate::train::observer::Event;
use crate::train::run::TrainingRun;

/// What [`run_stages`] runs.
pub(super) struct Stages<'a> {
    pub phase: Phase,
    pub config: &'a PretrainConfig,
    pub batches: &'a Batches<'a>,
    /// Whether batches read counts, or something else that is in memory.
    pub reads_cells: bool,
    pub loss: Description,
}

/// How far the stages have come.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Progress {
    stage: usize,
    /// Epochs of the stage.
    stage_epochs: usize,
    /// Steps of the stage.
    #[serde(default)]
    stage_steps: usize,
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
            stage_steps: 0,
            epoch: 0,
            best: f64::INFINITY,
            epochs_without_fall: 0,
        }
    }

    /// Whether a schedule over so many cells can have come to this.
    fn is_possible(&self, config: &PretrainConfig, cells: usize) -> bool {
        let epochs = match config.stages.get(self.stage) {
            Some(stage) => stage.epochs,
            None => 0,
        };
        self.stage <= config.stages.len()
            && self.stage_epochs <= epochs
            && self.stage_steps <= self.stage_epochs.saturating_mul(cells)
            && self.epoch <= config.epochs()
            && !self.best.is_nan()
            && self.epochs_without_fall <= self.stage_epochs
    }

    fn next_stage(&mut self) {
        *self = Self {
            stage: self.stage + 1,
            epoch: self.epoch,
            ..Self::new()
        };
    }

    /// Whether the stage has another epoch.
    fn continues(&self, stage: &Stage, config: &PretrainConfig) -> bool {
        let stopped = config.early_stopping.is_some_and(|rule| {
            self.epochs_without_fall > 0 && self.epochs_without_fall >= rule.patience
        });
        let steps = config.enough_steps;
        let enough = self.stage_epochs > 0 && steps.is_some_and(|steps| self.stage_steps >= steps);
        self.stage_epochs < stage.epochs && !stopped && !enough
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

/// Runs the stages of a schedule over all cells but those that are kept apart: `read` reads a batch,
/// corrupted as it is told, `forward` computes its loss. An interrupted run returns what it has come to.
///
/// # Errors
/// The first invalid setting; a checkpoint that cannot be resumed;
/// [`Error::Diverged`](crate::Error::Diverged) with the last good `M`.
pub(super) fn run_stages<M: Module + Sync + 'static, P: Send>(
    stages: Stages<'_>,
    mut model: M,
    run: &mut TrainingRun<'_>,
    read: impl Fn(&Batches<'_>, &[usize], EpochAddress<'_>, Corruption) -> Result<P> + Sync,
    forward: impl Fn(&M, P, &Device) -> Vec<Term> + Sync,
) -> Result<M, Failure<M>> {
    let Stages {
        phase,
        config,
        batches,
        reads_cells,
        loss,
    } = stages;
    let cells = batches.cells();
    config.check("pretraining")?;
    check_trainable(&model, batches)?;
    if run.is_interrupted() {
        return Ok(model);
    }
    let step = Step {
        name: phase.to_string(),
        cells,
        settings: Settings {
            config,
            loss: &loss,
        },
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
    let validation = Validation::draw(config.validation, cells.cells(), run.seed());
    let most = config.epochs_with(cells.cells());
    run.start_phase(&phase, most, batches);
    let mut progress = Progress::new();
    let mut optimizer = None;
    if let Some(saved) = saved {
        progress = saved.progress().clone();
        if !progress.is_possible(config, cells.cells()) {
            return Err(saved
                .unusable(format!("a schedule cannot have come to {progress:?}"))
                .into());
        }
        optimizer = Some(saved.optimizer(config.optimizer.init(), &model)?);
        let epoch = progress.epoch;
        run.event(&Event::Resumed {
            phase: &phase,
            epoch,
        });
    }
    for stage in config.stages.iter().skip(progress.stage) {
        let optimizer = optimizer.take().unwrap_or_else(|| config.optimizer.init());
        let learning_rate = stage.learning_rate.init("pretraining")?;
        let mut steps = Steps::new(optimizer, learning_rate, progress.stage_steps);
        while progress.continues(stage, config) && !run.is_interrupted() {
            let epoch_start = Instant::now();
            let epoch = progress.epoch;
            let at = EpochAddress {
                phase: &phase,
                epoch,
            };
            let (size, seed, stream) = (config.batch_size, run.seed(), at.stream());
            let plan = if reads_cells {
                EpochPlan::of_cells(cells, true, size, seed, stream)
            } else {
                EpochPlan::of_rows(cells.cells(), true, size, seed, stream)
            };
            let plan = match &validation {
                Some(validation) => plan.without(&validation.apart),
                None => plan,
            };
            let mut losses = MeanLosses::default();
            let last_good = model.clone();
            let corrupted =
                |batches: &Batches<'_>, rows: &[usize]| read(batches, rows, at, config.corruption);
            let trained = steps.shared_epoch(
                model,
                (batches, &plan),
                at,
                &mut losses,
                corrupted,
                &forward,
            );
            model = match trained {
                Ok(model) => model,
                Err(error) => return Err(Failure::new(error, Some(last_good))),
            };
            let mut watched = losses.total();
            let mut of_validation = Vec::new();
            if let Some(validation) = &validation {
                let plan = EpochPlan::of_some(&validation.cells, size, reads_cells);
                let clean = |batches: &Batches<'_>, rows: &[usize]| {
                    read(batches, rows, at, Corruption::None)
                };
                match validation_losses(&model, (batches, &plan), at, clean, &forward) {
                    Ok(losses) => {
                        watched = losses.total();
                        of_validation = losses.into_named();
                    }
                    Err(error) => return Err(Failure::new(error, Some(last_good))),
                }
            }
            progress.advance(watched, config.early_stopping);
            progress.stage_steps = steps.taken();
            run.record(EpochRecord {
                phase: phase.clone(),
                epoch,
                losses: losses.into_named(),
                validation: of_validation,
                changed: None,
                seconds: epoch_start.elapsed().as_secs_f64(),
            });
            let snapshot = || {
                Ok(Snapshot::new(&progress)?
                    .with_weights(&model)?
                    .with_optimizer(steps.state(&model)?))
            };
            if run.is_interrupted() {
                run.interrupt_step(snapshot);
            } else {
                run.checkpoint(snapshot);
            }
        }
        if run.is_interrupted() {
            break;
        }
        progress.next_stage();
    }
    if !run.is_interrupted() {
        run.finish_step(true, || Snapshot::new(&progress)?.with_weights(&model));
    }
    run.event(&Event::PhaseFinished {
        phase: &phase,
        epochs: progress.epoch,
        seconds: phase_start.elapsed().as_secs_f64(),
    });
    Ok(model)
}

/// What decides the result of stages beside cells, seed and first weights.
#[derive(Serialize)]
struct Settings<'a> {
    config: &'a PretrainConfig,
    loss: &'a Description,
}
