//! Pairs of cells that belong together or apart, and what follows from them for other cells.
//!
//! [`ConstraintPairs`] holds must-link and cannot-link pairs. Several together say more than each:
//! they give [groups](ConstraintPairs::known_groups) of cells that lie in different clusters, and
//! they guide the target of training
//! ([`with_guide_by_constraints`](crate::train::ScdccConfig::with_guide_by_constraints)).

mod field;
mod groups;
mod links;
mod regression;

pub(crate) use field::PairField;
pub(crate) use groups::pair_groups;
pub use links::ConstraintPairs;
pub(crate) use regression::SoftmaxRegression;
