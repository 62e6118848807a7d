//! Stored counts gene by gene, as shares of their cells' totals.

use std::ops::Range;

use crate::counts::CountMatrix;

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

/// The counts of a matrix as shares of each cell's total.
pub(super) struct Shares<'a> {
    counts: &'a CountMatrix,
    totals: &'a [f64],
    groups: &'a Groups,
}

impl<'a> Shares<'a> {
    pub fn new(counts: &'a CountMatrix, totals: &'a [f64], groups: &'a Groups) -> Self {
        Self {
            counts,
            totals,
            groups,
        }
    }

    /// Blocks of consecutive genes, all of them in order; of each gene the stored (share, group)
    /// of its cells in their order.
    pub fn blocks(&self) -> impl Iterator<Item = Vec<Vec<(f64, u32)>>> {
        let cells_per_gene = self.counts.cells_per_gene();
        ranges(&cells_per_gene, BLOCK_ENTRIES)
            .into_iter()
            .map(move |range| self.gather(range.clone(), &cells_per_gene[range]))
    }

    fn gather(&self, genes: Range<usize>, lengths: &[usize]) -> Vec<Vec<(f64, u32)>> {
        let mut block: Vec<Vec<(f64, u32)>> =
            lengths.iter().map(|&n| Vec::with_capacity(n)).collect();
        for (cell, (&total, &group)) in self.totals.iter().zip(&self.groups.codes).enumerate() {
            let (indices, values) = self.counts.row(cell);
            let start = indices.partition_point(|&gene| (gene as usize) < genes.start);
            for (&gene, &count) in indices[start..].iter().zip(&values[start..]) {
                let gene = gene as usize;
                if gene >= genes.end {
                    break;
                }
                // Division is correctly rounded: equal shares are equal numbers, so they tie.
                block[gene - genes.start].push((f64::from(count) / total, group as u32));
            }
        }
        block
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
        let shares = Shares::new(&counts, &[4.0, 4.0], &groups);
        let block = shares.gather(1..3, &[1, 2]);
        assert_eq!(block, [vec![(0.5, 0)], vec![(0.75, 1), (0.5, 0)]]);
    }
}
