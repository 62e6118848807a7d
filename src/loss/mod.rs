//! Losses and the traits by which your own join them.
//!
//! * [`ReconstructionLoss`]: how well a head's output explains a batch. [`MseLoss`], [`NbLoss`],
//!   [`ZinbLoss`].
//! * [`ClusteringLoss`]: from soft assignments to a target and a distance to it.
//!   [`KlSelfTraining`]; [`GraphSmoothed`] and [`PairGuided`] change the target of another.
//! * [`ConstraintLoss`]: pairs of cells that belong together or apart. [`MustLinkLoss`],
//!   [`CannotLinkLoss`].
//!
//! Losses combine by weight and sum:
//!
//! ```
//! use celldec::loss::{KlSelfTraining, ClusteringLoss, NbLoss, ReconstructionLoss};
//!
//! let reconstruction = NbLoss::new().weighted(0.9).plus(NbLoss::new().weighted(0.1));
//! let clustering = KlSelfTraining::new().weighted(2.0);
//! # let _ = (reconstruction.name(), clustering.name());
//! ```
//!
//! A loss names the head whose output it scores, so a head and a loss that do not fit together
//! do not compile:
//!
//! ```compile_fail,E0271
//! use celldec::loss::{MseLoss, ReconstructionLoss, ZinbLoss};
//!
//! // ZINB scores a ZinbHead, mean squared error an MseHead: no sum of the two exists.
//! let mixed = ZinbLoss::new().plus(MseLoss::new());
//! ```

mod clustering;
mod combine;
mod constraint;
mod graph_smoothed;
mod pair_guided;
mod reconstruction;

pub use clustering::{ClusteringLoss, KlSelfTraining};
pub use combine::{Sum, Weighted};
pub use constraint::{CannotLinkLoss, ConstraintLoss, MustLinkLoss};
pub use graph_smoothed::GraphSmoothed;
pub use pair_guided::PairGuided;
pub(crate) use pair_guided::check_pair_errors;
pub use reconstruction::{CountLoss, MseLoss, NbLoss, ReconstructionLoss, ZinbLoss};
