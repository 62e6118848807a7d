//! What training consumes.

use std::fmt::Write as _;

use ndarray::{Array2, Axis};
use rayon::prelude::*;

use super::fingerprint::Fingerprint;
use super::fitted::{BatchLabels, FittedPreprocess, GeneStatistics};
use super::normalize::size_factors;
use super::{FilterReport, Scaling};
use crate::counts::CountMatrix;

/// Preprocessed cells: raw counts for the loss, scaled values for the network, size factors.
///
/// Made by [`Preprocess::fit`](super::Preprocess::fit) and [`FittedPreprocess::transform`] only.
/// Values are kept sparse: 12 bytes per non-zero count (gene, count, scaled value), plus one row of
/// scaled zeros per batch.
#[derive(Debug, Clone, PartialEq)]
pub struct Cells {
    preprocessing: FittedPreprocess,
    counts: CountMatrix,
    /// The network's input at every stored entry of `counts`.
    inputs: Vec<f32>,
    /// The network's input at a zero count `[genes]`, one row per kind of cell.
    zeros: Vec<Vec<f32>>,
    /// Which row of `zeros` each batch uses; one entry when there are no batches.
    zeros_of_batch: Vec<usize>,
    size_factors: Vec<f32>,
    kept_cells: Vec<usize>,
    kept_genes: Vec<Option<usize>>,
    batches: Option<BatchLabels>,
    report: FilterReport,
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
        // Batches without statistics of their own share the overall ones: one row for all.
        let mut distinct: Vec<&GeneStatistics> = Vec::new();
        let zeros_of_batch: Vec<usize> = statistics
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
        let scalers: Vec<Scaler<'_>> = distinct
            .into_iter()
            .map(|statistics| Scaler::new(statistics, preprocessing.settings().scaling))
            .collect();
        let zeros = scalers
            .iter()
            .map(|scaler| {
                (0..counts.genes())
                    .map(|gene| scaler.scale(gene, 0.0))
                    .collect()
            })
            .collect();

        let mut inputs = vec![0.0; counts.stored()];
        let mut rows: Vec<&mut [f32]> = Vec::with_capacity(counts.cells());
        let mut rest = inputs.as_mut_slice();
        for cell in 0..counts.cells() {
            let (row, after) = rest.split_at_mut(counts.row(cell).0.len());
            rows.push(row);
            rest = after;
        }
        let target = preprocessing.target_total();
        rows.into_par_iter().enumerate().for_each(|(cell, row)| {
            let batch = batches.as_ref().map_or(0, |labels| labels.codes()[cell]);
            let scaler = &scalers[zeros_of_batch[batch]];
            let scale = target / totals[cell];
            let (genes, values) = counts.row(cell);
            for ((slot, &gene), &count) in row.iter_mut().zip(genes).zip(values) {
                *slot = scaler.scale(gene as usize, (f64::from(count) * scale).ln_1p());
            }
        });

        Self {
            size_factors: size_factors(totals, preprocessing.median_total()),
            zeros,
            zeros_of_batch,
            inputs,
            counts,
            kept_cells,
            kept_genes,
            batches,
            report,
            preprocessing,
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
        let batch = self
            .batches
            .as_ref()
            .map_or(0, |labels| labels.codes()[cell]);
        row.copy_from_slice(&self.zeros[self.zeros_of_batch[batch]]);
        let offsets = self.counts.offsets();
        let entries = offsets[cell]..offsets[cell + 1];
        for (&gene, &value) in self.counts.row(cell).0.iter().zip(&self.inputs[entries]) {
            row[gene as usize] = value;
        }
    }

    /// Writes the raw counts of a cell into `row` `[genes]`.
    ///
    /// # Panics
    /// As [`fill_input`](Self::fill_input).
    pub fn fill_counts(&self, cell: usize, row: &mut [f32]) {
        assert_eq!(row.len(), self.genes(), "length of the row to fill");
        row.fill(0.0);
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
    /// Reads all data once (about two seconds per 10⁸ non-zero counts).
    pub fn fingerprint(&self) -> u64 {
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
        hash.floats(&self.inputs);
        for zeros in &self.zeros {
            hash.floats(zeros);
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

/// Scaling of one kind of cell, with the powers of the standard deviations taken once.
struct Scaler<'a> {
    statistics: &'a GeneStatistics,
    scaling: Option<Scaling>,
    divisors: Vec<f64>,
}

impl<'a> Scaler<'a> {
    fn new(statistics: &'a GeneStatistics, scaling: Option<Scaling>) -> Self {
        let exponent = scaling.map_or(0.0, |scaling| scaling.exponent);
        let divisors = statistics
            .sd
            .iter()
            .map(|&sd| if sd > 0.0 { sd.powf(exponent) } else { 1.0 })
            .collect();
        Self {
            statistics,
            scaling,
            divisors,
        }
    }

    /// The network input for a log-normalised value.
    fn scale(&self, gene: usize, value: f64) -> f32 {
        let Some(scaling) = self.scaling else {
            return value as f32;
        };
        let centered = if scaling.center {
            value - self.statistics.mean[gene]
        } else {
            value
        };
        let scaled = centered / self.divisors[gene];
        scaling.clip.map_or(scaled, |clip| clip.apply(scaled)) as f32
    }
}
