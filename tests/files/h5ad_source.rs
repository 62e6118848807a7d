//! AnnData files that stay on disk: every encoding, every refusal, damaged files, real data.
//! `fixtures/h5ad/generate.py` wrote the files.
#![cfg(feature = "h5ad")]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use celldec::counts::{CountMatrix, CountSource, SimulationConfig};
use celldec::io::{AnnotatedCounts, Annotation, H5adOptions, read_h5ad, write_h5ad};
use celldec::preprocess::Preprocess;
use celldec::{Error, Result};

fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/h5ad")
        .join(name)
}

/// Rows of the open file, all at once, one by one and in an order of their own, are those of the
/// file in memory.
fn assert_same_rows(options: &H5adOptions, path: &Path) {
    let counts = options.read(path).unwrap().counts;
    let source = options.open(path).unwrap();
    assert_eq!(source.cell_names(), counts.cell_names());
    assert_eq!(source.gene_names(), counts.gene_names());
    let rows = source.read_window(0..counts.cells()).unwrap();
    assert_eq!(rows.genes(), counts.genes());
    assert_eq!(rows.stored(), counts.stored());
    for cell in 0..counts.cells() {
        assert_eq!(rows.row(cell), counts.row(cell));
    }
    let picks: Vec<usize> = (0..9).map(|pick| pick * 7919 % counts.cells()).collect();
    let rows = source.read_cells(&picks).unwrap();
    for (row, &cell) in picks.iter().enumerate() {
        assert_eq!(rows.row(row), counts.row(cell));
        let alone = source.read_window(cell..cell + 1).unwrap();
        assert_eq!(alone.row(0), counts.row(cell));
    }
    assert_eq!(source.read_window(2..2).unwrap().cells(), 0);
    let beyond = source.read_window(1..counts.cells() + 1).unwrap_err();
    assert!(beyond.to_string().contains("were asked for"), "{beyond}");
}

#[test]
fn every_encoding_by_cells_is_read_in_windows() {
    let path = fixture("matrices.h5ad");
    assert_same_rows(&H5adOptions::new(), &path);
    for layer in ["dense_f64", "dense_u16", "bool"] {
        assert_same_rows(&H5adOptions::new().with_layer(layer), &path);
    }
    assert_same_rows(&H5adOptions::new().with_raw(), &path);
    assert_same_rows(&H5adOptions::new(), &fixture("anndata_0_7.h5ad"));
    let options = H5adOptions::new().with_layer("counts");
    assert_same_rows(&options, &fixture("missing_x.h5ad"));
}

#[test]
fn files_of_genes_by_cells_are_refused_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("turned.h5ad");
    let strings = |names: &[&str]| names.iter().map(|name| name.to_string()).collect();
    let turned = CountMatrix::from_dense(ndarray::Array2::ones((3, 2)).view())
        .unwrap()
        .with_names(
            strings(&["ENSG00000111640", "ENSG00000075624", "ENSG00000198851"]),
            strings(&["AAACCCAAGAAACACT-1", "AAACCCAAGAAACCAT-1"]),
        )
        .unwrap();
    write_h5ad(&path, &AnnotatedCounts::new(turned)).unwrap();
    let message = H5adOptions::new().open(&path).unwrap_err().to_string();
    assert!(message.contains("`adata = adata.T`"), "{message}");
    assert_eq!(read_h5ad(&path).unwrap_err().to_string(), message);
}

#[test]
fn matrices_by_genes_are_refused_with_what_to_do() {
    for layer in ["csc", "csc_i64"] {
        let message = H5adOptions::new()
            .with_layer(layer)
            .open(fixture("matrices.h5ad"))
            .unwrap_err()
            .to_string();
        assert!(message.contains("CSC"), "{message}");
        assert!(message.contains("tocsr()"), "{message}");
    }
}

#[test]
fn what_reading_refuses_opening_refuses() {
    for (file, options) in [
        ("missing_x.h5ad", H5adOptions::new()),
        ("hostile.h5ad", H5adOptions::new()),
        ("matrices.h5ad", H5adOptions::new().with_layer("absent")),
    ] {
        let path = fixture(file);
        let expected = options.read(&path).unwrap_err().to_string();
        assert_eq!(options.open(&path).unwrap_err().to_string(), expected);
    }
    assert!(matches!(
        H5adOptions::new().open("absent.h5ad"),
        Err(Error::Io { .. })
    ));
}

#[test]
fn values_that_are_no_counts_are_named_when_they_are_read() {
    let options = H5adOptions::new().with_layer("negative");
    let path = fixture("matrices.h5ad");
    let source = options.open(&path).unwrap();
    let error = Preprocess::scdcc()
        .fit_source(Arc::new(source))
        .unwrap_err();
    let expected = options.read(&path).unwrap_err();
    assert_eq!(error.to_string(), expected.to_string());
}

#[test]
fn annotations_are_read_when_they_are_asked_for() {
    let path = fixture("annotations.h5ad");
    let expected = read_h5ad(&path).unwrap().cell_annotations;
    let source = H5adOptions::new().open(&path).unwrap();
    let found = source.cell_annotations().unwrap();
    assert_eq!(found.get("cell_type"), expected.get("cell_type"));
    assert_eq!(found.len(), expected.len());

    let one = H5adOptions::new().with_annotations(["cell_type"]);
    let found = one.open(&path).unwrap().cell_annotations().unwrap();
    assert_eq!(found.names().collect::<Vec<_>>(), ["cell_type"]);
    let absent = H5adOptions::new().with_annotations(["absent"]);
    assert!(absent.open(&path).unwrap().cell_annotations().is_err());
    // A column that cannot be read is no reason not to open the file.
    assert!(H5adOptions::new().open(fixture("unsupported.h5ad")).is_ok());
}

/// Counts of which the written file has several compressed chunks.
fn large_counts() -> CountMatrix {
    SimulationConfig::new(4000, 300)
        .with_library_size(400.0, 0.3)
        .with_seed(3)
        .simulate()
        .unwrap()
        .counts
}

#[test]
fn compressed_chunks_give_the_bits_of_memory() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("counts.h5ad");
    let counts = large_counts();
    // More than two chunks of 65 536 entries.
    assert!(counts.stored() > 200_000);
    let donors = (0..4000).map(|cell| Some((cell % 3) as i64)).collect();
    let data = AnnotatedCounts::new(counts.clone())
        .with_annotation("donor", Annotation::Integers(donors))
        .unwrap();
    write_h5ad(&path, &data).unwrap();
    assert_same_rows(&H5adOptions::new(), &path);

    let source = Arc::new(H5adOptions::new().open(&path).unwrap());
    let annotations = source.cell_annotations().unwrap();
    let donors: Vec<String> = annotations
        .get("donor")
        .unwrap()
        .labels()
        .into_iter()
        .flatten()
        .collect();
    let recipe = Preprocess::scdcc();
    let on_disk = recipe.fit_source_with_batches(source, &donors).unwrap();
    let in_memory = recipe.fit_with_batches(&counts, &donors).unwrap();
    assert_eq!(
        on_disk.fingerprint().unwrap(),
        in_memory.fingerprint().unwrap()
    );
    assert_eq!(on_disk.preprocessing(), in_memory.preprocessing());
}

#[test]
fn damage_within_counts_is_an_error_of_the_file_when_they_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("damaged.h5ad");
    write_h5ad(&path, &AnnotatedCounts::new(large_counts())).unwrap();
    let whole = std::fs::read(&path).unwrap();
    let sweep = || -> Result<()> {
        let source = H5adOptions::new().open(&path)?;
        for start in (0..4000).step_by(500) {
            source.read_window(start..start + 500)?;
        }
        Ok(())
    };
    sweep().unwrap();
    let mut found_while_reading = 0;
    // Most of the file is compressed counts: their checksum or their values show the damage.
    for place in 1..12 {
        let mut damaged = whole.clone();
        let start = whole.len() * place / 12;
        for byte in &mut damaged[start..start + 200] {
            *byte ^= 0x5a;
        }
        std::fs::write(&path, &damaged).unwrap();
        if let Err(error) = sweep() {
            let named = matches!(
                error,
                Error::Format { .. }
                    | Error::Io { .. }
                    | Error::NonFiniteCount { .. }
                    | Error::NegativeCount { .. }
            );
            assert!(named, "{error}");
            found_while_reading += usize::from(H5adOptions::new().open(&path).is_ok());
        }
        std::fs::write(&path, &whole[..start]).unwrap();
        assert!(sweep().is_err(), "cut at {place}/12");
    }
    assert!(found_while_reading >= 6, "{found_while_reading}");
}

#[test]
fn changed_bytes_never_panic() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("damaged.h5ad");
    let whole = std::fs::read(fixture("annotations.h5ad")).unwrap();
    for position in (0..whole.len()).step_by(53) {
        for mask in [0xff, 0x01, 0x80] {
            let mut changed = whole.clone();
            changed[position] ^= mask;
            std::fs::write(&path, &changed).unwrap();
            if let Ok(source) = H5adOptions::new().open(&path) {
                let _ = Preprocess::scdcc().fit_source(Arc::new(source));
            }
        }
    }
}

#[test]
fn real_files_give_the_preprocessing_of_memory() {
    let Some(data) = std::env::var_os("CELLDEC_DATA").map(PathBuf::from) else {
        println!("skipped: set CELLDEC_DATA to the folder that holds pbmc4k_top2000.h5ad");
        return;
    };
    for (name, recipe) in [
        ("pbmc4k_top2000.h5ad", Preprocess::scdcc()),
        ("worm_neuron_full.h5ad", Preprocess::desc()),
    ] {
        let path = data.join(name);
        let source = H5adOptions::new().open(&path).unwrap();
        let on_disk = recipe.fit_source(Arc::new(source)).unwrap();
        let in_memory = recipe.fit(&read_h5ad(&path).unwrap().counts).unwrap();
        assert_eq!(on_disk.preprocessing(), in_memory.preprocessing());
        assert_eq!(
            on_disk.fingerprint().unwrap(),
            in_memory.fingerprint().unwrap()
        );
    }
}
