//! The clustering layer: similarity of every cell to every centroid.

use burn::config::Config;
use burn::module::{Initializer, Module, Param};
use burn::tensor::{Device, Tensor, activation};
use ndarray::ArrayView2;

use super::similarity::SimilarityKernel;
use crate::kernel::assignment;
use crate::tensors::array_to_tensor;

/// Configuration of a [`ClusteringLayer`].
#[derive(Config, Debug, PartialEq)]
pub struct ClusteringLayerConfig {
    /// Number of clusters.
    pub clusters: usize,
    /// Width of the latent space.
    pub latent: usize,
    /// Similarity kernel.
    #[config(default = "SimilarityKernel::StudentT { alpha: 1.0 }")]
    pub kernel: SimilarityKernel,
}

impl ClusteringLayerConfig {
    /// Creates the layer with all centroids at the origin.
    pub fn init(&self, device: &Device) -> ClusteringLayer {
        ClusteringLayer {
            centroids: Initializer::Zeros.init([self.clusters, self.latent], device),
            kernel: self.kernel.clone(),
        }
    }
}

/// Trainable centroids `[clusters, latent]` and the soft assignment of cells to them.
///
/// Soft assignment (Xie et al., 2016, eq. 1; DESC and scDCC alike):
///
/// ```text
/// q_ij = (1 + ‖z_i − μ_j‖²/α)^(−(α+1)/2) / Σ_j' (1 + ‖z_i − μ_j'‖²/α)^(−(α+1)/2)
/// ```
///
/// computed as a softmax of the logarithms, so that far cells keep a proper assignment.
#[derive(Module, Debug)]
pub struct ClusteringLayer {
    /// Centroids μ `[clusters, latent]`.
    pub centroids: Param<Tensor<2>>,
    /// Similarity kernel.
    #[module(skip)]
    pub kernel: SimilarityKernel,
}

impl ClusteringLayer {
    /// A layer with the given centroids `[clusters, latent]`.
    pub fn from_centroids(
        centroids: ArrayView2<'_, f32>,
        kernel: SimilarityKernel,
        device: &Device,
    ) -> Self {
        Self {
            centroids: Param::from_tensor(array_to_tensor(centroids, device)),
            kernel,
        }
    }

    /// Number of clusters.
    pub fn clusters(&self) -> usize {
        self.centroids.lazy_shape()[0]
    }

    /// Soft assignment q: `[cells, latent]` → `[cells, clusters]`, rows summing to 1.
    pub fn forward(&self, latent: Tensor<2>) -> Tensor<2> {
        if let Some(falloff) = self.kernel.falloff()
            && let Some(q) = assignment::soft(&latent, &self.centroids.val(), falloff)
        {
            return q;
        }
        let distances = self.squared_distances(latent);
        let log_similarity = self.kernel.log_similarity(distances);
        activation::softmax(log_similarity, 1)
    }

    /// Squared Euclidean distances `[cells, clusters]`.
    ///
    /// `‖z‖² − 2z·μ + ‖μ‖²` needs no `[cells, clusters, latent]` temporary; both sides are first
    /// moved so that the centroids' mean is the origin, which keeps the cancellation small.
    pub fn squared_distances(&self, latent: Tensor<2>) -> Tensor<2> {
        let centroids = self.centroids.val();
        let origin = centroids.clone().detach().mean_dim(0);
        let latent = latent - origin.clone();
        let centroids = centroids - origin;
        let latent_norms = latent.clone().square().sum_dim(1);
        let centroid_norms = centroids.clone().square().sum_dim(1).transpose();
        let products = latent.matmul(centroids.transpose());
        (latent_norms + centroid_norms - products * 2.0).clamp_min(0.0)
    }
}
