//! Covariates: what a network is told of cells beside their counts.

use celldec::counts::CountMatrix;
use celldec::loss;
use celldec::metrics::{adjusted_rand_index, silhouette};
use celldec::nn::{
    CountDistribution, CovariatePlacement, LinearHead, LinearHeadConfig, MseHeadConfig,
    ReconstructionHead,
};
use celldec::prelude::*;
use celldec::preprocess::Covariates;
use celldec::train::DecoderTraining;
use tempfile::TempDir;

use crate::checkpoint::check_every_checkpoint;
use crate::{cpu, default_scdcc, desc, fitted, largest_difference, scdcc, simulated};

/// Counts of three groups in two batches that differ more than the groups do.
fn batches_apart(cells: usize) -> (CountMatrix, Vec<usize>, Vec<usize>) {
    let simulation = SimulationConfig::new(cells, 80)
        .with_groups(3)
        .with_differential_expression(0.3, 0.8, 0.4)
        .with_library_size(1000.0, 0.2)
        .with_batches(2)
        .with_batch_effect(0.0, 0.8)
        .with_seed(4)
        .simulate()
        .unwrap();
    (simulation.counts, simulation.groups, simulation.batches)
}

fn of_batches(batches: &[usize]) -> Covariates {
    let names = batches.iter().map(|batch| format!("batch {batch}"));
    Covariates::new().with_categories("batch", names.collect())
}

/// Decoder and encoder that are told the batch leave it out of the embedding.
#[test]
fn what_the_network_is_told_the_embedding_need_not_say() {
    let (counts, groups, batches) = batches_apart(240);
    let cells = Preprocess::scdcc().fit(&counts).unwrap();
    let kept = cells.kept_cells().to_vec();
    let of_kept = |labels: &[usize]| -> Vec<usize> { kept.iter().map(|&c| labels[c]).collect() };
    let (groups, batches) = (of_kept(&groups), of_kept(&batches));
    let told = cells
        .clone()
        .with_covariates(&of_batches(&batches))
        .unwrap();
    let plan = Plan::scdcc(3)
        .with_seed(2)
        .with_widths([64, 16])
        .with_batch_size(32)
        .with_network(|network| network.with_linear_skip(false))
        .with_epochs(60, 20);
    let (plain, conditional) = (fitted(&plan, &cells), fitted(&plan, &told));
    let of_batch = |fit: &Fit<CountHead>| silhouette(fit.embedding(), &batches).unwrap();
    let (before, after) = (of_batch(&plain), of_batch(&conditional));
    assert!(after < before - 0.1, "{before} {after}");
    let agreement =
        |fit: &Fit<CountHead>| adjusted_rand_index(&groups, fit.clusters().labels()).unwrap();
    let (before, after) = (agreement(&plain), agreement(&conditional));
    assert!(after > before, "{before} {after}");
}

/// Cells with a category and a number, and those covariates.
fn told(cells: &Cells) -> (Cells, Covariates) {
    let donors = (0..cells.cells()).map(|cell| ["a", "b", "c"][cell % 3].to_string());
    let shares = (0..cells.cells()).map(|cell| (cell * cell % 17) as f64 / 17.0);
    let covariates = Covariates::new()
        .with_categories("donor", donors.collect())
        .with_numbers("share", shares.collect());
    (
        cells.clone().with_covariates(&covariates).unwrap(),
        covariates,
    )
}

/// Models of cells with covariates survive their file, and map new cells that have theirs.
fn check_mapping<H: ReconstructionHead>(plan: &Plan<H>, cells: &Cells) {
    let (told, covariates) = told(cells);
    let fit = fitted(plan, &told);
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("model");
    fit.model().save(&path).unwrap();
    let loaded = FittedModel::<H>::load(&path, &cpu()).unwrap();
    assert_eq!(loaded.covariate_design(), told.covariate_design());
    let again = folder.path().join("again");
    loaded.save(&again).unwrap();
    assert_eq!(
        std::fs::read(&path).unwrap(),
        std::fs::read(&again).unwrap()
    );
    for model in [fit.model(), &loaded] {
        let new = model.prepare(cells.counts().unwrap()).unwrap();
        let new = model.with_covariates(new, &covariates).unwrap();
        assert_eq!(model.embed(&new).unwrap(), fit.embedding());
        assert_eq!(&model.assign(&new).unwrap(), fit.clusters());
        assert_eq!(
            model.denoise(&new).ok(),
            fit.model().denoise(&told).ok(),
            "{plan:?}"
        );
    }
}

#[test]
fn models_with_covariates_are_saved_loaded_and_map_new_cells() {
    let (cells, _) = simulated(60, 20, 1);
    for placement in [
        CovariatePlacement::Encoder,
        CovariatePlacement::Decoder,
        CovariatePlacement::Both,
    ] {
        let plan = default_scdcc().with_network(|network| network.with_covariates(placement));
        check_mapping(&plan, &cells);
        let plan = scdcc(3)
            .with_epochs(2, 2)
            .with_network(|network| network.with_covariates(placement));
        check_mapping(&plan, &cells);
        let plan = desc()
            .with_start(CentroidStart::KMeans(KMeansConfig::new(3)))
            .with_network(|network| network.with_covariates(placement));
        check_mapping(&plan, &cells);
    }
    // A decoder without layers of its own is told at the embedding.
    check_mapping(&default_scdcc().with_widths([6]), &cells);
    let squares = loss::from_fn::<LinearHead, _>("squares", |output, batch| {
        (output.logits.clone() - batch.input.clone()).square()
    });
    check_mapping(
        &default_scdcc().with_reconstruction(squares, LinearHeadConfig::identity()),
        &cells,
    );
    check_mapping(
        &scdcc(3)
            .with_epochs(2, 2)
            .with_reconstruction(MseLoss::new(), MseHeadConfig::new()),
        &cells,
    );
}

fn refused<T>(result: Result<T>, reason: &str) {
    let Err(error) = result else {
        panic!("not refused: {reason}");
    };
    assert!(matches!(error, Error::Covariate { .. }), "{error}");
    assert!(error.to_string().contains(reason), "{error}");
}

#[test]
fn covariates_that_a_model_does_not_know_are_refused() {
    let (cells, _) = simulated(60, 20, 2);
    let (told, covariates) = told(&cells);
    let fit = fitted(&default_scdcc().with_epochs(1, 1), &told);
    let model = fit.model();
    let new = || model.prepare(cells.counts().unwrap()).unwrap();

    // Not given at all: by every function.
    refused(model.embed(&new()), "with_covariates");
    refused(model.assign(&new()), "donor");
    refused(model.evaluate(&new()), "share");
    refused(model.denoise(&new()), "with_covariates");
    // Given, but of a design of their own.
    let donors = vec!["a".to_string(); 60];
    let share = vec![0.5; 60];
    let others = Covariates::new()
        .with_categories("donor", donors.clone())
        .with_numbers("share", share.clone());
    let own = new().with_covariates(&others).unwrap();
    refused(model.embed(&own), "with_covariates");
    assert!(model.with_covariates(new(), &others).is_ok());

    let mut unknown = donors.clone();
    unknown[41] = "z".into();
    let unknown = Covariates::new()
        .with_categories("donor", unknown)
        .with_numbers("share", share.clone());
    refused(model.with_covariates(new(), &unknown), "cell 41 has \"z\"");
    let half = Covariates::new().with_categories("donor", donors.clone());
    refused(model.with_covariates(new(), &half), "not given");
    let kinds = Covariates::new()
        .with_categories("donor", donors.clone())
        .with_categories("share", donors.clone());
    refused(model.with_covariates(new(), &kinds), "it is a number");
    let few = Covariates::new()
        .with_categories("donor", donors[..59].to_vec())
        .with_numbers("share", share);
    let error = model.with_covariates(new(), &few).unwrap_err();
    assert!(matches!(error, Error::LengthMismatch { .. }), "{error}");
    // A model that was told nothing is not told anything.
    let without = fitted(&default_scdcc().with_epochs(1, 1), &cells);
    refused(
        without.model().with_covariates(new(), &covariates),
        "without covariates",
    );
    assert!(without.model().covariate_design().is_none());
}

#[test]
fn fits_with_covariates_resume_at_every_checkpoint() {
    let (cells, _) = simulated(60, 20, 3);
    let (cells, _) = told(&cells);
    let joint = scdcc(3).with_epochs(2, 2);
    check_every_checkpoint(&joint, &cells);
    let layers = desc()
        .with_published_pretraining(2)
        .with_self_training(|phase| phase.with_max_epochs(2))
        .with_start(CentroidStart::KMeans(KMeansConfig::new(3)))
        .with_decoder(DecoderTraining::Kept);
    check_every_checkpoint(&layers, &cells);
}

#[test]
fn checkpoints_of_other_covariates_are_refused() {
    let (cells, _) = simulated(60, 20, 4);
    let (told, _) = told(&cells);
    let folder = TempDir::new().unwrap();
    let checkpoint = CheckpointConfig::new(folder.path().join("checkpoint"));
    let trainer = default_scdcc().with_epochs(1, 1).trainer(&cpu()).unwrap();
    let trainer = trainer.with_checkpoint(checkpoint);
    trainer.fit(&told).unwrap();
    let donors = (0..60).map(|cell| ["a", "b"][cell % 2].to_string());
    let other = Covariates::new().with_categories("donor", donors.collect());
    let other = cells.clone().with_covariates(&other).unwrap();
    for cells in [&cells, &other] {
        let failure = trainer.fit(cells).unwrap_err();
        assert!(
            matches!(failure.error(), Error::CheckpointMismatch { .. }),
            "{failure}"
        );
    }
}

/// One batch alone tells nothing: the model is the one that is told nothing.
#[test]
fn a_single_category_is_no_covariate() {
    fn check<H: ReconstructionHead>(plan: &Plan<H>, cells: &Cells) {
        let one = of_batches(&vec![0; cells.cells()]);
        // A number that never varies is none either.
        let level = Covariates::new().with_numbers("level", vec![3.0; cells.cells()]);
        let plain = fitted(plan, cells);
        for covariates in [one, level] {
            let told = cells.clone().with_covariates(&covariates).unwrap();
            let fit = fitted(plan, &told);
            let difference = largest_difference(plain.embedding(), fit.embedding());
            assert!(difference < 1e-5, "{difference:e} {covariates:?}");
            let difference = largest_difference(&plain.centroids(), &fit.centroids());
            assert!(difference < 1e-5, "{difference:e} {covariates:?}");
            assert_eq!(plain.clusters().labels(), fit.clusters().labels());
            let design = fit.model().covariate_design().unwrap();
            assert_eq!(Some(design), told.covariate_design());
        }
        // Another category is still unknown to the model.
        let told = cells
            .clone()
            .with_covariates(&of_batches(&vec![0; cells.cells()]));
        let fit = fitted(plan, &told.unwrap());
        let new = fit.model().prepare(cells.counts().unwrap()).unwrap();
        let unknown = of_batches(&vec![1; cells.cells()]);
        refused(fit.model().with_covariates(new, &unknown), "batch 1");
    }
    let (cells, _) = simulated(60, 20, 5);
    check(&default_scdcc(), &cells);
    let plan = scdcc(3).with_distribution(CountDistribution::ZeroInflated);
    check(&plan, &cells);
    check(
        &desc().with_start(CentroidStart::KMeans(KMeansConfig::new(3))),
        &cells,
    );
}
