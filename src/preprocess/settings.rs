//! The settings of the preprocessing and the recipes of the methods.

use serde::{Deserialize, Serialize};

use super::normalize::TargetSum;
use super::scaler::{Clip, Scaling};
use super::variable_genes::VariableGenes;
use crate::error::ParameterError;

/// The settings of the preprocessing.
///
/// [`Preprocess::scdcc`] (also the default) and [`Preprocess::desc`] go with the defaults of both
/// methods, [`Preprocess::scdcc_reference`] and [`Preprocess::desc_reference`] are the published
/// recipes; every step can be changed with a `with_*` method.
///
/// # Recipes
///
/// | | `scdcc` | `scdcc_reference` | `desc` | `desc_reference` |
/// |---|---|---|---|---|
/// | [fewest counts of a gene](Self::with_min_counts_per_gene) | 1 | 1 | 1 | 1 |
/// | [fewest cells of a gene](Self::with_min_cells_per_gene) | 0 | 0 | 0 | 0 |
/// | [fewest counts of a cell](Self::with_min_counts_per_cell) | 1 | 1 | 1 | 1 |
/// | [fewest genes of a cell](Self::with_min_genes_per_cell) | 0 | 0 | 0 | 0 |
/// | [total of a cell](Self::with_target_sum) | median | median | median | 10000 |
/// | [genes](Self::with_variable_genes) | all | all | 2000 | 2000 |
/// | [divided by the standard deviation to the power of](Self::with_scaling) | 0.5 | 1 | 0.5 | 1 |
/// | [brought to a mean variance of 1](Self::with_scaling) | yes | no | yes | no |
/// | [cut off](Self::with_scaling) | none | none | none | ±6 |
/// | [fractional counts](Self::with_allow_fractional) | no | no | no | no |
///
/// All of them subtract the mean of each gene.
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
/// cells.fill_input(0, &mut row)?; // what the network sees: scaled log1p values
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
    /// gene; no clipping, all genes. All recipes side by side: [above](Self#recipes).
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
    /// genes ([`Flavor::Seurat`](super::Flavor::Seurat); all genes when there are fewer).
    pub fn desc() -> Self {
        Self {
            variable_genes: Some(VariableGenes::default()),
            ..Self::scdcc()
        }
    }

    /// The preprocessing of the published DESC (Li et al. 2020): genes, then cells, without counts
    /// are dropped; totals of 10 000; log1p; the 2000 most variable genes
    /// ([`Flavor::Seurat`](super::Flavor::Seurat); all genes when there are fewer); z-score clipped to
    /// ±6.
    pub fn desc_reference() -> Self {
        Self {
            target_sum: TargetSum::Fixed(1e4),
            variable_genes: Some(VariableGenes::default()),
            scaling: Some(Scaling::z_score().with_clip(Clip::Both(6.0))),
            ..Self::scdcc_reference()
        }
    }

    /// Drops genes with a smaller total count; 0 keeps all.
    pub fn with_min_counts_per_gene(mut self, counts: f64) -> Self {
        self.min_counts_per_gene = counts;
        self
    }

    /// Drops genes with a count in fewer cells; 0 keeps all.
    pub fn with_min_cells_per_gene(mut self, cells: usize) -> Self {
        self.min_cells_per_gene = cells;
        self
    }

    /// Drops cells with a smaller total count; with 0, a cell without counts is an error.
    pub fn with_min_counts_per_cell(mut self, counts: f64) -> Self {
        self.min_counts_per_cell = counts;
        self
    }

    /// Drops cells with counts in fewer genes; 0 keeps all.
    pub fn with_min_genes_per_cell(mut self, genes: usize) -> Self {
        self.min_genes_per_cell = genes;
        self
    }

    /// What the counts of each cell are normalised to before log1p.
    pub fn with_target_sum(mut self, target_sum: TargetSum) -> Self {
        self.target_sum = target_sum;
        self
    }

    /// Which genes are kept by their variability; `None`: all.
    pub fn with_variable_genes(mut self, variable_genes: impl Into<Option<VariableGenes>>) -> Self {
        self.variable_genes = variable_genes.into();
        self
    }

    /// How genes are scaled after log1p; `None`: not at all.
    pub fn with_scaling(mut self, scaling: impl Into<Option<Scaling>>) -> Self {
        self.scaling = scaling.into();
        self
    }

    /// Whether values that are not integers are accepted.
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
