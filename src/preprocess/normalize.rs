//! Size factors and gene statistics, in a few passes over the sparse counts.

use serde::{Deserialize, Serialize};

use crate::counts::{CountSource, visit_cells};
use crate::error::Result;
use crate::parallel::try_map;

/// Most blocks that cells are split into. The split depends on the number of cells alone, and
/// partial sums are added in block order, so results do not depend on the number of threads.
const BLOCKS: usize = 16;

/// Fewest cells in a block.
const BLOCK_CELLS: usize = 256;

/// Below this ratio of standard deviation to mean a gene counts as constant: values that are equal
/// in exact arithmetic differ by rounding (about 1e-16 each), and dividing by that difference
/// would turn rounding into signal.
const CONSTANT: f64 = 1e-9;

/// What the counts of a cell are normalised to.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TargetSum {
    /// The median total count of the training cells (scanpy's default).
    Median,
    /// A fixed total, for example 10 000.
    Fixed(f64),
}

/// Size factors `[cells]`: totals relative to the median total.
pub(super) fn size_factors(totals: &[f64], median_total: f64) -> Vec<f32> {
    totals
        .iter()
        .map(|total| (total / median_total) as f32)
        .collect()
}

/// Some cells and genes of a source, without a copy of them.
#[derive(Clone, Copy)]
pub(super) struct Part<'a> {
    pub source: &'a dyn CountSource,
    /// Rising.
    pub cells: &'a [usize],
    pub genes: &'a [usize],
}

impl Part<'_> {
    /// Of values for every gene of the source, those of this part's genes.
    pub fn of_genes<T: Copy>(self, values: &[T]) -> Vec<T> {
        self.genes.iter().map(|&gene| values[gene]).collect()
    }

    /// Number of genes of the source.
    pub fn source_genes(self) -> usize {
        self.source.gene_names().len()
    }
}

/// Mean and variance of every gene.
pub(super) struct Moments {
    pub mean: Vec<f64>,
    /// With `n − 1` in the denominator; exactly 0 for genes that are constant up to rounding and
    /// when there is only one cell.
    pub variance: Vec<f64>,
    /// Number of cells with a count.
    pub cells: Vec<usize>,
}

/// Mean and variance of a value for every gene of `part` over its cells: `values(position)` gives,
/// for the cell at a position of the part, the value of a gene of the source with a count; that of a
/// zero count is 0.
///
/// Two passes (mean, then squared deviations) over the non-zero entries; zeros enter by formula.
///
/// # Errors
/// Those of the source.
pub(super) fn moments<V: FnMut(usize, f32) -> f64>(
    part: Part<'_>,
    values: impl Fn(usize) -> V + Sync,
) -> Result<Moments> {
    let n = part.cells.len() as f64;
    let sums = sum_per_gene(part, |sums, position, genes, counts| {
        let mut value = values(position);
        for (&gene, &count) in genes.iter().zip(counts) {
            let slot = &mut sums[gene as usize];
            slot.0 += value(gene as usize, count);
            slot.1 += 1;
        }
    })?;
    let means: Vec<f64> = sums.iter().map(|&(sum, _)| sum / n).collect();
    let deviations = sum_per_gene(part, |sums, position, genes, counts| {
        let mut value = values(position);
        for (&gene, &count) in genes.iter().zip(counts) {
            let gene = gene as usize;
            let deviation = value(gene, count) - means[gene];
            sums[gene].0 += deviation * deviation;
        }
    })?;
    let variance = part
        .genes
        .iter()
        .map(|&gene| {
            if part.cells.len() < 2 {
                return 0.0;
            }
            let (mean, squares) = (means[gene], deviations[gene].0);
            let zeros = (part.cells.len() - sums[gene].1) as f64;
            let variance = (squares + zeros * mean * mean) / (n - 1.0);
            if variance.sqrt() <= CONSTANT * mean.abs() {
                0.0
            } else {
                variance
            }
        })
        .collect();
    Ok(Moments {
        mean: part.of_genes(&means),
        variance,
        cells: part.genes.iter().map(|&gene| sums[gene].1).collect(),
    })
}

/// Sums for every gene of the source over the cells of `part`; `add` gets sums, the position of a
/// cell in the part, and the cell's row.
fn sum_per_gene(
    part: Part<'_>,
    add: impl Fn(&mut [(f64, usize)], usize, &[u32], &[f32]) + Sync,
) -> Result<Vec<(f64, usize)>> {
    let genes = part.source_genes();
    let block_cells = part.cells.len().div_ceil(BLOCKS).max(BLOCK_CELLS);
    let blocks: Vec<&[usize]> = part.cells.chunks(block_cells).collect();
    let partial = try_map(blocks.len(), |block| {
        let mut sums = vec![(0.0, 0); genes];
        let mut position = block * block_cells;
        visit_cells(part.source, blocks[block], |_, genes, counts| {
            add(&mut sums, position, genes, counts);
            position += 1;
        })?;
        Ok(sums)
    })?;
    let mut total = vec![(0.0, 0); genes];
    for sums in partial {
        for (slot, (sum, number)) in total.iter_mut().zip(sums) {
            slot.0 += sum;
            slot.1 += number;
        }
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counts::CountMatrix;
    use ndarray::array;

    fn plain(_: usize) -> impl FnMut(usize, f32) -> f64 {
        |_, count| f64::from(count)
    }

    #[test]
    fn moments_count_the_zeros() {
        let counts =
            CountMatrix::from_dense(array![[2.0, 0.0], [0.0, 0.0], [4.0, 0.0]].view()).unwrap();
        let part = Part {
            source: &counts,
            cells: &[0, 1, 2],
            genes: &[0, 1],
        };
        let moments = moments(part, plain).unwrap();
        assert_eq!(moments.mean, [2.0, 0.0]);
        assert_eq!(moments.variance, [4.0, 0.0]);
    }

    #[test]
    fn a_part_has_the_moments_of_its_copy() {
        let counts = CountMatrix::from_dense(
            array![
                [2.0, 0.0, 7.0],
                [9.0, 9.0, 9.0],
                [0.0, 1.0, 3.0],
                [5.0, 0.0, 1.0]
            ]
            .view(),
        )
        .unwrap();
        let (cells, genes) = ([0, 2, 3], [0, 2]);
        let copy = counts.select_cells(&cells).unwrap();
        let copy = copy.select_genes(&genes).unwrap();
        let of_part = moments(
            Part {
                source: &counts,
                cells: &cells,
                genes: &genes,
            },
            plain,
        )
        .unwrap();
        let of_copy = moments(
            Part {
                source: &copy,
                cells: &[0, 1, 2],
                genes: &[0, 1],
            },
            plain,
        )
        .unwrap();
        assert_eq!(of_part.mean, of_copy.mean);
        assert_eq!(of_part.variance, of_copy.variance);
    }

    #[test]
    fn rounding_is_not_variance() {
        let counts = CountMatrix::from_dense(array![[1.0], [3.0], [7.0]].view()).unwrap();
        let scale = [0.1, 0.1 / 3.0, 0.1 / 7.0];
        let part = Part {
            source: &counts,
            cells: &[0, 1, 2],
            genes: &[0],
        };
        let moments = moments(part, |cell| move |_, count| f64::from(count) * scale[cell]).unwrap();
        assert_eq!(moments.variance, [0.0]);
    }
}
