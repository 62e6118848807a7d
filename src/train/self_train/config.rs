//! Settings of self-training.

use burn::config::Config;

use crate::batches::Corruption;
use crate::error::ParameterError;
use crate::optim::OptimizerConfig;
use crate::train::pretrain::{check_batch_size, check_learning_rate};

/// Schedule of the self-training phase.
#[derive(Config, Debug, PartialEq)]
pub struct SelfTrainConfig {
    /// Optimizer.
    pub optimizer: OptimizerConfig,
    /// Learning rate.
    pub learning_rate: f64,
    /// The most epochs.
    pub max_epochs: usize,
    /// Training ends when a smaller fraction of labels changes between two updates of the target.
    pub tolerance: f64,
    /// Epochs between two updates of the target.
    #[config(default = 1)]
    pub update_interval: usize,
    /// Cells per step.
    #[config(default = 256)]
    pub batch_size: usize,
    /// Whether every epoch visits the cells in a new order; the original scDCC keeps the file's.
    #[config(default = true)]
    pub shuffle: bool,
    /// How many updates of the target use the same neighbours, where the target looks at
    /// neighbours at all.
    #[config(default = 5)]
    pub neighbor_uses: usize,
    /// What corrupts the input of the reconstruction; soft assignments see clean cells.
    #[config(default = "Corruption::None")]
    pub corruption: Corruption,
}

impl SelfTrainConfig {
    pub(in crate::train) fn check(&self) -> Result<(), ParameterError> {
        check_learning_rate("self-training", self.learning_rate)?;
        check_batch_size(self.batch_size)?;
        self.optimizer.check()?;
        if self.update_interval == 0 {
            return Err(ParameterError::Epochs {
                name: "the update interval of the target",
            });
        }
        if !(0.0..1.0).contains(&self.tolerance) {
            return Err(ParameterError::OutOfRange {
                name: "the tolerance for changed labels",
                requirement: "at least 0 and below 1",
                value: self.tolerance,
            });
        }
        Ok(())
    }
}
