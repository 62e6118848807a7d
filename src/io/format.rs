//! Which format a file of counts has.

use std::path::Path;

use super::containers::Container;
use super::delimited::read_head;
#[cfg(not(feature = "h5ad"))]
use super::input::open_file;
use super::text::Lines;
use crate::error::{Error, Result};

/// The first bytes of every HDF5 file without a user block.
#[cfg(not(feature = "h5ad"))]
const HDF5_SIGNATURE: [u8; 8] = *b"\x89HDF\r\n\x1a\n";

/// The formats that counts are read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CountFormat {
    /// A 10x folder of matrix, features and barcodes: [`MtxOptions`](super::MtxOptions).
    TenxMtx,
    /// A 10x `.h5` matrix: `TenxH5Options` (feature `h5ad`).
    TenxH5,
    /// AnnData: `H5adOptions` (feature `h5ad`).
    H5ad,
    /// A delimited table: [`TableOptions`](super::TableOptions).
    Table,
    /// A Loom file: `LoomOptions` (feature `h5ad`).
    Loom,
    /// An HDF5 file of a matrix `X` and labels `Y`: `read_labelled_h5` (feature `h5ad`).
    LabelledH5,
}

impl CountFormat {
    /// The format of what lies at a path.
    ///
    /// A folder is a 10x folder. HDF5 files are told apart by what is in them, whatever their name,
    /// also when they are compressed by gzip as a whole (by their extension when the feature `h5ad`
    /// is off). Tables are known by their extension, `.csv`, `.tsv` or `.txt`, optionally `.gz`, and
    /// otherwise by lines of several fields.
    ///
    /// # Errors
    /// [`Error::Format`] listing the supported formats when it is none of them, or with the way to
    /// convert it for a Zarr store, an h5Seurat file, an object of R or a workbook; [`Error::Io`] when
    /// the path cannot be read.
    ///
    /// ```
    /// use celldec::io::CountFormat;
    ///
    /// let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data/pbmc68k_700_10x");
    /// assert_eq!(CountFormat::of(folder)?, CountFormat::TenxMtx);
    /// # Ok::<(), celldec::Error>(())
    /// ```
    pub fn of(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let metadata = std::fs::metadata(path).map_err(|source| Error::io(path, source))?;
        if metadata.is_dir() {
            return match Container::of_folder(path) {
                Some(container) => Err(container.refusal(path)),
                None => Ok(Self::TenxMtx),
            };
        }
        let name = path
            .file_name()
            .map(|name| name.to_string_lossy().to_ascii_lowercase())
            .unwrap_or_default();
        let by_name = Self::by_name(&name);
        if starts_as_hdf5(path)? {
            return within_hdf5(path, by_name);
        }
        if let Some(container) = Container::of_file(path)? {
            return Err(container.refusal(path));
        }
        let is_mtx = name.trim_end_matches(".gz").ends_with(".mtx");
        let by_content = || (!is_mtx && is_table(path)).then_some(Self::Table);
        by_name.or_else(by_content).ok_or_else(|| {
            let hint = if is_mtx {
                "; give the folder that holds the .mtx file together with its features and barcodes"
            } else {
                ""
            };
            Error::format(
                path,
                None,
                format!(
                    "cannot tell the format; supported are a 10x folder (matrix.mtx, features.tsv \
                     or genes.tsv, barcodes.tsv, each plain or .gz), 10x .h5 matrices, tables \
                     (.csv, .tsv, .txt, each plain or .gz) and AnnData .h5ad{hint}"
                ),
            )
        })
    }

    fn by_name(name: &str) -> Option<Self> {
        let stem = name.strip_suffix(".gz").unwrap_or(name);
        if [".csv", ".tsv", ".txt"]
            .iter()
            .any(|extension| stem.ends_with(extension))
        {
            Some(Self::Table)
        } else if stem.ends_with(".h5ad") || stem.ends_with(".h5mu") {
            Some(Self::H5ad)
        } else if stem.ends_with(".h5") {
            Some(Self::TenxH5)
        } else if stem.ends_with(".loom") {
            Some(Self::Loom)
        } else {
            None
        }
    }
}

/// Whether the first lines are those of a table; what cannot be read as text is none.
fn is_table(path: &Path) -> bool {
    let head = Lines::open(path).and_then(|mut lines| read_head(&mut lines, None));
    let Ok(Some(head)) = head else { return false };
    let divided = |line: &[u8]| head.separator.count(line).is_some_and(|fields| fields > 1);
    divided(&head.header) && head.first.as_deref().is_some_and(divided)
}

#[cfg(feature = "h5ad")]
fn starts_as_hdf5(path: &Path) -> Result<bool> {
    super::hdf5::is_hdf5(path)
}

#[cfg(not(feature = "h5ad"))]
fn starts_as_hdf5(path: &Path) -> Result<bool> {
    use std::io::Read;
    let mut start = Vec::with_capacity(HDF5_SIGNATURE.len());
    let (file, _) = open_file(path)?;
    file.take(HDF5_SIGNATURE.len() as u64)
        .read_to_end(&mut start)
        .map_err(|source| Error::io(path, source))?;
    Ok(start == HDF5_SIGNATURE)
}

/// AnnData has a frame of cells, MuData modalities, Loom attributes of rows and columns; 10x matrices
/// have none of these.
#[cfg(feature = "h5ad")]
fn within_hdf5(path: &Path, _by_name: Option<CountFormat>) -> Result<CountFormat> {
    let store = super::hdf5::Store::open_on_disk(path)?;
    if store.exists("/obs")? || store.is_group("/mod")? {
        return Ok(CountFormat::H5ad);
    }
    if store.exists("/matrix")? && store.is_group("/col_attrs")? {
        return Ok(CountFormat::Loom);
    }
    if store.is_group("/assays")? {
        return Err(Container::Seurat.refusal(path));
    }
    if store.exists("/X")? {
        return Ok(match store.is_group("/X")? || store.exists("/var")? {
            true => CountFormat::H5ad,
            false => CountFormat::LabelledH5,
        });
    }
    Ok(CountFormat::TenxH5)
}

#[cfg(not(feature = "h5ad"))]
fn within_hdf5(_path: &Path, by_name: Option<CountFormat>) -> Result<CountFormat> {
    Ok(match by_name {
        Some(format @ (CountFormat::H5ad | CountFormat::Loom)) => format,
        _ => CountFormat::TenxH5,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_known_by_their_extension_or_their_lines() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["counts.csv", "Counts.TSV", "counts.txt.gz"] {
            let path = folder.path().join(name);
            std::fs::write(&path, "x").unwrap();
            assert_eq!(CountFormat::of(&path).unwrap(), CountFormat::Table);
        }
        for name in ["counts", "GSM1.dge", "counts.tab.1"] {
            let path = folder.path().join(name);
            std::fs::write(&path, "GENE\ta\tb\nCD4\t1\t2\n").unwrap();
            assert_eq!(CountFormat::of(&path).unwrap(), CountFormat::Table);
        }
    }

    #[test]
    fn other_files_are_refused_with_a_list() {
        let folder = tempfile::tempdir().unwrap();
        for (name, expected) in [
            ("counts.dat", "supported are"),
            ("matrix.mtx.gz", "give the folder"),
        ] {
            let path = folder.path().join(name);
            std::fs::write(&path, b"x").unwrap();
            let message = CountFormat::of(&path).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
            assert!(message.contains(name), "{message}");
        }
        let missing = CountFormat::of(folder.path().join("missing.csv"));
        assert!(matches!(missing, Err(Error::Io { .. })));
    }

    /// Downloads are renamed, and AnnData is saved as `.h5`.
    #[cfg(feature = "h5ad")]
    #[test]
    fn hdf5_files_are_told_apart_by_what_is_in_them() {
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
        let folder = tempfile::tempdir().unwrap();
        for (fixture, name, expected) in [
            ("h5ad/annotations.h5ad", "cells.h5", CountFormat::H5ad),
            ("h5ad/missing_x.h5ad", "cells", CountFormat::H5ad),
            ("tenx/version_3.h5", "cells.h5ad", CountFormat::TenxH5),
            ("tenx/version_2.h5", "cells.hdf5", CountFormat::TenxH5),
        ] {
            let path = folder.path().join(name);
            std::fs::copy(fixtures.join(fixture), &path).unwrap();
            assert_eq!(CountFormat::of(&path).unwrap(), expected, "{fixture}");
            std::fs::remove_file(path).unwrap();
        }
    }
}
