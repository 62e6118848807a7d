//! Self-training: cells towards a sharpened target, with or without the decoder.

mod config;
mod pair_steps;
mod state;
mod steps;

use std::time::Instant;

use burn::module::Module;
use burn::tensor::Tensor;
use ndarray::Array2;

use super::config::check_corruption;
use super::prepare::{check_encoder, check_trainable};
use crate::batches::{Batches, Corruption};
use crate::error::{Error, ParameterError, Result};
use crate::graph::EmbeddedCells;
use crate::loss::{ClusteringLoss, ReconstructionLoss, Target};
use crate::model::{EpochRecord, Evaluation, Phase, StopReason, evaluate};
use crate::nn::{ClusteringNetwork, ReconstructionHead};
use crate::pairs::{ConstraintLoss, ConstraintPairs};
use crate::tensors::{array_to_tensor, read_matrix};
use crate::train::checkpoint::{Snapshot, Step};
use crate::train::epoch::{EpochAddress, MeanLosses, Steps};
use crate::train::failure::Failure;
use crate::train::observer::Event;
use crate::train::run::TrainingRun;

pub use config::SelfTrainConfig;

use state::{ConstraintSettings, JointSettings, Progress, Settings, State};
use steps::Pass;

/// Constraint pairs with their losses.
#[derive(Clone, Copy)]
pub struct Constraints<'a> {
    /// The pairs.
    pub pairs: &'a ConstraintPairs,
    /// Loss of the must-link pairs.
    pub must_link: &'a dyn ConstraintLoss,
    /// Loss of the cannot-link pairs.
    pub cannot_link: &'a dyn ConstraintLoss,
}

/// The self-training phase: which losses drive it, and its schedule.
///
/// Every `update_interval` epochs the soft assignment q of **all** cells and its target p are
/// computed; training ends when fewer labels changed since the last time than the tolerance. A
/// step then minimises
///
/// ```text
/// clustering(q, p) [+ reconstruction]        for a batch of cells
/// must-link(q₁, q₂) [+ both reconstructions] for a batch of must-link pairs
/// cannot-link(q₁, q₂)                        for a batch of cannot-link pairs
/// ```
///
/// where q comes from the clean cells and the reconstruction from corrupted ones. Without a
/// reconstruction loss this is DESC's second phase, with it scDCC's.
pub struct SelfTraining<'a, H: ReconstructionHead> {
    /// What soft assignments are drawn towards.
    pub target: &'a dyn Target,
    /// How far they are from it.
    pub clustering: &'a dyn ClusteringLoss,
    /// The reconstruction of joint training; the network must then have its decoder.
    pub reconstruction: Option<JointReconstruction<'a, H>>,
    /// Constraint pairs.
    pub constraints: Option<Constraints<'a>>,
    /// The schedule.
    pub config: &'a SelfTrainConfig,
}

/// The reconstruction part of joint training.
pub struct JointReconstruction<'a, H: ReconstructionHead> {
    /// Its loss.
    pub loss: &'a dyn ReconstructionLoss<Head = H>,
    /// What corrupts the input of the reconstruction; soft assignments see clean cells.
    pub corruption: Corruption,
}

/// What self-training leaves behind.
#[derive(Debug)]
pub struct SelfTrainingOutcome<H: ReconstructionHead> {
    /// The trained network, without automatic differentiation.
    pub network: ClusteringNetwork<H>,
    /// Embedding and soft assignment of all cells by that network.
    pub evaluation: Evaluation,
    /// Why training ended.
    pub stop_reason: StopReason,
}

impl<H: ReconstructionHead> SelfTraining<'_, H> {
    /// Trains a network whose centroids are set, on a device with automatic differentiation.
    ///
    /// `initial_labels` are the labels that the centroids come from.
    ///
    /// # Errors
    /// [`Error::Diverged`] when a loss, a weight or an assignment becomes non-finite;
    /// [`ParameterError`] for a setting outside its range or a reconstruction loss without a
    /// decoder; [`Error::LengthMismatch`] when network, cells and labels do not fit together;
    /// [`Error::Device`] when network or batches are on a device without automatic differentiation;
    /// [`Error::Constraint`] when a pair names no cell; [`Error::CheckpointMismatch`],
    /// [`Error::Checkpoint`] or [`Error::Io`] when the run has a checkpoint that cannot be resumed;
    /// those of the source, when counts are read from one. The last good state is the outcome after
    /// the last completed epoch.
    pub fn run(
        &self,
        mut network: ClusteringNetwork<H>,
        batches: &Batches<'_>,
        initial_labels: &[usize],
        run: &mut TrainingRun<'_>,
    ) -> Result<SelfTrainingOutcome<H>, Failure<SelfTrainingOutcome<H>>> {
        self.check(&network, batches, initial_labels)?;
        let phase = Phase::SelfTraining;
        let config = self.config;
        let mut state = State::new(initial_labels, config);
        if run.is_interrupted() {
            return Ok(self.outcome(&network, batches, 0, StopReason::Interrupted)?);
        }
        let step = Step {
            name: phase.to_string(),
            cells: batches.cells(),
            settings: self.settings(),
        };
        let saved = run.resume::<Progress>(&step, &network)?;
        let mut optimizer = config.optimizer.init();
        let mut steps_taken = 0;
        if let Some(saved) = &saved {
            network = saved.weights(network)?;
            let pairs = self.constraints.as_ref().map_or(0, |constraints| {
                constraints.pairs.must_link().len() + constraints.pairs.cannot_link().len()
            });
            let progress = saved.progress();
            if !progress.is_possible(config, batches.cells().cells() + pairs) {
                let reason = format!("self-training cannot have come to {progress:?}");
                return Err(saved.unusable(reason).into());
            }
            if let Progress::Stopped { epoch, changed } = *saved.progress() {
                state.epoch = epoch;
                let stop_reason = state
                    .stop_reason(config, changed)
                    .ok_or_else(|| saved.unusable("it ends before its end".into()))?;
                return Ok(self.outcome(&network, batches, epoch, stop_reason)?);
            }
            optimizer = saved.optimizer(optimizer, &network)?;
            let clusters = network.clustering.clusters();
            (state, steps_taken) = State::restore(saved, config, clusters, batches.cells())?;
        }
        let start = Instant::now();
        let device = network.clustering.centroids.device();
        run.start_phase(&phase, config.max_epochs, batches);
        if saved.is_some() {
            let epoch = state.epoch;
            run.event(&Event::Resumed {
                phase: &phase,
                epoch,
            });
        }
        batches.log_order();
        let pairs = match &self.constraints {
            Some(constraints) => batches.holding(&constraints.pairs.cells())?,
            None => batches.clone(),
        };
        let learning_rate = config.learning_rate.init("self-training")?;
        let mut steps = Steps::new(optimizer, learning_rate, steps_taken);
        let mut last_good = None;
        let (evaluation, stop_reason) = loop {
            let epoch = state.epoch;
            let mut changed = None;
            if state.is_target_due(config) || run.is_interrupted() {
                let evaluation = match self.evaluate(&network, batches, epoch) {
                    Ok(evaluation) => evaluation,
                    Err(error) => return Err(self.failure(error, last_good, batches)),
                };
                if run.is_interrupted() {
                    break (evaluation, StopReason::Interrupted);
                }
                let labels = evaluation.labels();
                let fraction = changed_fraction(&labels, &state.labels);
                changed = Some(fraction);
                run.event(&Event::TargetUpdated {
                    epoch,
                    changed: fraction,
                    evaluation: &evaluation,
                });
                if let Some(reason) = state.stop_reason(config, fraction) {
                    let progress = Progress::Stopped {
                        epoch,
                        changed: fraction,
                    };
                    run.finish_step(true, || Snapshot::new(&progress)?.with_weights(&network));
                    break (evaluation, reason);
                }
                let q =
                    array_to_tensor(evaluation.soft_assignments.view(), &device.clone().inner());
                let cells = EmbeddedCells::new(evaluation.embedding.view(), &state.neighbors)
                    .with_search(run.neighbor_search(&device));
                state.target = match self.checked_target(q, &cells, epoch) {
                    Ok(target) => target,
                    Err(error) => return Err(self.failure(error, last_good, batches)),
                };
                state.labels = labels;
            }
            let epoch_start = Instant::now();
            let mut pass = Pass {
                batches,
                pairs: &pairs,
                steps: &mut steps,
                at: EpochAddress {
                    phase: &phase,
                    epoch,
                },
                seed: run.seed(),
                losses: MeanLosses::default(),
            };
            last_good = Some(network.clone());
            network = match self.steps(network, &state.target, &mut pass) {
                Ok(network) => network,
                Err(error) => return Err(self.failure(error, last_good, batches)),
            };
            let losses = pass.losses.into_named();
            run.record(EpochRecord {
                phase: phase.clone(),
                epoch,
                losses,
                validation: Vec::new(),
                changed,
                seconds: epoch_start.elapsed().as_secs_f64(),
            });
            state.epoch += 1;
            let snapshot = || {
                Ok(state
                    .snapshot(config, steps.taken())?
                    .with_weights(&network)?
                    .with_optimizer(steps.state(&network)?))
            };
            if run.is_interrupted() {
                run.interrupt_step(snapshot);
            } else {
                run.checkpoint(snapshot);
            }
        };
        run.event(&Event::PhaseFinished {
            phase: &phase,
            epochs: state.epoch,
            seconds: start.elapsed().as_secs_f64(),
        });
        Ok(SelfTrainingOutcome {
            network: network.valid(),
            evaluation,
            stop_reason,
        })
    }

    /// The target of an update, which must be one: a target of another shape, or with values that are
    /// not finite, would train towards nonsense.
    fn checked_target(
        &self,
        q: Tensor<2>,
        cells: &EmbeddedCells<'_>,
        epoch: usize,
    ) -> Result<Array2<f32>> {
        let [count, clusters] = q.dims();
        let target = read_matrix(self.target.target(q, cells)?)?;
        let what = || format!("the target \"{}\"", self.target.description().name());
        for (axis, expected, found) in [
            ("rows", count, target.nrows()),
            ("columns", clusters, target.ncols()),
        ] {
            if expected != found {
                return Err(Error::LengthMismatch {
                    what: format!("the list of {axis} of {}", what()),
                    expected,
                    found,
                });
            }
        }
        if target.iter().all(|p| p.is_finite()) {
            Ok(target)
        } else {
            let phase = &Phase::SelfTraining;
            Err(EpochAddress { phase, epoch }.diverged(what(), 0))
        }
    }

    /// What a network amounts to without further training.
    fn outcome(
        &self,
        network: &ClusteringNetwork<H>,
        batches: &Batches<'_>,
        epoch: usize,
        stop_reason: StopReason,
    ) -> Result<SelfTrainingOutcome<H>> {
        Ok(SelfTrainingOutcome {
            evaluation: self.evaluate(network, batches, epoch)?,
            network: network.valid(),
            stop_reason,
        })
    }

    /// An error with the outcome of the epoch before, unless its assignments were not finite either,
    /// or counts can no longer be read.
    fn failure(
        &self,
        error: Error,
        last_good: Option<ClusteringNetwork<H>>,
        batches: &Batches<'_>,
    ) -> Failure<SelfTrainingOutcome<H>> {
        let outcome = last_good.and_then(|network| {
            self.outcome(&network, batches, 0, StopReason::Diverged)
                .ok()
        });
        Failure::new(error, outcome)
    }

    /// What decides the result beside cells, seed and first weights.
    fn settings(&self) -> Settings<'_> {
        Settings {
            config: self.config,
            target: self.target.description(),
            clustering: self.clustering.description(),
            reconstruction: self.reconstruction.as_ref().map(JointSettings::new),
            constraints: self.constraints.as_ref().map(ConstraintSettings::new),
        }
    }

    fn evaluate(
        &self,
        network: &ClusteringNetwork<H>,
        batches: &Batches<'_>,
        epoch: usize,
    ) -> Result<Evaluation> {
        let network = network.valid();
        let evaluation = evaluate(
            &network.encoder,
            Some(&network.clustering),
            &batches.without_autodiff(),
        )?;
        if evaluation.soft_assignments.iter().all(|q| q.is_finite()) {
            Ok(evaluation)
        } else {
            let phase = &Phase::SelfTraining;
            Err(EpochAddress { phase, epoch }.diverged("the soft assignment", 0))
        }
    }

    fn check(
        &self,
        network: &ClusteringNetwork<H>,
        batches: &Batches<'_>,
        initial_labels: &[usize],
    ) -> Result<()> {
        self.config.check()?;
        let cells = batches.cells();
        check_encoder(&network.encoder, cells)?;
        check_trainable(network, batches)?;
        let latent = network.encoder.latent();
        for (what, expected, found) in [
            (
                "the list of initial labels",
                cells.cells(),
                initial_labels.len(),
            ),
            (
                "a centroid",
                latent,
                network.clustering.centroids.lazy_shape()[1],
            ),
        ] {
            if expected != found {
                return Err(Error::LengthMismatch {
                    what: what.into(),
                    expected,
                    found,
                });
            }
        }
        if self.reconstruction.is_some() && network.reconstruction.is_none() {
            return Err(ParameterError::Conflict {
                reason: "joint training needs a network with its decoder; use \
                         ClusteringNetwork::joint, or give no reconstruction loss"
                    .into(),
            }
            .into());
        }
        if let Some(joint) = &self.reconstruction {
            check_corruption(joint.corruption)?;
        }
        if let Some(constraints) = &self.constraints {
            constraints.pairs.check_range(cells.cells())?;
        }
        Ok(())
    }
}

fn changed_fraction(labels: &[usize], last_labels: &[usize]) -> f64 {
    let changed = labels
        .iter()
        .zip(last_labels)
        .filter(|(now, before)| now != before)
        .count();
    changed as f64 / labels.len() as f64
}
