//! What most programs need: `use celldec::prelude::*;`.

pub use burn::tensor::Device;

pub use crate::cluster::{
    CentroidStart, CommunityMethod, GraphConfig, KMeansConfig, SmoothedKMeansConfig,
};
pub use crate::counts::{CountMatrix, SimulationConfig};
pub use crate::error::{Error, Result};
pub use crate::loss::{
    ClusteringLoss, ConstraintLoss, CountLoss, GraphSmoothed, KlSelfTraining, MseLoss, NbLoss,
    ReconstructionLoss, ZinbLoss,
};
pub use crate::model::{Assignment, DescModel, Fit, FittedModel, ScdccModel, Status, StopReason};
pub use crate::preprocess::{Cells, Preprocess, VariableGenes};
pub use crate::train::{
    CheckpointConfig, ConstraintPairs, DescConfig, DescRun, DescTrainer, Ensemble, Event, Observer,
    Phase, ScdccConfig, ScdccTrainer,
};
