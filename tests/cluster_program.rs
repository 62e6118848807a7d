//! The program `cluster` as its users run it: results, and mistakes that are explained in a line.
//!
//! `cargo test` builds examples beside the tests; alone, this test needs
//! `cargo build --example cluster` with the same features first.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use celldec::io::read_labels;

/// What a run printed, and how it ended.
struct Run {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

fn cluster(arguments: &[&str]) -> Run {
    let tests = std::env::current_exe().unwrap();
    let built = tests.parent().and_then(Path::parent).unwrap();
    let program = built
        .join("examples")
        .join(format!("cluster{}", std::env::consts::EXE_SUFFIX));
    assert!(
        program.is_file(),
        "{} is not there: build it with `cargo build --example cluster`",
        program.display()
    );
    let output = Command::new(program)
        .args(arguments)
        .env("RUST_BACKTRACE", "0")
        .output()
        .unwrap();
    Run {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

fn bundled() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/data/pbmc68k_700_10x")
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Runs on the bundled cells, with as little training as there can be.
fn quick(output: &Path, arguments: &[&str]) -> Run {
    let input = bundled();
    let mut all = vec![text(&input), "--output", text(output)];
    all.extend(["--pretraining-epochs", "2", "--max-epochs", "2"]);
    all.extend(arguments);
    let run = cluster(&all);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    run
}

/// The mistake is explained in one line, by a text that holds `expected`; nothing is left behind.
fn refused(arguments: &[&str], expected: &str) {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("output");
    let mut all = arguments.to_vec();
    all.extend(["--output", text(&output)]);
    let run = cluster(&all);
    assert!(
        matches!(run.code, Some(1 | 2)),
        "{arguments:?}: {:?}",
        run.code
    );
    let message = run.stderr.lines().next().unwrap_or_default();
    assert!(message.starts_with("error: "), "{arguments:?}: {message}");
    assert!(message.contains(expected), "{arguments:?}: {message}");
    assert!(!run.stderr.contains("panicked"), "{}", run.stderr);
    // What follows is the parser's: values that are possible, a hint at --help.
    assert!(
        run.stderr.lines().count() == 1 || run.stderr.contains("--help"),
        "{}",
        run.stderr
    );
    let left = fs::read_dir(&output).map_or(0, |files| files.count());
    assert_eq!(left, 0, "{arguments:?}");
}

fn file(folder: &tempfile::TempDir, name: &str, content: impl AsRef<[u8]>) -> String {
    let path = folder.path().join(name);
    fs::write(&path, content).unwrap();
    text(&path).to_string()
}

#[test]
fn help_is_there_in_short_and_in_long() {
    let short = cluster(&["-h"]);
    assert_eq!(short.code, Some(0));
    for heading in [
        "Method:",
        "New cells:",
        "Counts:",
        "Comparison:",
        "Output:",
        "Training:",
    ] {
        assert!(short.stdout.contains(heading), "{heading}");
    }
    let long = cluster(&["--help"]);
    assert!(long.stdout.contains("Examples:"));
    assert!(long.stdout.len() > short.stdout.len());
}

#[test]
fn wrong_inputs_are_explained() {
    let folder = tempfile::tempdir().unwrap();
    let empty = tempfile::tempdir().unwrap();
    refused(&["missing.csv"], "missing.csv: not found; check the path");
    refused(&[text(empty.path())], "the folder has no matrix file");
    let excel = file(&folder, "counts.xlsx", "x");
    refused(&[&excel], "cannot tell the format; supported are");
    let matrix = text(&bundled().join("matrix.mtx.gz")).to_string();
    refused(&[&matrix], "give the folder that holds the .mtx file");

    // Cell Ranger's folder, its matrix cut off.
    let truncated = tempfile::tempdir().unwrap();
    for name in ["features.tsv.gz", "barcodes.tsv.gz", "matrix.mtx.gz"] {
        let mut bytes = fs::read(bundled().join(name)).unwrap();
        if name == "matrix.mtx.gz" {
            bytes.truncate(20_000);
        }
        fs::write(truncated.path().join(name), bytes).unwrap();
    }
    refused(
        &[text(truncated.path())],
        "the compressed file is truncated",
    );
    // Two samples in one folder.
    for name in ["a_matrix.mtx.gz", "b_matrix.mtx.gz"] {
        fs::copy(bundled().join("matrix.mtx.gz"), empty.path().join(name)).unwrap();
    }
    refused(&[text(empty.path())], "choose one with --prefix: a_, b_");

    let table = |content: &str| file(&folder, "counts.csv", content);
    let normalised = table(",A,B\nc1,0.5,1\nc2,1,2\n");
    refused(
        &[&normalised],
        "pass raw counts (in AnnData often a layer or `raw`: --layer NAME, --raw)",
    );
    refused(&[&table(",A,B\nc1,-1,1\nc2,1,2\n")], "negative count -1");
    refused(&[&table(",A,B\nc1,x,1\nc2,1,2\n")], "is not a number");
    refused(&[&table(",A,B\nc1,0,0\nc2,0,0\n")], "--transposed");
}

#[test]
fn wrong_settings_are_explained() {
    let input = bundled();
    let input = text(&input);
    for (arguments, expected) in [
        (
            &["-k", "701"][..],
            "between 2 and the number of cells (700), got 701",
        ),
        (&["-k", "1"], "must be at least 2, got 1"),
        (&["-k", "-3"], "expected a whole number"),
        (
            &["--method", "desc", "-k", "1"],
            "must be at least 2, got 1",
        ),
        (&["-r", "0"], "positive finite numbers, got [0.0]"),
        (&["-r", "-1"], "positive finite numbers, got [-1.0]"),
        (&["-r", "0.3,0.5"], "use --method desc for several"),
        (&["-r", "0.3", "-k", "4"], "cannot be used with"),
        (&["--runs", "0"], "--runs must be at least 1"),
        (&["--batch-size", "0"], "the batch size must be at least 1"),
        (&["--device", "abacus"], "unknown device \"abacus\""),
        (&["--write", "xlsx"], "invalid value 'xlsx'"),
        (&["--layer", "counts"], "is a 10x folder; leave it out"),
        (&["--transposed"], "is a 10x folder; leave it out"),
        (
            &["--feature-type", "Peaks"],
            "to read another type use --feature-type",
        ),
        (&["--python-keys"], "--python-keys"),
        (
            &["--method", "desc", "--denoised"],
            "--denoised needs --method scdcc",
        ),
        (
            &["--method", "desc", "--constraints", "pairs.csv"],
            "--constraints needs --method scdcc",
        ),
        (&["--label-column", "type"], "name a CSV file with --labels"),
        (&["--labels", "none.csv"], "none.csv: not found"),
        (&["--model", "none"], "none: not found"),
        (
            &["--model", "none", "-k", "4"],
            "cannot be used with '--clusters",
        ),
        (&["--colour"], "unexpected argument '--colour'"),
    ] {
        let mut all = vec![input];
        all.extend(arguments);
        refused(&all, expected);
    }
    for (feature, built, option, value) in [
        ("h5ad", cfg!(feature = "h5ad"), "--write", "h5ad"),
        ("plot", cfg!(feature = "plot"), "--write", "report"),
        ("umap", cfg!(feature = "umap"), "--projection", "umap"),
    ] {
        if !built {
            let expected = format!("has not got the Cargo feature `{feature}`; build with");
            refused(&[input, option, value], &expected);
        }
    }

    let folder = tempfile::tempdir().unwrap();
    let blocked = file(&folder, "blocked", "");
    let run = cluster(&[input, "-k", "3", "--output", &blocked]);
    assert_eq!(run.code, Some(2));
    assert!(run.stderr.contains("no folder that can be written"));
}

#[test]
fn wrong_lists_of_cells_are_explained() {
    let input = bundled();
    let labels = text(&input.join("labels.csv")).to_string();
    let input = text(&input);
    refused(
        &[input, "--labels", &labels, "--label-column", "type"],
        "no column \"type\"; there are: cell_type",
    );
    let cells: Vec<String> = read_labels(&labels, None)
        .unwrap()
        .into_iter()
        .map(|(cell, _)| cell)
        .collect();
    let folder = tempfile::tempdir().unwrap();
    let batches = |of: &dyn Fn(usize, &str) -> String| {
        let lines: Vec<String> = cells
            .iter()
            .enumerate()
            .map(|(position, cell)| format!("{cell},{}\n", of(position, cell)))
            .collect();
        file(
            &folder,
            "batches.csv",
            format!("cell,batch\n{}", lines.concat()),
        )
    };
    let one = batches(&|_, _| "A".into());
    refused(&[input, "--batches", &one], "all cells are of one batch");
    let each = batches(&|_, cell| cell.into());
    refused(&[input, "--batches", &each], "these are no batches");
    let gap = batches(&|position, _| if position == 2 { "" } else { "A" }.into());
    refused(
        &[input, "--batches", &gap],
        "1 cells have no value in \"batch\", the first is cell 2",
    );
    let others = file(&folder, "others.csv", "cell,batch\nx,A\n");
    refused(
        &[input, "--batches", &others],
        "its first column holds names such as \"x\"",
    );

    let pairs = |content: String| file(&folder, "pairs.csv", content);
    let (first, second) = (&cells[0], &cells[1]);
    for (content, expected) in [
        (format!("{first},NOSUCH,must\n"), "no cell \"NOSUCH\""),
        (
            format!("a,b,kind\n{first},{second},maybe\n"),
            "line 2: the third field is \"maybe\"",
        ),
        (
            format!("{first},{second},must\n{second},{first},cannot\n"),
            "contradict the must pairs",
        ),
        (format!("{first};{second};must\n"), "expected three fields"),
    ] {
        let path = pairs(content);
        refused(&[input, "--constraints", &path], expected);
    }
}

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
    let run = cluster(&[
        text(&input),
        "--model",
        text(&model),
        "--output",
        text(&again),
    ]);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
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
    let run = cluster(&[
        text(&most),
        "--model",
        text(&model),
        "--output",
        text(&output),
        "--denoised",
    ]);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
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
        &[text(&few), "--model", text(&model)],
        "only 465 of the model's 765 genes",
    );
    refused(
        &[text(&most), "--model", &file(&folder, "model", "x")],
        "not a usable model",
    );
    refused(
        &[text(&most), "--model", text(&model), "--write", "report"],
        if cfg!(feature = "plot") {
            "leave report out of --write"
        } else {
            "build with"
        },
    );
}

#[cfg(feature = "h5ad")]
mod h5ad {
    use super::*;
    use celldec::io::{AnnotatedCounts, Annotation, H5adOptions, write_h5ad};

    fn annotated(folder: &Path) -> PathBuf {
        let counts = celldec::io::read_counts(bundled()).unwrap();
        let labels = read_labels(bundled().join("labels.csv"), None).unwrap();
        let types = labels.into_iter().map(|(_, label)| Some(label)).collect();
        let path = folder.join("cells.h5ad");
        let half = |cell| Some(if cell < 350 { "a" } else { "b" }.to_string());
        let data = AnnotatedCounts::new(counts)
            .with_annotation("cell_type", Annotation::Strings(types))
            .unwrap()
            .with_annotation("half", Annotation::Strings((0..700).map(half).collect()))
            .unwrap();
        write_h5ad(&path, &data).unwrap();
        path
    }

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
        let expected: Vec<Option<String>> =
            written.into_iter().map(|(_, label)| Some(label)).collect();
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
            let mut all = vec![text(&input), "--output", text(&output)];
            all.extend(["--method", "desc", "--resolution", "1,2.5"]);
            all.extend(["--pretraining-epochs", "2", "--max-epochs", "2"]);
            all.extend(["--write", "h5ad"]);
            all.extend(arguments);
            cluster(&all)
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
            let mut all = vec![text(&input), "--output", text(&output)];
            all.extend(more);
            let run = cluster(&all);
            assert_eq!(run.code, Some(0), "{}", run.stderr);
            let labels = read_labels(output.join("labels.csv"), Some("cluster")).unwrap();
            (run, output, labels)
        };
        let fit = [
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
        let new = [
            "--model",
            text(&model),
            "--batch-column",
            "half",
            "--on-disk",
        ];
        assert_eq!(run("new", &new).2, in_memory);
        refused(
            &[text(&bundled()), "--on-disk"],
            "--on-disk is for an .h5ad file",
        );
    }

    #[test]
    fn wrong_columns_and_matrices_are_explained() {
        let folder = tempfile::tempdir().unwrap();
        let input = annotated(folder.path());
        let input = text(&input);
        refused(
            &[input, "--label-column", "celltype"],
            "no column \"celltype\"; there are: cell_type",
        );
        refused(
            &[input, "--layer", "counts"],
            "choose one of: X (the default)",
        );
        refused(&[input, "--key", "a/b"], "cannot be a name there");
        refused(
            &[input, "--genome", "hg19"],
            "is an .h5ad file; leave it out",
        );
        let mut bytes = fs::read(input).unwrap();
        bytes.truncate(bytes.len() / 2);
        let truncated = file(&folder, "truncated.h5ad", bytes);
        refused(&[&truncated], "truncated");
        let renamed = file(&folder, "text.h5ad", "text");
        refused(&[&renamed], "not an HDF5 file");
        let genomes = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tenx");
        let genomes = genomes.join("two_genomes.h5");
        refused(&[text(&genomes)], "choose one with --genome");
        let missing = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/h5ad");
        let missing = missing.join("missing_x.h5ad");
        refused(&[text(&missing)], "choose one of: --layer \"counts\"");
    }
}

#[cfg(feature = "plot")]
#[test]
fn pictures_and_the_report_are_written() {
    let folder = tempfile::tempdir().unwrap();
    let labels = bundled().join("labels.csv");
    let run = quick(
        folder.path(),
        &[
            "-k",
            "4",
            "--projection",
            "pca",
            "--pictures",
            "svg",
            "--labels",
            text(&labels),
        ],
    );
    for name in [
        "pca_clusters.svg",
        "pca_confidence.svg",
        "pca_labels.svg",
        "clusters_and_labels.svg",
        "confidence.svg",
        "training.svg",
        "pca.csv",
    ] {
        assert!(folder.path().join(name).is_file(), "{name}");
        assert!(run.stdout.contains(name), "{name}");
    }
    // The figures on the screen are those of the report.
    let report = fs::read_to_string(folder.path().join("report.html")).unwrap();
    let line = run.stdout.lines().find(|line| line.contains("agreement"));
    let ari = line.unwrap().split_whitespace().nth(2).unwrap();
    assert!(
        report.contains(&format!("<td class=\"number\">{ari}</td>")),
        "{ari}"
    );
    assert!(report.contains("Agreement with label"));
}
