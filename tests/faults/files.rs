//! Rows 27 and 28: files that are damaged, that lie, or that hold something unusual.

use std::io::Write;

use celldec::io::{read_10x_mtx, read_labels, read_table, write_10x_mtx, write_columns_csv};
use flate2::Compression;
use flate2::write::GzEncoder;

use super::*;

/// Bytes to try: every one of a short file, about `most` of a long one.
fn steps(length: usize, most: usize) -> impl Iterator<Item = usize> {
    (0..length).step_by((length / most).max(1))
}

/// What a reader says about a file, told apart only by whether it succeeds.
type Reader = Box<dyn Fn(&Path) -> Result<CountMatrix>>;

/// A sound file of every format with its reader.
fn sound(folder: &Path) -> Vec<(PathBuf, Reader)> {
    let original = counts("A", 12);
    let mtx = folder.join("mtx");
    write_10x_mtx(&mtx, &original).unwrap();
    let of_folder = |path: &Path| read_10x_mtx(path.parent().unwrap());
    let mut files: Vec<(PathBuf, Reader)> = ["matrix.mtx.gz", "barcodes.tsv.gz", "features.tsv.gz"]
        .into_iter()
        .map(|name| (mtx.join(name), Box::new(of_folder) as Reader))
        .collect();
    let table = folder.join("table.csv.gz");
    let dense = original.to_dense();
    let names = (original.cell_names(), original.gene_names());
    celldec::io::write_matrix_csv(&table, names.0, names.1, dense.view()).unwrap();
    files.push((table, Box::new(|path: &Path| read_table(path))));
    #[cfg(feature = "h5ad")]
    {
        use celldec::io::{AnnotatedCounts, read_counts, write_h5ad};
        let path = folder.join("cells.h5ad");
        write_h5ad(&path, &AnnotatedCounts::new(original)).unwrap();
        files.push((path, Box::new(|path: &Path| read_counts(path))));
        let fixture =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tenx/version_3.h5");
        let path = folder.join("matrix.h5");
        fs::copy(fixture, &path).unwrap();
        files.push((path, Box::new(|path: &Path| read_counts(path))));
    }
    files
}

pub fn row_27_every_truncation_of_a_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    for (path, read) in sound(folder.path()) {
        let whole = fs::read(&path).unwrap();
        let expected = read(&path).unwrap();
        for length in steps(whole.len(), 150) {
            fs::write(&path, &whole[..length]).unwrap();
            match read(&path) {
                Err(error) => {
                    let message = error.to_string();
                    assert!(
                        message.contains(&*folder.path().to_string_lossy()),
                        "{message}"
                    );
                }
                // Bytes at the end of HDF5 files may belong to nothing that is read.
                Ok(found) => {
                    assert!(
                        path.extension()
                            .is_some_and(|end| end == "h5" || end == "h5ad")
                    );
                    assert_eq!(found, expected, "{} of {} bytes", length, whole.len());
                }
            }
        }
        fs::write(&path, &whole).unwrap();
        assert_eq!(read(&path).unwrap(), expected);
    }
}

pub fn row_27_flipped_bits_are_refused_or_counts() {
    let folder = tempfile::tempdir().unwrap();
    for (path, read) in sound(folder.path()) {
        let whole = fs::read(&path).unwrap();
        let packed = path.extension().is_some_and(|end| end == "gz");
        let expected = read(&path).unwrap();
        for byte in steps(whole.len(), 300) {
            let mut changed = whole.clone();
            changed[byte] ^= 1 << (byte % 8);
            fs::write(&path, &changed).unwrap();
            match read(&path) {
                Err(_) => {}
                // The header of gzip holds a time and the like; the rest has a checksum.
                Ok(found) if packed => assert_eq!(found, expected, "byte {byte}"),
                Ok(found) => assert!(
                    found
                        .values()
                        .iter()
                        .all(|value| value.is_finite() && *value > 0.0)
                ),
            }
        }
        fs::write(&path, &whole).unwrap();
    }
}

pub fn row_27_lengths_that_lie_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    write_10x_mtx(folder.path(), &counts("A", 3)).unwrap();
    let write = |name: &str, text: &str| {
        let file = fs::File::create(folder.path().join(name)).unwrap();
        let mut encoder = GzEncoder::new(file, Compression::default());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap();
    };
    let banner = "%%MatrixMarket matrix coordinate integer general\n";
    for (size, expected) in [
        ("40 3 18446744073709551615", "18446744073709551615"),
        ("40 3 99999999999999999999", "line 2"),
        ("40 3 4000000000", "4000000000"),
        ("40 4294967296 1", "4294967296"),
        ("4294967297 3 1", "4294967297"),
        ("40 3 -1", "line 2"),
        ("40 3 2", "2"),
        ("40 3 0", "line"),
    ] {
        write("matrix.mtx.gz", &format!("{banner}{size}\n1 1 1\n"));
        let error = read_10x_mtx(folder.path()).expect_err(size).to_string();
        assert!(
            error.contains("matrix.mtx.gz") && error.contains(expected),
            "{size}: {error}"
        );
    }
    #[cfg(feature = "h5ad")]
    for name in ["h5ad/hostile.h5ad", "tenx/hostile.h5"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/fixtures")
            .join(name);
        let error = celldec::io::read_counts(&path).expect_err(name).to_string();
        assert!(error.contains("hostile"), "{error}");
    }
}

/// The budget itself is measured in `tests/allocation.rs`.
pub fn row_27_gzip_bombs_are_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let bomb = |name: &str, start: &str, block: &str| {
        let path = folder.path().join(name);
        let mut encoder = GzEncoder::new(fs::File::create(&path).unwrap(), Compression::best());
        encoder.write_all(start.as_bytes()).unwrap();
        let many = block.repeat(1 << 16);
        for _ in 0..400 {
            encoder.write_all(many.as_bytes()).unwrap();
        }
        encoder.finish().unwrap();
        path
    };
    let path = bomb("table.csv.gz", "x,a\n", ",0\n");
    let error = read_table(&path).unwrap_err();
    assert!(error.to_string().contains("table.csv.gz"), "{error}");
    let path = bomb("labels.csv.gz", "c,l\n", "a,b\n");
    let error = read_labels(&path, None).unwrap_err();
    assert!(error.to_string().contains("labels.csv.gz"), "{error}");
    write_10x_mtx(folder.path(), &counts("A", 3)).unwrap();
    bomb("barcodes.tsv.gz", "", "c\n");
    let error = read_10x_mtx(folder.path()).unwrap_err();
    assert!(error.to_string().contains("barcodes.tsv.gz"), "{error}");
    // What is large and honest is read.
    let names: Vec<String> = (0..200_000).map(|cell| format!("cell {cell}")).collect();
    let path = folder.path().join("large.csv.gz");
    write_columns_csv(&path, &[("cell", &names), ("label", &names)]).unwrap();
    assert_eq!(read_labels(&path, None).unwrap().len(), names.len());
}

#[cfg(feature = "h5ad")]
pub fn row_28_encodings_are_read_or_named() {
    use celldec::io::{H5adOptions, read_h5ad};
    let fixture = |name: &str| {
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/fixtures/h5ad")
            .join(name)
    };
    let annotated = read_h5ad(fixture("annotations.h5ad")).unwrap();
    for (name, column) in annotated.cell_annotations.iter() {
        assert_eq!(column.len(), annotated.counts.cells(), "{name}");
    }
    assert!(
        annotated.cell_annotations.len() > 4,
        "categories, texts, numbers, booleans"
    );
    // Nested `uns` is none of our business.
    assert!(read_h5ad(fixture("matrices.h5ad")).is_ok());
    let missing = read_h5ad(fixture("missing_x.h5ad"))
        .unwrap_err()
        .to_string();
    assert!(missing.contains("with_layer"), "{missing}");
    // A column that cannot be read is named, the others are read.
    let unsupported = read_h5ad(fixture("unsupported.h5ad")).unwrap();
    let [unread] = unsupported.cell_annotations.unread() else {
        panic!("{:?}", unsupported.cell_annotations);
    };
    assert!(unread.reason.contains("/obs/"), "{unread:?}");
    let without = H5adOptions::new().with_annotations([""; 0]);
    assert!(without.read(fixture("unsupported.h5ad")).is_ok());
}
