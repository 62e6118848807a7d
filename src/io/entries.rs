//! Counts that a file lists one by one, each with its row and column.

use super::budget::{Budget, Shortage, bytes_of};
use crate::counts::CountMatrix;
use crate::error::Result;

/// Entries as the file lists them.
pub(super) struct Entries {
    /// Whether rows are cells.
    cells_first: bool,
    cells: Vec<u32>,
    genes: Vec<u32>,
    values: Vec<f32>,
}

impl Entries {
    /// Room for so many entries.
    pub fn with_capacity(
        entries: usize,
        cells_first: bool,
        budget: &Budget,
    ) -> std::result::Result<Self, Shortage> {
        Ok(Self {
            cells_first,
            cells: budget.list(entries)?,
            genes: budget.list(entries)?,
            values: budget.list(entries)?,
        })
    }

    /// Adds the entry of a row and a column.
    #[inline]
    pub fn push(
        &mut self,
        row: u32,
        column: u32,
        value: f32,
        budget: &Budget,
    ) -> std::result::Result<(), Shortage> {
        let (cell, gene) = if self.cells_first {
            (row, column)
        } else {
            (column, row)
        };
        budget.push(&mut self.cells, cell)?;
        budget.push(&mut self.genes, gene)?;
        budget.push(&mut self.values, value)
    }

    /// Whether there is memory to make a matrix of the entries.
    pub fn allow_matrix(&self, cells: usize, budget: &Budget) -> std::result::Result<(), Shortage> {
        let copy = if self.cells.is_sorted() {
            0
        } else {
            bytes_of::<(u32, f32)>(self.cells.len())
        };
        budget.take(copy + bytes_of::<usize>(3 * (cells + 1)))
    }

    /// The matrix; entries of one cell and gene are summed.
    ///
    /// # Errors
    /// Those of [`CountMatrix::from_csr`].
    pub fn into_matrix(self, cells: usize, genes: usize) -> Result<CountMatrix> {
        let mut offsets = vec![0usize; cells + 1];
        for &cell in &self.cells {
            offsets[cell as usize + 1] += 1;
        }
        for cell in 0..cells {
            offsets[cell + 1] += offsets[cell];
        }
        if self.cells.is_sorted() {
            return CountMatrix::from_csr(cells, genes, offsets, self.genes, self.values);
        }
        let mut next = offsets.clone();
        let mut indices = vec![0u32; self.genes.len()];
        let mut values = vec![0f32; self.values.len()];
        for ((&cell, &gene), &value) in self.cells.iter().zip(&self.genes).zip(&self.values) {
            let slot = &mut next[cell as usize];
            indices[*slot] = gene;
            values[*slot] = value;
            *slot += 1;
        }
        CountMatrix::from_csr(cells, genes, offsets, indices, values)
    }
}
