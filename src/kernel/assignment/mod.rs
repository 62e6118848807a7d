//! Soft assignment of cells to centroids, and its divergence from a target, as one operation each.
//!
//! On the CPU both are composed of tensor operations, which cost little beside a network's
//! products. On a GPU each of those would be a launch of its own, forwards and backwards; there
//! they are kernels.

#[cfg(any(feature = "wgpu", feature = "cuda"))]
mod cube;

use burn::tensor::Tensor;

/// The smallest normal f32: below it a probability counts as zero.
pub(crate) const SMALLEST: f64 = f32::MIN_POSITIVE as f64;

/// How the similarity of a cell to a centroid falls with their distance d.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(
    not(any(feature = "wgpu", feature = "cuda")),
    allow(dead_code, reason = "only kernels for GPUs read the parameters")
)]
pub(crate) enum Falloff {
    /// (1 + d²/α)^(−(α+1)/2).
    StudentT { alpha: f64 },
    /// exp(−d²/(2σ²)).
    Gaussian { bandwidth: f64 },
}

/// The similarity of every cell `[cells, width]` to every centroid `[clusters, width]`, normalised
/// over the centroids, `[cells, clusters]`; nothing where no kernel applies.
pub(crate) fn soft(
    latent: &Tensor<2>,
    centroids: &Tensor<2>,
    falloff: Falloff,
) -> Option<Tensor<2>> {
    #[cfg(any(feature = "wgpu", feature = "cuda"))]
    return cube::soft(latent, centroids, falloff);
    #[cfg(not(any(feature = "wgpu", feature = "cuda")))]
    {
        let _ = (latent, centroids, falloff);
        None
    }
}

/// The mean over cells of Σ p ln(p / (q + offset)), `[1]`, for q and p `[cells, clusters]`; nothing
/// where no kernel applies.
pub(crate) fn divergence(q: &Tensor<2>, p: &Tensor<2>, offset: f64) -> Option<Tensor<1>> {
    #[cfg(any(feature = "wgpu", feature = "cuda"))]
    return cube::divergence(q, p, offset);
    #[cfg(not(any(feature = "wgpu", feature = "cuda")))]
    {
        let _ = (q, p, offset);
        None
    }
}
