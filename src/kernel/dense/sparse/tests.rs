use burn::module::Param;
use burn::tensor::{Device, TensorData};

use super::*;

const ACTIVATIONS: [Activation; 3] = [Activation::Linear, Activation::Relu, Activation::Tanh];

fn number(i: usize, seed: usize) -> f32 {
    ((i * 7919 + seed * 104_729) % 10_007) as f32 / 10_007.0 - 0.5
}

fn tensor<const D: usize>(shape: [usize; D], seed: usize, device: &Device) -> Tensor<D> {
    let values: Vec<f32> = (0..shape.iter().product())
        .map(|i| number(i, seed))
        .collect();
    Tensor::from_data(TensorData::new(values, shape), device)
}

/// With weights as small as initial weights are, so that sums are of the order of one.
fn linear(inputs: usize, outputs: usize, device: &Device) -> Linear {
    let weights = tensor([inputs, outputs], 2, device) / (inputs as f32).sqrt();
    Linear {
        weight: Param::from_tensor(weights),
        bias: Some(Param::from_tensor(tensor([outputs], 3, device))),
    }
}

/// Rows of which every third is empty and every seventh full; the others have about so many
/// differences of 100.
fn input(cells: usize, genes: usize, bases: usize, percent: usize) -> SparseInput {
    let columns = |row: usize| -> Vec<u32> {
        let kept = |&gene: &usize| match row {
            row if row % 3 == 1 => false,
            row if row % 7 == 2 => true,
            row => (row * 31 + gene * 37) % 100 < percent,
        };
        (0..genes).filter(kept).map(|gene| gene as u32).collect()
    };
    SparseInput::new(
        genes,
        (0..bases * genes).map(|i| number(i, 5)).collect(),
        (0..cells).map(|row| row * 5 % bases).collect(),
        (0..cells).map(|row| columns(row).len()),
        |row, entries| {
            for (entry, gene) in entries.iter_mut().zip(columns(row)) {
                let value = number(row * genes + gene as usize, 6);
                *entry = Entry { index: gene, value };
            }
        },
    )
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    let data = tensor.into_data_as::<f32>();
    data.try_to_vec::<f32>().expect("floats")
}

fn close<const D: usize>(found: Tensor<D>, expected: Tensor<D>) {
    let largest = expected.clone().abs().max().into_scalar::<f32>();
    let error = (found - expected).abs().max().into_scalar::<f32>();
    assert!(error <= 3e-6 * largest, "{error} of {largest}");
}

/// Output, gradient of the weights and gradient of the bias of a weighted sum of outputs.
fn differentiated(
    linear: &Linear,
    output: Tensor<2>,
    device: &Device,
) -> (Tensor<2>, Tensor<2>, Tensor<1>) {
    let weight = tensor::<2>(output.dims(), 4, device);
    let gradients = (output.clone() * weight).sum().backward();
    let bias = linear.bias.as_ref().expect("a bias").val();
    (
        output.inner(),
        linear.weight.val().grad(&gradients).expect("a gradient"),
        bias.grad(&gradients).expect("a gradient"),
    )
}

#[test]
fn agrees_with_the_dense_layer() {
    let plain = Device::default();
    for device in [
        plain.clone().autodiff(),
        plain.autodiff().gradient_checkpointing(),
    ] {
        for (cells, genes, outputs, bases, percent) in [
            (1, 1, 1, 1, 100),
            (5, 1, 3, 1, 50),
            (3, 7, 17, 2, 0),
            (70, 130, 32, 1, 10),
            (40, 300, 200, 3, 40),
            (530, 257, 128, 1, 5),
            (256, 400, 256, 4, 10),
            (9, 128, 349, 2, 100),
        ] {
            let linear = linear(genes, outputs, &device);
            let input = input(cells, genes, bases, percent);
            for activation in ACTIVATIONS {
                let sparse = forward(&linear, activation, &input).expect("the operation");
                let dense = linear.forward(input.to_tensor(&device));
                let sparse = differentiated(&linear, sparse, &device);
                let dense = differentiated(&linear, activation.forward(dense), &device);
                close(sparse.0, dense.0);
                close(sparse.1, dense.1);
                close(sparse.2, dense.2);
            }
        }
    }
}

/// As near to exact sums as single precision allows: of 2000 genes, and of 256 cells.
#[test]
fn agrees_with_double_precision() {
    let device = Device::default().autodiff();
    let (cells, genes, outputs) = (256, 2000, 40);
    let linear = linear(genes, outputs, &device);
    let input = input(cells, genes, 2, 10);
    let dense = values(input.to_tensor(&device));
    let weights = values(linear.weight.val());
    let bias = values(linear.bias.as_ref().expect("a bias").val());
    let output = forward(&linear, Activation::Linear, &input).expect("the operation");
    let above = values(tensor::<2>([cells, outputs], 4, &device));
    let (output, by_weights, _) = differentiated(&linear, output, &device);
    let (output, by_weights) = (values(output), values(by_weights));
    let product = |a: f32, b: f32| f64::from(a) * f64::from(b);
    for cell in (0..cells).step_by(11) {
        for column in 0..outputs {
            let terms = (0..genes)
                .map(|gene| product(dense[cell * genes + gene], weights[gene * outputs + column]));
            let exact = terms.sum::<f64>() + f64::from(bias[column]);
            let error = (f64::from(output[cell * outputs + column]) - exact).abs();
            assert!(error < 1e-6, "{error} of {exact}");
        }
    }
    for gene in (0..genes).step_by(13) {
        for column in 0..outputs {
            let terms = (0..cells)
                .map(|cell| product(dense[cell * genes + gene], above[cell * outputs + column]));
            let exact = terms.sum::<f64>();
            let error = (f64::from(by_weights[gene * outputs + column]) - exact).abs();
            assert!(error < 1e-5, "{error} of {exact}");
        }
    }
}

#[test]
fn threads_do_not_change_a_bit() {
    let device = Device::default().autodiff();
    let linear = linear(700, 300, &device);
    let input = input(600, 700, 2, 12);
    let on_threads = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .expect("a thread pool");
        pool.install(|| {
            let output = forward(&linear, Activation::Relu, &input).expect("the operation");
            let (output, by_weights, by_bias) = differentiated(&linear, output, &device);
            (values(output), values(by_weights), values(by_bias))
        })
    };
    let one = on_threads(1);
    assert_eq!(one, on_threads(2));
    assert_eq!(one, on_threads(5));
}

/// Also of a gene that no cell of the batch has.
#[test]
fn not_a_number_stays() {
    let device = Device::default();
    let input = input(4, 3, 1, 0);
    for activation in ACTIVATIONS {
        let mut linear = linear(3, 2, &device);
        let weights = [[1.0, 1.0], [f32::NAN, 1.0], [1.0, 1.0]];
        linear.weight = Param::from_tensor(Tensor::from_floats(weights, &device));
        let output = forward(&linear, activation, &input).expect("the operation");
        for row in values(output).chunks(2) {
            assert!(row[0].is_nan() && row[1].is_finite());
        }
    }
}

#[test]
fn strips_cover_the_columns() {
    for columns in 1..300 {
        let strips = strips(columns);
        let covered: Vec<usize> = strips.iter().cloned().flatten().collect();
        assert_eq!(covered, (0..columns).collect::<Vec<_>>());
        let (last, others) = strips.split_last().expect("a strip");
        assert!(others.iter().all(|strip| WIDTHS.contains(&strip.len())));
        assert!(WIDTHS.contains(&last.len()) || last.len() < 16);
    }
}

#[test]
fn misfits_are_left_to_burn() {
    let device = Device::default();
    let input = input(2, 5, 1, 50);
    assert!(forward(&linear(4, 3, &device), Activation::Relu, &input).is_none());
    let mut without_bias = linear(5, 3, &device);
    without_bias.bias = None;
    assert!(forward(&without_bias, Activation::Relu, &input).is_none());
}
