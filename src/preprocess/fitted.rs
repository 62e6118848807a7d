//! Preprocessing learned from training cells.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use super::genes::GeneList;
use super::settings::Preprocess;
use super::statistics::{BatchStatistics, GeneStatistics};
use crate::exact;

/// Preprocessing with everything it learned from the training cells, ready for new cells.
///
/// Genes are found in new data **by name**, in any order. Where a name occurs more than once, its
/// first occurrence stands for the first occurrence in the training data, and so on. Genes that
/// new data lacks are filled with zeros and listed in
/// [`FilterReport::missing_genes`](super::FilterReport::missing_genes).
///
/// A cell's total, and with it the size factor, is taken over the genes that passed the *gene
/// filter* when fitting ([`total_genes`](Self::total_genes)), also those that are not among the
/// most variable, as far as new data has them. New data that was already reduced to the variable
/// genes gets totals that are too small;
/// [`FilterReport::missing_total_genes`](super::FilterReport::missing_total_genes) tells.
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
        let mut labels = HashSet::new();
        if let Some(twice) = self
            .batches
            .iter()
            .find(|batch| !labels.insert(&batch.batch))
        {
            return Err(format!(
                "preprocessing: there are two batches \"{}\"",
                twice.batch
            ));
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

    /// What fitting found.
    pub(super) fn learned(&self) -> &Learned {
        &self.learned
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
