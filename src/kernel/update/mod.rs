//! Optimizer updates in one pass over the weights, in place.
//!
//! Composed of tensor operations, a step of Adam reads and writes every parameter a dozen times.
//! On the CPU backend `flex` and on GPUs an [`UpdateRule`] reads weight, gradient and state once and
//! writes them once, in parallel; elsewhere the optimizers compose the same formula from tensor
//! operations.

#[cfg(any(feature = "wgpu", feature = "cuda"))]
pub(crate) mod cube;
#[cfg(feature = "flex")]
mod flex;

use burn::tensor::Tensor;
#[cfg(any(feature = "flex", feature = "wgpu", feature = "cuda"))]
use burn::tensor::{DType, Device};

/// An element-wise update of weights and `N` state arrays by a gradient.
pub(crate) trait UpdateRule<const N: usize>: Sync {
    /// Updates slices of equal length. Implementations are `#[inline(always)]`, so that they are
    /// compiled for the vector instructions of the CPU.
    #[cfg_attr(
        not(feature = "flex"),
        allow(dead_code, reason = "other backends compose the update")
    )]
    fn apply(&self, weights: &mut [f32], gradient: &[f32], state: [&mut [f32]; N]);

    /// Updates buffers of a GPU by a kernel.
    #[cfg(any(feature = "wgpu", feature = "cuda"))]
    fn launch(&self, buffers: cube::Buffers<N>);
}

/// Weights and state, updated where a pass in place exists.
pub(crate) struct Updated<const N: usize> {
    weights: Tensor<1>,
    state: [Tensor<1>; N],
    done: bool,
}

impl<const N: usize> Updated<N> {
    /// By another way if they are not updated yet.
    #[cfg(any(feature = "flex", feature = "wgpu", feature = "cuda"))]
    fn or_by(self, way: impl FnOnce(Tensor<1>, [Tensor<1>; N]) -> Self) -> Self {
        if self.done {
            self
        } else {
            way(self.weights, self.state)
        }
    }

    /// Weights and state, by the composed twin if they are not updated yet.
    pub(crate) fn or_composed(
        self,
        composed: impl FnOnce(Tensor<1>, [Tensor<1>; N]) -> (Tensor<1>, [Tensor<1>; N]),
    ) -> (Tensor<1>, [Tensor<1>; N]) {
        if self.done {
            (self.weights, self.state)
        } else {
            composed(self.weights, self.state)
        }
    }
}

/// Whether all are `f32` numbers of equal length outside automatic differentiation, on a device that
/// `is_here`.
#[cfg(any(feature = "flex", feature = "wgpu", feature = "cuda"))]
fn fits<const N: usize>(
    weights: &Tensor<1>,
    gradient: &Tensor<1>,
    state: &[Tensor<1>; N],
    is_here: impl Fn(&Device) -> bool,
) -> bool {
    let dims = weights.dims();
    let fits = |tensor: &Tensor<1>| {
        !tensor.is_autodiff()
            && tensor.dtype() == DType::F32
            && tensor.dims() == dims
            && is_here(&tensor.device())
    };
    dims != [0] && fits(weights) && fits(gradient) && state.iter().all(fits)
}

/// Updates in place where the tensors allow it: `f32` on the backend `flex` and on GPUs.
pub(crate) fn in_place<const N: usize>(
    rule: &impl UpdateRule<N>,
    weights: Tensor<1>,
    gradient: &Tensor<1>,
    state: [Tensor<1>; N],
) -> Updated<N> {
    let updated = Updated {
        weights,
        state,
        done: false,
    };
    #[cfg(feature = "flex")]
    let updated = updated.or_by(|weights, state| flex::in_place(rule, weights, gradient, state));
    #[cfg(any(feature = "wgpu", feature = "cuda"))]
    let updated = updated.or_by(|weights, state| cube::in_place(rule, weights, gradient, state));
    let _ = (rule, gradient);
    updated
}
