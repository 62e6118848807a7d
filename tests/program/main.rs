//! The program as its users run it: results, and mistakes that are explained in a line.

mod cluster;
mod compare;
mod h5ad;
mod info;
mod map;
mod mistakes;
mod output;
mod small;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use celldec::io::{AnnotatedCounts, Annotation, read_labels, write_h5ad};

/// What a run printed, and how it ended.
struct Run {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

fn celldec(arguments: &[&str]) -> Run {
    let output = Command::new(env!("CARGO_BIN_EXE_celldec"))
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

/// A run that must succeed.
fn succeeds(arguments: &[&str]) -> Run {
    let run = celldec(arguments);
    assert_eq!(run.code, Some(0), "{arguments:?}: {}", run.stderr);
    run
}

fn bundled() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/data/pbmc68k_700_10x")
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Clusters the bundled cells, with as little training as there can be.
fn quick(output: &Path, arguments: &[&str]) -> Run {
    let input = bundled();
    let mut all = vec!["cluster", text(&input), "--output", text(output)];
    all.extend(["--pretraining-epochs", "2", "--max-epochs", "2"]);
    all.extend(arguments);
    succeeds(&all)
}

/// The mistake is explained in one line, by a text that holds `expected`; nothing is left behind.
fn refused(arguments: &[&str], expected: &str) {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("output");
    let mut all = arguments.to_vec();
    if ["cluster", "map"].contains(&arguments[0]) {
        all.extend(["--output", text(&output)]);
    }
    let run = celldec(&all);
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
    assert!(run.stderr.lines().count() <= 10, "{}", run.stderr);
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

/// The bundled cells as an .h5ad file with their types and a column of halves.
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
