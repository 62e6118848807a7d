//! Checkpoints: a long run survives its process.
//!
//! A run is a sequence of steps: phases of training and searches for initial centroids. Everything
//! between them is cheap and follows from data, settings and seed. A checkpoint holds what every
//! finished step left behind and how far the running one has come. A run that finds a checkpoint
//! goes through the same steps again, takes the finished ones from the file and continues the
//! other: no random state is needed, because every random number has an address of its own
//! ([`random`](crate::random)).

mod file;
mod identity;
mod snapshot;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use burn::module::Module;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::preprocess::Cells;
use crate::tensor_file::Tensors;
use identity::StepIdentity;

pub(super) use snapshot::{Saved, Snapshot};

/// Where and how often a run writes its checkpoint.
///
/// One file, replaced atomically: at the end of every phase, and at the end of an epoch when the
/// last checkpoint is older than the interval. A run that finds its own checkpoint at the path
/// resumes there, and on the backend `flex` its result equals that of an undisturbed run bit by
/// bit; a checkpoint of other data, settings or another seed is refused. A finished fit's
/// checkpoint returns its result at once. Nothing deletes the file.
///
/// ```
/// use celldec::prelude::*;
/// # let folder = tempfile::tempdir().expect("a folder");
/// # let path = folder.path().join("fit.checkpoint");
///
/// let counts = SimulationConfig::new(120, 60).with_seed(1).simulate()?.counts;
/// let cells = Preprocess::scdcc().fit(&counts)?;
/// let plan = Plan::scdcc(3).with_epochs(2, 2);
/// let trainer = plan
///     .trainer(&Device::default())?
///     .with_checkpoint(CheckpointConfig::new(&path));
///
/// // Killed at any time, the same call resumes at the last checkpoint.
/// let fit = trainer.fit(&cells)?;
///
/// let again = trainer.fit(&cells)?;
/// assert_eq!(again.embedding(), fit.embedding());
///
/// // Other settings: refused.
/// let other = plan.with_self_training(|phase| phase.with_learning_rate(0.5));
/// let other = other.trainer(&Device::default())?.with_checkpoint(CheckpointConfig::new(&path));
/// let refused = other.fit(&cells).expect_err("another learning rate");
/// assert!(matches!(refused.error(), Error::CheckpointMismatch { .. }));
/// # Ok::<(), celldec::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckpointConfig {
    path: PathBuf,
    interval: Duration,
}

impl CheckpointConfig {
    /// Checkpoints in the file `path`, at most one in 60 seconds and one at the end of every phase.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            interval: Duration::from_secs(60),
        }
    }

    /// Changes the shortest time between two checkpoints within a phase; zero: after every epoch.
    pub fn with_interval(mut self, interval: Duration) -> Self {
        self.interval = interval;
        self
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The shortest time between two checkpoints within a phase.
    pub fn interval(&self) -> Duration {
        self.interval
    }
}

/// What a step is, for [`Checkpoints::resume`].
pub(super) struct Step<'a, S> {
    /// What it is called in messages.
    pub name: String,
    /// The cells that it sees.
    pub cells: &'a Cells,
    /// Everything else that decides what comes out of it.
    pub settings: S,
}

/// The whole description of a checkpoint, beside its tensors.
#[derive(Serialize, Deserialize)]
struct Description {
    format: u32,
    /// Version of this crate that wrote it; for readers, not checked.
    version: String,
    steps: Vec<StepDescription>,
}

#[derive(Serialize, Deserialize)]
struct StepDescription {
    identity: StepIdentity,
    finished: bool,
    state: snapshot::Description,
}

/// A step as a checkpoint holds it.
struct SavedStep {
    identity: StepIdentity,
    finished: bool,
    snapshot: Snapshot,
}

/// The checkpoints of one run.
pub(super) struct Checkpoints {
    config: CheckpointConfig,
    /// The trainer's settings, which every step's identity includes.
    trainer: Option<String>,
    /// Steps of the file that the run has not come to; `None` before the file was read.
    ahead: Option<VecDeque<SavedStep>>,
    /// Finished steps in their order.
    finished: Vec<Arc<SavedStep>>,
    /// The running step.
    running: Option<StepIdentity>,
    /// When the last checkpoint was written, or tried.
    written: Instant,
}

impl Checkpoints {
    pub fn new(config: CheckpointConfig) -> Self {
        Self {
            config,
            trainer: None,
            ahead: None,
            finished: Vec::new(),
            running: None,
            written: Instant::now(),
        }
    }

    pub fn path(&self) -> &Path {
        &self.config.path
    }

    /// Makes a trainer's settings part of what identifies the steps to come.
    pub fn describe(&mut self, trainer: &impl Serialize) -> Result<()> {
        self.trainer = Some(identity::text(trainer).map_err(|reason| self.unusable(reason))?);
        Ok(())
    }

    /// Begins a step: what the checkpoint holds of it, if anything. `start` are the weights that
    /// it begins with.
    ///
    /// # Errors
    /// [`Error::CheckpointMismatch`] when the checkpoint is of another run; [`Error::Checkpoint`]
    /// and [`Error::Io`] when it cannot be read; those of the source, when counts are read from one.
    pub fn resume<P: DeserializeOwned>(
        &mut self,
        step: &Step<'_, impl Serialize>,
        seed: u64,
        start: &impl Module,
    ) -> Result<Option<Saved<P>>> {
        if self.ahead.is_none() {
            self.ahead = Some(self.open()?);
        }
        // Later steps start from what earlier ones left behind.
        let start = self.finished.is_empty().then_some(start);
        let data = step.cells.fingerprint()?;
        let identity = StepIdentity::new(step, data, self.trainer.as_deref(), seed, start)
            .map_err(|reason| self.unusable(reason))?;
        let Some(saved) = self.ahead.as_mut().and_then(VecDeque::pop_front) else {
            self.running = Some(identity);
            return Ok(None);
        };
        if let Some((what, saved, current)) = saved.identity.difference(&identity) {
            return Err(Error::CheckpointMismatch {
                path: self.config.path.clone(),
                what,
                saved,
                current,
            });
        }
        let saved = Arc::new(saved);
        if saved.finished {
            self.running = None;
            self.finished.push(Arc::clone(&saved));
        } else {
            self.running = Some(identity);
        }
        Saved::new(saved, self.config.path.clone()).map(Some)
    }

    /// Whether the last checkpoint is older than the interval.
    pub fn is_due(&self) -> bool {
        self.written.elapsed() >= self.config.interval
    }

    /// Adds what the running step left behind to every checkpoint from now on.
    pub fn finish(&mut self, snapshot: Snapshot) {
        if let Some(identity) = self.running.take() {
            self.finished.push(Arc::new(SavedStep {
                identity,
                finished: true,
                snapshot,
            }));
        }
    }

    /// Writes the finished steps and a snapshot of the running one.
    ///
    /// # Errors
    /// As [`file::write`].
    pub fn write(&mut self, running: Option<Snapshot>) -> Result<()> {
        // Also after a failure: a full disk should not be tried again in every epoch.
        self.written = Instant::now();
        let running = self.running.clone().zip(running);
        let steps: Vec<(&StepIdentity, bool, &Snapshot)> = self
            .finished
            .iter()
            .map(|step| (&step.identity, true, &step.snapshot))
            .chain(
                running
                    .iter()
                    .map(|(identity, snapshot)| (identity, false, snapshot)),
            )
            .collect();
        let mut tensors = BTreeMap::new();
        for (number, (_, _, snapshot)) in steps.iter().enumerate() {
            for (name, data) in &snapshot.tensors {
                tensors.insert(format!("{number}.{name}"), data);
            }
        }
        let description = Description {
            format: file::FORMAT,
            version: env!("CARGO_PKG_VERSION").to_string(),
            steps: steps
                .into_iter()
                .map(|(identity, finished, snapshot)| StepDescription {
                    identity: identity.clone(),
                    finished,
                    state: snapshot.description.clone(),
                })
                .collect(),
        };
        let description = serde_json::to_string(&description)
            .map_err(|error| self.unusable(error.to_string()))?;
        file::write(&self.config.path, &description, &tensors)?;
        self.written = Instant::now();
        Ok(())
    }

    /// The steps of the file, none when there is no file.
    fn open(&self) -> Result<VecDeque<SavedStep>> {
        let Some((description, tensors)) = file::read(&self.config.path)? else {
            return Ok(VecDeque::new());
        };
        let description: Description = serde_json::from_str(&description)
            .map_err(|error| self.unusable(format!("its description: {error}")))?;
        let count = description.steps.len();
        if let Some(number) = description.steps.iter().position(|step| !step.finished)
            && number + 1 < count
        {
            return Err(self.unusable(format!("step {} of {count} is not finished", number + 1)));
        }
        let mut steps: VecDeque<SavedStep> = description
            .steps
            .into_iter()
            .map(|step| SavedStep {
                identity: step.identity,
                finished: step.finished,
                snapshot: Snapshot {
                    description: step.state,
                    tensors: Tensors::new(),
                },
            })
            .collect();
        for (name, data) in tensors {
            if let Some((number, name)) = name.split_once('.')
                && let Some(step) = number.parse().ok().and_then(|n: usize| steps.get_mut(n))
            {
                step.snapshot.tensors.insert(name.to_string(), data);
            }
        }
        tracing::info!(path = %self.config.path.display(), steps = count, "checkpoint read");
        Ok(steps)
    }

    fn unusable(&self, reason: String) -> Error {
        Error::Checkpoint {
            path: self.config.path.clone(),
            reason,
        }
    }
}
