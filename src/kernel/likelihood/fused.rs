//! The mean likelihood and its gradient in one pass over the entries.
//!
//! A row is swept twice. The first sweep treats every count as zero, in vectorised `f32`: about
//! nine entries in ten of a single-cell matrix are, and the likelihood of a zero needs no
//! log-gamma. The second visits the others, gathered in groups, in `f64`: there log-gammas of
//! nearly equal arguments are subtracted.

use std::sync::LazyLock;

use rayon::prelude::*;

use super::lanes::{self, double};
use super::{DISPERSION_MAX, DISPERSION_MIN, ln_mean_bounds};
use crate::kernel::special::{STIRLING, STIRLING_DIGAMMA, STIRLING_SHIFT, ln_gamma, polynomial};

/// Cells a task handles; part of the definition of the result, because sums are formed per block.
const BLOCK_CELLS: usize = 8;
/// Entries of the first sweep handled together.
const WIDTH: usize = 64;
/// Partial sums of a row; independent of the vector width of the CPU.
const PARTIAL_SUMS: usize = 16;
/// Entries of the second sweep handled together.
const GROUP: usize = 8;
/// Counts whose log-factorial is looked up.
const TABLE: usize = 1024;

static LN_FACTORIAL: LazyLock<[f64; TABLE]> =
    LazyLock::new(|| std::array::from_fn(|x| ln_gamma(x as f64 + 1.0)));

/// What the kernel reads; all slices row-major.
#[derive(Clone, Copy)]
pub(super) struct Inputs<'a> {
    /// `[cells, genes]`
    pub counts: &'a [f32],
    /// `[cells]`
    pub size_factors: &'a [f32],
    /// `[cells, genes]`
    pub mean_logits: &'a [f32],
    /// `[cells, genes]` or `[genes]`
    pub dispersion_logits: &'a [f32],
    /// `[cells, genes]`; absent for the plain negative binomial
    pub dropout_logits: Option<&'a [f32]>,
    pub cells: usize,
    pub genes: usize,
}

/// The derivative of the mean by the logits, in the shapes of the logits.
pub(super) struct Gradients {
    pub mean: Vec<f32>,
    pub dispersion: Vec<f32>,
    /// Empty for the plain negative binomial.
    pub dropout: Vec<f32>,
}

/// The mean over all entries and, if `differentiate`, its gradient.
pub(super) fn mean(inputs: Inputs<'_>, differentiate: bool) -> (f64, Option<Gradients>) {
    let Inputs { cells, genes, .. } = inputs;
    let entries = cells * genes;
    let by_gene = inputs.dispersion_logits.len() != entries;
    let length = |wanted: bool| if wanted && differentiate { entries } else { 0 };
    let mut gradients = Gradients {
        mean: vec![0.0; length(true)],
        dispersion: vec![0.0; length(!by_gene)],
        dropout: vec![0.0; length(inputs.dropout_logits.is_some())],
    };

    let size = BLOCK_CELLS * genes;
    let mut blocks = Vec::with_capacity(cells.div_ceil(BLOCK_CELLS));
    let mut mean_rest = gradients.mean.chunks_mut(size);
    let mut dispersion_rest = gradients.dispersion.chunks_mut(size);
    let mut dropout_rest = gradients.dropout.chunks_mut(size);
    for first in (0..cells).step_by(BLOCK_CELLS) {
        blocks.push(Block {
            first,
            cells: BLOCK_CELLS.min(cells - first),
            by_mean: mean_rest.next(),
            by_dispersion: dispersion_rest.next(),
            by_dropout: dropout_rest.next(),
            by_gene: (by_gene && differentiate).then(|| vec![0.0; genes]),
            scale: 1.0 / entries as f32,
        });
    }
    let sums: Vec<(f64, Option<Vec<f64>>)> = blocks
        .into_par_iter()
        .map(|block| match inputs.dropout_logits {
            Some(_) => block.run::<true>(inputs),
            None => block.run::<false>(inputs),
        })
        .collect();

    let total: f64 = sums.iter().map(|(sum, _)| sum).sum();
    if by_gene && differentiate {
        let mut by_dispersion = vec![0.0f64; genes];
        for partial in sums.iter().filter_map(|(_, partial)| partial.as_ref()) {
            for (sum, part) in by_dispersion.iter_mut().zip(partial) {
                *sum += part;
            }
        }
        gradients.dispersion = by_dispersion.into_iter().map(|sum| sum as f32).collect();
    }
    (total / entries as f64, differentiate.then_some(gradients))
}

/// A block of consecutive cells and where its gradient goes.
struct Block<'a> {
    first: usize,
    cells: usize,
    by_mean: Option<&'a mut [f32]>,
    by_dispersion: Option<&'a mut [f32]>,
    by_dropout: Option<&'a mut [f32]>,
    /// Sum over the block's cells where the dispersion is one a gene.
    by_gene: Option<Vec<f64>>,
    scale: f32,
}

impl Block<'_> {
    /// Compiled once for every vector width; the arithmetic, and so the result, is the same.
    fn run<const INFLATED: bool>(self, inputs: Inputs<'_>) -> (f64, Option<Vec<f64>>) {
        #[cfg(target_arch = "x86_64")]
        {
            if std::is_x86_feature_detected!("avx512f")
                && std::is_x86_feature_detected!("avx512bw")
                && std::is_x86_feature_detected!("avx512dq")
                && std::is_x86_feature_detected!("avx512vl")
            {
                // SAFETY: the CPU has just been found to have these features.
                return unsafe { run_avx512::<INFLATED>(self, inputs) };
            }
            if std::is_x86_feature_detected!("avx2") {
                // SAFETY: the CPU has just been found to have this feature.
                return unsafe { run_avx2::<INFLATED>(self, inputs) };
            }
        }
        self.sweep::<INFLATED>(inputs)
    }

    #[inline(always)]
    fn sweep<const INFLATED: bool>(mut self, inputs: Inputs<'_>) -> (f64, Option<Vec<f64>>) {
        let genes = inputs.genes;
        let mut sum = 0.0;
        let mut found = Vec::with_capacity(genes);
        let mut scratch = [const { Vec::new() }; 3];
        for cell in 0..self.cells {
            let within = cell * genes..(cell + 1) * genes;
            let start = (self.first + cell) * genes;
            let global = start..start + genes;
            let row = Row {
                counts: &inputs.counts[global.clone()],
                mean: &inputs.mean_logits[global.clone()],
                dispersion: match inputs.dispersion_logits.len() == genes {
                    true => inputs.dispersion_logits,
                    false => &inputs.dispersion_logits[global.clone()],
                },
                dropout: inputs.dropout_logits.map_or(&[], |logits| &logits[global]),
                size_factor: inputs.size_factors[self.first + cell],
            };
            let [scratch_mean, scratch_dispersion, scratch_dropout] = &mut scratch;
            let mut out = RowGradients {
                mean: destination(&mut self.by_mean, within.clone(), scratch_mean),
                dispersion: destination(
                    &mut self.by_dispersion,
                    within.clone(),
                    scratch_dispersion,
                ),
                dropout: destination(&mut self.by_dropout, within, scratch_dropout),
                scale: self.scale,
            };
            found.clear();
            sum += row.as_zeros::<INFLATED>(&mut out, &mut found);
            sum += row.positive::<INFLATED>(&mut out, &found);
            if let Some(by_gene) = &mut self.by_gene {
                for (sum, &part) in by_gene.iter_mut().zip(out.dispersion.iter()) {
                    *sum += f64::from(part);
                }
            }
        }
        (sum, self.by_gene)
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
fn run_avx512<const INFLATED: bool>(
    block: Block<'_>,
    inputs: Inputs<'_>,
) -> (f64, Option<Vec<f64>>) {
    block.sweep::<INFLATED>(inputs)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn run_avx2<const INFLATED: bool>(block: Block<'_>, inputs: Inputs<'_>) -> (f64, Option<Vec<f64>>) {
    block.sweep::<INFLATED>(inputs)
}

/// The part of a gradient that belongs to a row, or a scratch row where nobody wants it.
fn destination<'a>(
    wanted: &'a mut Option<&mut [f32]>,
    within: std::ops::Range<usize>,
    scratch: &'a mut Vec<f32>,
) -> &'a mut [f32] {
    match wanted {
        Some(gradient) => &mut gradient[within],
        None => {
            scratch.resize(within.len(), 0.0);
            scratch
        }
    }
}

/// One cell.
struct Row<'a> {
    counts: &'a [f32],
    mean: &'a [f32],
    dispersion: &'a [f32],
    /// Empty for the plain negative binomial.
    dropout: &'a [f32],
    size_factor: f32,
}

/// Where one cell's gradient goes, and the factor it is multiplied by.
struct RowGradients<'a> {
    mean: &'a mut [f32],
    dispersion: &'a mut [f32],
    dropout: &'a mut [f32],
    scale: f32,
}

impl Row<'_> {
    /// First sweep: gradients as if every count were zero, the sum over those that are, and the
    /// positions of those that are not.
    #[inline(always)]
    fn as_zeros<const INFLATED: bool>(
        &self,
        out: &mut RowGradients<'_>,
        found: &mut Vec<u32>,
    ) -> f64 {
        let (ln_min, ln_max) = ln_mean_bounds();
        let (ln_min, ln_max) = (ln_min as f32, ln_max as f32);
        let ln_size_factor = f64::from(self.size_factor).ln() as f32;
        let genes = self.counts.len();
        let mut sums = [0.0f64; PARTIAL_SUMS];
        let mut start = 0;
        while start < genes {
            let length = WIDTH.min(genes - start);
            let chunk = start..start + length;
            // Copies in local arrays: a fixed length and no aliasing let the loop vectorise.
            let mut counts = [0.0f32; WIDTH];
            let mut mean = [0.0f32; WIDTH];
            let mut dispersion = [0.0f32; WIDTH];
            let mut dropout = [0.0f32; WIDTH];
            counts[..length].copy_from_slice(&self.counts[chunk.clone()]);
            mean[..length].copy_from_slice(&self.mean[chunk.clone()]);
            dispersion[..length].copy_from_slice(&self.dispersion[chunk.clone()]);
            if INFLATED {
                dropout[..length].copy_from_slice(&self.dropout[chunk.clone()]);
            }
            let mut values = [0.0f32; WIDTH];
            for i in 0..WIDTH {
                let clamped = if mean[i] < ln_min { ln_min } else { mean[i] };
                let clamped = if clamped > ln_max { ln_max } else { clamped };
                let inside = if clamped == mean[i] { out.scale } else { 0.0 };
                let entry = zero::<INFLATED>(clamped + ln_size_factor, dispersion[i], dropout[i]);
                values[i] = entry.value;
                mean[i] = entry.by_log_mean * inside;
                dispersion[i] = entry.by_dispersion * out.scale;
                dropout[i] = entry.by_dropout * out.scale;
            }
            // The padding of the last chunk is not part of the row.
            values[length..].fill(0.0);
            for (values, counts) in values
                .chunks_exact(PARTIAL_SUMS)
                .zip(counts.chunks_exact(PARTIAL_SUMS))
            {
                for i in 0..PARTIAL_SUMS {
                    sums[i] += f64::from(if counts[i] == 0.0 { values[i] } else { 0.0 });
                }
            }
            out.mean[chunk.clone()].copy_from_slice(&mean[..length]);
            out.dispersion[chunk.clone()].copy_from_slice(&dispersion[..length]);
            if INFLATED {
                out.dropout[chunk].copy_from_slice(&dropout[..length]);
            }
            for (i, &count) in counts[..length].iter().enumerate() {
                if count != 0.0 {
                    found.push((start + i) as u32);
                }
            }
            start += length;
        }
        sums.iter().sum()
    }

    /// Second sweep: the entries that are not zero.
    #[inline(always)]
    fn positive<const INFLATED: bool>(&self, out: &mut RowGradients<'_>, found: &[u32]) -> f64 {
        let (ln_min, ln_max) = ln_mean_bounds();
        let (narrow_min, narrow_max) = (ln_min as f32, ln_max as f32);
        let ln_size_factor = f64::from(self.size_factor).ln();
        let ln_factorials = &*LN_FACTORIAL;
        let mut sum = 0.0;
        for group in found.chunks(GROUP) {
            let mut x = [1.0f64; GROUP];
            let mut ln_factorial = [0.0f64; GROUP];
            let mut log_mean = [0.0f64; GROUP];
            let mut dispersion = [0.0f64; GROUP];
            let mut dropout = [0.0f64; GROUP];
            let mut inside = [false; GROUP];
            for (i, &gene) in group.iter().enumerate() {
                let gene = gene as usize;
                let count = self.counts[gene];
                let logit = self.mean[gene];
                x[i] = f64::from(count);
                let index = count as usize;
                ln_factorial[i] = match ln_factorials.get(index) {
                    Some(&known) if index as f32 == count => known,
                    _ => ln_gamma(x[i] + 1.0),
                };
                // The bounds as the first sweep sees them decide which side a logit is on.
                inside[i] = (narrow_min..=narrow_max).contains(&logit);
                log_mean[i] = f64::from(logit).clamp(ln_min, ln_max) + ln_size_factor;
                dispersion[i] = f64::from(self.dispersion[gene]);
                if INFLATED {
                    dropout[i] = f64::from(self.dropout[gene]);
                }
            }
            let mut values = [0.0f64; GROUP];
            for i in 0..GROUP {
                let entry = count::<INFLATED>(
                    x[i],
                    ln_factorial[i],
                    log_mean[i],
                    dispersion[i],
                    dropout[i],
                );
                values[i] = entry.value;
                log_mean[i] = entry.by_log_mean;
                dispersion[i] = entry.by_dispersion;
                dropout[i] = entry.by_dropout;
            }
            for (i, &gene) in group.iter().enumerate() {
                let gene = gene as usize;
                sum += values[i];
                out.mean[gene] = if inside[i] {
                    log_mean[i] as f32 * out.scale
                } else {
                    0.0
                };
                out.dispersion[gene] = dispersion[i] as f32 * out.scale;
                if INFLATED {
                    out.dropout[gene] = dropout[i] as f32 * out.scale;
                }
            }
        }
        sum
    }
}

/// The likelihood of one entry and its derivatives.
struct Entry<T> {
    value: T,
    by_log_mean: T,
    by_dispersion: T,
    by_dropout: T,
}

/// A count of zero, in `f32`. The forms are those of `point.rs`, with the exponentials shared.
#[inline(always)]
fn zero<const INFLATED: bool>(log_mean: f32, dispersion: f32, dropout: f32) -> Entry<f32> {
    let tail = lanes::exp(-dispersion.abs());
    let raw = positive_part(dispersion) + lanes::ln_1p(tail);
    let theta = if raw < DISPERSION_MIN as f32 {
        DISPERSION_MIN as f32
    } else {
        raw
    };
    let theta = if theta > DISPERSION_MAX as f32 {
        DISPERSION_MAX as f32
    } else {
        theta
    };
    let slope = (if dispersion > 0.0 { 1.0 } else { tail }) / (1.0 + tail);
    let slope = if theta == raw { slope } else { 0.0 };

    let t = log_mean - lanes::ln(theta);
    let tail = lanes::exp(-t.abs());
    let log1p_ratio = positive_part(t) + lanes::ln_1p(tail);
    let share = (if t > 0.0 { 1.0 } else { tail }) / (1.0 + tail);
    let z = theta * log1p_ratio;
    let by_log_mean = theta * share;
    // −ln(1 − w) − w with w = μ / (θ + μ), as a series where the subtraction would cancel.
    let w = share;
    let high = 1.0 / 5.0 + w * (1.0 / 6.0 + w * (1.0 / 7.0 + w * (1.0 / 8.0)));
    let series = w * w * (0.5 + w * (1.0 / 3.0 + w * (0.25 + w * high)));
    let by_theta = if w < 0.1 { series } else { log1p_ratio - w };
    if !INFLATED {
        return Entry {
            value: z,
            by_log_mean,
            by_dispersion: by_theta * slope,
            by_dropout: 0.0,
        };
    }

    let (scale, rest) = lanes::exp_parts(-z);
    let lost = (1.0 - scale) - scale * rest;
    let prior_tail = lanes::exp(-dropout.abs());
    let kept = (if dropout > 0.0 { prior_tail } else { 1.0 }) / (1.0 + prior_tail);
    let posterior = dropout + z;
    let posterior_tail = lanes::exp(-posterior.abs());
    let posterior_inverse = 1.0 / (1.0 + posterior_tail);
    let posterior_minor = posterior_tail * posterior_inverse;
    let (from_dropout, from_counts) = if posterior > 0.0 {
        (posterior_inverse, posterior_minor)
    } else {
        (posterior_minor, posterior_inverse)
    };
    let near = z <= std::f32::consts::LN_2;
    let kept_lost = kept * lost;
    let base = if near {
        0.0
    } else {
        let head = positive_part(-dropout);
        if z < head { z } else { head }
    };
    let numerator = if near {
        kept_lost
    } else {
        prior_tail - posterior_tail
    };
    let denominator = if near {
        1.0 - kept_lost
    } else {
        1.0 + posterior_tail
    };
    Entry {
        value: base + lanes::ln_1p(numerator / denominator),
        by_log_mean: from_counts * by_log_mean,
        by_dispersion: from_counts * by_theta * slope,
        by_dropout: -kept_lost * from_dropout,
    }
}

/// max(x, 0), NaN for NaN.
#[inline(always)]
fn positive_part(x: f32) -> f32 {
    if x < 0.0 { 0.0 } else { x }
}

/// A positive count, in `f64`.
#[inline(always)]
fn count<const INFLATED: bool>(
    x: f64,
    ln_factorial: f64,
    log_mean: f64,
    dispersion: f64,
    dropout: f64,
) -> Entry<f64> {
    let (raw, slope, _) = logistic(dispersion);
    let theta = if raw < DISPERSION_MIN {
        DISPERSION_MIN
    } else {
        raw
    };
    let theta = if theta > DISPERSION_MAX {
        DISPERSION_MAX
    } else {
        theta
    };
    let slope = if theta == raw { slope } else { 0.0 };

    let t = log_mean - double::ln(theta);
    let (log1p_ratio, share, complement) = logistic(t);
    let (ln_gamma_theta, digamma_theta) = ln_gamma_and_digamma(theta);
    let (ln_gamma_total, digamma_total) = ln_gamma_and_digamma(theta + x);
    // softplus(−t) = softplus(t) − t.
    let value = (ln_gamma_theta - ln_gamma_total)
        + ln_factorial
        + theta * log1p_ratio
        + x * (log1p_ratio - t);
    let by_theta = (digamma_theta - digamma_total) + log1p_ratio + (x * complement / theta - share);
    let (dropout_value, by_dropout) = if INFLATED {
        let (softplus, sigmoid, _) = logistic(dropout);
        (softplus, sigmoid)
    } else {
        (0.0, 0.0)
    };
    Entry {
        value: value + dropout_value,
        by_log_mean: theta * share - x * complement,
        by_dispersion: by_theta * slope,
        by_dropout,
    }
}

/// ln(1 + eʸ), σ(y) and σ(−y).
#[inline(always)]
fn logistic(y: f64) -> (f64, f64, f64) {
    let tail = double::exp(-y.abs());
    let inverse = 1.0 / (1.0 + tail);
    let minor = tail * inverse;
    let head = if y < 0.0 { 0.0 } else { y };
    let (sigmoid, complement) = if y > 0.0 {
        (inverse, minor)
    } else {
        (minor, inverse)
    };
    (head + double::ln_1p(tail), sigmoid, complement)
}

/// ln Γ and ψ of a positive argument, always shifted, so that there is no branch.
#[inline(always)]
fn ln_gamma_and_digamma(z: f64) -> (f64, f64) {
    let mut product = z;
    let mut derivative = 1.0;
    for j in 1..STIRLING_SHIFT {
        let factor = z + j as f64;
        derivative = derivative * factor + product;
        product *= factor;
    }
    let w = z + STIRLING_SHIFT as f64;
    let inverse = 1.0 / w;
    let square = inverse * inverse;
    let ln_w = double::ln(w);
    // Without ½ ln 2π, which the difference of two loses again.
    let ln_gamma =
        (w - 0.5) * ln_w - w + inverse * polynomial(square, &STIRLING) - double::ln(product);
    let digamma = ln_w - 0.5 * inverse + square * polynomial(square, &STIRLING_DIGAMMA)
        - derivative / product;
    (ln_gamma, digamma)
}
