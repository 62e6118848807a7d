//! Settings of self-training.

use crate::error::ParameterError;
use crate::optim::{LearningRate, OptimizerConfig};
use crate::settings::settings;
use crate::train::phases::config::{check_batch_size, check_epochs};

settings! {
    /// Schedule of the self-training phase.
    pub struct SelfTrainConfig {
        /// Optimizer.
        with_optimizer / optimizer: OptimizerConfig = OptimizerConfig::amsgrad(),
        /// Learning rate, or schedule of it; a schedule takes one step for every batch of cells or
        /// pairs.
        with_learning_rate / learning_rate: LearningRate as impl Into<LearningRate>
            = LearningRate::Constant(1e-3),
        /// The most epochs.
        with_max_epochs / max_epochs: usize = 100,
        /// Training ends when a smaller fraction of labels changes between two updates of the
        /// target.
        with_tolerance / tolerance: f64 = 5e-3,
        /// Epochs between two updates of the target.
        with_update_interval / update_interval: usize = 1,
        /// Cells, or pairs, per step.
        with_batch_size / batch_size: usize = 256,
        /// Whether every epoch visits the cells in a new order; the original scDCC keeps the file's.
        with_shuffle / shuffle: bool = true,
        /// How many updates of the target use the same neighbours, where the target looks at
        /// neighbours at all.
        with_neighbor_uses / neighbor_uses: usize = 5,
    }
}

impl SelfTrainConfig {
    pub(in crate::train) fn check(&self) -> Result<(), ParameterError> {
        self.learning_rate.init("self-training")?;
        check_batch_size(self.batch_size)?;
        check_epochs("the number of epochs of self-training", self.max_epochs)?;
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
