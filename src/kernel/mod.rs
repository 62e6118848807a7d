//! The numerical core: special functions, likelihoods and optimizer updates, each fast path
//! beside its plain twin.
//!
//! Everything here works on tensors, slices and numbers; it knows neither networks nor files.

pub(crate) mod dense;
#[cfg(feature = "flex")]
mod flex;
#[cfg(feature = "flex")]
mod lanes;
pub mod likelihood;
pub mod special;
pub(crate) mod squared_error;
pub(crate) mod update;
#[cfg(feature = "flex")]
mod vectorize;
