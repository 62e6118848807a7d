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

mod attributes;
mod batch_labels;
mod cell_rows;
mod cells;
mod covariates;
mod filter;
mod fingerprint;
mod fit;
mod fitted;
mod genes;
mod input_scale;
mod loess;
mod normalize;
mod principal_components;
mod scaler;
mod settings;
mod statistics;
mod stored;
mod survey;
mod transform;
mod variable_genes;

pub(crate) use cell_rows::CellRows;
pub(crate) use cells::{Reading, default_buffer_cells};
pub(crate) use fingerprint::Fingerprint;
pub(crate) use stored::LoadedRows;

pub use cells::Cells;
pub use covariates::{CovariateDesign, Covariates};
pub use filter::FilterReport;
pub use fitted::FittedPreprocess;
pub use normalize::TargetSum;
pub use principal_components::PrincipalComponents;
pub use scaler::{Clip, Scaling};
pub use settings::Preprocess;
pub use statistics::{BatchStatistics, GeneStatistics};
pub use variable_genes::{
    Flavor, SeuratScores, SeuratV3Scores, VariableGenes, seurat_scores, seurat_v3_scores, top_genes,
};

#[cfg(test)]
mod tests;
