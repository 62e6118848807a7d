//! The GPU path against the CPU: kernels, batches, steps and whole fits, on whatever adapter the
//! machine has, Mesa's software one included. Without any adapter the tests say so and pass, unless
//! `CELLDEC_GPU` is `required`.

mod batches;
mod fits;
mod kernels;
mod launches;
mod neighbors;
mod optimizers;

use burn::tensor::{Device, Tensor, TensorData};
use celldec::burn;
use celldec::device::by_name;

/// The GPU, or a printed reason why there is none.
pub fn gpu() -> Option<Device> {
    match by_name("wgpu") {
        Ok(device) => Some(device),
        Err(reason) => {
            let required = std::env::var("CELLDEC_GPU").is_ok_and(|value| value == "required");
            assert!(!required, "{reason}");
            println!("skipped: {reason}");
            None
        }
    }
}

/// The CPU that the GPU is compared with.
pub fn cpu() -> Device {
    by_name("cpu").expect("tests are built with a CPU backend")
}

/// Numbers between −`width`/2 and `width`/2, different for every seed.
pub fn numbers(count: usize, seed: usize, width: f32) -> Vec<f32> {
    (0..count)
        .map(|i| ((i * 7919 + seed * 104_729) % 10_007) as f32 / 10_007.0 * width - width / 2.0)
        .collect()
}

/// A tensor of given values.
pub fn tensor<const D: usize>(values: &[f32], shape: [usize; D], device: &Device) -> Tensor<D> {
    Tensor::from_data(TensorData::new(values.to_vec(), shape), device)
}

/// The values of a tensor.
pub fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    let data = tensor.into_data_as::<f32>();
    data.as_slice::<f32>().expect("floats").to_vec()
}

/// Asserts that values agree within a share of the largest expected one.
pub fn assert_close(found: &[f32], expected: &[f32], bound: f32, what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let largest = expected.iter().fold(0f32, |most, x| most.max(x.abs()));
    for (place, (a, b)) in found.iter().zip(expected).enumerate() {
        let error = (a - b).abs();
        assert!(
            error <= bound * largest || (a.is_nan() && b.is_nan()),
            "{what} at {place}: {a} on the GPU, {b} on the CPU, {error} of {largest}"
        );
    }
}

#[test]
fn the_adapter_has_a_name() {
    let Some(_) = gpu() else { return };
    let adapter = celldec::device::adapter().expect("there is a device");
    let adapter = adapter.expect("this crate opened it");
    assert!(
        !adapter.name.is_empty() && !adapter.interface.is_empty(),
        "{adapter:?}"
    );
    println!("{adapter:?}");
}

/// A number that no machine has names what is missing and what can be used instead.
#[test]
fn an_adapter_that_is_not_there() {
    let Some(_) = gpu() else { return };
    for _ in 0..2 {
        let error = by_name("wgpu:97").expect_err("no machine has so many");
        let message = error.to_string();
        assert!(message.contains("no adapter for wgpu"), "{message}");
        assert!(message.contains("\"cpu\""), "{message}");
    }
}
