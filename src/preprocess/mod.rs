//! From raw counts to what a network is trained on, with scanpy's semantics.
//!
//! Steps, in this order: drop genes, then cells, below the filter thresholds; divide each cell by
//! its size factor; log1p; optionally keep the highly variable genes; optionally scale each gene
//! (over all cells or within each batch) and clip. [`Preprocess`] holds the settings,
//! [`Preprocess::fit`] learns from training cells and returns [`Cells`], whose
//! [`FittedPreprocess`] repeats exactly the same on new cells.
//!
//! Counts ([`CountMatrix`](crate::counts::CountMatrix)) and normalised values are different types:
//! [`Cells`] come from preprocessing only, and a dense cells × genes matrix is never formed.
//!
//! Counts that do not fit in memory are read from a [`CountSource`](crate::counts::CountSource) part
//! by part: [`Preprocess::fit_source`] gives, bit for bit, what [`Preprocess::fit`] gives of the same
//! counts in memory, and [`Cells`] that read counts when they are needed.

mod cell_rows;
mod cells;
mod filter;
mod fingerprint;
mod fit;
mod fitted;
mod genes;
mod loess;
mod normalize;
mod principal_components;
mod scaler;
mod stored;
mod survey;
pub mod variable_genes;

use serde::{Deserialize, Serialize};

use crate::error::ParameterError;

pub(crate) use cell_rows::CellRows;
pub(crate) use cells::Reading;
pub(crate) use fingerprint::Fingerprint;
pub(crate) use stored::LoadedRows;

pub use cells::Cells;
pub use filter::FilterReport;
pub use fitted::{BatchStatistics, FittedPreprocess, GeneStatistics};
pub use principal_components::PrincipalComponents;
pub use variable_genes::{Flavor, VariableGenes};

/// What the counts of a cell are normalised to.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TargetSum {
    /// The median total count of the training cells (scanpy's default).
    Median,
    /// A fixed total, for example 10 000.
    Fixed(f64),
}

/// Which scaled values are cut off.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Clip {
    /// Values above the limit become the limit (older scanpy; DESC's per-batch scaling).
    Upper(f64),
    /// Values outside ± the limit become ± the limit (scanpy since 1.9 on centred data).
    Both(f64),
}

impl Clip {
    fn limit(self) -> f64 {
        match self {
            Self::Upper(limit) | Self::Both(limit) => limit,
        }
    }

    /// The least and the largest value that is left.
    fn range(self) -> (f64, f64) {
        match self {
            Self::Upper(limit) => (f64::NEG_INFINITY, limit),
            Self::Both(limit) => (-limit, limit),
        }
    }
}

/// How the log-normalised values `v` of a gene are scaled: `(v − mean) / sd^exponent`, if asked for
/// times one factor for all genes, then clipped. The standard deviation has `n − 1` in the denominator; a gene without variance is
/// divided by 1.
///
/// The default is the plain z-score.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Scaling {
    /// Subtract the gene's mean.
    pub center: bool,
    /// Power of the standard deviation to divide by: 1 is the z-score, 0 leaves the scale alone,
    /// values between shrink the weight of rarely expressed genes.
    pub exponent: f64,
    /// Multiply all genes by one factor so that the mean variance of genes, before clipping,
    /// is 1, as it is of z-scores.
    pub unit_variance: bool,
    /// Cut off extreme values.
    pub clip: Option<Clip>,
}

impl Default for Scaling {
    fn default() -> Self {
        Self {
            center: true,
            exponent: 1.0,
            unit_variance: false,
            clip: None,
        }
    }
}

impl Scaling {
    /// Centred, divided by the square root of the standard deviation, and brought to a mean
    /// variance of 1.
    ///
    /// Between the z-score, which makes the noise of rarely expressed genes as loud as any signal,
    /// and no scaling, which leaves the word to a few highly expressed genes.
    pub fn square_root() -> Self {
        Self {
            exponent: 0.5,
            unit_variance: true,
            ..Self::default()
        }
    }

    /// The z-score: centred, divided by the standard deviation, not clipped.
    pub fn z_score() -> Self {
        Self::default()
    }

    /// Whether the mean is subtracted (default: yes).
    pub fn with_center(mut self, center: bool) -> Self {
        self.center = center;
        self
    }

    /// The power of the standard deviation to divide by (default 1).
    pub fn with_exponent(mut self, exponent: f64) -> Self {
        self.exponent = exponent;
        self
    }

    /// Whether all genes are brought to a mean variance of 1 by one factor (default: no).
    pub fn with_unit_variance(mut self, unit_variance: bool) -> Self {
        self.unit_variance = unit_variance;
        self
    }

    /// Which extreme values are cut off (default: none).
    pub fn with_clip(mut self, clip: impl Into<Option<Clip>>) -> Self {
        self.clip = clip.into();
        self
    }
}

/// The settings of the preprocessing.
///
/// [`Preprocess::scdcc`] (also the default) and [`Preprocess::desc`] go with the defaults of both
/// methods, [`Preprocess::scdcc_reference`] and [`Preprocess::desc_reference`] are the published
/// recipes; every step can be changed with a `with_*` method.
///
/// ```
/// use celldec::counts::CountMatrix;
/// use celldec::preprocess::Preprocess;
/// use ndarray::array;
///
/// // The third gene has no counts and is dropped.
/// let counts = CountMatrix::from_dense(
///     array![[1.0, 3.0, 0.0], [2.0, 0.0, 0.0], [0.0, 8.0, 0.0]].view(),
/// )?;
/// let cells = Preprocess::scdcc().fit(&counts)?;
/// assert_eq!((cells.cells(), cells.genes()), (3, 2));
/// assert_eq!(cells.size_factors(), &[1.0, 0.5, 2.0]); // totals 4, 2, 8 over their median
///
/// let mut row = vec![0.0; cells.genes()];
/// cells.fill_input(0, &mut row)?; // what the network sees: z-scores of log1p values
/// cells.fill_counts(0, &mut row)?; // what the loss sees: raw counts
/// assert_eq!(row, [1.0, 3.0]);
/// # Ok::<(), celldec::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Preprocess {
    /// Genes with a smaller total count over all cells are dropped (0 keeps all).
    pub min_counts_per_gene: f64,
    /// Genes with a count in fewer cells are dropped (0 keeps all).
    pub min_cells_per_gene: usize,
    /// Cells with a smaller total count over the kept genes are dropped (0 keeps all; a cell
    /// without counts is then an error).
    pub min_counts_per_cell: f64,
    /// Cells with counts in fewer of the kept genes are dropped (0 keeps all).
    pub min_genes_per_cell: usize,
    /// What the counts of each cell are normalised to before log1p.
    pub target_sum: TargetSum,
    /// Keep only the most variable genes; `None` keeps all.
    pub variable_genes: Option<VariableGenes>,
    /// How genes are scaled after log1p; `None` leaves the log1p values.
    pub scaling: Option<Scaling>,
    /// Accept values that are not integers (estimated counts).
    pub allow_fractional: bool,
}

impl Default for Preprocess {
    fn default() -> Self {
        Self::scdcc()
    }
}

impl Preprocess {
    /// The preprocessing of the default scDCC: genes, then cells, without counts are dropped; size
    /// factor = cell total / median total; log1p; [square-root scaling](Scaling::square_root) per
    /// gene; no clipping, all genes.
    pub fn scdcc() -> Self {
        Self {
            scaling: Some(Scaling::square_root()),
            ..Self::scdcc_reference()
        }
    }

    /// The preprocessing of the published scDCC and scDeepCluster (Tian et al. 2019, 2021): as
    /// [`scdcc`](Self::scdcc), with z-scores.
    pub fn scdcc_reference() -> Self {
        Self {
            min_counts_per_gene: 1.0,
            min_cells_per_gene: 0,
            min_counts_per_cell: 1.0,
            min_genes_per_cell: 0,
            target_sum: TargetSum::Median,
            variable_genes: None,
            scaling: Some(Scaling::z_score()),
            allow_fractional: false,
        }
    }

    /// The preprocessing of the default DESC: as [`scdcc`](Self::scdcc), of the 2000 most variable
    /// genes ([`Flavor::Seurat`]; all genes when there are fewer).
    pub fn desc() -> Self {
        Self {
            variable_genes: Some(VariableGenes::default()),
            ..Self::scdcc()
        }
    }

    /// The preprocessing of the published DESC (Li et al. 2020): genes, then cells, without counts
    /// are dropped; totals of 10 000; log1p; the 2000 most variable genes ([`Flavor::Seurat`]; all
    /// genes when there are fewer); z-score clipped to ±6.
    pub fn desc_reference() -> Self {
        Self {
            target_sum: TargetSum::Fixed(1e4),
            variable_genes: Some(VariableGenes::default()),
            scaling: Some(Scaling::z_score().with_clip(Clip::Both(6.0))),
            ..Self::scdcc_reference()
        }
    }

    /// Drops genes with a smaller total count (default 1).
    pub fn with_min_counts_per_gene(mut self, counts: f64) -> Self {
        self.min_counts_per_gene = counts;
        self
    }

    /// Drops genes with a count in fewer cells (default 0: off).
    pub fn with_min_cells_per_gene(mut self, cells: usize) -> Self {
        self.min_cells_per_gene = cells;
        self
    }

    /// Drops cells with a smaller total count (default 1).
    pub fn with_min_counts_per_cell(mut self, counts: f64) -> Self {
        self.min_counts_per_cell = counts;
        self
    }

    /// Drops cells with counts in fewer genes (default 0: off).
    pub fn with_min_genes_per_cell(mut self, genes: usize) -> Self {
        self.min_genes_per_cell = genes;
        self
    }

    /// What the counts of each cell are normalised to (default: the median for
    /// [`scdcc`](Self::scdcc), 10 000 for [`desc`](Self::desc)).
    pub fn with_target_sum(mut self, target_sum: TargetSum) -> Self {
        self.target_sum = target_sum;
        self
    }

    /// Which genes are kept by their variability (default: all for [`scdcc`](Self::scdcc), 2000
    /// for [`desc`](Self::desc)).
    pub fn with_variable_genes(mut self, variable_genes: impl Into<Option<VariableGenes>>) -> Self {
        self.variable_genes = variable_genes.into();
        self
    }

    /// How genes are scaled (default: z-score, clipped to ±6 for [`desc`](Self::desc)).
    pub fn with_scaling(mut self, scaling: impl Into<Option<Scaling>>) -> Self {
        self.scaling = scaling.into();
        self
    }

    /// Whether values that are not integers are accepted (default: no).
    pub fn with_allow_fractional(mut self, allow: bool) -> Self {
        self.allow_fractional = allow;
        self
    }

    /// Checks the settings.
    ///
    /// # Errors
    /// [`ParameterError::OutOfRange`] for the first setting outside its range.
    pub fn validate(&self) -> Result<(), ParameterError> {
        let check = |name, value: f64, requirement, valid: bool| {
            if valid {
                Ok(())
            } else {
                Err(ParameterError::OutOfRange {
                    name,
                    requirement,
                    value,
                })
            }
        };
        let non_negative = "finite and not negative";
        let positive = "finite and positive";
        for (name, value) in [
            ("min_counts_per_gene", self.min_counts_per_gene),
            ("min_counts_per_cell", self.min_counts_per_cell),
        ] {
            check(name, value, non_negative, value.is_finite() && value >= 0.0)?;
        }
        if let TargetSum::Fixed(total) = self.target_sum {
            check(
                "target_sum",
                total,
                positive,
                total.is_finite() && total > 0.0,
            )?;
        }
        if let Some(variable) = self.variable_genes {
            let number = variable.number;
            check(
                "the number of variable genes",
                number as f64,
                "at least 1",
                number > 0,
            )?;
        }
        if let Some(scaling) = self.scaling {
            let exponent = scaling.exponent;
            check(
                "the scaling exponent",
                exponent,
                non_negative,
                exponent.is_finite() && exponent >= 0.0,
            )?;
            if let Some(clip) = scaling.clip {
                let limit = clip.limit();
                check(
                    "the clipping limit",
                    limit,
                    positive,
                    limit.is_finite() && limit > 0.0,
                )?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
