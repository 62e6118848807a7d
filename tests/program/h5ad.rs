//! Results in .h5ad files.

use std::fs;
use std::path::Path;

use celldec::io::{AnnotatedCounts, H5adOptions, read_labels, write_h5ad};
use celldec::prelude::{CountMatrix, SimulationConfig};

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
fn types_of_features_are_chosen_where_there_are_some() {
    let folder = tempfile::tempdir().unwrap();
    let input = annotated(folder.path());
    refused(
        &["cluster", text(&input), "--feature-type", "Peaks"],
        "/var: has no column \"feature_types\"; leave the type of features out",
    );
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
    let (_, of_memory, in_memory) = run("memory", &fit);
    let (_, output, labels) = run("disk", &[&fit[..], &["--on-disk"]].concat());
    assert_eq!(labels, in_memory);
    assert!(output.join("cells.h5ad").is_file());
    let markers = |output: &Path| std::fs::read_to_string(output.join("markers.csv")).unwrap();
    assert_eq!(markers(&output), markers(&of_memory));
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

fn container(name: &str) -> String {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/containers");
    text(&fixtures.join(name)).to_string()
}

#[test]
fn the_option_that_reads_counts_is_named() {
    refused(
        &["cluster", &container("counts_in_layer.h5ad"), "-k", "2"],
        "counts are in layers/counts: --layer counts",
    );
    refused(
        &["cluster", &container("counts_in_raw.h5ad"), "-k", "2"],
        "counts are in raw: --raw",
    );
    let lognorm = ["--layer", "lognorm", "-k", "2"];
    refused(
        &[
            &["cluster", &container("counts_in_layer.h5ad")][..],
            &lognorm,
        ]
        .concat(),
        "layers/lognorm holds no counts",
    );
    refused(
        &["cluster", &container("seurat.h5seurat")],
        "SeuratDisk::Convert",
    );
    refused(&["cluster", &container("blosc.h5ad")], "Blosc");
}

/// As little as can be learned from 12 cells.
fn quick_of(input: &str, output: &Path, arguments: &[&str]) -> super::Run {
    let mut all = vec!["cluster", input, "--output", text(output), "-k", "2"];
    all.extend(["--pretraining-epochs", "1", "--max-epochs", "1"]);
    all.extend(["--write", "csv,h5ad"]);
    all.extend(arguments);
    succeeds(&all)
}

#[test]
fn other_containers_are_clustered_and_compared() {
    let folder = tempfile::tempdir().unwrap();
    for (name, column) in [
        ("cells.loom", "ClusterName"),
        ("labelled.h5", "Y"),
        ("cells.h5mu", "cell_type"),
        ("cells.h5ad.gz", "cell_type"),
        ("anndata_0_6.h5ad", "cell_type"),
    ] {
        let output = folder.path().join(name);
        let input = container(name);
        let run = quick_of(&input, &output, &["--label-column", column]);
        assert!(run.stdout.contains("agreement"), "{name}: {}", run.stdout);
        let written = if name == "cells.h5mu" {
            name
        } else {
            "cells.h5ad"
        };
        let written = text(&output.join(written)).to_string();
        let same = format!("{written}:scdcc");
        let labels = format!("{}:cluster", text(&output.join("labels.csv")));
        let run = succeeds(&["compare", &labels, &same, &format!("{input}:{column}")]);
        assert!(run.stdout.contains("12"), "{name}: {}", run.stdout);
    }
    let labels = succeeds(&["info", &container("labelled.h5")]).stdout;
    assert!(labels.contains("2 different whole numbers"), "{labels}");
}

/// The model knows symbols, the file identifiers and symbols.
#[test]
fn genes_are_found_by_another_column() {
    let folder = tempfile::tempdir().unwrap();
    quick_of(&container("cells.loom"), folder.path(), &[]);
    let model = folder.path().join("model.safetensors");
    let output = folder.path().join("new");
    let input = container("counts_in_raw.h5ad");
    let map = [
        "map",
        text(&model),
        &input,
        "--raw",
        "--output",
        text(&output),
    ];
    let run = succeeds(&[&map[..], &["--write", "csv"]].concat());
    assert!(
        run.stdout.contains("6 of the model's 6 genes"),
        "{}",
        run.stdout
    );
    let named = ["--write", "csv", "--gene-column", "feature_name"];
    succeeds(&[&map[..], &named].concat());
    refused(
        &[&map[..4], &["--gene-column", "symbol"]].concat(),
        "no column \"symbol\"; there are: feature_name",
    );
}

/// A layer has genes as X has them, so those of a column's names go beside it.
#[test]
fn denoised_genes_of_a_column_are_written() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("fit");
    let input = container("identifiers.h5ad");
    let denoised = ["--denoised", "--write", "csv,h5ad"];
    let by_name = ["--gene-column", "feature_name", "--denoised"];
    quick_of(&input, &output, &by_name);
    let read = |output: &Path| {
        H5adOptions::new()
            .with_embeddings(["scdcc_denoised"])
            .read(output.join("cells.h5ad"))
    };
    let data = read(&output).unwrap();
    assert_eq!(data.embedding("scdcc_denoised").unwrap().dim(), (12, 6));
    // The same names are found for new cells without the option.
    let model = output.join("model.safetensors");
    let new = folder.path().join("new");
    let map = ["map", text(&model), &input, "--output", text(&new)];
    succeeds(&[&map[..], &denoised[..]].concat());
    let data = read(&new).unwrap();
    assert_eq!(data.embedding("scdcc_denoised").unwrap().dim(), (12, 6));
    // By the names of X, they are a layer.
    let output = folder.path().join("layer");
    quick_of(&input, &output, &["--denoised"]);
    let layer = H5adOptions::new().with_layer("scdcc_denoised");
    let layer = layer.read(output.join("cells.h5ad")).unwrap();
    assert_eq!(layer.counts.genes(), 6);
    // A name that is taken is known before training.
    let taken = text(&new.join("cells.h5ad")).to_string();
    let again = celldec(&["cluster", &taken, "--denoised", "--output", text(&output)]);
    assert_eq!(again.code, Some(1), "{}", again.stdout);
    assert!(!again.stdout.contains("pretraining"), "{}", again.stdout);
}

#[test]
fn without_training_there_are_results() {
    let folder = tempfile::tempdir().unwrap();
    let none = ["--pretraining-epochs", "0", "--max-epochs", "0", "-k", "3"];
    let input = bundled();
    let cluster = ["cluster", text(&input), "--output", text(folder.path())];
    succeeds(&[&cluster[..], &none].concat());
    for name in [
        "labels.csv",
        "cells.h5ad",
        "report.html",
        "model.safetensors",
    ] {
        assert!(folder.path().join(name).is_file(), "{name}");
    }
}

/// What is protected is refused before training, and nothing is written.
#[test]
fn protected_files_are_named_before_training() {
    for name in ["cells.h5ad", "labels.csv"] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        fs::write(&path, "old").unwrap();
        let mut permissions = fs::metadata(&path).unwrap().permissions();
        permissions.set_readonly(true);
        fs::set_permissions(&path, permissions).unwrap();
        let input = bundled();
        let run = celldec(&["cluster", text(&input), "--output", text(folder.path())]);
        assert_eq!(run.code, Some(1), "{}", run.stderr);
        assert!(run.stderr.contains("read-only"), "{}", run.stderr);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}

/// Files may not grow as far as the .h5ad file would: its results are tables.
#[cfg(unix)]
#[test]
fn results_that_do_not_fit_into_the_file_become_tables() {
    let folder = tempfile::tempdir().unwrap();
    let input = annotated(folder.path());
    let output = folder.path().join("output");
    let run = std::process::Command::new("bash")
        .args(["-c", "trap '' XFSZ; ulimit -f \"$0\"; exec \"$@\""])
        .arg((fs::metadata(&input).unwrap().len() / 1024).to_string())
        .arg(env!("CARGO_BIN_EXE_celldec"))
        .args(["cluster", text(&input), "--output", text(&output)])
        .args(["-k", "3", "--write", "h5ad"])
        .args(["--pretraining-epochs", "1", "--max-epochs", "1"])
        .output();
    let Ok(run) = run else {
        println!("skipped: needs bash to limit the size of files");
        return;
    };
    let message = String::from_utf8_lossy(&run.stderr);
    assert_eq!(run.status.code(), Some(1), "{message}");
    for word in [
        "cells.h5ad: not written: ",
        "the results are in ",
        "labels.csv",
    ] {
        assert!(message.contains(word), "{message}");
    }
    let labels = read_labels(output.join("labels.csv"), Some("cluster")).unwrap();
    assert_eq!(labels.len(), 700);
    assert!(!output.join("cells.h5ad").exists());
}

/// Fractional values may be estimated counts, and are clustered if that is said; normalised ones are told.
#[test]
fn normalised_values_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let simulated = SimulationConfig::new(40, 30)
        .with_seed(1)
        .simulate()
        .unwrap();
    let counts = simulated.counts.to_dense();
    let estimated = counts.mapv(|count| 0.9 * count);
    let mut normalised = counts.clone();
    for mut cell in normalised.rows_mut() {
        let total = cell.sum();
        cell.mapv_inplace(|count| 1e4 * count / total);
    }
    let logarithmic = normalised.mapv(f32::ln_1p);
    for (values, told) in [
        (estimated, None),
        (
            normalised,
            Some("the values of all cells have the same total, 10000"),
        ),
        (
            logarithmic,
            Some("the exponentials of the values, less one,"),
        ),
    ] {
        let path = folder.path().join("values.h5ad");
        let matrix = CountMatrix::from_dense(values.view()).unwrap();
        write_h5ad(&path, &AnnotatedCounts::new(matrix)).unwrap();
        let output = folder.path().join("output");
        let run = celldec(&[
            "cluster",
            text(&path),
            "--allow-fractional",
            "--output",
            text(&output),
            "-k",
            "2",
            "--write",
            "csv",
            "--pretraining-epochs",
            "1",
            "--max-epochs",
            "1",
        ]);
        assert_eq!(run.code, Some(0), "{}", run.stderr);
        match told {
            Some(told) => assert!(run.stderr.contains(told), "{}", run.stderr),
            None => assert!(!run.stderr.contains("same total"), "{}", run.stderr),
        }
    }
}
