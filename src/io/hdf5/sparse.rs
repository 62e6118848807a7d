//! Compressed sparse matrices: the datasets `data`, `indices` and `indptr` of a group.

use hdf5_pure::{DType, Dataset};

use super::Store;
use crate::counts::CountMatrix;
use crate::error::{Error, Result};

/// Reads a matrix of cells × genes that is compressed by cells (CSR) or by genes (CSC).
pub(in crate::io) fn read_sparse(
    store: &Store,
    at: &str,
    by_cells: bool,
    cells: usize,
    genes: usize,
) -> Result<CountMatrix> {
    let [values_at, indices_at, offsets_at] =
        ["data", "indices", "indptr"].map(|part| format!("{at}/{part}"));
    let values = store.dataset(&values_at)?;
    let indices = store.dataset(&indices_at)?;
    let offsets = store.dataset(&offsets_at)?;
    check_numeric(store, &values_at, &values)?;
    // Lengths are compared before anything is read, so that a lie costs no memory.
    let lines = if by_cells { cells } else { genes };
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
    let offsets: Vec<usize> = store.read_indices(&offsets_at, &offsets)?;
    let indices: Vec<u32> = store.read_indices(&indices_at, &indices)?;
    let values = values
        .read_f32()
        .map_err(|error| store.damaged(&values_at, error))?;
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
        other => Err(store.unsupported(at, &format!("values of type {other}"))),
    }
}
