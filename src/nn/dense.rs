//! A fully connected layer with its activation.

use burn::config::Config;
use burn::module::Module;
use burn::nn::{Linear, LinearConfig};
use burn::tensor::{Device, Tensor};

use super::input::{Expression, NetworkInput};
use crate::kernel::dense;
pub use crate::kernel::dense::Activation;

/// Configuration of a [`Dense`] layer.
#[derive(Config, Debug)]
pub struct DenseConfig {
    /// Width of the input.
    pub inputs: usize,
    /// Width of the output.
    pub outputs: usize,
    /// Activation of the output.
    #[config(default = "Activation::Relu")]
    pub activation: Activation,
}

impl DenseConfig {
    /// Creates the layer.
    pub fn init(&self, device: &Device) -> Dense {
        Dense {
            linear: LinearConfig::new(self.inputs, self.outputs).init(device),
            activation: self.activation,
        }
    }
}

/// A fully connected layer: `activation(x · W + b)`.
#[derive(Module, Debug)]
pub struct Dense {
    /// Weights `[inputs, outputs]` and bias `[outputs]`.
    pub linear: Linear,
    /// Activation of the output.
    #[module(skip)]
    pub activation: Activation,
}

impl Dense {
    /// `[cells, inputs]` → `[cells, outputs]`.
    pub fn forward(&self, input: Tensor<2>) -> Tensor<2> {
        dense::forward(&self.linear, self.activation, input)
    }

    /// The same for a first layer, whose input may be sparse; covariates are left to the
    /// [`Encoder`](super::Encoder).
    pub fn forward_input(&self, input: &NetworkInput) -> Tensor<2> {
        on_input(&self.linear, self.activation, input)
    }

    /// Width of the input.
    pub fn inputs(&self) -> usize {
        self.linear.weight.lazy_shape()[0]
    }

    /// Width of the output.
    pub fn outputs(&self) -> usize {
        self.linear.weight.lazy_shape()[1]
    }
}

/// `activation(input · W + b)`.
pub(super) fn on_input(linear: &Linear, activation: Activation, input: &NetworkInput) -> Tensor<2> {
    match &input.expression {
        Expression::Dense(input) => dense::forward(linear, activation, input.clone()),
        Expression::Sparse(input) => dense::forward_sparse(linear, activation, input),
    }
}

/// Dense layers through the widths `inputs → widths[0] → widths[1] → …`, where the last one has
/// its own activation.
pub(super) fn stack(
    inputs: usize,
    widths: &[usize],
    hidden: Activation,
    last: Activation,
    device: &Device,
) -> Vec<Dense> {
    let mut previous = inputs;
    widths
        .iter()
        .enumerate()
        .map(|(layer, &width)| {
            let is_last = layer + 1 == widths.len();
            let dense = DenseConfig::new(previous, width)
                .with_activation(if is_last { last } else { hidden })
                .init(device);
            previous = width;
            dense
        })
        .collect()
}
