//! Watching a training run.

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

/// Seed, observer and history of one training run, handed from phase to phase.
pub struct TrainingRun<'a> {
    seed: u64,
    observer: Option<&'a mut dyn Observer>,
    history: Vec<EpochRecord>,
}

impl<'a> TrainingRun<'a> {
    /// A run whose random streams derive from `seed`.
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            observer: None,
            history: Vec::new(),
        }
    }

    /// A run that an observer watches.
    pub fn observed(seed: u64, observer: &'a mut dyn Observer) -> Self {
        Self {
            seed,
            observer: Some(observer),
            history: Vec::new(),
        }
    }

    /// The seed of all random streams of the run.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// What happened in every epoch so far.
    pub fn history(&self) -> &[EpochRecord] {
        &self.history
    }

    /// Ends the run: what happened in every epoch.
    pub fn into_history(self) -> Vec<EpochRecord> {
        self.history
    }

    pub(super) fn event(&mut self, event: &Event<'_>) {
        if let Some(observer) = &mut self.observer {
            observer.on_event(event);
        }
    }

    pub(super) fn record(&mut self, record: EpochRecord) {
        self.event(&Event::EpochFinished(&record));
        self.history.push(record);
    }

    /// Drops what was recorded after the first `epochs` epochs.
    pub(super) fn truncate_history(&mut self, epochs: usize) {
        self.history.truncate(epochs);
    }
}
