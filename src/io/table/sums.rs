//! Lines and columns of sums, which spreadsheets add to a table: neither cells nor genes.

use crate::counts::CountMatrix;

/// Cells, and genes, of which fewer may add up to one of them by chance.
const FEWEST: usize = 10;

/// The reason to refuse a table of which a cell or a gene is the sum of all others.
pub(super) fn refusal(counts: &CountMatrix) -> Option<String> {
    let (of_cells, of_genes) = (counts.cell_totals(), counts.gene_totals());
    let counted = |totals: &[f64]| totals.iter().filter(|&&total| total > 0.0).count();
    if counted(&of_cells).min(counted(&of_genes)) < FEWEST {
        return None;
    }
    if let Some(cell) = summed_cell(counts, &of_cells, &of_genes) {
        let place = counts.cell_place(cell);
        return Some(format!(
            "cell {place} holds the sum of all other cells for every gene; leave out lines or columns of \
             totals"
        ));
    }
    let gene = summed_gene(counts, &of_cells, &of_genes)?;
    let place = counts.gene_place(gene);
    Some(format!(
        "gene {place} holds the sum of all other genes for every cell; leave out lines or columns of totals"
    ))
}

/// The cell that all others add up to.
fn summed_cell(counts: &CountMatrix, of_cells: &[f64], of_genes: &[f64]) -> Option<usize> {
    let cell = half_of_all(of_cells)?;
    let mut values = vec![0.0; counts.genes()];
    let (genes, stored) = counts.row(cell);
    for (&gene, &value) in genes.iter().zip(stored) {
        values[gene as usize] = f64::from(value);
    }
    let is_sum = values
        .iter()
        .zip(of_genes)
        .all(|(&value, &all)| is_half(value, all));
    is_sum.then_some(cell)
}

/// The gene that all others add up to.
fn summed_gene(counts: &CountMatrix, of_cells: &[f64], of_genes: &[f64]) -> Option<usize> {
    let gene = half_of_all(of_genes)?;
    let is_sum = (0..counts.cells()).all(|cell| {
        let (genes, values) = counts.row(cell);
        let place = genes.iter().position(|&other| other as usize == gene);
        is_half(
            place.map_or(0.0, |place| f64::from(values[place])),
            of_cells[cell],
        )
    });
    is_sum.then_some(gene)
}

/// The total that is as large as all others together.
fn half_of_all(totals: &[f64]) -> Option<usize> {
    let all: f64 = totals.iter().sum();
    totals.iter().position(|&total| is_half(total, all))
}

/// Sums of 32-bit numbers are rounded.
fn is_half(part: f64, all: f64) -> bool {
    (2.0 * part - all).abs() <= 1e-6 * all.abs()
}

#[cfg(test)]
mod tests {
    use ndarray::{Array2, Axis, concatenate};

    use super::*;

    fn refused(counts: &Array2<f32>) -> Option<String> {
        refusal(&CountMatrix::from_dense(counts.view()).unwrap())
    }

    /// Cells and genes, as many as asked for, of different counts.
    fn counts(size: usize) -> Array2<f32> {
        Array2::from_shape_fn((size, size), |(cell, gene)| {
            ((cell * 7 + gene * 3) % 5) as f32
        })
    }

    /// The table with a line and with a column of sums, before and after all others.
    fn with_sums(counts: &Array2<f32>) -> [Array2<f32>; 4] {
        let [of_genes, of_cells] =
            [Axis(0), Axis(1)].map(|axis| counts.sum_axis(axis).insert_axis(axis));
        let joined = |axis, parts: [&Array2<f32>; 2]| {
            concatenate(axis, &parts.map(|part| part.view())).unwrap()
        };
        [
            joined(Axis(0), [&of_genes, counts]),
            joined(Axis(0), [counts, &of_genes]),
            joined(Axis(1), [&of_cells, counts]),
            joined(Axis(1), [counts, &of_cells]),
        ]
    }

    #[test]
    fn sums_are_neither_cells_nor_genes() {
        let counts = counts(12);
        assert_eq!(refused(&counts), None);
        let places = ["cell 0", "cell 12", "gene 0", "gene 12"];
        for (table, place) in with_sums(&counts).iter().zip(places) {
            let reason = refused(table).unwrap_or_default();
            assert!(reason.starts_with(place), "{place}: {reason}");
        }
    }

    /// As large as all others together, but not for every gene.
    #[test]
    fn a_large_cell_stays() {
        let mut counts = counts(12);
        let all = counts.sum();
        let first = counts.row(0).sum();
        counts[[0, 0]] += all - 2.0 * first;
        assert_eq!(counts.row(0).sum() * 2.0, counts.sum());
        assert_eq!(refused(&counts), None);
    }

    #[test]
    fn few_cells_may_add_up() {
        for table in with_sums(&counts(5)) {
            assert_eq!(refused(&table), None);
        }
    }
}
