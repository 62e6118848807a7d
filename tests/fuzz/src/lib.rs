//! Hostile files for celldec, made from sound ones, and what reads them.
//!
//! A [`Target`](targets::Target) has small sound inputs, makes hostile ones of them, and hands them to
//! the library. Mutations know the structure of what they change: checksums of HDF5, of zip archives
//! and of models are made right again, compressed text is changed before it is compressed, so that
//! most inputs reach the code behind the first check. Everything is drawn from a seed.
//!
//! The test `fuzz` runs all targets and counts panics, executions that take too long, and memory
//! beyond the budget of the library as failures:
//!
//! ```text
//! cargo test --workspace --features cli,tsne,pytorch --test fuzz -- --seconds 120 --seed 1 --target h5ad
//! ```

pub mod bytes;
pub mod gzip;
pub mod hdf5;
pub mod input;
pub mod json;
pub mod random;
pub mod targets;
pub mod tensor_file;
pub mod text;
pub mod zip;
