//! Deep embedded clustering of single-cell RNA-seq.
#![warn(missing_docs)]

pub use burn;

pub mod counts;
pub mod error;
pub mod preprocess;
pub mod random;

pub use error::{Error, Result};
