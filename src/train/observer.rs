//! Watching a training run.

use std::path::Path;

use crate::error::Error;
use crate::model::{EpochRecord, Phase};

/// Something that happened during training.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A phase begins.
    PhaseStarted {
        /// Which phase.
        phase: Phase,
        /// The most epochs it can take.
        epochs: usize,
    },
    /// An epoch ended.
    EpochFinished(&'a EpochRecord),
    /// A phase ended.
    PhaseFinished {
        /// Which phase.
        phase: Phase,
        /// Epochs it took.
        epochs: usize,
        /// Wall-clock seconds it took.
        seconds: f64,
    },
    /// Initial centroids were found.
    CentroidsFound {
        /// Number of clusters.
        clusters: usize,
        /// Initial label of every cell, below `clusters`.
        labels: &'a [usize],
        /// Wall-clock seconds it took.
        seconds: f64,
    },
    /// The target distribution was computed anew from all cells.
    TargetUpdated {
        /// Epoch of self-training.
        epoch: usize,
        /// Fraction of cells whose label changed since the last update.
        changed: f64,
    },
    /// A phase, which has just begun, continues where a checkpoint left it. What came before is
    /// not reported again.
    Resumed {
        /// Which phase.
        phase: Phase,
        /// The epoch that comes next.
        epoch: usize,
    },
    /// A checkpoint was written.
    CheckpointSaved {
        /// The file.
        path: &'a Path,
        /// Wall-clock seconds it took.
        seconds: f64,
    },
    /// A checkpoint could not be written. The old one is untouched and training goes on.
    CheckpointFailed {
        /// The file.
        path: &'a Path,
        /// Why.
        error: &'a Error,
    },
}

/// Receives the events of a training run. Any `FnMut(&Event)` is an observer.
pub trait Observer {
    /// Called for every event, on the thread that trains.
    fn on_event(&mut self, event: &Event<'_>);
}

impl<F: FnMut(&Event<'_>)> Observer for F {
    fn on_event(&mut self, event: &Event<'_>) {
        self(event);
    }
}
