//! The numerical core: special functions, likelihoods, noise and optimizer updates, each fast path
//! beside its plain twin.
//!
//! Everything here works on tensors, slices and numbers; it knows neither networks nor files.

pub(crate) mod assignment;
#[cfg(any(feature = "wgpu", feature = "cuda"))]
pub(crate) mod cube;
pub(crate) mod dense;
pub(crate) mod finite;
#[cfg(feature = "flex")]
mod flex;
pub(crate) mod host;
#[cfg_attr(
    not(feature = "flex"),
    allow(dead_code, reason = "noise needs the logarithm only")
)]
pub(crate) mod lanes;
pub mod likelihood;
#[cfg_attr(
    not(any(feature = "wgpu", feature = "cuda")),
    allow(dead_code, reason = "only kernels for GPUs compare")
)]
pub(crate) mod neighbors;
pub(crate) mod noise;
#[cfg(any(feature = "flex", feature = "wgpu", feature = "cuda"))]
mod operation;
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

/// Whether a device is that of the CPU backend `flex`, inside or outside automatic differentiation:
/// there, kernels read and write memory, share work between threads and take sparse input.
pub(crate) fn computes_on(device: &burn::tensor::Device) -> bool {
    #[cfg(feature = "flex")]
    return flex::is_flex(device);
    #[cfg(not(feature = "flex"))]
    {
        let _ = device;
        false
    }
}

/// Whether a device compiles its kernels when they are first used.
pub(crate) fn compiles_kernels(device: &burn::tensor::Device) -> bool {
    #[cfg(any(feature = "wgpu", feature = "cuda"))]
    return cube::is_cube(device);
    #[cfg(not(any(feature = "wgpu", feature = "cuda")))]
    {
        let _ = device;
        false
    }
}

/// Runs work for the GPU at a place of a list of devices, always on the same of the backend's streams: a
/// thread of its own would have a new one, with memory that stays taken when the thread has ended.
pub(crate) fn on_stream_of<T>(place: usize, work: impl FnOnce() -> T) -> T {
    #[cfg(any(feature = "wgpu", feature = "cuda"))]
    {
        // Threads count their streams from 0.
        const FIRST: u64 = 1 << 32;
        let value = FIRST + place as u64;
        cubecl_environment::stream::StreamId { value }.executes(work)
    }
    #[cfg(not(any(feature = "wgpu", feature = "cuda")))]
    {
        let _ = place;
        work()
    }
}

/// Whether a device is a GPU that kernels run on, and not a program on the CPU in the place of one.
pub(crate) fn is_gpu(device: &burn::tensor::Device) -> bool {
    #[cfg(any(feature = "wgpu", feature = "cuda"))]
    return cube::is_gpu(device);
    #[cfg(not(any(feature = "wgpu", feature = "cuda")))]
    {
        let _ = device;
        false
    }
}
