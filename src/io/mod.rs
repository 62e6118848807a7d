//! Files in and out: 10x MTX folders and `.h5` matrices, delimited tables, AnnData `.h5ad`, MuData
//! `.h5mu` and Loom.
//!
//! Every reader returns a valid [`CountMatrix`] (cells × genes) with names, or an
//! [`crate::Error`] that names the file, the line (or the HDF5 path) and what to do. Readers
//! treat files as hostile: numbers in headers are checked against the file before memory is
//! reserved for them, and everything that is kept is counted in a budget of 40 MB and 25 bytes for
//! each of plain text, 100 for each of a compressed or HDF5 file
//! ([`crate::Error::MemoryLimit`]). Pipes and devices are not read.
//!
//! Writers are atomic: a file appears under its name only when it is complete and on disk, with the
//! owner, group and permissions of the one that it replaces (not its hard links, access lists and
//! extended attributes). Symbolic links are followed. What a killed writer leaves behind is a hidden
//! file that ends in `.partial`; the next save to the same name removes it, where the file system has
//! locks to tell the dead from the living. Files that belong together are replaced together
//! ([`write_10x_mtx`]). Pipes and terminals are written to as they are.

mod annotations;
pub(crate) mod atomic;
mod budget;
mod constraint_pairs;
mod containers;
mod delimited;
mod encoding;
mod entries;
mod features;
mod format;
#[cfg(feature = "h5ad")]
mod h5ad;
#[cfg(feature = "h5ad")]
mod hdf5;
pub(crate) mod input;
#[cfg(feature = "h5ad")]
mod labelled_h5;
mod labels;
#[cfg(feature = "h5ad")]
mod loom;
mod mtx;
mod name_kinds;
mod names;
mod read_ahead;
mod table;
#[cfg(feature = "h5ad")]
mod tenx_h5;
mod text;

use std::path::Path;

use crate::counts::CountMatrix;
#[cfg(not(feature = "h5ad"))]
use crate::error::Error;
use crate::error::Result;

pub use annotations::{AnnotatedCounts, Annotation, CellAnnotations, UnreadAnnotation};
pub use atomic::check_writable;
pub use constraint_pairs::{NamedPair, PairKind, read_constraint_pairs};
pub use format::CountFormat;
#[cfg(feature = "h5ad")]
pub use h5ad::{
    CellResults, H5adContents, H5adMatrix, H5adMatrixInfo, H5adOptions, H5adResults, H5adSource,
    MatrixValues, ResultKeys, read_h5ad, write_h5ad,
};
#[cfg(feature = "h5ad")]
pub use labelled_h5::read_labelled_h5;
pub use labels::read_labels;
#[cfg(feature = "h5ad")]
pub use loom::{LoomOptions, read_loom};
pub use mtx::{GeneNames, MtxOptions, read_10x_mtx, write_10x_mtx};
pub use table::{TableOptions, read_table, write_blocks_csv, write_columns_csv, write_matrix_csv};
#[cfg(feature = "h5ad")]
pub use tenx_h5::{TenxH5Options, TenxH5Source, read_10x_h5};

/// Reads counts from any supported file or folder, chosen by [`CountFormat::of`].
///
/// | what | read by |
/// |---|---|
/// | a folder | [`read_10x_mtx`] |
/// | a table: `.csv`, `.tsv`, `.txt` or other text, optionally gzip | [`read_table`] |
/// | AnnData, MuData (feature `h5ad`) | `read_h5ad`, the matrix `X` |
/// | a 10x `.h5` matrix (feature `h5ad`) | `read_10x_h5` |
/// | a Loom file (feature `h5ad`) | `read_loom` |
/// | a `.h5` file of `X` and `Y` (feature `h5ad`) | `read_labelled_h5` |
///
/// Use the reader itself to set options or to get cell annotations.
///
/// # Errors
/// Those of [`CountFormat::of`] and of the reader.
///
/// ```
/// let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data/pbmc68k_700_10x");
/// let counts = celldec::io::read_counts(folder)?;
/// assert_eq!((counts.cells(), counts.genes()), (700, 765));
/// # Ok::<(), celldec::Error>(())
/// ```
pub fn read_counts(path: impl AsRef<Path>) -> Result<CountMatrix> {
    let path = path.as_ref();
    match CountFormat::of(path)? {
        CountFormat::TenxMtx => read_10x_mtx(path),
        CountFormat::Table => read_table(path),
        CountFormat::H5ad => read_h5ad_counts(path),
        CountFormat::TenxH5 => read_10x_h5_counts(path),
        CountFormat::Loom => read_loom_counts(path),
        CountFormat::LabelledH5 => read_labelled_h5_counts(path),
    }
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

#[cfg(feature = "h5ad")]
fn read_loom_counts(path: &Path) -> Result<CountMatrix> {
    Ok(read_loom(path)?.counts)
}

#[cfg(feature = "h5ad")]
fn read_labelled_h5_counts(path: &Path) -> Result<CountMatrix> {
    Ok(read_labelled_h5(path)?.counts)
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
fn read_loom_counts(path: &Path) -> Result<CountMatrix> {
    Err(needs_feature(path, "Loom files"))
}

#[cfg(not(feature = "h5ad"))]
fn read_labelled_h5_counts(path: &Path) -> Result<CountMatrix> {
    Err(needs_feature(path, "HDF5 files"))
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
    fn tables_are_found_by_extension() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("Counts.TSV");
        std::fs::write(&path, "\tg1\tg2\nc1\t0\t3\n").unwrap();
        let counts = read_counts(&path).unwrap();
        assert_eq!(counts.row(0), (&[1u32][..], &[3.0f32][..]));
    }
}
