//! What the steps do.

use burn::tensor::Device;
use ndarray::array;

use super::super::*;
use super::{bits, named, recipes, simulated};
use crate::counts::CountMatrix;
use crate::error::Error;
use crate::tensors::tensor_to_array;

#[test]
fn all_genes_are_kept_when_fewer_than_asked() {
    let cells = Preprocess::desc_reference()
        .fit(&simulated(20, 10, 4))
        .unwrap();
    assert_eq!(cells.genes(), 10);
    assert_eq!(cells.report().genes_not_variable, 0);
}

#[test]
fn size_factors_count_all_genes_and_are_relative_to_the_median() {
    let counts = simulated(40, 12, 5);
    let all = Preprocess::scdcc_reference().fit(&counts).unwrap();
    let some = Preprocess::desc_reference()
        .with_variable_genes(VariableGenes::seurat(6))
        .fit(&counts)
        .unwrap();
    assert_eq!(some.genes(), 6);
    assert_eq!(some.size_factors(), all.size_factors());
    assert_eq!(some.preprocessing().target_total(), 1e4);
    assert_eq!(some.preprocessing().total_genes().len(), 12);
}

#[test]
fn scaling_without_centre_leaves_zeros_alone() {
    let counts = simulated(30, 8, 7);
    let cells = Preprocess::scdcc_reference()
        .with_scaling(Scaling::z_score().with_center(false))
        .fit(&counts)
        .unwrap();
    let input = cells.to_dense_input().unwrap();
    for ((cell, gene), &count) in cells.counts().unwrap().to_dense().indexed_iter() {
        assert_eq!(input[[cell, gene]] == 0.0, count == 0.0);
    }
}

#[test]
fn batches_have_their_own_scale() {
    let counts = simulated(60, 8, 8);
    let labels: Vec<&str> = (0..60).map(|i| ["b", "a", "c"][i % 3]).collect();
    let cells = Preprocess::scdcc_reference()
        .fit_with_batches(&counts, &labels)
        .unwrap();
    assert_eq!(cells.batch_names(), ["a", "b", "c"]);
    assert_eq!(&cells.batches().unwrap()[..4], [1, 0, 2, 1]);
    let input = cells.to_dense_input().unwrap();
    for batch in 0..3 {
        for gene in 0..8 {
            let values: Vec<f64> = (0..60)
                .filter(|&cell| cells.batches().unwrap()[cell] == batch)
                .map(|cell| f64::from(input[[cell, gene]]))
                .collect();
            let mean = values.iter().sum::<f64>() / 20.0;
            let squares: f64 = values.iter().map(|v| v * v).sum();
            assert!(mean.abs() < 1e-6, "{mean}");
            assert!((squares - 19.0).abs() < 1e-4, "{squares}");
        }
    }

    let fitted = cells.preprocessing();
    let again = fitted.transform_with_batches(&counts, &labels).unwrap();
    assert_eq!(bits(&again), bits(&cells));
    // A batch that was not seen is scaled by all cells, as if no batch were given.
    let unknown = fitted
        .transform_with_batches(&counts, &vec!["new"; 60])
        .unwrap();
    let plain = fitted.transform(&counts).unwrap();
    assert_eq!(bits(&unknown), bits(&plain));
    assert_eq!(
        bits(&plain),
        bits(&Preprocess::scdcc_reference().fit(&counts).unwrap())
    );

    let error = Preprocess::scdcc_reference()
        .fit_with_batches(&counts, &labels[1..])
        .unwrap_err();
    assert!(
        matches!(
            error,
            Error::LengthMismatch {
                expected: 60,
                found: 59,
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn sparse_input_is_the_dense_one() {
    let counts = simulated(60, 8, 8);
    let labels: Vec<&str> = (0..60).map(|i| ["b", "a", "c"][i % 3]).collect();
    let settings = Preprocess::scdcc_reference();
    for cells in [
        settings.fit(&counts).unwrap(),
        settings.fit_with_batches(&counts, &labels).unwrap(),
    ] {
        // Two batches of the three.
        let rows = [4, 0, 7, 31];
        let sparse = cells.sparse_input(&rows).unwrap();
        assert_eq!([sparse.cells(), sparse.genes()], [4, 8]);
        #[cfg(feature = "flex")]
        assert_eq!(sparse.count_bases(), cells.batch_names().len().clamp(1, 2));
        let found = tensor_to_array(sparse.to_tensor(&Device::default()));
        let dense = cells.to_dense_input().unwrap();
        for (row, found) in rows.into_iter().zip(found.rows()) {
            for (found, expected) in found.iter().zip(dense.row(row)) {
                assert!((found - expected).abs() < 1e-6, "{found} {expected}");
            }
        }
    }
}

#[test]
fn batches_follow_dropped_cells() {
    let counts = named(array![[1.0, 2.0], [0.0, 0.0], [2.0, 2.0], [5.0, 1.0]]);
    let cells = Preprocess::scdcc_reference()
        .fit_with_batches(&counts, &[7, 1, 7, 9])
        .unwrap();
    assert_eq!(cells.batch_names(), ["7", "9"]);
    assert_eq!(cells.batches().unwrap(), [0, 0, 1]);
    // Alone in its batch: no variance, and not NaN.
    let input = cells.to_dense_input().unwrap();
    assert!(input.row(2).iter().all(|&value| value == 0.0));
}

#[test]
fn stored_preprocessing_gives_the_same_bits() {
    let counts = simulated(50, 20, 9);
    let labels: Vec<usize> = (0..50).map(|i| i % 2).collect();
    for settings in recipes() {
        let cells = settings.fit_with_batches(&counts, &labels).unwrap();
        let text = serde_json::to_string(cells.preprocessing()).unwrap();
        let read: FittedPreprocess = serde_json::from_str(&text).unwrap();
        assert_eq!(&read, cells.preprocessing());
        let again = read.transform_with_batches(&counts, &labels).unwrap();
        assert_eq!(again.fingerprint().unwrap(), cells.fingerprint().unwrap());
    }
}

#[test]
fn contradictory_stored_preprocessing_is_refused() {
    let cells = Preprocess::scdcc_reference()
        .fit(&simulated(20, 4, 10))
        .unwrap();
    let stored = serde_json::to_value(cells.preprocessing()).unwrap();
    let refused = |change: &dyn Fn(&mut serde_json::Value)| {
        let mut changed = stored.clone();
        change(&mut changed);
        serde_json::from_value::<FittedPreprocess>(changed).is_err()
    };
    assert!(!refused(&|_| {}));
    assert!(refused(&|v| v["selected"] = serde_json::json!([0, 1, 2, 9])));
    assert!(refused(&|v| v["selected"] = serde_json::json!([])));
    assert!(refused(&|v| v["overall"]["mean"] = serde_json::json!([1])));
    assert!(refused(
        &|v| v["median_total"] = serde_json::json!(f64::NAN.to_bits())
    ));
    assert!(refused(
        &|v| v["settings"]["min_counts_per_cell"] = serde_json::json!(-1.0)
    ));
}

#[test]
fn the_fingerprint_tells_data_and_settings_apart() {
    let counts = simulated(20, 6, 11);
    let print = |settings: Preprocess, counts: &CountMatrix| {
        settings.fit(counts).unwrap().fingerprint().unwrap()
    };
    let base = print(Preprocess::scdcc_reference(), &counts);
    assert_eq!(base, print(Preprocess::scdcc_reference(), &counts.clone()));
    // Has no effect on these cells, but is another setting.
    assert_ne!(
        base,
        print(
            Preprocess::scdcc_reference().with_min_genes_per_cell(1),
            &counts
        )
    );
    let mut dense = counts.to_dense();
    dense[[3, 2]] += 1.0;
    assert_ne!(base, print(Preprocess::scdcc_reference(), &named(dense)));
    let cell_names = (0..20).map(|i| format!("other{i}")).collect();
    let renamed = counts
        .clone()
        .with_names(cell_names, counts.gene_names().to_vec())
        .unwrap();
    assert_ne!(base, print(Preprocess::scdcc_reference(), &renamed));
    let labelled = Preprocess::scdcc_reference()
        .fit_with_batches(&counts, &[0; 20])
        .unwrap();
    assert_ne!(base, labelled.fingerprint().unwrap());
}

// Fault 37.
#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    // More cells than fit into one block, so that partial sums are really combined.
    let counts = simulated(1500, 30, 12);
    let labels: Vec<usize> = (0..1500).map(|i| i % 2).collect();
    for settings in recipes() {
        let runs: Vec<Cells> = [1, 2, 8]
            .into_iter()
            .map(|threads| {
                rayon::ThreadPoolBuilder::new()
                    .num_threads(threads)
                    .build()
                    .unwrap()
                    .install(|| settings.fit_with_batches(&counts, &labels).unwrap())
            })
            .collect();
        assert_eq!(runs[0], runs[1]);
        assert_eq!(runs[0], runs[2]);
    }
}
