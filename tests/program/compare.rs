//! Labels against labels.

use super::{annotated, bundled, file, refused, succeeds, text};

#[test]
fn labels_are_matched_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let first = file(
        &folder,
        "first.csv",
        "cell,type\na,T\nb,T\nc,B\nd,B\ne,NK\nf,\n",
    );
    let second = file(
        &folder,
        "second.tsv",
        "cell\tcluster\tsure\nf\t2\t1\nd\t10\t1\nc\t10\t1\nb\t2\t1\na\t2\t0\nx\t2\t0\n",
    );
    let run = succeeds(&["compare", &first, &format!("{second}:cluster")]);
    for expected in [
        "5 in common, 1 only in the first, 1 only in the second",
        "1 of them, which lack a label",
        "labels        2 and 2",
        "adjusted Rand index                  1.000",
        "normalized mutual information        1.000",
        "accuracy, labels matched one to one  1.000",
    ] {
        assert!(run.stdout.contains(expected), "{expected}: {}", run.stdout);
    }
    // Clusters in the order of their numbers.
    let table: Vec<Vec<&str>> = run
        .stdout
        .lines()
        .skip_while(|line| !line.contains("by the second"))
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert!(table[0].ends_with(&["2", "10"]), "{table:?}");
    assert_eq!(table[1..], [vec!["B", "·", "2"], vec!["T", "2", "·"]]);
    assert_eq!(run.stderr, "");
}

#[test]
fn figures_are_those_of_the_library() {
    let folder = tempfile::tempdir().unwrap();
    let input = annotated(folder.path());
    let labels = bundled().join("labels.csv");
    let run = succeeds(&[
        "compare",
        &format!("{}:cell_type", text(&input)),
        text(&labels),
        &format!("{}:half", text(&input)),
        "--quiet",
    ]);
    let known = celldec::io::read_labels(&labels, None).unwrap();
    let (types, _) =
        celldec::metrics::encode_labels(&known.iter().map(|(_, label)| label).collect::<Vec<_>>());
    let halves: Vec<usize> = (0..700).map(|cell| cell / 350).collect();
    let ari = celldec::metrics::adjusted_rand_index(&types, &halves).unwrap();
    let accuracy = celldec::metrics::clustering_accuracy(&types, &halves).unwrap();
    let figures: Vec<&str> = run
        .stdout
        .lines()
        .filter(|line| line.contains("Rand index") || line.contains("accuracy"))
        .filter_map(|line| line.split_whitespace().last())
        .collect();
    let expected = [
        "1.000",
        "1.000",
        &format!("{ari:.3}"),
        &format!("{accuracy:.3}"),
    ];
    assert_eq!(figures, expected, "{}", run.stdout);
    assert_eq!(run.stdout.matches("700 in common").count(), 2);
}

#[test]
fn wide_tables_become_lists() {
    let folder = tempfile::tempdir().unwrap();
    let lines = |of: &dyn Fn(usize) -> String| -> String {
        let lines = (0..60).map(|cell| format!("c{cell},{}\n", of(cell)));
        format!("cell,label\n{}", lines.collect::<String>())
    };
    let first = file(&folder, "first.csv", lines(&|cell| (cell % 2).to_string()));
    let second = file(
        &folder,
        "second.csv",
        lines(&|cell| format!("type {}", cell / 2)),
    );
    let run = succeeds(&["compare", &first, &second]);
    assert!(run.stdout.contains("1 type 0, 1 type 1,"), "{}", run.stdout);
    assert!(!run.stdout.contains('·'), "{}", run.stdout);
}

#[test]
fn mistakes_are_explained() {
    let folder = tempfile::tempdir().unwrap();
    let input = annotated(folder.path());
    let input = text(&input);
    let one = file(&folder, "one.csv", "cell,type\na,T\nb,B\n");
    let two = file(&folder, "two.csv", "cell,type,batch\na,T,1\nb,B,1\n");
    let other = file(&folder, "other.csv", "cell,type\nx,T\ny,B\n");
    let empty = file(&folder, "empty.csv", "cell,type\n");
    let unlabelled = file(&folder, "unlabelled.csv", "cell,type\na,\nb,\n");
    let twice = file(&folder, "twice.csv", "cell,type\na,T\na,B\n");
    let missing = format!("{input}:celltype");
    let column = format!("{two}:donor");
    let bundled = bundled();
    for (arguments, expected) in [
        (&[one.as_str()][..], "required arguments were not provided"),
        (&[&one, "none.csv"], "none.csv: not found; check the path"),
        (&[&one, "none.csv:type"], "not found; check the path"),
        (&[&one, &two], "name one as FILE:COLUMN, of: type, batch"),
        (
            &[&one, &column],
            "no column \"donor\"; there are: type, batch",
        ),
        (&[&one, input], "cells.h5ad:COLUMN, one of: cell_type, half"),
        (&[&one, &missing], "no column \"celltype\""),
        (&[&one, &other], "no cell in common with"),
        (&[&one, &other], "such as \"x\" here and \"a\" there"),
        (&[&one, &empty], "it has no cells"),
        (&[&one, &unlabelled], "none of the 2 cells in common"),
        (&[&twice, &one], "\"a\" occurs more than once"),
        (&[&one, text(&bundled)], "a folder holds no labels"),
    ] {
        refused(&[&["compare"], arguments].concat(), expected);
    }
}
