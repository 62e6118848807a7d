//! Raw counts: the matrix that everything starts from, and simulated ones.

mod matrix;
mod moments;
mod simulate;

pub(crate) use matrix::{GeneMap, Row};

pub use matrix::CountMatrix;
pub use moments::GeneMoments;
pub use simulate::{Dropout, Simulation, SimulationConfig};
