//! Learning the preprocessing from training cells.

use std::fmt::Display;
use std::sync::Arc;

use super::batch_labels::BatchLabels;
use super::cells::Cells;
use super::filter::{CellFilter, FilterReport, filter_cells, refuse_empty, refuse_empty_cells};
use super::fitted::{FittedPreprocess, Learned};
use super::genes::GeneList;
use super::normalize::{Part, TargetSum};
use super::settings::Preprocess;
use super::statistics::{BatchStatistics, GeneStatistics};
use super::stored::Input;
use super::survey::{GeneSums, survey, survey_of};
use crate::counts::{CountMatrix, CountSource, GeneMap};
use crate::error::Result;
use crate::selection::median;

impl Preprocess {
    /// Learns the preprocessing from `counts` (cells × genes) and applies it.
    ///
    /// Genes are scaled over all cells.
    ///
    /// # Errors
    /// - [`Error::Parameter`](crate::Error::Parameter) for a setting outside its range,
    /// - [`Error::EmptyMatrix`](crate::Error::EmptyMatrix),
    ///   [`Error::AllFiltered`](crate::Error::AllFiltered) when there is nothing (left) to learn
    ///   from,
    /// - [`Error::FractionalCount`](crate::Error::FractionalCount) for values that are not integers,
    ///   unless allowed, or [`Error::CountsElsewhere`](crate::Error::CountsElsewhere) when the
    ///   AnnData file that they come from has another matrix that holds counts,
    /// - [`Error::EmptyCell`](crate::Error::EmptyCell) for a cell without counts that the filters do
    ///   not drop,
    /// - [`Error::VariableGenes`](crate::Error::VariableGenes) when variable genes cannot be found.
    pub fn fit(&self, counts: &CountMatrix) -> Result<Cells> {
        self.fit_input(Input::Matrix(counts), None)
    }

    /// As [`fit`](Self::fit), with genes scaled **within each batch**: mean and standard deviation
    /// come from the cells of the same batch. `batches` names the batch of every cell of `counts`.
    ///
    /// New cells of a batch that was not seen here are scaled by the statistics of all cells.
    ///
    /// # Errors
    /// As [`fit`](Self::fit), and [`Error::LengthMismatch`](crate::Error::LengthMismatch) when
    /// `batches` does not have one label per cell.
    pub fn fit_with_batches<L: Display>(
        &self,
        counts: &CountMatrix,
        batches: &[L],
    ) -> Result<Cells> {
        let labels = BatchLabels::new(counts.cells(), batches)?;
        self.fit_input(Input::Matrix(counts), Some(labels))
    }

    /// As [`fit`](Self::fit), from counts that need not fit in memory: what is learned is the same
    /// bit for bit, and the [`Cells`] read counts from the source when they are needed.
    ///
    /// Reads all cells three times: once for filters and totals, twice for means and standard
    /// deviations. Once more when genes are dropped that have counts; twice more for variable genes
    /// of [`Flavor::Seurat`](super::Flavor::Seurat), three times for
    /// [`Flavor::SeuratV3`](super::Flavor::SeuratV3).
    ///
    /// # Errors
    /// As [`fit`](Self::fit), and those of the source.
    pub fn fit_source(&self, source: Arc<dyn CountSource>) -> Result<Cells> {
        self.fit_input(Input::Source(source), None)
    }

    /// As [`fit_with_batches`](Self::fit_with_batches), from counts that need not fit in memory.
    ///
    /// Reads the cells of every batch twice more than [`fit_source`](Self::fit_source): quick when
    /// the cells of a batch lie together, twice the whole source for every batch when they do not.
    ///
    /// # Errors
    /// As [`fit_with_batches`](Self::fit_with_batches), and those of the source.
    pub fn fit_source_with_batches<L: Display>(
        &self,
        source: Arc<dyn CountSource>,
        batches: &[L],
    ) -> Result<Cells> {
        let labels = BatchLabels::new(source.cell_names().len(), batches)?;
        self.fit_input(Input::Source(source), Some(labels))
    }

    fn fit_input(&self, input: Input<'_>, labels: Option<BatchLabels>) -> Result<Cells> {
        self.validate()?;
        let source = input.source();
        refuse_empty(source)?;
        let mut report = FilterReport::new(source);
        let genes = source.gene_names().len();

        let (mut cell_sums, gene_sums) = survey(source, self.allow_fractional)?;
        let passing = self.passing_genes(&gene_sums, &mut report);
        let total_genes = GeneList::select(source.gene_names(), &passing);
        // Totals over all genes are those over the passing ones when the others have no counts.
        let counted = gene_sums.cells.iter().filter(|&&cells| cells > 0).count();
        let counted_passing = passing.iter().filter(|&&gene| gene_sums.cells[gene] > 0);
        if counted_passing.count() < counted {
            let passed: Vec<_> = passing.iter().map(|&gene| Some(gene)).collect();
            let passed = GeneMap::new(&passed, genes)?;
            (cell_sums, _) = survey_of(source, &passed, &passed, true)?;
        }
        let cell_filter = filter_cells(self, &cell_sums, &mut report);
        drop(cell_sums);
        report.refuse_nothing_left(cell_filter.kept.len(), passing.len())?;
        refuse_empty_cells(source, &cell_filter)?;
        let CellFilter { kept, totals } = cell_filter;

        let median_total = median(&totals);
        let target_total = match self.target_sum {
            TargetSum::Median => median_total,
            TargetSum::Fixed(total) => total,
        };
        let scales: Vec<f64> = totals.iter().map(|total| target_total / total).collect();

        let selected = match self.variable_genes {
            Some(variable) if variable.number < passing.len() => {
                let part = Part {
                    source,
                    cells: &kept,
                    genes: &passing,
                };
                let selected = variable.select(part, &scales)?;
                report.genes_not_variable = passing.len() - selected.len();
                selected
            }
            _ => (0..passing.len()).collect(),
        };
        let kept_genes: Vec<_> = selected.iter().map(|&gene| Some(passing[gene])).collect();
        let names = selected
            .iter()
            .map(|&gene| total_genes.names()[gene].clone())
            .collect();
        let mut used = input.keep(&kept, &kept_genes, names)?;

        let labels = labels.map(|labels| labels.select(&kept));
        let all_cells: Vec<usize> = (0..kept.len()).collect();
        let moments = used.log_moments(&kept, &all_cells, &scales)?;
        used.set_entries(moments.cells.iter().sum());
        let overall = GeneStatistics::from(moments);
        let mut batches = Vec::new();
        if let Some(labels) = &labels {
            for (code, name) in labels.names().iter().enumerate() {
                let members = labels.members(code);
                if members.len() == 1 {
                    tracing::warn!(
                        batch = name,
                        "a batch of one cell: scaled within the batch, all its values are zero"
                    );
                }
                batches.push(BatchStatistics {
                    batch: name.clone(),
                    statistics: used.log_moments(&kept, &members, &scales)?.into(),
                });
            }
        }

        let fitted = FittedPreprocess::new(Learned {
            settings: self.clone(),
            total_genes,
            selected,
            overall,
            batches,
            target_total,
            median_total,
        });
        report.log();
        Ok(Cells::assemble(
            fitted, used, &totals, kept, kept_genes, labels, report,
        ))
    }

    fn passing_genes(&self, genes: &GeneSums, report: &mut FilterReport) -> Vec<usize> {
        let mut passing = Vec::with_capacity(genes.totals.len());
        for (gene, (&total, &cells)) in genes.totals.iter().zip(&genes.cells).enumerate() {
            if total < self.min_counts_per_gene {
                report.genes_with_few_counts += 1;
            } else if cells < self.min_cells_per_gene {
                report.genes_in_few_cells += 1;
            } else {
                passing.push(gene);
            }
        }
        passing
    }
}
