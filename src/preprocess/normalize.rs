//! Size factors and gene statistics, in one pass over the sparse counts each.

use rayon::prelude::*;

use crate::counts::CountMatrix;

/// Most blocks that cells are split into. The split depends on the number of cells alone, and
/// partial sums are added in block order, so results do not depend on the number of threads.
const BLOCKS: usize = 16;

/// Fewest cells in a block.
const BLOCK_CELLS: usize = 256;

/// Below this ratio of standard deviation to mean a gene counts as constant: values that are equal
/// in exact arithmetic differ by rounding (about 1e-16 each), and dividing by that difference
/// would turn rounding into signal.
const CONSTANT: f64 = 1e-9;

/// The median, the mean of the two middle values for an even number of them; 0 for none.
pub(super) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => 0.0,
        n if n % 2 == 1 => sorted[n / 2],
        n => 0.5 * (sorted[n / 2 - 1] + sorted[n / 2]),
    }
}

/// Size factors `[cells]`: totals relative to the median total.
pub(super) fn size_factors(totals: &[f64], median_total: f64) -> Vec<f32> {
    totals
        .iter()
        .map(|total| (total / median_total) as f32)
        .collect()
}

/// Mean and variance of every gene.
pub(super) struct Moments {
    pub mean: Vec<f64>,
    /// With `n − 1` in the denominator; exactly 0 for genes that are constant up to rounding and
    /// when there is only one cell.
    pub variance: Vec<f64>,
}

/// Mean and variance of `value(cell, count)` per gene over `cells`; `value` of a zero count is 0.
///
/// Two passes (mean, then squared deviations) over the non-zero entries; zeros enter by formula.
pub(super) fn moments(
    counts: &CountMatrix,
    cells: &[usize],
    value: impl Fn(usize, f32) -> f64 + Sync,
) -> Moments {
    let n = cells.len() as f64;
    let sums = sum_per_gene(counts, cells, |sums: &mut Vec<(f64, usize)>, cell| {
        let (genes, row) = counts.row(cell);
        for (&gene, &count) in genes.iter().zip(row) {
            let slot = &mut sums[gene as usize];
            slot.0 += value(cell, count);
            slot.1 += 1;
        }
    });
    let mean: Vec<f64> = sums.iter().map(|&(sum, _)| sum / n).collect();
    let deviations = sum_per_gene(counts, cells, |sums: &mut Vec<(f64, usize)>, cell| {
        let (genes, row) = counts.row(cell);
        for (&gene, &count) in genes.iter().zip(row) {
            let deviation = value(cell, count) - mean[gene as usize];
            sums[gene as usize].0 += deviation * deviation;
        }
    });
    let variance = deviations
        .iter()
        .zip(&sums)
        .zip(&mean)
        .map(|((&(squares, _), &(_, expressed)), &mean)| {
            if cells.len() < 2 {
                return 0.0;
            }
            let zeros = (cells.len() - expressed) as f64;
            let variance = (squares + zeros * mean * mean) / (n - 1.0);
            if variance.sqrt() <= CONSTANT * mean.abs() {
                0.0
            } else {
                variance
            }
        })
        .collect();
    Moments { mean, variance }
}

fn sum_per_gene(
    counts: &CountMatrix,
    cells: &[usize],
    add: impl Fn(&mut Vec<(f64, usize)>, usize) + Sync,
) -> Vec<(f64, usize)> {
    let block_cells = cells.len().div_ceil(BLOCKS).max(BLOCK_CELLS);
    let partial: Vec<Vec<(f64, usize)>> = cells
        .par_chunks(block_cells)
        .map(|block| {
            let mut sums = vec![(0.0, 0); counts.genes()];
            for &cell in block {
                add(&mut sums, cell);
            }
            sums
        })
        .collect();
    let mut total = vec![(0.0, 0); counts.genes()];
    for sums in partial {
        for (slot, (sum, number)) in total.iter_mut().zip(sums) {
            slot.0 += sum;
            slot.1 += number;
        }
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn median_of_odd_even_and_none() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert_eq!(median(&[]), 0.0);
    }

    #[test]
    fn moments_count_the_zeros() {
        let counts =
            CountMatrix::from_dense(array![[2.0, 0.0], [0.0, 0.0], [4.0, 0.0]].view()).unwrap();
        let moments = moments(&counts, &[0, 1, 2], |_, count| f64::from(count));
        assert_eq!(moments.mean, [2.0, 0.0]);
        assert_eq!(moments.variance, [4.0, 0.0]);
    }

    #[test]
    fn rounding_is_not_variance() {
        let counts = CountMatrix::from_dense(array![[1.0], [3.0], [7.0]].view()).unwrap();
        let scale = [0.1, 0.1 / 3.0, 0.1 / 7.0];
        let moments = moments(&counts, &[0, 1, 2], |cell, count| {
            f64::from(count) * scale[cell]
        });
        assert_eq!(moments.variance, [0.0]);
    }
}
