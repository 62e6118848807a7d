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

/// The device of a name: "flex" or "cpu", "ndarray", "wgpu", "cuda". Of several GPUs "wgpu" and "cuda" are
/// what burn takes for the best one; "wgpu:1" is the second of the discrete ones, "cuda:1" the second of the
/// CUDA driver's list.
///
/// ```
/// let device = celldec::device::by_name("flex")?;
/// assert!(celldec::device::by_name("abacus").is_err());
/// assert!(celldec::device::by_name("flex:1").is_err());
/// # let _ = device;
/// # Ok::<(), celldec::Error>(())
/// ```
///
/// # Errors
/// [`Error::Device`] when the name is unknown, the feature is off, or there is no such GPU; the
/// message names what can be used instead.
pub fn by_name(name: &str) -> Result<Device> {
    let (family, number) = match name.split_once(':') {
        Some((family, number)) => (family, Some(number)),
        None => (name, None),
    };
    let number = match (family, number) {
        (_, None) => None,
        ("wgpu" | "cuda", Some(number)) => Some(number.parse().map_err(|_| Error::Device {
            reason: format!(
                "\"{name}\" has no number of a GPU; expected for example \"{family}:0\""
            ),
        })?),
        _ => {
            return Err(Error::Device {
                reason: format!("\"{name}\": only GPUs have numbers; {}", advice()),
            });
        }
    };
    of_family(family, number)
}

#[cfg_attr(
    not(any(feature = "wgpu", feature = "cuda")),
    expect(unused_variables, reason = "only GPUs have numbers")
)]
fn of_family(name: &str, number: Option<usize>) -> Result<Device> {
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
        "wgpu" => wgpu(number),
        #[cfg(feature = "cuda")]
        "cuda" => cuda(number),
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

/// The graphics adapter behind the device "wgpu".
#[cfg(feature = "wgpu")]
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Adapter {
    /// Its name, as its driver tells it.
    pub name: String,
    /// The interface that it is used by: "Vulkan", "Metal", "Dx12", "Gl".
    pub interface: String,
    /// Whether it is a program on the CPU rather than a GPU: right, but slower than the device
    /// "cpu".
    pub is_software: bool,
}

/// The adapter of the device "wgpu"; nothing if a tensor was on that device before this crate was
/// asked for it.
///
/// # Errors
/// As [`by_name`].
#[cfg(feature = "wgpu")]
pub fn adapter() -> Result<Option<Adapter>> {
    Ok(found(None)?.1)
}

#[cfg(feature = "wgpu")]
fn wgpu(number: Option<usize>) -> Result<Device> {
    let (device, adapter) = found(number)?;
    if let Some(adapter) = adapter.filter(|adapter| adapter.is_software) {
        tracing::warn!(
            adapter = adapter.name,
            "the only graphics adapter is a program on the CPU, which is slower than the device \
             \"cpu\""
        );
    }
    Ok(device)
}

/// A device and its adapter, or what is missing.
#[cfg(feature = "wgpu")]
type Found = Result<(Device, Option<Adapter>), String>;

/// The best device, or the discrete one of a number. Creating a device succeeds without any adapter and
/// fails at the first operation, so adapters are opened first, each once.
#[cfg(feature = "wgpu")]
fn found(number: Option<usize>) -> Result<(Device, Option<Adapter>)> {
    use std::collections::HashMap;
    use std::sync::{LazyLock, Mutex, PoisonError};

    static FOUND: LazyLock<Mutex<HashMap<Option<usize>, Found>>> = LazyLock::new(Mutex::default);
    let mut found = FOUND.lock().unwrap_or_else(PoisonError::into_inner);
    found
        .entry(number)
        .or_insert_with(|| opened(number))
        .clone()
        .map_err(|detail| no_gpu("adapter for wgpu", &detail))
}

#[cfg(feature = "wgpu")]
fn opened(number: Option<usize>) -> Found {
    use burn::tensor::wgpu::WgpuInitError;
    use burn::tensor::wgpu::wgpu::{Backend, DeviceType};
    use burn::tensor::{DeviceKind, DeviceType as Kind};

    if Device::enumerate(Kind::Wgpu).into_vec().is_empty() {
        return Err("Vulkan, Metal or DirectX 12".to_string());
    }
    let kind = match number {
        Some(number) => DeviceKind::DiscreteGpu(number),
        None => DeviceKind::DefaultDevice,
    };
    let options = Device::wgpu_options().device_kind(kind.clone());
    match options.init_with_setup() {
        Ok((device, setup)) => {
            let info = setup.adapter.get_info();
            let adapter = Adapter {
                name: info.name,
                interface: format!("{:?}", info.backend),
                is_software: info.device_type == DeviceType::Cpu,
            };
            // Without storage buffers and time limits of its own, a kernel may never end there.
            if info.backend == Backend::Gl {
                return Err(format!(
                    "only {} on OpenGL, which cannot train; is a driver for Vulkan installed?",
                    adapter.name
                ));
            }
            if adapter.is_software && cfg!(feature = "vulkan") {
                return Err(format!(
                    "only {}, a program on the CPU, whose compiler ends the process over kernels of \
                     builds with the feature `vulkan`; `wgpu` without it runs there",
                    adapter.name
                ));
            }
            Ok((device, Some(adapter)))
        }
        Err(WgpuInitError::Registration { .. }) => Ok((Device::wgpu(kind), None)),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(feature = "cuda")]
fn cuda(number: Option<usize>) -> Result<Device> {
    use burn::tensor::{DeviceIndex, DeviceType};

    let count = Device::enumerate(DeviceType::Cuda).into_vec().len();
    match number {
        _ if count == 0 => Err(no_gpu("CUDA device", "is the NVIDIA driver installed?")),
        None => Ok(Device::cuda(DeviceIndex::Default)),
        Some(number) if number < count => Ok(Device::cuda(number)),
        Some(number) => Err(no_gpu(
            &format!("CUDA device {number}"),
            &format!("there are {count}, counted from 0"),
        )),
    }
}
