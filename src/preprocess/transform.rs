//! Applying learned preprocessing to new cells.

use std::collections::{HashMap, HashSet};
use std::fmt::Display;
use std::sync::Arc;

use super::batch_labels::BatchLabels;
use super::cells::Cells;
use super::filter::{CellFilter, FilterReport, filter_cells, refuse_empty, refuse_empty_cells};
use super::fitted::FittedPreprocess;
use super::stored::Input;
use super::survey::survey_of;
use crate::counts::{CountMatrix, CountSource, GeneMap};
use crate::error::{Error, Result};

/// Least share of a model's genes that new data must have, in percent.
const MIN_OVERLAP_PERCENT: usize = 80;

impl FittedPreprocess {
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
    /// - [`Error::FractionalCount`] for values that are not integers, unless allowed, or
    ///   [`Error::CountsElsewhere`] when the AnnData file that they come from has another matrix that
    ///   holds counts,
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

        let positions = self.learned().total_genes.locate(source.gene_names());
        self.record_overlap(&positions, source.gene_names(), &mut report)?;
        let kept_genes: Vec<_> = self
            .learned()
            .selected
            .iter()
            .map(|&gene| positions[gene])
            .collect();

        let passed = GeneMap::new(&positions, genes)?;
        let used = GeneMap::new(&kept_genes, genes)?;
        let allow_fractional = self.learned().settings.allow_fractional;
        let (cell_sums, entries) = survey_of(source, &passed, &used, allow_fractional)?;
        let cell_filter = filter_cells(&self.learned().settings, &cell_sums, &mut report);
        report.refuse_nothing_left(cell_filter.kept.len(), self.learned().selected.len())?;
        refuse_empty_cells(source, &cell_filter)?;
        let CellFilter { kept, totals } = cell_filter;
        let mut used = input.keep(&kept, &kept_genes, self.gene_names().to_vec())?;
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

    fn record_overlap(
        &self,
        positions: &[Option<usize>],
        names: &[String],
        report: &mut FilterReport,
    ) -> Result<()> {
        let missing: Vec<String> = self
            .learned()
            .selected
            .iter()
            .filter(|&&gene| positions[gene].is_none())
            .map(|&gene| self.learned().total_genes.names()[gene].clone())
            .collect();
        let expected = self.learned().selected.len();
        let found = expected - missing.len();
        if found * 100 < expected * MIN_OVERLAP_PERCENT {
            let examples: Vec<&str> = missing.iter().take(5).map(String::as_str).collect();
            let mut examples = examples.join(", ");
            if let Some((other, missing)) = differing_in_case(names, &missing) {
                examples += &format!(
                    " (the data have \"{other}\" for \"{missing}\": names that differ in upper and \
                     lower case are those of another species, or were changed)"
                );
            }
            let known: HashSet<usize> = positions.iter().flatten().copied().collect();
            let is_known = |gene: &usize| known.contains(gene);
            let unknown = (0..names.len()).filter(|gene| !is_known(gene));
            let others: Vec<&str> = unknown
                .chain((0..names.len()).filter(is_known))
                .take(5)
                .map(|gene| names[gene].as_str())
                .collect();
            return Err(Error::GeneOverlap {
                found,
                expected,
                examples,
                others: others.join(", "),
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
}

/// A name of new data, and a missing one that differs from it in upper and lower case alone.
fn differing_in_case<'a>(names: &'a [String], missing: &'a [String]) -> Option<(&'a str, &'a str)> {
    let missing: HashMap<String, &str> = missing
        .iter()
        .map(|name| (name.to_lowercase(), name.as_str()))
        .collect();
    names
        .iter()
        .find_map(|name| Some((name.as_str(), *missing.get(&name.to_lowercase())?)))
}
