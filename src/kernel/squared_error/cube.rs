//! The mean squared error as kernels for GPUs: the value by one pass, the gradient by another one.

use burn::backend::Cube;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops};
use burn::tensor::Tensor;
use burn_cubecl::cubecl::{self, prelude::*};

use crate::kernel::cube::reduce::{UNITS, finished, sum_of_cube, summing};
use crate::kernel::cube::{CubeTensor, contiguous, primitive, room, unfused, units};
use crate::kernel::operation::record;

/// The mean by the kernel, or nothing where it does not apply: another backend or float type, a
/// target that is differentiated, shapes that only broadcasting would unite.
pub(super) fn mean(reconstruction: &Tensor<2>, target: &Tensor<2>) -> Option<Tensor<1>> {
    let [cells, genes] = reconstruction.dims();
    if target.dims() != [cells, genes] || cells * genes == 0 || target.is_tracked() {
        return None;
    }
    let pass = Pass {
        values: contiguous(reconstruction)?,
        targets: contiguous(target)?,
        shape: [cells, genes],
    };
    let mean = primitive(pass.mean());
    record::<Cube, _, 1, 1>(SquaredErrorMean, [reconstruction], mean, || pass)
}

#[cube(launch)]
fn squares(values: &[f32], targets: &[f32], partial: &mut [f32], per_cube: u32) {
    let start = CUBE_POS * per_cube as usize;
    let end = min(start + per_cube as usize, values.len());
    let mut place = start + UNIT_POS as usize;
    let mut sum = 0.0f32;
    while place < end {
        let error = values[place] - targets[place];
        sum += error * error;
        place += comptime!(UNITS as usize);
    }
    let sum = sum_of_cube(sum);
    if UNIT_POS == 0 {
        partial[CUBE_POS] = sum;
    }
}

#[cube(launch)]
fn slopes(values: &[f32], targets: &[f32], upstream: &[f32], gradient: &mut [f32], factor: f32) {
    let place = ABSOLUTE_POS;
    if place < values.len() {
        gradient[place] = (values[place] - targets[place]) * factor * upstream[0];
    }
}

#[derive(Debug, Clone)]
struct Pass {
    values: CubeTensor,
    targets: CubeTensor,
    shape: [usize; 2],
}

impl Pass {
    fn mean(&self) -> CubeTensor {
        let entries = self.shape[0] * self.shape[1];
        let (count, dim, cubes) = summing(entries);
        let partial = room(&self.values, [cubes]);
        squares::launch(
            &self.values.client,
            count,
            dim,
            self.values.clone().into_buffer_arg(),
            self.targets.clone().into_buffer_arg(),
            partial.clone().into_buffer_arg(),
            entries.div_ceil(cubes) as u32,
        );
        finished(partial, 1.0 / entries as f32)
    }

    fn gradient(&self, upstream: CubeTensor) -> CubeTensor {
        let entries = self.shape[0] * self.shape[1];
        let gradient = room(&self.values, self.shape);
        let (count, dim) = units(&self.values, entries);
        slopes::launch(
            &self.values.client,
            count,
            dim,
            self.values.clone().into_buffer_arg(),
            self.targets.clone().into_buffer_arg(),
            upstream.into_buffer_arg(),
            gradient.clone().into_buffer_arg(),
            2.0 / entries as f32,
        );
        gradient
    }
}

/// Backward step of [`mean`].
#[derive(Debug)]
struct SquaredErrorMean;

impl Backward<Cube, 1> for SquaredErrorMean {
    type State = Pass;

    fn backward(self, ops: Ops<Pass, 1>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let upstream = unfused(grads.consume::<Cube>(&ops.node)).expect("made by a kernel");
        let [parent] = ops.parents;
        if let Some(parent) = parent {
            let gradient = primitive(ops.state.gradient(upstream));
            grads.register::<Cube>(parent.id, gradient);
        }
    }
}
