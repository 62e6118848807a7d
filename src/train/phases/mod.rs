//! The phases of a fit.

mod config;
mod layerwise;
mod own;
mod prepare;
mod pretrain;
mod self_train;
mod stages;
mod start;
mod validation;

pub use config::{EarlyStopping, PretrainConfig, Stage};
pub use layerwise::pretrain_layers;
pub use own::{OwnEpoch, OwnPhase, train_phase};
pub use pretrain::pretrain;
pub use self_train::{
    Constraints, JointReconstruction, SelfTrainConfig, SelfTraining, SelfTrainingOutcome,
};

pub(super) use config::check_corruption;
pub(super) use prepare::{check_encoder, for_training, keep_freed_memory, start_at_components};
pub(super) use start::initial_clusters;
