//! How the counts of cells become the values that the network sees.

use super::batch_labels::BatchLabels;
use super::fitted::FittedPreprocess;
use super::scaler::{Logarithms, Scaler};
use super::statistics::GeneStatistics;

/// What is known of every cell besides its counts: its total and its batch, and the scaling that
/// goes with the batch. Cells of one scaling are of one kind.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct InputScale {
    /// Total count of each cell, of genes that passed the filters `[cells]`.
    totals: Vec<f64>,
    /// The total that the counts of each cell are normalised to before log1p.
    target_total: f64,
    /// How values become inputs, one for every kind of cell.
    scalers: Vec<Scaler>,
    /// Which of `scalers` each batch uses; one entry when there are no batches.
    scaler_of_batch: Vec<usize>,
    batches: Option<BatchLabels>,
}

impl InputScale {
    /// The scale that `preprocessing` gives cells of these totals `[cells]` and batches.
    pub fn new(
        preprocessing: &FittedPreprocess,
        totals: &[f64],
        batches: Option<BatchLabels>,
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
            target_total: preprocessing.target_total(),
            scalers,
            scaler_of_batch,
            batches,
        }
    }

    /// Total count of each cell `[cells]`.
    pub fn totals(&self) -> &[f64] {
        &self.totals
    }

    /// The batch of every cell, when batches were given.
    pub fn batches(&self) -> Option<&BatchLabels> {
        self.batches.as_ref()
    }

    /// Number of genes the network sees.
    pub fn genes(&self) -> usize {
        self.scalers.first().map_or(0, |scaler| scaler.zeros.len())
    }

    /// Which kind of cell a cell is.
    pub fn kind_of(&self, cell: usize) -> usize {
        let batch = self
            .batches
            .as_ref()
            .map_or(0, |labels| labels.codes()[cell]);
        self.scaler_of_batch[batch]
    }

    /// What the network input of a cell of each kind would be if all its counts were zero
    /// `[kinds][genes]`.
    pub fn zeros(&self) -> impl Iterator<Item = &[f32]> {
        self.scalers.iter().map(|scaler| scaler.zeros.as_slice())
    }

    /// What the network input of cells of a kind is where a count is zero `[genes]`.
    pub fn zeros_of(&self, kind: usize) -> &[f32] {
        &self.scalers[kind].zeros
    }

    /// What the network input of a cell would be if all its counts were zero `[genes]`.
    pub fn input_at_zeros(&self, cell: usize) -> &[f32] {
        self.zeros_of(self.kind_of(cell))
    }

    /// Calls `f` with gene and network input of every stored count of a cell, genes rising.
    pub fn for_each_input(
        &self,
        cell: usize,
        (genes, values): (&[u32], &[f32]),
        mut f: impl FnMut(usize, f32),
    ) {
        let scaler = &self.scalers[self.kind_of(cell)];
        let mut logarithms = Logarithms::new(self.target_total / self.totals[cell]);
        for (&gene, &count) in genes.iter().zip(values) {
            let gene = gene as usize;
            f(gene, scaler.scale(gene, logarithms.of(count)));
        }
    }
}
