//! The schedule of a pretraining phase.

use serde::{Deserialize, Serialize};

use super::validation::kept_apart;
use crate::batches::Corruption;
use crate::error::ParameterError;
use crate::optim::{LearningRate, OptimizerConfig};
use crate::settings::settings;

/// A stretch of epochs at one learning rate, or one schedule of it; the optimizer starts anew in
/// each stage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stage {
    /// Learning rate.
    pub learning_rate: LearningRate,
    /// Number of epochs.
    pub epochs: usize,
}

impl Stage {
    /// `epochs` epochs at a learning rate.
    pub fn new(learning_rate: impl Into<LearningRate>, epochs: usize) -> Self {
        Self {
            learning_rate: learning_rate.into(),
            epochs,
        }
    }

    /// `epochs` epochs in stages of `length`, each with a tenth of the learning rate of the one
    /// before (DESC).
    pub fn falling(learning_rate: f64, epochs: usize, length: usize) -> Vec<Self> {
        let length = length.max(1);
        (0..epochs.div_ceil(length))
            .map(|stage| {
                let learning_rate = learning_rate * 0.1f64.powi(stage as i32);
                Self::new(learning_rate, length.min(epochs - stage * length))
            })
            .collect()
    }
}

/// Ends a stage when its loss no longer falls: that of the cells that are kept apart for
/// [validation](PretrainConfig::validation), if any are.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EarlyStopping {
    /// A fall smaller than this counts as none.
    pub min_delta: f64,
    /// Epochs without a fall after which the stage ends.
    pub patience: usize,
}

impl EarlyStopping {
    /// Ends a stage after `patience` epochs whose loss fell by less than `min_delta`.
    pub fn new(min_delta: f64, patience: usize) -> Self {
        Self {
            min_delta,
            patience,
        }
    }
}

settings! {
    /// Schedule of a phase that trains on batches of cells for a number of epochs.
    pub struct PretrainConfig {
        /// Learning rates and epochs, one stage after the other.
        with_stages / stages: Vec<Stage> = vec![Stage::new(1e-3, 15)],
        /// Optimizer.
        with_optimizer / optimizer: OptimizerConfig = OptimizerConfig::amsgrad(),
        /// Cells per step.
        with_batch_size / batch_size: usize = 256,
        /// What corrupts the input.
        with_corruption / corruption: Corruption = Corruption::Gaussian(2.5),
        /// When to end a stage before its last epoch; `None`: never.
        with_early_stopping / early_stopping: Option<EarlyStopping> = None,
        /// Steps after which a stage has no further epoch; `None`: it takes all its epochs. What a
        /// network learns takes steps, however many cells there are: among very many each need not
        /// be seen as often.
        with_enough_steps / enough_steps: Option<usize> = None,
        /// Share of the cells that are kept apart: drawn by the run's seed, not trained on, and
        /// reconstructed from clean input after every epoch, which gives
        /// [`EpochRecord::validation`](crate::model::EpochRecord::validation). Pretraining layer by layer
        /// and end to end keep the same cells apart. Self-training visits all cells, and so do
        /// starts at components and moments.
        #[serde(skip_serializing_if = "is_none_apart")]
        with_validation / validation: f64 = 0.0,
    }
}

/// Whether a share keeps no cells apart: then records say nothing of it.
fn is_none_apart(share: &f64) -> bool {
    *share == 0.0
}

/// The most epochs of a phase: what one address of a random stream holds beside what sets kinds of
/// steps apart.
pub(in crate::train) const MOST_EPOCHS: usize = 1 << 30;

impl PretrainConfig {
    /// `epochs` epochs in one stage, at the learning rate of the first one, however many steps they
    /// take.
    pub fn with_epochs(mut self, epochs: usize) -> Self {
        self.enough_steps = None;
        self.stages.truncate(1);
        match self.stages.first_mut() {
            Some(stage) => stage.epochs = epochs,
            None => self.stages = vec![Stage::new(1e-3, epochs)],
        }
        self
    }

    /// The same learning rate, or schedule, in every stage.
    pub fn with_learning_rate(mut self, learning_rate: impl Into<LearningRate>) -> Self {
        let learning_rate = learning_rate.into();
        for stage in &mut self.stages {
            stage.learning_rate = learning_rate.clone();
        }
        self
    }

    /// Checks the settings.
    pub(in crate::train) fn check(&self, phase: &'static str) -> Result<(), ParameterError> {
        for stage in &self.stages {
            stage.learning_rate.init(phase)?;
        }
        check_epochs("the number of epochs of a phase", self.epochs())?;
        check_batch_size(self.batch_size)?;
        self.optimizer.check()?;
        check_corruption(self.corruption)?;
        if (0.0..1.0).contains(&self.validation) {
            Ok(())
        } else {
            Err(ParameterError::OutOfRange {
                name: "the share of cells kept apart for validation",
                requirement: "at least 0 and below 1",
                value: self.validation,
            })
        }
    }

    /// The most epochs the schedule can take.
    pub fn epochs(&self) -> usize {
        let epochs = self.stages.iter().map(|stage| stage.epochs);
        epochs.fold(0, usize::saturating_add)
    }

    /// The most epochs it can take with so many cells.
    pub fn epochs_with(&self, cells: usize) -> usize {
        let trained = cells - kept_apart(self.validation, cells);
        let of_epoch = trained.div_ceil(self.batch_size.max(1)).max(1);
        let enough = self.enough_steps.map(|steps| steps.div_ceil(of_epoch));
        let enough = enough.map_or(usize::MAX, |epochs| epochs.max(1));
        let epochs = self.stages.iter().map(|stage| stage.epochs.min(enough));
        epochs.fold(0, usize::saturating_add)
    }
}

pub(in crate::train) fn check_batch_size(value: usize) -> Result<(), ParameterError> {
    if value == 0 {
        Err(ParameterError::BatchSize)
    } else {
        Ok(())
    }
}

pub(in crate::train) fn check_epochs(
    name: &'static str,
    value: usize,
) -> Result<(), ParameterError> {
    if value > MOST_EPOCHS {
        Err(ParameterError::OutOfRange {
            name,
            requirement: "at most 2³⁰",
            value: value as f64,
        })
    } else {
        Ok(())
    }
}

pub(in crate::train) fn check_corruption(corruption: Corruption) -> Result<(), ParameterError> {
    let (name, value, valid) = match corruption {
        Corruption::None => return Ok(()),
        Corruption::Gaussian(deviation) => (
            "the standard deviation of the input noise",
            deviation,
            deviation >= 0.0 && deviation.is_finite(),
        ),
        Corruption::Dropout(rate) => ("the input dropout", rate, (0.0..1.0).contains(&rate)),
    };
    if valid {
        Ok(())
    } else {
        Err(ParameterError::OutOfRange {
            name,
            requirement: "at least 0 and finite (dropout: below 1)",
            value,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stage_ends_with_the_epoch_that_takes_enough_steps() {
        let config = PretrainConfig::new()
            .with_stages(vec![Stage::new(1e-3, 15), Stage::new(1e-4, 2)])
            .with_enough_steps(Some(30));
        // 1, 10, 11 and 400 steps an epoch.
        for (cells, epochs) in [(200, 17), (2_560, 5), (2_561, 5), (102_400, 2)] {
            assert_eq!(config.epochs_with(cells), epochs, "{cells} cells");
        }
        assert_eq!(config.epochs(), 17);
        // A quarter kept apart: 1920 cells are 8 steps, 4 epochs.
        let apart = config.clone().with_validation(0.25);
        assert_eq!(
            (config.epochs_with(2_560), apart.epochs_with(2_560)),
            (5, 6)
        );
        let all = config.with_epochs(40);
        assert_eq!(all.epochs_with(1_000_000), 40);
    }
}
