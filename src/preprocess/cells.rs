//! What training consumes.

use std::fmt::Write as _;

use ndarray::{Array2, Axis};

use super::fingerprint::{CachedFingerprint, Fingerprint};
use super::fitted::{BatchLabels, FittedPreprocess, GeneStatistics};
use super::normalize::size_factors;
use super::{Clip, FilterReport, Scaling};
use crate::counts::CountMatrix;
use crate::kernel::sparse::{Entry, SparseInput};

/// Preprocessed cells: raw counts for the loss, scaled values for the network, size factors.
///
/// Made by [`Preprocess::fit`](super::Preprocess::fit) and [`FittedPreprocess::transform`] only.
/// They are kept sparse, in 8 bytes per non-zero count (gene, count); a cell's scaled values are
/// computed when they are asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct Cells {
    preprocessing: FittedPreprocess,
    counts: CountMatrix,
    /// Total count of each cell, of genes that passed the filters `[cells]`.
    totals: Vec<f64>,
    /// How values become inputs, one for every kind of cell.
    scalers: Vec<Scaler>,
    /// Which of `scalers` each batch uses; one entry when there are no batches.
    scaler_of_batch: Vec<usize>,
    size_factors: Vec<f32>,
    kept_cells: Vec<usize>,
    kept_genes: Vec<Option<usize>>,
    batches: Option<BatchLabels>,
    report: FilterReport,
    fingerprint: CachedFingerprint,
}

impl Cells {
    /// Puts cells together from the kept counts `[cells, genes]` and the total count of each cell.
    pub(super) fn assemble(
        preprocessing: FittedPreprocess,
        counts: CountMatrix,
        totals: &[f64],
        kept_cells: Vec<usize>,
        kept_genes: Vec<Option<usize>>,
        batches: Option<BatchLabels>,
        report: FilterReport,
    ) -> Self {
        let statistics: Vec<&GeneStatistics> = match &batches {
            None => vec![preprocessing.statistics()],
            Some(labels) => labels
                .names()
                .iter()
                .map(|name| preprocessing.statistics_of(name))
                .collect(),
        };
        // Batches without statistics of their own share the overall ones: one scaler for all.
        let mut distinct: Vec<&GeneStatistics> = Vec::new();
        let scaler_of_batch: Vec<usize> = statistics
            .into_iter()
            .map(|statistics| {
                let known = distinct
                    .iter()
                    .position(|&other| std::ptr::eq(other, statistics));
                known.unwrap_or_else(|| {
                    distinct.push(statistics);
                    distinct.len() - 1
                })
            })
            .collect();
        let scalers = distinct
            .into_iter()
            .map(|statistics| Scaler::new(statistics, preprocessing.settings().scaling))
            .collect();
        Self {
            totals: totals.to_vec(),
            size_factors: size_factors(totals, preprocessing.median_total()),
            scalers,
            scaler_of_batch,
            counts,
            kept_cells,
            kept_genes,
            batches,
            report,
            preprocessing,
            fingerprint: CachedFingerprint::default(),
        }
    }

    /// Number of cells.
    pub fn cells(&self) -> usize {
        self.counts.cells()
    }

    /// Number of genes the network sees.
    pub fn genes(&self) -> usize {
        self.counts.genes()
    }

    /// Raw counts `[cells, genes]` of the kept cells and genes: what the loss compares with.
    pub fn counts(&self) -> &CountMatrix {
        &self.counts
    }

    /// Size factor of each cell `[cells]`: its total count over the median total of the training
    /// cells, whatever the target sum is. The loss multiplies the decoder's mean by it.
    pub fn size_factors(&self) -> &[f32] {
        &self.size_factors
    }

    /// Total count of each cell `[cells]`, with genes that were dropped for varying little.
    pub(crate) fn totals(&self) -> &[f64] {
        &self.totals
    }

    /// The preprocessing that made these cells; it prepares new ones in the same way.
    pub fn preprocessing(&self) -> &FittedPreprocess {
        &self.preprocessing
    }

    /// Writes the scaled network input of a cell into `row` `[genes]`.
    ///
    /// # Panics
    /// When `cell` is not below [`cells`](Self::cells) or `row` does not have
    /// [`genes`](Self::genes) elements, as slice indexing does.
    pub fn fill_input(&self, cell: usize, row: &mut [f32]) {
        row.copy_from_slice(self.input_at_zeros(cell));
        self.set_input_at_counts(cell, row);
    }

    /// What the network input of a cell would be if all its counts were zero `[genes]`.
    pub(crate) fn input_at_zeros(&self, cell: usize) -> &[f32] {
        &self.scaler(cell).zeros
    }

    /// Overwrites the network input of a cell where a count is stored.
    pub(crate) fn set_input_at_counts(&self, cell: usize, row: &mut [f32]) {
        self.for_each_input(cell, |gene, input| row[gene] = input);
    }

    /// Calls `f` with gene and network input of every stored count of a cell, genes rising.
    fn for_each_input(&self, cell: usize, mut f: impl FnMut(usize, f32)) {
        let scaler = self.scaler(cell);
        let mut logarithms = Logarithms::new(self.preprocessing.target_total() / self.totals[cell]);
        let (genes, values) = self.counts.row(cell);
        for (&gene, &count) in genes.iter().zip(values) {
            let gene = gene as usize;
            f(gene, scaler.scale(gene, logarithms.of(count)));
        }
    }

    /// The scaled network input of the given cells, sparse.
    ///
    /// # Panics
    /// When one of them is not below [`cells`](Self::cells), as slice indexing does.
    pub fn sparse_input(&self, cells: &[usize]) -> SparseInput {
        // Only the bases that these cells have, in the order in which they come.
        let mut used: Vec<usize> = Vec::new();
        let base_of_row = cells.iter().map(|&cell| {
            let scaler = self.scaler_index(cell);
            let known = used.iter().position(|&other| other == scaler);
            known.unwrap_or_else(|| {
                used.push(scaler);
                used.len() - 1
            })
        });
        let base_of_row = base_of_row.collect();
        let zeros = |scaler: &usize| self.scalers[*scaler].zeros.as_slice();
        let bases = used.iter().map(zeros).collect::<Vec<_>>().concat();
        let lengths = cells.iter().map(|&cell| self.counts.row(cell).0.len());
        SparseInput::new(self.genes(), bases, base_of_row, lengths, |row, entries| {
            let zeros = &self.scaler(cells[row]).zeros;
            let mut entries = entries.iter_mut();
            self.for_each_input(cells[row], |gene, input| {
                if let Some(entry) = entries.next() {
                    *entry = Entry {
                        index: gene as u32,
                        value: input - zeros[gene],
                    };
                }
            });
        })
    }

    fn scaler(&self, cell: usize) -> &Scaler {
        &self.scalers[self.scaler_index(cell)]
    }

    fn scaler_index(&self, cell: usize) -> usize {
        let batch = self
            .batches
            .as_ref()
            .map_or(0, |labels| labels.codes()[cell]);
        self.scaler_of_batch[batch]
    }

    /// Writes the raw counts of a cell into `row` `[genes]`.
    ///
    /// # Panics
    /// As [`fill_input`](Self::fill_input).
    pub fn fill_counts(&self, cell: usize, row: &mut [f32]) {
        assert_eq!(row.len(), self.genes(), "length of the row to fill");
        row.fill(0.0);
        self.set_counts(cell, row);
    }

    /// Overwrites with the raw counts of a cell where one is stored.
    pub(crate) fn set_counts(&self, cell: usize, row: &mut [f32]) {
        let (genes, values) = self.counts.row(cell);
        for (&gene, &value) in genes.iter().zip(values) {
            row[gene as usize] = value;
        }
    }

    /// Names of the kept cells.
    pub fn cell_names(&self) -> &[String] {
        self.counts.cell_names()
    }

    /// Names of the genes the network sees.
    pub fn gene_names(&self) -> &[String] {
        self.counts.gene_names()
    }

    /// Position of each cell in the matrix that was preprocessed, rising.
    pub fn kept_cells(&self) -> &[usize] {
        &self.kept_cells
    }

    /// Position of each gene in the matrix that was preprocessed; `None` for a gene of the model
    /// that new data lacks (never after fitting).
    pub fn kept_genes(&self) -> &[Option<usize>] {
        &self.kept_genes
    }

    /// Batch of each cell `[cells]` as position in [`batch_names`](Self::batch_names); `None` when
    /// no batches were given.
    pub fn batches(&self) -> Option<&[usize]> {
        self.batches.as_ref().map(BatchLabels::codes)
    }

    /// Labels of the batches of these cells, sorted; empty when no batches were given.
    pub fn batch_names(&self) -> &[String] {
        self.batches.as_ref().map_or(&[], BatchLabels::names)
    }

    /// How many cells and genes were dropped, and why.
    pub fn report(&self) -> &FilterReport {
        &self.report
    }

    /// The network input as a dense matrix `[cells, genes]`: `4 · cells · genes` bytes, so for
    /// small data only.
    pub fn to_dense_input(&self) -> Array2<f32> {
        let mut dense = Array2::zeros((self.cells(), self.genes()));
        for (cell, mut row) in dense.axis_iter_mut(Axis(0)).enumerate() {
            if let Some(row) = row.as_slice_mut() {
                self.fill_input(cell, row);
            }
        }
        dense
    }

    /// A hash of counts, network input, names, batches and settings: equal for equal data and
    /// settings, on every machine of the same kind. A checkpoint stores it and refuses other data.
    ///
    /// The first call reads all data once (about two seconds per 10⁸ non-zero counts).
    pub fn fingerprint(&self) -> u64 {
        self.fingerprint
            .get_or_compute(|| self.compute_fingerprint())
    }

    fn compute_fingerprint(&self) -> u64 {
        let mut hash = Fingerprint::new();
        hash.number(self.cells());
        hash.number(self.genes());
        for &offset in self.counts.offsets() {
            hash.number(offset);
        }
        for gene in self.counts.indices() {
            hash.bytes(&gene.to_le_bytes());
        }
        hash.floats(self.counts.values());
        hash.number(self.counts.stored());
        for cell in 0..self.cells() {
            self.for_each_input(cell, |_, input| hash.float(input));
        }
        for scaler in &self.scalers {
            hash.floats(&scaler.zeros);
        }
        hash.floats(&self.size_factors);
        hash.texts(self.cell_names());
        hash.texts(self.gene_names());
        hash.texts(self.batch_names());
        for &batch in self.batches().unwrap_or_default() {
            hash.number(batch);
        }
        // Writing into a hash cannot fail.
        let _ = write!(hash, "{:?}", self.preprocessing.settings());
        hash.finish()
    }
}

/// Scaling of one kind of cell: `(value − centre) / divisor`, within limits.
#[derive(Debug, Clone, PartialEq)]
struct Scaler {
    /// Centre and divisor of every gene `[genes]`.
    genes: Vec<(f64, f64)>,
    low: f64,
    high: f64,
    /// The network's input at a zero count `[genes]`.
    zeros: Vec<f32>,
}

impl Scaler {
    fn new(statistics: &GeneStatistics, scaling: Option<Scaling>) -> Self {
        // Values pass unchanged through a centre of 0, a divisor of 1 and infinite limits.
        let scaling = scaling.unwrap_or(Scaling {
            center: false,
            exponent: 0.0,
            unit_variance: false,
            clip: None,
        });
        let divisor = |sd: f64| {
            if sd > 0.0 {
                sd.powf(scaling.exponent)
            } else {
                1.0
            }
        };
        let common = match scaling.unit_variance {
            true => root_mean_square(statistics.sd.iter().map(|&sd| sd / divisor(sd))),
            false => 1.0,
        };
        let genes = statistics.mean.iter().zip(&statistics.sd);
        let genes = genes.map(|(&mean, &sd)| {
            let center = if scaling.center { mean } else { 0.0 };
            (center, divisor(sd) * common)
        });
        let clip = scaling.clip;
        let (low, high) = clip.map_or((f64::NEG_INFINITY, f64::INFINITY), Clip::range);
        let mut scaler = Self {
            genes: genes.collect(),
            low,
            high,
            zeros: Vec::new(),
        };
        scaler.zeros = (0..scaler.genes.len())
            .map(|gene| scaler.scale(gene, 0.0))
            .collect();
        scaler
    }

    /// The network input for a log-normalised value.
    fn scale(&self, gene: usize, value: f64) -> f32 {
        let (center, divisor) = self.genes[gene];
        self.limit((value - center) / divisor) as f32
    }

    /// `f64::clamp` without its check of the limits.
    fn limit(&self, value: f64) -> f64 {
        let value = if value < self.low { self.low } else { value };
        if value > self.high { self.high } else { value }
    }
}

/// 1 without values that are not zero.
fn root_mean_square(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let count = values.len().max(1) as f64;
    let mean = values.map(|value| value * value).sum::<f64>() / count;
    if mean > 0.0 { mean.sqrt() } else { 1.0 }
}

/// log1p of the normalised counts of one cell.
///
/// A cell has few different counts, nearly all of them small: each of those is taken the logarithm
/// of once.
struct Logarithms {
    scale: f64,
    /// Of the counts 0, 1, 2, …; negative where not yet known.
    known: [f64; Self::SMALL],
}

impl Logarithms {
    const SMALL: usize = 32;

    fn new(scale: f64) -> Self {
        Self {
            scale,
            known: [-1.0; Self::SMALL],
        }
    }

    fn of(&mut self, count: f32) -> f64 {
        let whole = count as i32;
        let scale = self.scale;
        let compute = || (f64::from(count) * scale).ln_1p();
        match self.known.get_mut(whole as usize) {
            Some(known) if whole as f32 == count => {
                if *known < 0.0 {
                    *known = compute();
                }
                *known
            }
            _ => compute(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remembered_logarithms_are_the_computed_ones() {
        let scale = 0.37;
        let mut logarithms = Logarithms::new(scale);
        let counts = [
            1.0, 2.0, 1.0, 0.5, 2.5, 31.0, 32.0, 31.0, 31.5, 1e9, 5e9, 2.0, 1e30,
        ];
        for count in counts {
            let expected = (f64::from(count) * scale).ln_1p();
            assert_eq!(
                logarithms.of(count).to_bits(),
                expected.to_bits(),
                "{count}"
            );
        }
    }

    #[test]
    fn a_scaler_centres_divides_and_limits() {
        let statistics = GeneStatistics {
            mean: vec![1.0, 2.0],
            sd: vec![4.0, 0.0],
        };
        let z_score = Scaling::z_score();
        for (scaling, expected) in [
            (None, [9.0, 9.0]),
            (Some(z_score), [2.0, 7.0]),
            (Some(z_score.with_center(false)), [2.25, 9.0]),
            (Some(z_score.with_exponent(0.5)), [4.0, 7.0]),
            (Some(z_score.with_clip(Clip::Upper(3.0))), [2.0, 3.0]),
        ] {
            let scaler = Scaler::new(&statistics, scaling);
            assert_eq!([scaler.scale(0, 9.0), scaler.scale(1, 9.0)], expected);
        }
        let upper = Scaler::new(&statistics, Some(z_score.with_clip(Clip::Upper(0.5))));
        let both = Scaler::new(&statistics, Some(z_score.with_clip(Clip::Both(0.5))));
        assert_eq!(upper.zeros, [-0.25, -2.0]);
        assert_eq!(both.zeros, [-0.25, -0.5]);
    }
}
