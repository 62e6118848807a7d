//! Runs over a folder of small inputs as people have them, which the environment variable
//! `CELLDEC_CASES` names: 12 cells × 6 genes each, of one matrix.
#![cfg(feature = "h5ad")]

use std::path::PathBuf;

use celldec::io::{
    CellResults, H5adContents, H5adMatrix, H5adOptions, H5adResults, read_counts, read_h5ad,
    read_labelled_h5,
};
use celldec::prelude::*;

fn folder() -> Option<PathBuf> {
    let folder = std::env::var_os("CELLDEC_CASES").map(PathBuf::from);
    if folder.is_none() {
        println!("skipped: CELLDEC_CASES names no folder of inputs");
    }
    folder
}

#[test]
fn every_input_is_read_or_named() {
    let Some(folder) = folder() else { return };
    let base = read_counts(folder.join("base.h5ad")).unwrap();
    let mut failures = Vec::new();
    for name in [
        "anndata_0_6.h5ad",
        "anndata_0_7_categories.h5ad",
        "cells.h5ad.gz",
        "half_precision.h5ad",
        "scdcc_authors_format.h5",
        "x.loom",
        "zstd.h5ad",
    ] {
        match read_counts(folder.join(name)) {
            Err(error) => failures.push(error.to_string()),
            Ok(counts) if counts.to_dense() != base.to_dense() => {
                failures.push(format!("{name}: other counts"));
            }
            Ok(_) => {}
        }
    }
    let zarr = read_counts(folder.join("x.zarr")).unwrap_err().to_string();
    if !zarr.contains("Zarr") || !zarr.contains("read_zarr") {
        failures.push(zarr);
    }
    let labelled = read_labelled_h5(folder.join("scdcc_authors_format.h5")).unwrap();
    assert!(labelled.cell_annotations.get("Y").is_some());
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn results_are_added_to_every_input() {
    let Some(folder) = folder() else { return };
    let output = tempfile::tempdir().unwrap();
    for name in [
        "anndata_0_6.h5ad",
        "anndata_0_7_categories.h5ad",
        "base.h5ad",
        "cells.h5ad.gz",
        "counts_in_layer.h5ad",
        "ensembl_names.h5ad",
        "half_precision.h5ad",
        "zstd.h5ad",
    ] {
        let (input, output) = (folder.join(name), output.path().join("out.h5ad"));
        let results = H5adResults::new().with("found", CellResults::new(vec![1; 12]));
        results.check_writing(&input, &output).unwrap();
        results.write(&input, &output).unwrap();
        let (before, after) = (read_h5ad(&input).unwrap(), read_h5ad(&output).unwrap());
        assert_eq!(before.counts, after.counts, "{name}");
        let types = before.cell_annotations.get("cell_type");
        assert_eq!(after.cell_annotations.get("cell_type"), types, "{name}");
        assert!(after.cell_annotations.get("found").is_some(), "{name}");
    }
}

#[test]
fn counts_and_names_are_found() {
    let Some(folder) = folder() else { return };
    let contents = H5adContents::of(folder.join("counts_in_layer.h5ad")).unwrap();
    assert_eq!(contents.counts(), Some(&H5adMatrix::Layer("counts".into())));
    let base = read_counts(folder.join("base.h5ad")).unwrap();
    let preprocessing = Preprocess::scdcc()
        .fit(&base)
        .unwrap()
        .preprocessing()
        .clone();
    let data = H5adOptions::new()
        .with_gene_names_like(base.gene_names())
        .read(folder.join("ensembl_names.h5ad"))
        .unwrap();
    let cells = preprocessing.transform(&data.counts).unwrap();
    assert!(cells.report().missing_genes.is_empty());
}
