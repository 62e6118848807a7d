//! 10x `.h5` matrices that stay on disk.

use std::fmt;
use std::ops::Range;
use std::path::Path;

use super::{Located, TenxH5Options, read_cells};
use crate::counts::{CountRows, CountSource, GeneMap, RowParts, check_range};
use crate::error::{Error, Result};
use crate::io::hdf5::{Store, StoredRows};
use crate::io::names::{check_names, make_unique};

/// The counts of a 10x `.h5` file, read from disk part by part.
///
/// Opened by [`TenxH5Options::open`]; a [`CountSource`] for
/// [`Preprocess::fit_source`](crate::preprocess::Preprocess::fit_source). In memory are only names and
/// where cells begin, about 60 bytes a cell. What is wrong with the counts themselves shows when they are
/// read, and ends the reading fit with the error that [`read_10x_h5`](super::read_10x_h5) gives.
///
/// ```
/// use std::sync::Arc;
///
/// use celldec::counts::CountSource;
/// use celldec::io::{TenxH5Options, read_10x_h5};
/// use celldec::preprocess::Preprocess;
///
/// let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/tenx/version_3.h5");
/// let source = TenxH5Options::new().open(path)?;
/// assert_eq!(source.cell_names().len(), 5);
///
/// let on_disk = Preprocess::scdcc().fit_source(Arc::new(source))?;
/// let in_memory = Preprocess::scdcc().fit(&read_10x_h5(path)?)?;
/// assert_eq!(on_disk.to_dense_input()?, in_memory.to_dense_input()?);
/// # Ok::<(), celldec::Error>(())
/// ```
pub struct TenxH5Source {
    store: Store,
    /// The HDF5 path of the matrix.
    at: String,
    rows: StoredRows,
    cells: Vec<String>,
    genes: Vec<String>,
    /// How many features the file has.
    features: usize,
    /// Where features are among the genes, where not all are wanted.
    wanted: Option<GeneMap>,
}

impl TenxH5Options {
    /// Opens the file without reading its counts; see [`TenxH5Source`].
    ///
    /// # Errors
    /// As [`read_10x_h5`](super::read_10x_h5), as far as structure and names go.
    pub fn open(&self, path: impl AsRef<Path>) -> Result<TenxH5Source> {
        let store = Store::open_on_disk(path.as_ref())?;
        let Located { at, genes, kept } = self.locate(&store)?;
        let cells = read_cells(&store, &at, genes.len())?;
        store.within(&at, store.budget().allow_naming(cells.len(), &genes))?;
        check_names(&cells, &genes)?;
        let features = genes.len();
        let mut genes = genes;
        make_unique(&mut genes);
        let mut wanted = None;
        if kept.len() < features {
            let positions: Vec<Option<usize>> = kept.iter().copied().map(Some).collect();
            wanted = Some(GeneMap::new(&positions, features)?);
            genes = kept.iter().map(|&kept| genes[kept].clone()).collect();
        }
        Ok(TenxH5Source {
            rows: StoredRows::open(&store, &at, cells.len())?,
            store,
            at,
            cells,
            genes,
            features,
            wanted,
        })
    }
}

impl fmt::Debug for TenxH5Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TenxH5Source")
            .field("path", &self.store.path())
            .field("at", &self.at)
            .field("cells", &self.cells.len())
            .field("genes", &self.genes.len())
            .field("block", &self.rows.block())
            .finish()
    }
}

impl CountSource for TenxH5Source {
    fn cell_names(&self) -> &[String] {
        &self.cells
    }

    fn gene_names(&self) -> &[String] {
        &self.genes
    }

    fn read_window(&self, cells: Range<usize>) -> Result<CountRows<'_>> {
        check_range(&cells, self.cells.len())?;
        let rows = self.rows.read(&self.store, cells, self.features);
        let rows = rows.map_err(|error| match error {
            Error::InvalidSparse { reason } => self.store.error(&self.at, reason),
            other => match &self.wanted {
                Some(wanted) => wanted
                    .place(other)
                    .unwrap_or_else(|error| self.store.error(&self.at, error)),
                None => other,
            },
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
        self.rows.block()
    }
}
