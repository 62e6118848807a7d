//! What most programs need: `use celldec::prelude::*;`.

pub use burn::tensor::Device;

pub use crate::counts::{CountMatrix, SimulationConfig};
pub use crate::error::{Error, Result};
pub use crate::graph::{CommunityMethod, GraphConfig};
pub use crate::loss::{
    ClusteringLoss, CountLoss, KlDivergence, MseLoss, NbLoss, ReconstructionLoss, SharpenedTarget,
    SmoothedTarget, Target, ZinbLoss,
};
pub use crate::model::{
    Assignment, DescModel, Fit, FittedModel, Phase, ScdccModel, Status, StopReason,
};
pub use crate::nn::{CountHead, MseHead};
pub use crate::pairs::{ConstraintLoss, ConstraintPairs};
pub use crate::preprocess::{Cells, Preprocess, VariableGenes};
pub use crate::start::{CentroidStart, KMeansConfig, SmoothedKMeansConfig};
pub use crate::train::{
    CheckpointConfig, DescTrainer, Ensemble, Event, FitError, Observer, Plan, ScdccTrainer, Trainer,
};
