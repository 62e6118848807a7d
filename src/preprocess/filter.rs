//! Which cells and genes are dropped, and the record of it.

use serde::{Deserialize, Serialize};

use super::settings::Preprocess;
use super::survey::CellSums;
use crate::counts::CountSource;
use crate::error::{Error, Place, Result};

/// How many cells and genes preprocessing dropped, and why.
///
/// Each dropped cell or gene is counted once, under the first reason that applies, in the order
/// of the fields.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct FilterReport {
    /// Cells in the input.
    pub cells_before: usize,
    /// Genes in the input.
    pub genes_before: usize,
    /// Genes with a total count below `min_counts_per_gene` (only when fitting).
    pub genes_with_few_counts: usize,
    /// Genes with a count in fewer than `min_cells_per_gene` cells (only when fitting).
    pub genes_in_few_cells: usize,
    /// Genes that passed the filters but are not among the most variable (only when fitting).
    pub genes_not_variable: usize,
    /// Genes of new data that the fitted preprocessing does not use (only when transforming).
    pub genes_not_in_model: usize,
    /// Cells with a total count below `min_counts_per_cell`.
    pub cells_with_few_counts: usize,
    /// Cells with counts in fewer than `min_genes_per_cell` genes.
    pub cells_with_few_genes: usize,
    /// Names of the model's genes that new data lacks; they were filled with zeros (only when
    /// transforming).
    pub missing_genes: Vec<String>,
    /// How many of the genes whose counts make up a cell's total are missing from new data (only
    /// when transforming; includes genes that are not among the most variable).
    pub missing_total_genes: usize,
}

impl FilterReport {
    pub(super) fn new(source: &dyn CountSource) -> Self {
        Self {
            cells_before: source.cell_names().len(),
            genes_before: source.gene_names().len(),
            ..Self::default()
        }
    }

    /// Number of cells dropped.
    pub fn cells_dropped(&self) -> usize {
        self.cells_with_few_counts
            .saturating_add(self.cells_with_few_genes)
    }

    /// Number of genes dropped.
    pub fn genes_dropped(&self) -> usize {
        self.genes_with_few_counts
            .saturating_add(self.genes_in_few_cells)
            .saturating_add(self.genes_not_variable)
            .saturating_add(self.genes_not_in_model)
    }

    pub(super) fn refuse_nothing_left(&self, cells: usize, genes: usize) -> Result<()> {
        if cells > 0 && genes > 0 {
            return Ok(());
        }
        Err(Error::AllFiltered {
            cells,
            genes,
            cells_before: self.cells_before,
            genes_before: self.genes_before,
        })
    }

    pub(super) fn log(&self) {
        tracing::info!(
            cells_before = self.cells_before,
            genes_before = self.genes_before,
            cells_dropped = self.cells_dropped(),
            genes_dropped = self.genes_dropped(),
            missing_genes = self.missing_genes.len(),
            "preprocessed counts"
        );
    }
}

/// Refuses a source without cells or genes.
pub(super) fn refuse_empty(source: &dyn CountSource) -> Result<()> {
    let (cells, genes) = (source.cell_names().len(), source.gene_names().len());
    if cells == 0 || genes == 0 {
        return Err(Error::EmptyMatrix { cells, genes });
    }
    Ok(())
}

/// The cells that pass the filters, with their total counts.
pub(super) struct CellFilter {
    pub kept: Vec<usize>,
    pub totals: Vec<f64>,
}

/// Applies the cell thresholds to what cells have of the genes that passed theirs.
pub(super) fn filter_cells(
    settings: &Preprocess,
    cells: &CellSums,
    report: &mut FilterReport,
) -> CellFilter {
    let mut kept = Vec::with_capacity(cells.totals.len());
    let mut totals = Vec::with_capacity(cells.totals.len());
    for (cell, (&total, &genes)) in cells.totals.iter().zip(&cells.genes).enumerate() {
        if total < settings.min_counts_per_cell {
            report.cells_with_few_counts += 1;
        } else if (genes as usize) < settings.min_genes_per_cell {
            report.cells_with_few_genes += 1;
        } else {
            kept.push(cell);
            totals.push(total);
        }
    }
    CellFilter { kept, totals }
}

/// Refuses kept cells without counts: their size factor would be zero.
pub(super) fn refuse_empty_cells(source: &dyn CountSource, filter: &CellFilter) -> Result<()> {
    let is_empty = |total: &f64| *total <= 0.0;
    match filter.totals.iter().position(is_empty) {
        None => Ok(()),
        Some(first) => Err(Error::EmptyCell {
            cell: Place::named(filter.kept[first], source.cell_names()),
            count: filter
                .totals
                .iter()
                .filter(|&total| is_empty(total))
                .count(),
        }),
    }
}
