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
use celldec::train::{EarlyStopping, PretrainConfig, Stage, TrainingRun, pretrain};
use tempfile::TempDir;

use crate::{Bits, bits, cpu, desc, scdcc, simulated};

/// Checkpoints after every epoch.
fn every_epoch(path: &Path) -> CheckpointConfig {
    CheckpointConfig::new(path).with_interval(Duration::ZERO)
}

/// What a fit must have in common with another one to be the same.
type Outcome = (Bits, Status);

fn outcome<H: ReconstructionHead>(fit: &Fit<H>, cells: &Cells) -> Outcome {
    (bits(fit, cells), fit.status().clone())
}

/// A fit with or without checkpoints, watched by an observer.
trait Method {
    fn fit(
        &self,
        cells: &Cells,
        checkpoint: Option<CheckpointConfig>,
        observer: &mut dyn Observer,
    ) -> Result<Vec<Outcome>>;
}

impl Method for (ScdccConfig, ConstraintPairs) {
    fn fit(
        &self,
        cells: &Cells,
        checkpoint: Option<CheckpointConfig>,
        observer: &mut dyn Observer,
    ) -> Result<Vec<Outcome>> {
        let (config, pairs) = self;
        let mut trainer = config.init(&cpu())?.with_constraints(pairs.clone());
        if let Some(checkpoint) = checkpoint {
            trainer = trainer.with_checkpoint(checkpoint);
        }
        let fit = trainer.fit_observed(cells, observer)?;
        Ok(vec![outcome(&fit, cells)])
    }
}

impl Method for DescConfig {
    fn fit(
        &self,
        cells: &Cells,
        checkpoint: Option<CheckpointConfig>,
        observer: &mut dyn Observer,
    ) -> Result<Vec<Outcome>> {
        let mut trainer = self.init(&cpu())?;
        if let Some(checkpoint) = checkpoint {
            trainer = trainer.with_checkpoint(checkpoint);
        }
        let runs = trainer.fit_observed(cells, observer)?;
        Ok(runs.iter().map(|run| outcome(&run.fit, cells)).collect())
    }
}

fn silent(_: &Event<'_>) {}

fn without_pairs(config: ScdccConfig) -> (ScdccConfig, ConstraintPairs) {
    (config, ConstraintPairs::default())
}

/// Joint training with Adadelta, pairs, and a target that holds for two epochs.
fn joint() -> (ScdccConfig, ConstraintPairs) {
    let pairs = ConstraintPairs::new(vec![(0, 1), (2, 3)], vec![(0, 5)]).unwrap();
    (scdcc(3).with_update_interval(2), pairs)
}

/// The default method: AMSGrad, a linear skip, a target from remembered neighbours.
fn default_scdcc() -> ScdccConfig {
    ScdccConfig::new(3)
        .with_widths(vec![16, 6])
        .with_batch_size(32)
        .with_pretraining_epochs(3)
        .with_max_epochs(7)
        .with_tolerance(0.0)
        .with_seed(5)
}

/// Layers, then end to end, then two resolutions.
fn two_resolutions() -> DescConfig {
    desc()
        .with_resolutions(vec![0.6, 1.2])
        .with_update_interval(2)
        .with_pretraining_epochs(6)
        .with_max_epochs(3)
}

/// Fits once with a checkpoint after every epoch, then resumes from each of them.
fn check_every_checkpoint(method: &dyn Method, cells: &Cells) {
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
    check_every_checkpoint(&without_pairs(default_scdcc()), &cells);
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
    for method in [
        &without_pairs(default_scdcc()) as &dyn Method,
        &two_resolutions(),
    ] {
        let fit = method
            .fit(&cells, Some(checkpoint.clone()), &mut silent)
            .unwrap();
        let before = fs::read(checkpoint.path()).unwrap();
        let mut refuse = |event: &Event<'_>| panic!("nothing is left to do: {event:?}");
        let again = method
            .fit(&cells, Some(checkpoint.clone()), &mut refuse)
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
    let trainer = default_scdcc().init(&cpu()).unwrap();
    let undisturbed = outcome(&trainer.fit(&cells).unwrap(), &cells);
    let run = || TrainingRun::new(5).with_checkpoint(every_epoch(&path));

    // Pretraining, and a process that ends there.
    trainer.pretrain(&cells, &mut run()).unwrap();
    let mut second = run();
    let autoencoder = trainer.pretrain(&cells, &mut second).unwrap();
    assert_eq!(second.history().len(), 3, "epochs of pretraining");
    let fit = trainer
        .cluster(autoencoder.clone(), &cells, second)
        .unwrap();
    assert_eq!(outcome(&fit, &cells), undisturbed);

    // Clustering alone is another run and needs another file.
    let error = trainer
        .cluster(autoencoder.clone(), &cells, run())
        .unwrap_err();
    assert!(matches!(error, Error::CheckpointMismatch { .. }), "{error}");
    assert!(error.to_string().contains("pretraining"), "{error}");
    let alone = || {
        let path = folder.path().join("clustering");
        TrainingRun::new(5).with_checkpoint(CheckpointConfig::new(path))
    };
    let fit = trainer
        .cluster(autoencoder.clone(), &cells, alone())
        .unwrap();
    assert_eq!(
        fit.embedding(),
        trainer
            .cluster(autoencoder, &cells, alone())
            .unwrap()
            .embedding()
    );
    // Another autoencoder is another run.
    let other = trainer.pretrain(&cells, &mut TrainingRun::new(6)).unwrap();
    let error = trainer.cluster(other, &cells, alone()).unwrap_err();
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
        let config = scdcc(3).with_start_at_constraints(true);
        let trainer = config.init(&cpu()).unwrap().with_constraints(pairs);
        let checkpoint = CheckpointConfig::new(&path);
        trainer.with_checkpoint(checkpoint).fit(&cells)
    };
    fit(1).unwrap();
    let Err(Error::CheckpointMismatch { what, .. }) = fit(2) else {
        panic!("a checkpoint of other pairs was resumed");
    };
    assert!(what.contains("known_groups"), "{what}");
}

/// Stages that end because the loss no longer falls end in the same epochs.
#[test]
fn early_stopping_is_resumed() {
    let (cells, _) = simulated(60, 30, 10);
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("checkpoint");
    let device = cpu().autodiff();
    // No fall is large enough, so that a stage ends three epochs after its first.
    let config = PretrainConfig::new(
        vec![Stage::new(1e-3, 20), Stage::new(1e-4, 20)],
        OptimizerConfig::Sgd { momentum: 0.9 },
    )
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
            && (record.phase, record.epoch) == (Phase::SelfTraining, 2)
        {
            // The checkpoint of two epochs; this one's comes next.
            fs::copy(&path, &copy).unwrap();
        }
    };
    let method = without_pairs(default_scdcc());
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
    let method = without_pairs(
        default_scdcc()
            .with_pretraining_epochs(2)
            .with_max_epochs(2),
    );
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
    let method = without_pairs(default_scdcc());
    method
        .fit(
            &cells,
            Some(checkpoint.with_interval(Duration::from_secs(3600))),
            &mut count,
        )
        .unwrap();
    assert_eq!(saved, 2);
}
