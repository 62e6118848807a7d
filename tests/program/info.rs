//! What is in a file.

use std::path::Path;

use celldec::io::{AnnotatedCounts, write_h5ad};

use super::{annotated, bundled, file, quick, refused, succeeds, text};

fn info(arguments: &[&str]) -> String {
    succeeds(&[&["info"], arguments].concat()).stdout
}

fn fixture(name: &str) -> String {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    text(&fixtures.join(name)).to_string()
}

fn holds(text: &str, expected: &[&str]) {
    for expected in expected {
        assert!(text.contains(expected), "{expected}: {text}");
    }
}

#[test]
fn counts_are_described() {
    let folder = tempfile::tempdir().unwrap();
    holds(
        &info(&[text(&bundled())]),
        &[
            "a 10x folder",
            "700 cells × 765 genes",
            "whole numbers up to",
            "genes         ",
        ],
    );
    let table = file(&folder, "estimates.csv", ",A,B\nc1,0.5,1\nc2,0,2\n");
    holds(
        &info(&[&table]),
        &[
            "a table",
            "2 cells × 2 genes, 3 values not zero (75.0 %), not whole numbers, such as 0.5",
        ],
    );
    holds(&info(&[&table, "--transposed"]), &["genes         c1, c2"]);
    holds(&info(&[&fixture("tenx/version_3.h5")]), &["a 10x .h5 file"]);
    let genomes = fixture("tenx/two_genomes.h5");
    refused(&["info", &genomes], "choose one with --genome");
}

#[test]
fn annotated_files_are_described() {
    let folder = tempfile::tempdir().unwrap();
    let input = annotated(folder.path());
    let described = info(&[text(&input)]);
    holds(
        &described,
        &[
            "an .h5ad file",
            "X                          700 cells × 765 genes",
            "cell_type ",
            "2 different",
        ],
    );
    assert!(!described.contains("read with"), "{described}");
    // X is missing, a layer holds counts.
    holds(
        &info(&[&fixture("h5ad/missing_x.h5ad")]),
        &["layer counts", "read with --layer counts"],
    );
    holds(
        &info(&[&fixture("h5ad/matrices.h5ad")]),
        &["layer ", "raw "],
    );
    refused(
        &["info", text(&input), "--layer", "counts"],
        "choose one of: X (the default)",
    );
}

#[test]
fn models_and_checkpoints_are_described() {
    let folder = tempfile::tempdir().unwrap();
    let (scdcc, desc) = (folder.path().join("scdcc"), folder.path().join("desc"));
    let checkpoint = folder.path().join("fit.checkpoint");
    quick(
        &scdcc,
        &[
            "-k",
            "3",
            "--write",
            "csv",
            "--seed",
            "5",
            "--checkpoint",
            text(&checkpoint),
        ],
    );
    let version = format!("celldec {}", env!("CARGO_PKG_VERSION"));
    holds(
        &info(&[text(&scdcc.join("model.safetensors"))]),
        &[
            &format!("a model of the method scdcc, fitted by {version} with seed 5"),
            "clusters      3",
            "genes         765: ",
            "encoder       765 → ",
            "decoder       ",
            "similarity    StudentT",
            "settings",
            "self_training.max_epochs ",
        ],
    );
    holds(
        &info(&[text(&checkpoint)]),
        &[
            &format!("a checkpoint of {version}"),
            "seed          5",
            "finished, 2 epochs",
            "settings",
        ],
    );
    quick(&desc, &["--method", "desc", "-k", "3", "--write", "csv"]);
    let model = desc.join("model.safetensors");
    holds(
        &info(&[text(&model)]),
        &["method desc", "decoder       none"],
    );
    refused(
        &["info", text(&model), "--layer", "counts"],
        "options about counts do not apply to",
    );
}

#[test]
fn mistakes_are_explained() {
    let folder = tempfile::tempdir().unwrap();
    let empty = tempfile::tempdir().unwrap();
    let excel = file(&folder, "counts.xlsx", "x");
    let foreign = file(&folder, "weights.safetensors", b"\x02\0\0\0\0\0\0\0{}");
    let truncated = file(&folder, "text.h5ad", "text");
    let negative = file(&folder, "scaled.csv", ",A,B\nc1,-1,1\nc2,1,2\n");
    let bundled = bundled();
    for (arguments, expected) in [
        (&["none"][..], "none: not found; check the path"),
        (&[], "required arguments were not provided"),
        (&[&excel], "cannot tell the format; supported are"),
        (&[text(empty.path())], "the folder has no matrix file"),
        (&[&foreign], "neither a model nor a checkpoint of celldec"),
        (&[&truncated], "not an HDF5 file"),
        (&[&negative], "negative count -1"),
        (&[text(&bundled), "--raw"], "--raw is for an .h5ad file"),
    ] {
        refused(&[&["info"], arguments].concat(), expected);
    }
}

/// A matrix that holds no counts does not hide the others.
#[test]
fn scaled_values_are_told_from_counts() {
    let folder = tempfile::tempdir().unwrap();
    let counts =
        celldec::counts::CountMatrix::from_dense(ndarray::array![[0.5, 2.0], [1.0, 0.0]].view())
            .unwrap();
    let path = folder.path().join("cells.h5ad");
    let data = AnnotatedCounts::new(counts)
        .with_embedding("X_pca", ndarray::array![[0.1], [0.2]])
        .unwrap();
    write_h5ad(&path, &data).unwrap();
    holds(
        &info(&[text(&path)]),
        &[
            "not whole numbers, such as 0.5: no raw counts",
            "embeddings    X_pca",
        ],
    );
}
