//! Pretraining an autoencoder end to end.

use burn::tensor::Device;

use super::config::PretrainConfig;
use super::prepare::check_encoder;
use super::stages::{Stages, run_stages};
use crate::batches::{Batches, ReconstructionRows};
use crate::loss::ReconstructionLoss;
use crate::model::Phase;
use crate::nn::{Autoencoder, ReconstructionHead};
use crate::train::epoch::EpochAddress;
use crate::train::failure::Failure;
use crate::train::run::TrainingRun;

/// Trains an autoencoder on its reconstruction loss.
///
/// The input of every cell is corrupted anew in every epoch, the loss compares with the clean
/// cell. Epochs visit cells in an order shuffled by the run's seed. The autoencoder must be on a
/// device with automatic differentiation (`device.autodiff()`), and so must the batches.
///
/// # Errors
/// [`Error::LengthMismatch`](crate::Error::LengthMismatch) when the autoencoder has another number
/// of genes than the cells; [`ParameterError`](crate::error::ParameterError) for a setting outside
/// its range; [`Error::Device`](crate::Error::Device) when the autoencoder or the batches are on a
/// device without automatic differentiation; [`Error::Diverged`](crate::Error::Diverged) when the
/// loss becomes non-finite; those of the source, when counts are read from one; when the run has a
/// checkpoint that cannot be resumed,
/// [`Error::CheckpointMismatch`](crate::Error::CheckpointMismatch),
/// [`Error::Checkpoint`](crate::Error::Checkpoint) or [`Error::Io`](crate::Error::Io). The last good
/// state is the autoencoder after the last completed epoch.
pub fn pretrain<H: ReconstructionHead>(
    autoencoder: Autoencoder<H>,
    loss: &dyn ReconstructionLoss<Head = H>,
    batches: &Batches<'_>,
    config: &PretrainConfig,
    run: &mut TrainingRun<'_>,
) -> Result<Autoencoder<H>, Failure<Autoencoder<H>>> {
    check_encoder(&autoencoder.encoder, batches.cells())?;
    let (seed, target) = (run.seed(), loss.target());
    let stages = Stages {
        phase: Phase::Pretraining,
        config,
        batches,
        reads_cells: true,
        loss: loss.description(),
    };
    let read = |batches: &Batches<'_>, rows: &[usize], at: EpochAddress<'_>, corruption| {
        batches.read_reconstruction(rows, target, at.noise(corruption, seed), false)
    };
    let forward = |model: &Autoencoder<H>, rows: ReconstructionRows, device: &Device| {
        let inputs = rows.into_inputs(device);
        let output = model.forward(inputs.corrupted);
        loss.terms(&output, &inputs.batch)
    };
    run_stages(stages, autoencoder, run, read, forward)
}
