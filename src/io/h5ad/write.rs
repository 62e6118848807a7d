//! New AnnData files.

use std::path::Path;

use hdf5_pure::{File, FileCreateProperties};

use super::encode::{Part, check_name, text, without_lock, write_error};
use crate::error::{Error, Result};
use crate::io::annotations::AnnotatedCounts;
use crate::io::atomic::replace_atomically;

/// Writes counts as a new AnnData file that [`read_h5ad`](super::read_h5ad) and Python's anndata
/// (0.8 and later) read: `X` is a compressed CSR matrix of 32-bit floats, annotations are the columns
/// of `obs`, embeddings the matrices of `obsm`.
///
/// An existing file is replaced when the new one is complete.
///
/// # Errors
/// [`Error::Format`] for names that AnnData cannot express (empty, or with `/`),
/// [`Error::LengthMismatch`] when a column or matrix does not fit the counts, [`Error::Io`] when
/// writing fails (an old file is then intact).
///
/// ```
/// use celldec::io::{AnnotatedCounts, Annotation, H5adOptions, write_h5ad};
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("counts.h5ad");
/// # let counts = celldec::counts::CountMatrix::from_dense(ndarray::array![[0.0, 2.0]].view())?;
/// let data = AnnotatedCounts::new(counts)
///     .with_annotation("donor", Annotation::Strings(vec![Some("D1".into())]))?
///     .with_embedding("X_pca", ndarray::array![[0.5, -0.5]])?;
/// write_h5ad(&path, &data)?;
/// assert_eq!(H5adOptions::new().with_embeddings(["X_pca"]).read(&path)?, data);
/// # Ok::<(), celldec::Error>(())
/// ```
pub fn write_h5ad(path: impl AsRef<Path>, data: &AnnotatedCounts) -> Result<()> {
    let path = path.as_ref();
    check(path, data)?;
    replace_atomically(path, |temporary| {
        let failed = |error| write_error(path, "/", error);
        let access = without_lock(temporary);
        let file = File::create_with_options(temporary.path(), FileCreateProperties::new(), access)
            .map_err(failed)?;
        fill(&file, path, data)?;
        file.commit().map_err(failed)?;
        file.close().map_err(failed)
    })
}

/// Refuses before anything is written; the fields of `data` may have been changed one by one.
fn check(path: &Path, data: &AnnotatedCounts) -> Result<()> {
    let cells = data.counts.cells();
    let columns = data
        .cell_annotations
        .iter()
        .map(|(name, column)| ("/obs", name, column.len()));
    let matrices = data
        .embeddings
        .iter()
        .map(|(name, matrix)| ("/obsm", name.as_str(), matrix.nrows()));
    for (at, name, found) in columns.chain(matrices) {
        check_name(path, at, name)?;
        if name == "_index" {
            return Err(Error::format(
                path,
                None,
                format!("at {at}: the name \"_index\" is that of the cell names; choose another"),
            ));
        }
        if found != cells {
            return Err(Error::LengthMismatch {
                what: format!("\"{name}\" of {at}"),
                expected: cells,
                found,
            });
        }
    }
    Ok(())
}

fn fill(file: &File, path: &Path, data: &AnnotatedCounts) -> Result<()> {
    let root = Part::root(file, path);
    root.set_attribute("encoding-type", text("anndata"))?;
    root.set_attribute("encoding-version", text("0.1.0"))?;
    root.counts("X", &data.counts)?;
    let obs = root.frame("obs", data.counts.cell_names())?;
    let mut columns = Vec::new();
    for (name, column) in data.cell_annotations.iter() {
        obs.annotation(name, column)?;
        columns.push(name.to_string());
    }
    obs.set_columns(&columns)?;
    root.frame("var", data.counts.gene_names())?;
    let obsm = root.dictionary("obsm")?;
    for (name, matrix) in &data.embeddings {
        obsm.matrix(name, matrix.view())?;
    }
    for name in ["layers", "obsp", "uns", "varm", "varp"] {
        root.dictionary(name)?;
    }
    Ok(())
}
