//! Mistakes are explained in a line.

use std::fs;

use celldec::io::read_labels;

use super::{bundled, celldec, file, refused, text};

fn cluster_refused(arguments: &[&str], expected: &str) {
    refused(&[&["cluster"], arguments].concat(), expected);
}

#[test]
fn wrong_inputs_are_explained() {
    let folder = tempfile::tempdir().unwrap();
    let empty = tempfile::tempdir().unwrap();
    cluster_refused(&["missing.csv"], "missing.csv: not found; check the path");
    cluster_refused(&[text(empty.path())], "the folder has no matrix file");
    let excel = file(&folder, "counts.xlsx", "x");
    cluster_refused(&[&excel], "cannot tell the format; supported are");
    let matrix = text(&bundled().join("matrix.mtx.gz")).to_string();
    cluster_refused(&[&matrix], "give the folder that holds the .mtx file");

    // Cell Ranger's folder, its matrix cut off.
    let truncated = tempfile::tempdir().unwrap();
    for name in ["features.tsv.gz", "barcodes.tsv.gz", "matrix.mtx.gz"] {
        let mut bytes = fs::read(bundled().join(name)).unwrap();
        if name == "matrix.mtx.gz" {
            bytes.truncate(20_000);
        }
        fs::write(truncated.path().join(name), bytes).unwrap();
    }
    cluster_refused(
        &[text(truncated.path())],
        "the compressed file is truncated",
    );
    // Two samples in one folder.
    for name in ["a_matrix.mtx.gz", "b_matrix.mtx.gz"] {
        fs::copy(bundled().join("matrix.mtx.gz"), empty.path().join(name)).unwrap();
    }
    cluster_refused(&[text(empty.path())], "choose one with --prefix: a_, b_");

    let table = |content: &str| file(&folder, "counts.csv", content);
    let normalised = table(",A,B\nc1,0.5,1\nc2,1,2\n");
    cluster_refused(
        &[&normalised],
        "pass raw counts (in AnnData often a layer or `raw`: --layer NAME, --raw)",
    );
    cluster_refused(&[&table(",A,B\nc1,-1,1\nc2,1,2\n")], "negative count -1");
    cluster_refused(&[&table(",A,B\nc1,x,1\nc2,1,2\n")], "is not a number");
    cluster_refused(&[&table(",A,B\nc1,0,0\nc2,0,0\n")], "--transposed");
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
        (&["--device", "cpu,abacus"], "unknown device \"abacus\""),
        (&["--device", "cpu:1"], "only GPUs have numbers"),
        (&["--device", "wgpu:best"], "has no number of a GPU"),
        (&["--write", "xlsx"], "invalid value 'xlsx'"),
        (&["--memory", "0"], "expected a number above 0"),
        (
            &["-k", "4", "--memory", "0.02"],
            "more than the 20 MB that it may take; fit some of the cells",
        ),
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
        (&["--model", "none"], "unexpected argument '--model'"),
        (&["--threads", "0"], "--threads must be at least 1"),
        (&["--quiet", "--verbose"], "cannot be used with"),
        (&["--colour"], "unexpected argument '--colour'"),
    ] {
        let mut all = vec![input];
        all.extend(arguments);
        cluster_refused(&all, expected);
    }
    for (built, value) in [
        (cfg!(feature = "tsne"), "tsne"),
        (cfg!(feature = "umap"), "umap"),
    ] {
        if !built {
            let expected = format!("has not got the Cargo feature `{value}`; build with");
            cluster_refused(&[input, "--projection", value], &expected);
        }
    }

    let folder = tempfile::tempdir().unwrap();
    let blocked = file(&folder, "blocked", "");
    let run = celldec(&["cluster", input, "-k", "3", "--output", &blocked]);
    assert_eq!(run.code, Some(2));
    assert!(run.stderr.contains("no folder that can be written"));
}

#[test]
fn wrong_lists_of_cells_are_explained() {
    let input = bundled();
    let labels = text(&input.join("labels.csv")).to_string();
    let input = text(&input);
    cluster_refused(
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
    let both = file(&folder, "both.csv", "cell,type,batch\nx,T,A\n");
    cluster_refused(
        &[input, "--labels", &both],
        "name one with --label-column, of: type, batch",
    );
    let one = batches(&|_, _| "A".into());
    cluster_refused(&[input, "--batches", &one], "all cells are of one batch");
    let each = batches(&|_, cell| cell.into());
    cluster_refused(&[input, "--batches", &each], "these are no batches");
    for missing in ["", "NA", " nan"] {
        let gap = batches(&|position, _| if position == 2 { missing } else { "A" }.into());
        cluster_refused(
            &[input, "--batches", &gap],
            "1 cells have no value in \"batch\", the first is cell 2",
        );
    }
    let others = file(&folder, "others.csv", "cell,batch\nx,A\n");
    cluster_refused(
        &[input, "--batches", &others],
        "its first column holds names such as \"x\"",
    );

    let twice = file(
        &folder,
        "twice.csv",
        "cell,CD3D,CD3E,LYZ\nAAACCCAAGAAACACT,1,2,3\nAAACCCAAGAAACACT,2,1,0\n\
         AAACCCAAGAAACCAT,3,0,1\nAAACCCAAGAAACCCA,1,1,1\n",
    );
    let repeated = file(
        &folder,
        "repeated.csv",
        "AAACCCAAGAAACCAT,AAACCCAAGAAACCCA,must\nAAACCCAAGAAACACT,AAACCCAAGAAACCAT,must\n",
    );
    let output = folder.path().join("output");
    let run = celldec(&[
        "cluster",
        &twice,
        "--constraints",
        &repeated,
        "--output",
        text(&output),
    ]);
    assert_eq!(run.code, Some(1));
    // A warning of such names comes first.
    let expected = "repeated.csv, line 2: the input has several cells of the name";
    assert!(run.stderr.contains(expected), "{}", run.stderr);
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
            "line 2: 1 cannot pairs contradict the must pairs",
        ),
        (
            format!("{first},{second},must\n\n{first},{first},cannot\n"),
            "line 3: it pairs",
        ),
        (
            format!("{first},{second},must-lnk\n"),
            "line 1: the third field is \"must-lnk\"",
        ),
        (format!("{first},{second}\n"), "expected three fields"),
    ] {
        let path = pairs(content);
        cluster_refused(&[input, "--constraints", &path], expected);
    }
}
