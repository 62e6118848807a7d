//! Files in and out: 10x MTX folders and `.h5` matrices, delimited tables, AnnData `.h5ad`.
//!
//! Every reader returns a valid [`CountMatrix`] (cells × genes) with names, or an
//! [`Error`] that names the file, the line (or the HDF5 path) and what to do. Readers
//! treat files as hostile: numbers in headers are checked against the file before memory is
//! reserved for them, and compressed text may not grow without bound. Writers are atomic: a file
//! appears under its name only when it is complete.

mod annotations;
pub(crate) mod atomic;
mod features;
#[cfg(feature = "h5ad")]
mod h5ad;
#[cfg(feature = "h5ad")]
mod hdf5;
mod labels;
mod mtx;
mod names;
mod read_ahead;
mod table;
#[cfg(feature = "h5ad")]
mod tenx_h5;
mod text;

use std::path::Path;

use crate::counts::CountMatrix;
use crate::error::{Error, Result};

pub use annotations::{AnnotatedCounts, Annotation, CellAnnotations};
#[cfg(feature = "h5ad")]
pub use h5ad::{
    CellResults, H5adMatrix, H5adOptions, H5adResults, H5adSource, ResultKeys, read_h5ad,
    write_h5ad,
};
pub use labels::read_labels;
pub use mtx::{GeneNames, MtxOptions, read_10x_mtx, write_10x_mtx};
pub use table::{TableOptions, read_table, write_columns_csv, write_matrix_csv};
#[cfg(feature = "h5ad")]
pub use tenx_h5::{TenxH5Options, read_10x_h5};

/// Reads counts from any supported file or folder, chosen by its path.
///
/// | path | read by |
/// |---|---|
/// | a folder | [`read_10x_mtx`] |
/// | `.csv`, `.tsv`, `.txt`, optionally `.gz` | [`read_table`], cells × genes |
/// | `.h5ad` (feature `h5ad`) | `read_h5ad`, the matrix `X` |
/// | `.h5` (feature `h5ad`) | `read_10x_h5` |
///
/// Use the reader itself to set options or to get cell annotations.
///
/// # Errors
/// [`Error::Format`] listing the supported formats when the path is none of them, otherwise those
/// of the reader.
///
/// ```
/// let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data/pbmc68k_700_10x");
/// let counts = celldec::io::read_counts(folder)?;
/// assert_eq!((counts.cells(), counts.genes()), (700, 765));
/// # Ok::<(), celldec::Error>(())
/// ```
pub fn read_counts(path: impl AsRef<Path>) -> Result<CountMatrix> {
    let path = path.as_ref();
    let metadata = std::fs::metadata(path).map_err(|source| Error::io(path, source))?;
    if metadata.is_dir() {
        return read_10x_mtx(path);
    }
    let name = path
        .file_name()
        .map(|name| name.to_string_lossy().to_ascii_lowercase())
        .unwrap_or_default();
    let stem = name.strip_suffix(".gz").unwrap_or(&name);
    if [".csv", ".tsv", ".txt"]
        .iter()
        .any(|extension| stem.ends_with(extension))
    {
        return read_table(path);
    }
    if name.ends_with(".h5ad") {
        return read_h5ad_counts(path);
    }
    if name.ends_with(".h5") {
        return read_10x_h5_counts(path);
    }
    let hint = if stem.ends_with(".mtx") {
        "; give the folder that holds the .mtx file together with its features and barcodes"
    } else {
        ""
    };
    Err(Error::format(
        path,
        None,
        format!(
            "cannot tell the format; supported are a 10x folder (matrix.mtx, features.tsv or \
             genes.tsv, barcodes.tsv, each plain or .gz), 10x .h5 matrices, tables (.csv, .tsv, \
             .txt, each plain or .gz) and AnnData .h5ad{hint}"
        ),
    ))
}

#[cfg(feature = "h5ad")]
fn read_h5ad_counts(path: &Path) -> Result<CountMatrix> {
    Ok(H5adOptions::new()
        .with_annotations::<String>([])
        .read(path)?
        .counts)
}

#[cfg(feature = "h5ad")]
fn read_10x_h5_counts(path: &Path) -> Result<CountMatrix> {
    read_10x_h5(path)
}

#[cfg(not(feature = "h5ad"))]
fn read_h5ad_counts(path: &Path) -> Result<CountMatrix> {
    Err(needs_feature(path, "AnnData files"))
}

#[cfg(not(feature = "h5ad"))]
fn read_10x_h5_counts(path: &Path) -> Result<CountMatrix> {
    Err(needs_feature(path, "10x .h5 matrices"))
}

#[cfg(not(feature = "h5ad"))]
fn needs_feature(path: &Path, what: &str) -> Error {
    Error::format(
        path,
        None,
        format!(
            "reading {what} needs the Cargo feature `h5ad`; enable it, or export the counts to a \
             10x MTX folder"
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_formats_are_refused_with_a_list() {
        let folder = tempfile::tempdir().unwrap();
        for (name, expected) in [
            ("counts.xlsx", "supported are"),
            ("matrix.mtx.gz", "give the folder"),
        ] {
            let path = folder.path().join(name);
            std::fs::write(&path, b"x").unwrap();
            let message = read_counts(&path).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
            assert!(message.contains(name), "{message}");
        }
        let missing = folder.path().join("missing.csv");
        assert!(matches!(read_counts(missing), Err(Error::Io { .. })));
    }

    #[test]
    fn tables_are_found_by_extension() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("Counts.TSV");
        std::fs::write(&path, "\tg1\tg2\nc1\t0\t3\n").unwrap();
        let counts = read_counts(&path).unwrap();
        assert_eq!(counts.row(0), (&[1u32][..], &[3.0f32][..]));
    }
}
