//! What a fit leaves behind: the fitted model and the results of a run.

mod architecture;
mod assignment;
#[cfg(feature = "h5ad")]
mod cell_results;
mod description;
mod evaluate;
mod fitted;
mod history;
mod info;
#[cfg(feature = "pytorch")]
mod pytorch;
mod results;
mod storage;
mod summary;

pub(crate) use fitted::is_finite;

pub use assignment::Assignment;
pub use evaluate::{Evaluation, evaluate};
pub use fitted::{DescModel, FittedModel, ScdccModel};
pub use history::{EpochRecord, Phase, loss_names};
pub use info::ModelInfo;
#[cfg(feature = "pytorch")]
pub use pytorch::{ScdccWeights, read_scdcc_weights};
pub use results::{Fit, Status, StopReason};
