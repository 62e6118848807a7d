//! Self-training: cells towards a sharpened target, with or without the decoder.

mod config;
mod state;

use std::time::Instant;

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use ndarray::Array2;

use super::checkpoint::{Snapshot, Step};
use super::epoch::{EpochAddress, MeanLosses, Steps, Term};
use super::fitting::check_encoder;
use super::observer::Event;
use super::run::TrainingRun;
use crate::batches::{
    Batches, CleanRows, DenseRows, EpochPlan, Noise, ReconstructionInputs, ReconstructionRows,
};
use crate::error::{Error, LastGood, ParameterError, Result};
use crate::graph::EmbeddedCells;
use crate::loss::{ClusteringLoss, ConstraintLoss, ReconstructionLoss};
use crate::model::{EpochRecord, Evaluation, Phase, StopReason, evaluate, tensor_to_array};
use crate::nn::{ClusteringNetwork, NetworkInput, ReconstructionHead};
use crate::pairs::ConstraintPairs;

pub use config::SelfTrainConfig;

use state::{ConstraintSettings, Progress, Settings, State};

/// Constraint pairs with their losses.
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
pub struct SelfTraining<'a, R: ReconstructionLoss, C: ClusteringLoss> {
    /// The clustering loss.
    pub clustering: &'a C,
    /// The reconstruction loss of joint training; the network must then have its decoder.
    pub reconstruction: Option<&'a R>,
    /// Constraint pairs.
    pub constraints: Option<Constraints<'a>>,
    /// The schedule.
    pub config: &'a SelfTrainConfig,
}

/// What self-training leaves behind.
pub struct SelfTrainingOutcome<R: ReconstructionLoss> {
    /// The trained network, without automatic differentiation.
    pub network: ClusteringNetwork<R::Head>,
    /// Embedding and soft assignment of all cells by that network.
    pub evaluation: Evaluation,
    /// Why training ended.
    pub stop_reason: StopReason,
}

/// Bits that set the random streams of constraint steps apart from those of cell steps.
const MUST_LINK_STREAM: u64 = 1 << 31;
const CANNOT_LINK_STREAM: u64 = 1 << 30;

impl<R: ReconstructionLoss, C: ClusteringLoss> SelfTraining<'_, R, C> {
    /// Trains a network whose centroids are set.
    ///
    /// `initial_labels` are the labels that the centroids come from.
    ///
    /// # Errors
    /// [`Error::Diverged`] when a loss, a weight or an assignment becomes non-finite, with the last
    /// good [`ClusteringNetwork`]; [`ParameterError`] for a setting outside its range or a
    /// reconstruction loss without a decoder; [`Error::LengthMismatch`] when network, cells and
    /// labels do not fit together; [`Error::Constraint`] when a pair names no cell;
    /// [`Error::CheckpointMismatch`], [`Error::Checkpoint`] or [`Error::Io`] when the run has a
    /// checkpoint that cannot be resumed; those of the source, when counts are read from one.
    pub fn run(
        &self,
        mut network: ClusteringNetwork<R::Head>,
        batches: &Batches<'_>,
        initial_labels: &[usize],
        run: &mut TrainingRun<'_>,
    ) -> Result<SelfTrainingOutcome<R>> {
        self.check(&network, batches, initial_labels)?;
        let phase = Phase::SelfTraining;
        let config = self.config;
        let step = Step {
            name: phase.to_string(),
            cells: batches.cells(),
            settings: self.settings(),
        };
        let saved = run.resume::<Progress>(&step, &network)?;
        let mut optimizer = config.optimizer.init();
        let mut state = State::new(initial_labels, config);
        if let Some(saved) = &saved {
            network = saved.weights(network)?;
            if let Progress::Stopped { epoch, changed } = *saved.progress() {
                state.epoch = epoch;
                let stop_reason = state.stop_reason(config, changed);
                return Ok(SelfTrainingOutcome {
                    evaluation: self.evaluate(&network, batches, epoch)?,
                    network: network.valid(),
                    stop_reason: stop_reason
                        .ok_or_else(|| saved.unusable("it ends before its end".into()))?,
                });
            }
            optimizer = saved.optimizer(optimizer, &network)?;
            let clusters = network.clustering.clusters();
            state = State::restore(saved, config, clusters, batches.cells())?;
        }
        let start = Instant::now();
        run.event(&Event::PhaseStarted {
            phase,
            epochs: config.max_epochs,
        });
        let device = network.clustering.centroids.device();
        if saved.is_some() {
            let epoch = state.epoch;
            run.event(&Event::Resumed { phase, epoch });
        }
        batches.log_order();
        let pairs = match &self.constraints {
            Some(constraints) => batches.holding(&constraints.pairs.cells())?,
            None => batches.clone(),
        };
        let mut steps = Steps::new(optimizer, config.learning_rate);
        let mut last_good = None;
        let keep = |network: Option<ClusteringNetwork<R::Head>>| {
            |error: Error| {
                error.map_last_good(|_| {
                    network.map_or_else(LastGood::default, |network| LastGood::new(network.valid()))
                })
            }
        };
        let (evaluation, stop_reason) = loop {
            let epoch = state.epoch;
            let mut changed = None;
            if state.is_target_due(config) {
                let evaluation = self
                    .evaluate(&network, batches, epoch)
                    .map_err(keep(last_good.take()))?;
                let labels = evaluation.labels();
                let fraction = changed_fraction(&labels, &state.labels);
                changed = Some(fraction);
                run.event(&Event::TargetUpdated {
                    epoch,
                    changed: fraction,
                });
                if let Some(reason) = state.stop_reason(config, fraction) {
                    let progress = Progress::Stopped {
                        epoch,
                        changed: fraction,
                    };
                    run.finish_step(true, || Snapshot::new(&progress)?.with_weights(&network));
                    break (evaluation, reason);
                }
                let q = array_to_tensor(&evaluation.soft_assignments, &device.clone().inner());
                let cells = EmbeddedCells::new(evaluation.embedding.view(), &state.neighbors);
                state.target = tensor_to_array(self.clustering.target_among(q, &cells)?);
                state.labels = labels;
            }
            let epoch_start = Instant::now();
            let mut pass = Pass {
                batches,
                pairs: &pairs,
                steps: &mut steps,
                at: EpochAddress { phase, epoch },
                seed: run.seed(),
                losses: MeanLosses::default(),
            };
            last_good = Some(network.clone());
            network = match self.steps(network, &state.target, &mut pass) {
                Ok(network) => network,
                Err(error) => return Err(keep(last_good)(error)),
            };
            let losses = pass.losses.into_named();
            run.record(EpochRecord {
                phase,
                epoch,
                losses,
                changed,
                seconds: epoch_start.elapsed().as_secs_f64(),
            });
            state.epoch += 1;
            run.checkpoint(|| {
                Ok(state
                    .snapshot(config)?
                    .with_weights(&network)?
                    .with_optimizer(steps.state(&network)?))
            });
        };
        run.event(&Event::PhaseFinished {
            phase,
            epochs: state.epoch,
            seconds: start.elapsed().as_secs_f64(),
        });
        Ok(SelfTrainingOutcome {
            network: network.valid(),
            evaluation,
            stop_reason,
        })
    }

    /// What decides the result beside cells, seed and first weights.
    fn settings(&self) -> Settings<'_> {
        Settings {
            config: self.config,
            clustering: self.clustering.name(),
            reconstruction: self.reconstruction.map(|loss| loss.name()),
            constraints: self.constraints.as_ref().map(ConstraintSettings::new),
        }
    }

    fn evaluate(
        &self,
        network: &ClusteringNetwork<R::Head>,
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
            let phase = Phase::SelfTraining;
            Err(EpochAddress { phase, epoch }.diverged("the soft assignment", 0))
        }
    }

    fn check(
        &self,
        network: &ClusteringNetwork<R::Head>,
        batches: &Batches<'_>,
        initial_labels: &[usize],
    ) -> Result<()> {
        self.config.check()?;
        let cells = batches.cells();
        check_encoder(&network.encoder, cells)?;
        let latent = network.encoder.layers.last().map_or(0, |l| l.outputs());
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
        if let Some(constraints) = &self.constraints {
            constraints.pairs.check_range(cells.cells())?;
        }
        Ok(())
    }

    /// One epoch: steps over all cells, then over all pairs.
    fn steps(
        &self,
        network: ClusteringNetwork<R::Head>,
        target: &Array2<f32>,
        pass: &mut Pass<'_>,
    ) -> Result<ClusteringNetwork<R::Head>> {
        let network = self.cell_steps(network, target, pass)?;
        match &self.constraints {
            Some(constraints) => self.pair_steps(network, constraints, pass),
            None => Ok(network),
        }
    }

    /// What a step reads of the given cells.
    fn read(&self, batches: &Batches<'_>, rows: &[usize], noise: Noise) -> Result<StepRows> {
        Ok(match self.reconstruction {
            Some(loss) => {
                let rows = batches.read_reconstruction(rows, loss.target(), noise, true)?;
                StepRows::Joint(rows)
            }
            None => StepRows::Clean(batches.read_clean(rows)?),
        })
    }

    /// The reconstruction term of a batch, from corrupted input.
    fn reconstruction_term(
        &self,
        network: &ClusteringNetwork<R::Head>,
        inputs: Option<ReconstructionInputs>,
    ) -> Option<Term> {
        let (loss, inputs) = (self.reconstruction?, inputs?);
        let output = network.decode(network.encode(inputs.corrupted))?;
        Some(Term::new(loss.name(), loss.forward(&output, &inputs.batch)))
    }

    fn cell_steps(
        &self,
        network: ClusteringNetwork<R::Head>,
        target: &Array2<f32>,
        pass: &mut Pass<'_>,
    ) -> Result<ClusteringNetwork<R::Head>> {
        let batches = pass.batches;
        let noise = self.noise(pass, 0);
        let name = self.clustering.name();
        let config = self.config;
        let (shuffle, size) = (config.shuffle, config.batch_size);
        let plan = EpochPlan::of_cells(batches.cells(), shuffle, size, pass.seed, noise.epoch);
        pass.steps(
            network,
            (batches, &plan),
            |batches, rows| {
                let read = self.read(batches, rows, noise)?;
                Ok((read, target_rows(target, rows)))
            },
            |network, (rows, p)| {
                let (clean, reconstruction) = rows.into_inputs(batches.device());
                let q = network.assign(network.encode(clean));
                let p = p.into_tensor(&q.device());
                let mut terms = vec![Term::new(&name, self.clustering.forward(q, p))];
                terms.extend(self.reconstruction_term(network, reconstruction));
                terms
            },
        )
    }

    fn pair_steps(
        &self,
        network: ClusteringNetwork<R::Head>,
        constraints: &Constraints<'_>,
        pass: &mut Pass<'_>,
    ) -> Result<ClusteringNetwork<R::Head>> {
        let batches = pass.pairs;
        let config = self.config;
        let (shuffle, size, seed) = (config.shuffle, config.batch_size, pass.seed);
        let assign = |network: &ClusteringNetwork<R::Head>, input: NetworkInput| {
            network.assign(network.encode(input))
        };

        let pairs = constraints.pairs.must_link();
        let noise = self.noise(pass, MUST_LINK_STREAM);
        let name = constraints.must_link.name();
        let plan = EpochPlan::of_rows(pairs.len(), shuffle, size, seed, noise.epoch);
        let network = pass.steps(
            network,
            (batches, &plan),
            |batches, rows| {
                let [first, second] = sides(pairs, rows);
                let read = |side: &[usize]| self.read(batches, side, noise);
                Ok([read(&first)?, read(&second)?])
            },
            |network, sides| {
                let sides = sides.map(|rows| rows.into_inputs(batches.device()));
                let [(first, first_rest), (second, second_rest)] = sides;
                let (q_first, q_second) = (assign(network, first), assign(network, second));
                let loss = constraints.must_link.forward(q_first, q_second);
                let mut terms = vec![Term::new(&name, loss)];
                for reconstruction in [first_rest, second_rest] {
                    terms.extend(
                        self.reconstruction_term(network, reconstruction)
                            .map(|term| Term::new(format!("{name} {}", term.name), term.loss)),
                    );
                }
                terms
            },
        )?;

        let pairs = constraints.pairs.cannot_link();
        let address = pass.at.stream() | CANNOT_LINK_STREAM;
        let name = constraints.cannot_link.name();
        let plan = EpochPlan::of_rows(pairs.len(), shuffle, size, seed, address);
        pass.steps(
            network,
            (batches, &plan),
            |batches, rows| {
                let [first, second] = sides(pairs, rows);
                Ok([batches.read_clean(&first)?, batches.read_clean(&second)?])
            },
            |network, sides| {
                let [q_first, q_second] =
                    sides.map(|rows| assign(network, rows.into_input(batches.device())));
                let loss = constraints.cannot_link.forward(q_first, q_second);
                vec![Term::new(&name, loss)]
            },
        )
    }

    /// The noise of an epoch; `stream` sets kinds of steps apart.
    fn noise(&self, pass: &Pass<'_>, stream: u64) -> Noise {
        Noise {
            epoch: pass.at.stream() | stream,
            ..pass.at.noise(self.config.corruption, pass.seed)
        }
    }
}

/// The network of a diverged self-training with its evaluation, unless its assignments were not
/// finite either, or counts can no longer be read.
pub(super) fn last_good_evaluation<H: ReconstructionHead>(
    state: LastGood,
    batches: &Batches<'_>,
) -> Option<(ClusteringNetwork<H>, Evaluation)> {
    let network: ClusteringNetwork<H> = state.downcast()?;
    let evaluation = evaluate(
        &network.encoder,
        Some(&network.clustering),
        &batches.without_autodiff(),
    )
    .ok()?;
    let finite = evaluation.soft_assignments.iter().all(|q| q.is_finite());
    finite.then_some((network, evaluation))
}

/// What a step reads of its cells, in memory.
enum StepRows {
    /// Clean input for q.
    Clean(CleanRows),
    /// Clean input, and what the reconstruction reads.
    Joint(ReconstructionRows),
}

impl StepRows {
    /// Clean input and, in joint training, everything a reconstruction reads, on a device.
    fn into_inputs(self, device: &Device) -> (NetworkInput, Option<ReconstructionInputs>) {
        match self {
            Self::Clean(rows) => (rows.into_input(device), None),
            Self::Joint(rows) => {
                let inputs = rows.into_inputs(device);
                (inputs.clean.clone(), Some(inputs))
            }
        }
    }
}

/// One epoch of self-training: what its steps over cells and over pairs share.
struct Pass<'a> {
    batches: &'a Batches<'a>,
    /// Batches that hold the cells of all pairs.
    pairs: &'a Batches<'a>,
    steps: &'a mut Steps,
    at: EpochAddress,
    seed: u64,
    losses: MeanLosses,
}

impl Pass<'_> {
    /// One step for every batch of the plan (cells or pairs).
    fn steps<M: Module, P: Send>(
        &mut self,
        model: M,
        batches: (&Batches<'_>, &EpochPlan),
        prepare: impl Fn(&Batches<'_>, &[usize]) -> Result<P> + Sync,
        forward: impl Fn(&M, P) -> Vec<Term>,
    ) -> Result<M> {
        self.steps
            .epoch(model, batches, self.at, &mut self.losses, prepare, forward)
    }
}

/// The first and the second cell of each of the given pairs.
fn sides(pairs: &[(usize, usize)], rows: &[usize]) -> [Vec<usize>; 2] {
    let (first, second) = rows.iter().map(|&row| pairs[row]).unzip();
    [first, second]
}

fn changed_fraction(labels: &[usize], last_labels: &[usize]) -> f64 {
    let changed = labels
        .iter()
        .zip(last_labels)
        .filter(|(now, before)| now != before)
        .count();
    changed as f64 / labels.len() as f64
}

fn array_to_tensor(array: &Array2<f32>, device: &Device) -> Tensor<2> {
    let (rows, columns) = array.dim();
    let values: Vec<f32> = array.iter().copied().collect();
    Tensor::from_data(TensorData::new(values, [rows, columns]), device)
}

/// The target of the given cells.
fn target_rows(target: &Array2<f32>, rows: &[usize]) -> DenseRows {
    DenseRows::new(rows, target.ncols(), |row, values| {
        for (value, &p) in values.iter_mut().zip(target.row(row)) {
            *value = p;
        }
    })
}
