//! New cells in the clusters of a saved model.

use std::fs;

use celldec::io::read_labels;

use super::{annotated, bundled, celldec, file, quick, refused, succeeds, text};

/// The files say the same, and a model puts its own cells where they were.
#[test]
fn a_run_and_its_model_agree() {
    let folder = tempfile::tempdir().unwrap();
    let (first, again) = (folder.path().join("first"), folder.path().join("again"));
    let labels = bundled().join("labels.csv");
    let run = quick(
        &first,
        &["-k", "6", "--labels", text(&labels), "--denoised"],
    );
    assert!(run.stdout.contains("700 cells × 765 genes of a 10x folder"));
    assert!(run.stdout.contains("agreement     ARI"));
    let model = first.join("model.safetensors");
    let input = bundled();
    let run = succeeds(&["map", text(&model), text(&input), "--output", text(&again)]);
    assert!(run.stdout.contains("765 of the model's 765 genes"));
    for name in ["labels.csv", "embedding.csv", "soft_assignments.csv"] {
        let [one, other] = [&first, &again].map(|folder| fs::read(folder.join(name)).unwrap());
        assert!(!one.is_empty() && one == other, "{name}");
    }
    assert!(first.join("denoised.csv.gz").is_file() && first.join("markers.csv").is_file());
}

/// Missing genes are filled and listed, and too many of them refused.
#[test]
fn new_cells_need_most_of_the_genes() {
    let folder = tempfile::tempdir().unwrap();
    let fit = folder.path().join("fit");
    quick(&fit, &["-k", "3", "--write", "csv"]);
    let model = fit.join("model.safetensors");
    let counts = celldec::io::read_counts(bundled()).unwrap();
    let cells: Vec<usize> = (0..50).collect();
    let with_genes = |first: usize, name: &str| {
        let genes: Vec<usize> = (first..counts.genes()).collect();
        let part = counts.select_cells(&cells).unwrap();
        let part = part.select_genes(&genes).unwrap();
        let path = folder.path().join(name);
        celldec::io::write_10x_mtx(&path, &part).unwrap();
        path
    };
    let most = with_genes(65, "most");
    let output = folder.path().join("new");
    let run = succeeds(&[
        "map",
        text(&model),
        text(&most),
        "--output",
        text(&output),
        "--denoised",
    ]);
    assert!(
        run.stdout
            .contains("50 new cells (0 left out), 700 of the model's 765 genes"),
        "{}",
        run.stdout
    );
    let missing = fs::read_to_string(output.join("missing_genes.csv")).unwrap();
    let expected: Vec<&str> = counts.gene_names()[..65]
        .iter()
        .map(String::as_str)
        .collect();
    assert_eq!(missing.lines().skip(1).collect::<Vec<_>>(), expected);
    assert_eq!(
        read_labels(output.join("labels.csv"), Some("confidence"))
            .unwrap()
            .len(),
        50
    );
    let few = with_genes(300, "few");
    refused(
        &["map", text(&model), text(&few)],
        "only 465 of the model's 765 genes",
    );
    refused(
        &["map", &file(&folder, "model", "x"), text(&most)],
        "not a usable model",
    );
    refused(
        &["map", text(&model), text(&most), "--write", "report"],
        "leave report out of --write",
    );
}

/// What map has no option for is an option of the fit.
#[test]
fn estimated_counts_are_for_models_that_accept_them() {
    let folder = tempfile::tempdir().unwrap();
    let fit = folder.path().join("fit");
    quick(&fit, &["-k", "3", "--write", "csv"]);
    let counts = celldec::io::read_counts(bundled()).unwrap();
    let halves = counts.to_dense() * 0.5;
    let halves = celldec::counts::CountMatrix::from_dense(halves.view()).unwrap();
    let names = (counts.cell_names().to_vec(), counts.gene_names().to_vec());
    let halves = halves.with_names(names.0, names.1).unwrap();
    let path = folder.path().join("halves");
    celldec::io::write_10x_mtx(&path, &halves).unwrap();
    refused(
        &["map", text(&fit.join("model.safetensors")), text(&path)],
        "--allow-fractional of `celldec cluster`, which its models keep",
    );
}

#[test]
fn wrong_settings_are_explained() {
    let folder = tempfile::tempdir().unwrap();
    let input = bundled();
    let input = text(&input);
    for (arguments, expected) in [
        (&["none", input][..], "none: not found; check the path"),
        (&["none", input, "-k", "4"], "unexpected argument '-k'"),
        (&["none"], "required arguments were not provided"),
        (&["none", input, "--python-keys"], "unexpected argument"),
        (
            &["none", input, "--device", "abacus"],
            "unknown device \"abacus\"",
        ),
        (
            &["none", input, "--device", "cpu,cpu"],
            "map computes on one device, got --device cpu,cpu",
        ),
        (
            &["none", input, "--write", "csv", "--key", "a"],
            "--key is about the .h5ad file; add h5ad to --write",
        ),
    ] {
        refused(&[&["map"], arguments].concat(), expected);
    }
    let fit = folder.path().join("fit");
    let desc = ["--method", "desc", "-k", "3", "--write", "csv"];
    quick(&fit, &desc);
    let model = fit.join("model.safetensors");
    let model = text(&model);
    refused(&["map", model, "nothing"], "nothing: not found");
    refused(&["map", model, input, "--denoised"], "has no decoder");
    refused(
        &["map", model, input, "--layer", "a"],
        "--layer is for an .h5ad file",
    );
    let cells = celldec::io::read_counts(bundled()).unwrap();
    let lines = cells.cell_names().iter().enumerate();
    let lines: Vec<String> = lines
        .map(|(position, cell)| format!("{cell},{}\n", position % 2))
        .collect();
    let batches = file(
        &folder,
        "batches.csv",
        format!("cell,batch\n{}", lines.concat()),
    );
    refused(
        &["map", model, input, "--batches", &batches],
        "fitted without batches; leave --batch-column and --batches out",
    );
}

/// Results of several models lie side by side in the file of the cells.
#[test]
fn results_are_added_to_the_input() {
    let folder = tempfile::tempdir().unwrap();
    let fit = folder.path().join("fit");
    quick(&fit, &["-k", "3", "--write", "csv"]);
    let model = fit.join("model.safetensors");
    let input = annotated(folder.path());
    let output = folder.path().join("new");
    let arguments = [
        "map",
        text(&model),
        text(&input),
        "--output",
        text(&output),
        "--in-place",
        "--key",
        "atlas",
        "--label-column",
        "cell_type",
        "--projection",
        "pca",
    ];
    let run = succeeds(&arguments);
    assert!(
        run.stdout.contains("cells of type in cluster"),
        "{}",
        run.stdout
    );
    for name in ["labels.csv", "pca_clusters.png", "pca_labels.png"] {
        assert!(output.join(name).is_file(), "{name}");
    }
    let written = celldec::io::read_h5ad(&input).unwrap().cell_annotations;
    let labels = read_labels(output.join("labels.csv"), Some("cluster")).unwrap();
    let labels: Vec<Option<String>> = labels.into_iter().map(|(_, label)| Some(label)).collect();
    assert_eq!(written.get("atlas").unwrap().labels(), labels);
    let again = celldec(&arguments);
    assert_eq!(again.code, Some(1));
    assert!(again.stderr.contains("--overwrite"), "{}", again.stderr);
}
