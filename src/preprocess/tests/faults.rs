//! Inputs that must be refused or handled, and reported.

use ndarray::{Array2, array};

use super::super::*;
use super::{bits, named, recipes, simulated};
use crate::counts::CountMatrix;
use crate::error::Error;

// Fault 1.
#[test]
fn nothing_to_learn_from_is_refused() {
    for shape in [(0, 3), (3, 0)] {
        let counts = CountMatrix::from_dense(Array2::zeros(shape).view()).unwrap();
        let error = Preprocess::scdcc_reference().fit(&counts).unwrap_err();
        assert!(matches!(error, Error::EmptyMatrix { .. }), "{error}");
    }
    let zeros = CountMatrix::from_dense(Array2::zeros((4, 3)).view()).unwrap();
    let error = Preprocess::scdcc_reference().fit(&zeros).unwrap_err();
    assert!(
        matches!(
            error,
            Error::AllFiltered {
                cells_before: 4,
                genes_before: 3,
                ..
            }
        ),
        "{error}"
    );
    let error = Preprocess::scdcc_reference()
        .with_min_counts_per_cell(1e9)
        .fit(&simulated(5, 4, 1))
        .unwrap_err();
    assert!(
        matches!(
            error,
            Error::AllFiltered {
                cells: 0,
                genes: 4,
                ..
            }
        ),
        "{error}"
    );
}

// Fault 4.
#[test]
fn fractional_counts_need_permission() {
    let counts = named(array![[1.0, 2.5], [3.0, 0.5]]);
    let error = Preprocess::scdcc_reference().fit(&counts).unwrap_err();
    let Error::FractionalCount {
        cell,
        gene,
        value,
        count,
    } = error
    else {
        panic!("{error}");
    };
    assert_eq!(
        (cell.index, gene.name.as_str(), value, count),
        (0, "gene1", 2.5, 2)
    );
    let cells = Preprocess::scdcc_reference()
        .with_allow_fractional(true)
        .fit(&counts)
        .unwrap();
    let error = Preprocess::scdcc_reference()
        .fit(&named(array![[1.0, 2.0], [3.0, 1.0]]))
        .unwrap()
        .preprocessing()
        .transform(&counts)
        .unwrap_err();
    assert!(matches!(error, Error::FractionalCount { .. }), "{error}");
    assert!(cells.preprocessing().transform(&counts).is_ok());
}

// Fault 5.
#[test]
fn cells_without_counts_are_dropped_and_reported_or_refused() {
    let counts = named(array![[1.0, 2.0], [0.0, 0.0], [2.0, 2.0], [0.0, 0.0]]);
    let cells = Preprocess::scdcc_reference().fit(&counts).unwrap();
    assert_eq!(cells.kept_cells(), [0, 2]);
    assert_eq!(cells.report().cells_with_few_counts, 2);
    assert!(cells.size_factors().iter().all(|&factor| factor > 0.0));

    let keep = Preprocess::scdcc_reference().with_min_counts_per_cell(0.0);
    let error = keep.fit(&counts).unwrap_err();
    let Error::EmptyCell { cell, count } = error else {
        panic!("{error}");
    };
    assert_eq!((cell.name.as_str(), count), ("cell1", 2));

    // New cells follow the same rule.
    let new = cells.preprocessing().transform(&counts).unwrap();
    assert_eq!(new.kept_cells(), [0, 2]);
    assert_eq!(new.report().cells_with_few_counts, 2);
    let full = counts.select_cells(&[0, 2]).unwrap();
    let error = keep
        .fit(&full)
        .unwrap()
        .preprocessing()
        .transform(&counts)
        .unwrap_err();
    assert!(
        matches!(error, Error::EmptyCell { count: 2, .. }),
        "{error}"
    );
}

// Fault 6.
#[test]
fn genes_without_counts_are_dropped_and_reported() {
    let counts = named(array![[1.0, 0.0, 2.0, 1.0], [3.0, 0.0, 1.0, 0.0]]);
    let cells = Preprocess::scdcc_reference().fit(&counts).unwrap();
    assert_eq!(cells.kept_genes(), [Some(0), Some(2), Some(3)]);
    assert_eq!(cells.gene_names(), ["gene0", "gene2", "gene3"]);
    assert_eq!(cells.report().genes_with_few_counts, 1);
    let cells = Preprocess::scdcc_reference()
        .with_min_cells_per_gene(2)
        .fit(&counts)
        .unwrap();
    assert_eq!(cells.kept_genes(), [Some(0), Some(2)]);
    assert_eq!(cells.report().genes_in_few_cells, 1);
    assert_eq!(cells.report().genes_dropped(), 2);
    // The total is over the genes that passed.
    assert_eq!(cells.preprocessing().median_total(), 3.5);
}

// Fault 7.
#[test]
fn a_constant_gene_is_scaled_to_zero() {
    let counts = named(array![[5.0, 1.0, 9.0], [5.0, 4.0, 6.0], [5.0, 3.0, 7.0]]);
    let cells = Preprocess::scdcc_reference().fit(&counts).unwrap();
    for value in cells.to_dense_input().unwrap().column(0) {
        assert!(value.abs() < 1e-12, "{value}");
    }
    // The same up to rounding: equal proportions, different totals.
    let counts = named(array![[1.0, 9.0], [3.0, 27.0], [7.0, 63.0]]);
    let cells = Preprocess::scdcc_reference().fit(&counts).unwrap();
    for value in cells.to_dense_input().unwrap() {
        assert!(value.abs() < 1e-12, "{value}");
    }
    // A single cell: every gene is constant.
    let cells = Preprocess::scdcc_reference()
        .fit(&named(array![[1.0, 9.0]]))
        .unwrap();
    assert_eq!(cells.to_dense_input().unwrap(), array![[0.0, 0.0]]);
}

// Fault 8.
#[test]
fn huge_counts_keep_their_accuracy() {
    // Totals of 3 · 2^24 + 1 and 3 · 2^24 + 2 differ in a bit that f32 does not have.
    let big = 16_777_216.0;
    let counts = named(array![
        [big, big, big, 1.0],
        [big, big, big, 2.0],
        [big, 1.0, 0.0, 2.0]
    ]);
    let cells = Preprocess::scdcc_reference().fit(&counts).unwrap();
    assert_eq!(
        cells.preprocessing().median_total(),
        3.0 * f64::from(big) + 1.0
    );
    assert_eq!(cells.size_factors()[0], 1.0);
    assert!(
        cells
            .to_dense_input()
            .unwrap()
            .iter()
            .all(|value| value.is_finite())
    );
    let mut row = vec![0.0; 4];
    cells.fill_counts(1, &mut row).unwrap();
    assert_eq!(row, [big, big, big, 2.0]);
}

// Fault 30.
#[test]
fn new_genes_are_aligned_by_name() {
    let training = simulated(30, 10, 2);
    for settings in recipes() {
        let cells = settings
            .with_variable_genes(VariableGenes::seurat(8))
            .fit(&training)
            .unwrap();
        // Another order, and genes that the model does not know.
        let mut order: Vec<Option<usize>> = (0..10).rev().map(Some).collect();
        let mut names: Vec<String> = (0..10).rev().map(|i| format!("gene{i}")).collect();
        order.insert(3, None);
        names.insert(3, "stranger".into());
        let shuffled = training.align_genes(&order, names).unwrap();
        let new = cells.preprocessing().transform(&shuffled).unwrap();
        assert_eq!(bits(&new), bits(&cells));
        assert_eq!(new.counts().unwrap(), cells.counts().unwrap());
        assert_eq!(new.size_factors(), cells.size_factors());
        assert_eq!(new.report().genes_not_in_model, 3);
        let position = new.kept_genes()[0].unwrap();
        assert_eq!(shuffled.gene_names()[position], new.gene_names()[0]);
    }
}

#[test]
fn missing_genes_are_zero_and_reported_until_too_many() {
    let training = simulated(30, 10, 3);
    let cells = Preprocess::scdcc_reference().fit(&training).unwrap();
    let fitted = cells.preprocessing();
    let genes: Vec<usize> = (0..8).collect();
    let new = fitted
        .transform(&training.select_genes(&genes).unwrap())
        .unwrap();
    assert_eq!(new.genes(), 10);
    assert_eq!(new.report().missing_genes, ["gene8", "gene9"]);
    assert_eq!(new.report().missing_total_genes, 2);
    assert_eq!(&new.kept_genes()[7..], [Some(7), None, None]);
    let GeneStatistics { mean, sd } = fitted.statistics();
    let expected = (-mean[9] / sd[9]) as f32;
    assert!(
        new.to_dense_input()
            .unwrap()
            .column(9)
            .iter()
            .all(|&v| v == expected)
    );

    let error = fitted
        .transform(&training.select_genes(&genes[..7]).unwrap())
        .unwrap_err();
    let Error::GeneOverlap {
        found,
        expected,
        examples,
        others,
    } = error
    else {
        panic!("{error}");
    };
    assert_eq!(
        (found, expected, examples.as_str()),
        (7, 10, "gene7, gene8, gene9")
    );
    assert_eq!(others, "gene0, gene1, gene2, gene3, gene4");

    let shouted = training
        .gene_names()
        .iter()
        .map(|name| name.to_uppercase())
        .collect();
    let shouted = training
        .clone()
        .with_names(training.cell_names().to_vec(), shouted);
    let message = fitted.transform(&shouted.unwrap()).unwrap_err().to_string();
    assert!(
        message.contains("the data have \"GENE0\" for \"gene0\""),
        "{message}"
    );
}

#[test]
fn duplicate_gene_names_keep_their_places() {
    let dense = array![[0.0, 1.0, 4.0, 2.0], [0.0, 3.0, 1.0, 5.0]];
    let names = ["a", "b", "a", "a"].map(String::from).to_vec();
    let counts = CountMatrix::from_dense(dense.view())
        .unwrap()
        .with_names(vec!["x".into(), "y".into()], names)
        .unwrap();
    // The first "a" has no counts and is dropped.
    let cells = Preprocess::scdcc_reference().fit(&counts).unwrap();
    let again = cells.preprocessing().transform(&counts).unwrap();
    assert_eq!(bits(&again), bits(&cells));
    assert_eq!(again.counts().unwrap(), cells.counts().unwrap());
}

#[test]
fn settings_out_of_range_are_refused_before_any_work() {
    let scaled = |scaling| Preprocess::scdcc_reference().with_scaling(scaling);
    for settings in [
        Preprocess::scdcc_reference().with_min_counts_per_gene(f64::NAN),
        Preprocess::scdcc_reference().with_min_counts_per_cell(-1.0),
        Preprocess::scdcc_reference().with_target_sum(TargetSum::Fixed(0.0)),
        Preprocess::scdcc_reference().with_target_sum(TargetSum::Fixed(f64::INFINITY)),
        Preprocess::scdcc_reference().with_variable_genes(VariableGenes::seurat(0)),
        scaled(Scaling::z_score().with_exponent(-1.0)),
        scaled(Scaling::z_score().with_clip(Clip::Both(0.0))),
        scaled(Scaling::z_score().with_clip(Clip::Upper(f64::NAN))),
    ] {
        let error = settings.fit(&simulated(5, 4, 6)).unwrap_err();
        assert!(matches!(error, Error::Parameter(_)), "{error}");
    }
}
