//! Checkpoints that cannot be resumed, and disks that cannot be written.

use std::sync::{Arc, Mutex};

use burn::tensor::Tensor;
use celldec::graph::NeighborAverage;
use celldec::loss;
use celldec::nn::{CountDistribution, NbHeadConfig, SimilarityKernel, ZinbHead, ZinbHeadConfig};
use tracing_subscriber::fmt::MakeWriter;

use super::*;
use crate::fitted;

/// A checkpoint in the middle of the default method's self-training.
fn written(folder: &TempDir, cells: &Cells) -> PathBuf {
    let path = folder.path().join("checkpoint");
    let mut keep = |event: &Event<'_>| {
        if let Event::EpochFinished(record) = event
            && (&record.phase, record.epoch) == (&Phase::SelfTraining, 2)
        {
            fs::copy(&path, path.with_extension("copy")).unwrap();
        }
    };
    let method = default_scdcc();
    method
        .fit(cells, Some(every_epoch(&path)), &mut keep)
        .unwrap();
    fs::rename(path.with_extension("copy"), &path).unwrap();
    path
}

/// The error of a fit whose checkpoint cannot be used; the file stays as it is.
fn refused<T, E: Into<Error>>(
    path: &Path,
    fit: impl FnOnce(CheckpointConfig) -> Result<T, E>,
) -> Error {
    let before = fs::read(path).unwrap();
    let Err(error) = fit(every_epoch(path)) else {
        panic!("resumed from a checkpoint that is not its own");
    };
    assert_eq!(fs::read(path).unwrap(), before, "the file is not touched");
    let error = error.into();
    assert!(error.to_string().contains("checkpoint"), "{error}");
    error
}

/// What differs between the run that wrote a checkpoint and one that cannot resume it, with its
/// value in both.
fn mismatch(path: &Path, cells: &Cells, plan: &dyn Method) -> (String, String, String) {
    match refused(path, |checkpoint| {
        plan.fit(cells, Some(checkpoint), &mut silent)
    }) {
        Error::CheckpointMismatch {
            what,
            saved,
            current,
            ..
        } => (what, saved, current),
        other => panic!("{other}"),
    }
}

fn texts(what: &str, saved: &str, current: &str) -> (String, String, String) {
    (what.to_string(), saved.to_string(), current.to_string())
}

/// Fault 31.
#[test]
fn checkpoints_of_other_data_or_settings_are_refused() {
    let folder = TempDir::new().unwrap();
    let (cells, _) = simulated(80, 30, 2);
    let path = written(&folder, &cells);

    let (other, _) = simulated(80, 30, 3);
    let (what, saved, current) = mismatch(&path, &other, &default_scdcc());
    assert!(what.contains("cells"), "{what}");
    assert_ne!(saved, current);
    assert_eq!(
        mismatch(&path, &cells, &default_scdcc().with_seed(6)),
        texts("the seed", "5", "6")
    );
    let faster = default_scdcc().with_self_training(|phase| phase.with_learning_rate(0.25));
    assert_eq!(
        mismatch(&path, &cells, &faster),
        texts("the setting self_training.learning_rate", "0.001", "0.25")
    );
    let longer = default_scdcc().with_epochs(3, 8).with_batch_size(16);
    assert_eq!(
        mismatch(&path, &cells, &longer),
        texts(
            "the setting pretraining.batch_size, self_training.batch_size, \
             self_training.max_epochs",
            "32, 32, 7",
            "16, 16, 8"
        )
    );
    assert_eq!(
        mismatch(&path, &cells, &default_scdcc().with_widths([8, 6])),
        texts("the setting network.widths", "[16,6]", "[8,6]")
    );
    let pairs = ConstraintPairs::new(vec![(0, 1)], vec![]).unwrap();
    let (what, ..) = mismatch(&path, &cells, &default_scdcc().with_constraints(pairs));
    assert!(what.contains("pairs.fingerprint"), "{what}");

    // Another loss with its head, another method.
    let head = NbHeadConfig::new();
    let (what, ..) = mismatch(
        &path,
        &cells,
        &default_scdcc().with_reconstruction(NbLoss::new(), head),
    );
    assert!(what.contains("head.name"), "{what}");
    assert!(what.contains("reconstruction.name"), "{what}");
    let (what, ..) = mismatch(&path, &cells, &desc());
    assert!(what.contains("the step"), "{what}");

    // After all of this it still serves its own fit.
    let method = default_scdcc();
    assert_eq!(
        method
            .fit(&cells, Some(every_epoch(&path)), &mut silent)
            .unwrap(),
        method.fit(&cells, None, &mut silent).unwrap()
    );
}

/// A setting inside a loss, a target or a similarity is one of the run: a checkpoint that was
/// written with another value is refused, and the message names it.
#[test]
fn checkpoints_of_other_settings_of_parts_are_refused_by_name() {
    let folder = TempDir::new().unwrap();
    let (cells, _) = simulated(80, 30, 2);
    let path = written(&folder, &cells);
    let target = |neighbors: usize| {
        SmoothedTarget::new(SharpenedTarget::new(), neighbors)
            .with_average(NeighborAverage::ByHubness)
    };

    // What the default is made of, put together anew, is the default.
    let same = default_scdcc()
        .with_target(target(15))
        .with_clustering(KlDivergence::new());
    let before = fs::read(&path).unwrap();
    let resumed = same.fit(&cells, Some(CheckpointConfig::new(&path)), &mut silent);
    assert_eq!(
        resumed.unwrap(),
        default_scdcc().fit(&cells, None, &mut silent).unwrap()
    );
    fs::write(&path, before).unwrap();

    assert_eq!(
        mismatch(&path, &cells, &default_scdcc().with_target(target(30))),
        texts("the setting target.settings.neighbors", "15", "30")
    );
    let directed = target(15).with_average(NeighborAverage::Directed);
    let (what, ..) = mismatch(&path, &cells, &default_scdcc().with_target(directed));
    assert_eq!(what, "the setting target.settings.average");
    let offset = default_scdcc().with_clustering(KlDivergence::new().with_offset(1e-6));
    let (what, ..) = mismatch(&path, &cells, &offset);
    assert_eq!(what, "the setting clustering.settings.offset");
    let heavier = default_scdcc().with_clustering(KlDivergence::new().weighted(2.0));
    let (what, ..) = mismatch(&path, &cells, &heavier);
    assert!(what.contains("clustering.settings.weight"), "{what}");
    let similarity = SimilarityKernel::StudentT { alpha: 2.0 };
    let (what, ..) = mismatch(&path, &cells, &default_scdcc().with_similarity(similarity));
    assert_eq!(what, "the setting similarity.StudentT.alpha");
}

/// The weight of a part of a sum is a setting of the run like any other.
#[test]
fn checkpoints_of_sums_with_other_weights_are_refused_by_name() {
    let folder = TempDir::new().unwrap();
    let (cells, _) = simulated(60, 30, 2);
    let path = folder.path().join("checkpoint");
    let of_counts = |weight: f64| {
        let sum = CountLoss::new()
            .weighted(0.5)
            .plus(CountLoss::new().weighted(weight));
        let plan = default_scdcc().with_epochs(1, 1);
        plan.with_reconstruction(sum, CountDistribution::NegativeBinomial)
    };
    let finished = of_counts(0.25).fit(&cells, Some(every_epoch(&path)), &mut silent);
    finished.unwrap();
    let (what, saved, current) = mismatch(&path, &cells, &of_counts(0.125));
    assert!(
        what.contains("reconstruction.settings.second.settings.weight"),
        "{what}"
    );
    assert!(saved.contains("0.25") && current.contains("0.125"));

    fs::remove_file(&path).unwrap();
    let of_assignments = |weight: f64| {
        let sum = KlDivergence::new().plus(KlDivergence::new().with_offset(0.1).weighted(weight));
        default_scdcc().with_epochs(1, 1).with_clustering(sum)
    };
    let finished = of_assignments(0.25).fit(&cells, Some(every_epoch(&path)), &mut silent);
    finished.unwrap();
    let (what, ..) = mismatch(&path, &cells, &of_assignments(0.125));
    assert!(
        what.contains("clustering.settings.second.settings.weight"),
        "{what}"
    );

    // And so is one that a closure captured, if its author says so.
    fs::remove_file(&path).unwrap();
    let of_closure = |power: f64| {
        let target = loss::target_from_fn("power", move |q: Tensor<2>, _| {
            let powers = q.powf_scalar(power);
            Ok(powers.clone() / powers.sum_dim(1))
        });
        default_scdcc()
            .with_epochs(1, 1)
            .with_target(target.with_setting("power", power))
    };
    let finished = of_closure(1.5).fit(&cells, Some(every_epoch(&path)), &mut silent);
    finished.unwrap();
    assert_eq!(
        mismatch(&path, &cells, &of_closure(2.5)),
        texts("the setting target.settings.power", "1.5", "2.5")
    );
}

fn resume(path: &Path, cells: &Cells) -> Error {
    refused(path, |checkpoint| {
        default_scdcc().fit(cells, Some(checkpoint), &mut silent)
    })
}

#[test]
fn truncated_checkpoints_are_refused() {
    let folder = TempDir::new().unwrap();
    let (cells, _) = simulated(80, 30, 2);
    let path = written(&folder, &cells);
    let whole = fs::read(&path).unwrap();
    let header = 8 + usize::try_from(u64::from_le_bytes(whole[..8].try_into().unwrap())).unwrap();
    let end = whole.len();
    for length in [0, 1, 8, header / 2, header, header + 1, end / 2, end - 1] {
        fs::write(&path, &whole[..length]).unwrap();
        let error = resume(&path, &cells);
        assert!(
            matches!(error, Error::Checkpoint { .. }),
            "{length}: {error}"
        );
    }
    fs::write(&path, [whole.as_slice(), b"more"].concat()).unwrap();
    let error = resume(&path, &cells);
    assert!(matches!(error, Error::Checkpoint { .. }), "{error}");
}

/// One changed bit anywhere is found.
#[test]
fn damaged_checkpoints_are_refused() {
    let folder = TempDir::new().unwrap();
    let (cells, _) = simulated(80, 30, 2);
    let path = written(&folder, &cells);
    let whole = fs::read(&path).unwrap();
    let header = 8 + usize::try_from(u64::from_le_bytes(whole[..8].try_into().unwrap())).unwrap();
    let spaces = whole[..header]
        .iter()
        .rev()
        .take_while(|&&byte| byte == b' ');
    let in_header = (0..header - spaces.count()).step_by(header / 150);
    let in_tensors = (header..whole.len()).step_by((whole.len() - header) / 60);
    for place in in_header.chain(in_tensors) {
        for bit in [0x01, 0x10] {
            let mut bytes = whole.clone();
            bytes[place] ^= bit;
            fs::write(&path, bytes).unwrap();
            let error = resume(&path, &cells);
            assert!(
                matches!(error, Error::Checkpoint { .. }),
                "{place}: {error}"
            );
        }
    }
}

#[test]
fn files_of_another_kind_are_refused() {
    let folder = TempDir::new().unwrap();
    let (cells, _) = simulated(80, 30, 2);
    let path = folder.path().join("checkpoint");
    let model = folder.path().join("model");
    let fit = fitted(&default_scdcc(), &cells);
    fit.model().save(&model).unwrap();
    for content in [b"{}".to_vec(), vec![0xff; 64], fs::read(&model).unwrap()] {
        fs::write(&path, content).unwrap();
        let error = resume(&path, &cells);
        assert!(matches!(error, Error::Checkpoint { .. }), "{error}");
    }
    // A folder at the path.
    let method = default_scdcc();
    let error = method
        .fit(&cells, Some(every_epoch(folder.path())), &mut silent)
        .unwrap_err();
    assert!(matches!(error, Error::Format { .. }), "{error}");
}

#[test]
fn checkpoints_of_other_formats_are_refused() {
    let folder = TempDir::new().unwrap();
    let (cells, _) = simulated(80, 30, 2);
    let path = written(&folder, &cells);
    let mut bytes = fs::read(&path).unwrap();
    let format = br#"\"format\":2"#;
    let place = bytes
        .windows(format.len())
        .position(|window| window == format)
        .unwrap();
    // Neither what a newer version wrote nor an older one.
    for other in ["1", "7"] {
        bytes[place + format.len() - 1] = other.as_bytes()[0];
        fs::write(&path, &bytes).unwrap();
        let error = resume(&path, &cells);
        assert!(matches!(error, Error::Checkpoint { .. }), "{error}");
        let text = error.to_string();
        assert!(text.contains(&format!("format {other}")), "{text}");
        assert!(text.contains("the version that wrote it"), "{text}");
    }
}

/// A network of another shape, without a trainer whose settings would tell.
#[test]
fn another_network_is_refused() {
    let folder = TempDir::new().unwrap();
    let (cells, _) = simulated(40, 20, 2);
    let device = cpu().autodiff();
    let autoencoder = |width: usize| -> Autoencoder<ZinbHead> {
        AutoencoderConfig::symmetric(cells.genes(), &[width, 2], Activation::Linear)
            .init(&ZinbHeadConfig::new(), &device)
    };
    let path = folder.path().join("checkpoint");
    let config = PretrainConfig::new()
        .with_epochs(2)
        .with_optimizer(OptimizerConfig::adam());
    let train = |width, checkpoint| {
        let mut run = TrainingRun::new(1).with_checkpoint(checkpoint);
        let batches = Batches::new(&cells, &device);
        pretrain(
            autoencoder(width),
            &ZinbLoss::new(),
            &batches,
            &config,
            &mut run,
        )
    };
    train(8, every_epoch(&path)).unwrap();
    let error = refused(&path, |checkpoint| train(9, checkpoint));
    assert!(
        error.to_string().contains("network at the start"),
        "{error}"
    );
}

/// Fault 32: from some epoch on there is no folder to write to. Training goes on to the same
/// result, every failure is reported, and the last checkpoint that was written is whole.
#[test]
fn a_disk_that_cannot_be_written_does_not_stop_training() {
    let (cells, _) = simulated(80, 30, 2);
    let method = default_scdcc();
    let undisturbed = method.fit(&cells, None, &mut silent).unwrap();

    let folder = TempDir::new().unwrap();
    let (before, after) = (folder.path().join("before"), folder.path().join("after"));
    fs::create_dir(&before).unwrap();
    let path = before.join("checkpoint");
    let (mut saved, mut failed) = (0, 0);
    let mut lose = |event: &Event<'_>| match event {
        Event::EpochFinished(record)
            if (&record.phase, record.epoch) == (&Phase::SelfTraining, 2) =>
        {
            fs::rename(&before, &after).unwrap();
        }
        Event::CheckpointSaved { .. } => saved += 1,
        Event::CheckpointFailed { path: at, error } => {
            assert_eq!(*at, path);
            assert!(matches!(error, Error::Io { .. }), "{error}");
            failed += 1;
        }
        _ => {}
    };
    let fit = method
        .fit(&cells, Some(every_epoch(&path)), &mut lose)
        .unwrap();
    assert_eq!(fit, undisturbed);
    // Three epochs and the end of pretraining, the centroids, two epochs; then five and the end.
    assert_eq!((saved, failed), (7, 6));
    let resumed = method
        .fit(
            &cells,
            Some(every_epoch(&after.join("checkpoint"))),
            &mut silent,
        )
        .unwrap();
    assert_eq!(resumed, undisturbed);
}

/// What was logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

/// A failure is also logged, for those who do not observe.
#[test]
fn a_failure_to_write_is_logged() {
    let (cells, _) = simulated(40, 20, 2);
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer(log.clone())
        .finish();
    let checkpoint = CheckpointConfig::new("/nowhere/checkpoint");
    tracing::subscriber::with_default(subscriber, || {
        let trainer = default_scdcc().with_epochs(1, 1).trainer(&cpu()).unwrap();
        trainer.with_checkpoint(checkpoint).fit(&cells).unwrap();
    });
    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    let warnings = text
        .lines()
        .filter(|line| line.contains("checkpoint not written"));
    assert_eq!(warnings.count(), 2, "one a phase: {text}");
    assert!(text.contains("/nowhere/checkpoint"), "{text}");
}
