//! Highly variable genes of the worm neurons (4186 cells, 13 488 genes) against scanpy.
//!
//! Needs the feature `h5ad` and the environment variable CELLDEC_DATA: the folder that holds
//! `worm_neuron_full.h5ad`.
#![cfg(feature = "h5ad")]

use std::collections::HashSet;
use std::path::Path;

use celldec::counts::CountMatrix;
use celldec::preprocess::{Preprocess, TargetSum, VariableGenes};
use celldec::preprocess::{seurat_scores, seurat_v3_scores, top_genes};

use crate::fixtures::Fixture;

fn worm_neurons() -> Option<CountMatrix> {
    let Some(folder) = std::env::var_os("CELLDEC_DATA") else {
        println!("skipped: CELLDEC_DATA, the folder of worm_neuron_full.h5ad, is not set");
        return None;
    };
    let path = Path::new(&folder).join("worm_neuron_full.h5ad");
    let data = celldec::io::read_h5ad(&path).unwrap_or_else(|error| panic!("{error}"));
    Some(data.counts)
}

fn assert_close(what: &str, found: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let mut largest = 0.0f64;
    for (gene, (a, b)) in found.iter().zip(expected).enumerate() {
        assert_eq!(a.is_nan(), b.is_nan(), "{what}[{gene}]: {a} against {b}");
        if !a.is_nan() {
            largest = largest.max((a - b).abs());
        }
    }
    println!("{what}: largest difference {largest:.1e}");
    assert!(largest <= tolerance, "{what}: {largest}");
}

#[test]
fn seurat_chooses_exactly_the_genes_of_scanpy() {
    let Some(counts) = worm_neurons() else { return };
    let fixture = Fixture::open("e_hvg_worm_full");
    for (key, target) in [
        ("seurat_1e4", TargetSum::Fixed(1e4)),
        ("seurat_median", TargetSum::Median),
    ] {
        let scores = seurat_scores(&counts, target).unwrap();
        for (column, found) in [
            ("means", &scores.means),
            ("dispersions", &scores.dispersions),
            ("dispersions_norm", &scores.normalized_dispersions),
        ] {
            let name = format!("{key}_all_{column}");
            assert_close(&name, found, &fixture.values(&name), 1e-12);
        }
        assert_eq!(
            top_genes(&scores.normalized_dispersions, 2000),
            fixture.indices(&format!("{key}_top2000_idx"))
        );

        let cells = Preprocess::desc_reference()
            .with_target_sum(target)
            .fit(&counts)
            .unwrap();
        let kept: Vec<usize> = cells.kept_genes().iter().flatten().copied().collect();
        assert_eq!(kept, fixture.indices(&format!("{key}_selected_mask_idx")));
    }
}

#[test]
fn seurat_v3_chooses_the_genes_of_scanpy() {
    let Some(counts) = worm_neurons() else { return };
    let fixture = Fixture::open("e_hvg_worm_full");
    let prefix = "v3_worm_min3cells";
    let genes = fixture.indices(&format!("{prefix}_gene_idx_in_file"));
    let scores = seurat_v3_scores(&counts.select_genes(&genes).unwrap()).unwrap();
    for (column, found, tolerance) in [
        ("mean", &scores.means, 1e-12),
        ("var", &scores.variances, 1e-11),
        ("variances_norm", &scores.standardized_variances, 1e-10),
    ] {
        let name = format!("{prefix}_{column}");
        assert_close(&name, found, &fixture.values(&name), tolerance);
    }
    // The stored trend was fitted to means that rounding had split (2598 distinct ones where the
    // sums of counts have 918), which moves the cut points of its k-d tree a little.
    let name = format!("{prefix}_loess_log10var");
    let trend = fixture.values(&name);
    assert_close(&name, &scores.expected_log_variances, &trend, 1e-3);

    let cells = Preprocess::desc_reference()
        .with_min_cells_per_gene(3)
        .with_variable_genes(VariableGenes::seurat_v3(2000))
        .fit(&counts)
        .unwrap();
    let kept: HashSet<usize> = cells.kept_genes().iter().flatten().copied().collect();
    let expected = fixture.indices(&format!("{prefix}_selected_idx_in_file"));
    let common = expected.iter().filter(|gene| kept.contains(gene)).count();
    println!("{common} of {} genes in common", expected.len());
    assert_eq!((common, kept.len()), (2000, 2000));
}

#[test]
fn seurat_v3_works_where_scanpy_stops() {
    let Some(counts) = worm_neurons() else { return };
    let scores = seurat_v3_scores(&counts).unwrap();
    let finite = |values: &[f64]| values.iter().all(|value| value.is_finite());
    assert!(finite(&scores.expected_log_variances));
    assert!(finite(&scores.standardized_variances));
}
