//! A fully connected layer as one operation: product, bias and activation.
//!
//! Composed of tensor operations, the product goes through a zeroed temporary that is copied, and
//! bias, activation and their gradients are passes of their own on one thread. On the CPU backend
//! `flex` the layer is one operation: every tile of the product gets its bias and activation while
//! it is in the cache, and the backward step makes the gradient of weights, bias and input without
//! temporaries. On GPUs it is a kernel, and its backward step three. Elsewhere it is composed of burn's
//! own operations.

mod activation;
#[cfg(any(feature = "wgpu", feature = "cuda"))]
mod cube;
#[cfg(feature = "flex")]
mod flex;
#[cfg(feature = "flex")]
mod product;
#[cfg(feature = "flex")]
mod sparse;
#[cfg(feature = "flex")]
mod tile;

pub use activation::Activation;

use burn::nn::Linear;
use burn::tensor::Tensor;

use super::sparse::SparseInput;

/// What a layer is computed from in one operation.
#[cfg(any(feature = "flex", feature = "wgpu", feature = "cuda"))]
struct Parts {
    weights: Tensor<2>,
    bias: Tensor<1>,
    cells: usize,
    inputs: usize,
    outputs: usize,
}

/// The parts of a layer, or nothing without a bias, or where shapes do not fit (burn's own operations
/// then say so).
#[cfg(any(feature = "flex", feature = "wgpu", feature = "cuda"))]
fn parts(linear: &Linear, input: [usize; 2]) -> Option<Parts> {
    let (weights, bias) = (linear.weight.val(), linear.bias.as_ref()?.val());
    let ([cells, inputs], [rows, outputs]) = (input, weights.dims());
    let fits = inputs == rows && bias.dims() == [outputs] && cells * inputs * outputs > 0;
    fits.then_some(Parts {
        weights,
        bias,
        cells,
        inputs,
        outputs,
    })
}

/// `activation(input · W + b)`: `[cells, inputs]` → `[cells, outputs]`.
pub(crate) fn forward(linear: &Linear, activation: Activation, input: Tensor<2>) -> Tensor<2> {
    #[cfg(feature = "flex")]
    if let Some(output) = flex::forward(linear, activation, &input) {
        return output;
    }
    #[cfg(any(feature = "wgpu", feature = "cuda"))]
    if let Some(output) = cube::forward(linear, activation, &input) {
        return output;
    }
    activation.forward(linear.forward(input))
}

/// [`forward`] on sparse input.
pub(crate) fn forward_sparse(
    linear: &Linear,
    activation: Activation,
    input: &SparseInput,
) -> Tensor<2> {
    #[cfg(feature = "flex")]
    if let Some(output) = sparse::forward(linear, activation, input) {
        return output;
    }
    let input = input.to_tensor(&linear.weight.device());
    activation.forward(linear.forward(input))
}
