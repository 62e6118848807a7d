//! AnnData files that stay on disk.

use std::fmt;
use std::ops::Range;
use std::path::Path;

use hdf5_pure::Dataset;

use super::elsewhere::MatrixRead;
use super::matrix::{DENSE_WINDOW, Sparse, check_shape, locate};
use super::{H5adOptions, frame, gene_names, gene_types, modality};
use crate::counts::{CountRows, CountSource, GeneMap, Origin, RowParts, check_range};
use crate::error::{Error, Result};
use crate::io::annotations::CellAnnotations;
use crate::io::budget::bytes_of;
use crate::io::hdf5::{Node, Store, StoredRows, check_numeric};
use crate::io::names::{check_names, make_unique};

/// The counts of an AnnData file, read from disk part by part.
///
/// Opened by [`H5adOptions::open`]; a [`CountSource`] for
/// [`Preprocess::fit_source`](crate::preprocess::Preprocess::fit_source). In memory are only names and
/// where rows begin, about 60 bytes a cell. Matrices must be stored by cells, sparse (CSR) or dense.
/// Of files compressed with zstd the matrix is in memory, too: it is decompressed as a whole when the
/// file is opened. gzip and LZF are decompressed part by part.
///
/// What is wrong with the counts themselves (an index out of range, a NaN, a negative value, a
/// damaged chunk) shows when they are read, and ends the reading fit with the error that
/// [`read_h5ad`](super::read_h5ad) gives.
///
/// ```
/// use std::sync::Arc;
///
/// use celldec::counts::CountSource;
/// use celldec::io::{H5adOptions, read_h5ad};
/// use celldec::preprocess::Preprocess;
///
/// let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/h5ad/matrices.h5ad");
/// let source = H5adOptions::new().open(path)?;
/// assert_eq!(source.cell_names().len(), 5);
///
/// let on_disk = Preprocess::scdcc().fit_source(Arc::new(source))?;
/// let in_memory = Preprocess::scdcc().fit(&read_h5ad(path)?.counts)?;
/// assert_eq!(on_disk.to_dense_input()?, in_memory.to_dense_input()?);
/// # Ok::<(), celldec::Error>(())
/// ```
pub struct H5adSource {
    store: Store,
    /// The HDF5 path of the matrix.
    at: String,
    matrix: Matrix,
    cells: Vec<String>,
    genes: Vec<String>,
    /// How many features the matrix has.
    features: usize,
    /// Where features are among the genes, where not all are wanted.
    wanted: Option<GeneMap>,
    block: usize,
    /// Which annotation columns to read; `None`: all.
    annotations: Option<Vec<String>>,
    origin: Origin,
}

enum Matrix {
    Sparse(Box<StoredRows>),
    Dense(Dataset),
}

impl H5adOptions {
    /// Opens the file without reading its counts; see [`H5adSource`]. Counts compressed with zstd are
    /// decompressed into memory all the same.
    ///
    /// # Errors
    /// As [`read_h5ad`](super::read_h5ad), as far as structure and names go, and
    /// [`Error::Format`] when the matrix is stored by genes (CSC).
    pub fn open(&self, path: impl AsRef<Path>) -> Result<H5adSource> {
        let store = modality::open(path.as_ref(), Store::open_on_disk)?;
        let cells = frame::read_index(&store, "/obs")?;
        let (at, genes_at) = locate(&store, &self.matrix)?;
        let mut genes = gene_names::read(&store, genes_at, &self.gene_naming)?;
        gene_names::check_sides(&store, genes_at, &cells, &genes)?;
        store.within(genes_at, store.budget().allow_naming(cells.len(), &genes))?;
        check_names(&cells, &genes)?;
        make_unique(&mut genes);
        let features = genes.len();
        let (matrix, block) = open_matrix(&store, &at, cells.len(), features)?;
        let kept = gene_types::select(&store, genes_at, features, &self.feature_types)?;
        let mut wanted = None;
        if let Some(kept) = kept {
            let positions: Vec<Option<usize>> = kept.iter().copied().map(Some).collect();
            wanted = Some(GeneMap::new(&positions, features)?);
            genes = kept.iter().map(|&kept| genes[kept].clone()).collect();
        }
        Ok(H5adSource {
            store,
            at,
            matrix,
            cells,
            genes,
            features,
            wanted,
            block,
            annotations: self.annotations.clone(),
            origin: Origin::of(MatrixRead::new(path.as_ref(), &self.matrix)),
        })
    }
}

fn open_matrix(store: &Store, at: &str, cells: usize, genes: usize) -> Result<(Matrix, usize)> {
    let node = store.node(at)?;
    let attributes = store.attributes(at, &node)?;
    match node {
        Node::Dataset(dataset) => {
            let encoding = attributes.text("encoding-type").unwrap_or("array");
            if encoding != "array" {
                return Err(store.unsupported(at, encoding));
            }
            let shape: [usize; 2] = store.shape(at, &dataset)?;
            check_shape(store, at, &shape.map(|axis| axis as u64), cells, genes)?;
            store.check_extent(at, &dataset, &shape)?;
            check_numeric(store, at, &dataset)?;
            let chunk = store.chunk_length(at, &dataset)?.unwrap_or(1);
            let most = (DENSE_WINDOW / genes.max(1)).max(1);
            // Whole chunks, but at least one.
            let block = (most / chunk).max(1).saturating_mul(chunk);
            Ok((Matrix::Dense(dataset), block))
        }
        Node::Group(_) => {
            let Sparse { by_cells, shape } = Sparse::of(store, at, &attributes)?;
            if !by_cells {
                return Err(store.error(
                    at,
                    "the matrix is stored by genes (CSC), so that cells cannot be read one after \
                     the other; store it by cells (in Python `adata.X = adata.X.tocsr()`), or read \
                     it into memory with `H5adOptions::read`",
                ));
            }
            check_shape(store, at, &shape, cells, genes)?;
            let rows = Box::new(StoredRows::open(store, at, cells)?);
            let block = rows.block();
            Ok((Matrix::Sparse(rows), block))
        }
    }
}

impl H5adSource {
    /// Reads the annotation columns of the cells (`obs`): all, or those of
    /// [`H5adOptions::with_annotations`].
    ///
    /// # Errors
    /// [`Error::Format`] when a column is missing, damaged or of an encoding that is not supported,
    /// [`Error::Io`] when it cannot be read.
    pub fn cell_annotations(&self) -> Result<CellAnnotations> {
        let wanted = self.annotations.as_deref();
        frame::read_columns(&self.store, "/obs", self.cells.len(), wanted)
    }

    fn dense_window(&self, dataset: &Dataset, cells: Range<usize>) -> Result<CountRows<'static>> {
        let (rows, genes) = (cells.len(), self.features);
        self.store.allow_window(&self.at, dataset, rows * genes)?;
        let dense = self.store.read_f32_rows(&self.at, dataset, &cells)?;
        if dense.len() != rows * genes {
            return Err(self
                .store
                .error(&self.at, "rows are missing; the file is damaged"));
        }
        let stored = dense.iter().filter(|&&value| value != 0.0).count();
        let memory = bytes_of::<f32>(dense.len()) + bytes_of::<(u32, f32)>(stored);
        self.store
            .within(&self.at, self.store.budget().allow(memory))?;
        let mut offsets = Vec::with_capacity(rows + 1);
        offsets.push(0);
        let (mut indices, mut values) = (Vec::with_capacity(stored), Vec::with_capacity(stored));
        for row in dense.chunks(genes) {
            for (gene, &value) in row.iter().enumerate() {
                if value != 0.0 {
                    indices.push(gene as u32);
                    values.push(value);
                }
            }
            offsets.push(indices.len());
        }
        CountRows::from_csr(cells.start, genes, offsets, indices, values)
    }
}

impl fmt::Debug for H5adSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("H5adSource")
            .field("path", &self.store.path())
            .field("at", &self.at)
            .field("cells", &self.cells.len())
            .field("genes", &self.genes.len())
            .field("block", &self.block)
            .finish()
    }
}

impl CountSource for H5adSource {
    fn cell_names(&self) -> &[String] {
        &self.cells
    }

    fn gene_names(&self) -> &[String] {
        &self.genes
    }

    fn read_window(&self, cells: Range<usize>) -> Result<CountRows<'_>> {
        check_range(&cells, self.cells.len())?;
        let rows = match &self.matrix {
            Matrix::Dense(dataset) => self.dense_window(dataset, cells),
            Matrix::Sparse(rows) => rows.read(&self.store, cells, self.features),
        };
        let rows = rows.map_err(|error| match (error, &self.wanted) {
            (Error::InvalidSparse { reason }, _) => self.store.error(&self.at, reason),
            (other, Some(wanted)) => wanted
                .place(other)
                .unwrap_or_else(|error| self.store.error(&self.at, error)),
            (other, None) => other,
        })?;
        let Some(wanted) = &self.wanted else {
            return Ok(rows);
        };
        let mut kept = RowParts::with_capacity(rows.cells(), rows.stored());
        kept.push_mapped(&rows, wanted);
        Ok(kept.into_rows(self.genes.len()))
    }

    /// As many cells as a few compressed chunks hold.
    fn block(&self) -> usize {
        self.block
    }

    /// Names the matrix of the file that holds counts, where the one that is read does not.
    fn explain(&self, error: Error) -> Error {
        self.origin.explain(error)
    }
}
