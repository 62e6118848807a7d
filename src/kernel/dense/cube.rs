//! The layer on GPUs: a kernel for the output, and one for each of the gradients.

use burn::backend::Cube;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops};
use burn::nn::Linear;
use burn::tensor::Tensor;
use burn_cubecl::cubecl::{self, prelude::*};

use super::activation::Activation;
use super::{Parts, parts};
use crate::kernel::cube::product::{Factor, layer, product};
use crate::kernel::cube::reduce::{COLUMNS, ROWS, sum_of_column};
use crate::kernel::cube::{
    CubeTensor, column_units, contiguous, in_rows, primitive, room, unfused,
};
use crate::kernel::operation::record;

/// The layer's output, or nothing where the operation does not apply: another backend or float type,
/// or [no parts](parts).
pub(super) fn forward(
    linear: &Linear,
    activation: Activation,
    input: &Tensor<2>,
) -> Option<Tensor<2>> {
    let Parts {
        weights,
        bias,
        cells,
        inputs,
        outputs,
    } = parts(linear, input.dims())?;
    let layer = Layer {
        input: contiguous(input)?,
        weights: contiguous(&weights)?,
        activation,
        cells,
        inputs,
        outputs,
    };
    let output = layer.output(contiguous(&bias)?);
    let kept = output.clone();
    record::<Cube, _, 3, 2>(
        LayerStep,
        [input, &weights, &bias],
        primitive(output),
        || (layer, kept),
    )
}

/// From the gradient of the output to that of the sum before the activation, and the sum of the
/// latter over the rows, which is the gradient of the bias. A linear layer needs only the second.
#[cube(launch)]
fn undo(
    gradient: &[f32],
    output: &[f32],
    by_sum: &mut [f32],
    by_bias: &mut [f32],
    cells: u32,
    #[comptime] activation: Activation,
) {
    let width = by_bias.len();
    let cells = cells as usize;
    let column = CUBE_POS_X as usize * comptime!(COLUMNS as usize) + UNIT_POS_X as usize;
    let mut sum = 0.0f32;
    if column < width {
        let mut cell = UNIT_POS_Y as usize;
        while cell < cells {
            let place = cell * width + column;
            let of_output = gradient[place];
            match activation {
                Activation::Linear => {
                    sum += of_output;
                }
                Activation::Relu => {
                    let value = select(output[place] > 0.0f32, of_output, 0.0f32);
                    by_sum[place] = value;
                    sum += value;
                }
                Activation::Tanh => {
                    let value = of_output * (1.0f32 - output[place] * output[place]);
                    by_sum[place] = value;
                    sum += value;
                }
            }
            cell += comptime!(ROWS as usize);
        }
    }
    let sum = sum_of_column(sum);
    if column < width && UNIT_POS_Y == 0 {
        by_bias[column] = sum;
    }
}

/// Input `[cells, inputs]`, weights `[inputs, outputs]` and activation of a layer.
#[derive(Debug, Clone)]
struct Layer {
    input: CubeTensor,
    weights: CubeTensor,
    activation: Activation,
    cells: usize,
    inputs: usize,
    outputs: usize,
}

impl Layer {
    fn input(&self) -> Factor {
        Factor::new(&self.input, self.cells, self.inputs)
    }

    fn weights(&self) -> Factor {
        Factor::new(&self.weights, self.inputs, self.outputs)
    }

    fn output(&self, bias: CubeTensor) -> CubeTensor {
        layer(self.input(), self.weights(), bias, self.activation)
    }

    /// The gradients of the sum before the activation and of the bias.
    fn undone(&self, gradient: CubeTensor, output: CubeTensor) -> [CubeTensor; 2] {
        let linear = self.activation == Activation::Linear;
        let by_bias = room(&gradient, [self.outputs]);
        let by_sum = if linear {
            room(&gradient, [1, 1])
        } else {
            room(&gradient, [self.cells, self.outputs])
        };
        let (count, dim) = column_units(self.outputs);
        undo::launch(
            &gradient.client,
            count,
            dim,
            gradient.clone().into_buffer_arg(),
            output.into_buffer_arg(),
            by_sum.clone().into_buffer_arg(),
            by_bias.clone().into_buffer_arg(),
            self.cells as u32,
            self.activation,
        );
        [if linear { gradient } else { by_sum }, by_bias]
    }
}

/// Backward step of a layer; keeps the output for the activation's derivative.
#[derive(Debug)]
struct LayerStep;

impl Backward<Cube, 3> for LayerStep {
    type State = (Layer, CubeTensor);

    fn backward(
        self,
        ops: Ops<Self::State, 3>,
        grads: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let (layer, output) = ops.state;
        let gradient = unfused(grads.consume::<Cube>(&ops.node)).expect("made by a kernel");
        let [by_sum, by_bias] = layer.undone(in_rows(gradient), output);
        let [input, weights, bias] = ops.parents;
        if let Some(node) = bias {
            grads.register::<Cube>(node.id, primitive(by_bias));
        }
        let by_sum = Factor::new(&by_sum, layer.cells, layer.outputs);
        if let Some(node) = weights {
            let values = product(layer.input().transposed(), by_sum.clone());
            grads.register::<Cube>(node.id, primitive(values));
        }
        if let Some(node) = input {
            let values = product(by_sum, layer.weights().transposed());
            grads.register::<Cube>(node.id, primitive(values));
        }
    }
}
