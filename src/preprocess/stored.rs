//! Where the counts of preprocessed cells are: in memory, or in a source that is read when they are
//! needed.

use std::sync::Arc;

use super::normalize::{Moments, Part, moments};
use super::scaler::Logarithms;
use crate::counts::{
    CountMatrix, CountSource, GeneMap, Row, RowParts, read_cells, visit_cells, visit_cells_ahead,
};
use crate::error::Result;

/// Counts that preprocessing learns from or is applied to.
pub(super) enum Input<'a> {
    Matrix(&'a CountMatrix),
    Source(Arc<dyn CountSource>),
}

impl Input<'_> {
    pub fn source(&self) -> &dyn CountSource {
        match self {
            Self::Matrix(counts) => *counts,
            Self::Source(source) => source.as_ref(),
        }
    }

    /// The counts of the cells and genes that are kept; `names` are the genes' new names.
    ///
    /// # Errors
    /// As [`CountMatrix::select`].
    pub fn keep(
        self,
        cells: &[usize],
        genes: &[Option<usize>],
        names: Vec<String>,
    ) -> Result<Stored> {
        let source = match self {
            Self::Matrix(counts) => {
                return counts
                    .select(cells.iter().copied(), genes, names)
                    .map(Stored::Matrix);
            }
            Self::Source(source) => source,
        };
        let all = source.cell_names();
        let cell_names = (cells.len() < all.len())
            .then(|| cells.iter().map(|&cell| all[cell].clone()).collect());
        Ok(Stored::Source(SourceCounts {
            genes: GeneMap::new(genes, source.gene_names().len())?,
            used_genes: genes.iter().flatten().copied().collect(),
            gene_names: names,
            cell_names,
            entries: 0,
            source,
        }))
    }
}

/// The counts of the kept cells and genes.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Stored {
    /// A matrix of these cells and genes.
    Matrix(CountMatrix),
    /// A source of these and other cells and genes.
    Source(SourceCounts),
}

/// Some genes of a source; which of its cells are kept, [`Cells`](super::Cells) know.
#[derive(Debug, Clone)]
pub(super) struct SourceCounts {
    source: Arc<dyn CountSource>,
    genes: GeneMap,
    /// Position of every used gene in the source.
    used_genes: Vec<usize>,
    gene_names: Vec<String>,
    /// `None`: those of the source, of which all cells are kept.
    cell_names: Option<Vec<String>>,
    /// Number of non-zero counts of kept cells and genes.
    entries: usize,
}

/// Two readers of one source that read the same of it.
impl PartialEq for SourceCounts {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.source, &other.source)
            && self.genes == other.genes
            && self.cell_names == other.cell_names
    }
}

impl SourceCounts {
    /// How many consecutive cells the source reads together.
    pub fn block(&self) -> usize {
        self.source.block().max(1)
    }
}

impl Stored {
    pub fn genes(&self) -> usize {
        self.gene_names().len()
    }

    pub fn gene_names(&self) -> &[String] {
        match self {
            Self::Matrix(counts) => counts.gene_names(),
            Self::Source(counts) => &counts.gene_names,
        }
    }

    pub fn cell_names(&self) -> &[String] {
        match self {
            Self::Matrix(counts) => counts.cell_names(),
            Self::Source(counts) => match &counts.cell_names {
                Some(names) => names,
                None => counts.source.cell_names(),
            },
        }
    }

    /// Number of non-zero counts.
    pub fn entries(&self) -> usize {
        match self {
            Self::Matrix(counts) => counts.stored(),
            Self::Source(counts) => counts.entries,
        }
    }

    /// Says how many counts of the kept cells and genes are not zero, which a source does not know.
    pub fn set_entries(&mut self, entries: usize) {
        if let Self::Source(counts) = self {
            counts.entries = entries;
        }
    }

    /// Moments of log1p of the normalised counts of some of the kept cells, given by rising
    /// positions; `kept` are the cells of the source, `scales` what the counts of each kept cell are
    /// multiplied by.
    pub fn log_moments(
        &self,
        kept: &[usize],
        positions: &[usize],
        scales: &[f64],
    ) -> Result<Moments> {
        match self {
            Self::Matrix(counts) => {
                let part = Part {
                    source: counts,
                    cells: positions,
                    genes: &(0..counts.genes()).collect::<Vec<_>>(),
                };
                moments(part, |position| {
                    let mut logarithms = Logarithms::new(scales[positions[position]]);
                    move |_, count| logarithms.of(count)
                })
            }
            Self::Source(counts) => {
                let cells: Vec<usize> = positions.iter().map(|&position| kept[position]).collect();
                let mut is_used = vec![false; counts.source.gene_names().len()];
                counts
                    .used_genes
                    .iter()
                    .for_each(|&gene| is_used[gene] = true);
                let part = Part {
                    source: counts.source.as_ref(),
                    cells: &cells,
                    genes: &counts.used_genes,
                };
                let is_used = &is_used;
                moments(part, |position| {
                    let mut logarithms = Logarithms::new(scales[positions[position]]);
                    // The value of a gene that is not used goes nowhere.
                    move |gene, count| {
                        if is_used[gene] {
                            logarithms.of(count)
                        } else {
                            0.0
                        }
                    }
                })
            }
        }
    }
}

/// Counts of some kept cells, read from a source.
#[derive(Debug)]
pub(crate) struct LoadedRows {
    /// Positions of the cells, rising.
    positions: Vec<usize>,
    rows: RowParts,
}

impl LoadedRows {
    /// Whether all of these cells are loaded.
    pub fn hold(&self, positions: &[usize]) -> bool {
        let is_there = |position| self.positions.binary_search(position).is_ok();
        positions.iter().all(is_there)
    }

    /// The row of a cell.
    ///
    /// # Panics
    /// When it was not loaded, as slice indexing does.
    pub fn row(&self, position: usize) -> (&[u32], &[f32]) {
        let row = self.positions.partition_point(|&other| other < position);
        self.rows.row(row)
    }
}

impl SourceCounts {
    /// Reads rising positions that lie close together, window by window.
    pub fn load(&self, kept: &[usize], positions: Vec<usize>) -> Result<LoadedRows> {
        let cells: Vec<usize> = positions.iter().map(|&position| kept[position]).collect();
        let expected = self.entries as f64 / kept.len().max(1) as f64 * cells.len() as f64;
        // A little more than expected: a list that grows needs twice its memory.
        let mut rows = RowParts::with_capacity(cells.len(), (1.1 * expected) as usize);
        let mut scratch = Row::default();
        visit_cells(self.source.as_ref(), &cells, |_, genes, values| {
            let (genes, values) = self.genes.apply(genes, values, &mut scratch);
            rows.push(genes, values);
        })?;
        Ok(LoadedRows { positions, rows })
    }

    /// Reads positions wherever they lie.
    pub fn load_scattered(&self, kept: &[usize], positions: &[usize]) -> Result<LoadedRows> {
        let mut positions = positions.to_vec();
        positions.sort_unstable();
        positions.dedup();
        let cells: Vec<usize> = positions.iter().map(|&position| kept[position]).collect();
        let read = read_cells(self.source.as_ref(), &cells)?;
        let mut rows = RowParts::with_capacity(cells.len(), read.stored());
        let mut scratch = Row::default();
        for row in 0..read.cells() {
            let (genes, values) = read.row(row);
            let (genes, values) = self.genes.apply(genes, values, &mut scratch);
            rows.push(genes, values);
        }
        Ok(LoadedRows { positions, rows })
    }

    /// Calls `visit` with every kept cell's position and row, in order.
    pub fn visit(
        &self,
        kept: &[usize],
        mut visit: impl FnMut(usize, &[u32], &[f32]) + Send,
    ) -> Result<()> {
        let mut scratch = Row::default();
        let mut position = 0;
        visit_cells_ahead(self.source.as_ref(), kept, |_, genes, values| {
            let (genes, values) = self.genes.apply(genes, values, &mut scratch);
            visit(position, genes, values);
            position += 1;
        })
    }
}
