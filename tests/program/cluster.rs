//! Clusters of the bundled cells.

use std::fs;

use super::{bundled, celldec, quick, succeeds, text};

#[test]
fn help_is_there_in_short_and_in_long() {
    let short = succeeds(&["cluster", "-h"]);
    for heading in [
        "Method:",
        "Counts:",
        "Comparison:",
        "Output:",
        "Training:",
        "Computing:",
        "Global:",
    ] {
        assert!(short.stdout.contains(heading), "{heading}");
    }
    let long = succeeds(&["cluster", "--help"]);
    assert!(long.stdout.contains("Examples:"));
    assert!(long.stdout.len() > short.stdout.len());

    let all = succeeds(&["--help"]).stdout;
    for task in ["cluster", "map", "compare", "info"] {
        assert!(all.contains(&format!("\n  {task}")), "{all}");
        assert_eq!(succeeds(&[task, "--help"]).stderr, "");
    }
    let version = succeeds(&["--version"]).stdout;
    assert_eq!(
        version.trim(),
        format!("celldec {}", env!("CARGO_PKG_VERSION"))
    );
    // Without a subcommand there is nothing to do, and help.
    let nothing = celldec(&[]);
    assert_eq!(nothing.code, Some(2));
    assert!(
        nothing.stderr.contains("Usage: celldec"),
        "{}",
        nothing.stderr
    );
}

/// Threads and words on the screen change nothing in the files.
#[test]
fn global_options_change_no_result() {
    let folder = tempfile::tempdir().unwrap();
    let run = |name: &str, more: &[&str]| {
        let output = folder.path().join(name);
        let run = quick(&output, &[&["-k", "3", "--write", "csv"], more].concat());
        (run, fs::read(output.join("embedding.csv")).unwrap())
    };
    let (_, expected) = run("plain", &[]);
    let (quiet, embedding) = run("quiet", &["--quiet", "--threads", "1"]);
    assert_eq!((quiet.stdout.as_str(), quiet.stderr.as_str()), ("", ""));
    assert_eq!(embedding, expected);
    let (verbose, embedding) = run("verbose", &["--verbose", "--threads", "2"]);
    assert!(verbose.stderr.contains("INFO"), "{}", verbose.stderr);
    assert_eq!(embedding, expected);
}

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
