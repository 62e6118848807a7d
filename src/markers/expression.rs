//! Stored counts gene by gene, as shares of their cells' totals.

use std::ops::Range;

use crate::counts::{CountSource, visit_cells_ahead};
use crate::error::Result;

/// Most stored counts that are gathered by gene at the same time (16 bytes each).
const BLOCK_ENTRIES: usize = 1 << 23;

/// Which group each cell belongs to.
pub(super) struct Groups {
    codes: Vec<usize>,
    sizes: Vec<usize>,
}

impl Groups {
    /// From a code below `count` for every cell.
    pub fn new(codes: Vec<usize>, count: usize) -> Self {
        let mut sizes = vec![0; count];
        for &code in &codes {
            sizes[code] += 1;
        }
        Self { codes, sizes }
    }

    pub fn cells(&self) -> usize {
        self.codes.len()
    }

    /// Cells in each group.
    pub fn sizes(&self) -> &[usize] {
        &self.sizes
    }
}

/// What a first sweep over the cells of a source finds.
pub(super) struct Sums {
    /// The total of every cell.
    pub totals: Vec<f64>,
    /// In how many cells each gene has a count.
    pub cells_per_gene: Vec<usize>,
}

impl Sums {
    /// Of rising cells of a source.
    ///
    /// # Errors
    /// Those of the source.
    pub fn of(source: &dyn CountSource, cells: &[usize]) -> Result<Self> {
        let mut sums = Self {
            totals: Vec::with_capacity(cells.len()),
            cells_per_gene: vec![0; source.gene_names().len()],
        };
        visit_cells_ahead(source, cells, |_, indices, values| {
            sums.totals
                .push(values.iter().copied().map(f64::from).sum());
            for &gene in indices {
                sums.cells_per_gene[gene as usize] += 1;
            }
        })?;
        Ok(sums)
    }
}

/// The counts of some cells of a source as shares of each cell's total.
pub(super) struct Shares<'a> {
    /// The source, and which of its cells, rising.
    pub source: &'a dyn CountSource,
    pub cells: &'a [usize],
    pub totals: &'a [f64],
    pub cells_per_gene: &'a [usize],
    pub groups: &'a Groups,
}

/// Of each gene of a block the stored (share, group) of its cells in their order.
pub(super) type Block = Vec<Vec<(f64, u32)>>;

impl Shares<'_> {
    /// Blocks of consecutive genes, all of them in order. All cells are read for each.
    pub fn blocks(&self) -> impl Iterator<Item = Result<Block>> {
        let ranges = ranges(self.cells_per_gene, BLOCK_ENTRIES).into_iter();
        ranges.map(|range| self.gather(range))
    }

    fn gather(&self, genes: Range<usize>) -> Result<Block> {
        let lengths = self.cells_per_gene[genes.clone()].iter();
        let mut block: Block = lengths.map(|&n| Vec::with_capacity(n)).collect();
        let mut of_cells = self.totals.iter().zip(&self.groups.codes);
        visit_cells_ahead(self.source, self.cells, |_, indices, values| {
            let Some((&total, &group)) = of_cells.next() else {
                return;
            };
            let start = indices.partition_point(|&gene| (gene as usize) < genes.start);
            for (&gene, &count) in indices[start..].iter().zip(&values[start..]) {
                let gene = gene as usize;
                if gene >= genes.end {
                    break;
                }
                // Division is correctly rounded: equal shares are equal numbers, so they tie.
                block[gene - genes.start].push((f64::from(count) / total, group as u32));
            }
        })?;
        Ok(block)
    }
}

/// Splits genes into ranges with at most `most` entries, or a single gene.
fn ranges(entries: &[usize], most: usize) -> Vec<Range<usize>> {
    let mut ranges = Vec::new();
    let mut start = 0;
    let mut sum = 0;
    for (gene, &count) in entries.iter().enumerate() {
        if gene > start && sum + count > most {
            ranges.push(start..gene);
            start = gene;
            sum = 0;
        }
        sum += count;
    }
    if start < entries.len() {
        ranges.push(start..entries.len());
    }
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counts::CountMatrix;

    #[test]
    fn ranges_cover_all_genes_within_the_limit() {
        assert_eq!(ranges(&[3, 3, 3, 9, 1, 0, 5], 6), [0..2, 2..3, 3..4, 4..7]);
        assert!(ranges(&[], 6).is_empty());
    }

    #[test]
    fn a_block_holds_its_genes_only() {
        let dense = ndarray::array![[1.0, 0.0, 3.0], [0.0, 2.0, 2.0]];
        let counts = CountMatrix::from_dense(dense.view()).unwrap();
        let groups = Groups::new(vec![1, 0], 2);
        let shares = Shares {
            source: &counts,
            cells: &[0, 1],
            totals: &[4.0, 4.0],
            cells_per_gene: &[1, 1, 2],
            groups: &groups,
        };
        let block = shares.gather(1..3).unwrap();
        assert_eq!(block, [vec![(0.5, 0)], vec![(0.75, 1), (0.5, 0)]]);
    }
}
