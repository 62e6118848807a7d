//! The first pass over counts: totals of cells and genes, and whether counts are integers.

use crate::counts::{CountSource, GeneMap, Row, visit_cells_ahead};
use crate::error::{Error, Place, Result};

/// Total count and number of genes with a count, of every cell.
pub(super) struct CellSums {
    pub totals: Vec<f64>,
    pub genes: Vec<u32>,
}

impl CellSums {
    fn with_capacity(cells: usize) -> Self {
        Self {
            totals: Vec::with_capacity(cells),
            genes: Vec::with_capacity(cells),
        }
    }

    fn push(&mut self, total: f64, genes: usize) {
        self.totals.push(total);
        self.genes.push(genes as u32);
    }
}

/// Total count and number of cells with a count, of every gene.
pub(super) struct GeneSums {
    pub totals: Vec<f64>,
    pub cells: Vec<usize>,
}

/// Sums of all cells and genes.
///
/// # Errors
/// [`Error::FractionalCount`] unless `allow_fractional`; those of the source.
pub(super) fn survey(
    source: &dyn CountSource,
    allow_fractional: bool,
) -> Result<(CellSums, GeneSums)> {
    let genes = source.gene_names().len();
    let mut cell_sums = CellSums::with_capacity(source.cell_names().len());
    let mut gene_sums = GeneSums {
        totals: vec![0.0; genes],
        cells: vec![0; genes],
    };
    let mut integers = IntegerCheck::default();
    let mut logarithmic = Totals::default();
    visit_cells_ahead(source, &all_cells(source), |cell, genes, values| {
        integers.row(cell, genes, values);
        let mut total = 0.0;
        for (&gene, &value) in genes.iter().zip(values) {
            total += f64::from(value);
            gene_sums.totals[gene as usize] += f64::from(value);
            gene_sums.cells[gene as usize] += 1;
        }
        cell_sums.push(total, values.len());
        if allow_fractional && integers.count > 0 {
            logarithmic.add(values.iter().map(|&value| f64::from(value).exp_m1()).sum());
        }
    })?;
    match integers.finish(source) {
        Err(elsewhere @ Error::CountsElsewhere { .. }) if allow_fractional => {
            tracing::warn!("{elsewhere}");
        }
        Err(_) if allow_fractional => {}
        finished => finished?,
    }
    let mut plain = Totals::default();
    cell_sums.totals.iter().for_each(|&total| plain.add(total));
    for (totals, of) in [
        (plain, "values"),
        (logarithmic, "exponentials of the values, less one,"),
    ] {
        if let Some(total) = totals.shared() {
            tracing::warn!(
                "the {of} of all cells have the same total, {total:.0}, as normalised ones have; raw counts \
                 have different totals, and the methods expect them"
            );
        }
    }
    Ok((cell_sums, gene_sums))
}

/// Sums of all cells over the genes that `passed`, and number of entries of every cell that `used`
/// keeps.
///
/// # Errors
/// As [`survey`].
pub(super) fn survey_of(
    source: &dyn CountSource,
    passed: &GeneMap,
    used: &GeneMap,
    allow_fractional: bool,
) -> Result<(CellSums, Vec<u32>)> {
    let cells = source.cell_names().len();
    let mut sums = CellSums::with_capacity(cells);
    let mut entries = Vec::with_capacity(cells);
    let mut integers = IntegerCheck::default();
    let mut row = Row::default();
    visit_cells_ahead(source, &all_cells(source), |cell, genes, values| {
        if !allow_fractional {
            integers.row(cell, genes, values);
        }
        let (total, number) = passed.total(genes, values, &mut row);
        sums.push(total, number);
        entries.push(used.kept(genes) as u32);
    })?;
    integers.finish(source)?;
    Ok((sums, entries))
}

/// The smallest and the largest total of cells that have counts.
#[derive(Default)]
struct Totals {
    cells: usize,
    range: Option<(f64, f64)>,
}

impl Totals {
    /// Fewer cells may have equal totals by chance.
    const FEWEST: usize = 20;

    fn add(&mut self, total: f64) {
        if total > 0.0 {
            self.cells += 1;
            let (least, most) = self.range.unwrap_or((total, total));
            self.range = Some((least.min(total), most.max(total)));
        }
    }

    /// The total, if it is the same of all within the rounding of normalised values to integers.
    fn shared(&self) -> Option<f64> {
        let (least, most) = self.range.filter(|_| self.cells >= Self::FEWEST)?;
        (most - least <= 1e-3 * most).then_some(most)
    }
}

fn all_cells(source: &dyn CountSource) -> Vec<usize> {
    (0..source.cell_names().len()).collect()
}

/// Values that are not integers: the first, and how many.
#[derive(Default)]
struct IntegerCheck {
    first: Option<(usize, u32, f32)>,
    count: usize,
}

impl IntegerCheck {
    fn row(&mut self, cell: usize, genes: &[u32], values: &[f32]) {
        let is_fractional = |value: f32| value.fract() != 0.0;
        let count = values.iter().filter(|&&v| is_fractional(v)).count();
        if count == 0 {
            return;
        }
        self.count += count;
        if self.first.is_none() {
            let mut entries = genes.iter().zip(values);
            let found = entries.find(|&(_, &value)| is_fractional(value));
            self.first = found.map(|(&gene, &value)| (cell, gene, value));
        }
    }

    fn finish(self, source: &dyn CountSource) -> Result<()> {
        match self.first {
            None => Ok(()),
            Some((cell, gene, value)) => Err(source.explain(Error::FractionalCount {
                cell: Place::named(cell, source.cell_names()),
                gene: Place::named(gene as usize, source.gene_names()),
                value,
                count: self.count,
            })),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_are_shared_within_rounding() {
        let shared = |values: &mut dyn Iterator<Item = f64>| {
            let mut totals = Totals::default();
            values.for_each(|total| totals.add(total));
            totals.shared()
        };
        // Cells without counts have no total to share.
        let rounded = (0..40).map(|cell| [0.0, 10_000.0, 9_995.0][cell % 3]);
        assert_eq!(shared(&mut rounded.clone()), Some(10_000.0));
        assert_eq!(shared(&mut rounded.chain([9_900.0])), None);
        assert_eq!(shared(&mut [7.0; 19].into_iter()), None);
    }
}
