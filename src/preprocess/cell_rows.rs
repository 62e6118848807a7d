//! Rows of preprocessed cells that are at hand.

use std::sync::Arc;

use super::cells::Cells;
use super::stored::LoadedRows;
use crate::counts::CountMatrix;
use crate::kernel::sparse::{Entry, SparseInput};

/// Preprocessed cells whose counts, or those of some of them, are in memory.
#[derive(Debug, Clone)]
pub(crate) struct CellRows<'a> {
    cells: &'a Cells,
    counts: RowCounts<'a>,
}

/// The counts, by the positions of cells.
#[derive(Debug, Clone)]
pub(super) enum RowCounts<'a> {
    Matrix(&'a CountMatrix),
    Loaded(Arc<LoadedRows>),
}

impl<'a> CellRows<'a> {
    pub(super) fn new(cells: &'a Cells, counts: RowCounts<'a>) -> Self {
        Self { cells, counts }
    }

    /// The cells that these are rows of.
    pub fn cells(&self) -> &'a Cells {
        self.cells
    }

    /// Genes and raw counts of a cell.
    pub fn counts_of(&self, cell: usize) -> (&[u32], &[f32]) {
        match &self.counts {
            RowCounts::Matrix(counts) => counts.row(cell),
            RowCounts::Loaded(rows) => rows.row(cell),
        }
    }

    /// Writes the scaled network input of a cell into `row` `[genes]`.
    pub fn fill_input(&self, cell: usize, row: &mut [f32]) {
        row.copy_from_slice(self.cells.input_at_zeros(cell));
        self.set_input_at_counts(cell, row);
    }

    /// Overwrites the network input of a cell where a count is stored.
    pub fn set_input_at_counts(&self, cell: usize, row: &mut [f32]) {
        let counts = self.counts_of(cell);
        self.cells
            .for_each_input(cell, counts, |gene, input| row[gene] = input);
    }

    /// Overwrites with the raw counts of a cell where one is stored.
    pub fn set_counts(&self, cell: usize, row: &mut [f32]) {
        let (genes, values) = self.counts_of(cell);
        for (&gene, &value) in genes.iter().zip(values) {
            row[gene as usize] = value;
        }
    }

    /// The scaled network input of the given cells, sparse.
    pub fn sparse_input(&self, cells: &[usize]) -> SparseInput {
        // Only the bases that these cells have, in the order in which they come.
        let mut used: Vec<usize> = Vec::new();
        let base_of_row = cells.iter().map(|&cell| {
            let scaler = self.cells.scaler_index(cell);
            let known = used.iter().position(|&other| other == scaler);
            known.unwrap_or_else(|| {
                used.push(scaler);
                used.len() - 1
            })
        });
        let base_of_row = base_of_row.collect();
        let zeros = |&scaler: &usize| self.cells.zeros_of(scaler);
        let bases = used.iter().map(zeros).collect::<Vec<_>>().concat();
        let lengths = cells.iter().map(|&cell| self.counts_of(cell).0.len());
        SparseInput::new(
            self.cells.genes(),
            bases,
            base_of_row,
            lengths,
            |row, entries| {
                let zeros = self.cells.input_at_zeros(cells[row]);
                let counts = self.counts_of(cells[row]);
                let mut entries = entries.iter_mut();
                self.cells
                    .for_each_input(cells[row], counts, |gene, input| {
                        if let Some(entry) = entries.next() {
                            *entry = Entry {
                                index: gene as u32,
                                value: input - zeros[gene],
                            };
                        }
                    });
            },
        )
    }
}
