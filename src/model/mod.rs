//! What a fit leaves behind: the fitted model and the results of a run.

#[cfg(feature = "h5ad")]
mod cell_results;
mod evaluate;
mod fitted;
mod history;
mod pytorch;
mod results;
mod storage;

pub(crate) use fitted::is_finite;

pub use evaluate::{Evaluation, evaluate, tensor_to_array};
pub use fitted::{DescModel, FittedModel, ModelInfo, ScdccModel};
pub use history::{EpochRecord, Phase};
pub use pytorch::{ScdccWeights, read_scdcc_weights};
pub use results::{Assignment, Fit, Status, StopReason};
