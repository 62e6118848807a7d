//! The numerical core: special functions, likelihoods, noise and optimizer updates, each fast path
//! beside its plain twin.
//!
//! Everything here works on tensors, slices and numbers; it knows neither networks nor files.

pub(crate) mod dense;
pub(crate) mod finite;
#[cfg(feature = "flex")]
mod flex;
#[cfg_attr(
    not(feature = "flex"),
    allow(dead_code, reason = "noise needs the logarithm only")
)]
pub(crate) mod lanes;
pub mod likelihood;
pub(crate) mod noise;
#[cfg(feature = "flex")]
mod parallel;
pub(crate) mod sparse;
pub mod special;
pub(crate) mod squared_error;
#[cfg_attr(
    not(feature = "flex"),
    allow(dead_code, reason = "only kernels of this backend share their work")
)]
pub(crate) mod team;
pub(crate) mod update;
pub(crate) mod vectorize;
