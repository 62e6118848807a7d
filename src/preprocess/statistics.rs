//! Means and standard deviations of genes.

use serde::{Deserialize, Serialize};

use super::normalize::Moments;
use crate::exact;

/// Mean and standard deviation of each gene's log-normalised values.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GeneStatistics {
    /// Mean `[genes]`.
    #[serde(with = "exact::list")]
    pub mean: Vec<f64>,
    /// Standard deviation `[genes]`, `n − 1` in the denominator; 0 for a constant gene.
    #[serde(with = "exact::list")]
    pub sd: Vec<f64>,
}

impl From<Moments> for GeneStatistics {
    fn from(moments: Moments) -> Self {
        Self {
            mean: moments.mean,
            sd: moments.variance.into_iter().map(f64::sqrt).collect(),
        }
    }
}

/// The gene statistics of one batch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BatchStatistics {
    /// The batch's label.
    pub batch: String,
    /// Mean and standard deviation over its cells.
    pub statistics: GeneStatistics,
}
