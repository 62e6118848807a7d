//! How the similarity of a cell to a centroid falls with their distance.

use std::fmt;
use std::sync::Arc;

use burn::tensor::Tensor;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::description::Description;
use crate::error::ParameterError;
use crate::kernel::assignment::Falloff;

/// How the similarity of a cell to a centroid falls with their distance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum SimilarityKernel {
    /// Student's t with `alpha` degrees of freedom,
    /// `q_ij ∝ (1 + ‖z_i − μ_j‖²/α)^(−(α+1)/2)`: both papers use α = 1.
    StudentT {
        /// Degrees of freedom α > 0.
        alpha: f64,
    },
    /// A Gaussian of the Euclidean distance, `q_ij ∝ exp(−‖z_i − μ_j‖²/(2σ²))`.
    ///
    /// The published DESC code sums one exponential per latent dimension instead, which is not a
    /// function of the distance.
    Gaussian {
        /// Standard deviation σ > 0.
        bandwidth: f64,
    },
    /// [One of your own](SimilarityKernel::own).
    Own(OwnSimilarity),
}

/// A similarity of your own, for [`SimilarityKernel::own`].
///
/// ```
/// use celldec::burn::tensor::Tensor;
/// use celldec::description::Description;
/// use celldec::nn::{Similarity, SimilarityKernel};
///
/// /// A Laplacian of the distance, `q_ij ∝ exp(−‖z_i − μ_j‖)`.
/// struct Laplacian;
///
/// impl Similarity for Laplacian {
///     fn log_similarity(&self, squared_distances: Tensor<2>) -> Tensor<2> {
///         // The root has no gradient at 0.
///         (squared_distances + 1e-8).sqrt().neg()
///     }
///
///     fn description(&self) -> Description {
///         Description::new("laplacian")
///     }
/// }
///
/// let similarity = SimilarityKernel::own(Laplacian);
/// # let _ = similarity;
/// ```
pub trait Similarity: Send + Sync {
    /// The logarithm of the similarity, up to a constant for every cell, from squared Euclidean
    /// distances; both `[cells, clusters]`.
    fn log_similarity(&self, squared_distances: Tensor<2>) -> Tensor<2>;

    /// Its name and settings.
    fn description(&self) -> Description;
}

/// A shared [`Similarity`]. A file holds its description, not its code.
#[derive(Clone)]
pub struct OwnSimilarity(Arc<dyn Similarity>);

impl fmt::Debug for OwnSimilarity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.description().fmt(f)
    }
}

impl PartialEq for OwnSimilarity {
    fn eq(&self, other: &Self) -> bool {
        self.0.description() == other.0.description()
    }
}

impl Serialize for OwnSimilarity {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.description().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for OwnSimilarity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let description = serde_json::Value::deserialize(deserializer)?;
        Err(D::Error::custom(format!(
            "the similarity {} is code, which cannot be read; make it with `SimilarityKernel::own`",
            description["name"]
        )))
    }
}

impl Default for SimilarityKernel {
    fn default() -> Self {
        Self::StudentT { alpha: 1.0 }
    }
}

impl SimilarityKernel {
    /// A similarity of one's own. A model with it is loaded by
    /// [`FittedModel::load_with_similarity`](crate::model::FittedModel::load_with_similarity).
    pub fn own(similarity: impl Similarity + 'static) -> Self {
        Self::Own(OwnSimilarity(Arc::new(similarity)))
    }

    /// The logarithm of the similarity, up to a constant for every cell, from squared Euclidean
    /// distances; both `[cells, clusters]`.
    pub fn log_similarity(&self, squared_distances: Tensor<2>) -> Tensor<2> {
        match self {
            Self::StudentT { alpha } => {
                squared_distances.div_scalar(*alpha).log1p() * (-(alpha + 1.0) / 2.0)
            }
            Self::Gaussian { bandwidth } => squared_distances * (-0.5 / (bandwidth * bandwidth)),
            Self::Own(own) => own.0.log_similarity(squared_distances),
        }
    }

    /// The similarity as kernels know it, if they do.
    pub(super) fn falloff(&self) -> Option<Falloff> {
        match *self {
            Self::StudentT { alpha } => Some(Falloff::StudentT { alpha }),
            Self::Gaussian { bandwidth } => Some(Falloff::Gaussian { bandwidth }),
            Self::Own(_) => None,
        }
    }

    /// Checks that the kernel's parameter is positive and finite.
    pub(crate) fn check(&self) -> Result<(), ParameterError> {
        let (name, value) = match *self {
            Self::StudentT { alpha } => ("the degrees of freedom of the similarity kernel", alpha),
            Self::Gaussian { bandwidth } => ("the bandwidth of the similarity kernel", bandwidth),
            Self::Own(_) => return Ok(()),
        };
        if value > 0.0 && value.is_finite() {
            Ok(())
        } else {
            Err(ParameterError::OutOfRange {
                name,
                requirement: "positive and finite",
                value,
            })
        }
    }
}
