//! What most programs need: `use celldec::prelude::*;`.

pub use burn::tensor::Device;

pub use crate::counts::{CountMatrix, SimulationConfig};
pub use crate::error::{Error, Result};
pub use crate::graph::{CommunityMethod, GraphConfig};
pub use crate::loss::{
    ClusteringLoss, ConstraintLoss, CountLoss, GraphSmoothed, KlSelfTraining, MseLoss, NbLoss,
    ReconstructionLoss, ZinbLoss,
};
pub use crate::model::{Assignment, DescModel, Fit, FittedModel, ScdccModel, Status, StopReason};
pub use crate::pairs::ConstraintPairs;
pub use crate::preprocess::{Cells, Preprocess, VariableGenes};
pub use crate::start::{CentroidStart, KMeansConfig, SmoothedKMeansConfig};
pub use crate::train::{
    CheckpointConfig, DescConfig, DescRun, DescTrainer, Ensemble, Event, Observer, Phase,
    ScdccConfig, ScdccTrainer,
};
