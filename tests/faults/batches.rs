//! Rows 16, 17 and 22 to 24: batches, learning rates, divergence, too few epochs.

use celldec::error::ParameterError;
use celldec::loss;
use celldec::train::LastGood;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

pub fn row_16_a_last_batch_of_one_cell_trains() {
    let cells = simulated(33, 10, 3);
    for size in [1, 4, 16, 32] {
        let fit = fitted(&scdcc(3).with_batch_size(size), &cells);
        assert!(
            fit.embedding().iter().all(|z| z.is_finite()),
            "batches of {size}"
        );
        assert!(
            fit.history()
                .iter()
                .all(|record| record.total_loss().is_finite())
        );
    }
}

pub fn row_17_a_batch_is_at_least_one_cell_and_at_most_all() {
    let error = scdcc(3).with_batch_size(0).trainer(&cpu()).unwrap_err();
    assert!(
        matches!(error, Error::Parameter(ParameterError::BatchSize)),
        "{error}"
    );
    let cells = simulated(33, 10, 3);
    let of = |size| bits(&fitted(&scdcc(3).with_batch_size(size), &cells));
    assert_eq!(of(33), of(usize::MAX));
}

pub fn row_22_impossible_learning_rates_are_refused() {
    for rate in [0.0, -1e-3, f64::NAN, f64::INFINITY] {
        for plan in [
            scdcc(3).with_pretraining(|phase| phase.with_learning_rate(rate)),
            scdcc(3).with_self_training(|phase| phase.with_learning_rate(rate)),
        ] {
            let error = plan.trainer(&cpu()).unwrap_err();
            let refused = matches!(error, Error::Parameter(ParameterError::LearningRate { .. }));
            assert!(refused, "{rate}: {error}");
        }
    }
}

pub fn row_23_divergence_is_named_and_the_last_good_fit_kept() {
    let cells = simulated(64, 20, 7);
    let plan = scdcc(3).with_epochs(2, 6);
    // Two batches an epoch: NaN in the second batch of the third epoch.
    let batches = AtomicUsize::new(0);
    let failing = loss::clustering_from_fn("failing", move |q, p| {
        let loss = KlDivergence::new().forward(q, p);
        if batches.fetch_add(1, Ordering::SeqCst) == 5 {
            loss * f32::NAN
        } else {
            loss
        }
    });
    let trainer = plan.with_clustering(failing).trainer(&cpu()).unwrap();
    let failure = trainer.fit(&cells).unwrap_err();
    let Error::Diverged {
        term,
        phase,
        epoch,
        batch,
    } = failure.error()
    else {
        panic!("{failure}");
    };
    assert_eq!(
        (term.as_str(), phase.as_str()),
        ("failing", "self-training")
    );
    assert_eq!((*epoch, *batch), (2, 1));
    let Some(LastGood::Fits(fits)) = failure.last_good() else {
        panic!("two epochs had been completed");
    };
    assert_eq!(fits[0].status().stop_reason, StopReason::Diverged);
    assert_eq!(fits[0].status().self_training_epochs, 2);
    assert!(fits[0].embedding().iter().all(|z| z.is_finite()));
}

pub fn row_24_too_few_epochs_are_a_result_that_says_so() {
    let cells = simulated(64, 20, 7);
    let fit = fitted(&scdcc(3), &cells);
    let status = fit.status();
    assert!(!status.converged);
    assert!(
        matches!(status.stop_reason, StopReason::MaximumEpochs { .. }),
        "{status:?}"
    );
    assert_eq!(status.self_training_epochs, 3);
}
