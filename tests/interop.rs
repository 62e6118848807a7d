//! Files of Python's anndata and scanpy, read and written value by value.
//!
//! `.ci/interop` runs the whole: `interop/write.py` writes files and what to expect of them, the test
//! here reads them and writes files of its own, `interop/check.py` checks those in Python.
#![cfg(feature = "h5ad")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use celldec::io::{
    AnnotatedCounts, Annotation, CellResults, H5adOptions, H5adResults, ResultKeys, read_10x_h5,
    read_10x_mtx, write_10x_mtx, write_h5ad,
};
use celldec::prelude::*;
use ndarray::Array2;
use serde::Deserialize;
use serde_json::Value;

/// A file of Python and what must be found in it.
#[derive(Deserialize)]
struct Case {
    encoding: String,
    file: String,
    cells: Vec<String>,
    genes: Vec<String>,
    counts: Vec<Vec<f32>>,
    obs: BTreeMap<String, Column>,
    obsm: BTreeMap<String, Vec<Vec<f32>>>,
    layer: Option<String>,
    #[serde(default)]
    raw: bool,
}

#[derive(Deserialize)]
struct Column {
    kind: String,
    #[serde(default)]
    categories: Vec<String>,
    values: Vec<Value>,
}

fn read(folder: &Path, case: &Case) -> celldec::Result<AnnotatedCounts> {
    let path = folder.join(&case.file);
    if path.is_dir() {
        return Ok(AnnotatedCounts::new(read_10x_mtx(path)?));
    }
    if case.file.ends_with(".h5") {
        return Ok(AnnotatedCounts::new(read_10x_h5(path)?));
    }
    let options = H5adOptions::new()
        .with_annotations(case.obs.keys().cloned())
        .with_embeddings(case.obsm.keys().cloned());
    match &case.layer {
        Some(layer) => options.with_layer(layer).read(path),
        None if case.raw => options.with_raw().read(path),
        None => options.read(path),
    }
}

/// The first difference between what was read and what Python says.
fn difference(found: &AnnotatedCounts, case: &Case) -> Option<String> {
    if found.counts.cell_names() != case.cells || found.counts.gene_names() != case.genes {
        return Some("names differ".into());
    }
    let dense = found.counts.to_dense();
    for (cell, row) in case.counts.iter().enumerate() {
        if dense.row(cell).to_vec() != *row {
            return Some(format!(
                "counts of cell {cell} differ: {:?}",
                dense.row(cell)
            ));
        }
    }
    for (name, column) in &case.obs {
        let annotation = found.cell_annotations.get(name)?;
        if !is_column(annotation, column) {
            return Some(format!("obs {name} differs: {annotation:?}"));
        }
    }
    for (name, rows) in &case.obsm {
        let matrix = found.embedding(name)?;
        for (found, expected) in matrix.rows().into_iter().zip(rows) {
            if found.to_vec() != *expected {
                return Some(format!("obsm {name} differs: {found:?}"));
            }
        }
    }
    None
}

fn is_column(found: &Annotation, expected: &Column) -> bool {
    fn same<T>(found: &[Option<T>], expected: &[Value], is: impl Fn(&T, &Value) -> bool) -> bool {
        found.len() == expected.len()
            && found
                .iter()
                .zip(expected)
                .all(|(found, expected)| match found {
                    Some(found) => is(found, expected),
                    None => expected.is_null(),
                })
    }
    let values = &expected.values;
    match (expected.kind.as_str(), found) {
        ("categorical", Annotation::Categorical { codes, categories }) => {
            *categories == expected.categories
                && same(codes, values, |&found, value| {
                    value.as_u64() == Some(found.into())
                })
        }
        ("strings", Annotation::Strings(found)) => {
            same(found, values, |found, value| value.as_str() == Some(found))
        }
        ("integers", Annotation::Integers(found)) => {
            same(found, values, |&found, value| value.as_i64() == Some(found))
        }
        ("booleans", Annotation::Booleans(found)) => same(found, values, |&found, value| {
            value.as_bool() == Some(found)
        }),
        ("floats", Annotation::Floats(found)) => {
            let found: Vec<Option<f64>> = found
                .iter()
                .map(|&value| (!value.is_nan()).then_some(value))
                .collect();
            same(&found, values, |&found, value| {
                value.as_f64() == Some(found)
            })
        }
        _ => false,
    }
}

/// Results by formulas that `check.py` knows, of three cells in four.
fn results(data: &AnnotatedCounts, with_denoised: bool) -> CellResults {
    let cells: Vec<usize> = (0..data.counts.cells())
        .filter(|cell| cell % 4 != 3)
        .collect();
    let row = |cell: usize| cells[cell] as f32;
    let names = data.counts.cell_names();
    let results = CellResults::new(cells.iter().map(|cell| cell % 3 * 2).collect())
        .with_kept_cells(cells.clone())
        .with_cell_names(cells.iter().map(|&cell| names[cell].clone()).collect())
        .with_confidence(
            (0..cells.len())
                .map(|cell| 1.0 / (1.0 + row(cell)))
                .collect(),
        )
        .with_embedding(Array2::from_shape_fn((cells.len(), 3), |(cell, axis)| {
            [row(cell), row(cell) / 2.0, -row(cell)][axis]
        }))
        .with_soft_assignments(Array2::from_shape_fn(
            (cells.len(), 2),
            |(cell, cluster)| [row(cell), 1.0][cluster] / (1.0 + row(cell)),
        ))
        .with_details(serde_json::json!({
            "seed": 7,
            "rate": 0.5,
            "name": "größer",
            "empty": "",
            "flag": true,
            "deep": {"list": [1, 2, 3], "gaps": [0.5, null], "words": ["a", ""]},
        }));
    if !with_denoised {
        return results;
    }
    let denoised = Array2::from_shape_fn((cells.len(), data.counts.genes()), |(cell, gene)| {
        row(cell) + gene as f32 / 16.0
    });
    results.with_denoised(denoised, data.counts.gene_names().to_vec())
}

fn folder() -> Option<PathBuf> {
    let folder = std::env::var_os("CELLDEC_INTEROP").map(PathBuf::from);
    if folder.is_none() {
        println!("skipped: .ci/interop runs this test together with Python");
    }
    folder
}

/// A fit as users write it; `check.py` reads what the library says of itself.
#[test]
fn a_fit_is_written_for_python() {
    let Some(folder) = folder() else { return };
    let ours = folder.join("celldec");
    std::fs::create_dir_all(&ours).unwrap();
    let path = ours.join("fit.h5ad");
    let counts = SimulationConfig::new(90, 50)
        .with_seed(1)
        .simulate()
        .unwrap();
    write_h5ad(&path, &AnnotatedCounts::new(counts.counts.clone())).unwrap();
    let cells = Preprocess::scdcc().fit(&counts.counts).unwrap();
    let plan = Plan::scdcc(3).with_epochs(2, 2).with_seed(7);
    let trainer = plan.trainer(&Device::default()).unwrap();
    let fit = trainer.fit(&cells).unwrap();
    H5adResults::new()
        .with("scdcc", fit.results(&cells).unwrap())
        .write(&path, &path)
        .unwrap();
    let losses: Vec<f64> = fit
        .history()
        .iter()
        .map(|epoch| epoch.total_loss())
        .collect();
    let expected = serde_json::json!({
        "labels": fit.clusters().labels(),
        "embedding": fit.embedding().rows().into_iter().map(|row| row.to_vec()).collect::<Vec<_>>(),
        "losses": losses,
        "sizes": fit.status().cluster_sizes,
    });
    std::fs::write(ours.join("fit.json"), expected.to_string()).unwrap();
}

/// Long lists are stored in chunks, as they are written and where results were replaced.
#[test]
fn large_files_are_written_for_python() {
    let Some(folder) = folder() else { return };
    let ours = folder.join("celldec");
    std::fs::create_dir_all(&ours).unwrap();
    let counts = SimulationConfig::new(1500, 400)
        .with_seed(1)
        .simulate()
        .unwrap()
        .counts;
    assert!(counts.stored() > 1 << 16);
    let expected = serde_json::json!({
        "stored": counts.stored(),
        "total": counts.cell_totals().iter().sum::<f64>(),
    });
    std::fs::write(ours.join("large.json"), expected.to_string()).unwrap();
    let path = ours.join("large.h5ad");
    write_h5ad(&path, &AnnotatedCounts::new(counts)).unwrap();
    for (label, name) in [(0, "large.h5ad"), (1, "large_again.h5ad")] {
        H5adResults::new()
            .with_overwrite(true)
            .with("found", CellResults::new(vec![label; 1500]))
            .write(&path, ours.join(name))
            .unwrap();
    }
}

/// Whatever lies beside the counts.
#[test]
fn results_are_added_to_random_layouts() {
    let Some(folder) = folder() else { return };
    let (theirs, ours) = (
        folder.join("python/layouts"),
        folder.join("celldec/layouts"),
    );
    std::fs::create_dir_all(&ours).unwrap();
    let mut failures = Vec::new();
    let mut files = 0;
    for entry in std::fs::read_dir(theirs).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        let added = H5adOptions::new().read(&path).and_then(|data| {
            let cells = data.counts.cells();
            let matrix = Array2::from_shape_fn((cells, 2), |(cell, axis)| (cell + axis) as f32);
            let results = CellResults::new((0..cells).map(|cell| cell % 3).collect())
                .with_cell_names(data.counts.cell_names().to_vec())
                .with_confidence(vec![0.5; cells])
                .with_embedding(matrix.clone())
                .with_soft_assignments(matrix)
                .with_details(serde_json::json!({"seed": 7}));
            let writer = H5adResults::new().with("found", results);
            let (output, again) = (ours.join(name), ours.join(format!("again_{name}")));
            writer.check_writing(&path, &output)?;
            writer.write(&path, &output)?;
            writer.with_overwrite(true).write(&output, &again)
        });
        files += 1;
        failures.extend(added.err().map(|error| error.to_string()));
    }
    assert!(files > 50, "{files}");
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn files_of_python_are_read_and_extended() {
    let Some(folder) = folder() else { return };
    let (theirs, ours) = (folder.join("python"), folder.join("celldec"));
    std::fs::create_dir_all(&ours).unwrap();
    let cases = std::fs::read(theirs.join("cases.json")).unwrap();
    let cases: Vec<Case> = serde_json::from_slice(&cases).unwrap();
    assert!(cases.len() > 100, "{}", cases.len());

    let mut outcomes = Vec::new();
    let mut failures = Vec::new();
    let mut extended = BTreeSet::new();
    for (number, case) in cases.iter().enumerate() {
        let found = read(&theirs, case);
        let failure = match &found {
            Ok(found) => difference(found, case),
            Err(error) => Some(error.to_string()),
        };
        outcomes.push(if failure.is_none() { "pass" } else { "FAIL" });
        failures.extend(failure.map(|failure| format!("{}: {failure}", case.encoding)));
        let Ok(found) = found else { continue };
        write_h5ad(ours.join(format!("new_{number}.h5ad")), &found).unwrap();
        if case.file.ends_with(".h5ad") && extended.insert(&case.file) {
            let whole = H5adOptions::new().read(theirs.join(&case.file)).unwrap();
            let writer = H5adResults::new()
                .with("found", results(&whole, true))
                .with(ResultKeys::desc(0.8), results(&whole, false));
            let (input, output) = (theirs.join(&case.file), ours.join(&case.file));
            writer.write(&input, &output).unwrap();
            let again = ours.join(format!("again_{}", case.file));
            let writer = writer.with_overwrite(true);
            writer.write(&output, &again).unwrap();
            writer.write(&again, &again).unwrap();
        }
        if case.file == "tenx_mtx" {
            write_10x_mtx(ours.join("mtx"), &found.counts).unwrap();
        }
    }
    std::fs::write(
        ours.join("read.json"),
        serde_json::to_vec(&outcomes).unwrap(),
    )
    .unwrap();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
