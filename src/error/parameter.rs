//! Settings that cannot be.

use super::message::{abridged, listed};

/// A setting outside its range: one variant per setting.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ParameterError {
    /// Fewer than two clusters.
    #[error("the number of clusters must be at least 2, got {clusters}")]
    TooFewClusters {
        /// Clusters asked for.
        clusters: usize,
    },
    /// Number of clusters outside `2..=cells`.
    #[error(
        "the number of clusters must be between 2 and the number of cells ({cells}), got {clusters}"
    )]
    Clusters {
        /// Clusters asked for.
        clusters: usize,
        /// Cells there are.
        cells: usize,
    },
    /// Learning rate zero, negative or not finite.
    #[error("the learning rate of {phase} must be positive and finite, got {value}")]
    LearningRate {
        /// Which phase.
        phase: &'static str,
        /// Value given.
        value: f64,
    },
    /// A schedule of the learning rate that cannot be.
    #[error("the learning rate of {phase}: {}", abridged(reason))]
    Schedule {
        /// Which phase.
        phase: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// Batch size zero.
    #[error("the batch size must be at least 1")]
    BatchSize,
    /// Number of epochs zero where at least one is needed.
    #[error("{name} must be at least 1")]
    Epochs {
        /// Which count of epochs.
        name: &'static str,
    },
    /// A value outside its range.
    #[error("{name} must be {requirement}, got {value}")]
    OutOfRange {
        /// Which setting.
        name: &'static str,
        /// What is allowed.
        requirement: &'static str,
        /// Value given.
        value: f64,
    },
    /// A list of layer widths that is empty or holds a zero.
    #[error(
        "{name} must be a non-empty list of positive widths, got {}",
        listed(value)
    )]
    LayerWidths {
        /// Which list.
        name: &'static str,
        /// Value given.
        value: Vec<usize>,
    },
    /// A list of resolutions that is empty or holds a non-positive value.
    #[error(
        "resolutions must be a non-empty list of positive finite numbers, got {}",
        listed(value)
    )]
    Resolutions {
        /// Value given.
        value: Vec<f64>,
    },
    /// Settings that contradict each other.
    #[error("{}", abridged(reason))]
    Conflict {
        /// Which settings, and what to change.
        reason: String,
    },
}
