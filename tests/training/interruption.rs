//! Runs that their observer ends: what had been reached is a fit, and with a checkpoint the run can
//! be taken up to the bits of an undisturbed one.

use std::ops::ControlFlow;

use celldec::nn::ReconstructionHead;
use celldec::prelude::*;
use tempfile::TempDir;

use crate::checkpoint::{Method, every_epoch, outcome, silent, two_resolutions};
use crate::{bits, cpu, default_scdcc, desc, fitted, scdcc, simulated};

/// An observer that ends the run at an event.
fn until(ends: impl Fn(&Event<'_>) -> bool) -> impl FnMut(&Event<'_>) -> ControlFlow<()> {
    move |event: &Event<'_>| {
        if ends(event) {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }
}

fn epoch_of(phase: Phase, epoch: usize) -> impl Fn(&Event<'_>) -> bool {
    move |event: &Event<'_>| match event {
        Event::EpochFinished(record) => record.phase == phase && record.epoch == epoch,
        _ => false,
    }
}

/// A fit that is interrupted can be used, says that it was interrupted, and is the same with and
/// without a checkpoint; resumed from the checkpoint the fit is the undisturbed one.
fn check<H: ReconstructionHead>(
    plan: &Plan<H>,
    cells: &Cells,
    epochs: usize,
    ends: impl Fn(&Event<'_>) -> bool,
) {
    let undisturbed = fitted(plan, cells);
    let trainer = plan.trainer(&cpu()).unwrap();
    let fit = trainer.fit_observed(cells, &mut until(&ends)).unwrap();

    let status = fit.status();
    assert_eq!(status.stop_reason, StopReason::Interrupted);
    assert!(!status.converged);
    assert!(status.warnings.iter().any(|w| w.contains("interrupted")));
    assert_eq!(fit.history().len(), epochs);
    assert!(epochs <= undisturbed.history().len());
    for (found, expected) in fit.history().iter().zip(undisturbed.history()) {
        assert_eq!(found.losses, expected.losses);
    }
    assert!(fit.clusters().count() > 1);
    assert!(fit.embedding().iter().all(|value| value.is_finite()));
    assert_eq!(&fit.model().assign(cells).unwrap(), fit.clusters());

    let folder = TempDir::new().unwrap();
    let path = folder.path().join("checkpoint");
    let trainer = trainer.with_checkpoint(CheckpointConfig::new(&path));
    let with_checkpoint = trainer.fit_observed(cells, &mut until(&ends)).unwrap();
    assert_eq!(outcome(&with_checkpoint, cells), outcome(&fit, cells));
    let mut left = 0;
    let mut count = |event: &Event<'_>| {
        left += usize::from(matches!(event, Event::EpochFinished(_)));
    };
    let resumed = trainer.fit_observed(cells, &mut count).unwrap();
    assert_eq!(outcome(&resumed, cells), outcome(&undisturbed, cells));
    assert_eq!(
        epochs + left,
        undisturbed.history().len(),
        "none is repeated"
    );
}

#[test]
fn pretraining_is_interrupted_and_resumed() {
    let (cells, _) = simulated(80, 30, 1);
    // The first epoch, and the last.
    for epoch in [0, 2] {
        let ends = epoch_of(Phase::Pretraining, epoch);
        check(&default_scdcc(), &cells, epoch + 1, ends);
    }
    let ends = epoch_of(Phase::Pretraining, 3);
    check(&scdcc(3), &cells, 4, ends);
}

#[test]
fn layerwise_pretraining_is_interrupted_and_resumed() {
    let (cells, _) = simulated(80, 30, 2);
    // Two layers of three stages of two epochs each.
    for (layer, epoch) in [(0, 1), (0, 5), (1, 0), (1, 3)] {
        let ends = epoch_of(Phase::LayerwisePretraining { layer }, epoch);
        check(&desc(), &cells, 6 * layer + epoch + 1, ends);
    }
    let ends = epoch_of(Phase::Pretraining, 4);
    check(&desc(), &cells, 12 + 5, ends);
}

#[test]
fn self_training_is_interrupted_and_resumed() {
    let (cells, _) = simulated(80, 30, 3);
    for epoch in [0, 3, 6] {
        let ends = epoch_of(Phase::SelfTraining, epoch);
        check(&default_scdcc(), &cells, 3 + epoch + 1, ends);
    }
    // Between two updates of the target, with pairs and joint training.
    let pairs = ConstraintPairs::new(vec![(0, 1), (2, 3)], vec![(0, 5)]).unwrap();
    let plan = scdcc(3)
        .with_self_training(|phase| phase.with_update_interval(3))
        .with_constraints(pairs);
    check(&plan, &cells, 8 + 2, epoch_of(Phase::SelfTraining, 1));
    let plan = desc();
    let before = fitted(&plan, &cells).status().pretraining_epochs;
    let ends = epoch_of(Phase::SelfTraining, 2);
    check(&plan, &cells, before + 3, ends);
}

/// Whatever the event, not only the end of an epoch.
#[test]
fn any_event_can_end_a_run() {
    let (cells, _) = simulated(80, 30, 4);
    let plan = default_scdcc();
    let begins = |wanted: Phase| {
        move |event: &Event<'_>| match event {
            Event::PhaseStarted { phase, .. } => **phase == wanted,
            _ => false,
        }
    };
    check(&plan, &cells, 0, begins(Phase::Pretraining));
    check(&plan, &cells, 3, |event: &Event<'_>| {
        matches!(event, Event::PhaseFinished { .. })
    });
    check(&plan, &cells, 3, |event: &Event<'_>| {
        matches!(event, Event::CentroidsFound { .. })
    });
    check(&plan, &cells, 3, begins(Phase::SelfTraining));
    // The target of an epoch was made: the epoch is still trained.
    check(&plan, &cells, 3 + 3, |event: &Event<'_>| {
        matches!(event, Event::TargetUpdated { epoch: 2, .. })
    });
}

/// With several starts the fits so far are the result, the one that was interrupted the last.
#[test]
fn an_interrupted_run_of_several_starts_gives_the_fits_so_far() {
    let (cells, _) = simulated(80, 30, 3);
    let plan = two_resolutions();
    let undisturbed = plan.fit(&cells, None, &mut silent).unwrap();
    let pretraining = undisturbed[0].1.pretraining_epochs;
    for (epochs, count) in [(1, 1), (pretraining + 2, 1), (pretraining + 3 + 1, 2)] {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("checkpoint");
        let mut seen = 0;
        let mut stop = |event: &Event<'_>| {
            seen += usize::from(matches!(event, Event::EpochFinished(_)));
            if seen < epochs {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        };
        let fits = plan
            .fit(&cells, Some(every_epoch(&path)), &mut stop)
            .unwrap();
        assert_eq!(fits.len(), count, "after {epochs} epochs");
        let (last, finished) = fits.split_last().unwrap();
        assert_eq!(last.1.stop_reason, StopReason::Interrupted);
        assert_eq!(finished, &undisturbed[..count - 1]);
        let resumed = plan.fit(&cells, Some(CheckpointConfig::new(&path)), &mut silent);
        assert_eq!(resumed.unwrap(), undisturbed, "after {epochs} epochs");
    }
}

/// A run that was interrupted does no more, whichever phase is asked of it.
#[test]
fn phases_by_hand_end_with_their_run() {
    let (cells, _) = simulated(60, 30, 5);
    let trainer = default_scdcc().trainer(&cpu()).unwrap();
    let mut stop = until(epoch_of(Phase::Pretraining, 1));
    let mut run = trainer.run_observed(&mut stop);
    let autoencoder = trainer.pretrain(&cells, &mut run).unwrap();
    assert!(run.is_interrupted());
    assert_eq!(run.history().len(), 2);
    let fit = trainer.cluster(autoencoder, &cells, &mut run).unwrap();
    assert_eq!(fit.status().stop_reason, StopReason::Interrupted);
    assert_eq!(fit.status().self_training_epochs, 0);
    let whole = default_scdcc().with_epochs(2, 0);
    assert_eq!(bits(&fit, &cells), bits(&fitted(&whole, &cells), &cells));
}
