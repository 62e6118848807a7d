//! Highly variable genes, as scanpy 1.11 finds them.
//!
//! Two rankings: [`seurat_scores`] (dispersion of the normalised counts, standardised among genes of
//! similar mean; Satija et al., Nat. Biotechnol. 2015) and [`seurat_v3_scores`] (variance of the raw
//! counts, standardised by the loess trend over the mean; Stuart et al., Cell 2019).

use serde::{Deserialize, Serialize};

use super::loess::loess;
use super::normalize::{Part, TargetSum, moments};
use crate::counts::{CountMatrix, visit_cells_ahead};
use crate::error::{Error, Result};
use crate::selection::median;

/// Number of bins of the mean that [`seurat_scores`] standardises dispersions in.
const MEAN_BINS: usize = 20;

/// Share of the genes in each local regression of [`seurat_v3_scores`].
const LOESS_SPAN: f64 = 0.3;

/// How genes are ranked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Flavor {
    /// Dispersion of the normalised counts; see [`seurat_scores`].
    Seurat,
    /// Standardised variance of the raw counts; see [`seurat_v3_scores`].
    SeuratV3,
}

/// Which genes are kept by their variability.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct VariableGenes {
    /// How genes are ranked.
    pub flavor: Flavor,
    /// How many are kept; all of them when there are fewer.
    pub number: usize,
}

impl Default for VariableGenes {
    /// The 2000 most variable genes by [`Flavor::Seurat`].
    fn default() -> Self {
        Self::seurat(2000)
    }
}

impl VariableGenes {
    /// The `number` most variable genes by [`Flavor::Seurat`].
    pub fn seurat(number: usize) -> Self {
        Self {
            flavor: Flavor::Seurat,
            number,
        }
    }

    /// The `number` most variable genes by [`Flavor::SeuratV3`].
    pub fn seurat_v3(number: usize) -> Self {
        Self {
            flavor: Flavor::SeuratV3,
            number,
        }
    }

    /// Positions of the chosen genes among those of `part`, rising; `scales` is what the counts of
    /// each cell of the part are multiplied by to normalise them.
    pub(super) fn select(self, part: Part<'_>, scales: &[f64]) -> Result<Vec<usize>> {
        let scores = match self.flavor {
            Flavor::Seurat => seurat_of_scaled(part, scales)?.normalized_dispersions,
            Flavor::SeuratV3 => seurat_v3_of_part(part)?.standardized_variances,
        };
        let mut selected = top_genes(&scores, self.number);
        if selected.is_empty() {
            return Err(Error::VariableGenes {
                reason: "no gene varies more than its peers; keep all genes instead".into(),
            });
        }
        if selected.len() < self.number {
            tracing::warn!(
                asked = self.number,
                found = selected.len(),
                "fewer genes vary than were asked for"
            );
        }
        selected.sort_unstable();
        Ok(selected)
    }
}

/// Positions of the `number` genes with the highest scores, highest first; ties in the order of
/// the genes, genes without a score (NaN) never.
pub fn top_genes(scores: &[f64], number: usize) -> Vec<usize> {
    let mut genes: Vec<usize> = (0..scores.len())
        .filter(|&gene| !scores[gene].is_nan())
        .collect();
    genes.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
    genes.truncate(number);
    genes
}

/// The quantities behind [`Flavor::Seurat`], each `[genes]`.
#[derive(Debug, Clone, PartialEq)]
pub struct SeuratScores {
    /// ln(1 + mean of the normalised counts).
    pub means: Vec<f64>,
    /// ln(variance / mean) of the normalised counts; NaN for a gene without variance.
    pub dispersions: Vec<f64>,
    /// Dispersion standardised among the genes of its mean bin: what genes are ranked by.
    pub normalized_dispersions: Vec<f64>,
}

/// Scores genes by the dispersion (variance / mean) of counts normalised to `target_sum`,
/// standardised within 20 bins of equal width of the log mean. A gene alone in its bin scores 1.
///
/// Equals `scanpy.pp.highly_variable_genes(flavor="seurat")` after `normalize_total` and `log1p`.
///
/// # Errors
/// [`Error::VariableGenes`] with fewer than two cells or genes, [`Error::EmptyCell`] for a cell
/// without counts.
pub fn seurat_scores(counts: &CountMatrix, target_sum: TargetSum) -> Result<SeuratScores> {
    let totals = counts.cell_totals();
    if let Some(cell) = totals.iter().position(|&total| total <= 0.0) {
        return Err(Error::EmptyCell {
            cell: counts.cell_place(cell),
            count: totals.iter().filter(|&&total| total <= 0.0).count(),
        });
    }
    let target = match target_sum {
        TargetSum::Median => median(&totals),
        TargetSum::Fixed(total) => total,
    };
    let scales: Vec<f64> = totals.iter().map(|total| target / total).collect();
    whole(counts, |part| seurat_of_scaled(part, &scales))
}

/// What `score` says of a part that is the whole matrix.
fn whole<T>(counts: &CountMatrix, score: impl FnOnce(Part<'_>) -> Result<T>) -> Result<T> {
    let cells: Vec<usize> = (0..counts.cells()).collect();
    let genes: Vec<usize> = (0..counts.genes()).collect();
    score(Part {
        source: counts,
        cells: &cells,
        genes: &genes,
    })
}

fn seurat_of_scaled(part: Part<'_>, scales: &[f64]) -> Result<SeuratScores> {
    refuse_too_small(part)?;
    let moments = moments(part, |position| {
        let scale = scales[position];
        move |_, count| f64::from(count) * scale
    })?;
    let dispersions: Vec<f64> = moments
        .mean
        .iter()
        .zip(&moments.variance)
        .map(|(&mean, &variance)| {
            if variance > 0.0 {
                (variance / mean).ln()
            } else {
                f64::NAN
            }
        })
        .collect();
    let means: Vec<f64> = moments.mean.iter().map(|mean| mean.ln_1p()).collect();
    let normalized_dispersions = standardize_in_bins(&means, &dispersions);
    Ok(SeuratScores {
        means,
        dispersions,
        normalized_dispersions,
    })
}

fn standardize_in_bins(means: &[f64], dispersions: &[f64]) -> Vec<f64> {
    let bins = bins_of_equal_width(means);
    let mut members: Vec<Vec<f64>> = vec![Vec::new(); MEAN_BINS];
    for (&bin, &dispersion) in bins.iter().zip(dispersions) {
        if !dispersion.is_nan() {
            members[bin].push(dispersion);
        }
    }
    let (centers, widths): (Vec<f64>, Vec<f64>) = members
        .iter()
        .map(|members| {
            let n = members.len() as f64;
            let mean = members.iter().sum::<f64>() / n;
            if members.len() == 1 {
                // Scores exactly 1, the convention for a gene without peers.
                return (0.0, mean);
            }
            let squares: f64 = members.iter().map(|d| (d - mean).powi(2)).sum();
            (mean, (squares / (n - 1.0)).sqrt())
        })
        .unzip();
    bins.iter()
        .zip(dispersions)
        .map(|(&bin, &dispersion)| {
            let score = (dispersion - centers[bin]) / widths[bin];
            if score.is_finite() { score } else { f64::NAN }
        })
        .collect()
}

/// The bin of each value, in 20 bins of equal width, open on the left and closed on the right
/// (as `pandas.cut` makes them).
fn bins_of_equal_width(values: &[f64]) -> Vec<usize> {
    let mut low = values.iter().copied().fold(f64::INFINITY, f64::min);
    let mut high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if low == high {
        let margin = if low == 0.0 { 0.001 } else { 0.001 * low.abs() };
        low -= margin;
        high += margin;
    }
    let step = (high - low) / MEAN_BINS as f64;
    let upper_edges: Vec<f64> = (1..MEAN_BINS).map(|i| i as f64 * step + low).collect();
    values
        .iter()
        .map(|&value| upper_edges.partition_point(|&edge| edge < value))
        .collect()
}

/// The quantities behind [`Flavor::SeuratV3`], each `[genes]`.
#[derive(Debug, Clone, PartialEq)]
pub struct SeuratV3Scores {
    /// Mean count.
    pub means: Vec<f64>,
    /// Variance of the counts (`n − 1` in the denominator).
    pub variances: Vec<f64>,
    /// log₁₀ of the variance expected at this mean; 0 for a gene without variance.
    pub expected_log_variances: Vec<f64>,
    /// Variance of the counts standardised by the expected standard deviation and clipped at
    /// √cells: what genes are ranked by.
    pub standardized_variances: Vec<f64>,
}

/// Scores genes by the variance of their raw counts relative to the trend of log₁₀ variance over
/// log₁₀ mean (loess, span 0.3, degree 2).
///
/// Equals `scanpy.pp.highly_variable_genes(flavor="seurat_v3")` on raw counts, except that it also
/// works where scanpy stops with "reciprocal condition number": where too few distinct means lie
/// in a neighbourhood, the local polynomial has a lower degree.
///
/// # Errors
/// [`Error::VariableGenes`] with fewer than two cells or genes.
pub fn seurat_v3_scores(counts: &CountMatrix) -> Result<SeuratV3Scores> {
    whole(counts, seurat_v3_of_part)
}

fn seurat_v3_of_part(part: Part<'_>) -> Result<SeuratV3Scores> {
    refuse_too_small(part)?;
    let n = part.cells.len() as f64;
    let genes = part.genes.len();
    let moments = moments(part, |_| |_, count| f64::from(count))?;

    let varying: Vec<usize> = (0..genes)
        .filter(|&gene| moments.variance[gene] > 0.0)
        .collect();
    let log_means: Vec<f64> = varying.iter().map(|&g| moments.mean[g].log10()).collect();
    let log_variances: Vec<f64> = varying
        .iter()
        .map(|&g| moments.variance[g].log10())
        .collect();
    let mut expected = vec![0.0; genes];
    for (&gene, value) in varying
        .iter()
        .zip(loess(&log_means, &log_variances, LOESS_SPAN))
    {
        expected[gene] = value;
    }

    let mut limits = vec![0.0; part.source_genes()];
    for ((&gene, log_variance), mean) in part.genes.iter().zip(&expected).zip(&moments.mean) {
        limits[gene] = 10f64.powf(0.5 * log_variance) * n.sqrt() + mean;
    }
    let mut sums = vec![(0.0, 0.0); part.source_genes()];
    visit_cells_ahead(part.source, part.cells, |_, genes, counts| {
        for (&gene, &count) in genes.iter().zip(counts) {
            let gene = gene as usize;
            let clipped = f64::from(count).min(limits[gene]);
            sums[gene].0 += clipped;
            sums[gene].1 += clipped * clipped;
        }
    })?;
    let sums = part.of_genes(&sums);
    let standardized_variances = (0..genes)
        .map(|gene| {
            let (sum, squares) = sums[gene];
            let mean = moments.mean[gene];
            let deviations = n * mean * mean + squares - 2.0 * sum * mean;
            deviations / ((n - 1.0) * 10f64.powf(expected[gene]))
        })
        .collect();
    Ok(SeuratV3Scores {
        means: moments.mean,
        variances: moments.variance,
        expected_log_variances: expected,
        standardized_variances,
    })
}

fn refuse_too_small(part: Part<'_>) -> Result<()> {
    let (cells, genes) = (part.cells.len(), part.genes.len());
    if cells >= 2 && genes >= 2 {
        return Ok(());
    }
    Err(Error::VariableGenes {
        reason: format!(
            "at least two cells and two genes are needed, there are {cells} × {genes}; keep all \
             genes instead"
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ties_keep_the_order_of_genes_and_nan_is_never_chosen() {
        let scores = [1.0, f64::NAN, 2.0, 1.0, f64::NAN];
        assert_eq!(top_genes(&scores, 2), [2, 0]);
        assert_eq!(top_genes(&scores, 5), [2, 0, 3]);
    }

    #[test]
    fn a_gene_alone_in_its_bin_scores_one() {
        let scores = standardize_in_bins(&[0.0, 0.1, 10.0], &[1.0, 3.0, 7.0]);
        let sd = 2f64.sqrt();
        assert_eq!(scores, [-1.0 / sd, 1.0 / sd, 1.0]);
    }

    #[test]
    fn the_smallest_value_is_in_the_first_bin() {
        let values: Vec<f64> = (0..=20).map(f64::from).collect();
        let bins = bins_of_equal_width(&values);
        assert_eq!(bins[0], 0);
        assert_eq!(bins[1], 0);
        assert_eq!(bins[2], 1);
        assert_eq!(bins[20], 19);
        assert_eq!(bins_of_equal_width(&[5.0, 5.0])[0], 9);
    }
}
