//! Parts of a matrix: some of its cells, some of its genes, in another order.

use super::{CountMatrix, check_length};
use crate::error::{Error, Place, Result};

/// In place of a position: the gene is dropped.
const DROPPED: u32 = u32::MAX;

/// Where every gene of a matrix goes in another one.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct GeneMap {
    /// The new position of every gene, or [`DROPPED`].
    positions: Vec<u32>,
    /// Whether every gene keeps its position, so that rows need no change.
    is_identity: bool,
}

impl GeneMap {
    /// To a matrix of `genes`, given by their positions among `from` genes; `None` stands for a
    /// gene that is not among them.
    ///
    /// # Errors
    /// [`Error::InvalidSparse`] when a gene does not exist or is selected twice.
    pub fn new(genes: &[Option<usize>], from: usize) -> Result<Self> {
        let mut positions = vec![DROPPED; from];
        for (position, &gene) in genes.iter().enumerate() {
            let Some(gene) = gene else { continue };
            let slot = positions
                .get_mut(gene)
                .ok_or_else(|| Error::InvalidSparse {
                    reason: format!("gene {gene} was selected, but there are {from} genes"),
                })?;
            if *slot != DROPPED {
                return Err(Error::InvalidSparse {
                    reason: format!("gene {gene} was selected twice"),
                });
            }
            *slot = position as u32;
        }
        let is_identity = positions
            .iter()
            .enumerate()
            .all(|(gene, &position)| position as usize == gene);
        Ok(Self {
            positions,
            is_identity,
        })
    }

    /// The error with the place that its gene has in the new matrix.
    ///
    /// # Errors
    /// The error as it is when its gene is dropped.
    pub fn place(&self, error: Error) -> Result<Error> {
        let position = |gene: &Place| {
            let position = self.positions.get(gene.index).copied();
            position.filter(|&position| position != DROPPED)
        };
        if error.gene().is_some_and(|gene| position(gene).is_none()) {
            return Err(error);
        }
        Ok(error.map_places(
            |cell| cell,
            |gene| match position(&gene) {
                Some(position) => Place::new(position as usize, gene.name),
                None => gene,
            },
        ))
    }

    /// How many of a row's entries are kept.
    pub fn kept(&self, indices: &[u32]) -> usize {
        if self.is_identity {
            return indices.len();
        }
        let is_kept = |&&gene: &&u32| self.positions[gene as usize] != DROPPED;
        indices.iter().filter(is_kept).count()
    }

    /// Total and number of the kept entries of a row, summed in the order of the new genes.
    pub fn total(&self, indices: &[u32], values: &[f32], row: &mut Row) -> (f64, usize) {
        if self.is_identity {
            return (total(values.iter().copied()), values.len());
        }
        row.fill(self, indices, values);
        (
            total(row.entries.iter().map(|&(_, value)| value)),
            row.entries.len(),
        )
    }

    /// The kept entries of a row with their new genes.
    pub fn apply<'a>(
        &self,
        indices: &'a [u32],
        values: &'a [f32],
        row: &'a mut Row,
    ) -> (&'a [u32], &'a [f32]) {
        if self.is_identity {
            return (indices, values);
        }
        row.fill(self, indices, values);
        row.split();
        (&row.indices, &row.values)
    }
}

fn total(values: impl Iterator<Item = f32>) -> f64 {
    values.map(f64::from).sum()
}

/// One row with its new gene indices, rising; memory to be used again.
#[derive(Default)]
pub(crate) struct Row {
    entries: Vec<(u32, f32)>,
    indices: Vec<u32>,
    values: Vec<f32>,
}

impl Row {
    fn fill(&mut self, map: &GeneMap, indices: &[u32], values: &[f32]) {
        self.entries.clear();
        let mapped = indices
            .iter()
            .zip(values)
            .map(|(&gene, &value)| (map.positions[gene as usize], value));
        self.entries
            .extend(mapped.filter(|&(gene, _)| gene != DROPPED));
        if !self.entries.is_sorted_by_key(|&(gene, _)| gene) {
            self.entries.sort_unstable_by_key(|&(gene, _)| gene);
        }
    }

    /// Genes and counts of the entries apart.
    fn split(&mut self) {
        self.indices.clear();
        self.values.clear();
        self.indices
            .extend(self.entries.iter().map(|entry| entry.0));
        self.values.extend(self.entries.iter().map(|entry| entry.1));
    }
}

impl CountMatrix {
    /// The matrix of the given cells and genes, in the given orders; `None` stands for a gene that
    /// this matrix lacks and becomes a column of zeros. `names` are the genes' new names.
    ///
    /// Needs the memory of the new matrix and nothing else that grows with the number of cells.
    ///
    /// # Errors
    /// [`Error::InvalidSparse`] when a cell or gene does not exist or a gene is selected twice,
    /// [`Error::LengthMismatch`] when `names` has another length than `genes`.
    pub(crate) fn select(
        &self,
        cells: impl ExactSizeIterator<Item = usize> + Clone,
        genes: &[Option<usize>],
        names: Vec<String>,
    ) -> Result<Self> {
        check_length("the list of gene names", genes.len(), names.len())?;
        if let Some(cell) = cells.clone().find(|&cell| cell >= self.cells()) {
            return Err(Error::InvalidSparse {
                reason: format!(
                    "cell {cell} was selected, but there are {} cells",
                    self.cells()
                ),
            });
        }
        let map = GeneMap::new(genes, self.genes)?;
        // Counted first: a list that grows as it is filled needs up to three times its memory.
        let mut offsets = Vec::with_capacity(cells.len() + 1);
        let mut stored = 0;
        offsets.push(0);
        for cell in cells.clone() {
            stored += map.kept(self.row(cell).0);
            offsets.push(stored);
        }
        let mut indices = Vec::with_capacity(stored);
        let mut values = Vec::with_capacity(stored);
        let mut row = Row::default();
        for cell in cells.clone() {
            let (row_indices, row_values) = self.row(cell);
            if map.is_identity {
                indices.extend_from_slice(row_indices);
                values.extend_from_slice(row_values);
            } else {
                row.fill(&map, row_indices, row_values);
                indices.extend(row.entries.iter().map(|&(gene, _)| gene));
                values.extend(row.entries.iter().map(|&(_, value)| value));
            }
        }
        Ok(Self {
            genes: genes.len(),
            offsets,
            indices,
            values,
            cell_names: cells.map(|cell| self.cell_names[cell].clone()).collect(),
            gene_names: names,
            origin: self.origin.clone(),
        })
    }

    /// The matrix of the given cells, in the given order.
    ///
    /// # Errors
    /// [`Error::InvalidSparse`] when a cell does not exist.
    pub fn select_cells(&self, cells: &[usize]) -> Result<Self> {
        let genes: Vec<_> = (0..self.genes).map(Some).collect();
        self.select(cells.iter().copied(), &genes, self.gene_names.clone())
    }

    /// The matrix of the given genes, in the given order; `None` stands for a gene that this
    /// matrix lacks and becomes a column of zeros named by `names`.
    ///
    /// # Errors
    /// [`Error::InvalidSparse`] when a gene does not exist or is selected twice,
    /// [`Error::LengthMismatch`] when `names` has another length than `genes`.
    pub fn align_genes(&self, genes: &[Option<usize>], names: Vec<String>) -> Result<Self> {
        self.select(0..self.cells(), genes, names)
    }

    /// The matrix of the given genes, in the given order.
    ///
    /// # Errors
    /// [`Error::InvalidSparse`] when a gene does not exist or is selected twice.
    pub fn select_genes(&self, genes: &[usize]) -> Result<Self> {
        let names = genes
            .iter()
            .map(|&gene| self.gene_names.get(gene).cloned().unwrap_or_default())
            .collect();
        let genes: Vec<_> = genes.iter().map(|&gene| Some(gene)).collect();
        self.align_genes(&genes, names)
    }
}
