//! Learning-rate schedules, clipped gradients, weight decay.

use celldec::burn::optim::grad_clipping::GradientClippingConfig;
use celldec::burn::optim::lr_scheduler::cosine::CosineAnnealingLrSchedulerConfig;
use celldec::nn::Autoencoder;
use celldec::optim::OptimizerConfig;
use celldec::prelude::*;
use celldec::tensors::tensor_to_array;
use celldec::train::{PretrainConfig, Stage};
use celldec_downstream::{bits, short, three_groups};

fn pretrained(
    cells: &Cells,
    change: impl FnOnce(PretrainConfig) -> PretrainConfig,
) -> celldec::Result<Autoencoder<CountHead>> {
    let plan = short(Plan::scdcc(3)).with_pretraining(change);
    let trainer = plan.trainer(&Device::default())?;
    Ok(trainer.pretrain(cells, &mut trainer.run())?)
}

/// The weights of the encoder's first layer.
fn weights(autoencoder: &Autoencoder<CountHead>) -> Vec<f32> {
    let layer = &autoencoder.encoder.layers[0].linear;
    tensor_to_array(layer.weight.val()).into_iter().collect()
}

fn furthest(first: &[f32], second: &[f32]) -> f32 {
    let moves = first.iter().zip(second).map(|(a, b)| (a - b).abs());
    moves.fold(0.0, f32::max)
}

#[test]
fn a_schedule_moves_the_rate_step_by_step() -> celldec::Result<()> {
    let (cells, _) = three_groups(90, 1)?;
    // 90 cells in batches of 32: three steps an epoch, twelve in all.
    let constant = pretrained(&cells, |phase| phase)?;
    let falling = pretrained(&cells, |phase| {
        phase.with_learning_rate(CosineAnnealingLrSchedulerConfig::new(1e-3, 12))
    })?;
    let start = pretrained(&cells, |phase| phase.with_epochs(0))?;
    let moved = |end: &Autoencoder<CountHead>| furthest(&weights(&start), &weights(end));
    assert!(moved(&falling) > 0.0 && moved(&falling) < moved(&constant));
    // The first step is that of the constant rate.
    let first = |rate: celldec::optim::LearningRate| {
        pretrained(&cells, |phase| {
            phase
                .with_batch_size(90)
                .with_stages(vec![Stage::new(rate, 1)])
        })
    };
    let cosine = CosineAnnealingLrSchedulerConfig::new(1e-3, 12);
    assert_eq!(
        weights(&first(cosine.into())?),
        weights(&first(1e-3.into())?)
    );
    Ok(())
}

#[test]
fn gradients_are_clipped() -> celldec::Result<()> {
    let (cells, _) = three_groups(90, 1)?;
    let start = pretrained(&cells, |phase| phase.with_epochs(0))?;
    let moved = |optimizer: OptimizerConfig| -> celldec::Result<f32> {
        let end = pretrained(&cells, |phase| {
            phase.with_optimizer(optimizer).with_learning_rate(0.1)
        })?;
        Ok(furthest(&weights(&start), &weights(&end)))
    };
    let plain = moved(OptimizerConfig::sgd(0.0))?;
    for clipping in [
        GradientClippingConfig::Value(1e-5),
        GradientClippingConfig::Norm(1e-5),
    ] {
        let clipped = moved(OptimizerConfig::sgd(0.0).with_clipping(clipping))?;
        // Twelve steps of at most 0.1 · 1e-5.
        assert!(
            clipped > 0.0 && clipped < 1.5e-5 && plain > 1e-4,
            "{plain} {clipped}"
        );
    }
    Ok(())
}

#[test]
fn weights_decay() -> celldec::Result<()> {
    let (cells, _) = three_groups(90, 1)?;
    let norm = |optimizer: OptimizerConfig| -> celldec::Result<f32> {
        let end = pretrained(&cells, |phase| phase.with_optimizer(optimizer))?;
        Ok(weights(&end).iter().map(|weight| weight * weight).sum())
    };
    let adam = norm(OptimizerConfig::adam())?;
    let adamw = norm(OptimizerConfig::adam().with_weight_decay(20.0))?;
    // Twelve steps, each of which takes 1e-3 · 20 of every weight.
    assert!(adamw < 0.8 * adam, "{adamw} {adam}");
    Ok(())
}

#[test]
fn self_training_takes_all_of_them_and_records_them() -> celldec::Result<()> {
    let (cells, _) = three_groups(90, 1)?;
    // program: cosine schedule, clipping and AdamW; at most 15 lines
    let plan = Plan::scdcc(3).with_self_training(|phase| {
        let adamw = OptimizerConfig::adam()
            .with_weight_decay(1e-2)
            .with_clipping(GradientClippingConfig::Norm(5.0));
        phase
            .with_optimizer(adamw)
            .with_learning_rate(CosineAnnealingLrSchedulerConfig::new(1e-3, 100))
    });
    // end
    let trainer = short(plan).trainer(&Device::default())?;
    let fit = trainer.fit(&cells)?;
    let record = &fit.model().info().settings["self_training"];
    assert_eq!(record["optimizer"]["weight_decay"], 1e-2);
    assert_eq!(record["optimizer"]["clipping"]["Norm"], 5.0);
    assert!(
        record["learning_rate"].to_string().contains("100"),
        "{record}"
    );
    assert_eq!(bits(&fit), bits(&trainer.fit(&cells)?));
    Ok(())
}
