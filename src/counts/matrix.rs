//! The count matrix: cells × genes in compressed sparse rows, with names.

mod select;
mod sparse;

use std::ops::Range;

use ndarray::{Array2, ArrayView2};

use super::{CountRows, Origin};
use crate::error::{Error, Place, Result};

pub(crate) use select::{GeneMap, Row};
use sparse::check_offsets;
pub(super) use sparse::{Sparse, canonical};

/// Raw counts of `cells × genes` in compressed sparse rows (CSR), with cell and gene names.
///
/// A matrix is valid by construction: row offsets rise, gene indices within a row are sorted,
/// unique and in range, and every stored value is finite, positive and not zero. Unsorted input is
/// sorted, duplicate entries of a cell and gene are summed (in double precision; a sum of whole
/// numbers that 32 bits cannot hold is refused), explicit zeros are dropped.
///
/// Whether values are *integers* is checked by the preprocessing, which can be told to accept
/// estimated (fractional) counts.
///
/// ```
/// use celldec::counts::CountMatrix;
/// use ndarray::array;
///
/// let counts = CountMatrix::from_dense(array![[0.0, 2.0], [1.0, 0.0]].view())?;
/// assert_eq!((counts.cells(), counts.genes(), counts.stored()), (2, 2, 2));
/// assert_eq!(counts.row(0), (&[1u32][..], &[2.0f32][..]));
/// # Ok::<(), celldec::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct CountMatrix {
    genes: usize,
    offsets: Vec<usize>,
    indices: Vec<u32>,
    values: Vec<f32>,
    cell_names: Vec<String>,
    gene_names: Vec<String>,
    /// Says more about values that are no counts.
    origin: Origin,
}

impl CountMatrix {
    /// From CSR parts: row `i` holds `indices[offsets[i]..offsets[i + 1]]`.
    ///
    /// Names are the positions ("0", "1", …) until [`with_names`](Self::with_names).
    ///
    /// # Errors
    /// [`Error::InvalidSparse`] when the parts contradict each other,
    /// [`Error::NonFiniteCount`] and [`Error::NegativeCount`] for such values, also for a negative
    /// one among duplicates whose sum is not; [`Error::InexactSum`] for duplicates of whole numbers
    /// whose sum 32-bit floats cannot hold.
    pub fn from_csr(
        cells: usize,
        genes: usize,
        offsets: Vec<usize>,
        indices: Vec<u32>,
        values: Vec<f32>,
    ) -> Result<Self> {
        let parts = canonical(0, cells, genes, offsets, indices, values)?;
        parts.check_values(0)?;
        Ok(Self {
            genes,
            offsets: parts.offsets,
            indices: parts.indices,
            values: parts.values,
            cell_names: (0..cells).map(|i| i.to_string()).collect(),
            gene_names: (0..genes).map(|i| i.to_string()).collect(),
            origin: Origin::default(),
        })
    }

    /// From CSC parts: column (gene) `j` holds cells `indices[offsets[j]..offsets[j + 1]]`.
    ///
    /// # Errors
    /// As [`from_csr`](Self::from_csr).
    pub fn from_csc(
        cells: usize,
        genes: usize,
        offsets: &[usize],
        indices: &[u32],
        values: &[f32],
    ) -> Result<Self> {
        check_offsets("column", genes, offsets, indices.len(), values.len())?;
        let mut row_offsets = vec![0usize; cells + 1];
        for &cell in indices {
            let cell = cell as usize;
            if cell >= cells {
                return Err(Error::InvalidSparse {
                    reason: format!("an entry names cell {cell}, but there are {cells} cells"),
                });
            }
            row_offsets[cell + 1] += 1;
        }
        for cell in 0..cells {
            row_offsets[cell + 1] += row_offsets[cell];
        }
        let mut next = row_offsets.clone();
        let mut row_indices = vec![0u32; indices.len()];
        let mut row_values = vec![0f32; values.len()];
        for gene in 0..genes {
            for entry in offsets[gene]..offsets[gene + 1] {
                let slot = &mut next[indices[entry] as usize];
                row_indices[*slot] = gene as u32;
                row_values[*slot] = values[entry];
                *slot += 1;
            }
        }
        Self::from_csr(cells, genes, row_offsets, row_indices, row_values)
    }

    /// From a dense matrix `[cells, genes]`.
    ///
    /// # Errors
    /// As [`from_csr`](Self::from_csr).
    pub fn from_dense(dense: ArrayView2<'_, f32>) -> Result<Self> {
        let (cells, genes) = dense.dim();
        let mut offsets = Vec::with_capacity(cells + 1);
        offsets.push(0);
        let mut indices = Vec::new();
        let mut values = Vec::new();
        for row in dense.rows() {
            for (gene, &value) in row.iter().enumerate() {
                if value != 0.0 {
                    indices.push(gene as u32);
                    values.push(value);
                }
            }
            offsets.push(indices.len());
        }
        Self::from_csr(cells, genes, offsets, indices, values)
    }

    /// Replaces the names.
    ///
    /// # Errors
    /// [`Error::LengthMismatch`] when a list does not fit the matrix.
    pub fn with_names(mut self, cell_names: Vec<String>, gene_names: Vec<String>) -> Result<Self> {
        check_length("the list of cell names", self.cells(), cell_names.len())?;
        check_length("the list of gene names", self.genes, gene_names.len())?;
        self.cell_names = cell_names;
        self.gene_names = gene_names;
        Ok(self)
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

    /// The non-zero entries of a cell: gene indices (rising) and counts.
    ///
    /// # Panics
    /// When `cell` is not below [`cells`](Self::cells), as slice indexing does.
    pub fn row(&self, cell: usize) -> (&[u32], &[f32]) {
        let range = self.offsets[cell]..self.offsets[cell + 1];
        (&self.indices[range.clone()], &self.values[range])
    }

    /// Consecutive rows, without a copy.
    pub(super) fn window(&self, cells: Range<usize>) -> CountRows<'_> {
        let offsets = &self.offsets[cells.start..=cells.end];
        let entries = self.offsets[cells.start]..self.offsets[cells.end];
        CountRows::new(
            self.genes,
            offsets,
            &self.indices[entries.clone()],
            &self.values[entries],
        )
    }

    /// Row offsets `[cells + 1]`.
    pub fn offsets(&self) -> &[usize] {
        &self.offsets
    }

    /// Gene index of every stored entry, row after row.
    pub fn indices(&self) -> &[u32] {
        &self.indices
    }

    /// Every stored count, row after row.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// Cell names (barcodes).
    pub fn cell_names(&self) -> &[String] {
        &self.cell_names
    }

    /// Gene names.
    pub fn gene_names(&self) -> &[String] {
        &self.gene_names
    }

    /// Position and name of a cell, for messages.
    pub fn cell_place(&self, cell: usize) -> Place {
        Place::new(cell, self.cell_names[cell].clone())
    }

    /// Position and name of a gene, for messages.
    pub fn gene_place(&self, gene: usize) -> Place {
        Place::new(gene, self.gene_names[gene].clone())
    }

    /// Total count of every cell (its library size).
    pub fn cell_totals(&self) -> Vec<f64> {
        (0..self.cells())
            .map(|cell| self.row(cell).1.iter().map(|&v| f64::from(v)).sum())
            .collect()
    }

    /// Number of genes with a count in every cell.
    pub fn genes_per_cell(&self) -> Vec<usize> {
        self.offsets.windows(2).map(|w| w[1] - w[0]).collect()
    }

    /// Total count of every gene.
    pub fn gene_totals(&self) -> Vec<f64> {
        let mut totals = vec![0.0; self.genes];
        for (&gene, &value) in self.indices.iter().zip(&self.values) {
            totals[gene as usize] += f64::from(value);
        }
        totals
    }

    /// Number of cells in which every gene has a count.
    pub fn cells_per_gene(&self) -> Vec<usize> {
        let mut cells = vec![0; self.genes];
        for &gene in &self.indices {
            cells[gene as usize] += 1;
        }
        cells
    }

    /// The dense matrix `[cells, genes]`: `4 · cells · genes` bytes.
    pub fn to_dense(&self) -> Array2<f32> {
        let mut dense = Array2::zeros((self.cells(), self.genes));
        for cell in 0..self.cells() {
            let (indices, values) = self.row(cell);
            for (&gene, &value) in indices.iter().zip(values) {
                dense[[cell, gene as usize]] = value;
            }
        }
        dense
    }

    /// Refuses values that are not integers.
    ///
    /// # Errors
    /// [`Error::FractionalCount`] naming the first such entry and how many there are, or
    /// [`Error::CountsElsewhere`] when the AnnData file that the matrix was read from has another
    /// matrix that holds counts.
    pub fn check_integers(&self) -> Result<()> {
        let is_fractional = |value: f32| value.fract() != 0.0;
        let count = self.values.iter().filter(|&&v| is_fractional(v)).count();
        match self.values.iter().position(|&v| is_fractional(v)) {
            None => Ok(()),
            Some(entry) => {
                let (cell, gene) = self.entry_place(entry);
                Err(self.origin.explain(Error::FractionalCount {
                    cell,
                    gene,
                    value: self.values[entry],
                    count,
                }))
            }
        }
    }

    /// The matrix with the file that it was read from.
    #[cfg(feature = "h5ad")]
    pub(crate) fn with_origin(mut self, origin: Origin) -> Self {
        self.origin = origin;
        self
    }

    /// Where the matrix was read.
    pub(super) fn origin(&self) -> &Origin {
        &self.origin
    }

    fn entry_place(&self, entry: usize) -> (Place, Place) {
        let cell = self.offsets.partition_point(|&offset| offset <= entry) - 1;
        (
            self.cell_place(cell),
            self.gene_place(self.indices[entry] as usize),
        )
    }
}

fn check_length(what: &str, expected: usize, found: usize) -> Result<()> {
    if expected == found {
        Ok(())
    } else {
        Err(Error::LengthMismatch {
            what: what.to_string(),
            expected,
            found,
        })
    }
}

#[cfg(test)]
mod tests;
