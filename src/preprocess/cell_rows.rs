//! Rows of preprocessed cells that are at hand.

use std::sync::Arc;

use super::input_scale::InputScale;
use super::stored::LoadedRows;
use crate::counts::CountMatrix;
#[cfg(any(feature = "wgpu", feature = "cuda"))]
use crate::kernel::cube::rows::StoredRows;
use crate::kernel::sparse::{Entry, SparseInput};

/// Preprocessed cells whose counts, or those of some of them, are in memory.
#[derive(Debug, Clone)]
pub(crate) struct CellRows<'a> {
    scale: &'a InputScale,
    counts: RowCounts<'a>,
}

/// The counts, by the positions of cells.
#[derive(Debug, Clone)]
pub(super) enum RowCounts<'a> {
    Matrix(&'a CountMatrix),
    Loaded(Arc<LoadedRows>),
}

impl<'a> CellRows<'a> {
    pub(super) fn new(scale: &'a InputScale, counts: RowCounts<'a>) -> Self {
        Self { scale, counts }
    }

    /// Number of genes the network sees.
    pub fn genes(&self) -> usize {
        self.scale.genes()
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
        row.copy_from_slice(self.scale.input_at_zeros(cell));
        self.set_input_at_counts(cell, row);
    }

    /// Overwrites the network input of a cell where a count is stored.
    pub fn set_input_at_counts(&self, cell: usize, row: &mut [f32]) {
        let counts = self.counts_of(cell);
        self.scale
            .for_each_input(cell, counts, |gene, input| row[gene] = input);
    }

    /// Overwrites with the raw counts of a cell where one is stored.
    pub fn set_counts(&self, cell: usize, row: &mut [f32]) {
        let (genes, values) = self.counts_of(cell);
        for (&gene, &value) in genes.iter().zip(values) {
            row[gene as usize] = value;
        }
    }

    /// Number of cells whose counts are in memory as a matrix, or were read.
    #[cfg(any(feature = "wgpu", feature = "cuda"))]
    pub fn cells(&self) -> usize {
        self.scale.totals().len()
    }

    /// Which base each of the given cells has, what its network input is where no count is stored,
    /// and the bases one after the other: only those that these cells have, in the order in which
    /// they come.
    fn bases(&self, cells: &[usize]) -> (Vec<usize>, Vec<f32>) {
        let mut used: Vec<usize> = Vec::new();
        let base_of_row = cells.iter().map(|&cell| {
            let kind = self.scale.kind_of(cell);
            let known = used.iter().position(|&other| other == kind);
            known.unwrap_or_else(|| {
                used.push(kind);
                used.len() - 1
            })
        });
        let base_of_row = base_of_row.collect();
        let zeros = |&kind: &usize| self.scale.zeros_of(kind);
        (
            base_of_row,
            used.iter().map(zeros).collect::<Vec<_>>().concat(),
        )
    }

    /// Stored counts and network input of the given cells, as a GPU reads them.
    #[cfg(any(feature = "wgpu", feature = "cuda"))]
    pub fn stored_rows(&self, cells: &[usize]) -> StoredRows {
        let (base_of_row, bases) = self.bases(cells);
        let mut rows = StoredRows {
            offsets: vec![0],
            base_of_row: base_of_row.into_iter().map(|base| base as u32).collect(),
            bases,
            width: self.genes(),
            ..StoredRows::default()
        };
        for &cell in cells {
            let (genes, counts) = self.counts_of(cell);
            rows.genes.extend_from_slice(genes);
            rows.counts.extend_from_slice(counts);
            self.scale
                .for_each_input(cell, (genes, counts), |_, input| rows.inputs.push(input));
            rows.offsets.push(rows.genes.len() as u32);
        }
        rows
    }

    /// The scaled network input of the given cells, sparse.
    pub fn sparse_input(&self, cells: &[usize]) -> SparseInput {
        let (base_of_row, bases) = self.bases(cells);
        let lengths = cells.iter().map(|&cell| self.counts_of(cell).0.len());
        SparseInput::new(self.genes(), bases, base_of_row, lengths, |row, entries| {
            let zeros = self.scale.input_at_zeros(cells[row]);
            let counts = self.counts_of(cells[row]);
            let mut entries = entries.iter_mut();
            self.scale
                .for_each_input(cells[row], counts, |gene, input| {
                    if let Some(entry) = entries.next() {
                        *entry = Entry {
                            index: gene as u32,
                            value: input - zeros[gene],
                        };
                    }
                });
        })
    }
}
