//! Results in .h5ad files.

use std::fs;
use std::path::Path;

use celldec::io::{H5adOptions, read_labels};

use super::{annotated, bundled, celldec, file, quick, refused, succeeds, text};

fn columns(path: &Path) -> Vec<String> {
    let data = H5adOptions::new().read(path).unwrap();
    data.cell_annotations.names().map(String::from).collect()
}

#[test]
fn a_new_file_holds_cells_and_results() {
    let folder = tempfile::tempdir().unwrap();
    let labels = bundled().join("labels.csv");
    quick(
        folder.path(),
        &["-k", "4", "--runs", "2", "--labels", text(&labels)],
    );
    let path = folder.path().join("cells.h5ad");
    let data = H5adOptions::new()
        .with_embeddings(["X_scdcc"])
        .read(&path)
        .unwrap();
    let written = read_labels(folder.path().join("labels.csv"), Some("cluster")).unwrap();
    let found = data.cell_annotations.get("scdcc").unwrap().labels();
    let expected: Vec<Option<String>> = written.into_iter().map(|(_, label)| Some(label)).collect();
    assert_eq!(found, expected);
    assert_eq!(data.embedding("X_scdcc").unwrap().dim(), (700, 32));
    for column in ["label", "scdcc_confidence", "scdcc_consensus"] {
        assert!(data.cell_annotations.get(column).is_some(), "{column}");
    }
}

#[test]
fn resolutions_lie_in_one_copy_and_names_are_respected() {
    let folder = tempfile::tempdir().unwrap();
    let input = annotated(folder.path());
    let output = folder.path().join("output");
    let run = |arguments: &[&str]| {
        let mut all = vec!["cluster", text(&input), "--output", text(&output)];
        all.extend(["--method", "desc", "--resolution", "1,2.5"]);
        all.extend(["--pretraining-epochs", "2", "--max-epochs", "2"]);
        all.extend(["--write", "h5ad"]);
        all.extend(arguments);
        celldec(&all)
    };
    let copied = run(&["--label-column", "cell_type"]);
    assert_eq!(copied.code, Some(0), "{}", copied.stderr);
    assert_eq!(
        columns(&output.join("cells.h5ad")),
        [
            "cell_type",
            "half",
            "desc_1",
            "desc_1_confidence",
            "desc_2.5",
            "desc_2.5_confidence"
        ]
    );
    assert_eq!(columns(&input), ["cell_type", "half"]);

    let in_place = run(&["--python-keys", "--in-place"]);
    assert_eq!(in_place.code, Some(0), "{}", in_place.stderr);
    let there = columns(&input);
    assert!(there.contains(&"desc_1.0".to_string()), "{there:?}");
    let again = run(&["--python-keys", "--in-place"]);
    assert_eq!(again.code, Some(1));
    assert!(
        again.stderr.contains("there is already a \"desc_1.0\""),
        "{}",
        again.stderr
    );
    assert!(again.stderr.contains("--overwrite"), "{}", again.stderr);
    // Refused before training.
    assert!(!again.stdout.contains("pretraining"), "{}", again.stdout);
    assert_eq!(
        run(&["--python-keys", "--in-place", "--overwrite"]).code,
        Some(0)
    );
    assert_eq!(columns(&input), there);
}

#[test]
fn counts_on_disk_give_the_same_clusters_and_new_cells() {
    let folder = tempfile::tempdir().unwrap();
    let input = annotated(folder.path());
    let run = |name: &str, more: &[&str]| {
        let output = folder.path().join(name);
        let run = succeeds(&[more, &[text(&input), "--output", text(&output)]].concat());
        let labels = read_labels(output.join("labels.csv"), Some("cluster")).unwrap();
        (run, output, labels)
    };
    let fit = [
        "cluster",
        "-k",
        "4",
        "--pretraining-epochs",
        "2",
        "--max-epochs",
        "2",
        "--batch-column",
        "half",
    ];
    let (_, _, in_memory) = run("memory", &fit);
    let (on_disk, output, labels) = run("disk", &[&fit[..], &["--on-disk"]].concat());
    assert_eq!(labels, in_memory);
    assert!(
        on_disk.stdout.contains("marker genes need"),
        "{}",
        on_disk.stdout
    );
    assert!(output.join("cells.h5ad").is_file() && !output.join("markers.csv").exists());
    let model = output.join("model.safetensors");
    let new = ["map", text(&model), "--batch-column", "half", "--on-disk"];
    assert_eq!(run("new", &new).2, in_memory);
    refused(
        &["cluster", text(&bundled()), "--on-disk"],
        "--on-disk is for an .h5ad file",
    );
}

#[test]
fn wrong_columns_and_matrices_are_explained() {
    let folder = tempfile::tempdir().unwrap();
    let input = annotated(folder.path());
    let input = text(&input);
    refused(
        &["cluster", input, "--label-column", "celltype"],
        "no column \"celltype\"; there are: cell_type",
    );
    refused(
        &["cluster", input, "--layer", "counts"],
        "choose one of: X (the default)",
    );
    refused(
        &["cluster", input, "--key", "a/b"],
        "cannot be a name there",
    );
    refused(
        &["cluster", input, "--genome", "hg19"],
        "is an .h5ad file; leave it out",
    );
    let mut bytes = fs::read(input).unwrap();
    bytes.truncate(bytes.len() / 2);
    let truncated = file(&folder, "truncated.h5ad", bytes);
    refused(&["cluster", &truncated], "truncated");
    let renamed = file(&folder, "text.h5ad", "text");
    refused(&["cluster", &renamed], "not an HDF5 file");
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let genomes = fixtures.join("tenx/two_genomes.h5");
    refused(&["cluster", text(&genomes)], "choose one with --genome");
    let matrices = fixtures.join("h5ad/matrices.h5ad");
    refused(
        &["cluster", text(&matrices), "--layer", "csc", "--on-disk"],
        "or leave --on-disk out",
    );
    let missing = fixtures.join("h5ad/missing_x.h5ad");
    refused(
        &["cluster", text(&missing)],
        "choose one of: --layer \"counts\"",
    );
}
