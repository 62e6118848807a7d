//! Pairs of cells that belong together or apart, and what follows from them for other cells.
//!
//! [`ConstraintPairs`] holds must-link and cannot-link pairs. A [`ConstraintLoss`] looks at two cells
//! at a time: [`MustLinkLoss`], [`CannotLinkLoss`]. Several pairs together say more than each: they
//! give [groups](ConstraintPairs::known_groups) of cells that lie in different clusters, and they
//! guide the target of training ([`GuidedTarget`]).

mod field;
mod groups;
mod guided;
mod links;
mod losses;
mod markers;
mod regression;

use field::PairField;
use groups::pair_groups;
use regression::SoftmaxRegression;

pub use guided::GuidedTarget;
pub(crate) use guided::{check_pair_errors, fingerprint};
pub use links::ConstraintPairs;
pub use losses::{CannotLinkLoss, ConstraintLoss, MustLinkLoss};
pub use markers::marker_types;
