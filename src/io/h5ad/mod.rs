//! AnnData `.h5ad` files, as written by anndata 0.7 and later.

mod append;
mod details;
mod embedding;
mod encode;
mod frame;
mod host;
mod matrix;
mod results;
mod source;
mod write;

use std::path::Path;

use super::annotations::AnnotatedCounts;
use super::hdf5::Store;

use super::names::named;
use crate::error::Result;
pub use append::H5adResults;
pub use results::{CellResults, ResultKeys};
pub use source::H5adSource;
pub use write::write_h5ad;

/// Which matrix of an AnnData file holds the counts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum H5adMatrix {
    /// The main matrix, `adata.X`.
    #[default]
    X,
    /// A layer, `adata.layers[name]`.
    Layer(String),
    /// The matrix before gene selection, `adata.raw.X`, with its own genes.
    Raw,
}

/// What to read of an AnnData file.
///
/// ```
/// use celldec::io::H5adOptions;
/// # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/h5ad/annotations.h5ad");
///
/// let data = H5adOptions::new()
///     .with_annotations(["cell_type"])
///     .read(path)?;
/// let types = data.cell_annotations.get("cell_type").map(|column| column.labels());
/// assert_eq!(types.unwrap_or_default()[..2], [Some("T".to_string()), None]);
/// # Ok::<(), celldec::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct H5adOptions {
    matrix: H5adMatrix,
    annotations: Option<Vec<String>>,
    embeddings: Vec<String>,
}

impl H5adOptions {
    /// The matrix `X` and all annotation columns.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads counts from this matrix (default: `X`).
    pub fn with_matrix(mut self, matrix: H5adMatrix) -> Self {
        self.matrix = matrix;
        self
    }

    /// Reads counts from the layer of this name.
    pub fn with_layer(self, name: impl Into<String>) -> Self {
        self.with_matrix(H5adMatrix::Layer(name.into()))
    }

    /// Reads counts from `raw`.
    pub fn with_raw(self) -> Self {
        self.with_matrix(H5adMatrix::Raw)
    }

    /// Reads only these annotation columns (default: all); the way around a column whose encoding
    /// is not supported.
    pub fn with_annotations<S: Into<String>>(
        mut self,
        columns: impl IntoIterator<Item = S>,
    ) -> Self {
        self.annotations = Some(columns.into_iter().map(Into::into).collect());
        self
    }

    /// Also reads these matrices of `obsm`, such as "X_pca" (default: none).
    pub fn with_embeddings<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        self.embeddings = names.into_iter().map(Into::into).collect();
        self
    }

    /// Reads the file; see [`read_h5ad`].
    ///
    /// # Errors
    /// As [`read_h5ad`].
    pub fn read(&self, path: impl AsRef<Path>) -> Result<AnnotatedCounts> {
        let store = Store::open(path.as_ref())?;
        let cells = frame::read_index(&store, "/obs")?;
        let (matrix_at, genes_at) = matrix::locate(&store, &self.matrix)?;
        let genes = frame::read_index(&store, genes_at)?;
        let counts = matrix::read(&store, &matrix_at, cells.len(), genes.len());
        let cell_annotations =
            frame::read_columns(&store, "/obs", cells.len(), self.annotations.as_deref())?;
        let embeddings = embedding::read_all(&store, &self.embeddings, cells.len())?;
        store.within(genes_at, store.budget().allow_naming(cells.len(), &genes))?;
        Ok(AnnotatedCounts {
            counts: named(counts, cells, genes)?,
            cell_annotations,
            embeddings,
        })
    }
}

/// Reads an AnnData file: the matrix `X` as counts (cells × genes) and all columns of `obs`.
///
/// Matrices may be CSR, CSC or dense with any numeric type and index type; `obs` columns may be
/// categorical, text, numbers or booleans, each with missing values. [`H5adOptions`] chooses a layer
/// or `raw`, which columns to read and which matrices of `obsm`. Repeated gene names are made unique
/// as by [`read_10x_mtx`](super::read_10x_mtx). Other parts of the file (`uns`, `obsp`, …) are
/// ignored.
///
/// # Errors
/// [`Error::Format`](crate::Error::Format) with the HDF5 path when the matrix is missing (naming
/// those there are), an encoding is not supported, or the file is damaged or was written by anndata
/// before 0.7; [`Error::Io`](crate::Error::Io) when it cannot be read;
/// [`Error::NegativeCount`](crate::Error::NegativeCount) and
/// [`Error::NonFiniteCount`](crate::Error::NonFiniteCount) for such values;
/// [`Error::MemoryLimit`](crate::Error::MemoryLimit) when it asks for more memory than its size
/// warrants.
pub fn read_h5ad(path: impl AsRef<Path>) -> Result<AnnotatedCounts> {
    H5adOptions::new().read(path)
}
