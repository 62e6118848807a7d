//! Losses, targets and the traits by which your own join them.
//!
//! * [`ReconstructionLoss`]: how well a head's output explains a batch. [`MseLoss`], [`NbLoss`],
//!   [`ZinbLoss`].
//! * [`Target`]: what the soft assignments of all cells are drawn towards. [`SharpenedTarget`];
//!   [`SmoothedTarget`] averages over neighbours first.
//! * [`ClusteringLoss`]: how far a batch is from its target. [`KlDivergence`].
//!
//! Losses of pairs of cells, and the target that agrees with pairs, are in [`pairs`](crate::pairs).
//!
//! Losses combine by weight and sum:
//!
//! ```
//! use celldec::loss::{ClusteringLoss, KlDivergence, NbLoss, ReconstructionLoss};
//!
//! let reconstruction = NbLoss::new().weighted(0.9).plus(NbLoss::new().weighted(0.1));
//! let clustering = KlDivergence::new().weighted(2.0);
//! # let _ = (reconstruction.description(), clustering.description());
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
mod composite;
mod from_fn;
mod reconstruction;
mod smoothed;
mod target;
mod term;

pub use clustering::{ClusteringLoss, KlDivergence};
pub use composite::{Sum, Weighted};
pub use from_fn::{FromFn, clustering_from_fn, from_fn, target_from_fn};
pub use reconstruction::{CountLoss, MseLoss, NbLoss, ReconstructionLoss, ZinbLoss};
pub use smoothed::SmoothedTarget;
pub use target::{SharpenedTarget, Target};
pub use term::Term;
