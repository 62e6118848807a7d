//! Fault 23: losses and gradients that become non-finite end training with an error that keeps the
//! last good state.

use std::sync::atomic::{AtomicUsize, Ordering};

use burn::tensor::Tensor;
use celldec::batches::Batch;
use celldec::error::LastGood;
use celldec::nn::{Autoencoder, CountDistribution, CountHead, HeadOutput, MseHead, MseHeadConfig};
use celldec::prelude::*;
use celldec::train::TrainingRun;

use crate::{bits, cpu, desc, scdcc, simulated};

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
    fn target(&self, q: Tensor<2>) -> Tensor<2> {
        self.loss.target(q)
    }

    fn forward(&self, q: Tensor<2>, p: Tensor<2>) -> Tensor<1> {
        self.pass(self.loss.forward(q, p))
    }

    fn name(&self) -> String {
        self.loss.name()
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

    fn name(&self) -> String {
        self.loss.name()
    }
}

/// Term, phase, epoch, batch and last good state of a divergence.
fn diverged(error: Error) -> (String, String, usize, usize, LastGood) {
    match error {
        Error::Diverged {
            term,
            phase,
            epoch,
            batch,
            last_good,
        } => (term, phase, epoch, batch, last_good),
        other => panic!("not a divergence: {other}"),
    }
}

/// Fault 23 while clustering: the error names the place, and the last good state is the fit that
/// as many epochs give.
#[test]
fn a_diverging_self_training_keeps_its_last_good_fit() {
    // 80 cells in batches of 32: three a epoch.
    let (cells, _) = simulated(80, 20, 7);
    let config = scdcc(3).with_max_epochs(6);
    for (failure, term) in [
        (Failure::Loss, "clustering"),
        (Failure::Gradient, "the gradient"),
    ] {
        for batch in 0..3 {
            let loss = Failing::new(KlSelfTraining::new(), failure, 2 * 3 + batch);
            let error = config
                .init(&cpu())
                .unwrap()
                .with_clustering_loss(loss)
                .fit(&cells)
                .unwrap_err();
            let text = error.to_string();
            assert!(
                text.contains("epoch 2") && text.contains(&format!("batch {batch}")),
                "{text}"
            );
            let (found, phase, epoch, found_batch, last_good) = diverged(error);
            assert_eq!((found.as_str(), phase.as_str()), (term, "self-training"));
            assert_eq!((epoch, found_batch), (2, batch));
            let kept: Fit<CountHead> = last_good.downcast().expect("a fit");
            let expected = config
                .clone()
                .with_max_epochs(2)
                .init(&cpu())
                .unwrap()
                .fit(&cells)
                .unwrap();
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

/// Fault 23 while pretraining: the kept autoencoder can be clustered.
#[test]
fn a_diverging_pretraining_keeps_its_last_good_autoencoder() {
    let (cells, _) = simulated(80, 20, 8);
    let config = scdcc(3).with_pretraining_epochs(4);
    for failure in [Failure::Loss, Failure::Gradient] {
        let error = config
            .init(&cpu())
            .unwrap()
            .with_reconstruction_loss(
                Failing::new(CountLoss::new(), failure, 7),
                CountDistribution::ZeroInflated,
            )
            .fit(&cells)
            .unwrap_err();
        let (_, phase, epoch, batch, last_good) = diverged(error);
        assert_eq!((phase.as_str(), epoch, batch), ("pretraining", 2, 1));
        let kept: Autoencoder<CountHead> = last_good.downcast().expect("an autoencoder");
        let trainer = config
            .clone()
            .with_pretraining_epochs(2)
            .init(&cpu())
            .unwrap();
        let expected = trainer.pretrain(&cells, &mut TrainingRun::new(3)).unwrap();
        let cluster = |autoencoder| {
            let fit = trainer
                .cluster(autoencoder, &cells, TrainingRun::new(3))
                .unwrap();
            bits(&fit, &cells)
        };
        assert_eq!(cluster(kept), cluster(expected));
    }
}

/// Fault 23 in DESC: while pretraining a layer, and at the second of two resolutions.
#[test]
fn a_diverging_desc_keeps_what_it_had() {
    let (cells, _) = simulated(80, 20, 9);
    let error = desc()
        .init(&cpu())
        .unwrap()
        .with_reconstruction_loss(
            Failing::new(MseLoss::new(), Failure::Loss, 4),
            MseHeadConfig::new(),
        )
        .fit(&cells)
        .map(drop)
        .unwrap_err();
    let (term, phase, epoch, batch, last_good) = diverged(error);
    assert_eq!((term.as_str(), epoch, batch), ("mse", 1, 1));
    assert_eq!(phase, "layer-wise pretraining (layer 1)");
    let kept: Autoencoder<MseHead> = last_good.downcast().expect("an autoencoder");
    assert_eq!(kept.encoder.layers.len(), 2);

    // Five epochs of three batches at the first resolution, then epoch 1 at the second.
    let config = desc().with_resolutions(vec![0.8, 1.5]);
    let error = config
        .init(&cpu())
        .unwrap()
        .with_clustering_loss(Failing::new(KlSelfTraining::new(), Failure::Loss, 15 + 3))
        .fit(&cells)
        .map(drop)
        .unwrap_err();
    let (_, phase, epoch, batch, last_good) = diverged(error);
    assert_eq!((phase.as_str(), epoch, batch), ("self-training", 1, 0));
    let kept: Vec<DescRun<MseHead>> = last_good.downcast().expect("runs");
    let resolutions: Vec<_> = kept.iter().map(|run| run.resolution).collect();
    assert_eq!(resolutions, [Some(0.8), Some(1.5)]);
    let alone = desc()
        .with_resolutions(vec![0.8])
        .init(&cpu())
        .unwrap()
        .fit(&cells)
        .unwrap();
    assert_eq!(bits(&kept[0].fit, &cells), bits(&alone[0].fit, &cells));
    assert_eq!(kept[1].fit.status().stop_reason, StopReason::Diverged);
    assert_eq!(kept[1].fit.status().self_training_epochs, 1);
}

/// Absurd learning rates diverge instead of returning NaN.
#[test]
fn absurd_learning_rates_diverge_with_an_error() {
    let (cells, _) = simulated(80, 20, 10);
    let errors = [
        scdcc(3)
            .with_learning_rate(1e36)
            .init(&cpu())
            .unwrap()
            .fit(&cells)
            .map(drop),
        scdcc(3)
            .with_pretraining_learning_rate(1e36)
            .init(&cpu())
            .unwrap()
            .fit(&cells)
            .map(drop),
        desc()
            .with_pretraining_learning_rate(1e36)
            .init(&cpu())
            .unwrap()
            .fit(&cells)
            .map(drop),
    ];
    for error in errors {
        diverged(error.unwrap_err());
    }
}
