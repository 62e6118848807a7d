//! Rows of a count matrix, borrowed from memory or read from elsewhere.

use std::borrow::Cow;
use std::ops::Range;

use super::matrix::{Sparse, canonical};
use crate::error::Result;

/// Raw counts of some cells in compressed sparse rows, valid in the same sense as a
/// [`CountMatrix`](super::CountMatrix): gene indices within a row rise and are in range, values are
/// finite and positive.
///
/// What a [`CountSource`](super::CountSource) gives when it is read: its own memory, or rows that
/// were read for the purpose.
///
/// ```
/// use celldec::counts::CountRows;
///
/// // Two cells of three genes; explicit zeros are dropped.
/// let rows = CountRows::from_csr(0, 3, vec![0, 2, 3], vec![0, 2, 1], vec![4.0, 0.0, 1.0])?;
/// assert_eq!((rows.cells(), rows.genes()), (2, 3));
/// assert_eq!(rows.row(0), (&[0u32][..], &[4.0f32][..]));
/// # Ok::<(), celldec::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct CountRows<'a> {
    genes: usize,
    /// Positions in `indices` and `values` after subtraction of the first one.
    offsets: Cow<'a, [usize]>,
    indices: Cow<'a, [u32]>,
    values: Cow<'a, [f32]>,
}

impl CountRows<'static> {
    /// From CSR parts: row `i` holds `indices[offsets[i]..offsets[i + 1]]`. Unsorted rows are
    /// sorted, duplicate entries are summed, zeros are dropped.
    ///
    /// `first_cell` is the position of the first row in its source: errors name cells by it.
    ///
    /// # Errors
    /// As [`CountMatrix::from_csr`](super::CountMatrix::from_csr).
    pub fn from_csr(
        first_cell: usize,
        genes: usize,
        offsets: Vec<usize>,
        indices: Vec<u32>,
        values: Vec<f32>,
    ) -> Result<Self> {
        let cells = offsets.len().saturating_sub(1);
        let parts = canonical(first_cell, cells, genes, offsets, indices, values)?;
        parts.check_values(first_cell)?;
        let Sparse {
            offsets,
            indices,
            values,
        } = parts;
        Ok(Self::new(genes, offsets, indices, values))
    }
}

impl<'a> CountRows<'a> {
    /// Rows that are known to be valid, owned or of a matrix in memory.
    pub(super) fn new(
        genes: usize,
        offsets: impl Into<Cow<'a, [usize]>>,
        indices: impl Into<Cow<'a, [u32]>>,
        values: impl Into<Cow<'a, [f32]>>,
    ) -> Self {
        Self {
            genes,
            offsets: offsets.into(),
            indices: indices.into(),
            values: values.into(),
        }
    }

    /// Number of cells (rows).
    pub fn cells(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Number of genes (columns).
    pub fn genes(&self) -> usize {
        self.genes
    }

    /// Number of stored (non-zero) entries.
    pub fn stored(&self) -> usize {
        self.indices.len()
    }

    /// The non-zero entries of a row: gene indices (rising) and counts.
    ///
    /// # Panics
    /// When `row` is not below [`cells`](Self::cells), as slice indexing does.
    pub fn row(&self, row: usize) -> (&[u32], &[f32]) {
        let range = self.range(row);
        (&self.indices[range.clone()], &self.values[range])
    }

    fn range(&self, row: usize) -> Range<usize> {
        let first = self.offsets[0];
        self.offsets[row] - first..self.offsets[row + 1] - first
    }

    /// The given rows in the given order, in memory of their own.
    pub(super) fn select(&self, rows: impl Iterator<Item = usize>) -> CountRows<'static> {
        let mut offsets = vec![0];
        let (mut indices, mut values) = (Vec::new(), Vec::new());
        for row in rows {
            let (row_indices, row_values) = self.row(row);
            indices.extend_from_slice(row_indices);
            values.extend_from_slice(row_values);
            offsets.push(indices.len());
        }
        CountRows::new(self.genes, offsets, indices, values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    #[test]
    fn errors_name_the_cell_in_its_source() {
        let rows = |indices, values| CountRows::from_csr(70, 2, vec![0, 1, 2], indices, values);
        let error = rows(vec![0, 2], vec![1.0, 1.0]).unwrap_err();
        assert!(
            error.to_string().contains("cell 71 names gene 2"),
            "{error}"
        );
        match rows(vec![0, 1], vec![1.0, -2.0]).unwrap_err() {
            Error::NegativeCount { cell, gene, .. } => {
                assert_eq!((cell.index, gene.index), (71, 1))
            }
            other => panic!("{other}"),
        }
        match rows(vec![1, 1], vec![f32::NAN, 1.0]).unwrap_err() {
            Error::NonFiniteCount { cell, gene, count } => {
                assert_eq!((cell.index, gene.index, count), (70, 1, 1));
            }
            other => panic!("{other}"),
        }
        assert!(CountRows::from_csr(0, 2, vec![], vec![], vec![]).is_err());
    }

    #[test]
    fn rows_are_made_canonical() {
        let rows = CountRows::from_csr(
            0,
            3,
            vec![0, 3, 3, 4],
            vec![2, 0, 2, 1],
            vec![1.0, 2.0, 3.0, 0.0],
        )
        .unwrap();
        assert_eq!(rows.row(0), (&[0u32, 2][..], &[2.0f32, 4.0][..]));
        assert_eq!((rows.row(1).0.len(), rows.row(2).0.len()), (0, 0));
        let chosen = rows.select([2, 0].into_iter());
        assert_eq!(chosen.row(1), rows.row(0));
    }
}
