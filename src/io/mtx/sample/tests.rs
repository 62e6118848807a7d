use super::*;

fn folder_with(files: &[&str]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for file in files {
        let path = folder.path().join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, b"x").unwrap();
    }
    folder
}

/// The matrix, genes and cells that are found, by their paths in the folder.
fn located(files: &[&str], choice: Choice<'_>) -> Result<[String; 3]> {
    let folder = folder_with(files);
    let sample = Sample::locate(folder.path(), choice)?;
    Ok([sample.matrix, sample.genes, sample.cells].map(|path| {
        let below = path.strip_prefix(folder.path()).unwrap();
        below.display().to_string()
    }))
}

fn prefix(prefix: &str) -> Choice<'_> {
    Choice {
        prefix: Some(prefix),
        matrix: None,
    }
}

fn matrix(name: &str) -> Choice<'_> {
    Choice {
        prefix: None,
        matrix: Some(name),
    }
}

#[test]
fn files_of_many_programs_are_found() {
    let any = Choice::default();
    for (files, choice, expected) in [
        (
            &["matrix.mtx", "genes.tsv", "barcodes.tsv"][..],
            any,
            ["matrix.mtx", "genes.tsv", "barcodes.tsv"],
        ),
        // Both generations of Cell Ranger, compressed and plain.
        (
            &[
                "matrix.mtx",
                "matrix.mtx.gz",
                "genes.tsv",
                "features.tsv.gz",
                "barcodes.tsv",
            ],
            any,
            ["matrix.mtx.gz", "features.tsv.gz", "barcodes.tsv"],
        ),
        // A save beside an older one.
        (
            &[
                "matrix.mtx",
                "matrix.mtx.gz",
                "features.tsv",
                "features.tsv.gz",
                "barcodes.tsv",
                "barcodes.tsv.gz",
            ],
            any,
            ["matrix.mtx.gz", "features.tsv.gz", "barcodes.tsv.gz"],
        ),
        (
            &[
                "matrix.mtx.gz",
                "features.tsv",
                "genes.tsv.gz",
                "barcodes.tsv",
                "barcodes.tsv.gz",
            ],
            any,
            ["matrix.mtx.gz", "genes.tsv.gz", "barcodes.tsv.gz"],
        ),
        (
            &[
                "matrix.mtx",
                "features.tsv.gz",
                "genes.tsv",
                "barcodes.tsv",
                "barcodes.tsv.gz",
            ],
            any,
            ["matrix.mtx", "genes.tsv", "barcodes.tsv"],
        ),
        (
            &[
                "a_matrix.MTX.GZ",
                "a_features.tsv",
                "a_features.tsv.GZ",
                "features.tsv.gz",
                "a_barcodes.tsv",
                "barcodes.tsv.gz",
            ],
            any,
            ["a_matrix.MTX.GZ", "a_features.tsv.GZ", "a_barcodes.tsv"],
        ),
        // GEO: the sample before, or after, the fixed name.
        (
            &[
                "GSM1_matrix.mtx.gz",
                "GSM1_genes.tsv.gz",
                "GSM1_barcodes.tsv.gz",
            ],
            any,
            [
                "GSM1_matrix.mtx.gz",
                "GSM1_genes.tsv.gz",
                "GSM1_barcodes.tsv.gz",
            ],
        ),
        (
            &[
                "matrix_a.mtx",
                "matrix_b.mtx",
                "features_a.tsv",
                "features_b.tsv",
                "barcodes_a.tsv",
                "barcodes_b.tsv",
            ],
            prefix("b"),
            ["matrix_b.mtx", "features_b.tsv", "barcodes_b.tsv"],
        ),
        (
            &[
                "a_matrix.mtx",
                "b_matrix.mtx",
                "features.tsv",
                "a_barcodes.tsv",
                "b_barcodes.tsv",
            ],
            prefix("b_"),
            ["b_matrix.mtx", "features.tsv", "b_barcodes.tsv"],
        ),
        // Parse, kallisto|bustools, alevin-fry.
        (
            &["DGE.mtx", "all_genes.csv", "cell_metadata.csv"],
            any,
            ["DGE.mtx", "all_genes.csv", "cell_metadata.csv"],
        ),
        (
            &[
                "cells_x_genes.mtx",
                "cells_x_genes.genes.txt",
                "cells_x_genes.barcodes.txt",
            ],
            any,
            [
                "cells_x_genes.mtx",
                "cells_x_genes.genes.txt",
                "cells_x_genes.barcodes.txt",
            ],
        ),
        (
            &[
                "spliced.mtx",
                "spliced.genes.txt",
                "spliced.barcodes.txt",
                "unspliced.mtx",
                "unspliced.genes.txt",
                "unspliced.barcodes.txt",
            ],
            matrix("unspliced"),
            [
                "unspliced.mtx",
                "unspliced.genes.txt",
                "unspliced.barcodes.txt",
            ],
        ),
        (
            &[
                "quants_mat.mtx",
                "quants_mat_cols.txt",
                "quants_mat_rows.txt",
            ],
            any,
            [
                "quants_mat.mtx",
                "quants_mat_cols.txt",
                "quants_mat_rows.txt",
            ],
        ),
        // STARsolo.
        (
            &[
                "spliced.mtx",
                "unspliced.mtx",
                "ambiguous.mtx",
                "features.tsv",
                "barcodes.tsv",
            ],
            matrix("spliced.mtx"),
            ["spliced.mtx", "features.tsv", "barcodes.tsv"],
        ),
        (
            &[
                "matrix.mtx",
                "UniqueAndMult-EM.mtx",
                "features.tsv",
                "barcodes.tsv",
            ],
            any,
            ["matrix.mtx", "features.tsv", "barcodes.tsv"],
        ),
        (
            &[
                "E-1.counts.mtx.gz",
                "E-1.counts.mtx_rows.gz",
                "E-1.counts.mtx_cols.gz",
            ],
            any,
            [
                "E-1.counts.mtx.gz",
                "E-1.counts.mtx_rows.gz",
                "E-1.counts.mtx_cols.gz",
            ],
        ),
        // Names that begin alike are those of different samples.
        (
            &[
                "GSM1_genes.tsv",
                "GSM1_barcodes.tsv",
                "GSM1_matrix.mtx",
                "GSM10_matrix.mtx",
                "GSM10_genes.tsv",
                "GSM10_barcodes.tsv",
            ],
            prefix("GSM10_"),
            ["GSM10_matrix.mtx", "GSM10_genes.tsv", "GSM10_barcodes.tsv"],
        ),
        // What a Mac leaves.
        (
            &[
                "._a_matrix.mtx",
                "a_matrix.mtx",
                "a_genes.tsv",
                "a_barcodes.tsv",
                "._a_genes.tsv",
            ],
            any,
            ["a_matrix.mtx", "a_genes.tsv", "a_barcodes.tsv"],
        ),
        (
            &["counts.mtx", "genes.txt", "cells.txt"],
            any,
            ["counts.mtx", "genes.txt", "cells.txt"],
        ),
    ] {
        assert_eq!(located(files, choice).unwrap(), expected, "{files:?}");
    }
}

#[test]
fn symbols_are_compressed_as_the_matrix_is() {
    let folder = folder_with(&[
        "cells_x_genes.mtx.gz",
        "cells_x_genes.genes.txt.gz",
        "cells_x_genes.genes.names.txt",
        "cells_x_genes.genes.names.txt.gz",
        "cells_x_genes.barcodes.txt.gz",
    ]);
    let sample = Sample::locate(folder.path(), Choice::default()).unwrap();
    let symbols = folder.path().join("cells_x_genes.genes.names.txt.gz");
    assert_eq!(sample.symbols, Some(symbols));
}

#[test]
fn folders_of_runs_are_searched() {
    let sample = |folder: &str| -> Vec<String> {
        ["matrix.mtx.gz", "features.tsv.gz", "barcodes.tsv.gz"]
            .map(|file| format!("{folder}/{file}"))
            .to_vec()
    };
    for (folders, expected) in [
        (&["hg19"][..], "hg19"),
        (
            &[
                "outs/filtered_feature_bc_matrix",
                "outs/raw_feature_bc_matrix",
            ],
            "outs/filtered_feature_bc_matrix",
        ),
        (
            &[
                "filtered_gene_bc_matrices/hg19",
                "raw_gene_bc_matrices/hg19",
            ],
            "filtered_gene_bc_matrices/hg19",
        ),
        (
            &[
                "outs/per_sample_outs/a/count/sample_filtered_feature_bc_matrix",
                "outs/multi/count/raw_feature_bc_matrix",
                "SC_MULTI_CS/x",
            ],
            "outs/per_sample_outs/a/count/sample_filtered_feature_bc_matrix",
        ),
        (&["Gene/filtered", "Gene/raw"], "Gene/filtered"),
    ] {
        let files: Vec<String> = folders.iter().flat_map(|folder| sample(folder)).collect();
        let files: Vec<&str> = files.iter().map(String::as_str).collect();
        let [matrix, ..] = located(&files, Choice::default()).unwrap();
        assert_eq!(matrix, format!("{expected}/matrix.mtx.gz"));
    }
    let several = ["a", "b"]
        .map(|name| format!("outs/per_sample_outs/{name}/count/sample_filtered_feature_bc_matrix"));
    let files: Vec<String> = several.iter().flat_map(|folder| sample(folder)).collect();
    let files: Vec<&str> = files.iter().map(String::as_str).collect();
    let message = located(&files, Choice::default()).unwrap_err().to_string();
    assert!(message.contains("give one of: "), "{message}");
    assert!(message.contains(&several[1]), "{message}");
}

#[test]
fn several_samples_and_matrices_are_named() {
    for (files, expected) in [
        (
            &["a_matrix.mtx", "b_matrix.mtx"][..],
            "choose one with `MtxOptions::with_prefix`: a_, b_",
        ),
        (
            &["matrix_a.mtx", "matrix_b.mtx"],
            "choose one with `MtxOptions::with_prefix`: _a, _b",
        ),
        (
            &["spliced.mtx", "unspliced.mtx", "ambiguous.mtx.gz"],
            "choose one with `MtxOptions::with_matrix`: ambiguous, spliced, unspliced",
        ),
        (&["notes.md"], "the folder has no matrix file"),
        (&["notes.md"], "it holds notes.md"),
        (&["cells.h5"], "give such a file by its own name"),
        (&["matrix.mtx"], "no features file beside matrix.mtx"),
        (
            &["matrix.mtx", "genes.tsv"],
            "expected one of barcodes.tsv.gz",
        ),
    ] {
        let message = located(files, Choice::default()).unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
    }
    let many: Vec<String> = (0..500)
        .map(|sample| format!("s{sample}_matrix.mtx"))
        .collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let message = located(&many, Choice::default()).unwrap_err().to_string();
    assert!(message.contains("and 480 more"), "{message}");
    assert!(matches!(
        Sample::locate(Path::new("/nowhere/at/all"), Choice::default()),
        Err(Error::Io { .. })
    ));
}
