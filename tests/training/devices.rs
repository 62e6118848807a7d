//! Steps that several devices share: the fit of one device, within rounding.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, ThreadId};

use burn::optim::grad_clipping::GradientClippingConfig;
use burn::tensor::Tensor;
use celldec::batches::Batch;
use celldec::description::Description;
use celldec::error::ParameterError;
use celldec::loss::{self, Term};
use celldec::nn::{Autoencoder, HeadOutput, LinearHead, LinearHeadConfig, ReconstructionHead};
use celldec::optim::OptimizerConfig;
use celldec::prelude::*;
use celldec::preprocess::Covariates;
use celldec::train::{
    DecoderTraining, OwnPhase, Part, PretrainConfig, TrainingRun, pretrain, train_phase,
};
use rayon::prelude::*;

use crate::checkpoint::every_epoch;
use crate::{bits, cpu, default_scdcc, desc, fitted, parameter, scdcc, simulated, weights};

/// Lists of devices that begin with the one that is compared with.
fn lists() -> Vec<Vec<Device>> {
    let mut lists = vec![vec![cpu(), cpu()], vec![cpu(), cpu(), cpu()]];
    if cfg!(all(feature = "flex", feature = "ndarray")) {
        let other = celldec::device::by_name("ndarray").unwrap();
        lists.push(vec![cpu(), other]);
    }
    lists
}

fn fitted_on<H: ReconstructionHead>(plan: &Plan<H>, devices: &[Device], cells: &Cells) -> Fit<H> {
    plan.trainer_on(devices).unwrap().fit(cells).unwrap()
}

/// Losses of all epochs and soft assignments within 1e-4, labels equal.
fn assert_agree<H: ReconstructionHead>(found: &Fit<H>, expected: &Fit<H>, what: &str) {
    assert_eq!(found.history().len(), expected.history().len(), "{what}");
    for (found, expected) in found.history().iter().zip(expected.history()) {
        assert_eq!(found.losses.len(), expected.losses.len(), "{what}");
        for ((name, found), (expected_name, expected)) in found.losses.iter().zip(&expected.losses)
        {
            assert_eq!(name, expected_name, "{what}");
            assert!(
                (found - expected).abs() < 1e-4 * expected.abs().max(1.0),
                "{what}, {name}: {found} {expected}"
            );
        }
    }
    let (q, expected_q) = (found.clusters().soft(), expected.clusters().soft());
    let difference = crate::largest_difference(q, expected_q);
    assert!(difference < 1e-4, "{what}: q differs by {difference:e}");
    assert_eq!(
        found.clusters().labels(),
        expected.clusters().labels(),
        "{what}"
    );
}

fn check<H: ReconstructionHead>(plan: &Plan<H>, cells: &Cells, what: &str) {
    let alone = fitted(plan, cells);
    for devices in lists() {
        let shared = fitted_on(plan, &devices, cells);
        assert_agree(&shared, &alone, &format!("{what} on {devices:?}"));
    }
}

#[test]
fn fits_of_the_presets_agree() {
    let (cells, _) = simulated(80, 30, 1);
    check(&default_scdcc(), &cells, "default scDCC");
    check(&scdcc(3).with_epochs(4, 3), &cells, "published scDCC");
    check(&desc(), &cells, "published DESC");
    let default_desc = Plan::desc()
        .with_resolutions([1.0])
        .with_widths([16, 6])
        .with_batch_size(32)
        .with_epochs(3, 3)
        .with_self_training(|phase| phase.with_tolerance(0.0))
        .with_seed(5);
    check(&default_desc, &cells, "default DESC");
}

/// The last batch has two rows: of three devices one idles.
#[test]
fn fewer_rows_than_devices() {
    let (cells, _) = simulated(80, 30, 2);
    check(&default_scdcc().with_batch_size(39), &cells, "scDCC");
    check(&desc().with_batch_size(39), &cells, "DESC");
    check(
        &scdcc(3).with_batch_size(1).with_epochs(1, 1),
        &cells,
        "rows",
    );
}

#[test]
fn constraint_pairs_are_shared() {
    let (cells, groups) = simulated(80, 30, 3);
    let known: Vec<_> = groups.iter().map(|&group| Some(group)).collect();
    // In batches of 32 the last ones have 5 pairs or fewer.
    let pairs = ConstraintPairs::from_labels(&known, 75, 1).unwrap();
    assert!(!pairs.must_link().is_empty() && !pairs.cannot_link().is_empty());
    let plan = scdcc(3).with_epochs(4, 3).with_constraints(pairs.clone());
    check(&plan, &cells, "published scDCC");
    check(&default_scdcc().with_constraints(pairs), &cells, "scDCC");
}

#[test]
fn weights_and_covariates_of_cells() {
    let (cells, groups) = simulated(80, 30, 4);
    let by_cell: Vec<f64> = (0..80).map(|cell| (cell % 5) as f64).collect();
    let batches = groups.iter().map(|group| format!("batch {}", group % 2));
    let cells = cells
        .with_weights(&by_cell)
        .unwrap()
        .with_covariates(&Covariates::new().with_categories("batch", batches.collect()))
        .unwrap();
    check(&default_scdcc(), &cells, "default scDCC");
    check(&scdcc(3).with_epochs(4, 2), &cells, "published scDCC");
    check(&desc(), &cells, "published DESC");
}

#[test]
fn clipped_gradients_and_frozen_parts() {
    let (cells, _) = simulated(80, 30, 5);
    let clipped = OptimizerConfig::adam()
        .with_weight_decay(0.01)
        .with_clipping(GradientClippingConfig::Norm(0.05));
    let plan = scdcc(3)
        .with_epochs(3, 3)
        .with_frozen([Part::Decoder])
        .with_pretraining(|phase| phase.with_optimizer(clipped.clone()))
        .with_self_training(|phase| phase.with_optimizer(clipped.clone()));
    check(&plan, &cells, "clipped");
}

/// Who computed which cells of which batch.
#[derive(Default)]
struct Seen(Mutex<Vec<(ThreadId, Vec<usize>)>>);

impl Seen {
    fn add(&self, cells: &[usize]) {
        let mut seen = self.0.lock().unwrap();
        seen.push((thread::current().id(), cells.to_vec()));
    }

    fn take(&self) -> Vec<(ThreadId, Vec<usize>)> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

fn seen_by(seen: &Arc<Seen>) -> impl ReconstructionLoss<Head = LinearHead> + use<> {
    let seen = Arc::clone(seen);
    loss::from_fn::<LinearHead, _>("poisson", move |output, batch| {
        seen.add(&batch.cells);
        let log_mean = output.logits.clone() + batch.log_size_factors();
        log_mean.clone().exp() - batch.counts.clone() * log_mean
    })
}

#[test]
fn each_device_computes_contiguous_shares_in_a_thread_of_its_own() {
    let (cells, _) = simulated(80, 30, 6);
    let seen = Arc::new(Seen::default());
    let plan = default_scdcc()
        .with_batch_size(39)
        .with_reconstruction(seen_by(&seen), LinearHeadConfig::exp());
    let pretrained = |devices: &[Device]| {
        let trainer = plan.trainer_on(devices).unwrap();
        let run = &mut trainer.run();
        trainer.pretrain(&cells, run).unwrap();
        (run.history().len(), seen.take())
    };
    let (epochs, alone) = pretrained(&[cpu()]);
    assert_eq!(alone.len(), 3 * epochs);
    let (_, shared) = pretrained(&[cpu(), cpu(), cpu()]);
    // Two batches of 39 cells, one of two: eight shares an epoch.
    assert_eq!(shared.len(), 8 * epochs);
    for (epoch, alone) in alone.chunks(3).enumerate() {
        let mut shared = shared[8 * epoch..8 * (epoch + 1)].to_vec();
        let threads: HashSet<_> = shared.iter().map(|(thread, _)| *thread).collect();
        assert_eq!(threads.len(), 3);
        assert!(threads.contains(&thread::current().id()));
        for (batch, (_, rows)) in alone.iter().enumerate() {
            let shares = [rows.len() / 3, 1][usize::from(rows.len() == 2)];
            for share in rows.chunks(shares) {
                let place = shared.iter().position(|(_, found)| found == share);
                assert!(place.is_some(), "batch {batch} of epoch {epoch}");
                shared.swap_remove(place.unwrap());
            }
        }
        assert!(shared.is_empty());
    }
}

/// A loss from a closure, and a clustering loss of the batch as a whole beside one of every cell.
#[test]
fn losses_of_ones_own() {
    let (cells, _) = simulated(80, 30, 7);
    let seen = Arc::new(Seen::default());
    let threads = Arc::new(Mutex::new(HashSet::new()));
    let asked = Arc::clone(&threads);
    let balance = loss::clustering_from_fn("balance", move |q: Tensor<2>, _| {
        asked.lock().unwrap().insert(thread::current().id());
        let share = q.mean_dim(0);
        (share.clone() * share.clamp_min(1e-7).log()).sum()
    });
    let plan = scdcc(3)
        .with_epochs(3, 3)
        .with_reconstruction(seen_by(&seen), LinearHeadConfig::exp());
    check(&plan, &cells, "a loss of every entry");
    check(
        &plan.with_clustering(KlDivergence::new().plus(balance)),
        &cells,
        "a loss of the batch",
    );
    let threads = threads.lock().unwrap();
    assert_eq!(*threads, HashSet::from([thread::current().id()]));
}

#[test]
fn equal_lists_of_devices_give_equal_bits() {
    let (cells, _) = simulated(80, 30, 8);
    for devices in lists() {
        for plan in [default_scdcc(), scdcc(3).with_epochs(2, 2)] {
            let [first, second] = [0, 1].map(|_| fitted_on(&plan, &devices, &cells));
            assert_eq!(bits(&first, &cells), bits(&second, &cells));
        }
    }
    let plan = default_scdcc();
    let one = fitted_on(&plan, &[cpu()], &cells);
    assert_eq!(bits(&one, &cells), bits(&fitted(&plan, &cells), &cells));
}

#[test]
fn a_checkpoint_of_one_device_is_resumed_on_two() {
    let (cells, _) = simulated(80, 30, 9);
    let folder = tempfile::tempdir().unwrap();
    for (place, phase) in [Phase::Pretraining, Phase::SelfTraining].iter().enumerate() {
        let plan = default_scdcc();
        let expected = fitted(&plan, &cells);
        let path = folder.path().join(place.to_string());
        let mut until = |event: &Event<'_>| match event {
            Event::EpochFinished(record) if record.phase == *phase && record.epoch == 1 => {
                ControlFlow::Break(())
            }
            _ => ControlFlow::Continue(()),
        };
        let alone = plan
            .trainer(&cpu())
            .unwrap()
            .with_checkpoint(every_epoch(&path));
        let interrupted = alone.fit_observed(&cells, &mut until).unwrap();
        assert_eq!(interrupted.status().stop_reason, StopReason::Interrupted);
        let done = interrupted.history().len();
        let mut epochs = 0;
        let mut count = |event: &Event<'_>| {
            epochs += usize::from(matches!(event, Event::EpochFinished(_)));
        };
        let two = plan.trainer_on(&[cpu(), cpu()]).unwrap();
        let two = two.with_checkpoint(every_epoch(&path));
        let resumed = two.fit_observed(&cells, &mut count).unwrap();
        assert_eq!(done + epochs, expected.history().len());
        assert_agree(&resumed, &expected, &phase.to_string());
    }
}

/// What goes wrong when a certain cell is visited for the second time.
#[derive(Clone, Copy, PartialEq)]
enum Fault {
    Loss,
    Gradient,
    Panic,
}

/// Squares that go wrong at a cell, and who computed them then.
struct AtCell {
    cell: usize,
    fault: Fault,
    visits: AtomicUsize,
    by: Arc<Mutex<Option<ThreadId>>>,
}

impl ReconstructionLoss for AtCell {
    type Head = LinearHead;

    fn forward_no_reduction(&self, output: &HeadOutput<LinearHead>, batch: &Batch) -> Tensor<2> {
        let squares = (output.logits.clone() - batch.input.clone()).square();
        if !batch.cells.contains(&self.cell) || self.visits.fetch_add(1, Ordering::Relaxed) != 1 {
            return squares;
        }
        *self.by.lock().unwrap() = Some(thread::current().id());
        match self.fault {
            Fault::Loss => squares * f32::NAN,
            // The root's derivative at zero is infinite, times zero NaN.
            Fault::Gradient => squares.clone() + (squares * 0.0).sqrt(),
            Fault::Panic => panic!("no such cell"),
        }
    }

    fn description(&self) -> Description {
        Description::new("squares")
    }
}

/// What a fit on devices ends with, and whether the first device computed the cell.
fn faulty(cell: usize, fault: Fault, devices: &[Device], cells: &Cells) -> (String, bool) {
    let by = Arc::new(Mutex::new(None));
    let loss = AtCell {
        cell,
        fault,
        visits: AtomicUsize::new(0),
        by: Arc::clone(&by),
    };
    let plan = default_scdcc().with_reconstruction(loss, LinearHeadConfig::identity());
    let trainer = plan.trainer_on(devices).unwrap();
    let ended = match catch_unwind(AssertUnwindSafe(|| trainer.fit(cells))) {
        Ok(fit) => fit.unwrap_err().to_string(),
        Err(panic) => panic.downcast_ref::<&str>().unwrap().to_string(),
    };
    let by = by.lock().unwrap().expect("the cell was visited");
    (ended, by == thread::current().id())
}

#[test]
fn errors_and_panics_of_any_device_end_the_fit() {
    let (cells, _) = simulated(80, 30, 10);
    for fault in [Fault::Loss, Fault::Gradient, Fault::Panic] {
        let mut by_first = HashSet::new();
        for cell in [0, 11, 22, 33, 44, 55] {
            let (alone, _) = faulty(cell, fault, &[cpu()], &cells);
            let (shared, first) = faulty(cell, fault, &[cpu(), cpu()], &cells);
            assert_eq!(shared, alone);
            let told = match fault {
                Fault::Loss => "squares",
                Fault::Gradient => "the gradient",
                Fault::Panic => "no such cell",
            };
            assert!(shared.contains(told), "{shared}");
            assert!(
                fault == Fault::Panic || shared.contains("epoch 1"),
                "{shared}"
            );
            by_first.insert(first);
        }
        assert_eq!(by_first.len(), 2, "cells of both devices are tried");
    }
}

/// More fits than threads, led by threads of the pool that they share.
#[test]
fn fits_beside_each_other_do_not_wait_for_each_other() {
    let (cells, _) = simulated(80, 30, 11);
    let plan = default_scdcc();
    let expected = bits(&fitted_on(&plan, &[cpu(), cpu()], &cells), &cells);
    for threads in [1, 2] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
        let fits: Vec<_> = pool.build().unwrap().install(|| {
            (0..4)
                .into_par_iter()
                .map(|_| bits(&fitted_on(&plan, &[cpu(), cpu()], &cells), &cells))
                .collect()
        });
        assert!(fits.iter().all(|fit| *fit == expected), "{threads} threads");
    }
}

#[test]
fn phases_put_together_by_hand() {
    let (cells, _) = simulated(80, 30, 12);
    let trainer = default_scdcc().trainer_on(&[cpu(), cpu()]).unwrap();
    let start = trainer.pretrain(&cells, &mut trainer.run()).unwrap();

    // Batches that devices share, made without a trainer.
    let device = cpu().autodiff();
    let batches = celldec::batches::Batches::new(&cells, &device);
    let config = PretrainConfig::new().with_epochs(2);
    let pretrained = |batches: &celldec::batches::Batches<'_>| {
        let mut run = TrainingRun::new(3);
        pretrain(start.clone(), &CountLoss::new(), batches, &config, &mut run).unwrap()
    };
    let alone = pretrained(&batches);
    let shared = pretrained(&batches.clone().shared_with(std::slice::from_ref(&device)));
    let values = |autoencoder: &Autoencoder<CountHead>| -> Vec<f32> {
        weights(autoencoder)
            .into_iter()
            .map(f32::from_bits)
            .collect()
    };
    let (alone, shared) = (values(&alone), values(&shared));
    assert_ne!(alone, values(&start));
    let difference = crate::largest_difference(&alone, &shared);
    assert!(difference < 1e-4, "{difference:e}");

    // A phase of one's own may compare all cells of a batch.
    let phase = OwnPhase {
        name: "spread",
        config: &config,
        loss: Description::new("spread"),
    };
    let spread = |batches: &celldec::batches::Batches<'_>| {
        let trained = train_phase(
            &phase,
            start.clone(),
            batches,
            &mut TrainingRun::new(3),
            |batches, rows, _| batches.batch(rows),
            |autoencoder, batch| {
                let latent = autoencoder.encode(batch.input);
                let centre = latent.clone().mean_dim(0);
                vec![Term::new("spread", (latent - centre).square().mean())]
            },
        );
        weights(&trained.unwrap())
    };
    assert_eq!(spread(&trainer.batches(&cells)), spread(&batches));
}

#[test]
fn without_a_device_or_without_differentiation_nothing_is_trained() {
    let error = parameter(scdcc(3).trainer_on(&[]).unwrap_err());
    assert!(
        matches!(&error, ParameterError::OutOfRange { name, .. } if name.contains("devices")),
        "{error}"
    );
    let (cells, _) = simulated(40, 20, 13);
    let trainer = desc()
        .with_decoder(DecoderTraining::Removed)
        .trainer_on(&[cpu(), cpu()])
        .unwrap();
    let start = trainer.pretrain(&cells, &mut trainer.run()).unwrap();
    let device = cpu().autodiff();
    let batches = celldec::batches::Batches::new(&cells, &device).shared_with(&[cpu()]);
    let config = PretrainConfig::new().with_epochs(1);
    let refused = pretrain(
        start,
        &MseLoss::new(),
        &batches,
        &config,
        &mut TrainingRun::new(3),
    );
    let refused = Error::from(refused.unwrap_err());
    assert!(matches!(refused, Error::Device { .. }), "{refused}");
}

/// Every device has weights and gradients of its own, and rows of a batch are on one of them.
#[test]
fn further_devices_take_memory_for_the_network() {
    let data = celldec::train::DataSize::in_memory(10_000, 2000, 1_000_000);
    let plan = default_scdcc();
    let [one, two, three] =
        [1, 2, 3].map(|count| plan.trainer_on(&vec![cpu(); count]).unwrap().memory(&data));
    assert_eq!(one, plan.memory(&data));
    assert!(two.network > one.network);
    assert_eq!(three.network - two.network, two.network - one.network);
    assert_eq!([two.counts, two.cells], [one.counts, one.cells]);
    let trainer = plan.trainer_on(&[cpu(), cpu()]).unwrap();
    let refused = trainer.with_memory_limit(1).fit(&simulated(80, 30, 1).0);
    let error = refused.unwrap_err().into_parts().0;
    assert!(matches!(error, Error::InsufficientMemory { .. }), "{error}");
}
