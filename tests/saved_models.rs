//! Models saved by earlier versions load and say what they said then; an earlier version's
//! checkpoint is taken up or refused, never misread.
//!
//! The files and how they were made: `tests/fixtures/models`.

use std::fs;
use std::path::PathBuf;

use celldec::io::read_10x_mtx;
use celldec::model::ModelInfo;
use celldec::nn::{NbHead, ReconstructionHead};
use celldec::prelude::*;
use ndarray::{Array2, ArrayView2};
use serde::Deserialize;
use tempfile::TempDir;

/// The largest difference between two machines that is not a mistake.
const TOLERANCE: f32 = 1e-5;

/// What a model said about the counts of the folder when it was saved.
#[derive(Deserialize)]
struct Expected {
    labels: Vec<usize>,
    embedding: Vec<Vec<f32>>,
    /// Of the first cells, by models with a decoder.
    denoised: Option<Vec<Vec<f32>>>,
}

impl Expected {
    fn of(name: &str) -> Self {
        let text = fs::read_to_string(fixture(&format!("{name}.json"))).expect("a fixture");
        serde_json::from_str(&text).expect("labels and embedding")
    }
}

fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/models")
        .join(name)
}

fn counts() -> CountMatrix {
    read_10x_mtx(fixture("counts")).expect("the counts of the fixtures")
}

fn assert_close(what: &str, found: ArrayView2<'_, f32>, expected: &[Vec<f32>]) {
    assert_eq!(found.nrows(), expected.len(), "{what}: rows");
    for (row, (found, expected)) in found.rows().into_iter().zip(expected).enumerate() {
        assert_eq!(found.len(), expected.len(), "{what}: columns");
        for (found, expected) in found.iter().zip(expected) {
            let difference = (found - expected).abs();
            assert!(
                difference <= TOLERANCE * expected.abs().max(1.0),
                "{what}, row {row}: {found} instead of {expected}"
            );
        }
    }
}

/// Loads a model and compares what it says about cells with what it said when it was saved.
fn check<H: ReconstructionHead>(
    name: &str,
    prepare: impl Fn(&FittedModel<H>, &CountMatrix) -> Result<Cells>,
) -> FittedModel<H> {
    let path = fixture(&format!("{name}.safetensors"));
    let model = FittedModel::<H>::load(&path, &Device::default()).expect("a model of format 1");
    assert_eq!(
        &ModelInfo::read(&path).expect("the same file"),
        model.info()
    );
    let cells = prepare(&model, &counts()).expect("counts of the model's genes");
    let expected = Expected::of(name);

    let assignment = model.assign(&cells).unwrap();
    assert_eq!(assignment.labels(), expected.labels, "{name}: labels");
    let embedding = model.embed(&cells).unwrap();
    assert_close(name, embedding.view(), &expected.embedding);
    match expected.denoised {
        Some(rows) => {
            let denoised: Array2<f32> = model.denoise(&cells).unwrap();
            let first = denoised.slice(ndarray::s![..rows.len(), ..]);
            assert_close(&format!("{name}, denoised"), first, &rows);
        }
        None => assert!(matches!(model.denoise(&cells), Err(Error::NoDecoder))),
    }
    model
}

#[test]
fn scdcc() {
    let model: ScdccModel = check("scdcc", FittedModel::prepare);
    assert_eq!(model.info().method, "scdcc");
    assert_eq!(model.info().seed, 5);
    assert_eq!(model.clusters(), 3);
}

#[test]
fn scdcc_as_published() {
    let model: ScdccModel = check("scdcc_reference", FittedModel::prepare);
    assert_eq!(model.info().method, "scdcc");
}

#[test]
fn another_head_and_kernel_on_batches() {
    check::<NbHead>("scdcc_batches", |model, counts| {
        let batches: Vec<usize> = (0..counts.cells()).map(|cell| cell % 2).collect();
        model
            .preprocessing()
            .transform_with_batches(counts, &batches)
    });
}

#[test]
fn mean_squared_error_with_its_decoder() {
    let model: DescModel = check("scdcc_mse", FittedModel::prepare);
    assert_eq!(model.info().method, "scdcc");
}

#[test]
fn desc() {
    let model: DescModel = check("desc", FittedModel::prepare);
    assert_eq!(model.info().method, "desc");
}

#[test]
fn desc_as_published() {
    let model: DescModel = check("desc_tanh", FittedModel::prepare);
    assert_eq!(model.preprocessing().gene_names().len(), 30);
}

#[test]
fn genes_in_another_order_make_no_difference() {
    let path = fixture("scdcc.safetensors");
    let model = ScdccModel::load(path, &Device::default()).unwrap();
    let counts = counts();
    let reversed: Vec<usize> = (0..counts.genes()).rev().collect();
    let cells = model
        .prepare(&counts.select_genes(&reversed).unwrap())
        .unwrap();
    let expected = Expected::of("scdcc");
    assert_eq!(model.assign(&cells).unwrap().labels(), expected.labels);
    let embedding = model.embed(&cells).unwrap();
    assert_close("reversed genes", embedding.view(), &expected.embedding);
}

/// A checkpoint of another format names the way out, and is left as it is.
#[test]
fn a_checkpoint_of_the_first_format_is_refused_untouched() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("fit.checkpoint");
    let saved = fs::read(fixture("scdcc.checkpoint")).unwrap();
    fs::write(&path, &saved).unwrap();
    let cells = Preprocess::scdcc().fit(&counts()).unwrap();
    let trainer = Plan::scdcc(3).trainer(&Device::default()).unwrap();
    let trainer = trainer.with_checkpoint(CheckpointConfig::new(&path));
    let refused = trainer.fit(&cells).expect_err("another format");
    assert!(matches!(refused.error(), Error::Checkpoint { .. }));
    let message = refused.to_string();
    assert!(message.contains("format 1"), "{message}");
    assert_eq!(fs::read(&path).unwrap(), saved);
}
