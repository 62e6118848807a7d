//! Phases of one's own: any module, any loss, with the history, the events and the checkpoints of the
//! library's.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use serde_json::json;

use super::config::PretrainConfig;
use super::stages::{Stages, run_stages};
use crate::batches::{Batches, Corruption};
use crate::description::Description;
use crate::error::Result;
use crate::loss::Term;
use crate::model::Phase;
use crate::train::epoch::EpochAddress;
use crate::train::failure::Failure;
use crate::train::run::TrainingRun;

/// A phase of your own, for [`train_phase`].
#[derive(Debug, Clone)]
pub struct OwnPhase<'a> {
    /// Its name in histories, events and messages; with the run's seed it addresses the phase's
    /// random streams. No two phases of a run have the same.
    pub name: &'a str,
    /// Its schedule. The corruption is that of [`OwnEpoch::corrupted_input`], which gives clean input of
    /// cells that are kept apart for validation.
    pub config: &'a PretrainConfig,
    /// What it minimises, with every setting: a checkpoint is resumed by the same only.
    pub loss: Description,
}

/// An epoch of a phase of your own: what reads its batches is told which it is.
#[derive(Debug, Clone, Copy)]
pub struct OwnEpoch<'a> {
    at: EpochAddress<'a>,
    corruption: Corruption,
    seed: u64,
}

impl OwnEpoch<'_> {
    /// The zero-based epoch of the phase.
    pub fn epoch(&self) -> usize {
        self.at.epoch
    }

    /// The epoch's address in [random streams](crate::random), unique across phases: what
    /// [`Batches::corrupted_input`] takes for an epoch.
    pub fn stream(&self) -> u64 {
        self.at.stream()
    }

    /// The network input of the given rows `[rows, genes]`, corrupted as the settings of the phase
    /// say. Other numbers of a `draw` give independent corruptions of the same rows, for losses that
    /// compare two of them.
    ///
    /// # Errors
    /// As [`Batches::corrupted_input`].
    pub fn corrupted_input(
        &self,
        batches: &Batches<'_>,
        rows: &[usize],
        draw: u64,
    ) -> Result<Tensor<2>> {
        let seed = self.seed.wrapping_add(draw);
        batches.corrupted_input(rows, self.corruption, seed, self.stream())
    }
}

/// Trains any module on batches of cells, with the history, the events and the checkpoints of a
/// phase of the library.
///
/// `read` reads the cells of a batch (their positions in the [`Cells`](crate::preprocess::Cells)) on
/// another thread while the batch before trains, and after each epoch those that are kept apart for
/// [validation](PretrainConfig::validation), if any are; `forward` returns the terms whose sum is
/// minimised. They may compare all cells of the batch, which is why only the first of several devices trains.
///
/// ```
/// use celldec::description::Description;
/// use celldec::loss::Term;
/// use celldec::nn::{Autoencoder, Activation, AutoencoderConfig, MseHead, MseHeadConfig};
/// use celldec::batches::Batches;
/// use celldec::prelude::*;
/// use celldec::train::{OwnPhase, PretrainConfig, TrainingRun, train_phase};
///
/// let counts = SimulationConfig::new(60, 40).with_seed(1).simulate()?.counts;
/// let cells = Preprocess::scdcc().fit(&counts)?;
/// let device = Device::default().autodiff();
/// let autoencoder: Autoencoder<MseHead> =
///     AutoencoderConfig::symmetric(cells.genes(), &[8, 2], Activation::Linear)
///         .init(&MseHeadConfig::new(), &device);
///
/// // Autoencoders whose embedding stays near the origin.
/// let config = PretrainConfig::new().with_epochs(2);
/// let phase = OwnPhase { name: "shrinkage", config: &config, loss: Description::new("shrinkage") };
/// let mut run = TrainingRun::new(7);
/// let autoencoder = train_phase(
///     &phase,
///     autoencoder,
///     &Batches::new(&cells, &device),
///     &mut run,
///     |batches, rows, _at| batches.batch(rows),
///     |autoencoder, batch| {
///         let latent = autoencoder.encode(batch.input.clone());
///         let error = autoencoder.decode(latent.clone()).reconstruction - batch.input;
///         vec![
///             Term::new("error", error.square().mean()),
///             Term::new("shrinkage", latent.square().mean() * 0.1),
///         ]
///     },
/// )?;
/// assert_eq!(run.history().len(), 2);
/// # let _ = autoencoder;
/// # Ok::<(), celldec::Error>(())
/// ```
///
/// # Errors
/// As [`pretrain`](super::pretrain()), and the first of `read`. The last good state is the module after
/// the last completed epoch.
pub fn train_phase<M: Module + Sync + 'static, P: Send>(
    phase: &OwnPhase<'_>,
    model: M,
    batches: &Batches<'_>,
    run: &mut TrainingRun<'_>,
    read: impl Fn(&Batches<'_>, &[usize], OwnEpoch<'_>) -> Result<P> + Sync,
    forward: impl Fn(&M, P) -> Vec<Term> + Sync,
) -> Result<M, Failure<M>> {
    let stages = Stages {
        phase: Phase::Own {
            name: phase.name.to_string(),
        },
        config: phase.config,
        batches: &batches.on_first_device(),
        reads_cells: true,
        loss: phase.loss.clone(),
    };
    run.note_phase(json!({
        "name": phase.name,
        "config": phase.config,
        "loss": phase.loss,
    }));
    let seed = run.seed();
    let read = |batches: &Batches<'_>, rows: &[usize], at: EpochAddress<'_>, corruption| {
        let epoch = OwnEpoch {
            at,
            corruption,
            seed,
        };
        read(batches, rows, epoch)
    };
    let forward = |model: &M, read: P, _: &Device| forward(model, read);
    run_stages(stages, model, run, read, forward)
}
