//! What a step hands to a checkpoint, and what it takes back.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use burn::module::Module;
use burn::optim::ModuleOptimizer;
use burn::tensor::{DType, TensorData};
use ndarray::{Array2, ArrayView2};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::SavedStep;
use crate::error::{Error, Result};
use crate::exact;
use crate::model::{EpochRecord, Phase};
use crate::optim::OptimizerState;
use crate::tensor_file::{self, Tensors};

const WEIGHTS: &str = "weights.";
const OPTIMIZER: &str = "optimizer.";

/// The state of a step at one time.
pub(in crate::train) struct Snapshot {
    pub(super) description: Description,
    pub(super) tensors: Tensors,
}

/// The part of a snapshot that is not tensors.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Description {
    /// How far the step has come; its type is the step's own.
    progress: Value,
    /// Counters of the optimizer.
    counters: BTreeMap<String, u64>,
    /// The step's epochs so far.
    history: Vec<SavedRecord>,
}

/// An [`EpochRecord`] whose numbers come back bit by bit.
#[derive(Clone, Serialize, Deserialize)]
struct SavedRecord {
    phase: Phase,
    epoch: usize,
    losses: Vec<(String, Exact)>,
    #[serde(default)]
    validation: Vec<(String, Exact)>,
    changed: Option<Exact>,
    seconds: Exact,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
struct Exact(#[serde(with = "exact::number")] f64);

fn exact((name, value): &(String, f64)) -> (String, Exact) {
    (name.clone(), Exact(*value))
}

fn inexact((name, value): (String, Exact)) -> (String, f64) {
    (name, value.0)
}

impl From<&EpochRecord> for SavedRecord {
    fn from(record: &EpochRecord) -> Self {
        Self {
            phase: record.phase.clone(),
            epoch: record.epoch,
            losses: record.losses.iter().map(exact).collect(),
            validation: record.validation.iter().map(exact).collect(),
            changed: record.changed.map(Exact),
            seconds: Exact(record.seconds),
        }
    }
}

impl From<SavedRecord> for EpochRecord {
    fn from(record: SavedRecord) -> Self {
        Self {
            phase: record.phase,
            epoch: record.epoch,
            losses: record.losses.into_iter().map(inexact).collect(),
            validation: record.validation.into_iter().map(inexact).collect(),
            changed: record.changed.map(|value| value.0),
            seconds: record.seconds.0,
        }
    }
}

impl Snapshot {
    /// How far a step has come.
    ///
    /// # Errors
    /// When JSON cannot hold it.
    pub fn new(progress: &impl Serialize) -> Result<Self, String> {
        Ok(Self {
            description: Description {
                progress: serde_json::to_value(progress).map_err(|error| error.to_string())?,
                counters: BTreeMap::new(),
                history: Vec::new(),
            },
            tensors: Tensors::new(),
        })
    }

    /// Adds the weights of a module.
    ///
    /// # Errors
    /// When the device does not hand them out.
    pub fn with_weights(mut self, module: &impl Module) -> Result<Self, String> {
        for (name, data) in tensor_file::parameters(module)? {
            self.tensors.insert(format!("{WEIGHTS}{name}"), data);
        }
        Ok(self)
    }

    /// Adds the state of an optimizer.
    pub fn with_optimizer(mut self, state: OptimizerState) -> Self {
        for (name, data) in state.tensors {
            self.tensors.insert(format!("{OPTIMIZER}{name}"), data);
        }
        self.description.counters = state.counters;
        self
    }

    /// Adds a matrix.
    pub fn with_matrix(mut self, name: &str, matrix: ArrayView2<'_, f32>) -> Self {
        let (rows, columns) = matrix.dim();
        let values: Vec<f32> = matrix.iter().copied().collect();
        let data = TensorData::new(values, [rows, columns]);
        self.tensors.insert(name.to_string(), data);
        self
    }

    /// Adds positions of cells or clusters, of which there are less than 2³².
    pub fn with_indices(mut self, name: &str, indices: &[usize]) -> Self {
        let values: Vec<u32> = indices.iter().map(|&index| index as u32).collect();
        let data = TensorData::new(values, [indices.len()]);
        self.tensors.insert(name.to_string(), data);
        self
    }

    /// Adds the step's epochs.
    pub(in crate::train) fn with_history(mut self, history: &[EpochRecord]) -> Self {
        self.description.history = history.iter().map(SavedRecord::from).collect();
        self
    }
}

/// What a checkpoint holds of a step.
pub(in crate::train) struct Saved<P> {
    step: Arc<SavedStep>,
    progress: P,
    path: PathBuf,
}

impl<P: DeserializeOwned> Saved<P> {
    pub(super) fn new(step: Arc<SavedStep>, path: PathBuf) -> Result<Self> {
        let progress = &step.snapshot.description.progress;
        match serde_json::from_value(progress.clone()) {
            Ok(progress) => Ok(Self {
                step,
                progress,
                path,
            }),
            Err(error) => Err(Error::Checkpoint {
                path,
                reason: format!("its progress: {error}"),
            }),
        }
    }
}

impl<P> Saved<P> {
    /// Whether the step had ended.
    pub fn is_finished(&self) -> bool {
        self.step.finished
    }

    /// How far it had come.
    pub fn progress(&self) -> &P {
        &self.progress
    }

    /// Its epochs.
    pub fn history(&self) -> impl Iterator<Item = EpochRecord> {
        let history = &self.step.snapshot.description.history;
        history.iter().cloned().map(EpochRecord::from)
    }

    /// The module with the saved weights, where it was and as trainable as it was.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] when they do not fit the module, or one is NaN or infinite.
    pub fn weights<M: Module>(&self, module: M) -> Result<M> {
        for (name, data) in &self.step.snapshot.tensors {
            if name.starts_with(WEIGHTS) {
                self.check(name, data, f64::is_finite)?;
            }
        }
        tensor_file::with_parameters(module, self.with_prefix(WEIGHTS)).map_err(|reason| {
            self.unusable(format!("its weights do not fit the network: {reason}"))
        })
    }

    /// A fresh optimizer with the saved state, for the parameters of `module`.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] when the state does not fit, or has a NaN. (A running average may
    /// overflow, which stops a weight where it is.)
    pub fn optimizer(
        &self,
        optimizer: ModuleOptimizer,
        module: &impl Module,
    ) -> Result<ModuleOptimizer> {
        for (name, data) in &self.step.snapshot.tensors {
            if name.starts_with(OPTIMIZER) {
                self.check(name, data, |value| !value.is_nan())?;
            }
        }
        OptimizerState {
            tensors: self.with_prefix(OPTIMIZER).collect(),
            counters: self.step.snapshot.description.counters.clone(),
        }
        .restore(optimizer, module)
        .map_err(|reason| self.unusable(reason))
    }

    /// A saved matrix.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] when there is none, it has other numbers of rows and columns, or a value
    /// that is NaN or infinite.
    pub fn matrix(&self, name: &str, dimensions: [Option<usize>; 2]) -> Result<Array2<f32>> {
        if let Some(data) = self.step.snapshot.tensors.get(name) {
            self.check(name, data, f64::is_finite)?;
        }
        let (shape, values) = self.values(name, DType::F32, f32::from_le_bytes)?;
        match shape[..] {
            [rows, columns]
                if dimensions[0].is_none_or(|expected| expected == rows)
                    && dimensions[1].is_none_or(|expected| expected == columns) =>
            {
                Array2::from_shape_vec((rows, columns), values)
                    .map_err(|error| self.unusable(format!("{name}: {error}")))
            }
            _ => Err(self.unusable(format!("{name} has shape {shape:?}"))),
        }
    }

    /// Saved positions.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] when there are not `count` or one is not below `limit`.
    pub fn indices(&self, name: &str, count: usize, limit: usize) -> Result<Vec<usize>> {
        let (shape, values) = self.values(name, DType::U32, u32::from_le_bytes)?;
        let indices: Vec<usize> = values.into_iter().map(|index| index as usize).collect();
        if indices.len() == count && indices.iter().all(|&index| index < limit) {
            Ok(indices)
        } else {
            Err(self.unusable(format!(
                "{name} has shape {shape:?} or names what is not there"
            )))
        }
    }

    fn values<T>(
        &self,
        name: &str,
        dtype: DType,
        read: fn([u8; 4]) -> T,
    ) -> Result<(Vec<usize>, Vec<T>)> {
        match self.step.snapshot.tensors.get(name) {
            Some(data) if data.dtype() == dtype => {
                let (values, _) = data.as_bytes().as_chunks::<4>();
                let values = values.iter().map(|&bytes| read(bytes)).collect();
                Ok((data.shape().to_vec(), values))
            }
            Some(data) => Err(self.unusable(format!("{name} has type {:?}", data.dtype()))),
            None => Err(self.unusable(format!("it has no {name}"))),
        }
    }

    /// Refuses a tensor with a value that cannot be: what is computed from it would be called wrong,
    /// not the file.
    fn check(&self, name: &str, data: &TensorData, valid: fn(f64) -> bool) -> Result<()> {
        let mut values = data.dtype().is_float().then(|| data.iter::<f64>());
        match values
            .as_mut()
            .and_then(|values| values.position(|value| !valid(value)))
        {
            None => Ok(()),
            Some(position) => Err(self.unusable(format!(
                "value {position} of {name} is NaN or infinite; the file is damaged or was written \
                 by something else: remove it, and the run begins anew"
            ))),
        }
    }

    fn with_prefix(&self, prefix: &'static str) -> impl Iterator<Item = (String, TensorData)> {
        self.step
            .snapshot
            .tensors
            .iter()
            .filter_map(move |(name, data)| {
                Some((name.strip_prefix(prefix)?.to_string(), data.clone()))
            })
    }

    /// The error that what was saved does not fit.
    pub fn unusable(&self, reason: String) -> Error {
        Error::Checkpoint {
            path: self.path.clone(),
            reason,
        }
    }
}
