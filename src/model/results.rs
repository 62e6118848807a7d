//! The results of a run: labels, embedding, history, status.

use ndarray::{Array2, ArrayView2};
use serde::{Deserialize, Serialize};

use super::assignment::{Assignment, check_finite};
use super::evaluate::Evaluation;
use super::fitted::FittedModel;
use super::history::{EpochRecord, Phase};
use crate::error::{Error, Result};
use crate::nn::ReconstructionHead;
use crate::start::{InitialCentroids, ResolutionCandidate};

/// Why self-training ended.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum StopReason {
    /// Fewer labels changed than the tolerance.
    LabelsStable {
        /// Fraction of cells whose label changed at the last update.
        changed: f64,
    },
    /// The maximum number of epochs was reached before that.
    MaximumEpochs {
        /// Fraction of cells whose label changed at the last update.
        changed: f64,
    },
    /// A loss became non-finite; the result is that of the last completed epoch. Only found in
    /// what a [`Failure`](crate::train::Failure) holds.
    Diverged,
    /// The [observer](crate::train::Observer) ended the run; the result is what had been reached.
    Interrupted,
    /// A training loop of your own came to its end ([`Fit::from_parts`]).
    Finished,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Status {
    /// Whether labels became stable before the maximum number of epochs, or a loop of your own ended.
    pub converged: bool,
    /// Why self-training ended.
    pub stop_reason: StopReason,
    /// Epochs of pretraining, layer-wise ones included.
    pub pretraining_epochs: usize,
    /// Epochs of self-training.
    pub self_training_epochs: usize,
    /// Number of cells in every cluster.
    pub cluster_sizes: Vec<usize>,
    /// Clusters that hold no cell at the end.
    pub empty_clusters: Vec<usize>,
    /// What a careful reader of the result should know.
    pub warnings: Vec<String>,
}

impl Status {
    pub(crate) fn new(
        assignment: &Assignment,
        stop_reason: StopReason,
        history: &[EpochRecord],
    ) -> Self {
        let cluster_sizes = assignment.sizes();
        let empty_clusters: Vec<usize> = (0..cluster_sizes.len())
            .filter(|&cluster| cluster_sizes[cluster] == 0)
            .collect();
        let mut warnings = Vec::new();
        if cluster_sizes.len() - empty_clusters.len() == 1 {
            warnings.push("every cell is in one cluster".to_string());
        } else if !empty_clusters.is_empty() {
            warnings.push(format!(
                "{} of {} clusters lost all their cells: {empty_clusters:?}",
                empty_clusters.len(),
                cluster_sizes.len()
            ));
        }
        if stop_reason == StopReason::Diverged {
            warnings.push("self-training diverged; this is its last good state".to_string());
        }
        if stop_reason == StopReason::Interrupted {
            warnings.push("the run was interrupted before its end".to_string());
        }
        for warning in &warnings {
            tracing::warn!("{warning}");
        }
        let is_self_training = |record: &&EpochRecord| record.phase == Phase::SelfTraining;
        let self_training_epochs = history.iter().filter(is_self_training).count();
        Self {
            converged: matches!(
                stop_reason,
                StopReason::LabelsStable { .. } | StopReason::Finished
            ),
            stop_reason,
            pretraining_epochs: history.len() - self_training_epochs,
            self_training_epochs,
            cluster_sizes,
            empty_clusters,
            warnings,
        }
    }
}

/// The outcome of a training run: the fitted model and what it says about the training cells.
#[derive(Debug, Clone)]
pub struct Fit<H: ReconstructionHead> {
    model: FittedModel<H>,
    embedding: Array2<f32>,
    clusters: Assignment,
    initial_labels: Vec<usize>,
    resolution: Option<f64>,
    candidates: Vec<ResolutionCandidate>,
    history: Vec<EpochRecord>,
    status: Status,
}

impl<H: ReconstructionHead> Fit<H> {
    /// The results of a run of your own: what a model says about its training cells, the clusters
    /// that self-training started from, and what happened.
    ///
    /// # Errors
    /// [`Error::LengthMismatch`] when evaluation, initial labels and model are of different numbers
    /// of cells, clusters or dimensions; [`Error::NonFiniteValue`] when the evaluation has a value
    /// that is NaN or infinite.
    pub fn from_parts(
        model: FittedModel<H>,
        evaluation: Evaluation,
        initial: InitialCentroids,
        stop_reason: StopReason,
        history: Vec<EpochRecord>,
    ) -> Result<Self> {
        let cells = evaluation.embedding.nrows();
        let clusters = evaluation.soft_assignments.ncols();
        for (what, expected, found) in [
            (
                "the soft assignments",
                cells,
                evaluation.soft_assignments.nrows(),
            ),
            ("the list of initial labels", cells, initial.labels.len()),
            ("a row of soft assignments", model.clusters(), clusters),
        ] {
            if expected != found {
                return Err(Error::LengthMismatch {
                    what: what.into(),
                    expected,
                    found,
                });
            }
        }
        check_finite("the embedding", &evaluation.embedding)?;
        let assignment = Assignment::from_soft(evaluation.soft_assignments)?;
        let status = Status::new(&assignment, stop_reason, &history);
        Ok(Self {
            model,
            embedding: evaluation.embedding,
            clusters: assignment,
            initial_labels: initial.labels,
            resolution: initial.resolution,
            candidates: initial.candidates,
            history,
            status,
        })
    }

    /// Adds to what a careful reader of the result should know ([`Status::warnings`]).
    pub fn with_warning(mut self, warning: impl Into<String>) -> Self {
        let warning = warning.into();
        tracing::warn!("{warning}");
        self.status.warnings.push(warning);
        self
    }

    /// The fitted model: embeds and assigns new cells, saves itself.
    pub fn model(&self) -> &FittedModel<H> {
        &self.model
    }

    /// The fitted model without the results.
    pub fn into_model(self) -> FittedModel<H> {
        self.model
    }

    /// Labels and soft assignments of the training cells.
    pub fn clusters(&self) -> &Assignment {
        &self.clusters
    }

    /// Embedding of the training cells `[cells, latent]`.
    pub fn embedding(&self) -> ArrayView2<'_, f32> {
        self.embedding.view()
    }

    /// Centroids `[clusters, latent]`.
    pub fn centroids(&self) -> Array2<f32> {
        self.model.centroids()
    }

    /// Labels at the start of self-training (k-means or graph clustering).
    pub fn initial_labels(&self) -> &[usize] {
        &self.initial_labels
    }

    /// The resolution of the graph communities that self-training started from, given or found;
    /// none after k-means.
    pub fn resolution(&self) -> Option<f64> {
        self.resolution
    }

    /// The resolutions that were compared when the data chose their number of clusters, with the
    /// clusters and the stability of each, lowest first; none otherwise.
    pub fn resolution_candidates(&self) -> &[ResolutionCandidate] {
        &self.candidates
    }

    /// Losses and label changes of every epoch.
    pub fn history(&self) -> &[EpochRecord] {
        &self.history
    }

    /// How the run ended.
    pub fn status(&self) -> &Status {
        &self.status
    }
}
