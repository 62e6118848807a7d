//! Learning rates by schedules, gradient clipping and weight decay, in whole fits.

use burn::optim::grad_clipping::GradientClippingConfig;
use burn::optim::lr_scheduler::cosine::CosineAnnealingLrSchedulerConfig;
use burn::optim::lr_scheduler::exponential::ExponentialLrSchedulerConfig;
use celldec::error::ParameterError;
use celldec::optim::{LearningRate, OptimizerConfig};
use celldec::prelude::*;
use celldec::train::Stage;

use crate::checkpoint::{Method, check_every_checkpoint, silent, two_resolutions};
use crate::{Bits, bits, cpu, default_scdcc, fitted, parameter, simulated};

/// From 1e-3 down to 0 in as many steps.
fn cosine(steps: usize) -> LearningRate {
    CosineAnnealingLrSchedulerConfig::new(1e-3, steps).into()
}

fn at(rate: impl Into<LearningRate>) -> Plan<CountHead> {
    let rate = rate.into();
    default_scdcc()
        .with_pretraining(|phase| phase.with_learning_rate(rate.clone()))
        .with_self_training(|phase| phase.with_learning_rate(rate))
}

fn with_optimizer(plan: Plan<CountHead>, optimizer: &OptimizerConfig) -> Plan<CountHead> {
    plan.with_pretraining(|phase| phase.with_optimizer(optimizer.clone()))
        .with_self_training(|phase| phase.with_optimizer(optimizer.clone()))
}

fn restrained() -> OptimizerConfig {
    OptimizerConfig::amsgrad()
        .with_clipping(GradientClippingConfig::Norm(0.01))
        .with_weight_decay(0.1)
}

/// Three batches an epoch, so that no schedule ends with one.
#[test]
fn a_schedule_with_clipping_and_decay_resumes_at_every_checkpoint() {
    let (cells, _) = simulated(80, 30, 1);
    check_every_checkpoint(&with_optimizer(at(cosine(16)), &restrained()), &cells);
}

/// Every stage, and every start, has its schedule from the beginning.
#[test]
fn schedules_of_stages_and_of_several_starts_resume_at_every_checkpoint() {
    let (cells, _) = simulated(80, 30, 3);
    let stages = || vec![Stage::new(cosine(8), 2), Stage::new(cosine(5), 1)];
    let plan = two_resolutions();
    let layerwise = plan.layerwise.clone().unwrap().with_stages(stages());
    let plan = plan
        .with_layerwise(Some(layerwise))
        .with_pretraining(|phase| phase.with_stages(stages()))
        .with_self_training(|phase| phase.with_learning_rate(cosine(7)));
    check_every_checkpoint(&plan, &cells);
}

#[test]
fn schedules_clipping_and_decay_change_what_is_learned() {
    let (cells, _) = simulated(80, 30, 2);
    let of = |plan: &Plan<CountHead>| -> Bits { bits(&fitted(plan, &cells), &cells) };
    let constant = of(&at(1e-3));
    assert_eq!(constant, of(&default_scdcc()), "the default rate");
    assert_ne!(constant, of(&at(cosine(16))));
    for optimizer in [
        OptimizerConfig::amsgrad().with_clipping(GradientClippingConfig::Norm(0.01)),
        OptimizerConfig::amsgrad().with_clipping(GradientClippingConfig::Value(1e-4)),
        OptimizerConfig::amsgrad().with_weight_decay(0.1),
        OptimizerConfig::adam().with_weight_decay(0.1),
    ] {
        assert_ne!(
            constant,
            of(&with_optimizer(at(1e-3), &optimizer)),
            "{optimizer:?}"
        );
    }
    // What never applies changes nothing.
    let idle = OptimizerConfig::amsgrad()
        .with_clipping(GradientClippingConfig::Value(1e30))
        .with_weight_decay(0.0);
    assert_eq!(constant, of(&with_optimizer(at(1e-3), &idle)));
    // A schedule that stays where it is, is a constant rate.
    let level = ExponentialLrSchedulerConfig::new(1e-3, 1.0);
    assert_eq!(constant, of(&at(level)));
}

#[test]
fn another_schedule_is_another_run() {
    let (cells, _) = simulated(60, 30, 4);
    let folder = tempfile::tempdir().unwrap();
    let checkpoint = CheckpointConfig::new(folder.path().join("checkpoint"));
    let fit = |plan: Plan<CountHead>| plan.fit(&cells, Some(checkpoint.clone()), &mut silent);
    let plan = |steps: usize| {
        let plan = default_scdcc().with_epochs(1, 1);
        plan.with_self_training(|phase| phase.with_learning_rate(cosine(steps)))
    };
    fit(plan(16)).unwrap();
    let decayed = OptimizerConfig::amsgrad().with_weight_decay(0.1);
    let clipped = OptimizerConfig::amsgrad().with_clipping(GradientClippingConfig::Norm(5.0));
    for (other, setting) in [
        (plan(17), "self_training.learning_rate"),
        (
            default_scdcc().with_epochs(1, 1),
            "self_training.learning_rate",
        ),
        (with_optimizer(plan(16), &decayed), "weight_decay"),
        (with_optimizer(plan(16), &clipped), "clipping"),
    ] {
        let Err(Error::CheckpointMismatch { what, .. }) = fit(other) else {
            panic!("a checkpoint of another schedule was resumed");
        };
        assert!(what.contains(setting), "{what}");
    }
}

#[test]
fn impossible_schedules_are_refused_before_any_work() {
    let none = CosineAnnealingLrSchedulerConfig::new(1e-3, 0);
    for plan in [
        default_scdcc().with_self_training(|phase| phase.with_learning_rate(none.clone())),
        default_scdcc().with_pretraining(|phase| phase.with_learning_rate(none.clone())),
    ] {
        let error = parameter(plan.trainer(&cpu()).unwrap_err());
        assert!(matches!(error, ParameterError::Schedule { .. }), "{error}");
    }
}
