//! Compressed sparse matrices: the datasets `data`, `indices` and `indptr` of a group.

use std::ops::Range;

use hdf5_pure::{DType, Dataset};

use super::{Store, is_half};
use crate::counts::CountMatrix;
use crate::error::{Error, Result};
use crate::io::budget::{Shortage, bytes_of};

/// Reads a matrix of cells × genes that is compressed by cells (CSR) or by genes (CSC).
pub(in crate::io) fn read_sparse(
    store: &Store,
    at: &str,
    by_cells: bool,
    cells: usize,
    genes: usize,
) -> Result<CountMatrix> {
    let lines = if by_cells { cells } else { genes };
    let SparseParts {
        at: [values_at, indices_at, offsets_at],
        values,
        indices,
        offsets,
        ..
    } = SparseParts::open(store, at, lines)?;
    let stored = store.length(&values_at, &values)?;
    let offsets: Vec<usize> = store.read_indices(&offsets_at, &offsets)?;
    let indices: Vec<u32> = store.read_indices(&indices_at, &indices)?;
    store.take_list::<f32>(&values_at, &values, stored, 0)?;
    store.within(at, allow_matrix(store, by_cells, cells, stored))?;
    let values = store.read_f32(&values_at, &values)?;
    let matrix = if by_cells {
        CountMatrix::from_csr(cells, genes, offsets, indices, values)
    } else {
        CountMatrix::from_csc(cells, genes, &offsets, &indices, &values)
    };
    matrix.map_err(|error| match error {
        Error::InvalidSparse { reason } => store.error(at, reason),
        other => other,
    })
}

/// Counts what making a matrix of its parts takes besides them.
fn allow_matrix(
    store: &Store,
    by_cells: bool,
    cells: usize,
    stored: usize,
) -> std::result::Result<(), Shortage> {
    // A row that is not sorted is sorted in a copy; a matrix that is compressed by genes is copied.
    let sorting = bytes_of::<(u32, f32, u32)>(stored);
    if by_cells {
        store.budget().take(bytes_of::<usize>(cells + 1))?;
    } else {
        let copy = bytes_of::<(u32, f32)>(stored);
        store
            .budget()
            .take(copy + bytes_of::<usize>(3 * (cells + 1)))?;
    }
    store.budget().allow(sorting)
}

/// The datasets of a compressed sparse matrix, whose lengths fit together.
pub(in crate::io) struct SparseParts {
    /// HDF5 paths of the three datasets.
    at: [String; 3],
    values: Dataset,
    indices: Dataset,
    offsets: Dataset,
    stored: usize,
}

impl SparseParts {
    /// The datasets of the group `at`, which is compressed along `lines` cells or genes.
    pub fn open(store: &Store, at: &str, lines: usize) -> Result<Self> {
        let [values_at, indices_at, offsets_at] =
            ["data", "indices", "indptr"].map(|part| format!("{at}/{part}"));
        let values = store.dataset(&values_at)?;
        let indices = store.dataset(&indices_at)?;
        let offsets = store.dataset(&offsets_at)?;
        check_numeric(store, &values_at, &values)?;
        // Lengths are compared before anything is read, so that a lie costs no memory.
        let stored = store.length(&values_at, &values)?;
        for (part_at, part, expected) in [
            (&indices_at, &indices, stored),
            (&offsets_at, &offsets, lines + 1),
        ] {
            let found = store.length(part_at, part)?;
            if found != expected {
                return Err(store.error(
                    part_at,
                    format!("has {found} elements, expected {expected}; the file is damaged"),
                ));
            }
        }
        Ok(Self {
            at: [values_at, indices_at, offsets_at],
            values,
            indices,
            offsets,
            stored,
        })
    }

    /// Number of stored entries.
    pub fn stored(&self) -> usize {
        self.stored
    }

    /// Where lines begin, which must rise from 0 to the number of entries.
    pub fn read_offsets(&self, store: &Store) -> Result<Vec<usize>> {
        let offsets: Vec<usize> = store.read_indices(&self.at[2], &self.offsets)?;
        let ends = (offsets.first().copied(), offsets.last().copied());
        if ends != (Some(0), Some(self.stored)) || !offsets.is_sorted() {
            return Err(store.error(
                &self.at[2],
                format!(
                    "must rise from 0 to {}, the number of entries; the file is damaged",
                    self.stored
                ),
            ));
        }
        Ok(offsets)
    }

    /// The longer of the compressed chunks of indices and values; `None` where there are none.
    pub fn chunk_length(&self, store: &Store) -> Result<Option<usize>> {
        let values = store.chunk_length(&self.at[0], &self.values)?;
        Ok(values.max(store.chunk_length(&self.at[1], &self.indices)?))
    }

    /// Indices and values of some entries.
    pub fn read(&self, store: &Store, entries: Range<usize>) -> Result<(Vec<u32>, Vec<f32>)> {
        let indices = store.read_index_window(&self.at[1], &self.indices, &entries)?;
        store.allow_window(&self.at[0], &self.values, 2 * entries.len())?;
        let values = store.read_f32_rows(&self.at[0], &self.values, &entries)?;
        for (at, found) in [(&self.at[1], indices.len()), (&self.at[0], values.len())] {
            if found != entries.len() {
                return Err(store.error(
                    at,
                    format!(
                        "gave {found} of {} elements; the file is damaged",
                        entries.len()
                    ),
                ));
            }
        }
        Ok((indices, values))
    }
}

/// Refuses elements that are no numbers, or numbers the reader cannot convert.
pub(in crate::io) fn check_numeric(store: &Store, at: &str, dataset: &Dataset) -> Result<()> {
    match store.dtype(at, dataset)? {
        DType::F32
        | DType::F64
        | DType::I8
        | DType::I16
        | DType::I32
        | DType::I64
        | DType::U8
        | DType::U16
        | DType::U32
        | DType::U64
        | DType::Enum(_) => Ok(()),
        other if is_half(&other) => Ok(()),
        other => Err(store.unsupported(at, &format!("values of type {other}"))),
    }
}
