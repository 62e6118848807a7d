//! The layer on sparse input, as an operation of the CPU backend `flex`.
//!
//! Both products are sums of rows, weighted by the entries of a list: of rows of the weights for
//! every cell (forward), of rows of the gradient for every gene (gradient of the weights). Sums
//! stay in registers, and the rows they are made of in the cache.

use std::mem::MaybeUninit;
use std::ops::Range;

use burn::backend::Flex;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops};
use burn::backend::flex::FlexTensor;
use burn::nn::Linear;
use burn::tensor::Tensor;

use super::activation::Activation;
use super::activation::in_place::Finish;
use super::flex::bias_gradient;
use super::product::each_block;
use super::tile::Tile;
use super::{Parts, parts};
use crate::kernel::flex::{contiguous, from_values, storage};
use crate::kernel::lanes::mul_add;
use crate::kernel::operation::record;
use crate::kernel::parallel;
use crate::kernel::sparse::{Entry, EntryLists, SparseInput};
use crate::kernel::vectorize::{Vectorize, vectorize};

/// Genes whose weights are used for all cells before the next ones: they stay in the cache.
const GENES_FORWARD: usize = 256;
/// Genes whose weights' gradient a thread computes together.
const GENES_BACKWARD: usize = 64;
/// Multiplications below which a product is not worth sharing between threads.
const SHARED_FROM: usize = 1 << 18;

/// The layer's output, or nothing where the operation does not apply: another backend or float type,
/// or [no parts](parts).
pub(super) fn forward(
    linear: &Linear,
    activation: Activation,
    input: &SparseInput,
) -> Option<Tensor<2>> {
    let Parts {
        weights,
        bias,
        outputs,
        ..
    } = parts(linear, [input.cells(), input.genes()])?;
    let layer = SparseLayer {
        input: input.clone(),
        activation,
        outputs,
    };
    let output = layer.output(storage(&weights)?.as_slice()?, storage(&bias)?.as_slice()?);
    let kept = (activation != Activation::Linear).then(|| output.clone());
    record::<Flex, _, 2, 2>(SparseLayerStep, [&weights, &bias], output, || (layer, kept))
}

/// Input, activation and number of outputs of a layer.
#[derive(Debug, Clone)]
struct SparseLayer {
    input: SparseInput,
    activation: Activation,
    outputs: usize,
}

impl SparseLayer {
    fn output(&self, weights: &[f32], bias: &[f32]) -> FlexTensor {
        let (input, width) = (&self.input, self.outputs);
        let mut values = vec![0.0; input.cells() * width];
        each_block(&mut values, &strips(width), self.shared(), |mut block| {
            vectorize(SumOfWeights {
                input,
                weights,
                width,
                block: &mut block,
            });
            vectorize(Finish {
                activation: self.activation,
                bias: &bias[block.columns()],
                rows: block.rows(),
            });
        });
        from_values(values, [input.cells(), width])
    }

    /// The gradient of the weights from that of the sum before the activation.
    fn weights_gradient(&self, gradient: &[f32]) -> Vec<f32> {
        let (input, width) = (&self.input, self.outputs);
        let genes = input.genes();
        let mut by_base = vec![0.0; input.count_bases() * width];
        for (row, &base) in gradient.chunks_exact(width).zip(input.base_of_row()) {
            for (sum, value) in by_base[base * width..][..width].iter_mut().zip(row) {
                *sum += value;
            }
        }
        let strips: Vec<Strip> = strips(width)
            .into_iter()
            .map(|columns| Strip {
                by_base: PaddedRows::new(&by_base, width, &columns),
                rows: PaddedRows::new(gradient, width, &columns),
                columns,
            })
            .collect();
        let mut values = Vec::<f32>::with_capacity(genes * width);
        let parts = values.spare_capacity_mut()[..genes * width]
            .chunks_mut(GENES_BACKWARD * width)
            .enumerate();
        let part = |(part, values): (usize, &mut [MaybeUninit<f32>])| {
            vectorize(GradientOfGenes {
                input,
                by_gene: input.differences_by_gene(),
                strips: &strips,
                first: part * GENES_BACKWARD,
                width,
                values,
            });
        };
        match self.shared() {
            true => parallel::for_each(parts, part),
            false => parts.for_each(part),
        }
        // SAFETY: there is room for genes × width values. The parts cover all genes; each writes every
        // strip of every gene of its own, and the strips cover the columns. A part that panics does
        // not let us come here.
        unsafe { values.set_len(genes * width) };
        values
    }

    /// Whether the work is worth sharing between threads.
    fn shared(&self) -> bool {
        self.input.differences().entries().len() * self.outputs >= SHARED_FROM
    }
}

/// Cuts columns into strips whose sums fit into registers.
fn strips(columns: usize) -> Vec<Range<usize>> {
    let mut strips = Vec::new();
    let mut start = 0;
    while start < columns {
        let left = columns - start;
        let fitting = WIDTHS.into_iter().find(|&width| width <= left);
        let end = start + fitting.unwrap_or(left);
        strips.push(start..end);
        start = end;
    }
    strips
}

/// Widths of strips. A narrower one is padded to the last.
const WIDTHS: [usize; 4] = [128, 64, 32, 16];

/// Calls `$work::<FMA, WIDTH>($arguments)` with the padded width of a strip.
macro_rules! at_width {
    ($columns:expr, $work:ident::<$fma:ident>($($argument:expr),*)) => {
        match $columns {
            128 => $work::<$fma, 128>($($argument),*),
            64 => $work::<$fma, 64>($($argument),*),
            32 => $work::<$fma, 32>($($argument),*),
            _ => $work::<$fma, 16>($($argument),*),
        }
    };
}

/// Rows of a strip, one after the other, each padded with zeros to one of the [`WIDTHS`], from the
/// boundary of a cache line on: a vector never straddles two lines, wherever the matrix lies.
struct PaddedRows {
    values: Vec<f32>,
    start: usize,
    length: usize,
}

impl PaddedRows {
    /// Zeros.
    fn zeros(rows: usize, width: usize) -> Self {
        const LINE: usize = 64 / size_of::<f32>();
        let length = rows * width;
        let values = vec![0f32; length + LINE];
        // Where a pointer's offset is not to be known, everything works unaligned.
        let start = values.as_ptr().align_offset(64).min(LINE);
        Self {
            values,
            start,
            length,
        }
    }

    /// The given columns of a matrix whose rows have `width` values.
    fn new(matrix: &[f32], width: usize, columns: &Range<usize>) -> Self {
        let padded = columns.len().max(WIDTHS[WIDTHS.len() - 1]);
        let mut rows = Self::zeros(matrix.len() / width, padded);
        let values = &mut rows.values[rows.start..];
        for (padded, row) in values.chunks_mut(padded).zip(matrix.chunks_exact(width)) {
            padded[..columns.len()].copy_from_slice(&row[columns.clone()]);
        }
        rows
    }

    #[inline(always)]
    fn rows<const N: usize>(&self) -> &[[f32; N]] {
        self.values[self.start..][..self.length].as_chunks().0
    }

    #[inline(always)]
    fn rows_mut<const N: usize>(&mut self) -> &mut [[f32; N]] {
        self.values[self.start..][..self.length].as_chunks_mut().0
    }
}

/// Writes input · weights into a block of the output.
struct SumOfWeights<'a, 'b> {
    input: &'a SparseInput,
    /// Weights `[genes, width]`.
    weights: &'a [f32],
    width: usize,
    block: &'a mut Tile<'b, f32>,
}

impl Vectorize for SumOfWeights<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool, const WIDE: bool>(self) {
        at_width!(self.block.columns().len(), sum_of_weights::<FMA>(self))
    }
}

#[inline(always)]
fn sum_of_weights<const FMA: bool, const N: usize>(work: SumOfWeights<'_, '_>) {
    let SumOfWeights {
        input,
        weights,
        width,
        block,
    } = work;
    let (cells, columns) = (block.row_range(), block.columns());
    let mut sums = PaddedRows::zeros(cells.len(), N);
    let mut sums_of_bases = PaddedRows::zeros(input.count_bases(), N);
    let mut near = PaddedRows::zeros(GENES_FORWARD, N);
    let (sums, sums_of_bases) = (sums.rows_mut::<N>(), sums_of_bases.rows_mut::<N>());
    let mut left: Vec<&[Entry]> = cells
        .clone()
        .map(|cell| input.differences().list(cell))
        .collect();
    for (part, weights) in weights.chunks(GENES_FORWARD * width).enumerate() {
        let first = part * GENES_FORWARD;
        let near = near.rows_mut::<N>();
        for (near, row) in near.iter_mut().zip(weights.chunks_exact(width)) {
            copy_padded(near, &row[columns.clone()]);
        }
        for (base, sums) in sums_of_bases.iter_mut().enumerate() {
            let inputs = input.base(base)[first..].iter();
            for (row, &value) in near.iter().zip(inputs) {
                add_row::<FMA, N>(sums, value, row);
            }
        }
        for (sums, left) in sums.iter_mut().zip(&mut left) {
            // A copy, which the compiler keeps in registers.
            let mut registers = *sums;
            while let [entry, rest @ ..] = *left
                && let Some(row) = near.get(entry.index as usize - first)
            {
                add_row::<FMA, N>(&mut registers, entry.value, row);
                *left = rest;
            }
            *sums = registers;
        }
    }
    let bases = &input.base_of_row()[cells];
    for ((row, sums), &base) in block.rows().zip(sums).zip(bases) {
        for ((value, sum), base) in row.iter_mut().zip(sums).zip(&sums_of_bases[base]) {
            *value = *base + *sum;
        }
    }
}

/// Copies a row; what is missing of it stays.
#[inline(always)]
fn copy_padded<const N: usize>(padded: &mut [f32; N], row: &[f32]) {
    // A row that fits is a few vectors, not a call.
    match <&[f32; N]>::try_from(row) {
        Ok(row) => *padded = *row,
        Err(_) => padded[..row.len()].copy_from_slice(row),
    }
}

/// A strip of the gradient of the sum before the activation.
struct Strip {
    columns: Range<usize>,
    /// Its rows `[cells, ..]`.
    rows: PaddedRows,
    /// Their sums over the cells of each base `[bases, ..]`.
    by_base: PaddedRows,
}

/// Writes the gradients of the weights of some genes.
struct GradientOfGenes<'a> {
    input: &'a SparseInput,
    /// The differences of every gene.
    by_gene: &'a EntryLists,
    strips: &'a [Strip],
    /// The first of the genes.
    first: usize,
    width: usize,
    /// What is written `[genes, width]`.
    values: &'a mut [MaybeUninit<f32>],
}

impl Vectorize for GradientOfGenes<'_> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool, const WIDE: bool>(mut self) {
        for strip in self.strips {
            at_width!(
                strip.columns.len(),
                gradient_of_genes::<FMA>(&mut self, strip)
            );
        }
    }
}

#[inline(always)]
fn gradient_of_genes<const FMA: bool, const N: usize>(
    work: &mut GradientOfGenes<'_>,
    strip: &Strip,
) {
    let (rows, by_base) = (strip.rows.rows::<N>(), strip.by_base.rows::<N>());
    for (gene, values) in work.values.chunks_exact_mut(work.width).enumerate() {
        let gene = work.first + gene;
        let mut sums = [0.0; N];
        for (base, row) in by_base.iter().enumerate() {
            add_row::<FMA, N>(&mut sums, work.input.base(base)[gene], row);
        }
        // A copy, which the compiler keeps in registers.
        let mut registers = sums;
        for entry in work.by_gene.list(gene) {
            add_row::<FMA, N>(&mut registers, entry.value, &rows[entry.index as usize]);
        }
        sums = registers;
        values[strip.columns.clone()].write_copy_of_slice(&sums[..strip.columns.len()]);
    }
}

#[inline(always)]
fn add_row<const FMA: bool, const N: usize>(sums: &mut [f32; N], weight: f32, row: &[f32; N]) {
    for (sum, value) in sums.iter_mut().zip(row) {
        *sum = mul_add::<FMA>(weight, *value, *sum);
    }
}

/// Backward step of a layer on sparse input; keeps the output if the activation's derivative needs
/// it.
#[derive(Debug)]
struct SparseLayerStep;

impl Backward<Flex, 2> for SparseLayerStep {
    type State = (SparseLayer, Option<FlexTensor>);

    fn backward(
        self,
        ops: Ops<Self::State, 2>,
        grads: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let (layer, output) = ops.state;
        let mut gradient = contiguous(grads.consume::<Flex>(&ops.node));
        let output = output.as_ref().map(|output| output.storage::<f32>());
        let by_bias = bias_gradient(layer.activation, layer.outputs, &mut gradient, output);
        let [weights, bias] = ops.parents;
        if let Some(node) = bias {
            grads.register::<Flex>(node.id, from_values(by_bias, [layer.outputs]));
        }
        if let Some(node) = weights {
            let by_weights = layer.weights_gradient(gradient.storage());
            let shape = [layer.input.genes(), layer.outputs];
            grads.register::<Flex>(node.id, from_values(by_weights, shape));
        }
    }
}

#[cfg(test)]
mod tests;
