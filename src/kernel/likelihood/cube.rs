//! The likelihoods as kernels for GPUs: the value by one pass, the gradients by another one.
//!
//! The forms are those of `composed.rs`, which lose nothing in `f32`. The gradients are computed
//! anew instead of kept: that reads less memory than to write, read and scale them.

use burn::backend::Cube;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops};
use burn::tensor::Tensor;
use burn_cubecl::cubecl::{self, prelude::*};

use super::composed::{ARTANH, EXCESS_SERIES_MAX};
use super::{DISPERSION_MAX, DISPERSION_MIN, MEAN_MAX, MEAN_MIN, SMALL_THETA, Sizes};
use crate::kernel::cube::functions::{
    bounded, exp, ln, ln_1p_small, logistic, one_minus_exp_neg, polynomial, unless_nan,
};
use crate::kernel::cube::reduce::{
    COLUMNS, ROWS, UNITS, finished, sum_of_column, sum_of_cube, summing,
};
use crate::kernel::cube::{CubeTensor, column_units, contiguous, primitive, room, unfused};
use crate::kernel::operation::{Parent, record};
use crate::kernel::special::{HALF_LN_TWO_PI, STIRLING, STIRLING_DIGAMMA};

/// The argument from which on Stirling's series is exact in `f32`, and the steps that bring every
/// positive one there.
const SHIFT: f32 = 3.0;

const fn narrowed<const N: usize>(wide: [f64; N]) -> [f32; N] {
    let mut narrow = [0.0; N];
    let mut i = 0;
    while i < N {
        narrow[i] = wide[i] as f32;
        i += 1;
    }
    narrow
}

const STIRLING_F32: [f32; 8] = narrowed(STIRLING);
const STIRLING_DIGAMMA_F32: [f32; 8] = narrowed(STIRLING_DIGAMMA);
const ARTANH_F32: [f32; 10] = narrowed(ARTANH);

/// The likelihood of one entry and its derivatives by the logits.
#[derive(CubeType, Clone, Copy)]
struct Entry {
    value: f32,
    by_mean: f32,
    by_dispersion: f32,
    by_dropout: f32,
}

#[cube]
#[allow(
    unused_assignments,
    reason = "a variable of a kernel has a value before it is assigned"
)]
fn entry(
    count: f32,
    size_factor: f32,
    mean_logit: f32,
    dispersion_logit: f32,
    dropout_logit: f32,
    #[comptime] inflated: bool,
) -> Entry {
    let inside = bounded(
        mean_logit,
        comptime!(MEAN_MIN.ln() as f32),
        comptime!(MEAN_MAX.ln() as f32),
    );
    let log_mean = inside + ln(size_factor);
    let dispersion = logistic(dispersion_logit);
    let theta = bounded(
        dispersion.softplus,
        comptime!(DISPERSION_MIN as f32),
        comptime!(DISPERSION_MAX as f32),
    );
    let ln_theta = ln(theta);
    let ratio = logistic(log_mean - ln_theta);
    // The derivative of θ ln(1 + μ/θ) by θ.
    let zero_by_theta = excess(-ratio.sigmoid, -ratio.softplus);

    let mut value = 0.0f32;
    let mut by_log_mean = 0.0f32;
    let mut by_theta = 0.0f32;
    let mut by_dropout = 0.0f32;
    if count == 0.0f32 {
        // z = −ln of the negative binomial's own probability of zero, θ ln(1 + μ/θ).
        let z = theta * ratio.softplus;
        if inflated {
            let dropout = logistic(dropout_logit);
            let posterior = logistic(dropout_logit + z);
            let kept_lost = dropout.complement * one_minus_exp_neg(z);
            // Where z is small the difference of softplus terms would cancel, where it is large
            // 1 − (1 − π)(1 − e⁻ᶻ) would.
            let near = z <= comptime!(std::f32::consts::LN_2);
            let head = bounded(-dropout_logit, 0.0, comptime!(f32::MAX));
            let far = select(z < head, z, head) + ln_1p_small(tail(dropout_logit))
                - ln_1p_small(tail(dropout_logit + z));
            let lost = select(near, kept_lost, 0.0f32);
            value = select(near, -ln_1p_small(-lost), far);
            by_log_mean = theta * ratio.sigmoid * posterior.complement;
            by_theta = zero_by_theta * posterior.complement;
            by_dropout = -kept_lost * posterior.sigmoid;
        } else {
            value = z;
            by_log_mean = theta * ratio.sigmoid;
            by_theta = zero_by_theta;
        }
    } else {
        let mean = exp(log_mean);
        let ln_count = ln(count);
        let total = count + theta;
        let ln_total = ln(total);
        let scale = mean + theta;
        let difference = count - mean;
        let u = difference / scale;
        let ln_ratio = ln_1p_or(u, ln_total - ln(scale));
        let v = theta / mean * (difference / total);
        let ln_count_ratio = ln_1p_or(v, ln_count - log_mean - ln_ratio);
        value = count * ln_count_ratio - theta * ln_ratio
            + (ln_count + ln_total - ln_theta) * 0.5f32
            + stirling_error(theta)
            + (stirling_error(count) - stirling_error(total))
            + comptime!(HALF_LN_TWO_PI as f32);
        by_log_mean = -difference * ratio.complement;
        // See `composed.rs` for the two forms.
        if theta < comptime!(SMALL_THETA as f32) {
            let above_one = (count - 1.0f32) / (theta + 1.0f32);
            by_theta = digamma_minus_ln(theta + 1.0f32) - digamma_minus_ln(total)
                + ((count - 1.0f32) / scale - ratio.sigmoid / theta + zero_by_theta
                    - ln_1p_or(above_one, ln(1.0f32 + above_one)));
        } else {
            by_theta = digamma_minus_ln(theta) - digamma_minus_ln(total) + excess(u, ln_ratio);
        }
        if inflated {
            let dropout = logistic(dropout_logit);
            value += dropout.softplus;
            by_dropout = dropout.sigmoid;
        }
    }
    // Diverged logits do not hide behind a clamp or a choice.
    value = unless_nan(mean_logit, unless_nan(dispersion_logit, value));
    value = unless_nan(dropout_logit, value);
    // A logit beyond a clamp has no gradient.
    let mean_acts = inside == mean_logit;
    let dispersion_acts = theta == dispersion.softplus;
    Entry {
        value,
        by_mean: select(mean_acts, by_log_mean, 0.0f32),
        by_dispersion: select(dispersion_acts, by_theta * dispersion.sigmoid, 0.0f32),
        by_dropout,
    }
}

/// e^−|x|.
#[cube]
fn tail(x: f32) -> f32 {
    exp(select(x < 0.0f32, x, -x))
}

/// ln(1 + u) where |u| ≤ ½, the given value of it elsewhere.
#[cube]
fn ln_1p_or(u: f32, elsewhere: f32) -> f32 {
    let magnitude = select(u < 0.0f32, -u, u);
    let small = magnitude <= 0.5f32;
    select(small, ln_1p_small(select(small, u, 0.0f32)), elsewhere)
}

/// u − ln(1 + u) without cancellation at small u.
#[cube]
fn excess(u: f32, ln_1p_u: f32) -> f32 {
    let magnitude = select(u < 0.0f32, -u, u);
    let k = u / (u + 2.0f32);
    let square = k * k;
    let tail = polynomial(square, comptime!(&ARTANH_F32[..])) * square * 2.0f32;
    select(
        magnitude > comptime!(EXCESS_SERIES_MAX as f32),
        u - ln_1p_u,
        k * (u - tail),
    )
}

/// The error of Stirling's formula for ln Γ.
#[cube]
fn stirling_error(z: f32) -> f32 {
    let large = z >= comptime!(SHIFT);
    let argument = select(large, z, z + comptime!(SHIFT));
    let inverse = 1.0f32 / argument;
    let series = polynomial(inverse * inverse, comptime!(&STIRLING_F32[..])) * inverse;
    let ln_argument = ln(argument);
    let product = z * (z + 1.0f32) * (z + 2.0f32);
    let correction = (z - 0.5f32) * (ln_argument - ln(z)) + ln_argument * comptime!(SHIFT)
        - comptime!(SHIFT)
        - ln(product);
    series + select(large, 0.0f32, correction)
}

/// ψ(z) − ln z.
#[cube]
fn digamma_minus_ln(z: f32) -> f32 {
    let large = z >= comptime!(SHIFT);
    let argument = select(large, z, z + comptime!(SHIFT));
    let inverse = 1.0f32 / argument;
    let square = inverse * inverse;
    let asymptotic =
        polynomial(square, comptime!(&STIRLING_DIGAMMA_F32[..])) * square - inverse * 0.5f32;
    let reciprocals = 1.0f32 / z + 1.0f32 / (z + 1.0f32) + 1.0f32 / (z + 2.0f32);
    let correction = ln(argument) - ln(z) - reciprocals;
    asymptotic + select(large, 0.0f32, correction)
}

/// The dropout logit of an entry, if there is dropout.
#[cube]
fn dropout_at(dropout: &[f32], place: usize, #[comptime] inflated: bool) -> f32 {
    if inflated {
        dropout[place]
    } else {
        0.0f32.runtime()
    }
}

#[cube(launch)]
#[allow(clippy::too_many_arguments, reason = "a kernel's buffers")]
fn values(
    counts: &[f32],
    size_factors: &[f32],
    mean: &[f32],
    dispersion: &[f32],
    dropout: &[f32],
    partial: &mut [f32],
    genes: u32,
    per_cube: u32,
    #[comptime] inflated: bool,
    #[comptime] by_gene: bool,
) {
    let genes = genes as usize;
    let start = CUBE_POS * per_cube as usize;
    let end = min(start + per_cube as usize, counts.len());
    let mut place = start + UNIT_POS as usize;
    let mut sum = 0.0f32;
    while place < end {
        let cell = place / genes;
        let of_dispersion = if by_gene { place - cell * genes } else { place };
        let dropout_logit = dropout_at(dropout, place, inflated);
        let entry = entry(
            counts[place],
            size_factors[cell],
            mean[place],
            dispersion[of_dispersion],
            dropout_logit,
            inflated,
        );
        sum += entry.value;
        place += comptime!(UNITS as usize);
    }
    let sum = sum_of_cube(sum);
    if UNIT_POS == 0 {
        partial[CUBE_POS] = sum;
    }
}

/// Gradients of the mean over all entries, times that which arrives from above.
#[cube(launch)]
#[allow(clippy::too_many_arguments, reason = "a kernel's buffers")]
fn gradients(
    counts: &[f32],
    size_factors: &[f32],
    mean: &[f32],
    dispersion: &[f32],
    dropout: &[f32],
    upstream: &[f32],
    by_mean: &mut [f32],
    by_dispersion: &mut [f32],
    by_dropout: &mut [f32],
    cells: u32,
    genes: u32,
    #[comptime] inflated: bool,
    #[comptime] by_gene: bool,
) {
    let cells = cells as usize;
    let genes = genes as usize;
    let gene = CUBE_POS_X as usize * comptime!(COLUMNS as usize) + UNIT_POS_X as usize;
    let scale = upstream[0] / f32::cast_from(counts.len() as u32);
    let mut sum = 0.0f32;
    if gene < genes {
        let mut cell = UNIT_POS_Y as usize;
        while cell < cells {
            let place = cell * genes + gene;
            let of_dispersion = if by_gene { gene } else { place };
            let dropout_logit = dropout_at(dropout, place, inflated);
            let entry = entry(
                counts[place],
                size_factors[cell],
                mean[place],
                dispersion[of_dispersion],
                dropout_logit,
                inflated,
            );
            by_mean[place] = entry.by_mean * scale;
            if by_gene {
                sum += entry.by_dispersion;
            } else {
                by_dispersion[place] = entry.by_dispersion * scale;
            }
            if inflated {
                by_dropout[place] = entry.by_dropout * scale;
            }
            cell += comptime!(ROWS as usize);
        }
    }
    if by_gene {
        let sum = sum_of_column(sum);
        if gene < genes && UNIT_POS_Y == 0 {
            by_dispersion[gene] = sum * scale;
        }
    }
}

/// The mean by the kernel, or nothing where it does not apply: another backend or float type, inputs
/// without [sizes](super::sizes).
pub(super) fn mean(
    counts: &Tensor<2>,
    size_factors: &Tensor<1>,
    mean_logits: &Tensor<2>,
    dispersion_logits: &Tensor<2>,
    dropout_logits: Option<&Tensor<2>>,
) -> Option<Tensor<1>> {
    let Sizes {
        cells,
        genes,
        by_gene,
    } = super::sizes(
        counts,
        size_factors,
        mean_logits,
        dispersion_logits,
        dropout_logits,
    )?;
    let inputs = Inputs {
        counts: contiguous(counts)?,
        size_factors: contiguous(size_factors)?,
        mean: contiguous(mean_logits)?,
        dispersion: contiguous(dispersion_logits)?,
        dropout: match dropout_logits {
            Some(logits) => Some(contiguous(logits)?),
            None => None,
        },
        cells,
        genes,
        by_gene,
    };
    let output = primitive(inputs.mean());
    match dropout_logits {
        Some(dropout) => record::<Cube, _, 3, 1>(
            LikelihoodMean,
            [mean_logits, dispersion_logits, dropout],
            output,
            || inputs,
        ),
        None => record::<Cube, _, 2, 1>(
            LikelihoodMean,
            [mean_logits as &dyn Parent<Cube>, dispersion_logits],
            output,
            || inputs,
        ),
    }
}

#[derive(Debug, Clone)]
struct Inputs {
    counts: CubeTensor,
    size_factors: CubeTensor,
    mean: CubeTensor,
    dispersion: CubeTensor,
    dropout: Option<CubeTensor>,
    cells: usize,
    genes: usize,
    /// Whether there is one dispersion a gene.
    by_gene: bool,
}

impl Inputs {
    /// A buffer for the kernels' `dropout`, which they read only if there is one.
    fn dropout(&self) -> CubeTensor {
        self.dropout.as_ref().unwrap_or(&self.mean).clone()
    }

    fn mean(&self) -> CubeTensor {
        let entries = self.cells * self.genes;
        let (count, dim, cubes) = summing(entries);
        let partial = room(&self.mean, [cubes]);
        values::launch(
            &self.mean.client,
            count,
            dim,
            self.counts.clone().into_buffer_arg(),
            self.size_factors.clone().into_buffer_arg(),
            self.mean.clone().into_buffer_arg(),
            self.dispersion.clone().into_buffer_arg(),
            self.dropout().into_buffer_arg(),
            partial.clone().into_buffer_arg(),
            self.genes as u32,
            entries.div_ceil(cubes) as u32,
            self.dropout.is_some(),
            self.by_gene,
        );
        finished(partial, 1.0 / entries as f32)
    }

    /// The gradients by mean, dispersion and dropout logits; the last one has no entries where
    /// there is no dropout.
    fn gradients(&self, upstream: CubeTensor) -> [CubeTensor; 3] {
        let (cells, genes) = (self.cells, self.genes);
        let by_mean = room(&self.mean, [cells, genes]);
        let rows = if self.by_gene { 1 } else { cells };
        let by_dispersion = room(&self.mean, [rows, genes]);
        let by_dropout = match &self.dropout {
            Some(_) => room(&self.mean, [cells, genes]),
            None => room(&self.mean, [1, 1]),
        };
        let (count, dim) = column_units(genes);
        gradients::launch(
            &self.mean.client,
            count,
            dim,
            self.counts.clone().into_buffer_arg(),
            self.size_factors.clone().into_buffer_arg(),
            self.mean.clone().into_buffer_arg(),
            self.dispersion.clone().into_buffer_arg(),
            self.dropout().into_buffer_arg(),
            upstream.into_buffer_arg(),
            by_mean.clone().into_buffer_arg(),
            by_dispersion.clone().into_buffer_arg(),
            by_dropout.clone().into_buffer_arg(),
            cells as u32,
            genes as u32,
            self.dropout.is_some(),
            self.by_gene,
        );
        [by_mean, by_dispersion, by_dropout]
    }
}

/// Backward step of [`mean`].
#[derive(Debug)]
struct LikelihoodMean;

impl<const N: usize> Backward<Cube, N> for LikelihoodMean {
    type State = Inputs;

    fn backward(
        self,
        ops: Ops<Inputs, N>,
        grads: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let upstream = unfused(grads.consume::<Cube>(&ops.node)).expect("made by a kernel");
        let gradients = ops.state.gradients(upstream);
        for (parent, gradient) in ops.parents.into_iter().zip(gradients) {
            if let Some(parent) = parent {
                grads.register::<Cube>(parent.id, primitive(gradient));
            }
        }
    }
}
