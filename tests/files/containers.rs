//! HDF5 files of other programs and of earlier versions; `fixtures/containers/generate.py` wrote them.
#![cfg(feature = "h5ad")]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use celldec::counts::{CountSource, GeneJoin, JoinedSource};
use celldec::io::{
    AnnotatedCounts, Annotation, CellResults, CountFormat, H5adContents, H5adMatrix, H5adOptions,
    H5adResults, LoomOptions, MatrixValues, read_counts, read_h5ad, read_labelled_h5, read_loom,
    write_h5ad,
};
use celldec::prelude::*;
use ndarray::Array2;

const GENES: [&str; 6] = ["CD3D", "CD3E", "LYZ", "MS4A1", "NKG7", "GNLY"];

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/containers")
        .join(name)
}

/// The formula of `generate.py`.
fn counts() -> Array2<f32> {
    Array2::from_shape_fn((12, 6), |(cell, gene)| ((7 * cell + 3 * gene) % 5) as f32)
}

fn types() -> Vec<Option<String>> {
    let name = |cell| if cell % 2 == 0 { "T" } else { "B" };
    (0..12).map(|cell| Some(name(cell).to_string())).collect()
}

fn refusal<T: std::fmt::Debug>(outcome: celldec::Result<T>, words: &[&str]) {
    let message = outcome.unwrap_err().to_string();
    for word in words {
        assert!(message.contains(word), "{word}: {message}");
    }
}

/// Adds results of every kind, and again in their place; all that was there stays.
fn extended(name: &str) {
    let folder = tempfile::tempdir().unwrap();
    let (input, output) = (fixture(name), folder.path().join("out.h5ad"));
    let results = |label: usize| {
        let matrix = Array2::from_shape_fn((12, 2), |(cell, axis)| (cell + axis) as f32);
        let results = CellResults::new(vec![label; 12])
            .with_confidence(vec![0.5; 12])
            .with_embedding(matrix.clone())
            .with_soft_assignments(matrix)
            .with_details(serde_json::json!({"seed": 7}));
        H5adResults::new().with("found", results)
    };
    results(3).check_writing(&input, &output).unwrap();
    results(3).write(&input, &output).unwrap();
    let again = folder.path().join("again.h5ad");
    results(4)
        .with_overwrite(true)
        .write(&output, &again)
        .unwrap();

    let before = read_h5ad(&input).unwrap();
    for (path, label) in [(&output, "3"), (&again, "4")] {
        let after = H5adOptions::new()
            .with_embeddings(["X_found", "found_soft_assignments"])
            .read(path)
            .unwrap();
        assert_eq!(after.counts, before.counts, "{name}");
        for (column, annotation) in before.cell_annotations.iter() {
            assert_eq!(
                after.cell_annotations.get(column),
                Some(annotation),
                "{name}"
            );
        }
        let names: Vec<&str> = after.cell_annotations.names().collect();
        assert_eq!(
            names[names.len() - 2..],
            ["found", "found_confidence"],
            "{name}"
        );
        let labels = after.cell_annotations.get("found").unwrap().labels();
        assert_eq!(labels, vec![Some(label.to_string()); 12], "{name}");
        assert_eq!(after.embedding("X_found").unwrap()[[5, 1]], 6.0, "{name}");
    }
}

#[test]
fn files_before_anndata_0_7_are_read() {
    let path = fixture("anndata_0_6.h5ad");
    let data = H5adOptions::new()
        .with_embeddings(["X_pca", "X_umap"])
        .read(&path)
        .unwrap();
    assert_eq!(data.counts.to_dense(), counts());
    assert_eq!(data.counts.gene_names(), GENES);
    assert_eq!(data.counts.cell_names()[11], "cell11");
    let names: Vec<&str> = data.cell_annotations.names().collect();
    assert_eq!(names, ["cell_type", "n", "x"]);
    let column = |name: &str| data.cell_annotations.get(name).unwrap();
    assert!(matches!(
        column("cell_type"),
        Annotation::Categorical { .. }
    ));
    assert_eq!(column("cell_type").labels(), types());
    let sums = counts().sum_axis(ndarray::Axis(1));
    let sums: Vec<Option<i64>> = sums.iter().map(|&sum| Some(sum as i64)).collect();
    assert_eq!(*column("n"), Annotation::Integers(sums));
    let halves = (0..12).map(|cell| f64::from(cell) / 2.0).collect();
    assert_eq!(*column("x"), Annotation::Floats(halves));
    assert_eq!(data.embedding("X_pca").unwrap()[[11, 1]], 23.0);
    assert_eq!(data.embedding("X_umap").unwrap()[[11, 1]], -23.0);

    let raw = H5adOptions::new().with_raw().read(&path).unwrap().counts;
    assert_eq!(raw.to_dense(), counts() * 2.0);
    let source = H5adOptions::new().open(&path).unwrap();
    let rows = source.read_window(3..5).unwrap();
    assert_eq!(rows.row(0), data.counts.row(3));
    refusal(
        H5adOptions::new().with_embeddings(["X_tsne"]).read(&path),
        &["at /obsm", "X_tsne", "there are: X_pca, X_umap"],
    );
}

/// Those of `raw` are others than those of X, which have the same name.
#[test]
fn categories_of_raw_before_anndata_0_7_are_its_own() {
    let raw = H5adOptions::new().with_raw().with_gene_names("name");
    let genes = raw.read(fixture("raw_categories.h5ad")).unwrap().counts;
    assert_eq!(genes.gene_names(), ["MS4A1", "LYZ", "NKG7"]);
    let x = H5adOptions::new().with_gene_names("name");
    let genes = x.read(fixture("raw_categories.h5ad")).unwrap().counts;
    assert_eq!(genes.gene_names(), ["MS4A1", "PPBP"]);
    refusal(
        raw.read(fixture("raw_without_categories.h5ad")),
        &["at /raw.var/name", "categories", "choose another column"],
    );
}

#[test]
fn results_are_added_to_files_of_every_layout() {
    for name in [
        "anndata_0_6.h5ad",
        "anndata_0_7.h5ad",
        "many_columns.h5ad",
        "many_columns_first_format.h5ad",
        "links.h5ad",
        "half_precision.h5ad",
        "zstd.h5ad",
        "newest_layout.h5ad",
        "cells.h5ad.gz",
        "cells.h5mu",
        "odd_columns.h5ad",
    ] {
        extended(name);
    }
    for name in ["anndata_0_7.h5ad", "unsupported.h5ad"] {
        let folder = tempfile::tempdir().unwrap();
        let old = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/h5ad");
        let results = H5adResults::new().with("found", CellResults::new(vec![0; 5]));
        let output = folder.path().join(name);
        results.write(old.join(name), &output).unwrap();
        assert!(
            read_h5ad(&output)
                .unwrap()
                .cell_annotations
                .get("found")
                .is_some()
        );
    }
}

/// Behind the end of the old file lies what is new; before it only what leads there has changed,
/// also when entries take the place of others.
#[test]
fn what_was_there_stays_byte_for_byte() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["anndata_0_7.h5ad", "many_columns.h5ad", "surroundings.h5ad"] {
        let output = folder.path().join(name);
        fs::copy(fixture(name), &output).unwrap();
        for label in 0..4 {
            let before = fs::read(&output).unwrap();
            H5adResults::new()
                .with("found", CellResults::new(vec![label; 12]))
                .with_overwrite(true)
                .write(&output, &output)
                .unwrap();
            let after = fs::read(&output).unwrap();
            let changed = before
                .iter()
                .zip(&after)
                .filter(|(one, other)| one != other);
            let changed = changed.count();
            assert!(
                changed < 6000 && after.len() > before.len(),
                "{name}: {changed}"
            );
            let found = read_h5ad(&output).unwrap().cell_annotations;
            let labels = found.get("found").unwrap().labels();
            assert_eq!(labels, vec![Some(label.to_string()); 12], "{name}");
            let names = found.names();
            assert_eq!(names.filter(|&column| column == "found").count(), 1);
        }
    }
}

#[test]
fn what_cannot_be_written_is_known_before() {
    let folder = tempfile::tempdir().unwrap();
    let input = fixture("anndata_0_7.h5ad");
    let results = H5adResults::new().with("found", CellResults::new(vec![0; 12]));
    refusal(
        results.check_writing(&input, folder.path().join("absent/out.h5ad")),
        &["absent/out.h5ad"],
    );
    refusal(results.check_writing(&input, folder.path()), &["folder"]);
    refusal(
        results.check_writing(&input, folder.path().join("out.h5ad.gz")),
        &["without .gz"],
    );
    let protected = folder.path().join("protected.h5ad");
    fs::write(&protected, b"old").unwrap();
    let mut permissions = fs::metadata(&protected).unwrap().permissions();
    permissions.set_readonly(true);
    fs::set_permissions(&protected, permissions).unwrap();
    refusal(results.check_writing(&input, &protected), &["read-only"]);
    refusal(celldec::io::check_writable(&protected), &["read-only"]);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn soft_links_are_followed_and_links_to_other_files_named() {
    let path = fixture("links.h5ad");
    let data = read_h5ad(&path).unwrap();
    assert_eq!(data.counts.to_dense(), counts());
    assert_eq!(
        data.cell_annotations.get("linked").unwrap().labels(),
        types()
    );
    let layer = H5adOptions::new().with_layer("counts").read(&path).unwrap();
    assert_eq!(layer.counts.to_dense(), counts() * 3.0);
    refusal(
        read_h5ad(fixture("external.h5ad")),
        &["at /X", "other.h5ad", "write_h5ad"],
    );
    for layer in ["virtual", "outside"] {
        let options = H5adOptions::new().with_layer(layer);
        let message = options
            .read(fixture("external.h5ad"))
            .unwrap_err()
            .to_string();
        assert!(message.contains("write_h5ad"), "{message}");
        assert!(!message.contains("damaged"), "{message}");
    }
}

#[test]
fn odd_columns_are_named_and_the_rest_is_read() {
    let path = fixture("odd_columns.h5ad");
    let data = read_h5ad(&path).unwrap();
    assert_eq!(data.counts.to_dense(), counts());
    assert_eq!(
        data.cell_annotations.names().collect::<Vec<_>>(),
        ["cell_type"]
    );
    let unread = data.cell_annotations.unread();
    let names: Vec<&str> = unread.iter().map(|column| column.name.as_str()).collect();
    assert_eq!(names, ["records", "matrix", "complex", "absent", "awkward"]);
    assert!(unread[1].reason.contains("[12, 2]"), "{}", unread[1].reason);
    assert!(
        unread[4].reason.contains("awkward-array"),
        "{}",
        unread[4].reason
    );
    refusal(
        H5adOptions::new().with_annotations(["complex"]).read(&path),
        &["at /obs/complex"],
    );
}

#[test]
fn columns_are_found_however_many_there_are() {
    for (name, last) in [
        ("many_columns.h5ad", "column_119"),
        ("many_columns_first_format.h5ad", "column_299"),
    ] {
        let data = read_h5ad(fixture(name)).unwrap();
        assert!(data.cell_annotations.get(last).is_some(), "{name}");
        assert!(data.cell_annotations.unread().is_empty(), "{name}");
    }
}

#[test]
fn the_newest_layouts_are_read() {
    let path = fixture("newest_layout.h5ad");
    let options = H5adOptions::new();
    assert_eq!(options.read(&path).unwrap().counts.to_dense(), counts());
    for layer in [
        "fixed",
        "fixed_gzip",
        "single_gzip",
        "growing",
        "growing_gzip",
        "zstd",
    ] {
        let data = options.clone().with_layer(layer).read(&path).unwrap();
        assert_eq!(data.counts.to_dense(), counts(), "{layer}");
    }
}

/// Sound files are not called damaged.
#[test]
fn chunks_that_cannot_be_found_are_to_be_rewritten() {
    let path = fixture("two_growing_axes.h5ad");
    for layer in ["written", "zstd"] {
        let options = H5adOptions::new().with_layer(layer);
        for message in [
            options.read(&path).unwrap_err().to_string(),
            options.open(&path).unwrap_err().to_string(),
        ] {
            assert!(message.contains("write_h5ad"), "{message}");
            assert!(message.contains("version-2 B-tree"), "{message}");
            assert!(!message.contains("damaged"), "{message}");
        }
    }
    let empty = H5adOptions::new().with_layer("empty").read(&path).unwrap();
    assert_eq!(empty.counts.stored(), 0);
    assert_eq!(read_h5ad(&path).unwrap().counts.to_dense(), counts());
}

#[test]
fn half_precision_is_read() {
    let path = fixture("half_precision.h5ad");
    let options = H5adOptions::new();
    for options in [
        options.clone(),
        options.clone().with_layer("big_endian"),
        options.with_layer("sparse"),
    ] {
        assert_eq!(options.read(&path).unwrap().counts.to_dense(), counts());
        let source = Arc::new(options.open(&path).unwrap());
        let on_disk = Preprocess::desc()
            .with_variable_genes(None)
            .fit_source(source)
            .unwrap();
        assert_eq!(on_disk.cells(), 12);
    }
}

#[test]
fn zstandard_is_read_and_other_filters_are_named() {
    let path = fixture("zstd.h5ad");
    let data = read_h5ad(&path).unwrap();
    assert_eq!(data.counts.to_dense(), counts());
    assert_eq!(data.counts.gene_names(), GENES);
    assert_eq!(
        data.cell_annotations.get("cell_type").unwrap().labels(),
        types()
    );
    let dense = H5adOptions::new().with_layer("dense").read(&path).unwrap();
    assert_eq!(dense.counts.to_dense(), counts());
    let source = H5adOptions::new().open(&path).unwrap();
    assert_eq!(source.read_window(2..3).unwrap().row(0), data.counts.row(2));
    refusal(
        read_h5ad(fixture("blosc.h5ad")),
        &[
            "at /X",
            "compressed with Blosc",
            "32001",
            "hdf5plugin",
            "write_h5ad",
        ],
    );
}

#[test]
fn chunks_that_were_never_written_hold_the_fill_value() {
    let path = fixture("unwritten.h5ad");
    let mut expected = Array2::from_elem((12, 6), 3.0);
    let written = ndarray::s![5..10, ..];
    expected.slice_mut(written).assign(&counts().slice(written));
    for name in ["plain", "gzip", "zstd"] {
        let options = H5adOptions::new().with_layer(name);
        let found = options.read(&path).unwrap().counts;
        assert_eq!(found.to_dense(), expected, "{name}");
        let source = options.open(&path).unwrap();
        assert_eq!(source.read_window(3..4).unwrap().row(0), found.row(3));
        let options = H5adOptions::new().with_layer(format!("{name}_all"));
        let nothing = options.read(&path).unwrap().counts.to_dense();
        assert_eq!(nothing, Array2::from_elem((12, 6), 3.0), "{name}");
    }
}

/// Every place of the compressed file is damaged once: an error or the same counts, never a panic.
#[test]
fn damaged_files_are_errors() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("damaged.h5ad");
    for name in [
        "zstd.h5ad",
        "anndata_0_6.h5ad",
        "many_columns.h5ad",
        "links.h5ad",
    ] {
        let whole = fs::read(fixture(name)).unwrap();
        let step = whole.len() / 60;
        for position in (0..whole.len()).step_by(step) {
            for byte in [0, 0xff] {
                let mut bytes = whole.clone();
                bytes[position] = byte;
                fs::write(&path, &bytes).unwrap();
                let _ = read_h5ad(&path);
                let _ = H5adContents::of(&path);
                let results = H5adResults::new().with("found", CellResults::new(vec![0; 12]));
                let _ = results.check(&path);
            }
        }
        fs::write(&path, &whole[..whole.len() / 2]).unwrap();
        assert!(read_h5ad(&path).is_err(), "{name}");
    }
    let whole = fs::read(fixture("cells.h5ad.gz")).unwrap();
    fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    refusal(read_h5ad(&path), &["gzip"]);
}

#[test]
fn files_that_are_compressed_as_a_whole_are_known_by_content() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["GSM1_cells.h5ad.gz", "cells.h5ad", "cells"] {
        let path = folder.path().join(name);
        fs::copy(fixture("cells.h5ad.gz"), &path).unwrap();
        assert_eq!(CountFormat::of(&path).unwrap(), CountFormat::H5ad);
        assert_eq!(read_counts(&path).unwrap().to_dense(), counts(), "{name}");
        let source = H5adOptions::new().open(&path).unwrap();
        assert_eq!(source.cell_names().len(), 12);
    }
}

#[test]
fn counts_elsewhere_are_found() {
    let contents = H5adContents::of(fixture("counts_in_layer.h5ad")).unwrap();
    assert_eq!(contents.counts(), Some(&H5adMatrix::Layer("counts".into())));
    assert_eq!(contents.annotations, ["cell_type"]);
    assert_eq!(contents.matrices.len(), 3);
    assert_eq!(contents.matrices[0].shape, [12, 6]);
    assert!(matches!(contents.matrices[0].values, MatrixValues::Others(value) if value > 0.6));

    let path = fixture("counts_in_raw.h5ad");
    let contents = H5adContents::of(&path).unwrap();
    assert_eq!(contents.counts(), Some(&H5adMatrix::Raw));
    assert_eq!(contents.gene_annotations, ["feature_name"]);
    let raw = H5adOptions::new().with_raw();
    let counts = raw.read(&path).unwrap().counts;
    assert_eq!(counts.gene_names()[0], "ENSG00000000000");
    refusal(read_h5ad(&path), &["counts are in raw", "with_raw"]);

    let symbols = GENES.map(String::from);
    for options in [
        raw.clone().with_gene_names("feature_name"),
        raw.clone().with_gene_names_like(&symbols),
    ] {
        assert_eq!(options.read(&path).unwrap().counts.gene_names(), GENES);
        assert_eq!(options.open(&path).unwrap().gene_names(), GENES);
    }
    refusal(
        raw.with_gene_names("symbol").read(&path),
        &["at /raw/var", "no column \"symbol\"", "feature_name"],
    );
    // Identifiers with other versions, or none, are the same genes.
    let versions = H5adOptions::new()
        .with_layer("counts")
        .with_gene_names_like(counts.gene_names());
    let found = versions
        .read(fixture("counts_in_layer.h5ad"))
        .unwrap()
        .counts;
    assert_eq!(found.gene_names(), counts.gene_names());
}

/// Fractions are found when counts are prepared, where the file is no longer at hand.
#[test]
fn fractions_are_refused_with_the_matrix_that_holds_counts() {
    let path = fixture("counts_in_layer.h5ad");
    let words = [
        "counts_in_layer.h5ad: X holds no counts",
        "counts are in layers/counts: `H5adOptions::with_layer(\"counts\")`",
    ];
    let in_memory = read_h5ad(&path).unwrap().counts;
    refusal(Preprocess::scdcc().fit(&in_memory), &words);
    refusal(in_memory.check_integers(), &words);
    let some = in_memory.select_cells(&[3, 4, 5]).unwrap();
    refusal(Preprocess::scdcc().fit(&some), &words);
    let source: Arc<dyn CountSource> = Arc::new(H5adOptions::new().open(&path).unwrap());
    refusal(Preprocess::scdcc().fit_source(source.clone()), &words);
    let joined = JoinedSource::new([("one", source)], GeneJoin::Shared).unwrap();
    refusal(Preprocess::scdcc().fit_source(Arc::new(joined)), &words);
    let layer = H5adOptions::new()
        .with_layer("lognorm")
        .read(&path)
        .unwrap();
    refusal(
        Preprocess::scdcc().fit(&layer.counts),
        &["layers/lognorm holds no counts", "with_layer(\"counts\")"],
    );

    // Negative values are found on reading in memory, and by the fit on disk.
    let path = fixture("counts_in_raw.h5ad");
    let source = H5adOptions::new().open(&path).unwrap();
    refusal(
        Preprocess::scdcc().fit_source(Arc::new(source)),
        &["counts are in raw: `H5adOptions::with_raw()`"],
    );

    // Estimated counts stay what they are where they are allowed, and where nothing else is counts.
    Preprocess::scdcc()
        .with_allow_fractional(true)
        .fit(&in_memory)
        .unwrap();
    let folder = tempfile::tempdir().unwrap();
    let alone = folder.path().join("alone.h5ad");
    write_h5ad(&alone, &AnnotatedCounts::new(in_memory)).unwrap();
    let refused = Preprocess::scdcc().fit(&read_h5ad(&alone).unwrap().counts);
    refusal(refused, &["values are not integers"]);
}

#[test]
fn loom_files_are_read() {
    let path = fixture("cells.loom");
    assert_eq!(CountFormat::of(&path).unwrap(), CountFormat::Loom);
    let data = read_loom(&path).unwrap();
    assert_eq!(data.counts.to_dense(), counts());
    assert_eq!(data.counts.gene_names(), GENES);
    assert_eq!(data.counts.cell_names()[11], "cell11");
    assert_eq!(
        data.cell_annotations.get("ClusterName").unwrap().labels(),
        types()
    );
    assert_eq!(data.cell_annotations.unread()[0].name, "two");
    assert_eq!(read_counts(&path).unwrap(), data.counts);
    let options = LoomOptions::new()
        .with_layer("spliced")
        .with_gene_names("Accession");
    let spliced = options.read(&path).unwrap().counts;
    assert_eq!(spliced.to_dense(), counts());
    assert_eq!(spliced.gene_names()[5], "ENSG00000000005");
    refusal(
        LoomOptions::new().with_layer("unspliced").read(&path),
        &["at /layers/unspliced", "layers: spliced"],
    );
}

#[test]
fn the_modality_of_genes_is_read() {
    let path = fixture("cells.h5mu");
    assert_eq!(CountFormat::of(&path).unwrap(), CountFormat::H5ad);
    let data = read_h5ad(&path).unwrap();
    assert_eq!(data.counts.to_dense(), counts());
    assert_eq!(
        data.cell_annotations.get("cell_type").unwrap().labels(),
        types()
    );
    refusal(
        H5adOptions::new().with_layer("counts").read(&path),
        &["at /mod/rna/layers/counts"],
    );
}

#[test]
fn labelled_files_of_authors_are_read() {
    let path = fixture("labelled.h5");
    assert_eq!(CountFormat::of(&path).unwrap(), CountFormat::LabelledH5);
    let data = read_labelled_h5(&path).unwrap();
    assert_eq!(data.counts.to_dense(), counts());
    let labels = (0..12).map(|cell| Some(cell % 2)).collect();
    assert_eq!(
        data.cell_annotations.get("Y"),
        Some(&Annotation::Integers(labels))
    );
    assert!(data.cell_annotations.get("B").is_some());
    assert_eq!(read_counts(&path).unwrap().cell_names()[11], "11");
}

#[test]
fn other_containers_are_named() {
    refusal(
        CountFormat::of(fixture("seurat.h5seurat")),
        &["h5Seurat", "SeuratDisk::Convert"],
    );
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(".zgroup"), "{}").unwrap();
    refusal(
        read_counts(folder.path()),
        &["Zarr", "read_zarr", "write_h5ad"],
    );
}
