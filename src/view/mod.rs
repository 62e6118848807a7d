//! Looking at a fit: projections to two dimensions, pictures, a report.
//!
//! | what | where | Cargo feature |
//! |---|---|---|
//! | principal components of an embedding | [`projection::pca`] | |
//! | t-SNE | `projection::TsneConfig` | `tsne` |
//! | UMAP | `projection::UmapConfig` | `umap` |
//! | pictures as PNG and SVG | `plot` | `plot` |
//! | a self-contained HTML report | `report` | `plot` |
//!
//! Projections show which cells are near each other in the embedding. Distances between groups,
//! their sizes and their densities in t-SNE and UMAP mean little: conclusions are drawn from the
//! embedding, the soft assignments and the counts.

#[cfg(feature = "plot")]
pub mod plot;
pub mod projection;
#[cfg(feature = "plot")]
pub mod report;
