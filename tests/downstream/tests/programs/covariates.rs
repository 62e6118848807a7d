//! Cells of several batches: what the network is told, the embedding need not say.

use celldec::counts::Simulation;
use celldec::metrics::{adjusted_rand_index, silhouette};
use celldec::prelude::*;
use celldec::preprocess::Covariates;

/// Two groups in two batches that differ more than the groups do.
fn two_batches() -> celldec::Result<Simulation> {
    SimulationConfig::new(120, 80)
        .with_groups(2)
        .with_differential_expression(0.4, 0.6, 0.3)
        .with_batches(2)
        .with_batch_effect(0.0, 0.7)
        .with_library_size(1500.0, 0.1)
        .with_seed(5)
        .simulate()
}

fn plan() -> Plan<CountHead> {
    Plan::scdcc(2)
        .with_widths([24, 4])
        .with_batch_size(24)
        .with_epochs(60, 4)
        .with_pretraining(|phase| phase.with_learning_rate(1e-2))
        .with_seed(7)
}

#[test]
fn groups_show_and_batches_do_not() -> celldec::Result<()> {
    let simulation = two_batches()?;
    let device = Device::default();
    let cells = Preprocess::scdcc().fit(&simulation.counts)?;
    let unconditional = plan().trainer(&device)?.fit(&cells)?;
    // program: covariates; at most 15 lines
    let batches = simulation
        .batches
        .iter()
        .map(|batch| format!("batch {batch}"));
    let covariates = Covariates::new().with_categories("batch", batches.collect());
    let kept = covariates.select(cells.kept_cells());
    let told = cells.with_covariates(&kept)?;
    let conditional = plan().trainer(&device)?.fit(&told)?;
    // end
    let of_kept = |values: &[usize]| -> Vec<usize> {
        told.kept_cells().iter().map(|&cell| values[cell]).collect()
    };
    let (groups, batches) = (of_kept(&simulation.groups), of_kept(&simulation.batches));
    let show = |fit: &Fit<CountHead>| -> celldec::Result<[f64; 2]> {
        let agreement = adjusted_rand_index(&groups, fit.clusters().labels())?;
        Ok([agreement, silhouette(fit.embedding(), &batches)?])
    };
    let ([before, apart], [after, mixed]) = (show(&unconditional)?, show(&conditional)?);
    println!("groups {before:.2} to {after:.2}, batches {apart:.2} to {mixed:.2}");
    assert!(after > before + 0.3, "groups {before:.3} to {after:.3}");
    assert!(mixed < apart - 0.1, "batches {apart:.3} to {mixed:.3}");

    // New cells say which batch they are of; a batch that no training cell was of is refused.
    let model = conditional.model();
    let new = model.prepare(&simulation.counts)?;
    let untold = model.assign(&new).expect_err("no covariates").to_string();
    assert!(untold.contains("\"batch\""), "{untold}");
    let new = model.with_covariates(new, &covariates)?;
    assert_eq!(
        model.assign(&new)?.labels(),
        conditional.clusters().labels()
    );
    let third = Covariates::new().with_categories("batch", vec!["batch 3".into(); new.cells()]);
    let unknown = model
        .with_covariates(new, &third)
        .expect_err("a third batch")
        .to_string();
    assert!(unknown.contains("batch 3"), "{unknown}");

    // A saved model keeps how covariates are encoded.
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("model");
    model.save(&path)?;
    let loaded = ScdccModel::load(&path, &device)?;
    let new = loaded.with_covariates(loaded.prepare(&simulation.counts)?, &covariates)?;
    assert_eq!(loaded.denoise(&new)?, model.denoise(&told)?);
    Ok(())
}
