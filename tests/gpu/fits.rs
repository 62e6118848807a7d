//! Whole fits.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use celldec::loss::from_fn;
use celldec::model::FittedModel;
use celldec::nn::{MseHeadConfig, ReconstructionHead};
use celldec::prelude::*;
use ndarray::ArrayView2;

use crate::{cpu, gpu};

fn simulated() -> Cells {
    let simulation = SimulationConfig::new(120, 60)
        .with_groups(3)
        .with_differential_expression(0.35, 1.2, 0.4)
        .with_seed(1)
        .simulate()
        .expect("valid settings");
    Preprocess::scdcc_reference()
        .fit(&simulation.counts)
        .expect("simulated counts are valid")
}

fn scdcc() -> Plan<CountHead> {
    Plan::scdcc_reference(3)
        .with_widths([16, 6])
        .with_batch_size(40)
        .with_epochs(2, 2)
        .with_self_training(|phase| phase.with_tolerance(0.0))
        .with_seed(3)
}

fn default_scdcc() -> Plan<CountHead> {
    Plan::scdcc(3)
        .with_widths([16, 6])
        .with_batch_size(40)
        .with_epochs(2, 2)
        .with_self_training(|phase| phase.with_tolerance(0.0))
        .with_seed(5)
}

fn desc() -> Plan<MseHead> {
    let mut plan = Plan::desc_reference()
        .with_start(CentroidStart::Graph(GraphConfig::new(1.0)))
        .with_widths([16, 6])
        .with_published_pretraining(3)
        .with_batch_size(40)
        .with_self_training(|phase| phase.with_max_epochs(2).with_tolerance(0.0))
        .with_seed(3);
    plan.head = MseHeadConfig::new();
    plan
}

fn apart(a: ArrayView2<'_, f32>, b: ArrayView2<'_, f32>) -> f32 {
    let differences = a.iter().zip(&b).map(|(a, b)| (a - b).abs());
    differences.fold(0f32, f32::max)
}

/// Losses of all epochs, soft assignments and embeddings within 1e-4, labels equal.
fn assert_agree<H: ReconstructionHead>(there: &Fit<H>, here: &Fit<H>, what: &str) {
    let losses = |fit: &Fit<H>| -> Vec<(String, f64)> {
        let records = fit.history().iter();
        records.flat_map(|record| record.losses.clone()).collect()
    };
    assert_eq!(losses(there).len(), losses(here).len(), "{what}");
    for ((name, found), (_, expected)) in losses(there).iter().zip(losses(here)) {
        assert!(
            (found / expected - 1.0).abs() < 1e-4,
            "{what}, {name}: {found} {expected}"
        );
    }
    assert_eq!(
        there.clusters().labels(),
        here.clusters().labels(),
        "{what}"
    );
    let q = apart(there.clusters().soft(), here.clusters().soft());
    assert!(q < 1e-4, "{what}: q differs by {q}");
    let most = here
        .embedding()
        .iter()
        .fold(0f32, |most, x| most.max(x.abs()));
    let z = apart(there.embedding(), here.embedding());
    assert!(
        z < 1e-4 * most,
        "{what}: embeddings differ by {z} of {most}"
    );
}

/// Fits on the CPU and on the GPU agree, and each device loads what the other has fitted.
fn agree<H: ReconstructionHead>(plan: &Plan<H>, what: &str) {
    let Some(gpu) = gpu() else { return };
    let cells = simulated();
    let [here, there] =
        [cpu(), gpu.clone()].map(|device| plan.trainer(&device).unwrap().fit(&cells).unwrap());
    assert_agree(&there, &here, what);

    // A model is saved on one device and loaded on the other.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.celldec");
    for (model, device) in [(there.into_model(), cpu()), (here.into_model(), gpu)] {
        model.save(&path).unwrap();
        let loaded = FittedModel::<H>::load(&path, &device).unwrap();
        let (a, b) = (
            loaded.assign(&cells).unwrap(),
            model.assign(&cells).unwrap(),
        );
        assert_eq!(a.labels(), b.labels(), "{what}");
        assert!(apart(a.soft(), b.soft()) < 1e-4, "{what}");
    }
}

#[test]
fn the_published_scdcc() {
    agree(&scdcc(), "published scDCC");
}

#[test]
fn the_default_scdcc() {
    agree(&default_scdcc(), "default scDCC");
}

#[test]
fn the_published_desc() {
    agree(&desc(), "published DESC");
}

#[test]
fn a_gpu_shares_steps_with_a_cpu_and_with_itself() {
    let Some(gpu) = gpu() else { return };
    let cells = simulated();
    let pairs = ConstraintPairs::new(vec![(0, 1), (5, 9), (7, 30)], vec![(0, 40)]).unwrap();
    let plan = scdcc().with_constraints(pairs);
    let here = plan.trainer(&cpu()).unwrap().fit(&cells).unwrap();
    for devices in [
        [gpu.clone(), cpu()],
        [cpu(), gpu.clone()],
        [gpu.clone(), gpu],
    ] {
        let shared = plan.trainer_on(&devices).unwrap().fit(&cells).unwrap();
        assert_agree(&shared, &here, &format!("{devices:?}"));
    }
}

#[test]
fn an_observer_learns_once_that_kernels_are_compiled() {
    let Some(gpu) = gpu() else { return };
    let cells = simulated();
    for (device, expected) in [(gpu, 1), (cpu(), 0)] {
        let mut heard = 0;
        let trainer = default_scdcc().trainer(&device).unwrap();
        let mut observer =
            |event: &Event<'_>| heard += usize::from(matches!(event, Event::KernelsCompile));
        trainer.fit_observed(&cells, &mut observer).unwrap();
        assert_eq!(heard, expected);
    }
}

/// A loss that is NaN in one batch: losses are read at the end of an epoch, and the batch is named.
#[test]
fn a_loss_that_is_not_finite_names_its_batch() {
    let Some(gpu) = gpu() else { return };
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    // The second epoch has batches 3 to 5.
    let loss = from_fn::<CountHead, _>("spoilt", move |output, batch| {
        let loss = CountLoss::new().forward_no_reduction(output, batch);
        if counted.fetch_add(1, Ordering::Relaxed) == 4 {
            loss * f32::NAN
        } else {
            loss
        }
    });
    let plan = default_scdcc();
    let head = plan.head;
    let trainer = plan.with_reconstruction(loss, head).trainer(&gpu).unwrap();
    let failure = trainer.fit(&simulated()).unwrap_err();
    let Error::Diverged {
        term, epoch, batch, ..
    } = failure.error()
    else {
        panic!("{failure}");
    };
    assert_eq!((term.as_str(), *epoch, *batch), ("spoilt", 1, 1));
    assert!(failure.last_good().is_some());
}

/// Counts pass through the host's memory on their way to the device.
#[test]
fn sending_counts_takes_memory() {
    let Some(device) = gpu() else { return };
    let data = celldec::train::DataSize::in_memory(10_000, 2000, 1_000_000);
    let counts = |device: &Device| {
        let trainer = scdcc().trainer(device).expect("valid settings");
        trainer.memory(&data).counts
    };
    assert_eq!(counts(&device) - counts(&cpu()), 24_000_000);
}
