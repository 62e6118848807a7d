//! Times of training steps and epochs, taken inside the trainers as users run them.

use std::time::Instant;

use celldec::Result;
use celldec::device::by_name;
use celldec::model::{EpochRecord, Phase};
use celldec::preprocess::Cells;
use celldec::train::{Event, Plan};

/// Cells per step.
pub const BATCH: usize = 256;

/// Seconds per scDCC pretraining step in each of `epochs` epochs: batch, noise, forward pass, loss,
/// gradients, AMSGrad. An epoch before them, which allocates what the others reuse, is left out.
pub fn scdcc_steps(cells: &Cells, epochs: usize) -> Result<Vec<f64>> {
    let trainer = Plan::scdcc_reference(8)
        .with_batch_size(BATCH)
        .with_pretraining(|phase| phase.with_epochs(epochs + 1))
        .trainer(&by_name("cpu")?)?;
    let mut run = trainer.run();
    trainer.pretrain(cells, &mut run)?;
    Ok(per_step(run.history(), cells))
}

/// Seconds of each of `epochs` epochs of scDCC's self-training: soft assignment and target of all
/// cells, then a step for every batch. An epoch before them is left out.
pub fn clustering_epochs(cells: &Cells, clusters: usize, epochs: usize) -> Result<Vec<f64>> {
    let trainer = Plan::scdcc_reference(clusters)
        .with_batch_size(BATCH)
        .with_epochs(1, epochs + 1)
        .with_self_training(|phase| phase.with_tolerance(0.0))
        .trainer(&by_name("cpu")?)?;
    let autoencoder = trainer.pretrain(cells, &mut trainer.run())?;
    let mut ends = Vec::new();
    let mut observer = |event: &Event<'_>| {
        if let Event::EpochFinished(record) = event
            && record.phase == Phase::SelfTraining
        {
            ends.push(Instant::now());
        }
    };
    trainer.cluster(autoencoder, cells, &mut trainer.run_observed(&mut observer))?;
    Ok(ends
        .windows(2)
        .map(|pair| (pair[1] - pair[0]).as_secs_f64())
        .collect())
}

/// Seconds per step in each epoch of a history but the first.
pub fn per_step(history: &[EpochRecord], cells: &Cells) -> Vec<f64> {
    let steps = (cells.cells() / BATCH) as f64;
    history
        .iter()
        .skip(1)
        .map(|epoch| epoch.seconds / steps)
        .collect()
}
