//! Raw counts: the matrix that everything starts from, and simulated ones.

mod matrix;
mod moments;
mod simulate;

pub use matrix::CountMatrix;
pub use moments::GeneMoments;
pub use simulate::{Dropout, Simulation, SimulationConfig};
