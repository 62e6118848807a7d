//! Writing AnnData files and adding results to them: everything else stays, failures leave the old
//! file.
#![cfg(feature = "h5ad")]

use std::fs;
use std::path::{Path, PathBuf};

use celldec::Error;
use celldec::counts::CountMatrix;
use celldec::io::{
    AnnotatedCounts, Annotation, CellResults, H5adOptions, H5adResults, ResultKeys, read_h5ad,
    write_h5ad,
};
use ndarray::{Array2, array};

fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/h5ad")
        .join(name)
}

fn counts() -> CountMatrix {
    CountMatrix::from_dense(array![[0., 2., 0., 1.], [3., 0., 0., 0.], [0., 0.5, 0., 7.]].view())
        .unwrap()
        .with_names(
            ["c0", "c1", "c2"].map(String::from).to_vec(),
            ["A", "B", "C", "Größe"].map(String::from).to_vec(),
        )
        .unwrap()
}

fn annotated() -> AnnotatedCounts {
    let text = |value: &str| Some(value.to_string());
    let columns = [
        (
            "type",
            Annotation::Categorical {
                codes: vec![Some(1), None, Some(0)],
                categories: vec!["B".into(), "T".into()],
            },
        ),
        (
            "text",
            Annotation::Strings(vec![text("x"), text(""), text("z")]),
        ),
        (
            "text missing",
            Annotation::Strings(vec![text("x"), None, text("z")]),
        ),
        (
            "count",
            Annotation::Integers(vec![Some(-3), Some(0), Some(i64::MAX)]),
        ),
        (
            "count missing",
            Annotation::Integers(vec![Some(-3), None, Some(7)]),
        ),
        (
            "flag",
            Annotation::Booleans(vec![Some(true), Some(false), Some(true)]),
        ),
        (
            "flag missing",
            Annotation::Booleans(vec![Some(true), None, Some(false)]),
        ),
        ("size", Annotation::Floats(vec![0.1, -1e300, 3.0])),
    ];
    let data = AnnotatedCounts::new(counts())
        .with_embedding("X_pca", array![[0.1, 0.2], [0.3, 0.4], [0.5, 0.6]])
        .unwrap();
    columns.into_iter().fold(data, |data, (name, column)| {
        data.with_annotation(name, column).unwrap()
    })
}

fn names_in(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// Results of two of five cells of the fixtures.
fn results() -> CellResults {
    CellResults::new(vec![2, 0])
        .with_kept_cells(vec![3, 1])
        .with_cell_names(vec!["cell3".into(), "cell1".into()])
        .with_confidence(vec![0.75, 0.5])
        .with_embedding(array![[1.0, 2.0], [3.0, 4.0]])
        .with_soft_assignments(array![[0.1, 0.15, 0.75], [0.5, 0.25, 0.25]])
        .with_details(serde_json::json!({
            "seed": 7,
            "rate": 0.5,
            "name": "x",
            "none": null,
            "deep": {"flag": true, "list": [1, 2], "gaps": [0.5, null], "mixed": ["a", 1]},
            "empty": [],
        }))
}

#[test]
fn a_new_file_holds_what_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new.h5ad");
    write_h5ad(&path, &annotated()).unwrap();
    let options = H5adOptions::new().with_embeddings(["X_pca"]);
    assert_eq!(options.read(&path).unwrap(), annotated());
    // Replacing is atomic too, and leaves nothing beside.
    write_h5ad(&path, &AnnotatedCounts::new(counts())).unwrap();
    assert_eq!(read_h5ad(&path).unwrap(), AnnotatedCounts::new(counts()));
    assert_eq!(names_in(folder.path()), ["new.h5ad"]);
}

#[test]
fn long_sparse_lists_are_compressed_and_come_back() {
    let cells = 300;
    let genes = 500;
    let dense = Array2::from_shape_fn((cells, genes), |(cell, gene)| {
        ((cell * 31 + gene * 17) % 7) as f32
    });
    let counts = CountMatrix::from_dense(dense.view()).unwrap();
    assert!(counts.stored() > 1 << 16);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("large.h5ad");
    write_h5ad(&path, &AnnotatedCounts::new(counts.clone())).unwrap();
    assert_eq!(read_h5ad(&path).unwrap().counts, counts);
    let bytes = fs::metadata(&path).unwrap().len();
    assert!(bytes < counts.stored() as u64 * 4, "{bytes}");
}

#[test]
fn impossible_names_and_lengths_are_refused_before_writing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new.h5ad");
    let column = Annotation::Floats(vec![0.0; 3]);
    for name in ["a/b", "", ".", "_index"] {
        let data = annotated().with_annotation(name, column.clone()).unwrap();
        let message = write_h5ad(&path, &data).unwrap_err().to_string();
        assert!(message.contains("at /obs"), "{message}");
        assert!(message.contains("choose another"), "{message}");
    }
    let message = AnnotatedCounts::new(counts())
        .with_annotation("short", Annotation::Floats(vec![0.0; 2]))
        .unwrap_err()
        .to_string();
    assert!(
        message.contains("\"short\" has length 2, expected 3"),
        "{message}"
    );
    let mut data = annotated();
    data.embeddings
        .push(("X_umap".into(), Array2::zeros((2, 2))));
    let error = write_h5ad(&path, &data).unwrap_err();
    assert!(matches!(
        error,
        Error::LengthMismatch {
            expected: 3,
            found: 2,
            ..
        }
    ));
    assert!(names_in(folder.path()).is_empty());
}

#[test]
fn results_are_added_and_the_rest_stays() {
    let folder = tempfile::tempdir().unwrap();
    for (name, layer) in [
        ("annotations.h5ad", None),
        ("matrices.h5ad", Some("csc")),
        ("missing_x.h5ad", Some("counts")),
        ("anndata_0_7.h5ad", None),
    ] {
        let output = folder.path().join(name);
        let read = |path: &Path, embeddings: &[&str]| {
            let options = H5adOptions::new().with_embeddings(embeddings.iter().copied());
            match layer {
                Some(layer) => options.with_layer(layer).read(path),
                None => options.read(path),
            }
            .unwrap()
        };
        let before = fs::read(fixture(name)).unwrap();
        H5adResults::new()
            .with("mine", results())
            .with(ResultKeys::desc(1.0), results())
            .write(fixture(name), &output)
            .unwrap();
        assert_eq!(fs::read(fixture(name)).unwrap(), before);

        let old = read(&fixture(name), &[]);
        let new = read(
            &output,
            &["X_mine", "mine_soft_assignments", "X_Embeded_z1.0"],
        );
        assert_eq!(new.counts, old.counts, "{name}");
        let columns: Vec<&str> = new.cell_annotations.names().collect();
        let mut expected: Vec<&str> = old.cell_annotations.names().collect();
        expected.extend(["mine", "mine_confidence", "desc_1.0", "desc_1.0_confidence"]);
        assert_eq!(columns, expected, "{name}");
        for (column, values) in old.cell_annotations.iter() {
            // NaN differs from itself, text does not.
            let found = new.cell_annotations.get(column).unwrap();
            assert_eq!(found.labels(), values.labels(), "{name}: {column}");
        }
        assert_eq!(
            new.cell_annotations.get("mine"),
            Some(&Annotation::Categorical {
                codes: vec![None, Some(0), None, Some(1), None],
                categories: vec!["0".into(), "2".into()],
            })
        );
        let text = |value: &str| Some(value.to_string());
        assert_eq!(
            new.cell_annotations
                .get("mine_confidence")
                .unwrap()
                .labels(),
            [None, text("0.5"), None, text("0.75"), None]
        );
        let embedding = new.embedding("X_mine").unwrap();
        assert_eq!(embedding.row(3), array![1.0, 2.0]);
        assert_eq!(embedding.row(1), array![3.0, 4.0]);
        for row in [0, 2, 4] {
            assert!(embedding.row(row).iter().all(|value| value.is_nan()));
        }
        assert_eq!(
            new.embedding("X_Embeded_z1.0").unwrap().row(1),
            array![3.0, 4.0]
        );
        let soft = new.embedding("mine_soft_assignments").unwrap();
        assert_eq!(soft.row(3), array![0.1, 0.15, 0.75]);
    }
}

#[test]
fn a_file_is_extended_in_place_and_entries_replaced_on_request() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cells.h5ad");
    fs::copy(fixture("annotations.h5ad"), &path).unwrap();
    let writer = H5adResults::new().with("mine", results());
    writer.write(&path, &path).unwrap();
    let once = fs::read(&path).unwrap();
    let message = writer.write(&path, &path).unwrap_err().to_string();
    assert!(message.contains("there is already a \"mine\""), "{message}");
    assert!(message.contains("with_overwrite(true)"), "{message}");
    assert_eq!(fs::read(&path).unwrap(), once);

    let other = CellResults::new(vec![1, 1, 0, 0, 0]).with_embedding(Array2::ones((5, 3)));
    H5adResults::new()
        .with("mine", other)
        .with_overwrite(true)
        .write(&path, &path)
        .unwrap();
    let found = H5adOptions::new()
        .with_embeddings(["X_mine"])
        .read(&path)
        .unwrap();
    let labels = found.cell_annotations.get("mine").unwrap().labels();
    assert_eq!(labels.into_iter().flatten().collect::<String>(), "11000");
    assert_eq!(found.embedding("X_mine"), Some(Array2::ones((5, 3)).view()));
    // The old entries stay in the file, so each time adds as much.
    let writer = writer.with_overwrite(true);
    let lengths: Vec<u64> = (0..3)
        .map(|_| {
            writer.write(&path, &path).unwrap();
            fs::metadata(&path).unwrap().len()
        })
        .collect();
    assert_eq!(lengths[2] - lengths[1], lengths[1] - lengths[0]);
    let found = read_h5ad(&path).unwrap();
    let labels = found.cell_annotations.get("mine").unwrap().labels();
    assert_eq!(labels.into_iter().flatten().collect::<String>(), "02");
    let columns: Vec<&str> = found.cell_annotations.names().collect();
    assert_eq!(columns.iter().filter(|&&name| name == "mine").count(), 1);
    assert_eq!(names_in(folder.path()), ["cells.h5ad"]);
}

#[test]
fn denoised_expression_is_a_layer_or_a_matrix_of_cells() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.h5ad");
    let values = Array2::from_shape_fn((5, 4), |(cell, gene)| (cell * 4 + gene) as f32 + 1.0);
    let genes = |names: &[&str]| {
        names
            .iter()
            .map(|name| name.to_string())
            .collect::<Vec<_>>()
    };
    // The file's genes are A, B, A (read as A-1) and C.
    let shuffled =
        CellResults::new(vec![0; 5]).with_denoised(values.clone(), genes(&["C", "A", "A-1", "B"]));
    H5adResults::new()
        .with("mine", shuffled)
        .write(fixture("matrices.h5ad"), &path)
        .unwrap();
    let layer = H5adOptions::new()
        .with_layer("mine_denoised")
        .read(&path)
        .unwrap();
    assert_eq!(
        layer.counts.to_dense(),
        values.select(ndarray::Axis(1), &[1, 3, 2, 0])
    );

    let some = CellResults::new(vec![0; 5])
        .with_denoised(values.select(ndarray::Axis(1), &[0, 1]), genes(&["C", "A"]));
    let keys = ResultKeys::new("mine");
    let message = H5adResults::new()
        .with(keys.clone(), some.clone())
        .write(fixture("matrices.h5ad"), &path)
        .unwrap_err()
        .to_string();
    assert!(
        message.contains("2 of them are not denoised, for example \"B\""),
        "{message}"
    );
    assert!(message.contains("with_denoised_in_obsm"), "{message}");
    H5adResults::new()
        .with(keys.with_denoised_in_obsm(true), some)
        .write(fixture("matrices.h5ad"), &path)
        .unwrap();
    let found = H5adOptions::new()
        .with_embeddings(["mine_denoised"])
        .read(&path)
        .unwrap();
    assert_eq!(
        found.embedding("mine_denoised").unwrap().row(4),
        array![17.0, 18.0]
    );
}

#[test]
fn results_that_do_not_fit_are_refused_and_nothing_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("out.h5ad");
    let refusal = |writer: H5adResults| {
        let input = fixture("annotations.h5ad");
        writer.write(input, &output).unwrap_err().to_string()
    };
    let with = |results: CellResults| H5adResults::new().with("mine", results);
    let of = |labels: &[usize]| CellResults::new(labels.to_vec());
    for (writer, expected) in [
        (with(of(&[0, 1])), "has length 2, expected 5"),
        (
            with(of(&[0]).with_kept_cells(vec![5])),
            "of cell 5, but there are 5 cells",
        ),
        (
            with(of(&[0, 0]).with_kept_cells(vec![1, 1])),
            "two results for cell 1",
        ),
        (
            with(
                of(&[0])
                    .with_kept_cells(vec![1])
                    .with_cell_names(vec!["cell2".into()]),
            ),
            "cell 1 is \"cell1\", but the result of \"mine\" there is of \"cell2\"",
        ),
        (
            with(of(&[0; 5]).with_confidence(vec![0.5; 4])),
            "confidence of \"mine\" has length 4",
        ),
        (
            with(of(&[0; 5]).with_embedding(Array2::zeros((4, 2)))),
            "embedding of \"mine\" has",
        ),
        (
            H5adResults::new().with("a/b", of(&[0; 5])),
            "\"a/b\" cannot be a name",
        ),
        (
            H5adResults::new().with("_index", of(&[0; 5])),
            "is that of the cell names",
        ),
        (
            H5adResults::new().with("cell_type", of(&[0; 5])),
            "there is already a \"cell_type\"",
        ),
        (
            with(of(&[0; 5])).with("mine", of(&[1; 5])),
            "two results would get the name \"mine\"",
        ),
        (
            with(of(&[0; 5]).with_details(serde_json::json!({"a": {"b/c": 1}}))),
            "at /uns/mine/a: \"b/c\" cannot be a name",
        ),
    ] {
        let message = refusal(writer);
        assert!(message.contains(expected), "{message}");
        assert!(names_in(folder.path()).is_empty(), "{expected}");
    }
    for input in ["../tenx/version_3.h5", "absent.h5ad"] {
        assert!(with(of(&[0; 5])).write(fixture(input), &output).is_err());
    }
}

#[test]
fn a_failure_leaves_the_old_file() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("out.h5ad");
    fs::write(&output, b"old").unwrap();
    let damaged = folder.path().join("damaged.h5ad");
    let whole = fs::read(fixture("annotations.h5ad")).unwrap();
    let writer = H5adResults::new().with("mine", results());
    for part in 1..16 {
        fs::write(&damaged, &whole[..whole.len() * part / 16]).unwrap();
        assert!(writer.write(&damaged, &output).is_err(), "cut at {part}/16");
    }
    // A changed byte may go unnoticed, but must never panic or exhaust memory.
    let elsewhere = folder.path().join("elsewhere.h5ad");
    for position in (0..whole.len()).step_by(97) {
        let mut changed = whole.clone();
        changed[position] ^= 0xff;
        fs::write(&damaged, &changed).unwrap();
        let _ = writer.write(&damaged, &elsewhere);
    }
    let absent = folder.path().join("absent/out.h5ad");
    let error = writer
        .write(fixture("annotations.h5ad"), &absent)
        .unwrap_err();
    assert!(
        matches!(&error, Error::Io { path, .. } if *path == absent),
        "{error}"
    );
    let error = write_h5ad(&absent, &annotated()).unwrap_err();
    assert!(
        matches!(&error, Error::Io { path, .. } if *path == absent),
        "{error}"
    );
    assert_eq!(fs::read(&output).unwrap(), b"old");
    let mut names = names_in(folder.path());
    names.retain(|name| name != "elsewhere.h5ad");
    assert_eq!(names, ["damaged.h5ad", "out.h5ad"]);
}

/// Runs itself once more with a limit on the size of files, which fails as a full disk does.
#[cfg(unix)]
#[test]
fn a_full_disk_leaves_the_old_file() {
    const FOLDER: &str = "CELLDEC_FULL_DISK";
    if let Some(folder) = std::env::var_os(FOLDER).map(PathBuf::from) {
        return write_on_a_full_disk(&folder);
    }
    let input = fixture("annotations.h5ad");
    let kilobytes = fs::metadata(&input).unwrap().len() / 1024;
    // Room for nothing, and for the copy but not for the results.
    for limit in [1, kilobytes + 2] {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("out.h5ad"), b"old").unwrap();
        let run = std::process::Command::new("bash")
            .args(["-c", "trap '' XFSZ; ulimit -f \"$0\"; exec \"$@\""])
            .arg(limit.to_string())
            .arg(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "h5ad_write::a_full_disk_leaves_the_old_file",
                "--nocapture",
            ])
            .env(FOLDER, folder.path())
            .output();
        let Ok(run) = run else {
            println!("skipped: needs bash to limit the size of files");
            return;
        };
        let output = String::from_utf8_lossy(&run.stdout);
        assert!(
            run.status.success(),
            "{output}{}",
            String::from_utf8_lossy(&run.stderr)
        );
        assert!(output.contains("both refused"), "{output}");
    }
}

#[cfg(unix)]
fn write_on_a_full_disk(folder: &Path) {
    let output = folder.join("out.h5ad");
    let large = CellResults::new(vec![0; 5]).with_embedding(Array2::zeros((5, 100_000)));
    let error = H5adResults::new()
        .with("mine", large)
        .write(fixture("annotations.h5ad"), &output)
        .unwrap_err();
    assert!(
        matches!(&error, Error::Io { path, .. } if *path == output),
        "{error}"
    );
    let dense = Array2::from_shape_fn((300, 500), |(cell, gene)| (cell * gene % 1009) as f32);
    let counts = CountMatrix::from_dense(dense.view()).unwrap();
    let error = write_h5ad(&output, &AnnotatedCounts::new(counts)).unwrap_err();
    assert!(
        matches!(&error, Error::Io { path, .. } if *path == output),
        "{error}"
    );
    assert_eq!(fs::read(&output).unwrap(), b"old");
    assert_eq!(names_in(folder), ["out.h5ad"]);
    println!("both refused");
}

#[test]
fn a_missing_embedding_lists_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new.h5ad");
    write_h5ad(&path, &annotated()).unwrap();
    let message = H5adOptions::new()
        .with_embeddings(["X_umap"])
        .read(&path)
        .unwrap_err()
        .to_string();
    assert!(message.contains("at /obsm/X_umap"), "{message}");
    assert!(message.contains("there are: X_pca"), "{message}");
}
