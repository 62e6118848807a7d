//! Ending a fit from outside.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use celldec::prelude::*;
use celldec_downstream::{short, three_groups};

#[test]
fn another_thread_ends_a_fit_that_keeps_what_it_reached() -> celldec::Result<()> {
    let (cells, _) = three_groups(90, 1)?;
    let cancelled = AtomicBool::new(false);
    // Far more epochs than anyone would wait for.
    let trainer = short(Plan::scdcc(3))
        .with_epochs(1_000_000, 3)
        .trainer(&Device::default())?;
    let mut epochs = 0;
    let (started, start) = std::sync::mpsc::channel();
    let fit = thread::scope(|scope| {
        let cancelled = &cancelled;
        scope.spawn(move || {
            let _ = start.recv();
            cancelled.store(true, Ordering::Relaxed);
        });
        // program: cancelling; at most 15 lines
        let mut observer = |event: &Event<'_>| {
            if let Event::EpochFinished(_) = event {
                epochs += 1;
                let _ = started.send(());
            }
            if cancelled.load(Ordering::Relaxed) {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        };
        trainer.fit_observed(&cells, &mut observer)
        // end
    })?;
    assert!(epochs > 0);
    assert_eq!(fit.history().len(), epochs);
    assert_eq!(fit.status().stop_reason, StopReason::Interrupted);
    assert!(!fit.status().converged);
    assert_eq!(
        fit.model().assign(&cells)?.labels(),
        fit.clusters().labels()
    );
    Ok(())
}

#[test]
fn an_observer_may_return_nothing() -> celldec::Result<()> {
    let (cells, _) = three_groups(60, 1)?;
    let mut phases = Vec::new();
    short(Plan::desc())
        .with_start(CentroidStart::KMeans(KMeansConfig::new(3)))
        .trainer(&Device::default())?
        .fit_observed(&cells, &mut |event: &Event<'_>| {
            if let Event::PhaseStarted { phase, .. } = event {
                phases.push(phase.to_string());
            }
        })?;
    assert_eq!(phases, ["pretraining", "self-training"]);
    Ok(())
}
