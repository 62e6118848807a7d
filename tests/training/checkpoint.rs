//! Checkpoints: a run resumed at any of them ends as an undisturbed one, bit by bit; what cannot be
//! resumed is refused and stays as it is; a failure to write does not stop training.

mod faults;
mod killed;

use std::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use celldec::batches::Batches;
use celldec::nn::{
    Activation, Autoencoder, AutoencoderConfig, InitialWeights, MseHead, MseHeadConfig,
    ReconstructionHead, initialize_weights,
};
use celldec::optim::OptimizerConfig;
use celldec::prelude::*;
use celldec::train::{EarlyStopping, PairTraining, PretrainConfig, Stage, TrainingRun, pretrain};
use tempfile::TempDir;

use crate::{Bits, bits, cpu, default_scdcc, desc, no_work, scdcc, simulated};

/// Checkpoints after every epoch.
pub(crate) fn every_epoch(path: &Path) -> CheckpointConfig {
    CheckpointConfig::new(path).with_interval(Duration::ZERO)
}

/// What a fit must have in common with another one to be the same.
pub(crate) type Outcome = (Bits, Status);

pub(crate) fn outcome<H: ReconstructionHead>(fit: &Fit<H>, cells: &Cells) -> Outcome {
    (bits(fit, cells), fit.status().clone())
}

/// A plan's fits with or without checkpoints, watched by an observer.
pub(crate) trait Method {
    fn fit(
        &self,
        cells: &Cells,
        checkpoint: Option<CheckpointConfig>,
        observer: &mut dyn Observer,
    ) -> Result<Vec<Outcome>>;
}

impl<H: ReconstructionHead> Method for Plan<H> {
    fn fit(
        &self,
        cells: &Cells,
        checkpoint: Option<CheckpointConfig>,
        observer: &mut dyn Observer,
    ) -> Result<Vec<Outcome>> {
        let mut trainer = self.trainer(&cpu())?;
        if let Some(checkpoint) = checkpoint {
            trainer = trainer.with_checkpoint(checkpoint);
        }
        let fits = trainer.fit_each_observed(cells, observer)?;
        Ok(fits.iter().map(|fit| outcome(fit, cells)).collect())
    }
}

pub(crate) fn silent(_: &Event<'_>) {}

/// Joint training with Adadelta, pairs, and a target that holds for two epochs.
fn joint() -> Plan<CountHead> {
    let pairs = ConstraintPairs::new(vec![(0, 1), (2, 3)], vec![(0, 5)]).unwrap();
    scdcc(3)
        .with_self_training(|phase| phase.with_update_interval(2))
        .with_constraints(pairs)
}

/// Layers, then end to end, then two resolutions.
pub(crate) fn two_resolutions() -> Plan<MseHead> {
    desc()
        .with_resolutions([0.6, 1.2])
        .with_published_pretraining(6)
        .with_self_training(|phase| phase.with_update_interval(2).with_max_epochs(3))
}

/// Fits once with a checkpoint after every epoch, then resumes from each of them.
pub(crate) fn check_every_checkpoint(method: &dyn Method, cells: &Cells) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("checkpoint");
    let undisturbed = method.fit(cells, None, &mut silent).unwrap();

    // Every checkpoint, with the number of epochs that were done when it was written.
    let mut copies: Vec<(PathBuf, usize)> = Vec::new();
    let mut epochs = 0;
    let mut keep = |event: &Event<'_>| match event {
        Event::CheckpointSaved { path, .. } => {
            let copy = path.with_extension(copies.len().to_string());
            fs::copy(path, &copy).unwrap();
            copies.push((copy, epochs));
        }
        Event::CheckpointFailed { error, .. } => panic!("{error}"),
        Event::EpochFinished(_) => epochs += 1,
        _ => {}
    };
    let watched = method.fit(cells, Some(every_epoch(&path)), &mut keep);
    assert_eq!(watched.unwrap(), undisturbed, "writing changes nothing");
    assert!(copies.len() > epochs, "{} for {epochs}", copies.len());

    for (copy, done) in &copies {
        fs::copy(copy, &path).unwrap();
        let mut left = 0;
        let mut count = |event: &Event<'_>| {
            left += usize::from(matches!(event, Event::EpochFinished(_)));
        };
        let resumed = method.fit(cells, Some(CheckpointConfig::new(&path)), &mut count);
        assert_eq!(resumed.unwrap(), undisturbed, "{}", copy.display());
        assert_eq!(done + left, epochs, "no epoch is repeated");
    }
}

#[test]
fn joint_training_resumes_at_every_checkpoint() {
    let (cells, _) = simulated(80, 30, 1);
    check_every_checkpoint(&joint(), &cells);
}

#[test]
fn the_default_method_resumes_at_every_checkpoint() {
    let (cells, _) = simulated(80, 30, 2);
    check_every_checkpoint(&default_scdcc(), &cells);
}

#[test]
fn desc_resumes_at_every_checkpoint() {
    let (cells, _) = simulated(80, 30, 3);
    check_every_checkpoint(&two_resolutions(), &cells);
}

/// A finished fit's checkpoint is its result: nothing is trained again.
#[test]
fn a_finished_fit_is_read_from_its_checkpoint() {
    let (cells, _) = simulated(60, 30, 4);
    let folder = TempDir::new().unwrap();
    let checkpoint = CheckpointConfig::new(folder.path().join("checkpoint"));
    for method in [&default_scdcc() as &dyn Method, &two_resolutions()] {
        let fit = method
            .fit(&cells, Some(checkpoint.clone()), &mut silent)
            .unwrap();
        let before = fs::read(checkpoint.path()).unwrap();
        let again = method
            .fit(&cells, Some(checkpoint.clone()), &mut no_work)
            .unwrap();
        assert_eq!(again, fit);
        assert_eq!(fs::read(checkpoint.path()).unwrap(), before);
        fs::remove_file(checkpoint.path()).unwrap();
    }
}

/// The two halves of a fit, called one by one with a run that has checkpoints.
#[test]
fn pretraining_and_clustering_resume_by_themselves() {
    let (cells, _) = simulated(60, 30, 5);
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("checkpoint");
    let trainer = default_scdcc().trainer(&cpu()).unwrap();
    let undisturbed = outcome(&trainer.fit(&cells).unwrap(), &cells);
    let run = || TrainingRun::new(5).with_checkpoint(every_epoch(&path));

    // Pretraining, and a process that ends there.
    trainer.pretrain(&cells, &mut run()).unwrap();
    let mut second = run();
    let autoencoder = trainer.pretrain(&cells, &mut second).unwrap();
    assert_eq!(second.history().len(), 3, "epochs of pretraining");
    let fit = trainer
        .cluster(autoencoder.clone(), &cells, &mut second)
        .unwrap();
    assert_eq!(outcome(&fit, &cells), undisturbed);

    // Clustering alone is another run and needs another file.
    let failure = trainer
        .cluster(autoencoder.clone(), &cells, &mut run())
        .unwrap_err();
    let error = failure.error();
    assert!(matches!(error, Error::CheckpointMismatch { .. }), "{error}");
    assert!(error.to_string().contains("pretraining"), "{error}");
    let alone = || {
        let path = folder.path().join("clustering");
        TrainingRun::new(5).with_checkpoint(CheckpointConfig::new(path))
    };
    let fit = trainer
        .cluster(autoencoder.clone(), &cells, &mut alone())
        .unwrap();
    assert_eq!(
        fit.embedding(),
        trainer
            .cluster(autoencoder, &cells, &mut alone())
            .unwrap()
            .embedding()
    );
    // Another autoencoder is another run.
    let other = default_scdcc().with_seed(6).trainer(&cpu()).unwrap();
    let other = other.pretrain(&cells, &mut other.run()).unwrap();
    let error = trainer.cluster(other, &cells, &mut alone()).unwrap_err();
    assert!(
        error.to_string().contains("network at the start"),
        "{error}"
    );
}

/// Centroids that were moved to the groups of other pairs are not resumed.
#[test]
fn centroids_of_other_constraint_pairs_are_refused() {
    let (cells, groups) = simulated(60, 30, 10);
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("checkpoint");
    let known: Vec<Option<usize>> = groups.iter().map(|&group| Some(group)).collect();
    let fit = |seed: u64| {
        let pairs = ConstraintPairs::from_labels(&known, 300, seed).unwrap();
        let pairs = PairTraining::published(pairs).with_start_at_groups(true);
        let trainer = scdcc(3).with_pairs(pairs).trainer(&cpu()).unwrap();
        let checkpoint = CheckpointConfig::new(&path);
        trainer.with_checkpoint(checkpoint).fit(&cells)
    };
    fit(1).unwrap();
    let failure = fit(2).unwrap_err();
    let Error::CheckpointMismatch { what, .. } = failure.error() else {
        panic!("a checkpoint of other pairs was resumed: {failure}");
    };
    assert!(what.contains("pairs.fingerprint"), "{what}");
}

/// Stages that end because the loss no longer falls end in the same epochs.
#[test]
fn early_stopping_is_resumed() {
    let (cells, _) = simulated(60, 30, 10);
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("checkpoint");
    let device = cpu().autodiff();
    // No fall is large enough, so that a stage ends three epochs after its first.
    let config = PretrainConfig::new()
        .with_stages(vec![Stage::new(1e-3, 20), Stage::new(1e-4, 20)])
        .with_optimizer(OptimizerConfig::sgd(0.9))
        .with_early_stopping(Some(EarlyStopping::new(1e3, 3)));
    let train = |checkpoint: Option<CheckpointConfig>, observer: &mut dyn Observer| {
        let mut run = TrainingRun::observed(2, observer);
        if let Some(checkpoint) = checkpoint {
            run = run.with_checkpoint(checkpoint);
        }
        let autoencoder: Autoencoder<MseHead> =
            AutoencoderConfig::symmetric(cells.genes(), &[8, 3], Activation::Linear)
                .init(&MseHeadConfig::new(), &device);
        let autoencoder = initialize_weights(autoencoder, InitialWeights::Glorot, 2);
        let batches = Batches::new(&cells, &device);
        pretrain(autoencoder, &MseLoss::new(), &batches, &config, &mut run).unwrap();
        let history = run.into_history();
        history
            .iter()
            .map(|epoch| epoch.total_loss().to_bits())
            .collect::<Vec<u64>>()
    };
    let undisturbed = train(None, &mut silent);
    assert_eq!(undisturbed.len(), 8);
    let mut copies = Vec::new();
    let mut keep = |event: &Event<'_>| {
        if let Event::CheckpointSaved { path, .. } = event {
            copies.push(fs::read(path).unwrap());
        }
    };
    assert_eq!(train(Some(every_epoch(&path)), &mut keep), undisturbed);
    assert_eq!(copies.len(), 9);
    for copy in copies {
        fs::write(&path, copy).unwrap();
        assert_eq!(
            train(Some(CheckpointConfig::new(&path)), &mut silent),
            undisturbed
        );
    }
}

/// What an observer hears of a resumed run.
#[test]
fn an_observer_hears_where_a_run_resumes() {
    let (cells, _) = simulated(60, 30, 6);
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("checkpoint");
    let copy = folder.path().join("copy");
    let mut keep = |event: &Event<'_>| {
        if let Event::EpochFinished(record) = event
            && (&record.phase, record.epoch) == (&Phase::SelfTraining, 2)
        {
            // The checkpoint of two epochs; this one's comes next.
            fs::copy(&path, &copy).unwrap();
        }
    };
    let method = default_scdcc();
    method
        .fit(&cells, Some(every_epoch(&path)), &mut keep)
        .unwrap();
    fs::copy(&copy, &path).unwrap();
    let heard = RefCell::new(Vec::new());
    let mut listen = |event: &Event<'_>| match event {
        Event::PhaseStarted { phase, .. } => heard.borrow_mut().push(format!("start {phase}")),
        Event::Resumed { phase, epoch } => heard.borrow_mut().push(format!("{phase} at {epoch}")),
        Event::EpochFinished(record) => heard.borrow_mut().push(record.epoch.to_string()),
        _ => {}
    };
    method
        .fit(&cells, Some(CheckpointConfig::new(&path)), &mut listen)
        .unwrap();
    assert_eq!(
        heard.into_inner(),
        [
            "start self-training",
            "self-training at 2",
            "2",
            "3",
            "4",
            "5",
            "6"
        ]
    );
}

/// A checkpoint written on one thread is continued on three.
#[test]
fn the_number_of_threads_may_change() {
    let (cells, _) = simulated(300, 200, 7);
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("checkpoint");
    let copy = folder.path().join("copy");
    let method = default_scdcc().with_epochs(2, 2);
    let on = |threads: usize, work: &(dyn Fn() -> Vec<Outcome> + Sync)| {
        rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap()
            .install(work)
    };
    let undisturbed = on(1, &|| {
        let mut keep = |event: &Event<'_>| {
            if let Event::PhaseStarted {
                phase: Phase::SelfTraining,
                ..
            } = event
            {
                fs::copy(&path, &copy).unwrap();
            }
        };
        method
            .fit(&cells, Some(every_epoch(&path)), &mut keep)
            .unwrap()
    });
    fs::copy(&copy, &path).unwrap();
    let resumed = on(3, &|| {
        method
            .fit(&cells, Some(CheckpointConfig::new(&path)), &mut silent)
            .unwrap()
    });
    assert_eq!(resumed, undisturbed);
}

/// The interval decides how many checkpoints there are; the ends of phases always have one.
#[test]
fn the_interval_is_kept() {
    let (cells, _) = simulated(60, 30, 8);
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("checkpoint");
    let mut saved = 0;
    let mut count = |event: &Event<'_>| {
        saved += usize::from(matches!(event, Event::CheckpointSaved { .. }));
    };
    let checkpoint = CheckpointConfig::new(&path);
    assert_eq!(checkpoint.interval(), Duration::from_secs(60));
    // A fit of a moment: one at the end of each of its two phases.
    let method = default_scdcc();
    method
        .fit(
            &cells,
            Some(checkpoint.with_interval(Duration::from_secs(3600))),
            &mut count,
        )
        .unwrap();
    assert_eq!(saved, 2);
}
