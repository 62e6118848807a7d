//! The two halves of a tensor's rows: what one pass over two batches comes apart into.

use burn::backend::Cube;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops};
use burn::tensor::Tensor;
use burn_cubecl::cubecl::{self, prelude::*};

use super::{CubeTensor, contiguous, in_rows, primitive, room, unfused, units};
use crate::kernel::operation::record;

/// Which half.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Half {
    First,
    Second,
}

/// The first and the second half of the rows `[2 · rows, columns]`.
pub(crate) fn halves(tensor: &Tensor<2>) -> [Tensor<2>; 2] {
    let [rows, columns] = tensor.dims();
    let half = rows / 2;
    by_kernel(tensor).unwrap_or_else(|| {
        [0..half, half..rows].map(|range| tensor.clone().slice([range, 0..columns]))
    })
}

/// [`halves`], or nothing where no kernel applies: another backend or float type.
fn by_kernel(tensor: &Tensor<2>) -> Option<[Tensor<2>; 2]> {
    let [rows, columns] = tensor.dims();
    let values = contiguous(tensor)?;
    let half = rows / 2;
    let part = |half_of_rows, range: std::ops::Range<usize>| {
        let output = burn_cubecl::kernel::slice(values.clone(), &[range, 0..columns]);
        record::<Cube, _, 1, 2>(HalfStep, [tensor], primitive(output), || {
            (half_of_rows, [rows, columns])
        })
    };
    Some([part(Half::First, 0..half)?, part(Half::Second, half..rows)?])
}

/// The gradient of one half stands in its place, zeros in that of the other one.
#[cube(launch)]
fn put(gradient: &[f32], output: &mut [f32], #[comptime] half: Half) {
    let place = ABSOLUTE_POS;
    let length = gradient.len();
    if place < output.len() {
        output[place] = match half {
            Half::First => {
                if place < length {
                    gradient[place]
                } else {
                    0.0f32.runtime()
                }
            }
            Half::Second => {
                if place >= length {
                    gradient[place - length]
                } else {
                    0.0f32.runtime()
                }
            }
        };
    }
}

/// Backward step of a half.
#[derive(Debug)]
struct HalfStep;

impl Backward<Cube, 1> for HalfStep {
    type State = (Half, [usize; 2]);

    fn backward(
        self,
        ops: Ops<Self::State, 1>,
        grads: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let (half, shape) = ops.state;
        let gradient = unfused(grads.consume::<Cube>(&ops.node)).expect("made by a kernel");
        let [parent] = ops.parents;
        if let Some(parent) = parent {
            let gradient = placed(in_rows(gradient), half, shape);
            grads.register::<Cube>(parent.id, primitive(gradient));
        }
    }
}

fn placed(gradient: CubeTensor, half: Half, [rows, columns]: [usize; 2]) -> CubeTensor {
    let output = room(&gradient, [rows, columns]);
    let (count, dim) = units(&output, rows * columns);
    put::launch(
        &output.client,
        count,
        dim,
        gradient.into_buffer_arg(),
        output.clone().into_buffer_arg(),
        half,
    );
    output
}
