//! Reading AnnData files: every encoding, every refusal, damaged files, real data.
//! `fixtures/h5ad/generate.py` wrote the files.
#![cfg(feature = "h5ad")]

use std::path::PathBuf;

use celldec::Error;
use celldec::io::{Annotation, H5adOptions, read_10x_mtx, read_counts, read_h5ad, read_labels};
use ndarray::{Array2, array};

fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/h5ad")
        .join(name)
}

fn counts() -> Array2<f32> {
    array![
        [0., 2., 0., 1.],
        [3., 0., 0., 0.],
        [0., 0., 0., 7.],
        [1., 1., 1., 0.],
        [0., 0., 5., 0.]
    ]
}

fn texts<const N: usize>(values: [Option<&str>; N]) -> Vec<Option<String>> {
    values
        .into_iter()
        .map(|value| value.map(String::from))
        .collect()
}

#[test]
fn every_matrix_encoding_gives_the_same_counts() {
    let path = fixture("matrices.h5ad");
    let main = read_h5ad(&path).unwrap().counts;
    assert_eq!(main.to_dense(), counts());
    assert_eq!(main.gene_names(), ["A", "B", "A-1", "C"]);
    assert_eq!(
        main.cell_names(),
        ["cell0", "cell1", "cell2", "cell3", "cell4"]
    );
    assert_eq!(read_counts(&path).unwrap(), main);
    for layer in ["csc", "csc_i64", "dense_f64", "dense_u16", "dense_f16"] {
        let found = H5adOptions::new().with_layer(layer).read(&path).unwrap();
        assert_eq!(found.counts, main, "{layer}");
    }
    let flags = H5adOptions::new().with_layer("bool").read(&path).unwrap();
    assert_eq!(
        flags.counts.to_dense(),
        counts().mapv(|count| f32::from(count > 0.0))
    );
}

#[test]
fn raw_has_its_own_genes() {
    let raw = H5adOptions::new()
        .with_raw()
        .read(fixture("matrices.h5ad"))
        .unwrap();
    assert_eq!(raw.counts.gene_names(), ["v", "w", "x", "y", "z"]);
    let dense = raw.counts.to_dense();
    assert_eq!(dense.column(4), counts().column(0));
    assert_eq!(dense.slice(ndarray::s![.., ..4]), counts());
}

#[test]
fn values_that_are_no_counts_are_named() {
    let error = H5adOptions::new()
        .with_layer("negative")
        .read(fixture("matrices.h5ad"))
        .unwrap_err();
    let Error::CountsElsewhere {
        used,
        value,
        counts,
        ..
    } = error
    else {
        panic!("{error}");
    };
    assert_eq!((used.as_str(), counts.as_str()), ("layers/negative", "X"));
    assert_eq!(value, -1.0);
}

#[test]
fn every_annotation_encoding_is_read() {
    let data = read_h5ad(fixture("annotations.h5ad")).unwrap();
    assert_eq!(data.counts.to_dense(), counts());
    assert_eq!(data.counts.cell_names()[4], "cell4");
    let columns = &data.cell_annotations;
    let column = |name: &str| columns.get(name).unwrap_or_else(|| panic!("no {name}"));
    assert_eq!(
        column("cell_type"),
        &Annotation::Categorical {
            codes: vec![Some(1), None, Some(0), Some(1), Some(0)],
            categories: vec!["B".into(), "T".into()],
        }
    );
    assert_eq!(
        column("text"),
        &Annotation::Strings(texts([
            Some("a"),
            Some("b"),
            Some("c"),
            Some("d"),
            Some("e")
        ]))
    );
    assert_eq!(
        column("nullable_text"),
        &Annotation::Strings(texts([Some("x"), None, Some("y"), Some("z"), None]))
    );
    let Annotation::Floats(floats) = column("float") else {
        panic!("{:?}", column("float"));
    };
    assert!(floats[1].is_nan());
    assert_eq!((floats[0], &floats[2..]), (0.5, &[2.0, 3.0, 4.0][..]));
    assert_eq!(
        column("integer"),
        &Annotation::Integers([1, -2, 3, 4, 5].map(Some).to_vec())
    );
    assert_eq!(
        column("unsigned"),
        &Annotation::Integers([0, 1, 2, 3, 4].map(Some).to_vec())
    );
    assert_eq!(
        column("flag"),
        &Annotation::Booleans([true, false, true, true, false].map(Some).to_vec())
    );
    assert_eq!(
        column("nullable_integer"),
        &Annotation::Integers(vec![Some(1), None, Some(3), Some(4), Some(5)])
    );
    assert_eq!(
        column("nullable_flag"),
        &Annotation::Booleans(vec![Some(true), None, Some(false), Some(true), None])
    );
    assert_eq!(columns.names().next(), Some("cell_type"));
    assert_eq!(columns.len(), 9);
}

#[test]
fn an_unknown_column_is_named_and_refused_when_asked_for() {
    let path = fixture("unsupported.h5ad");
    let columns = read_h5ad(&path).unwrap().cell_annotations;
    assert_eq!(columns.names().collect::<Vec<_>>(), ["good"]);
    assert_eq!(columns.unread()[0].name, "odd");
    let message = H5adOptions::new()
        .with_annotations(["odd"])
        .read(&path)
        .unwrap_err()
        .to_string();
    assert!(
        message.contains("unsupported encoding `awkward-array` at /obs/odd"),
        "{message}"
    );
    let good = H5adOptions::new()
        .with_annotations(["good"])
        .read(&path)
        .unwrap();
    assert_eq!(good.cell_annotations.names().collect::<Vec<_>>(), ["good"]);
    let message = H5adOptions::new()
        .with_annotations(["absent"])
        .read(&path)
        .unwrap_err()
        .to_string();
    assert!(message.contains("there are: odd, good"), "{message}");
}

#[test]
fn a_missing_matrix_lists_the_others() {
    let path = fixture("missing_x.h5ad");
    let message = read_h5ad(&path).unwrap_err().to_string();
    assert!(message.contains("at /X"), "{message}");
    assert!(message.contains("with_layer(\"counts\")"), "{message}");
    let found = H5adOptions::new().with_layer("counts").read(&path).unwrap();
    assert_eq!(found.counts.to_dense(), counts());
    let message = H5adOptions::new()
        .with_raw()
        .read(fixture("annotations.h5ad"))
        .unwrap_err()
        .to_string();
    assert!(message.contains("at /raw/X"), "{message}");
    assert!(message.contains("X (the default)"), "{message}");
}

#[test]
fn anndata_0_7_and_older_are_read() {
    let data = read_h5ad(fixture("anndata_0_7.h5ad")).unwrap();
    assert_eq!(data.counts.to_dense(), counts());
    assert_eq!(
        data.cell_annotations.get("cell_type").unwrap().labels(),
        texts([Some("T"), None, Some("B"), Some("T"), Some("B")])
    );
    let older = read_h5ad(fixture("legacy.h5ad")).unwrap();
    assert_eq!(older.counts, data.counts);
}

#[test]
fn damaged_files_are_errors() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("damaged.h5ad");
    std::fs::write(&path, b"PK\x03\x04 not HDF5").unwrap();
    let message = read_h5ad(&path).unwrap_err().to_string();
    assert!(message.contains("not an HDF5 file"), "{message}");
    assert!(matches!(
        read_h5ad(folder.path().join("absent.h5ad")),
        Err(Error::Io { .. })
    ));
    for name in ["annotations.h5ad", "missing_x.h5ad", "anndata_0_7.h5ad"] {
        let whole = std::fs::read(fixture(name)).unwrap();
        for part in 1..16 {
            std::fs::write(&path, &whole[..whole.len() * part / 16]).unwrap();
            assert!(read_h5ad(&path).is_err(), "{name} cut at {part}/16");
        }
        // A changed byte may go unnoticed, but must never panic or exhaust memory.
        let options = match name {
            "missing_x.h5ad" => H5adOptions::new().with_layer("counts"),
            _ => H5adOptions::new(),
        };
        for position in (0..whole.len()).step_by(53) {
            for mask in [0xff, 0x01, 0x80] {
                let mut changed = whole.clone();
                changed[position] ^= mask;
                std::fs::write(&path, &changed).unwrap();
                let _ = options.read(&path);
            }
        }
    }
}

#[test]
fn lengths_that_lie_are_refused_before_memory_is_reserved() {
    let message = read_h5ad(fixture("hostile.h5ad")).unwrap_err().to_string();
    assert!(message.contains("at /X/data"), "{message}");
    assert!(message.contains("more than a file of"), "{message}");
}

#[test]
fn real_files_match_their_mtx_folder() {
    let Some(data) = std::env::var_os("CELLDEC_DATA").map(PathBuf::from) else {
        println!("skipped: set CELLDEC_DATA to the folder that holds pbmc68k_700.h5ad");
        return;
    };
    let annotated = read_h5ad(data.join("pbmc68k_700.h5ad")).unwrap();
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("examples/data/pbmc68k_700_10x");
    assert_eq!(annotated.counts, read_10x_mtx(&folder).unwrap());
    annotated.counts.check_integers().unwrap();
    let labels = read_labels(folder.join("labels.csv"), Some("cell_type")).unwrap();
    let types = annotated.cell_annotations.get("cell_type").unwrap();
    let expected: Vec<_> = labels
        .iter()
        .map(|(_, label)| Some(label.clone()))
        .collect();
    assert_eq!(types.labels(), expected);
    let cells: Vec<_> = labels.into_iter().map(|(cell, _)| cell).collect();
    assert_eq!(annotated.counts.cell_names(), cells);
    for (name, shape, types) in [
        ("pbmc2100_top2000.h5ad", (2100, 2000), 8),
        ("pbmc4k_top2000.h5ad", (4271, 2000), 8),
        ("worm2100_top2000.h5ad", (2100, 2000), 10),
        ("worm_neuron_full.h5ad", (4186, 13488), 10),
    ] {
        let found = read_h5ad(data.join(name)).unwrap();
        assert_eq!(
            (found.counts.cells(), found.counts.genes()),
            shape,
            "{name}"
        );
        found.counts.check_integers().unwrap();
        let Some(Annotation::Categorical { categories, .. }) =
            found.cell_annotations.get("cell_type")
        else {
            panic!("{name} has no categorical cell_type");
        };
        assert_eq!(categories.len(), types, "{name}");
    }
}
