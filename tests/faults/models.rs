//! Rows 29 to 31: models and checkpoints that are damaged, of other genes, or of another run.

use ndarray::Array2;

use super::*;

pub fn row_29_damaged_models_are_refused_untouched() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model");
    let cells = simulated(40, 20, 1);
    let fit = fitted(&scdcc(3), &cells);
    fit.model().save(&path).unwrap();
    let whole = fs::read(&path).unwrap();
    let refused = |what: &str, data: &[u8]| {
        fs::write(&path, data).unwrap();
        let error = ScdccModel::load(&path, &cpu()).expect_err(what);
        assert!(
            matches!(&error, Error::Model { path: found, .. } if *found == path),
            "{what}: {error}"
        );
        assert_eq!(
            fs::read(&path).unwrap(),
            data,
            "{what}: the file was touched"
        );
    };
    for length in (0..whole.len()).step_by(whole.len() / 60) {
        refused("truncated", &whole[..length]);
    }
    for byte in (0..whole.len()).step_by(whole.len() / 200) {
        let mut changed = whole.clone();
        changed[byte] ^= 1 << (byte % 8);
        refused("a flipped bit", &changed);
    }
    // A newer version: the digit of the format is changed where it stands.
    let text = b"\\\"format\\\":2";
    let at = whole
        .windows(text.len())
        .position(|window| window == text)
        .unwrap();
    let mut newer = whole.clone();
    newer[at + text.len() - 1] = b'9';
    fs::write(&path, &newer).unwrap();
    let error = ScdccModel::load(&path, &cpu()).unwrap_err().to_string();
    assert!(error.contains("newer version"), "{error}");
    assert!(DescModel::load(&path, &cpu()).is_err());
    fs::write(&path, &whole).unwrap();
    let loaded = ScdccModel::load(&path, &cpu()).unwrap();
    assert_eq!(&loaded.assign(&cells).unwrap(), fit.clusters());
}

pub fn row_30_genes_are_found_by_name() {
    let training = counts("A", 40);
    let cells = Preprocess::scdcc().fit(&training).unwrap();
    let fit = fitted(&scdcc(3), &cells);
    let model = fit.model();
    let expected = model.assign(&model.prepare(&training).unwrap()).unwrap();
    let backwards: Vec<usize> = (0..training.genes()).rev().collect();
    let turned = training.select_genes(&backwards).unwrap();
    assert_eq!(
        model.assign(&model.prepare(&turned).unwrap()).unwrap(),
        expected
    );
    // A few genes fewer are filled with zeros and listed.
    let most = training.select_genes(&(0..36).collect::<Vec<_>>()).unwrap();
    assert_eq!(
        model.prepare(&most).unwrap().report().missing_genes.len(),
        4
    );
    let few = training.select_genes(&(0..31).collect::<Vec<_>>()).unwrap();
    let error = model.prepare(&few).unwrap_err();
    assert!(
        matches!(
            error,
            Error::GeneOverlap {
                found: 31,
                expected: 40,
                ..
            }
        ),
        "{error}"
    );
    let other = CountMatrix::from_dense(Array2::ones((3, 40)).view()).unwrap();
    assert!(matches!(
        model.prepare(&other),
        Err(Error::GeneOverlap { found: 0, .. })
    ));
}

pub fn row_31_a_checkpoint_of_another_run_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("checkpoint");
    let with = |plan: Plan<CountHead>| {
        let trainer = plan.trainer(&cpu()).unwrap();
        trainer.with_checkpoint(CheckpointConfig::new(&path))
    };
    let cells = simulated(40, 20, 1);
    with(scdcc(3)).fit(&cells).unwrap();
    let before = fs::read(&path).unwrap();
    let others = simulated(40, 20, 2);
    for (what, plan, cells) in [
        ("other cells", scdcc(3), &others),
        ("another seed", scdcc(3).with_seed(4), &cells),
        ("another number of clusters", scdcc(4), &cells),
        ("other widths", scdcc(3).with_widths([12, 6]), &cells),
        ("more epochs", scdcc(3).with_epochs(4, 3), &cells),
    ] {
        let failure = with(plan).fit(cells).expect_err(what);
        let error = failure.error();
        assert!(
            matches!(error, Error::CheckpointMismatch { .. }),
            "{what}: {error}"
        );
        assert_eq!(
            fs::read(&path).unwrap(),
            before,
            "{what}: the file was touched"
        );
    }
}
