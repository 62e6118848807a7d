//! One training run: what phases share and hand on.

use std::time::Instant;

use burn::module::Module;
use burn::tensor::Device;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::checkpoint::{CheckpointConfig, Checkpoints, Saved, Snapshot, Step};
use super::observer::{Event, Observer};
use crate::batches::Batches;
use crate::error::{Error, Result};
use crate::graph::{DeviceSearch, NeighborSearch};
use crate::kernel::compiles_kernels;
use crate::model::{EpochRecord, Phase};

/// Seed, observer, checkpoints and history of one training run, handed from phase to phase.
pub struct TrainingRun<'a> {
    seed: u64,
    observer: Option<&'a mut dyn Observer>,
    history: Vec<EpochRecord>,
    checkpoints: Option<Checkpoints>,
    /// Epochs of history before the running step.
    step_start: usize,
    /// Whether the observer ended the run.
    interrupted: bool,
    /// What phases of one's own were, for the record of a fit.
    own_phases: Vec<Value>,
    /// Whether the observer knows that kernels are compiled.
    told_of_kernels: bool,
    /// How a device looks for neighbours, if not as the one that trains does.
    device_search: Option<Option<DeviceSearch>>,
}

impl<'a> TrainingRun<'a> {
    /// A run whose random streams derive from `seed`.
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            observer: None,
            history: Vec::new(),
            checkpoints: None,
            step_start: 0,
            interrupted: false,
            own_phases: Vec::new(),
            told_of_kernels: false,
            device_search: None,
        }
    }

    /// A run that an observer watches.
    pub fn observed(seed: u64, observer: &'a mut dyn Observer) -> Self {
        Self {
            observer: Some(observer),
            ..Self::new(seed)
        }
    }

    /// Writes checkpoints, and resumes from the one that is there.
    ///
    /// A checkpoint belongs to the whole run: pretraining and clustering with one `TrainingRun`
    /// share it, another run needs another file.
    pub fn with_checkpoint(mut self, config: CheckpointConfig) -> Self {
        self.checkpoints = Some(Checkpoints::new(config));
        self
    }

    /// Sets how a device looks for neighbours; nothing leaves it to the CPU. By default the device that
    /// trains does where it is quicker.
    pub fn with_device_search(mut self, search: impl Into<Option<DeviceSearch>>) -> Self {
        self.device_search = Some(search.into());
        self
    }

    /// How neighbours are looked for in phases on a device.
    pub(super) fn neighbor_search(&self, device: &Device) -> NeighborSearch {
        let search = self.device_search.clone();
        let search = search.unwrap_or_else(|| Some(DeviceSearch::new(device)));
        NeighborSearch::default().with_device(search)
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

    /// Whether the observer ended the run.
    pub fn is_interrupted(&self) -> bool {
        self.interrupted
    }

    /// Makes a phase of one's own part of what fits of this run record.
    pub(super) fn note_phase(&mut self, phase: Value) {
        self.own_phases.push(phase);
    }

    /// The phases of one's own so far.
    pub(super) fn own_phases(&self) -> &[Value] {
        &self.own_phases
    }

    pub(super) fn event(&mut self, event: &Event<'_>) {
        if let Some(observer) = &mut self.observer {
            self.interrupted |= observer.on_event(event).is_break();
        }
    }

    /// Begins a phase on the devices of batches.
    pub(super) fn start_phase(&mut self, phase: &Phase, epochs: usize, batches: &Batches<'_>) {
        self.event(&Event::PhaseStarted { phase, epochs });
        let others = batches.other_devices();
        let mut devices = others.iter().chain([batches.device()]);
        if !self.told_of_kernels && devices.any(compiles_kernels) {
            self.told_of_kernels = true;
            self.event(&Event::KernelsCompile);
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

    /// Makes a trainer's settings part of what a checkpoint is compared by.
    pub(super) fn describe(&mut self, trainer: &impl Serialize) -> Result<()> {
        match &mut self.checkpoints {
            Some(checkpoints) => checkpoints.describe(trainer),
            None => Ok(()),
        }
    }

    /// Begins a step, with `start` as its weights: what a checkpoint holds of it, if anything. Its
    /// history is then part of the run's.
    ///
    /// # Errors
    /// [`Error::CheckpointMismatch`], [`Error::Checkpoint`] or [`Error::Io`] when the checkpoint
    /// cannot be resumed.
    pub(super) fn resume<P: DeserializeOwned>(
        &mut self,
        step: &Step<'_, impl Serialize>,
        start: &impl Module,
    ) -> Result<Option<Saved<P>>> {
        self.step_start = self.history.len();
        if self.interrupted {
            // Later steps start from what is not finished: the file keeps what it has.
            self.checkpoints = None;
        }
        let Some(checkpoints) = &mut self.checkpoints else {
            return Ok(None);
        };
        let saved = checkpoints.resume(step, self.seed, start)?;
        if let Some(saved) = &saved {
            self.history.extend(saved.history());
            tracing::info!(
                path = %checkpoints.path().display(),
                step = step.name,
                finished = saved.is_finished(),
                epochs = self.history.len() - self.step_start,
                "resumed from a checkpoint"
            );
        }
        Ok(saved)
    }

    /// Writes a checkpoint if one is due. A failure is reported, and training goes on.
    pub(super) fn checkpoint(&mut self, snapshot: impl FnOnce() -> Result<Snapshot, String>) {
        if let Some(checkpoints) = &self.checkpoints
            && checkpoints.is_due()
        {
            let begin = Instant::now();
            self.write(Some(snapshot()), begin);
        }
    }

    /// Writes a checkpoint of a step that the observer interrupted, and none from then on: the run
    /// can be taken up there.
    pub(super) fn interrupt_step(&mut self, snapshot: impl FnOnce() -> Result<Snapshot, String>) {
        if self.checkpoints.is_some() {
            self.write(Some(snapshot()), Instant::now());
            self.checkpoints = None;
        }
    }

    /// Ends a step: what it leaves behind is part of every checkpoint from now on. Writes one, or
    /// after a step that is quick to repeat (`write` is false) only if one is due.
    pub(super) fn finish_step(
        &mut self,
        write: bool,
        snapshot: impl FnOnce() -> Result<Snapshot, String>,
    ) {
        let Some(checkpoints) = &mut self.checkpoints else {
            return;
        };
        let begin = Instant::now();
        match snapshot() {
            Ok(snapshot) => {
                checkpoints.finish(snapshot.with_history(&self.history[self.step_start..]));
                if write || checkpoints.is_due() {
                    self.write(None, begin);
                }
            }
            // Without this step no later one could be resumed.
            Err(reason) => {
                self.write(Some(Err(reason)), begin);
                self.checkpoints = None;
            }
        }
    }

    fn write(&mut self, running: Option<Result<Snapshot, String>>, begin: Instant) {
        let Some(checkpoints) = &mut self.checkpoints else {
            return;
        };
        let path = checkpoints.path().to_path_buf();
        let written = match running.transpose() {
            Ok(running) => {
                let history = &self.history[self.step_start..];
                checkpoints.write(running.map(|snapshot| snapshot.with_history(history)))
            }
            Err(reason) => Err(Error::Checkpoint {
                path: path.clone(),
                reason,
            }),
        };
        match written {
            Ok(()) => {
                let seconds = begin.elapsed().as_secs_f64();
                tracing::debug!(path = %path.display(), seconds, "checkpoint written");
                self.event(&Event::CheckpointSaved {
                    path: &path,
                    seconds,
                });
            }
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "checkpoint not written, training goes on");
                self.event(&Event::CheckpointFailed {
                    path: &path,
                    error: &error,
                });
            }
        }
    }
}
