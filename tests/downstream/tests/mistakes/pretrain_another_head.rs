//! A loss scores one head, and trains autoencoders with that head only.
//~ expected
//~ MseHead
//~ NbHead

use celldec::batches::Batches;
use celldec::nn::Autoencoder;
use celldec::prelude::*;
use celldec::train::{PretrainConfig, TrainingRun, pretrain};

pub fn train(
    autoencoder: Autoencoder<MseHead>,
    batches: &Batches<'_>,
    run: &mut TrainingRun<'_>,
) -> celldec::Result<Autoencoder<MseHead>> {
    let schedule = PretrainConfig::new();
    Ok(pretrain(autoencoder, &NbLoss::new(), batches, &schedule, run)?)
}
