//! What self-training carries from one epoch to the next, and how a checkpoint keeps it.

use ndarray::Array2;
use serde::{Deserialize, Serialize};

use super::{Constraints, JointReconstruction, SelfTrainConfig};
use crate::batches::Corruption;
use crate::description::Description;
use crate::error::Result;
use crate::exact;
use crate::graph::{NeighborMemory, Neighbors};
use crate::model::StopReason;
use crate::nn::ReconstructionHead;
use crate::pairs::fingerprint;
use crate::preprocess::Cells;
use crate::train::checkpoint::{Saved, Snapshot};

/// Names in checkpoints.
const LABELS: &str = "labels";
const TARGET: &str = "target";
const NEIGHBORS: &str = "neighbors";
const DISTANCES: &str = "neighbor_distances";

/// What decides the result of self-training beside cells, seed and first weights.
#[derive(Serialize)]
pub(super) struct Settings<'a> {
    pub config: &'a SelfTrainConfig,
    pub target: Description,
    pub clustering: Description,
    pub reconstruction: Option<JointSettings>,
    pub constraints: Option<ConstraintSettings>,
}

/// Loss and corruption of joint training.
#[derive(Serialize)]
pub(super) struct JointSettings {
    loss: Description,
    corruption: Corruption,
}

impl JointSettings {
    pub fn new<H: ReconstructionHead>(joint: &JointReconstruction<'_, H>) -> Self {
        Self {
            loss: joint.loss.description(),
            corruption: joint.corruption,
        }
    }
}

/// Losses of constraint pairs, and a fingerprint of the pairs: there may be many.
#[derive(Serialize)]
pub(super) struct ConstraintSettings {
    must_link: Description,
    cannot_link: Description,
    pairs: String,
}

impl ConstraintSettings {
    pub fn new(constraints: &Constraints<'_>) -> Self {
        let pairs = constraints.pairs;
        Self {
            must_link: constraints.must_link.description(),
            cannot_link: constraints.cannot_link.description(),
            pairs: fingerprint([pairs.must_link(), pairs.cannot_link()]),
        }
    }
}

/// How far self-training has come, as a checkpoint keeps it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Progress {
    Running {
        epoch: usize,
        /// How often the remembered neighbours were used; `None`: none are remembered.
        neighbor_uses: Option<usize>,
        /// Steps taken.
        #[serde(default)]
        steps: usize,
    },
    Stopped {
        epoch: usize,
        /// Fraction of cells whose label had changed.
        #[serde(with = "exact::number")]
        changed: f64,
    },
}

impl Progress {
    /// Whether training with these settings can have come to this, in epochs of at most `rows` cells
    /// and pairs.
    pub fn is_possible(&self, config: &SelfTrainConfig, rows: usize) -> bool {
        match *self {
            Self::Running { epoch, steps, .. } => {
                epoch <= config.max_epochs && steps <= epoch.saturating_mul(rows)
            }
            Self::Stopped { epoch, changed } => {
                epoch <= config.max_epochs && (0.0..=1.0).contains(&changed)
            }
        }
    }
}

/// The state between two epochs, beside network and optimizer.
pub(super) struct State {
    /// The epoch that comes next.
    pub epoch: usize,
    /// Labels at the last update of the target, at first those that the centroids come from.
    pub labels: Vec<usize>,
    /// The target p `[cells, clusters]`, empty before the first update.
    pub target: Array2<f32>,
    pub neighbors: NeighborMemory,
}

impl State {
    pub fn new(initial_labels: &[usize], config: &SelfTrainConfig) -> Self {
        Self {
            epoch: 0,
            labels: initial_labels.to_vec(),
            target: Array2::zeros((0, 0)),
            neighbors: NeighborMemory::new(config.neighbor_uses),
        }
    }

    /// Whether the next epoch begins with a new target.
    pub fn is_target_due(&self, config: &SelfTrainConfig) -> bool {
        self.epoch.is_multiple_of(config.update_interval) || self.epoch >= config.max_epochs
    }

    /// Why training ends before the next epoch, if it does, when a fraction of labels changed since
    /// the last target.
    pub fn stop_reason(&self, config: &SelfTrainConfig, changed: f64) -> Option<StopReason> {
        if self.epoch > 0 && changed < config.tolerance {
            Some(StopReason::LabelsStable { changed })
        } else if self.epoch >= config.max_epochs {
            Some(StopReason::MaximumEpochs { changed })
        } else {
            None
        }
    }

    pub fn snapshot(&self, config: &SelfTrainConfig, steps: usize) -> Result<Snapshot, String> {
        let remembered = self.neighbors.remembered();
        let progress = Progress::Running {
            epoch: self.epoch,
            neighbor_uses: remembered.as_ref().map(|(uses, _)| *uses),
            steps,
        };
        let mut snapshot = Snapshot::new(&progress)?.with_indices(LABELS, &self.labels);
        if !self.is_target_due(config) {
            snapshot = snapshot.with_matrix(TARGET, self.target.view());
        }
        if let Some((_, neighbors)) = remembered {
            let indices: Vec<usize> = neighbors
                .indices
                .iter()
                .map(|&cell| cell as usize)
                .collect();
            snapshot = snapshot
                .with_indices(NEIGHBORS, &indices)
                .with_matrix(DISTANCES, neighbors.distances.view());
        }
        Ok(snapshot)
    }

    /// The state of a checkpoint, and how many steps had been taken.
    ///
    /// # Errors
    /// [`Error::Checkpoint`](crate::Error::Checkpoint) when it does not fit cells and clusters.
    pub fn restore(
        saved: &Saved<Progress>,
        config: &SelfTrainConfig,
        clusters: usize,
        cells: &Cells,
    ) -> Result<(Self, usize)> {
        let cells = cells.cells();
        let mut state = Self::new(&saved.indices(LABELS, cells, clusters)?, config);
        let (epoch, neighbor_uses, steps) = match *saved.progress() {
            Progress::Running {
                epoch,
                neighbor_uses,
                steps,
            } => (epoch, neighbor_uses, steps),
            Progress::Stopped { epoch, .. } => (epoch, None, 0),
        };
        state.epoch = epoch;
        if !state.is_target_due(config) {
            state.target = saved.matrix(TARGET, [Some(cells), Some(clusters)])?;
        }
        if let Some(uses) = neighbor_uses {
            let distances = saved.matrix(DISTANCES, [Some(cells), None])?;
            let indices = saved.indices(NEIGHBORS, distances.len(), cells)?;
            let indices = indices.into_iter().map(|cell| cell as u32).collect();
            let indices = Array2::from_shape_vec(distances.raw_dim(), indices)
                .map_err(|error| saved.unusable(format!("{NEIGHBORS}: {error}")))?;
            state
                .neighbors
                .remember(uses, Neighbors { indices, distances });
        }
        Ok((state, steps))
    }
}
