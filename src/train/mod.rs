//! Training: what a fit does, phase by phase, and what runs it.
//!
//! * A [`Plan`] is a method with its settings and parts; [presets](Plan#presets) are the published
//!   methods.
//! * A [`Trainer`] is a checked plan on a device: it fits cells.
//! * The phases are there to be composed by hand: [`pretrain`], [`pretrain_layers`],
//!   [`SelfTraining`], and [`train_phase`] for one of your own. A [`TrainingRun`] carries seed,
//!   history, events and checkpoint from one to the next.

mod checkpoint;
mod ensemble;
mod epoch;
mod epoch_log;
mod failure;
mod memory;
mod observer;
mod phases;
mod plan;
mod presets;
mod replicas;
mod run;
mod time_left;
mod trainer;

pub use checkpoint::CheckpointConfig;
pub use ensemble::Ensemble;
pub use epoch_log::EpochLog;
pub use failure::{Failure, FitError, LastGood};
pub use memory::{DataSize, MemoryEstimate};
pub use observer::{Answer, Event, Observer};
pub use phases::{
    Constraints, EarlyStopping, JointReconstruction, OwnEpoch, OwnPhase, PretrainConfig,
    SelfTrainConfig, SelfTraining, SelfTrainingOutcome, Stage, pretrain, pretrain_layers,
    train_phase,
};
pub use plan::{DecoderTraining, NetworkConfig, PairTraining, Part, Plan, WidthRule, Widths};
pub use run::TrainingRun;
pub use time_left::TimeLeft;
pub use trainer::{DescTrainer, ScdccTrainer, Trainer};
