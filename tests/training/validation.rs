//! Cells that are kept apart from pretraining.

use std::collections::BTreeSet;
use std::sync::Mutex;

use celldec::batches::{Batches, Corruption};
use celldec::description::Description;
use celldec::error::ParameterError;
use celldec::loss::Term;
use celldec::model::Phase;
use celldec::nn::{Activation, Autoencoder, AutoencoderConfig, MseHeadConfig, ReconstructionHead};
use celldec::prelude::*;
use celldec::train::{EarlyStopping, OwnPhase, PretrainConfig, TrainingRun, train_phase};

use crate::checkpoint::check_every_checkpoint;
use crate::{bits, cpu, default_scdcc, desc, fitted, parameter, scdcc, simulated};

fn with_validation<H: ReconstructionHead>(plan: Plan<H>, share: f64) -> Plan<H> {
    plan.with_pretraining(|phase| phase.with_validation(share))
}

#[test]
fn every_epoch_of_pretraining_tells_the_loss_of_cells_kept_apart() {
    let (cells, _) = simulated(90, 30, 1);
    let fit = fitted(&with_validation(default_scdcc(), 0.2), &cells);
    for record in fit.history() {
        if record.phase == Phase::Pretraining {
            let names = |losses: &[(String, f64)]| -> Vec<String> {
                losses.iter().map(|(name, _)| name.clone()).collect()
            };
            assert_eq!(names(&record.losses), names(&record.validation));
            assert!(record.validation.iter().all(|(_, loss)| loss.is_finite()));
            assert_ne!(record.losses, record.validation);
            let (name, loss) = &record.validation[0];
            assert_eq!(record.loss(&format!("validation {name}")), Some(*loss));
        } else {
            assert!(record.validation.is_empty());
        }
    }
    assert_eq!(fit.clusters().labels().len(), 90);
}

#[test]
fn none_kept_apart_is_as_before() {
    let (cells, _) = simulated(80, 30, 2);
    let plain = fitted(&default_scdcc(), &cells);
    let none = fitted(&with_validation(default_scdcc(), 0.0), &cells);
    assert_eq!(bits(&plain, &cells), bits(&none, &cells));
    let some = fitted(&with_validation(default_scdcc(), 0.3), &cells);
    assert_ne!(bits(&plain, &cells), bits(&some, &cells));
}

/// A phase of one's own sees which cells are read for what.
#[test]
fn cells_kept_apart_are_never_trained_on() {
    let (cells, _) = simulated(83, 30, 3);
    let device = cpu().autodiff();
    let read_in = |share: f64, seed: u64| {
        let config = PretrainConfig::new()
            .with_epochs(3)
            .with_batch_size(16)
            .with_validation(share);
        let phase = OwnPhase {
            name: "own",
            config: &config,
            loss: Description::new("squares"),
        };
        let [trained, apart] = [const { Mutex::new(BTreeSet::new()) }; 2];
        let autoencoder: Autoencoder<MseHead> =
            AutoencoderConfig::symmetric(cells.genes(), &[4, 2], Activation::Linear)
                .init(&MseHeadConfig::new(), &device);
        let mut run = TrainingRun::new(seed);
        let batches = Batches::new(&cells, &device);
        train_phase(
            &phase,
            autoencoder,
            &batches,
            &mut run,
            |batches, rows, epoch| {
                let clean = batches.input(rows)?;
                let corrupted = epoch.corrupted_input(batches, rows, 0)?;
                let differs = (clean.clone() - corrupted).abs().max().into_scalar::<f32>() > 0.0;
                let side = if differs { &trained } else { &apart };
                side.lock().expect("no panic").extend(rows.iter().copied());
                Ok(clean)
            },
            |autoencoder, input| {
                let output = autoencoder.forward(input.clone()).reconstruction;
                vec![Term::new("squares", (output - input).square().mean())]
            },
        )
        .expect("simulated cells can be trained on");
        assert_eq!(run.history().len(), 3);
        [trained, apart].map(|cells| cells.into_inner().expect("no panic"))
    };
    let [trained, apart] = read_in(0.25, 1);
    assert_eq!(apart.len(), 21);
    assert!(trained.is_disjoint(&apart));
    assert_eq!(trained.len() + apart.len(), 83);
    assert_eq!(read_in(0.25, 1), [trained, apart.clone()]);
    assert_ne!(read_in(0.25, 2)[1], apart);
    assert!(read_in(0.0, 1)[1].is_empty());
}

/// With a rate at which the network learns its cells by heart the loss of others rises, while that
/// of its own falls on.
#[test]
fn early_stopping_looks_at_cells_kept_apart() {
    let (cells, _) = simulated(60, 40, 4);
    let rule = EarlyStopping::new(0.0, 2);
    let plan = |share| {
        with_validation(scdcc(3), share)
            .with_epochs(60, 1)
            .with_pretraining(|phase| {
                phase
                    .with_learning_rate(5e-3)
                    .with_corruption(Corruption::None)
                    .with_early_stopping(Some(rule))
            })
    };
    let fit = fitted(&plan(0.3), &cells);
    let records: Vec<_> = fit
        .history()
        .iter()
        .filter(|record| record.phase == Phase::Pretraining)
        .collect();
    assert!(records.len() < 60, "{} epochs", records.len());
    let apart: Vec<f64> = records
        .iter()
        .map(|record| record.validation.iter().map(|(_, loss)| loss).sum())
        .collect();
    let (until_lowest, after) = apart.split_at(apart.len() - 2);
    let lowest = until_lowest[until_lowest.len() - 1];
    assert!(until_lowest.iter().all(|&loss| loss >= lowest), "{apart:?}");
    assert!(after.iter().all(|&loss| loss >= lowest), "{apart:?}");
    // The loss of the cells that are trained on went on falling.
    let trained: Vec<f64> = records.iter().map(|record| record.total_loss()).collect();
    let [.., lowest, _, last] = trained[..] else {
        panic!("{trained:?}");
    };
    assert!(last < lowest, "{trained:?}");
    let own = fitted(&plan(0.0), &cells);
    assert!(own.history().len() > fit.history().len());
}

#[test]
fn validation_resumes_at_every_checkpoint() {
    let (cells, _) = simulated(80, 30, 5);
    check_every_checkpoint(&with_validation(default_scdcc(), 0.2), &cells);
    let plan = with_validation(desc(), 0.2);
    let layerwise = plan.layerwise.clone().expect("layers are pretrained");
    let plan = plan.with_layerwise(Some(layerwise.with_validation(0.2)));
    check_every_checkpoint(&plan, &cells);
}

/// Noise is no part of what cells that are kept apart are reconstructed from, in hidden layers either.
#[test]
fn losses_of_cells_kept_apart_have_no_noise() {
    let (cells, _) = simulated(80, 30, 6);
    let plan = |corruption: Corruption| {
        let corrupted = |phase: PretrainConfig| {
            let phase = phase.with_validation(0.5).with_corruption(corruption);
            phase.with_learning_rate(1e-12)
        };
        let plan = desc();
        let layerwise = plan.layerwise.clone().map(corrupted);
        plan.with_layerwise(layerwise).with_pretraining(corrupted)
    };
    let of = |corruption| fitted(&plan(corruption), &cells).history().to_vec();
    let (noisy, clean) = (of(Corruption::Dropout(0.5)), of(Corruption::None));
    let mut seen = 0;
    for (noisy, clean) in noisy.iter().zip(&clean) {
        for ((_, noisy), (_, clean)) in noisy.validation.iter().zip(&clean.validation) {
            assert!((noisy - clean).abs() < 1e-5 * clean, "{noisy} {clean}");
            seen += 1;
        }
        if clean.phase != Phase::SelfTraining {
            assert_ne!(noisy.losses, clean.losses);
        }
    }
    assert!(seen > 2, "{seen}");
}

#[test]
fn several_devices_see_the_same_cells_kept_apart() {
    let (cells, _) = simulated(90, 30, 7);
    let plan = with_validation(default_scdcc(), 0.3);
    let one = fitted(&plan, &cells);
    let two = plan.trainer_on(&[cpu(), cpu()]).unwrap();
    let two = two.fit(&cells).unwrap();
    assert_eq!(one.history().len(), two.history().len());
    for (one, two) in one.history().iter().zip(two.history()) {
        for (one, two) in [
            (&one.losses, &two.losses),
            (&one.validation, &two.validation),
        ] {
            assert_eq!(one.len(), two.len());
            for ((_, one), (_, two)) in one.iter().zip(two) {
                assert!((one - two).abs() <= 1e-4 * one.abs(), "{one} {two}");
            }
        }
    }
}

#[test]
fn layers_and_the_whole_keep_the_same_cells_apart() {
    let refused = with_validation(desc(), 0.2).trainer(&cpu());
    let error = refused.expect_err("layers would be trained on all cells");
    assert!(matches!(parameter(error), ParameterError::Conflict { .. }));
}

#[test]
fn a_share_that_is_none_is_refused() {
    for share in [-0.1, 1.0, 2.0, f64::NAN] {
        let error = with_validation(default_scdcc(), share).trainer(&cpu());
        assert!(matches!(
            parameter(error.expect_err("no share")),
            ParameterError::OutOfRange { .. }
        ));
    }
}
