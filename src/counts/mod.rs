//! Raw counts: the matrix that everything starts from, sources that need not fit in memory, and
//! simulated counts.

mod joined;
mod matrix;
mod moments;
mod origin;
mod rows;
mod simulate;
mod source;

pub(crate) use matrix::{GeneMap, Row};
pub(crate) use moments::MomentSums;
#[cfg(feature = "h5ad")]
pub(crate) use origin::CountFile;
pub(crate) use origin::Origin;
#[cfg(feature = "h5ad")]
pub(crate) use source::check_range;
pub(crate) use source::{RowParts, read_cells, visit_cells, visit_cells_ahead};

pub use joined::{GeneJoin, JoinedSource};
pub use matrix::CountMatrix;
pub use moments::GeneMoments;
pub use rows::CountRows;
pub use simulate::{Dropout, Simulation, SimulationConfig};
pub use source::CountSource;
