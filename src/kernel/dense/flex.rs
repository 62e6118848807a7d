//! The layer as an operation of the CPU backend `flex` with its own backward step.

use burn::backend::Flex;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops};
use burn::backend::flex::FlexTensor;
use burn::nn::Linear;
use burn::tensor::Tensor;

use super::activation::Activation;
use super::activation::in_place::{Finish, SumRows, Undo};
use super::product::{PASS_SHARED_FROM, each_column_block, product, products, view};
use super::{Parts, parts};
use crate::kernel::flex::{contiguous, from_values, storage};
use crate::kernel::operation::record;
use crate::kernel::parallel;
use crate::kernel::vectorize::vectorize;

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
        input: storage(input)?,
        weights: storage(&weights)?,
        activation,
        cells,
        inputs,
        outputs,
    };
    let output = layer.output(storage(&bias)?.as_slice()?)?;
    let kept = (activation != Activation::Linear).then(|| output.clone());
    record::<Flex, _, 3, 2>(LayerStep, [input, &weights, &bias], output, || {
        (layer, kept)
    })
}

/// Input `[cells, inputs]`, weights `[inputs, outputs]` and activation of a layer.
#[derive(Debug, Clone)]
struct Layer {
    input: FlexTensor,
    weights: FlexTensor,
    activation: Activation,
    cells: usize,
    inputs: usize,
    outputs: usize,
}

impl Layer {
    fn output(&self, bias: &[f32]) -> Option<FlexTensor> {
        let values = product(
            view(self.input.as_slice()?, self.cells, self.inputs),
            view(self.weights.as_slice()?, self.inputs, self.outputs),
            |mut tile| {
                vectorize(Finish {
                    activation: self.activation,
                    bias: &bias[tile.columns()],
                    rows: tile.rows(),
                });
            },
        );
        Some(from_values(values, [self.cells, self.outputs]))
    }
}

/// The gradient of the bias of a layer with `width` outputs; turns the gradient of the output into
/// that of the sum before the activation. `output` is needed unless the activation is linear.
pub(super) fn bias_gradient(
    activation: Activation,
    width: usize,
    gradient: &mut FlexTensor,
    output: Option<&[f32]>,
) -> Vec<f32> {
    let mut sums = vec![0.0; width];
    match output {
        Some(output) => {
            let values = gradient.storage_mut::<f32>();
            each_column_block(values, &mut sums, |mut tile, sums| {
                let columns = tile.columns();
                let outputs = output.chunks_exact(width).map(|row| &row[columns.clone()]);
                vectorize(Undo {
                    activation,
                    rows: outputs.zip(tile.rows()),
                    bias_gradient: sums,
                });
            });
        }
        None => {
            let values = gradient.storage::<f32>();
            let blocks = sums.chunks_mut(SUMMED).enumerate();
            let sum = |(block, sums)| sum_columns(values, width, block, sums);
            match values.len() >= PASS_SHARED_FROM {
                true => parallel::for_each(blocks, sum),
                false => blocks.for_each(sum),
            }
        }
    }
    sums
}

/// Sums the rows of width `width` in one block of [`SUMMED`] columns.
fn sum_columns(values: &[f32], width: usize, block: usize, sums: &mut [f32]) {
    let columns = block * SUMMED..block * SUMMED + sums.len();
    let rows = values.chunks_exact(width).map(|row| &row[columns.clone()]);
    vectorize(SumRows { rows, sums });
}

/// Columns that a thread sums together.
const SUMMED: usize = 256;

/// Backward step of a layer; keeps the output if the activation's derivative needs it.
#[derive(Debug)]
struct LayerStep;

impl Backward<Flex, 3> for LayerStep {
    type State = (Layer, Option<FlexTensor>);

    fn backward(
        self,
        ops: Ops<Self::State, 3>,
        grads: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let (layer, output) = ops.state;
        let mut gradient = contiguous(grads.consume::<Flex>(&ops.node));
        let (cells, inputs, outputs) = (layer.cells, layer.inputs, layer.outputs);
        let by_activated = output.map(|output| {
            let output = Some(output.storage());
            bias_gradient(layer.activation, outputs, &mut gradient, output)
        });
        let by_sum = view(gradient.storage(), cells, outputs);
        let [input, weights, bias] = ops.parents;
        let factors = [
            input.as_ref().map(|_| {
                let weights = view(layer.weights.storage(), inputs, outputs);
                (by_sum, weights.reversed_axes())
            }),
            weights.as_ref().map(|_| {
                let input = view(layer.input.storage(), cells, inputs);
                (input.reversed_axes(), by_sum)
            }),
        ];
        let (by_bias, [by_input, by_weights]) = match by_activated {
            Some(by_bias) => (by_bias, products(factors, std::iter::empty(), |()| ())),
            None => {
                let mut sums = vec![0.0; outputs];
                let blocks = sums.chunks_mut(SUMMED).enumerate();
                let products = products(factors, blocks, |(block, sums)| {
                    sum_columns(gradient.storage(), outputs, block, sums);
                });
                (sums, products)
            }
        };
        if let Some(node) = bias {
            grads.register::<Flex>(node.id, from_values(by_bias, [outputs]));
        }
        if let (Some(node), Some(values)) = (weights, by_weights) {
            grads.register::<Flex>(node.id, from_values(values, [inputs, outputs]));
        }
        if let (Some(node), Some(values)) = (input, by_input) {
            grads.register::<Flex>(node.id, from_values(values, [cells, inputs]));
        }
    }
}

#[cfg(test)]
mod tests {
    use burn::module::Param;
    use burn::tensor::{DType, Device, TensorData};

    use super::*;

    const ACTIVATIONS: [Activation; 3] = [Activation::Linear, Activation::Relu, Activation::Tanh];

    fn tensor<const D: usize>(shape: [usize; D], seed: usize, device: &Device) -> Tensor<D> {
        let length = shape.iter().product();
        let values: Vec<f32> = (0..length)
            .map(|i| ((i * 7919 + seed * 104_729) % 10_007) as f32 / 10_007.0 - 0.5)
            .collect();
        Tensor::from_data(TensorData::new(values, shape), device)
    }

    fn linear(inputs: usize, outputs: usize, device: &Device) -> Linear {
        Linear {
            weight: Param::from_tensor(tensor([inputs, outputs], 2, device)),
            bias: Some(Param::from_tensor(tensor([outputs], 3, device))),
        }
    }

    fn close<const D: usize>(found: Tensor<D>, expected: Tensor<D>) {
        let largest = expected.clone().abs().max().into_scalar::<f32>();
        let error = (found - expected).abs().max().into_scalar::<f32>();
        assert!(error <= 3e-6 * largest, "{error} of {largest}");
    }

    /// The fused and the composed layer: value and gradients.
    #[test]
    fn agrees_with_the_composed_layer() {
        let plain = Device::default();
        for device in [
            plain.clone().autodiff(),
            plain.autodiff().gradient_checkpointing(),
        ] {
            for (cells, inputs, outputs) in [(1, 1, 1), (5, 3, 2), (70, 130, 300), (256, 200, 64)] {
                let linear = linear(inputs, outputs, &device);
                let weight = || tensor::<2>([cells, outputs], 4, &device);
                for activation in ACTIVATIONS {
                    let run = |fused: bool| {
                        let input = tensor::<2>([cells, inputs], 1, &device).require_grad();
                        let output = match fused {
                            true => forward(&linear, activation, &input).expect("the fused layer"),
                            false => activation.forward(linear.forward(input.clone())),
                        };
                        let gradients = (output.clone() * weight()).sum().backward();
                        (
                            output.inner(),
                            input.grad(&gradients).expect("a gradient"),
                            linear.weight.val().grad(&gradients).expect("a gradient"),
                            linear.bias.as_ref().and_then(|b| b.val().grad(&gradients)),
                        )
                    };
                    let (fused, composed) = (run(true), run(false));
                    close(fused.0, composed.0);
                    close(fused.1, composed.1);
                    close(fused.2, composed.2);
                    close(
                        fused.3.expect("a gradient"),
                        composed.3.expect("a gradient"),
                    );
                }
            }
        }
    }

    #[test]
    fn an_output_used_twice_adds_its_gradients() {
        let device = Device::default().autodiff();
        let linear = linear(40, 30, &device);
        let run = |fused: bool| {
            let input = tensor::<2>([20, 40], 1, &device);
            let output = match fused {
                true => forward(&linear, Activation::Relu, &input).expect("the fused layer"),
                false => Activation::Relu.forward(linear.forward(input)),
            };
            let gradients = (output.clone().square() + output).sum().backward();
            linear.weight.val().grad(&gradients).expect("a gradient")
        };
        close(run(true), run(false));
    }

    /// Rows of a tensor share its memory.
    #[test]
    fn rows_of_a_larger_tensor_are_input_and_gradient() {
        let device = Device::default().autodiff();
        let [first, second] = [linear(40, 30, &device), linear(30, 7, &device)];
        let layer = |linear: &Linear, input: Tensor<2>, fused: bool| match fused {
            true => forward(linear, Activation::Tanh, &input).expect("the fused layer"),
            false => Activation::Tanh.forward(linear.forward(input)),
        };
        let run = |fused: bool, rows: std::ops::Range<usize>| {
            let input = tensor::<2>([20, 40], 1, &device).require_grad();
            let hidden = layer(&first, input.clone().slice_dim(0, 2..18), fused);
            let output = layer(&second, hidden.slice_dim(0, rows), fused);
            let gradients = output.clone().square().sum().backward();
            [
                output.inner(),
                first.weight.val().grad(&gradients).expect("a gradient"),
                second.weight.val().grad(&gradients).expect("a gradient"),
                input.grad(&gradients).expect("a gradient"),
            ]
        };
        for rows in [0..9, 9..16, 0..16] {
            let (fused, composed) = (run(true, rows.clone()), run(false, rows));
            for (fused, composed) in fused.into_iter().zip(composed) {
                close(fused, composed);
            }
        }
    }

    #[test]
    fn not_a_number_stays() {
        let device = Device::default();
        let linear = linear(2, 3, &device);
        for activation in ACTIVATIONS {
            let input = Tensor::<2>::from_floats([[f32::NAN, 1.0], [1.0, 1.0]], &device);
            let output = forward(&linear, activation, &input).expect("the fused layer");
            let values = output
                .into_data_as::<f32>()
                .try_to_vec::<f32>()
                .expect("floats");
            assert!(values[..3].iter().all(|value| value.is_nan()));
            assert!(values[3..].iter().all(|value| value.is_finite()));
        }
    }

    #[test]
    fn left_to_burn_where_it_does_not_apply() {
        let device = Device::default();
        let input = tensor::<2>([4, 3], 1, &device);
        let with_bias = linear(3, 2, &device);
        assert!(forward(&with_bias, Activation::Relu, &input).is_some());
        assert!(
            forward(
                &with_bias,
                Activation::Relu,
                &input.clone().cast(DType::F64)
            )
            .is_none()
        );
        let empty = Tensor::<2>::zeros([0, 3], &device);
        assert!(forward(&with_bias, Activation::Relu, &empty).is_none());
        let without_bias = Linear {
            bias: None,
            ..with_bias
        };
        assert!(forward(&without_bias, Activation::Relu, &input).is_none());
    }

    #[test]
    fn reads_views() {
        let device = Device::default();
        let linear = linear(3, 70, &device);
        let input = tensor::<2>([3, 50], 1, &device);
        let copy = Tensor::<2>::from_data(input.clone().transpose().to_data(), &device);
        let run = |input| forward(&linear, Activation::Tanh, &input).expect("the fused layer");
        let view = run(input.transpose()).to_data();
        view.assert_eq(&run(copy).to_data(), true);
    }
}
