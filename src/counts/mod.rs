//! Raw counts: the matrix that everything starts from, and simulated ones.

mod matrix;

pub use matrix::CountMatrix;
