//! Preprocessing learned from training cells, applied to new ones.

use std::collections::HashMap;
use std::fmt::{Display, Write as _};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::filter::{CellFilter, FilterReport, filter_cells, refuse_empty_cells};
use super::fit::refuse_empty;
use super::genes::GeneList;
use super::normalize::Moments;
use super::stored::Input;
use super::survey::survey_of;
use super::{Cells, Preprocess};
use crate::counts::{CountMatrix, CountSource, GeneMap};
use crate::error::{Error, Result};
use crate::exact;

/// Least share of a model's genes that new data must have, in percent.
const MIN_OVERLAP_PERCENT: usize = 80;

/// Mean and standard deviation of each gene's log-normalised values.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GeneStatistics {
    /// Mean `[genes]`.
    #[serde(with = "exact::list")]
    pub mean: Vec<f64>,
    /// Standard deviation `[genes]`, `n − 1` in the denominator; 0 for a constant gene.
    #[serde(with = "exact::list")]
    pub sd: Vec<f64>,
}

impl From<Moments> for GeneStatistics {
    fn from(moments: Moments) -> Self {
        Self {
            mean: moments.mean,
            sd: moments.variance.into_iter().map(f64::sqrt).collect(),
        }
    }
}

/// The gene statistics of one batch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BatchStatistics {
    /// The batch's label.
    pub batch: String,
    /// Mean and standard deviation over its cells.
    pub statistics: GeneStatistics,
}

/// Preprocessing with everything it learned from the training cells, ready for new cells.
///
/// Genes are found in new data **by name**, in any order. Where a name occurs more than once, its
/// first occurrence stands for the first occurrence in the training data, and so on. Genes that
/// new data lacks are filled with zeros and listed in [`FilterReport::missing_genes`].
///
/// A cell's total, and with it the size factor, is taken over the genes that passed the *gene
/// filter* when fitting ([`total_genes`](Self::total_genes)), also those that are not among the
/// most variable, as far as new data has them. New data that was already reduced to the variable
/// genes gets totals that are too small; [`FilterReport::missing_total_genes`] tells.
///
/// Stored with serde it gives, once read back, the same values bit for bit; contradictory contents
/// are refused on reading.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Learned", into = "Learned")]
pub struct FittedPreprocess {
    learned: Learned,
    gene_names: Vec<String>,
}

/// What fitting found, and what is stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Learned {
    pub settings: Preprocess,
    pub total_genes: GeneList,
    /// Positions of the used genes in `total_genes`, rising.
    pub selected: Vec<usize>,
    pub overall: GeneStatistics,
    pub batches: Vec<BatchStatistics>,
    #[serde(with = "exact::number")]
    pub target_total: f64,
    #[serde(with = "exact::number")]
    pub median_total: f64,
}

impl From<FittedPreprocess> for Learned {
    fn from(fitted: FittedPreprocess) -> Self {
        fitted.learned
    }
}

impl TryFrom<Learned> for FittedPreprocess {
    type Error = String;

    fn try_from(learned: Learned) -> Result<Self, String> {
        learned.check()?;
        Ok(Self::new(learned))
    }
}

impl Learned {
    fn check(&self) -> Result<(), String> {
        self.settings
            .validate()
            .map_err(|error| error.to_string())?;
        let genes = self.selected.len();
        let rising = self.selected.windows(2).all(|pair| pair[0] < pair[1]);
        let in_range = self
            .selected
            .last()
            .is_some_and(|&last| last < self.total_genes.names().len());
        if !self.total_genes.is_consistent() || !rising || !in_range {
            return Err("preprocessing: the lists of genes contradict each other".into());
        }
        let overall = std::iter::once(&self.overall);
        for statistics in overall.chain(self.batches.iter().map(|batch| &batch.statistics)) {
            let lengths_fit = statistics.mean.len() == genes && statistics.sd.len() == genes;
            let sane = statistics.mean.iter().all(|mean| mean.is_finite())
                && statistics.sd.iter().all(|sd| sd.is_finite() && *sd >= 0.0);
            if !lengths_fit || !sane {
                return Err(format!(
                    "preprocessing: gene means and standard deviations must be {genes} finite \
                     numbers each"
                ));
            }
        }
        for (name, total) in [("target", self.target_total), ("median", self.median_total)] {
            if !(total.is_finite() && total > 0.0) {
                return Err(format!(
                    "preprocessing: the {name} total {total} is not positive"
                ));
            }
        }
        Ok(())
    }
}

impl FittedPreprocess {
    pub(super) fn new(learned: Learned) -> Self {
        let gene_names = learned
            .selected
            .iter()
            .map(|&gene| learned.total_genes.names()[gene].clone())
            .collect();
        Self {
            learned,
            gene_names,
        }
    }

    /// The settings this was fitted with.
    pub fn settings(&self) -> &Preprocess {
        &self.learned.settings
    }

    /// Names of the genes the network sees, in its order.
    pub fn gene_names(&self) -> &[String] {
        &self.gene_names
    }

    /// Names of the genes whose counts make up a cell's total: all that passed the gene filter.
    pub fn total_genes(&self) -> &[String] {
        self.learned.total_genes.names()
    }

    /// Gene statistics over all training cells.
    pub fn statistics(&self) -> &GeneStatistics {
        &self.learned.overall
    }

    /// Gene statistics of each training batch; empty when fitted without batches.
    pub fn batch_statistics(&self) -> &[BatchStatistics] {
        &self.learned.batches
    }

    /// The total that the counts of each cell are normalised to before log1p.
    pub fn target_total(&self) -> f64 {
        self.learned.target_total
    }

    /// The median total count of the training cells: the total of a cell with size factor 1.
    pub fn median_total(&self) -> f64 {
        self.learned.median_total
    }

    /// Prepares new cells exactly as the training cells were prepared.
    ///
    /// Size factors are relative to the *training* median. The cell filters apply, the gene
    /// filters do not. Cells are scaled by the statistics of all training cells.
    ///
    /// ```
    /// use celldec::counts::CountMatrix;
    /// use celldec::preprocess::Preprocess;
    /// use ndarray::array;
    ///
    /// let names = |genes: [&str; 2]| genes.map(String::from).to_vec();
    /// let training = CountMatrix::from_dense(array![[1.0, 3.0], [2.0, 0.0], [0.0, 8.0]].view())?
    ///     .with_names((0..3).map(|i| i.to_string()).collect(), names(["CD3E", "LYZ"]))?;
    /// let cells = Preprocess::scdcc().fit(&training)?;
    ///
    /// // The same genes in another order: values arrive where the model expects them.
    /// let new = CountMatrix::from_dense(array![[3.0, 1.0]].view())?
    ///     .with_names(vec!["new".into()], names(["LYZ", "CD3E"]))?;
    /// let new_cells = cells.preprocessing().transform(&new)?;
    /// assert_eq!(new_cells.to_dense_input()?.row(0), cells.to_dense_input()?.row(0));
    /// # Ok::<(), celldec::Error>(())
    /// ```
    ///
    /// # Errors
    /// - [`Error::EmptyMatrix`], [`Error::AllFiltered`] when there is nothing (left),
    /// - [`Error::FractionalCount`] for values that are not integers, unless allowed,
    /// - [`Error::GeneOverlap`] when fewer than 80 % of the network's genes are present,
    /// - [`Error::EmptyCell`] for a cell without counts in the model's genes that the filters do
    ///   not drop.
    pub fn transform(&self, counts: &CountMatrix) -> Result<Cells> {
        self.transform_input(Input::Matrix(counts), None)
    }

    /// As [`transform`](Self::transform), for cells of named batches: cells of a batch that was
    /// seen when fitting are scaled by its statistics, others by those of all training cells.
    ///
    /// # Errors
    /// As [`transform`](Self::transform), and [`Error::LengthMismatch`] when `batches` does not
    /// have one label per cell.
    pub fn transform_with_batches<L: Display>(
        &self,
        counts: &CountMatrix,
        batches: &[L],
    ) -> Result<Cells> {
        let labels = BatchLabels::new(counts.cells(), batches)?;
        self.transform_input(Input::Matrix(counts), Some(labels))
    }

    /// As [`transform`](Self::transform), of counts that need not fit in memory: one pass over them
    /// now, and the [`Cells`] read counts from the source when they are needed.
    ///
    /// # Errors
    /// As [`transform`](Self::transform), and those of the source.
    pub fn transform_source(&self, source: Arc<dyn CountSource>) -> Result<Cells> {
        self.transform_input(Input::Source(source), None)
    }

    /// As [`transform_with_batches`](Self::transform_with_batches), of counts that need not fit in
    /// memory.
    ///
    /// # Errors
    /// As [`transform_with_batches`](Self::transform_with_batches), and those of the source.
    pub fn transform_source_with_batches<L: Display>(
        &self,
        source: Arc<dyn CountSource>,
        batches: &[L],
    ) -> Result<Cells> {
        let labels = BatchLabels::new(source.cell_names().len(), batches)?;
        self.transform_input(Input::Source(source), Some(labels))
    }

    fn transform_input(&self, input: Input<'_>, labels: Option<BatchLabels>) -> Result<Cells> {
        let source = input.source();
        refuse_empty(source)?;
        let mut report = FilterReport::new(source);
        let genes = source.gene_names().len();

        let positions = self.learned.total_genes.locate(source.gene_names());
        self.record_overlap(&positions, &mut report)?;
        let kept_genes: Vec<_> = self
            .learned
            .selected
            .iter()
            .map(|&gene| positions[gene])
            .collect();

        let passed = GeneMap::new(&positions, genes)?;
        let used = GeneMap::new(&kept_genes, genes)?;
        let allow_fractional = self.learned.settings.allow_fractional;
        let (cell_sums, entries) = survey_of(source, &passed, &used, allow_fractional)?;
        let cell_filter = filter_cells(&self.learned.settings, &cell_sums, &mut report);
        report.refuse_nothing_left(cell_filter.kept.len(), self.learned.selected.len())?;
        refuse_empty_cells(source, &cell_filter)?;
        let CellFilter { kept, totals } = cell_filter;
        let mut used = input.keep(&kept, &kept_genes, self.gene_names.clone())?;
        used.set_entries(kept.iter().map(|&cell| entries[cell] as usize).sum());

        let labels = labels.map(|labels| labels.select(&kept));
        report.log();
        Ok(Cells::assemble(
            self.clone(),
            used,
            &totals,
            kept,
            kept_genes,
            labels,
            report,
        ))
    }

    fn record_overlap(&self, positions: &[Option<usize>], report: &mut FilterReport) -> Result<()> {
        let missing: Vec<String> = self
            .learned
            .selected
            .iter()
            .filter(|&&gene| positions[gene].is_none())
            .map(|&gene| self.learned.total_genes.names()[gene].clone())
            .collect();
        let expected = self.learned.selected.len();
        let found = expected - missing.len();
        if found * 100 < expected * MIN_OVERLAP_PERCENT {
            return Err(Error::GeneOverlap {
                found,
                expected,
                examples: missing
                    .iter()
                    .take(5)
                    .map(String::as_str)
                    .collect::<Vec<_>>()
                    .join(", "),
            });
        }
        report.genes_not_in_model = report.genes_before - found;
        report.missing_genes = missing;
        report.missing_total_genes = positions.iter().filter(|gene| gene.is_none()).count();
        if report.missing_total_genes * 100 > positions.len() * (100 - MIN_OVERLAP_PERCENT) {
            tracing::warn!(
                missing = report.missing_total_genes,
                expected = positions.len(),
                "new data lacks many of the genes that cell totals were taken over when fitting; \
                 size factors will be too small: pass the counts of all genes"
            );
        }
        Ok(())
    }

    /// The statistics that cells of a batch are scaled by.
    pub(super) fn statistics_of(&self, batch: &str) -> &GeneStatistics {
        self.learned
            .batches
            .iter()
            .find(|statistics| statistics.batch == batch)
            .map_or(&self.learned.overall, |found| &found.statistics)
    }
}

/// The batch of every cell.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct BatchLabels {
    /// Labels that occur, sorted (numbers by value).
    names: Vec<String>,
    /// Position in `names` of every cell's label.
    codes: Vec<usize>,
}

impl BatchLabels {
    pub fn new<L: Display>(cells: usize, batches: &[L]) -> Result<Self> {
        if batches.len() != cells {
            return Err(Error::LengthMismatch {
                what: "the list of batch labels".into(),
                expected: cells,
                found: batches.len(),
            });
        }
        Ok(Self::from_labels(batches))
    }

    fn from_labels<L: Display>(labels: &[L]) -> Self {
        let mut code: HashMap<String, usize> = HashMap::new();
        let mut label = String::new();
        let codes = labels
            .iter()
            .map(|displayed| {
                label.clear();
                // Writing into a string cannot fail.
                let _ = write!(label, "{displayed}");
                match code.get(&label) {
                    Some(&known) => known,
                    None => {
                        code.insert(label.clone(), code.len());
                        code.len() - 1
                    }
                }
            })
            .collect();
        let mut names = vec![String::new(); code.len()];
        for (name, code) in code {
            names[code] = name;
        }
        Self { names, codes }.sorted()
    }

    /// The same labels with sorted names, those that do not occur forgotten.
    fn sorted(self) -> Self {
        let mut occurs = vec![false; self.names.len()];
        for &code in &self.codes {
            occurs[code] = true;
        }
        let mut order: Vec<usize> = (0..self.names.len()).filter(|&code| occurs[code]).collect();
        // Integers sort by value, before other labels, so that the codes of batches numbered from
        // zero are their numbers.
        order.sort_by_cached_key(|&code| {
            let name = &self.names[code];
            let number = name.parse::<u64>().ok();
            (number.is_none(), number, name.clone())
        });
        let mut position = vec![0; self.names.len()];
        for (new, &old) in order.iter().enumerate() {
            position[old] = new;
        }
        Self {
            names: order.iter().map(|&code| self.names[code].clone()).collect(),
            codes: self.codes.iter().map(|&code| position[code]).collect(),
        }
    }

    pub fn names(&self) -> &[String] {
        &self.names
    }

    pub fn codes(&self) -> &[usize] {
        &self.codes
    }

    /// The cells of a batch, rising.
    pub fn members(&self, code: usize) -> Vec<usize> {
        (0..self.codes.len())
            .filter(|&cell| self.codes[cell] == code)
            .collect()
    }

    /// The labels of some cells; batches without any of them are forgotten.
    pub fn select(&self, cells: &[usize]) -> Self {
        Self {
            names: self.names.clone(),
            codes: cells.iter().map(|&cell| self.codes[cell]).collect(),
        }
        .sorted()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbered_batches_keep_their_numbers() {
        let labels: Vec<String> = (0..12).rev().map(|i| i.to_string()).collect();
        let labels = BatchLabels::from_labels(&labels);
        assert_eq!(labels.codes()[0], 11);
        assert_eq!(labels.names()[10], "10");
    }

    #[test]
    fn batches_without_cells_are_forgotten() {
        let labels = BatchLabels::from_labels(&["b", "10", "a", "9", "b"]);
        assert_eq!(labels.names(), ["9", "10", "a", "b"]);
        assert_eq!(labels.codes(), [3, 1, 2, 0, 3]);
        let some = labels.select(&[1, 4, 0]);
        assert_eq!(some.names(), ["10", "b"]);
        assert_eq!(some.codes(), [0, 1, 1]);
    }
}
