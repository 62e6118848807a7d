//! Fault 23: losses and gradients that become non-finite end training with an error that keeps the
//! last good state.

use std::sync::atomic::{AtomicUsize, Ordering};

use burn::tensor::Tensor;
use celldec::batches::Batch;
use celldec::description::Description;
use celldec::nn::{CountDistribution, HeadOutput, MseHeadConfig, ReconstructionHead};
use celldec::pairs::MustLinkLoss;
use celldec::prelude::*;
use celldec::train::{LastGood, PairTraining, Stage};

use crate::{bits, cpu, desc, fitted, scdcc, simulated};

/// What a loss does wrong at one of its calls.
#[derive(Clone, Copy, PartialEq)]
enum Failure {
    /// The loss itself is NaN.
    Loss,
    /// The loss is finite, its gradient is not.
    Gradient,
}

impl Failure {
    fn spoil(self, loss: Tensor<1>) -> Tensor<1> {
        match self {
            Self::Loss => loss * f32::NAN,
            // The root's derivative at zero is infinite, times zero NaN.
            Self::Gradient => loss.clone() + (loss * 0.0).sqrt(),
        }
    }
}

/// A loss that fails at its call number `at`.
struct Failing<L> {
    loss: L,
    failure: Failure,
    at: usize,
    calls: AtomicUsize,
}

impl<L> Failing<L> {
    fn new(loss: L, failure: Failure, at: usize) -> Self {
        Self {
            loss,
            failure,
            at,
            calls: AtomicUsize::new(0),
        }
    }

    fn pass(&self, loss: Tensor<1>) -> Tensor<1> {
        if self.calls.fetch_add(1, Ordering::Relaxed) == self.at {
            self.failure.spoil(loss)
        } else {
            loss
        }
    }
}

impl<L: ClusteringLoss> ClusteringLoss for Failing<L> {
    fn forward(&self, q: Tensor<2>, p: Tensor<2>) -> Tensor<1> {
        self.pass(self.loss.forward(q, p))
    }

    fn description(&self) -> Description {
        self.loss.description()
    }
}

impl<L: ReconstructionLoss> ReconstructionLoss for Failing<L> {
    type Head = L::Head;

    fn forward_no_reduction(&self, output: &HeadOutput<L::Head>, batch: &Batch) -> Tensor<2> {
        self.loss.forward_no_reduction(output, batch)
    }

    fn forward(&self, output: &HeadOutput<L::Head>, batch: &Batch) -> Tensor<1> {
        self.pass(self.loss.forward(output, batch))
    }

    fn description(&self) -> Description {
        self.loss.description()
    }
}

/// Term, phase, epoch and batch of a divergence, and what had been reached.
fn diverged<H: ReconstructionHead>(
    failure: FitError<H>,
) -> (String, String, usize, usize, Option<LastGood<H>>) {
    match failure.into_parts() {
        (
            Error::Diverged {
                term,
                phase,
                epoch,
                batch,
            },
            last_good,
        ) => (term, phase, epoch, batch, last_good),
        (other, _) => panic!("not a divergence: {other}"),
    }
}

fn failure<H: ReconstructionHead>(plan: &Plan<H>, cells: &Cells) -> FitError<H> {
    plan.trainer(&cpu()).unwrap().fit(cells).unwrap_err()
}

/// Fault 23 while clustering: the error names the place, and the last good state is the fit that
/// as many epochs give.
#[test]
fn a_diverging_self_training_keeps_its_last_good_fit() {
    // 80 cells in batches of 32: three a epoch.
    let (cells, _) = simulated(80, 20, 7);
    let plan = scdcc(3).with_epochs(8, 6);
    let expected = fitted(&plan.clone().with_epochs(8, 2), &cells);
    for (kind, term) in [
        (Failure::Loss, "clustering"),
        (Failure::Gradient, "the gradient"),
    ] {
        for batch in 0..3 {
            let loss = Failing::new(KlDivergence::new(), kind, 2 * 3 + batch);
            let failure = failure(&plan.clone().with_clustering(loss), &cells);
            let text = failure.to_string();
            assert!(
                text.contains("epoch 2") && text.contains(&format!("batch {batch}")),
                "{text}"
            );
            let Some(LastGood::Fits(reached)) = failure.last_good() else {
                panic!("a fit had been reached: {failure:?}");
            };
            assert_eq!(reached.len(), 1);
            let (found, phase, epoch, found_batch, last_good) = diverged(failure);
            assert_eq!((found.as_str(), phase.as_str()), (term, "self-training"));
            assert_eq!((epoch, found_batch), (2, batch));
            let Some(LastGood::Fits(mut fits)) = last_good else {
                panic!("no fit");
            };
            let kept = fits.pop().unwrap();
            assert_eq!(bits(&kept, &cells), bits(&expected, &cells));
            assert_eq!(kept.status().stop_reason, StopReason::Diverged);
            assert!(!kept.status().converged);
            assert!(
                kept.status()
                    .warnings
                    .iter()
                    .any(|w| w.contains("diverged"))
            );
        }
    }
}

/// In the first epoch of self-training nothing has been completed but pretraining, whose
/// autoencoder the run by phases still has.
#[test]
fn a_self_training_that_diverges_at_once_has_its_start() {
    let (cells, _) = simulated(80, 20, 7);
    let loss = Failing::new(KlDivergence::new(), Failure::Loss, 0);
    let failure = failure(&scdcc(3).with_clustering(loss), &cells);
    let fit = failure.into_fit().expect("the clusters at the start");
    assert_eq!(fit.status().stop_reason, StopReason::Diverged);
    assert_eq!(fit.status().self_training_epochs, 0);
    let start = fitted(&scdcc(3).with_epochs(8, 0), &cells);
    assert_eq!(bits(&fit, &cells), bits(&start, &cells));
}

/// Fault 23 while pretraining: the kept autoencoder can be clustered.
#[test]
fn a_diverging_pretraining_keeps_its_last_good_autoencoder() {
    let (cells, _) = simulated(80, 20, 8);
    let plan = scdcc(3).with_epochs(4, 4);
    for kind in [Failure::Loss, Failure::Gradient] {
        let loss = Failing::new(CountLoss::new(), kind, 7);
        let failing = plan
            .clone()
            .with_reconstruction(loss, CountDistribution::ZeroInflated);
        let (_, phase, epoch, batch, last_good) = diverged(failure(&failing, &cells));
        assert_eq!((phase.as_str(), epoch, batch), ("pretraining", 2, 1));
        let Some(LastGood::Pretraining(kept)) = last_good else {
            panic!("no autoencoder");
        };
        let trainer = plan.clone().with_epochs(2, 4).trainer(&cpu()).unwrap();
        let expected = trainer.pretrain(&cells, &mut trainer.run()).unwrap();
        let cluster = |autoencoder| {
            let fit = trainer
                .cluster(autoencoder, &cells, &mut trainer.run())
                .unwrap();
            bits(&fit, &cells)
        };
        assert_eq!(cluster(*kept), cluster(expected));
    }
}

/// Fault 23 in DESC: while pretraining a layer, and at the second of two resolutions.
#[test]
fn a_diverging_desc_keeps_what_it_had() {
    let (cells, _) = simulated(80, 20, 9);
    let loss = Failing::new(MseLoss::new(), Failure::Loss, 4);
    let failing = desc().with_reconstruction(loss, MseHeadConfig::new());
    let failed = failure(&failing, &cells);
    let text = failed.to_string();
    assert!(text.contains("layer-wise pretraining (layer 1)"), "{text}");
    let (term, _, epoch, batch, last_good) = diverged(failed);
    assert_eq!((term.as_str(), epoch, batch), ("mse", 1, 1));
    let Some(LastGood::Pretraining(kept)) = last_good else {
        panic!("no autoencoder");
    };
    assert_eq!(kept.encoder.layers.len(), 2);

    // Five epochs of three batches at the first resolution, then epoch 1 at the second.
    let plan = desc().with_resolutions([0.8, 1.5]);
    let loss = Failing::new(KlDivergence::new(), Failure::Loss, 15 + 3);
    let trainer = plan.with_clustering(loss).trainer(&cpu()).unwrap();
    let failed = trainer.fit_each(&cells).map(drop).unwrap_err();
    let (_, phase, epoch, batch, last_good) = diverged(failed);
    assert_eq!((phase.as_str(), epoch, batch), ("self-training", 1, 0));
    let Some(LastGood::Fits(kept)) = last_good else {
        panic!("no fits");
    };
    let resolutions: Vec<_> = kept.iter().map(|fit| fit.resolution()).collect();
    assert_eq!(resolutions, [Some(0.8), Some(1.5)]);
    let alone = fitted(&desc().with_resolutions([0.8]), &cells);
    assert_eq!(bits(&kept[0], &cells), bits(&alone, &cells));
    assert_eq!(kept[1].status().stop_reason, StopReason::Diverged);
    assert_eq!(kept[1].status().self_training_epochs, 1);
}

/// Absurd learning rates diverge instead of returning NaN.
#[test]
fn absurd_learning_rates_diverge_with_an_error() {
    let (cells, _) = simulated(80, 20, 10);
    diverged(failure(
        &scdcc(3).with_self_training(|phase| phase.with_learning_rate(1e36)),
        &cells,
    ));
    diverged(failure(
        &scdcc(3).with_pretraining(|phase| phase.with_learning_rate(1e36)),
        &cells,
    ));
    diverged(failure(
        &desc().with_pretraining(|phase| phase.with_learning_rate(1e36)),
        &cells,
    ));
    let layerwise = desc().layerwise.unwrap();
    let layerwise = layerwise.with_stages(vec![Stage::new(1e36, 2)]);
    diverged(failure(&desc().with_layerwise(Some(layerwise)), &cells));
}

/// Weights and offsets of losses are checked before any work.
#[test]
fn weights_that_cannot_be_are_refused_before_any_work() {
    let refused = |plan: Plan<CountHead>| {
        let error = plan.trainer(&cpu()).expect_err("no such weight");
        assert!(matches!(error, Error::Parameter(_)), "{error}");
    };
    let pairs = || ConstraintPairs::new(vec![(0, 1)], vec![]).unwrap();
    for weight in [f64::NAN, f64::INFINITY, -1.0] {
        let kl = KlDivergence::new;
        refused(scdcc(3).with_clustering(kl().weighted(weight)));
        refused(scdcc(3).with_clustering(kl().plus(kl().weighted(weight))));
        refused(scdcc(3).with_clustering(kl().with_offset(weight)));
        let counts = CountLoss::new().weighted(weight);
        refused(scdcc(3).with_reconstruction(counts, CountDistribution::ZeroInflated));
        let must_link = MustLinkLoss::new().weighted(weight);
        refused(scdcc(3).with_pairs(PairTraining::new(pairs()).with_must_link_loss(must_link)));
    }
}

/// A target with values that are not finite, or of another shape, is not trained towards.
#[test]
fn targets_that_are_none_are_refused() {
    let (cells, _) = simulated(60, 20, 12);
    let not_finite = celldec::loss::target_from_fn("not finite", |q, _| Ok(q * f32::NAN));
    let (term, phase, epoch, ..) = diverged(failure(&scdcc(3).with_target(not_finite), &cells));
    assert_eq!(term, "the target \"not finite\"");
    assert_eq!((phase.as_str(), epoch), ("self-training", 0));
    let narrow =
        celldec::loss::target_from_fn("narrow", |q: Tensor<2>, _| Ok(q.slice([0..60, 0..2])));
    let failed = failure(&scdcc(3).with_target(narrow), &cells);
    let Error::LengthMismatch {
        what,
        expected,
        found,
    } = failed.error()
    else {
        panic!("{failed}");
    };
    assert!(what.contains("narrow"), "{what}");
    assert_eq!((*expected, *found), (3, 2));
}
