//! Fitted models on new cells.

use celldec::batches::epoch_order;
use celldec::counts::CountMatrix;
use celldec::prelude::*;

use crate::{desc, fitted, scdcc};

fn counts() -> CountMatrix {
    SimulationConfig::new(80, 40)
        .with_groups(3)
        .with_differential_expression(0.35, 0.8, 0.4)
        .with_seed(11)
        .simulate()
        .unwrap()
        .counts
}

fn model() -> (ScdccModel, Cells, CountMatrix) {
    let counts = counts();
    let cells = Preprocess::scdcc_reference().fit(&counts).unwrap();
    let fit = fitted(&scdcc(3), &cells);
    (fit.into_model(), cells, counts)
}

#[test]
fn the_training_cells_give_the_training_results() {
    let counts = counts();
    let cells = Preprocess::scdcc_reference().fit(&counts).unwrap();
    let fit = fitted(&scdcc(3), &cells);
    let model = fit.model();
    let again = model.prepare(&counts).unwrap();
    assert_eq!(model.embed(&again).unwrap(), fit.embedding());
    assert_eq!(&model.assign(&again).unwrap(), fit.clusters());
    let evaluation = model.evaluate(&again).unwrap();
    assert_eq!(evaluation.labels(), fit.clusters().labels());
    assert_eq!(model.clusters(), 3);
    assert_eq!(model.info().method, "scdcc");
    assert_eq!(model.info().data_fingerprint, cells.fingerprint().unwrap());
}

/// Fault 30: genes in another order are found by name.
#[test]
fn the_order_of_genes_does_not_matter() {
    let (model, cells, counts) = model();
    let order = epoch_order(counts.genes(), true, 1, 0);
    let permuted = model
        .prepare(&counts.select_genes(&order).unwrap())
        .unwrap();
    assert_eq!(
        model.embed(&permuted).unwrap(),
        model.embed(&cells).unwrap()
    );
    assert_eq!(
        model.denoise(&permuted).unwrap(),
        model.denoise(&cells).unwrap()
    );
}

/// Fault 30: some missing genes are filled in, many are refused.
#[test]
fn missing_genes_are_filled_or_refused() {
    let (model, cells, counts) = model();
    let keep = |count: usize| -> Vec<usize> { (0..count).collect() };
    let some = model
        .prepare(&counts.select_genes(&keep(36)).unwrap())
        .unwrap();
    assert_eq!(some.genes(), cells.genes());
    let assignment = model.assign(&some).unwrap();
    assert!(assignment.soft().iter().all(|q| q.is_finite()));
    assert_eq!(
        model.denoise(&some).unwrap().dim(),
        (some.cells(), cells.genes())
    );
    let error = model
        .prepare(&counts.select_genes(&keep(20)).unwrap())
        .unwrap_err();
    assert!(
        matches!(error, Error::GeneOverlap { expected, .. } if expected == cells.genes()),
        "{error}"
    );
}

/// Cells that another preprocessing prepared do not fit; they are refused by every function.
#[test]
fn cells_of_other_genes_are_refused() {
    let (model, _, counts) = model();
    let fewer: Vec<usize> = (0..30).collect();
    let other = Preprocess::scdcc_reference()
        .fit(&counts.select_genes(&fewer).unwrap())
        .unwrap();
    let errors = [
        model.embed(&other).map(drop),
        model.assign(&other).map(drop),
        model.evaluate(&other).map(drop),
        model.denoise(&other).map(drop),
    ];
    for result in errors {
        let error = result.unwrap_err();
        assert!(matches!(error, Error::LengthMismatch { .. }), "{error}");
    }
}

/// Permuting cells permutes embedding, assignment and denoised expression.
#[test]
fn results_follow_the_order_of_cells() {
    let (model, cells, counts) = model();
    let order = epoch_order(counts.cells(), true, 2, 0);
    let permuted = model
        .prepare(&counts.select_cells(&order).unwrap())
        .unwrap();
    let pairs = [
        (
            model.embed(&cells).unwrap(),
            model.embed(&permuted).unwrap(),
        ),
        (
            model.assign(&cells).unwrap().soft().to_owned(),
            model.assign(&permuted).unwrap().soft().to_owned(),
        ),
        (
            model.denoise(&cells).unwrap(),
            model.denoise(&permuted).unwrap(),
        ),
    ];
    for (original, permuted) in pairs {
        for (place, &cell) in order.iter().enumerate() {
            for (a, b) in original.row(cell).iter().zip(permuted.row(place)) {
                assert!((a - b).abs() <= 1e-5 * a.abs().max(1.0), "{a} {b}");
            }
        }
    }
}

/// Denoised values are means of counts: positive, and proportional to size factors.
#[test]
fn denoised_expression_is_on_the_scale_of_counts() {
    let (model, cells, _) = model();
    let denoised = model.denoise(&cells).unwrap();
    assert_eq!(denoised.dim(), (cells.cells(), cells.genes()));
    assert!(denoised.iter().all(|&v| v > 0.0 && v.is_finite()));
    let total: f64 = denoised.iter().map(|&v| f64::from(v)).sum();
    let counted: f64 = cells.counts().unwrap().cell_totals().iter().sum();
    assert!(
        total > 0.2 * counted && total < 5.0 * counted,
        "{total} {counted}"
    );
}

#[test]
fn desc_has_no_decoder_to_denoise_with() {
    let cells = Preprocess::scdcc_reference().fit(&counts()).unwrap();
    let fit = fitted(&desc(), &cells);
    let error = fit.model().denoise(&cells).unwrap_err();
    assert!(matches!(error, Error::NoDecoder), "{error}");
}
