//! The layer on GPUs: a kernel for the output, one for the gradients of weights and bias, and one for that
//! of the input.

use burn::backend::Cube;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops};
use burn::nn::Linear;
use burn::tensor::Tensor;

use super::activation::Activation;
use super::{Parts, parts};
use crate::kernel::cube::product::{Factor, layer, product, product_and_sums};
use crate::kernel::cube::{CubeTensor, contiguous, in_rows, primitive, unfused};
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
        let by_sum = Factor::new(&in_rows(gradient), layer.cells, layer.outputs)
            .before(layer.activation, &output);
        let [input, weights, bias] = ops.parents;
        if weights.is_some() || bias.is_some() {
            let [by_weights, by_bias] =
                product_and_sums(layer.input().transposed(), by_sum.clone());
            for (node, values) in [(weights, by_weights), (bias, by_bias)] {
                if let Some(node) = node {
                    grads.register::<Cube>(node.id, primitive(values));
                }
            }
        }
        if let Some(node) = input {
            let values = product(by_sum, layer.weights().transposed());
            grads.register::<Cube>(node.id, primitive(values));
        }
    }
}
