//! Deep embedded clustering of single-cell RNA-seq: DESC and scDCC.
//!
//! An autoencoder learns an embedding of cells from their counts; then the embedding and the
//! centroids of clusters train together towards a sharpened version of their own soft assignment,
//! until cells stop changing cluster. Two published methods are built from the same parts:
//!
//! * **scDCC** ([`Plan::scdcc`](train::Plan::scdcc); Tian et al., *Nat. Commun.* 2021): models raw
//!   counts by a negative binomial (published: a zero-inflated one), takes the number of clusters,
//!   optionally pairs of cells that belong together or apart. Without pairs it is scDeepCluster.
//! * **DESC** ([`Plan::desc`](train::Plan::desc); Li et al., *Nat. Commun.* 2020): reconstructs
//!   scaled expression, finds the number of clusters from a resolution.
//!
//! A method is a value, a [`Plan`](train::Plan): change one part (a loss, a head, a schedule) and
//! keep the rest.
//!
//! ```
//! use celldec::metrics::adjusted_rand_index;
//! use celldec::prelude::*;
//!
//! # fn main() -> celldec::Result<()> {
//! // Counts of 300 cells in three groups; from files: celldec::io::read_counts(path)?
//! let simulation = SimulationConfig::new(300, 200)
//!     .with_groups(3)
//!     .with_differential_expression(0.3, 0.5, 0.5)
//!     .with_library_size(1000.0, 0.2)
//!     .with_seed(1)
//!     .simulate()?;
//!
//! // Filters, size factors, log1p, scaling.
//! let cells = Preprocess::scdcc().fit(&simulation.counts)?;
//!
//! // Smaller and shorter than the defaults, so that this example takes a moment.
//! let device = celldec::device::by_name("cpu")?;
//! let fit = Plan::scdcc(3)
//!     .with_widths([64, 16])
//!     .with_epochs(30, 10)
//!     .with_seed(7)
//!     .trainer(&device)?
//!     .fit(&cells)?;
//!
//! assert_eq!(fit.clusters().labels().len(), 300);
//! assert_eq!(fit.embedding().dim(), (300, 16));
//! let agreement = adjusted_rand_index(&simulation.groups, fit.clusters().labels())?;
//! println!("sizes {:?}, agreement {agreement:.2}", fit.clusters().sizes());
//! assert!(agreement > 0.7);
//!
//! // The model repeats preprocessing and embedding on new cells, also after save and load.
//! let new_cells = fit.model().prepare(&simulation.counts)?;
//! assert_eq!(fit.model().assign(&new_cells)?.labels(), fit.clusters().labels());
//! # Ok(())
//! # }
//! ```
//!
//! # Where things are
//!
//! In the order in which data passes:
//!
//! | step | module | main types |
//! |---|---|---|
//! | raw counts, in memory or read part by part, simulated counts | [`counts`] | [`CountMatrix`](counts::CountMatrix), [`CountSource`](counts::CountSource), [`SimulationConfig`](counts::SimulationConfig) |
//! | files in and out | [`io`] | [`read_counts`](io::read_counts), [`read_labels`](io::read_labels) |
//! | preprocessing | [`preprocess`] | [`Preprocess`](preprocess::Preprocess), [`Cells`](preprocess::Cells) |
//! | minibatches, their order, noise | [`batches`] | [`Batches`](batches::Batches), [`Corruption`](batches::Corruption) |
//! | modules | [`nn`] | [`Autoencoder`](nn::Autoencoder), [`ReconstructionHead`](nn::ReconstructionHead), [`ClusteringLayer`](nn::ClusteringLayer) |
//! | neighbours of cells, their graph, its communities | [`graph`] | [`GraphConfig`](graph::GraphConfig), [`EmbeddedCells`](graph::EmbeddedCells) |
//! | where clusters begin | [`start`] | [`CentroidStart`](start::CentroidStart) |
//! | pairs of cells that belong together or apart | [`pairs`] | [`ConstraintPairs`](pairs::ConstraintPairs), [`ConstraintLoss`](pairs::ConstraintLoss) |
//! | losses and targets | [`loss`] | [`ReconstructionLoss`](loss::ReconstructionLoss), [`Target`](loss::Target), [`ClusteringLoss`](loss::ClusteringLoss) |
//! | what a fit does, and what runs it | [`train`] | [`Plan`](train::Plan), [`Trainer`](train::Trainer), [`SelfTraining`](train::SelfTraining) |
//! | fitted model and results | [`model`] | [`FittedModel`](model::FittedModel), [`Fit`](model::Fit), [`Assignment`](model::Assignment), [`Status`](model::Status) |
//! | agreement with known groups | [`metrics`] | [`adjusted_rand_index`](metrics::adjusted_rand_index), [`silhouette`](metrics::silhouette()) |
//! | genes that tell clusters apart | [`markers`] | [`MarkerConfig`](markers::MarkerConfig) |
//! | projections, pictures, a report | [`view`] | [`projection::pca`](view::projection::pca); more with the features `tsne`, `umap`, `plot` |
//!
//! Beneath them: [`kernel`] (likelihoods, special functions), [`optim`] (optimizers), [`random`]
//! (random streams), [`tensors`] (matrices as tensors), [`device`] (devices by name), [`error`].
//! [`prelude`] holds what most programs need.
//!
//! # Backends
//!
//! Model code is written once and runs on whatever backend the
//! [`Device`](burn::tensor::Device) names: burn 0.22 dispatches at run time and has no backend type
//! parameter, so neither have the types of this crate. Cargo features decide which backends are
//! compiled: `flex` (pure-Rust CPU, the default), `ndarray`, `wgpu` (with `vulkan` or `metal`), `cuda`;
//! [`device::by_name`] picks one of them; several share the steps of training
//! ([`Plan::trainer_on`](train::Plan::trainer_on)). Layers, likelihoods, assignments, batches and the
//! optimizers' update in place have fast paths of their own on `flex` and on GPUs (docs/gpu.md);
//! elsewhere tensor operations compute the same formulas.
//!
//! [`burn`], [`ndarray`] and [`serde_json`] are re-exported. The minor version of this crate follows burn's, so code that depends on
//! burn 0.22 and celldec 0.22 shares their types.
//!
//! # Errors
//!
//! Everything that depends on data, files or settings returns a [`Result`] with a variant of
//! [`Error`] that says what is wrong, where, and what to do instead. Settings are checked by
//! [`Plan::trainer`](train::Plan::trainer) before any work, and an error of training holds
//! [what had been reached](train::Failure). Nothing here panics on data, prints, or exits; the exceptions to the first are
//! modules and tensor functions called with shapes that do not fit, as everywhere in burn. What a
//! careful reader should know about a result that is not an error (no convergence, empty clusters)
//! is in its [`Status`](model::Status) and logged with `tracing`.
//!
//! # Reproducibility
//!
//! Every random number comes from a stream addressed by seed, purpose, epoch and index
//! ([`random`]), and sums are formed in an order that does not depend on threads. On the backend
//! `flex` one seed gives the same bits on one machine, with any number of threads and other fits
//! beside it. Between machines the last digits may differ.
//!
//! # Counts that do not fit in memory
//!
//! [`Preprocess::fit_source`](preprocess::Preprocess::fit_source) takes a
//! [`CountSource`](counts::CountSource) in place of a matrix, for example an AnnData file that stays
//! on disk. Preprocessing, embedding and assignment are the same bit for bit; training
//! [shuffles blocks of cells](preprocess::Cells#out-of-core) (docs/out-of-core.md).
//!
//! # Long runs
//!
//! With a [`CheckpointConfig`](train::CheckpointConfig) a fit that was killed resumes where its last
//! checkpoint was written, and ends with the same bits (docs/checkpoints.md).
#![warn(missing_docs)]

#[cfg(not(any(
    feature = "flex",
    feature = "ndarray",
    feature = "wgpu",
    feature = "cuda"
)))]
compile_error!(
    "celldec needs a backend: enable at least one of the Cargo features `flex` (CPU, on by \
     default), `ndarray` (CPU), `wgpu` (GPU), `cuda` (GPU)"
);

pub use burn;
pub use ndarray;
pub use serde_json;

pub mod batches;
pub mod counts;
pub mod description;
pub mod device;
pub mod error;
mod exact;
pub mod graph;
pub mod io;
pub mod kernel;
pub mod loss;
pub mod markers;
pub mod metrics;
pub mod model;
pub mod nn;
pub mod optim;
pub mod pairs;
mod parallel;
pub mod prelude;
pub mod preprocess;
pub mod random;
mod selection;
mod settings;
pub mod start;
mod tensor_file;
pub mod tensors;
pub mod train;
pub mod view;

pub use error::{Error, Result};

/// Compiles and runs the code of the written documentation.
#[cfg(doctest)]
mod written_documentation {
    #[doc = include_str!("../README.md")]
    mod readme {}

    #[doc = include_str!("../docs/checkpoints.md")]
    mod checkpoints {}

    #[doc = include_str!("../docs/custom-losses.md")]
    mod custom_losses {}

    #[doc = include_str!("../docs/own-methods.md")]
    mod own_methods {}

    #[doc = include_str!("../docs/gpu.md")]
    mod gpu {}

    #[cfg(feature = "h5ad")]
    #[doc = include_str!("../docs/files.md")]
    mod files {}

    #[cfg(feature = "h5ad")]
    #[doc = include_str!("../docs/out-of-core.md")]
    mod out_of_core {}

    #[cfg(all(feature = "plot", feature = "tsne", feature = "umap"))]
    #[doc = include_str!("../docs/views.md")]
    mod views {}
}
