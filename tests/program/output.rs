//! What a run leaves alone, and what it says of the runs before.

use std::fs;
use std::path::Path;

use super::{annotated, bundled, celldec, quick, text};

const QUICK: [&str; 4] = ["--pretraining-epochs", "1", "--max-epochs", "1"];

#[test]
fn what_is_read_is_not_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let counts = folder.path().join("pbmc");
    fs::create_dir(&counts).unwrap();
    for entry in fs::read_dir(bundled()).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), counts.join(entry.file_name())).unwrap();
    }
    let cells = annotated(folder.path());
    let labels = folder.path().join("labels.csv");
    fs::copy(counts.join("labels.csv"), &labels).unwrap();
    let table = folder.path().join("embedding.csv");
    fs::write(&table, "cell,CD3D,CD3E\na,1,0\nb,0,2\nc,3,1\nd,0,1\n").unwrap();
    let pairs = folder.path().join("markers.csv");
    fs::write(&pairs, "a,b,must_link\n").unwrap();
    let batches = folder.path().join("history.csv");
    fs::write(&batches, "cell,batch\na,x\nb,y\nc,x\nd,y\n").unwrap();
    let read = [&cells, &labels, &table, &pairs, &batches].map(|path| (path, fs::read(path)));
    let input = bundled();
    for (arguments, output, expected) in [
        (vec![text(&counts)], &*counts, "is the folder that is read"),
        (vec![text(&cells)], folder.path(), "cells.h5ad is read"),
        (vec![text(&table)], folder.path(), "embedding.csv is read"),
        (
            vec![text(&input), "--labels", text(&labels)],
            folder.path(),
            "labels.csv is read",
        ),
        (
            vec![text(&input), "--batches", text(&batches)],
            folder.path(),
            "history.csv is read",
        ),
        (
            vec![text(&input), "--constraints", text(&pairs)],
            folder.path(),
            "markers.csv is read",
        ),
    ] {
        let output = ["--output", text(output)];
        let run = celldec(&[&["cluster"], &arguments[..], &output, &QUICK].concat());
        assert_eq!(run.code, Some(2), "{arguments:?}: {}", run.stderr);
        assert!(run.stderr.contains(expected), "{}", run.stderr);
        assert_eq!(run.stderr.lines().count(), 1, "{}", run.stderr);
    }
    for (path, before) in read {
        assert_eq!(fs::read(path).unwrap(), before.unwrap(), "{path:?}");
    }
    assert!(!counts.join("model.safetensors").exists());
}

/// A link of the folder to what is read leads there as well.
#[cfg(unix)]
#[test]
fn a_link_to_what_is_read_is_not_followed() {
    let folder = tempfile::tempdir().unwrap();
    let labels = folder.path().join("types.csv");
    fs::copy(bundled().join("labels.csv"), &labels).unwrap();
    let output = folder.path().join("output");
    fs::create_dir(&output).unwrap();
    std::os::unix::fs::symlink(&labels, output.join("labels.csv")).unwrap();
    let input = bundled();
    let run = celldec(&[
        "cluster",
        text(&input),
        "--labels",
        text(&labels),
        "--output",
        text(&output),
    ]);
    assert_eq!(run.code, Some(2), "{}", run.stderr);
    assert!(run.stderr.contains("types.csv is read"), "{}", run.stderr);
}

/// Names that a new .h5ad file will hold are as taken as those of a copied one.
#[test]
fn names_of_a_new_file_are_checked_before_training() {
    let folder = tempfile::tempdir().unwrap();
    let labels = fs::read_to_string(bundled().join("labels.csv")).unwrap();
    let column = |name: &str| {
        let path = folder.path().join("types.csv");
        fs::write(&path, labels.replacen("cell_type", name, 1)).unwrap();
        path
    };
    let input = bundled();
    for (name, more, expected) in [
        ("scdcc", &[][..], "scdcc"),
        ("cell_type", &["--key", "cell_type"], "cell_type"),
        ("_index", &[], "_index"),
        ("a/b", &[], "a/b"),
    ] {
        let (types, output) = (column(name), folder.path().join("output"));
        let paths = ["--labels", text(&types), "--output", text(&output)];
        let named = ["--label-column", name, "-k", "3"];
        let run = celldec(&[&["cluster", text(&input)], &paths[..], &named, more].concat());
        assert!(matches!(run.code, Some(1 | 2)), "{name}: {}", run.stdout);
        assert!(run.stderr.contains(expected), "{}", run.stderr);
        assert!(!run.stdout.contains("pretraining"), "{}", run.stdout);
        assert!(!output.join("cells.h5ad").exists(), "{name}");
    }
}

/// Two of 700 cells agree with anything.
#[test]
fn agreement_says_over_how_many_cells() {
    let folder = tempfile::tempdir().unwrap();
    let labels = fs::read_to_string(bundled().join("labels.csv")).unwrap();
    let few: Vec<&str> = labels.lines().take(3).collect();
    let table = folder.path().join("few.csv");
    fs::write(&table, few.join("\n")).unwrap();
    let output = folder.path().join("output");
    let of = |table: &Path| {
        let options = ["-k", "3", "--write", "csv", "--labels", text(table)];
        let run = quick(&output, &options).stdout;
        let line = run.lines().find(|line| line.contains("agreement"));
        line.unwrap_or_default().to_string()
    };
    assert!(of(&table).ends_with("over 2 of 700 cells"));
    assert!(!of(&bundled().join("labels.csv")).contains("over"));
}

#[test]
fn results_of_an_earlier_run_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let first = quick(folder.path(), &["-k", "3", "--runs", "2", "--denoised"]);
    assert!(!first.stdout.contains("earlier"), "{}", first.stdout);
    fs::write(folder.path().join("notes.csv"), "mine").unwrap();
    let again = quick(folder.path(), &["-k", "3", "--write", "csv"]);
    let note = again.stdout.lines().find(|line| line.contains("earlier"));
    let note = note.unwrap_or_else(|| panic!("{}", again.stdout));
    for name in [
        "cells.h5ad",
        "consensus.csv",
        "denoised.csv.gz",
        "report.html",
    ] {
        assert!(note.contains(name), "{note}");
    }
    for name in ["labels.csv", "model.safetensors", "notes.csv"] {
        assert!(!note.contains(name), "{note}");
    }
}
