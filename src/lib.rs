//! Deep embedded clustering of single-cell RNA-seq.
#![warn(missing_docs)]

pub use burn;

pub mod batches;
pub mod cluster;
pub mod counts;
pub mod device;
pub mod error;
pub mod io;
pub mod kernel;
pub mod loss;
pub mod metrics;
pub mod model;
pub mod nn;
pub mod optim;
pub mod prelude;
pub mod preprocess;
pub mod random;
pub mod train;

pub use error::{Error, Result};
