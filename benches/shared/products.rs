//! The matrix products of one scDCC training step and nothing else: what a step cannot go below
//! with this matrix library.
//!
//! They run in the crate `gemm`, called as burn's backend `flex` calls it, on memory that is
//! already there.

use celldec::random::{Purpose, stream};
use gemm::{Parallelism, gemm};
use rand::RngExt;

/// The linear layers of the reference network as (inputs, outputs); the first one needs no
/// gradient of its input, the last three are the heads.
const LAYERS: [(usize, usize); 8] = [
    (2000, 256),
    (256, 64),
    (64, 32),
    (32, 64),
    (64, 256),
    (256, 2000),
    (256, 2000),
    (256, 2000),
];

/// From this many multiplications on, `flex` splits a product between threads.
const PARALLEL_FROM: usize = 192 * 192 * 192;

struct Matrix {
    rows: usize,
    columns: usize,
    values: Vec<f32>,
}

impl Matrix {
    fn random(rows: usize, columns: usize, index: u64) -> Self {
        let mut random = stream(1, Purpose::Simulation, 0, index);
        let values = (0..rows * columns)
            .map(|_| random.random::<f32>() - 0.5)
            .collect();
        Self {
            rows,
            columns,
            values,
        }
    }

    fn view(&self) -> View<'_> {
        View {
            rows: self.rows,
            columns: self.columns,
            row_stride: self.columns,
            column_stride: 1,
            values: &self.values,
        }
    }
}

#[derive(Clone, Copy)]
struct View<'a> {
    rows: usize,
    columns: usize,
    row_stride: usize,
    column_stride: usize,
    values: &'a [f32],
}

impl View<'_> {
    fn transposed(self) -> Self {
        Self {
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
            ..self
        }
    }
}

/// `out` ← `left` · `right`.
fn multiply(left: View<'_>, right: View<'_>, out: &mut Matrix) {
    assert_eq!(
        (left.rows, left.columns, right.columns),
        (out.rows, right.rows, out.columns)
    );
    let multiplications = left.rows * left.columns * right.columns;
    let parallelism = if multiplications >= PARALLEL_FROM {
        Parallelism::Rayon(0)
    } else {
        Parallelism::None
    };
    // SAFETY: the shapes agree, as just asserted, and every matrix holds rows × columns values at
    // the strides of its view; `out` is borrowed exclusively.
    unsafe {
        gemm(
            left.rows,
            right.columns,
            left.columns,
            out.values.as_mut_ptr(),
            1,
            out.columns as isize,
            false,
            left.values.as_ptr(),
            left.column_stride as isize,
            left.row_stride as isize,
            right.values.as_ptr(),
            right.column_stride as isize,
            right.row_stride as isize,
            0.0,
            1.0,
            false,
            false,
            false,
            parallelism,
        );
    }
}

struct Layer {
    input: Matrix,
    weights: Matrix,
    output: Matrix,
    output_gradient: Matrix,
    weight_gradient: Matrix,
    input_gradient: Option<Matrix>,
}

/// The operands and results of a step's products.
pub struct StepProducts {
    layers: Vec<Layer>,
}

impl StepProducts {
    /// Those of the reference network on batches of `batch` cells.
    pub fn new(batch: usize) -> Self {
        let layers = LAYERS
            .iter()
            .enumerate()
            .map(|(layer, &(inputs, outputs))| {
                let index = 6 * layer as u64;
                Layer {
                    input: Matrix::random(batch, inputs, index),
                    weights: Matrix::random(inputs, outputs, index + 1),
                    output: Matrix::random(batch, outputs, index + 2),
                    output_gradient: Matrix::random(batch, outputs, index + 3),
                    weight_gradient: Matrix::random(inputs, outputs, index + 4),
                    input_gradient: (layer > 0).then(|| Matrix::random(batch, inputs, index + 5)),
                }
            })
            .collect();
        Self { layers }
    }

    /// Computes all products: outputs first, then gradients, last layer first.
    pub fn compute(&mut self) {
        for layer in &mut self.layers {
            multiply(layer.input.view(), layer.weights.view(), &mut layer.output);
        }
        for layer in self.layers.iter_mut().rev() {
            let gradient = layer.output_gradient.view();
            multiply(
                layer.input.view().transposed(),
                gradient,
                &mut layer.weight_gradient,
            );
            if let Some(input_gradient) = &mut layer.input_gradient {
                multiply(gradient, layer.weights.view().transposed(), input_gradient);
            }
        }
    }
}
