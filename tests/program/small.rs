//! Few cells, cells that are alike, no training: results, or refusals in the program's own words.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::{celldec, file, text};

/// A table of cells in two groups, which express different halves of 24 genes.
fn table(cells: usize) -> String {
    let genes: Vec<String> = (1..=24).map(|gene| format!("gene{gene}")).collect();
    let mut table = format!("cell,{}\n", genes.join(","));
    for cell in 0..cells {
        let counts: Vec<String> = (0..24)
            .map(|gene| {
                let of_group = (cell % 2 == 0) == (gene < 12);
                let noise = (cell * 7 + gene * 5 + cell * gene) % 4;
                (if of_group { 20 + 5 * noise } else { noise }).to_string()
            })
            .collect();
        table += &format!("cell{cell},{}\n", counts.join(","));
    }
    table
}

/// The cluster of every cell.
fn labels(output: &Path) -> Vec<String> {
    let text = fs::read_to_string(output.join("labels.csv")).unwrap();
    text.lines()
        .skip(1)
        .map(|line| line.split(',').nth(1).unwrap().to_string())
        .collect()
}

const METHODS: &[&[&str]] = &[
    &[],
    &["-k", "2"],
    &["-r", "0.5"],
    &["-m", "desc"],
    &["-m", "desc", "-k", "2"],
    &["-m", "desc", "-r", "0.5"],
];

#[test]
fn few_cells_are_clustered_or_refused_in_the_programs_words() {
    let folder = tempfile::tempdir().unwrap();
    for cells in [1, 2, 3, 4, 6, 12, 20] {
        let input = file(&folder, "counts.csv", table(cells));
        for method in METHODS {
            let output = folder.path().join("output");
            let mut arguments = vec!["cluster", input.as_str(), "--output", text(&output)];
            arguments.extend(["--pretraining-epochs", "2", "--max-epochs", "2"]);
            arguments.extend(*method);
            let run = celldec(&arguments);
            let what = format!("{cells} cells, {method:?}: {} {}", run.stdout, run.stderr);
            match run.code {
                Some(0) => assert_eq!(labels(&output).len(), cells, "{what}"),
                Some(1 | 2) => {
                    assert!(run.stderr.contains("error: "), "{what}");
                    assert!(!run.stderr.contains("::"), "{what}");
                    assert!(!run.stderr.contains("neighbor"), "{what}");
                }
                _ => panic!("{what}"),
            }
            // From here on there is something to find, and it is found.
            if cells >= 6 {
                assert_eq!(run.code, Some(0), "{what}");
                let labels = labels(&output);
                let groups = [0, 1].map(|group| {
                    labels
                        .iter()
                        .skip(group)
                        .step_by(2)
                        .collect::<BTreeSet<_>>()
                });
                assert!(groups[0].is_disjoint(&groups[1]), "{what}: {labels:?}");
            }
            if cells == 12 {
                assert!(run.stdout.contains("there are only 12 cells"), "{what}");
            }
            if output.exists() {
                fs::remove_dir_all(&output).unwrap();
            }
        }
    }
}

#[test]
fn cells_that_are_all_alike_are_one_cluster() {
    let folder = tempfile::tempdir().unwrap();
    let line = table(1)
        .lines()
        .nth(1)
        .unwrap()
        .split_once(',')
        .unwrap()
        .1
        .to_string();
    let header = table(0);
    let alike: String = (0..80).map(|cell| format!("cell{cell},{line}\n")).collect();
    let input = file(&folder, "counts.csv", format!("{header}{alike}"));
    for method in [&[][..], &["-m", "desc"], &["-m", "desc", "-r", "0.5"]] {
        let output = folder.path().join("output");
        let mut arguments = vec!["cluster", input.as_str(), "--output", text(&output)];
        arguments.extend(["--pretraining-epochs", "2", "--max-epochs", "2"]);
        arguments.extend(method);
        let run = celldec(&arguments);
        assert_eq!(run.code, Some(0), "{method:?}: {}", run.stderr);
        let found: BTreeSet<String> = labels(&output).into_iter().collect();
        assert_eq!(found.len(), 1, "{method:?}: {found:?}");
        assert!(
            run.stdout.contains("every cell is in one cluster"),
            "{}",
            run.stdout
        );
    }
}

#[test]
fn nothing_is_lost_without_training() {
    let folder = tempfile::tempdir().unwrap();
    let input = file(&folder, "counts.csv", table(40));
    for method in METHODS {
        let output = folder.path().join("output");
        let mut arguments = vec!["cluster", input.as_str(), "--output", text(&output)];
        arguments.extend(["--pretraining-epochs", "0", "--max-epochs", "0"]);
        arguments.extend(*method);
        let run = celldec(&arguments);
        assert_eq!(run.code, Some(0), "{method:?}: {}", run.stderr);
        assert_eq!(labels(&output).len(), 40);
        assert!(output.join("cells.h5ad").exists());
        assert!(output.join("report.html").exists());
        fs::remove_dir_all(&output).unwrap();
    }
}
