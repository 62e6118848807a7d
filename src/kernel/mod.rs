//! The numerical core: special functions, likelihoods and optimizer updates, each fast path
//! beside its plain twin.
//!
//! Everything here works on tensors, slices and numbers; it knows neither networks nor files.

pub mod likelihood;
pub mod special;
pub(crate) mod update;
