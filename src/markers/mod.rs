//! Marker genes: what sets the cells of a cluster apart from all others.
//!
//! Every cluster is compared with the rest of the cells, gene by gene, on log-normalised values,
//! with the semantics of scanpy's `rank_genes_groups`: [`MarkerConfig`] holds the settings,
//! [`MarkerConfig::find`] returns the genes of every cluster, best first, and
//! [`write_markers_csv`] writes them.
//!
//! A p-value says how well a gene tells the cells of a cluster from the others. It is not evidence
//! that the cluster exists: clusters were drawn where expression differs, so even a cluster drawn
//! into noise has genes with small p-values. Scores and fold changes rank genes; a claim needs
//! other cells.

mod adjust;
mod expression;
mod moments;
mod rank_sum;
mod table;
mod welch;

use serde::{Deserialize, Serialize};

use crate::counts::{CountMatrix, CountSource};
use crate::error::{Error, ParameterError, Result};
use crate::metrics::encode_labels;
use crate::parallel::{for_each, map};
use crate::preprocess::Cells;

use adjust::benjamini_hochberg;
use expression::{Groups, Shares, Sums};
use moments::Moments;

pub use table::write_markers_csv;

/// How a gene's values inside and outside a cluster are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum MarkerMethod {
    /// Wilcoxon's rank-sum test with the normal approximation (scanpy: `wilcoxon`).
    Wilcoxon {
        /// Whether the variance of the rank sum accounts for ties (scanpy: `tie_correct`, off by
        /// default). Most cells have no count of a gene, so most are tied; without the correction
        /// scores of rarely expressed genes are too small and their p-values too large.
        tie_correct: bool,
    },
    /// Welch's t-test (scanpy: `t-test`).
    TTest,
    /// Welch's t-test that takes the rest of the cells for as few as the cluster has, which
    /// overestimates the variance of small clusters (scanpy: `t-test_overestim_var`).
    TTestOverestimatedVariance,
}

impl Default for MarkerMethod {
    fn default() -> Self {
        Self::Wilcoxon { tie_correct: false }
    }
}

/// One gene compared between a cluster and the rest of the cells.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MarkerGene {
    /// Column of the gene in the matrix.
    pub gene: usize,
    /// Name of the gene.
    pub name: String,
    /// The statistic, positive for higher values inside the cluster: a z-score for Wilcoxon's
    /// test, t for Welch's. 0 where it is undefined (a constant gene), infinite where both
    /// variances are 0 but the means differ.
    pub score: f64,
    /// Two-sided p-value.
    pub p_value: f64,
    /// p-value adjusted for the number of genes by Benjamini and Hochberg (*J. R. Stat. Soc. B*
    /// 1995), the false discovery rate.
    pub adjusted_p_value: f64,
    /// log2 of the ratio of `exp(mean log1p value) − 1 + 1e-9` inside and outside, as scanpy has
    /// it: enormous (about ±30) where the gene is not found on one side.
    pub log2_fold_change: f64,
    /// Fraction of the cluster's cells with a count of the gene.
    pub fraction_in: f64,
    /// Fraction of the other cells with a count of the gene.
    pub fraction_out: f64,
}

/// The marker genes of one cluster.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClusterMarkers {
    /// Label of the cluster.
    pub cluster: usize,
    /// Number of its cells.
    pub cells: usize,
    /// Genes by falling score, equal scores by rising column.
    pub genes: Vec<MarkerGene>,
}

/// The settings of a search for marker genes.
///
/// ```
/// use celldec::markers::MarkerConfig;
/// use celldec::prelude::*;
///
/// let simulation = SimulationConfig::new(200, 50)
///     .with_groups(2)
///     .with_differential_expression(0.2, 1.0, 0.3)
///     .with_seed(1)
///     .simulate()?;
/// let markers = MarkerConfig::new()
///     .with_limit(5)
///     .find(&simulation.counts, &simulation.groups)?;
/// assert_eq!(markers.len(), 2);
/// let best = &markers[0].genes[0];
/// assert!(best.log2_fold_change > 0.0 && best.adjusted_p_value < 0.01);
/// # Ok::<(), celldec::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct MarkerConfig {
    /// How values are compared.
    pub method: MarkerMethod,
    /// Total that the counts of each cell are normalised to before log1p.
    pub target_sum: f64,
    /// The clusters to test; `None` tests all.
    pub clusters: Option<Vec<usize>>,
    /// Genes to keep of each cluster; `None` keeps all.
    pub limit: Option<usize>,
}

impl Default for MarkerConfig {
    fn default() -> Self {
        Self {
            method: MarkerMethod::default(),
            target_sum: 1e4,
            clusters: None,
            limit: None,
        }
    }
}

impl MarkerConfig {
    /// Wilcoxon's test without tie correction, on totals of 10 000, of all clusters and genes.
    pub fn new() -> Self {
        Self::default()
    }

    /// How values are compared (default: Wilcoxon's test without tie correction, as in scanpy).
    pub fn with_method(mut self, method: MarkerMethod) -> Self {
        self.method = method;
        self
    }

    /// The total that the counts of each cell are normalised to before log1p (default 10 000).
    pub fn with_target_sum(mut self, target_sum: f64) -> Self {
        self.target_sum = target_sum;
        self
    }

    /// The clusters to test, in this order (default: all, by label). The cells of the others still
    /// count as the rest.
    pub fn with_clusters(mut self, clusters: impl IntoIterator<Item = usize>) -> Self {
        self.clusters = Some(clusters.into_iter().collect());
        self
    }

    /// How many of the best genes of each cluster to keep (default: all). p-values are adjusted
    /// for all of them.
    pub fn with_limit(mut self, limit: usize) -> Self {
        self.limit = Some(limit);
        self
    }

    /// Marker genes from raw counts `[cells, genes]` and a label for every cell.
    ///
    /// The counts of each cell are divided by its total, multiplied by the target sum, and
    /// log1p is taken; cells in which a gene has an equal share of the counts are tied. Nothing
    /// dense is formed: genes are handled in blocks of at most eight million stored counts, in
    /// parallel, and the result does not depend on the number of threads.
    ///
    /// To test genes that a network did not see (all genes, say, after training on the most
    /// variable ones), give the whole matrix restricted to the cells that were kept:
    /// `counts.select_cells(cells.kept_cells())`.
    ///
    /// # Errors
    /// [`Error::LengthMismatch`] when there is not one label for each cell;
    /// [`Error::MarkerCluster`] when a cluster or the rest of the cells has fewer than two cells;
    /// [`ParameterError::OutOfRange`] for a target sum that is not positive and finite.
    pub fn find(&self, counts: &CountMatrix, labels: &[usize]) -> Result<Vec<ClusterMarkers>> {
        let all: Vec<usize> = (0..counts.cells()).collect();
        self.find_normalized(
            counts,
            &all,
            counts.cell_totals(),
            counts.cells_per_gene(),
            labels,
        )
    }

    /// Marker genes from some cells of a source, in rising order, with a label for each; among all its
    /// genes. [`find`](Self::find) of the same counts in memory gives the same.
    ///
    /// Counts are read part by part: once, and once more for every eight million of them.
    ///
    /// ```
    /// use celldec::counts::SimulationConfig;
    /// use celldec::markers::MarkerConfig;
    ///
    /// let simulation = SimulationConfig::new(200, 50).with_groups(2).with_seed(1).simulate()?;
    /// let kept: Vec<usize> = (0..150).collect();
    /// let labels = &simulation.groups[..150];
    /// let found = MarkerConfig::new().find_in_source(&simulation.counts, &kept, labels)?;
    /// let selected = simulation.counts.select_cells(&kept)?;
    /// assert_eq!(found, MarkerConfig::new().find(&selected, labels)?);
    /// # Ok::<(), celldec::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`find`](Self::find); [`ParameterError::OutOfRange`] for a cell that the source does not have,
    /// or that does not follow the one before it; those of the source.
    pub fn find_in_source(
        &self,
        source: &dyn CountSource,
        cells: &[usize],
        labels: &[usize],
    ) -> Result<Vec<ClusterMarkers>> {
        let rises = cells.windows(2).find(|pair| pair[0] >= pair[1]);
        let beyond = cells
            .last()
            .filter(|&&last| last >= source.cell_names().len());
        if let Some(&cell) = rises.map(|pair| &pair[1]).or(beyond) {
            return Err(ParameterError::OutOfRange {
                name: "a cell of the search for marker genes",
                requirement: "above the one before it and below the number of cells",
                value: cell as f64,
            }
            .into());
        }
        self.check(cells, labels)?;
        let Sums {
            totals,
            cells_per_gene,
        } = Sums::of(source, cells)?;
        self.find_normalized(source, cells, totals, cells_per_gene, labels)
    }

    /// Marker genes from preprocessed cells, among the genes that the network sees.
    ///
    /// As [`find`](Self::find), but a cell's total is the one preprocessing found, which includes
    /// genes that were dropped later for varying little.
    ///
    /// # Errors
    /// As [`find`](Self::find), and [`Error::CountsNotInMemory`] when counts are read from a source:
    /// [`find_in_source`](Self::find_in_source) reads them.
    pub fn find_in(&self, cells: &Cells, labels: &[usize]) -> Result<Vec<ClusterMarkers>> {
        let counts = cells.counts_for("`MarkerConfig::find_in`")?;
        let all: Vec<usize> = (0..counts.cells()).collect();
        let (totals, cells_per_gene) = (cells.totals().to_vec(), counts.cells_per_gene());
        self.find_normalized(counts, &all, totals, cells_per_gene, labels)
    }

    fn find_normalized(
        &self,
        source: &dyn CountSource,
        cells: &[usize],
        totals: Vec<f64>,
        cells_per_gene: Vec<usize>,
        labels: &[usize],
    ) -> Result<Vec<ClusterMarkers>> {
        self.check(cells, labels)?;
        let (codes, clusters) = encode_labels(labels);
        let groups = Groups::new(codes, clusters.len());
        let tested = self.tested(&clusters, &groups)?;

        let shares = Shares {
            source,
            cells,
            totals: &totals,
            cells_per_gene: &cells_per_gene,
            groups: &groups,
        };
        let mut comparisons: Vec<Vec<Comparison>> = Vec::with_capacity(cells_per_gene.len());
        for block in shares.blocks() {
            let block = block?;
            let start = comparisons.len();
            comparisons.resize_with(start + block.len(), Vec::new);
            let genes = block.into_iter().zip(&mut comparisons[start..]);
            for_each(genes, |(mut values, compared)| {
                *compared = self.compare(&mut values, &groups, &tested);
            });
        }
        Ok(map(tested.len(), |position| {
            let code = tested[position];
            ClusterMarkers {
                cluster: clusters[code],
                cells: groups.sizes()[code],
                genes: self.ranked(source.gene_names(), |gene| comparisons[gene][position]),
            }
        }))
    }

    fn check(&self, cells: &[usize], labels: &[usize]) -> Result<()> {
        if labels.len() != cells.len() {
            return Err(Error::LengthMismatch {
                what: "the list of labels given for marker genes".into(),
                expected: cells.len(),
                found: labels.len(),
            });
        }
        if self.target_sum > 0.0 && self.target_sum.is_finite() {
            Ok(())
        } else {
            Err(ParameterError::OutOfRange {
                name: "the target sum of marker genes",
                requirement: "positive and finite",
                value: self.target_sum,
            }
            .into())
        }
    }

    /// The codes of the clusters to test.
    fn tested(&self, clusters: &[usize], groups: &Groups) -> Result<Vec<usize>> {
        let asked = self.clusters.as_deref().unwrap_or(clusters);
        let code_of = |&cluster: &usize| {
            let code = clusters.binary_search(&cluster).ok();
            let cells = code.map_or(0, |code| groups.sizes()[code]);
            let others = groups.cells() - cells;
            match code {
                Some(code) if cells >= 2 && others >= 2 => Ok(code),
                _ => Err(Error::MarkerCluster {
                    cluster,
                    cells,
                    others,
                }),
            }
        };
        asked.iter().map(code_of).collect()
    }

    /// Compares the stored values of one gene for every tested cluster.
    fn compare(
        &self,
        values: &mut [(f64, u32)],
        groups: &Groups,
        tested: &[usize],
    ) -> Vec<Comparison> {
        let moments = Moments::of_groups(values, groups, self.target_sum);
        let tests: Vec<(f64, f64)> = match self.method {
            MarkerMethod::Wilcoxon { tie_correct } => {
                let ranks = rank_sum::RankSums::new(values, groups);
                let test = |&code| ranks.test(code, groups, tie_correct);
                tested.iter().map(test).collect()
            }
            MarkerMethod::TTest | MarkerMethod::TTestOverestimatedVariance => {
                let overestimate = self.method == MarkerMethod::TTestOverestimatedVariance;
                let test = |&code| {
                    let inside = &moments[code];
                    let outside = Moments::outside(&moments, code);
                    let others = if overestimate {
                        inside.cells
                    } else {
                        outside.cells
                    };
                    welch::test(inside, &outside, others)
                };
                tested.iter().map(test).collect()
            }
        };
        let comparison = |(&code, (score, p_value)): (&usize, (f64, f64))| {
            let inside = &moments[code];
            let outside = Moments::outside(&moments, code);
            Comparison {
                score,
                p_value,
                log2_fold_change: log2_fold_change(inside.mean, outside.mean),
                fraction_in: inside.fraction(),
                fraction_out: outside.fraction(),
            }
        };
        tested.iter().zip(tests).map(comparison).collect()
    }

    /// The genes of one cluster, best first.
    fn ranked(
        &self,
        names: &[String],
        comparison: impl Fn(usize) -> Comparison,
    ) -> Vec<MarkerGene> {
        let found: Vec<Comparison> = (0..names.len()).map(comparison).collect();
        let p_values: Vec<f64> = found.iter().map(|found| found.p_value).collect();
        let adjusted = benjamini_hochberg(&p_values);
        let mut order: Vec<usize> = (0..found.len()).collect();
        order.sort_by(|&a, &b| {
            let by_score = found[b].score.total_cmp(&found[a].score);
            by_score.then(a.cmp(&b))
        });
        order.truncate(self.limit.unwrap_or(usize::MAX));
        let gene = |gene: usize| MarkerGene {
            gene,
            name: names[gene].clone(),
            score: found[gene].score,
            p_value: found[gene].p_value,
            adjusted_p_value: adjusted[gene],
            log2_fold_change: found[gene].log2_fold_change,
            fraction_in: found[gene].fraction_in,
            fraction_out: found[gene].fraction_out,
        };
        order.into_iter().map(gene).collect()
    }
}

/// What is known of one gene and one cluster before p-values are adjusted.
#[derive(Debug, Clone, Copy)]
struct Comparison {
    score: f64,
    p_value: f64,
    log2_fold_change: f64,
    fraction_in: f64,
    fraction_out: f64,
}

/// scanpy's fold change, from means of log1p values.
fn log2_fold_change(inside: f64, outside: f64) -> f64 {
    // Keeps the ratio finite where a gene is absent from one side.
    const ABSENT: f64 = 1e-9;
    ((inside.exp_m1() + ABSENT) / (outside.exp_m1() + ABSENT)).log2()
}
