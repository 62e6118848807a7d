//! A phase of one's own between pretraining and clustering.

use std::fs;
use std::ops::ControlFlow::{Break, Continue};
use std::path::Path;
use std::time::Duration;

use celldec::batches::{Batches, Corruption};
use celldec::description::Description;
use celldec::loss::Term;
use celldec::prelude::*;
use celldec::train::{OwnPhase, PretrainConfig, train_phase};
use celldec_downstream::{bits, short, three_groups};

const CONSISTENCY: &str = "consistency";

// program: a phase with history, events and checkpoint; at most 45 lines
/// Two views of a cell, each with other genes lost, come to the same embedding.
fn consistent(
    trainer: &ScdccTrainer,
    weight: f64,
    cells: &Cells,
    observer: &mut dyn Observer,
) -> celldec::Result<Fit<CountHead>> {
    let mut run = trainer.run_observed(observer);
    let autoencoder = trainer.pretrain(cells, &mut run)?;

    let config = PretrainConfig::new()
        .with_epochs(6)
        .with_corruption(Corruption::Dropout(0.3))
        .with_learning_rate(1e-2)
        .with_batch_size(32);
    let phase = OwnPhase {
        name: CONSISTENCY,
        config: &config,
        loss: Description::new(CONSISTENCY).with("weight", weight),
    };
    let autoencoder = train_phase(
        &phase,
        autoencoder,
        &Batches::new(cells, &Device::default().autodiff()),
        &mut run,
        |batches, rows, at| {
            let view = |draw| at.corrupted_input(batches, rows, draw);
            Ok([view(0)?, view(1)?])
        },
        |autoencoder, views| {
            let [first, second] = views.map(|view| autoencoder.encode(view));
            let apart = (first.clone() - second).square().mean();
            // Without this all cells could come to one point.
            let spread = (first.var(0).clamp_min(1e-6).log()).mean().neg();
            vec![
                Term::new("apart", apart * weight),
                Term::new("spread", spread),
            ]
        },
    )?;
    Ok(trainer.cluster(autoencoder, cells, &mut run)?)
}
// end

fn trainer(checkpoint: &Path) -> celldec::Result<ScdccTrainer> {
    let every_epoch = CheckpointConfig::new(checkpoint).with_interval(Duration::ZERO);
    let trainer = short(Plan::scdcc(3)).trainer(&Device::default())?;
    Ok(trainer.with_checkpoint(every_epoch))
}

/// Whether an event is the end of the phase's second epoch.
fn in_the_middle(event: &Event<'_>) -> bool {
    matches!(event, Event::EpochFinished(record)
        if record.phase.to_string() == CONSISTENCY && record.epoch == 1)
}

#[test]
fn history_and_events_know_the_phase() -> celldec::Result<()> {
    let (cells, _) = three_groups(90, 1)?;
    let folder = tempfile::tempdir().expect("a folder");
    let mut events = Vec::new();
    let mut observer = |event: &Event<'_>| match event {
        Event::PhaseStarted { phase, epochs } => events.push(format!("{phase}: {epochs}")),
        Event::PhaseFinished { phase, epochs, .. } => {
            events.push(format!("{phase} after {epochs}"))
        }
        _ => {}
    };
    let fit = consistent(
        &trainer(&folder.path().join("run"))?,
        1.0,
        &cells,
        &mut observer,
    )?;
    assert_eq!(events[2..4], ["consistency: 6", "consistency after 6"]);
    let own = Phase::Own {
        name: CONSISTENCY.into(),
    };
    let records: Vec<_> = fit
        .history()
        .iter()
        .filter(|record| record.phase == own)
        .collect();
    assert_eq!(records.len(), 6);
    let names: Vec<&str> = records[0]
        .losses
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!(names, ["apart", "spread"]);
    let total = |epoch: usize| records[epoch].total_loss();
    assert!(total(5) < total(0), "{} to {}", total(0), total(5));
    Ok(())
}

#[test]
fn interrupted_or_killed_it_is_taken_up_to_equal_bits() -> celldec::Result<()> {
    let (cells, _) = three_groups(90, 1)?;
    let folder = tempfile::tempdir().expect("a folder");
    let [run, killed] = ["run", "killed"].map(|name| folder.path().join(name));

    // What a killed process leaves is the checkpoint of the epoch before.
    let mut seen = false;
    let mut copy = |event: &Event<'_>| {
        seen |= in_the_middle(event);
        if let Event::CheckpointSaved { path, .. } = event
            && seen
            && !killed.exists()
        {
            fs::copy(path, &killed).expect("a copy");
        }
    };
    let undisturbed = bits(&consistent(&trainer(&run)?, 1.0, &cells, &mut copy)?);
    fs::remove_file(&run).expect("the checkpoint");

    let mut stop = |event: &Event<'_>| {
        if in_the_middle(event) {
            Break(())
        } else {
            Continue(())
        }
    };
    let fit = consistent(&trainer(&run)?, 1.0, &cells, &mut stop)?;
    assert_eq!(fit.status().stop_reason, StopReason::Interrupted);
    assert_eq!(fit.history().len(), 4 + 2);

    for checkpoint in [&run, &killed] {
        // Another setting of the phase's loss is another phase.
        let refused = consistent(&trainer(checkpoint)?, 2.0, &cells, &mut |_: &Event<'_>| {});
        let message = refused.expect_err("another weight").to_string();
        assert!(message.contains("weight"), "{message}");

        let mut resumed = None;
        let mut observer = |event: &Event<'_>| {
            if let Event::Resumed { phase, epoch } = event {
                resumed = Some((phase.to_string(), *epoch));
            }
        };
        let fit = consistent(&trainer(checkpoint)?, 1.0, &cells, &mut observer)?;
        assert_eq!(resumed, Some((CONSISTENCY.to_string(), 2)));
        assert_eq!(bits(&fit), undisturbed);
    }
    Ok(())
}
