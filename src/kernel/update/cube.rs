//! The updates as kernels for GPUs, in place.

use burn::backend::Cube;
use burn::tensor::Tensor;
use burn_cubecl::cubecl::CubeCount;
use burn_cubecl::cubecl::prelude::*;

use super::{UpdateRule, Updated, fits};
pub(crate) use crate::kernel::cube::{CubeTensor, room};
use crate::kernel::cube::{contiguous, in_rows, is_cube, primitive, unfused, units};

/// Weights, gradient and state of equal length, of which the kernel alone has the first and the
/// last.
pub(crate) struct Buffers<const N: usize> {
    pub weights: CubeTensor,
    pub gradient: CubeTensor,
    pub state: [CubeTensor; N],
}

/// Updates in place where the tensors allow it: `f32` on a GPU.
pub(super) fn in_place<const N: usize>(
    rule: &impl UpdateRule<N>,
    weights: Tensor<1>,
    gradient: &Tensor<1>,
    state: [Tensor<1>; N],
) -> Updated<N> {
    let left = |weights, state| Updated {
        weights,
        state,
        done: false,
    };
    if !fits(&weights, gradient, &state, is_cube) {
        return left(weights, state);
    }
    // Nothing where operations are fused, for all tensors of the backend alike.
    let Some(gradient) = contiguous(gradient) else {
        return left(weights, state);
    };
    let buffers = Buffers {
        weights: owned(weights),
        gradient,
        state: state.map(owned),
    };
    let weights = buffers.weights.clone();
    let state = buffers.state.clone();
    rule.launch(buffers);
    let tensor = |buffer| Tensor::from_primitive::<Cube>(primitive(buffer));
    Updated {
        weights: tensor(weights),
        state: state.map(tensor),
        done: true,
    }
}

/// The tensor in memory that nobody else reads: a run keeps the weights of the epoch before.
fn owned(tensor: Tensor<1>) -> CubeTensor {
    let tensor = tensor
        .try_into_primitive::<Cube>()
        .ok()
        .and_then(unfused)
        .expect("a tensor on the backend's device is one of its tensors");
    let tensor = in_rows(tensor);
    if tensor.can_mut() {
        tensor
    } else {
        tensor.copy()
    }
}

impl<const N: usize> Buffers<N> {
    /// A unit for every weight.
    pub(crate) fn units(&self) -> (CubeCount, CubeDim) {
        units(&self.weights, self.weights.meta.num_elements())
    }
}
