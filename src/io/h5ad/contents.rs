//! What an AnnData file holds, by name.

use std::path::Path;

use super::matrix::{DENSE_WINDOW, Sparse, available, locate};
use super::{H5adMatrix, frame, modality};
use crate::error::{Error, Result};
use crate::io::hdf5::{Node, SparseParts, Store, check_numeric};

/// Values of a matrix that are looked at, in each of three places.
const SAMPLE: usize = 1 << 14;

/// The parts of an AnnData file, by name, and which of its matrices hold counts.
///
/// ```
/// use celldec::io::{H5adContents, H5adMatrix, H5adOptions};
/// # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/h5ad/missing_x.h5ad");
///
/// let contents = H5adContents::of(path)?;
/// let counts = contents.counts().cloned();
/// assert_eq!(counts, Some(H5adMatrix::Layer("counts".into())));
/// let data = H5adOptions::new().with_matrix(counts.unwrap_or_default()).read(path)?;
/// # let _ = data;
/// # Ok::<(), celldec::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct H5adContents {
    /// The matrices that could hold counts: `X`, the layers, `raw`.
    pub matrices: Vec<H5adMatrixInfo>,
    /// Annotations of cells: the columns of `obs`.
    pub annotations: Vec<String>,
    /// Annotations of genes: the columns of `var`.
    pub gene_annotations: Vec<String>,
    /// Matrices of cells: the members of `obsm`.
    pub embeddings: Vec<String>,
}

/// A matrix of an AnnData file.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct H5adMatrixInfo {
    /// Which one.
    pub matrix: H5adMatrix,
    /// Its shape `[cells, genes]`; zeros where it cannot be read.
    pub shape: [usize; 2],
    /// What its values are.
    pub values: MatrixValues,
}

/// What the values of a matrix are, as far as a sample tells: up to 49 152 of them, from its
/// beginning, middle and end.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum MatrixValues {
    /// Whole numbers that are not negative, as counts are.
    Counts,
    /// Something else, such as this value.
    Others(f32),
    /// Nothing that can be read, and why.
    Unreadable(String),
}

impl H5adContents {
    /// Lists the parts of a file without reading them whole.
    ///
    /// # Errors
    /// [`Error::Format`] when the file is no AnnData file, or its frames or groups are damaged;
    /// [`Error::Io`] when it cannot be read.
    pub fn of(path: impl AsRef<Path>) -> Result<Self> {
        let store = modality::open(path.as_ref(), Store::open_on_disk)?;
        let cells = frame::read_index(&store, "/obs")?.len();
        let mut matrices = Vec::new();
        for matrix in available(&store)? {
            let (shape, values) = match look(&store, &matrix, cells) {
                Ok(found) => found,
                Err(Error::Format { reason, .. }) => ([0, 0], MatrixValues::Unreadable(reason)),
                Err(error @ Error::MemoryLimit { .. }) => {
                    ([0, 0], MatrixValues::Unreadable(error.to_string()))
                }
                Err(error) => return Err(error),
            };
            matrices.push(H5adMatrixInfo {
                matrix,
                shape,
                values,
            });
        }
        let embeddings = if store.is_group("/obsm")? {
            store.members("/obsm")?
        } else {
            Vec::new()
        };
        Ok(Self {
            matrices,
            annotations: frame::names_of_columns(&store, "/obs")?,
            gene_annotations: match store.exists("/var")? {
                true => frame::names_of_columns(&store, "/var")?,
                false => Vec::new(),
            },
            embeddings,
        })
    }

    /// The matrix that holds counts: `X` where it does, else a layer of the name "counts", `raw` or
    /// the first layer that does; `None` where none does.
    pub fn counts(&self) -> Option<&H5adMatrix> {
        let rank = |matrix: &H5adMatrix| match matrix {
            H5adMatrix::X => 0,
            H5adMatrix::Layer(name) if name.eq_ignore_ascii_case("counts") => 1,
            H5adMatrix::Raw => 2,
            H5adMatrix::Layer(_) => 3,
        };
        let counts = self
            .matrices
            .iter()
            .filter(|info| info.values == MatrixValues::Counts)
            .map(|info| &info.matrix);
        counts.min_by_key(|matrix| rank(matrix))
    }
}

/// The shape of a matrix, and what a sample of its values is.
fn look(store: &Store, matrix: &H5adMatrix, cells: usize) -> Result<([usize; 2], MatrixValues)> {
    let (at, genes_at) = locate(store, matrix)?;
    let node = store.node(&at)?;
    let attributes = store.attributes(&at, &node)?;
    match node {
        Node::Dataset(dataset) => {
            check_numeric(store, &at, &dataset)?;
            let shape: [usize; 2] = store.shape(&at, &dataset)?;
            store.check_extent(&at, &dataset, &shape)?;
            let rows = (SAMPLE.min(DENSE_WINDOW) / shape[1].max(1)).clamp(1, shape[0].max(1));
            let values = sampled(shape[0], rows, |window| {
                store.allow_window(&at, &dataset, window.len().saturating_mul(shape[1]))?;
                store.read_f32_rows(&at, &dataset, &window)
            })?;
            Ok((shape, values))
        }
        Node::Group(_) => {
            let Sparse { by_cells, shape } = Sparse::of(store, &at, &attributes)?;
            let shape: Option<[usize; 2]> = match shape[..] {
                [rows, columns] => usize::try_from(rows)
                    .ok()
                    .zip(usize::try_from(columns).ok())
                    .map(|(rows, columns)| [rows, columns]),
                _ => None,
            };
            let genes = frame::read_index(store, genes_at)?.len();
            let shape = shape
                .filter(|shape| *shape == [cells, genes])
                .ok_or_else(|| store.error(&at, "has another shape than its names"))?;
            let parts = SparseParts::open(store, &at, if by_cells { cells } else { genes })?;
            let values = sampled(parts.stored(), SAMPLE, |window| {
                Ok(parts.read(store, window)?.1)
            })?;
            Ok((shape, values))
        }
    }
}

/// Looks at windows at the beginning, middle and end of a list.
fn sampled(
    length: usize,
    window: usize,
    read: impl Fn(std::ops::Range<usize>) -> Result<Vec<f32>>,
) -> Result<MatrixValues> {
    let last = length.saturating_sub(window);
    let mut starts = vec![0, last / 2, last];
    starts.dedup();
    for start in starts {
        let values = read(start..length.min(start + window))?;
        let other = values
            .into_iter()
            .find(|&value| value < 0.0 || !value.is_finite() || value.fract() != 0.0);
        if let Some(other) = other {
            return Ok(MatrixValues::Others(other));
        }
    }
    Ok(MatrixValues::Counts)
}
