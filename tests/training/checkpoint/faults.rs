//! Checkpoints that cannot be resumed, and disks that cannot be written.

use std::sync::{Arc, Mutex};

use celldec::nn::{NbHeadConfig, ZinbHead, ZinbHeadConfig};
use tracing_subscriber::fmt::MakeWriter;

use super::*;

/// A checkpoint in the middle of the default method's self-training.
fn written(folder: &TempDir, cells: &Cells) -> PathBuf {
    let path = folder.path().join("checkpoint");
    let mut keep = |event: &Event<'_>| {
        if let Event::EpochFinished(record) = event
            && (record.phase, record.epoch) == (Phase::SelfTraining, 2)
        {
            fs::copy(&path, path.with_extension("copy")).unwrap();
        }
    };
    let method = without_pairs(default_scdcc());
    method
        .fit(cells, Some(every_epoch(&path)), &mut keep)
        .unwrap();
    fs::rename(path.with_extension("copy"), &path).unwrap();
    path
}

/// The error of a fit whose checkpoint cannot be used; the file stays as it is.
fn refused<T>(path: &Path, fit: impl FnOnce(CheckpointConfig) -> Result<T>) -> Error {
    let before = fs::read(path).unwrap();
    let Err(error) = fit(every_epoch(path)) else {
        panic!("resumed from a checkpoint that is not its own");
    };
    assert_eq!(fs::read(path).unwrap(), before, "the file is not touched");
    assert!(error.to_string().contains("checkpoint"), "{error}");
    error
}

/// Fault 31.
#[test]
fn checkpoints_of_other_data_or_settings_are_refused() {
    let folder = TempDir::new().unwrap();
    let (cells, _) = simulated(80, 30, 2);
    let path = written(&folder, &cells);
    let mismatch = |cells: &Cells, config: ScdccConfig| {
        let method = without_pairs(config);
        match refused(&path, |checkpoint| {
            method.fit(cells, Some(checkpoint), &mut silent)
        }) {
            Error::CheckpointMismatch {
                what,
                saved,
                current,
                ..
            } => (what, saved, current),
            other => panic!("{other}"),
        }
    };
    let texts = |what: &str, saved: &str, current: &str| {
        (what.to_string(), saved.to_string(), current.to_string())
    };

    let (other, _) = simulated(80, 30, 3);
    let (what, saved, current) = mismatch(&other, default_scdcc());
    assert!(what.contains("cells"), "{what}");
    assert_ne!(saved, current);
    assert_eq!(
        mismatch(&cells, default_scdcc().with_seed(6)),
        texts("the seed", "5", "6")
    );
    assert_eq!(
        mismatch(&cells, default_scdcc().with_learning_rate(0.25)),
        texts("the setting learning_rate", "0.001", "0.25")
    );
    assert_eq!(
        mismatch(
            &cells,
            default_scdcc().with_max_epochs(8).with_batch_size(16)
        ),
        texts("the setting batch_size, max_epochs", "32, 7", "16, 8")
    );
    let widths = default_scdcc().with_widths(vec![8, 6]);
    assert_eq!(
        mismatch(&cells, widths),
        texts("the setting widths", "[16,6]", "[8,6]")
    );

    // Other pairs are seen when self-training begins.
    let pairs = ConstraintPairs::new(vec![(0, 1)], vec![]).unwrap();
    let error = refused(&path, |checkpoint| {
        (default_scdcc(), pairs).fit(&cells, Some(checkpoint), &mut silent)
    });
    assert!(error.to_string().contains("constraints"), "{error}");

    // Another loss, another head.
    let error = refused(&path, |checkpoint| {
        let trainer = default_scdcc().init(&cpu())?;
        trainer
            .with_reconstruction_loss(NbLoss::new(), NbHeadConfig::new())
            .with_checkpoint(checkpoint)
            .fit(&cells)
    });
    assert!(matches!(error, Error::CheckpointMismatch { .. }), "{error}");
    assert!(error.to_string().contains("head"), "{error}");
    let error = refused(&path, |checkpoint| {
        let trainer = default_scdcc().init(&cpu())?;
        trainer
            .with_clustering_loss(KlSelfTraining::new().weighted(2.0))
            .with_checkpoint(checkpoint)
            .fit(&cells)
    });
    assert!(error.to_string().contains("clustering"), "{error}");

    // Another method.
    let error = refused(&path, |checkpoint| {
        desc().fit(&cells, Some(checkpoint), &mut silent)
    });
    assert!(error.to_string().contains("the step"), "{error}");

    // After all of this it still serves its own fit.
    let method = without_pairs(default_scdcc());
    assert_eq!(
        method
            .fit(&cells, Some(every_epoch(&path)), &mut silent)
            .unwrap(),
        method.fit(&cells, None, &mut silent).unwrap()
    );
}

fn resume(path: &Path, cells: &Cells) -> Error {
    refused(path, |checkpoint| {
        without_pairs(default_scdcc()).fit(cells, Some(checkpoint), &mut silent)
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
    let fit = default_scdcc().init(&cpu()).unwrap().fit(&cells).unwrap();
    fit.model().save(&model).unwrap();
    for content in [b"{}".to_vec(), vec![0xff; 64], fs::read(&model).unwrap()] {
        fs::write(&path, content).unwrap();
        let error = resume(&path, &cells);
        assert!(matches!(error, Error::Checkpoint { .. }), "{error}");
    }
    // A folder at the path.
    let method = without_pairs(default_scdcc());
    let error = method
        .fit(&cells, Some(every_epoch(folder.path())), &mut silent)
        .unwrap_err();
    assert!(matches!(error, Error::Io { .. }), "{error}");
}

#[test]
fn checkpoints_of_a_newer_version_are_refused() {
    let folder = TempDir::new().unwrap();
    let (cells, _) = simulated(80, 30, 2);
    let path = written(&folder, &cells);
    let mut bytes = fs::read(&path).unwrap();
    let format = br#"\"format\":1"#;
    let place = bytes
        .windows(format.len())
        .position(|window| window == format)
        .unwrap();
    bytes[place + format.len() - 1] = b'7';
    fs::write(&path, bytes).unwrap();
    let error = resume(&path, &cells);
    assert!(matches!(error, Error::Checkpoint { .. }), "{error}");
    assert!(error.to_string().contains("newer version"), "{error}");
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
    let config = PretrainConfig::new(
        vec![Stage::new(1e-3, 2)],
        OptimizerConfig::Adam { amsgrad: false },
    );
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
    let method = without_pairs(default_scdcc());
    let undisturbed = method.fit(&cells, None, &mut silent).unwrap();

    let folder = TempDir::new().unwrap();
    let (before, after) = (folder.path().join("before"), folder.path().join("after"));
    fs::create_dir(&before).unwrap();
    let path = before.join("checkpoint");
    let (mut saved, mut failed) = (0, 0);
    let mut lose = |event: &Event<'_>| match event {
        Event::EpochFinished(record)
            if (record.phase, record.epoch) == (Phase::SelfTraining, 2) =>
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
        let config = default_scdcc()
            .with_pretraining_epochs(1)
            .with_max_epochs(1);
        let trainer = config.init(&cpu()).unwrap().with_checkpoint(checkpoint);
        trainer.fit(&cells).unwrap();
    });
    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    let warnings = text
        .lines()
        .filter(|line| line.contains("checkpoint not written"));
    assert_eq!(warnings.count(), 2, "one a phase: {text}");
    assert!(text.contains("/nowhere/checkpoint"), "{text}");
}
