//! Choosing the compute device at run time.
//!
//! All model code is written once and runs on whatever backend the
//! [`Device`] names; burn 0.22 has no backend type parameter. Which
//! backends exist is a matter of Cargo features: `flex` (default), `ndarray`, `wgpu`, `cuda`.

use burn::tensor::Device;

use crate::error::{Error, Result};

/// The devices that this build offers, by the names that [`by_name`] takes.
pub fn available() -> Vec<&'static str> {
    let mut names = Vec::new();
    if cfg!(feature = "flex") {
        names.push("flex");
    }
    if cfg!(feature = "ndarray") {
        names.push("ndarray");
    }
    if cfg!(feature = "wgpu") {
        names.push("wgpu");
    }
    if cfg!(feature = "cuda") {
        names.push("cuda");
    }
    names
}

/// The device of a name: "flex" or "cpu", "ndarray", "wgpu", "cuda".
///
/// ```
/// let device = celldec::device::by_name("flex")?;
/// assert!(celldec::device::by_name("abacus").is_err());
/// # let _ = device;
/// # Ok::<(), celldec::Error>(())
/// ```
///
/// # Errors
/// [`Error::Device`] when the name is unknown, the feature is off, or there is no GPU; the
/// message names what can be used instead.
pub fn by_name(name: &str) -> Result<Device> {
    let cpu = if cfg!(feature = "flex") {
        "flex"
    } else {
        "ndarray"
    };
    match if name == "cpu" { cpu } else { name } {
        #[cfg(feature = "flex")]
        "flex" => Ok(Device::flex()),
        #[cfg(feature = "ndarray")]
        #[expect(deprecated, reason = "offered as long as burn has it")]
        "ndarray" => Ok(Device::ndarray()),
        #[cfg(feature = "wgpu")]
        "wgpu" => wgpu(),
        #[cfg(feature = "cuda")]
        "cuda" => cuda(),
        feature if ["flex", "ndarray", "wgpu", "cuda"].contains(&feature) => Err(Error::Device {
            reason: format!(
                "this build has no \"{feature}\"; build with the Cargo feature `{feature}`, or {}",
                advice()
            ),
        }),
        _ => Err(Error::Device {
            reason: format!("unknown device \"{name}\"; {}", advice()),
        }),
    }
}

/// What can be used instead: the CPU where a backend for it is built in.
fn advice() -> String {
    let names = available().join(", ");
    if cfg!(any(feature = "flex", feature = "ndarray")) {
        format!("use the CPU device \"cpu\" (this build has: {names})")
    } else {
        format!("use what this build has: {names}")
    }
}

#[cfg(any(feature = "wgpu", feature = "cuda"))]
fn no_gpu(kind: &str, detail: &str) -> Error {
    Error::Device {
        reason: format!("no {kind} was found ({detail}); {}", advice()),
    }
}

/// Creating a wgpu device succeeds without an adapter and fails at the first operation, so the
/// adapters are listed first.
#[cfg(feature = "wgpu")]
fn wgpu() -> Result<Device> {
    use burn::tensor::{DeviceKind, DeviceType};

    if Device::enumerate(DeviceType::Wgpu).into_vec().is_empty() {
        return Err(no_gpu("adapter for wgpu", "Vulkan, Metal or DirectX 12"));
    }
    Ok(Device::wgpu(DeviceKind::DefaultDevice))
}

#[cfg(feature = "cuda")]
fn cuda() -> Result<Device> {
    use burn::tensor::{DeviceIndex, DeviceType};

    if Device::enumerate(DeviceType::Cuda).into_vec().is_empty() {
        return Err(no_gpu("CUDA device", "is the NVIDIA driver installed?"));
    }
    Ok(Device::cuda(DeviceIndex::Default))
}
