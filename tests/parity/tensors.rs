//! Fixture numbers as tensors and modules, and comparisons of whole tensors.

use burn::module::Param;
use burn::nn::Linear;
use burn::tensor::{DType, Device, Tensor, TensorData};

use crate::fixtures::Fixture;

/// A device that differentiates.
pub fn autodiff() -> Device {
    Device::default().autodiff()
}

/// A tensor of the fixture.
pub fn tensor<const D: usize>(
    fixture: &Fixture,
    key: &str,
    device: &Device,
    dtype: DType,
) -> Tensor<D> {
    let data = TensorData::new(fixture.values(key), fixture.shape(key));
    Tensor::from_data(data, (device, dtype))
}

/// All values of a tensor of any type.
pub fn numbers<const D: usize>(tensor: Tensor<D>) -> Vec<f64> {
    tensor
        .into_data_as::<f64>()
        .try_to_vec()
        .expect("numbers of the type asked for")
}

/// The single value of a tensor.
pub fn number(tensor: Tensor<1>) -> f64 {
    numbers(tensor)[0]
}

/// Which way round a framework keeps the weights of a linear layer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Layout {
    /// PyTorch: `{name}.weight` `[outputs, inputs]`.
    Torch,
    /// Keras: `{name}.kernel` `[inputs, outputs]`, as burn.
    Keras,
}

impl Layout {
    pub fn weight(self) -> &'static str {
        match self {
            Self::Torch => "weight",
            Self::Keras => "kernel",
        }
    }

    /// A weight in the framework's layout.
    pub fn turn(self, weight: Tensor<2>) -> Tensor<2> {
        match self {
            Self::Torch => weight.transpose(),
            Self::Keras => weight,
        }
    }
}

/// A linear layer with the fixture's weights.
pub fn linear(
    fixture: &Fixture,
    name: &str,
    layout: Layout,
    device: &Device,
    dtype: DType,
) -> Linear {
    let weight = tensor(
        fixture,
        &format!("{name}.{}", layout.weight()),
        device,
        dtype,
    );
    let bias = tensor(fixture, &format!("{name}.bias"), device, dtype);
    Linear {
        weight: Param::from_tensor(layout.turn(weight)),
        bias: Some(Param::from_tensor(bias)),
    }
}

/// The largest absolute difference.
pub fn absolute(found: &[f64], expected: &[f64]) -> f64 {
    assert_eq!(found.len(), expected.len());
    found
        .iter()
        .zip(expected)
        .map(|(f, e)| (f - e).abs())
        // `max` would forget a NaN.
        .fold(
            0.0,
            |worst, error| if error <= worst { worst } else { error },
        )
}

/// The largest absolute difference, relative to the largest expected entry.
pub fn relative_to_largest(found: &[f64], expected: &[f64]) -> f64 {
    let largest = expected.iter().fold(0.0, |m: f64, e| m.max(e.abs()));
    assert!(largest > 0.0, "the expected values are all zero");
    absolute(found, expected) / largest
}

/// Prints a figure and asserts that it is at most `bound`.
pub fn check(what: &str, error: f64, bound: f64) {
    println!("{what}: {error:.1e} (at most {bound:.0e})");
    assert!(error <= bound, "{what}: {error:e} is above {bound:e}");
}
