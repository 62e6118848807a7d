//! Rows 1 to 8: counts that cannot be, and counts that are unusual.

use celldec::counts::CountMatrix;
use ndarray::{Array2, array};

use super::*;

fn named(values: Array2<f32>) -> CountMatrix {
    CountMatrix::from_dense(values.view()).unwrap()
}

pub fn row_01_nothing_to_learn_from_is_refused() {
    for shape in [(0, 3), (3, 0), (0, 0)] {
        let error = Preprocess::scdcc()
            .fit(&named(Array2::zeros(shape)))
            .unwrap_err();
        assert!(matches!(error, Error::EmptyMatrix { .. }), "{error}");
    }
    let zeros = named(Array2::zeros((4, 3)));
    for recipe in [Preprocess::scdcc(), Preprocess::desc()] {
        let error = recipe.fit(&zeros).unwrap_err();
        let Error::AllFiltered {
            cells_before,
            genes_before,
            ..
        } = error
        else {
            panic!("{error}");
        };
        assert_eq!((cells_before, genes_before), (4, 3));
        assert!(error.to_string().contains("lower the filter thresholds"));
    }
}

pub fn row_02_entries_that_are_no_numbers_are_counted_and_named() {
    for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut values = Array2::ones((4, 3));
        (values[[1, 2]], values[[3, 0]]) = (value, value);
        let error = CountMatrix::from_dense(values.view()).unwrap_err();
        let Error::NonFiniteCount {
            ref cell,
            ref gene,
            count,
        } = error
        else {
            panic!("{error}");
        };
        assert_eq!((cell.index, gene.index, count), (1, 2, 2));
        assert!(error.to_string().contains("remove or repair"), "{error}");
    }
}

pub fn row_03_a_negative_count_is_named() {
    let error = CountMatrix::from_dense(array![[1.0f32, 0.0], [2.0, -3.0]].view()).unwrap_err();
    let Error::NegativeCount {
        ref cell,
        ref gene,
        value,
    } = error
    else {
        panic!("{error}");
    };
    assert_eq!((cell.index, gene.index, value), (1, 1, -3.0));
    assert!(error.to_string().contains("raw counts"), "{error}");
    // Also one that a duplicate would hide.
    let hidden = CountMatrix::from_csr(1, 1, vec![0, 2], vec![0, 0], vec![-2.0, 5.0]);
    assert!(matches!(hidden, Err(Error::NegativeCount { .. })));
}

pub fn row_04_fractional_counts_need_permission() {
    let counts = named(array![[1.0, 2.5], [3.0, 0.5], [2.0, 2.0]]);
    let error = Preprocess::scdcc().fit(&counts).unwrap_err();
    let Error::FractionalCount {
        ref cell,
        ref gene,
        value,
        count,
    } = error
    else {
        panic!("{error}");
    };
    assert_eq!((cell.index, gene.index, value, count), (0, 1, 2.5, 2));
    let allowed = Preprocess::scdcc().with_allow_fractional(true);
    assert_eq!(allowed.fit(&counts).unwrap().cells(), 3);
}

pub fn row_05_a_cell_without_counts_is_dropped_or_refused() {
    let counts = named(array![[1.0, 2.0], [0.0, 0.0], [2.0, 2.0]]);
    let cells = Preprocess::scdcc().fit(&counts).unwrap();
    assert_eq!(cells.kept_cells(), [0, 2]);
    assert_eq!(cells.report().cells_with_few_counts, 1);
    assert!(cells.size_factors().iter().all(|&factor| factor > 0.0));
    let keeping = Preprocess::scdcc().with_min_counts_per_cell(0.0);
    let error = keeping.fit(&counts).unwrap_err();
    assert!(
        matches!(&error, Error::EmptyCell { cell, count: 1 } if cell.index == 1),
        "{error}"
    );
}

pub fn row_06_a_gene_without_counts_is_dropped() {
    let counts = named(array![[1.0, 0.0, 2.0], [3.0, 0.0, 1.0]]);
    let cells = Preprocess::scdcc().fit(&counts).unwrap();
    assert_eq!(cells.kept_genes(), [Some(0), Some(2)]);
    assert_eq!(cells.report().genes_with_few_counts, 1);
}

pub fn row_07_a_constant_gene_is_scaled_to_zero() {
    let counts = named(array![[5.0, 1.0, 9.0], [5.0, 4.0, 6.0], [5.0, 3.0, 7.0]]);
    for recipe in [
        Preprocess::scdcc(),
        Preprocess::scdcc_reference(),
        Preprocess::desc().with_variable_genes(None),
    ] {
        let input = recipe.fit(&counts).unwrap().to_dense_input().unwrap();
        assert!(input.iter().all(|value| value.is_finite()), "{input}");
        assert!(
            input.column(0).iter().all(|value| value.abs() < 1e-12),
            "{input}"
        );
    }
}

pub fn row_08_huge_counts_train() {
    // Totals that differ in a bit that f32 does not have.
    let big = 16_777_216.0;
    let counts = named(array![
        [big, big, big, 1.0],
        [big, big, big, 2.0],
        [1.0, 0.0, 2.0, 5.0]
    ]);
    assert_eq!(counts.cell_totals()[1] - counts.cell_totals()[0], 1.0);
    let dense = Array2::from_shape_fn((24, 8), |(cell, gene)| {
        if (cell + gene) % 3 == 0 {
            1e7 + cell as f32
        } else {
            (gene % 2) as f32
        }
    });
    let cells = Preprocess::scdcc().fit(&named(dense)).unwrap();
    let fit = fitted(&scdcc(3), &cells);
    assert!(fit.embedding().iter().all(|z| z.is_finite()));
    assert!(
        fit.history()
            .iter()
            .all(|record| record.total_loss().is_finite())
    );
    let denoised = fit.model().denoise(&cells).unwrap();
    assert!(denoised.iter().all(|value| value.is_finite()));
}
