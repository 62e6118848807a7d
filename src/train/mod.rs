//! Training: two methods as thin schedules over shared phases.
//!
//! * [`pretrain`](fn@pretrain): an autoencoder end to end; [`pretrain_layers`]: its layers one by
//!   one, each as a denoising autoencoder.
//! * [`SelfTraining`]: centroids and encoder (and decoder, when joint) towards a sharpened target.
//! * [`DescTrainer`] and [`ScdccTrainer`] put them in the order of the papers.
//! * [`Ensemble`] repeats a fit with other seeds and says what they agree on.
//! * [`TrainingRun`] goes with them: seed, [`Observer`], history, and the checkpoints
//!   ([`CheckpointConfig`]) from which a run resumes.

mod checkpoint;
mod desc;
mod ensemble;
mod epoch;
mod fitting;
mod layerwise;
mod observer;
mod pretrain;
mod run;
mod scdcc;
mod self_train;

pub use checkpoint::CheckpointConfig;
pub use desc::{DescConfig, DescRun, DescTrainer};
pub use ensemble::Ensemble;
pub use layerwise::pretrain_layers;
pub use observer::{Event, Observer};
pub use pretrain::{EarlyStopping, PretrainConfig, Stage, pretrain};
pub use run::TrainingRun;
pub use scdcc::{ScdccConfig, ScdccTrainer};
pub use self_train::{Constraints, SelfTrainConfig, SelfTraining, SelfTrainingOutcome};

pub use crate::model::Phase;
