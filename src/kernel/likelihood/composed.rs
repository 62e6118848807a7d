//! The likelihoods in tensor operations: every backend, every float type.
//!
//! The gradient is formed in closed form beside the value, because reverse-mode differentiation
//! of the value's formula cancels catastrophically in `f32` (for a mean far above the dispersion
//! it subtracts two numbers near the count to obtain one near the dispersion). It is attached to
//! the graph as `value + Σ (logit − constant copy of logit) · gradient`, whose value is exactly
//! `value` and whose derivative is exactly `gradient`.

use std::f64::consts::LN_2;

use burn::tensor::{Bool, Tensor};

use super::{DISPERSION_MAX, DISPERSION_MIN, SMALL_THETA, ln_mean_bounds};
use crate::kernel::special::{
    HALF_LN_TWO_PI, digamma_minus_ln_tensor, horner, stirling_error_tensor,
};

/// Below this |u|, u − ln(1 + u) is summed as a series instead of subtracted.
pub(super) const EXCESS_SERIES_MAX: f64 = 0.3;

/// 1/3, 1/5, …: the coefficients of artanh(k)/k − 1 in k², divided by k².
pub(super) const ARTANH: [f64; 10] = [
    1.0 / 3.0,
    1.0 / 5.0,
    1.0 / 7.0,
    1.0 / 9.0,
    1.0 / 11.0,
    1.0 / 13.0,
    1.0 / 15.0,
    1.0 / 17.0,
    1.0 / 19.0,
    1.0 / 21.0,
];

/// Negative log-likelihood of every entry, differentiable in the logits and the size factors.
pub(super) fn negative_log_likelihood(
    counts: Tensor<2>,
    size_factors: Tensor<1>,
    mean_logits: Tensor<2>,
    dispersion_logits: Tensor<2>,
    dropout_logits: Option<Tensor<2>>,
) -> Tensor<2> {
    let ln_size_factors = size_factors.log().unsqueeze_dim::<2>(1);
    let differentiated = ln_size_factors.is_tracked()
        || mean_logits.is_tracked()
        || dispersion_logits.is_tracked()
        || dropout_logits.as_ref().is_some_and(Tensor::is_tracked);
    let terms = Terms::new(
        counts.inner(),
        ln_size_factors.clone().inner(),
        mean_logits.clone().inner(),
        dispersion_logits.clone().inner(),
        dropout_logits.clone().map(Tensor::inner),
    );
    if !differentiated {
        return terms.value;
    }
    let mut value = terms.value
        + displacement(mean_logits) * terms.by_mean
        + displacement(dispersion_logits) * terms.by_dispersion;
    if let Some((logits, gradient)) = dropout_logits.zip(terms.by_dropout) {
        value = value + displacement(logits) * gradient;
    }
    if ln_size_factors.is_tracked() {
        value = value + displacement(ln_size_factors) * terms.by_log_mean;
    }
    value
}

/// x − constant copy of x: zero, with the derivative of x.
fn displacement(x: Tensor<2>) -> Tensor<2> {
    let constant = x.clone().inner();
    x - constant
}

/// ln(1 + eʸ), the logistic σ(y) and σ(−y), each with full relative accuracy.
struct Logistic {
    softplus: Tensor<2>,
    sigmoid: Tensor<2>,
    complement: Tensor<2>,
}

impl Logistic {
    fn new(y: Tensor<2>) -> Self {
        let tail = (-y.clone().abs()).exp();
        let inverse = (tail.clone() + 1.0).recip();
        let minor = tail.clone() * inverse.clone();
        let positive = y.clone().greater_elem(0.0);
        Self {
            softplus: y.clamp_min(0.0) + tail.log1p(),
            sigmoid: minor.clone().mask_where(positive.clone(), inverse.clone()),
            complement: inverse.mask_where(positive, minor),
        }
    }
}

/// The value of every entry and its derivatives by what produced it.
struct Terms {
    value: Tensor<2>,
    by_log_mean: Tensor<2>,
    by_mean: Tensor<2>,
    by_dispersion: Tensor<2>,
    by_dropout: Option<Tensor<2>>,
}

impl Terms {
    fn new(
        counts: Tensor<2>,
        ln_size_factors: Tensor<2>,
        mean_logits: Tensor<2>,
        dispersion_logits: Tensor<2>,
        dropout_logits: Option<Tensor<2>>,
    ) -> Self {
        let (ln_min, ln_max) = ln_mean_bounds();
        let clamped = mean_logits.clone().clamp(ln_min, ln_max);
        let mean_inside = clamped.clone().equal(mean_logits);
        let log_mean = clamped + ln_size_factors;

        let dispersion = Logistic::new(dispersion_logits);
        let theta = dispersion
            .softplus
            .clone()
            .clamp(DISPERSION_MIN, DISPERSION_MAX);
        let dispersion_inside = theta.clone().equal(dispersion.softplus);
        let ln_theta = theta.clone().log();
        let ratio = Logistic::new(log_mean.clone() - ln_theta.clone());

        let zero = counts.clone().equal_elem(0.0);
        // The derivative of θ ln(1 + μ/θ) by θ.
        let by_theta = excess(-ratio.sigmoid.clone(), -ratio.softplus.clone());
        let at_zero = ZeroCount::new(&theta, &ratio, by_theta.clone(), dropout_logits.clone());
        let at_count = PositiveCount::new(
            counts.mask_fill(zero.clone(), 1.0),
            log_mean,
            theta,
            ln_theta,
            ratio,
            by_theta,
        );

        let (value, by_dropout) = match (dropout_logits.map(Logistic::new), at_zero.by_dropout) {
            (Some(dropout), Some(by_dropout)) => (
                at_count.value + dropout.softplus,
                Some(dropout.sigmoid.mask_where(zero.clone(), by_dropout)),
            ),
            _ => (at_count.value, None),
        };
        let by_log_mean = at_count
            .by_log_mean
            .mask_where(zero.clone(), at_zero.by_log_mean);
        let by_theta = at_count.by_theta.mask_where(zero.clone(), at_zero.by_theta);
        Self {
            value: value.mask_where(zero, at_zero.value),
            by_mean: by_log_mean.clone().mask_fill(mean_inside.bool_not(), 0.0),
            by_log_mean,
            by_dispersion: by_theta
                * dispersion
                    .sigmoid
                    .mask_fill(dispersion_inside.bool_not(), 0.0),
            by_dropout,
        }
    }
}

/// What the likelihood is where the count is zero.
struct ZeroCount {
    value: Tensor<2>,
    by_log_mean: Tensor<2>,
    by_theta: Tensor<2>,
    by_dropout: Option<Tensor<2>>,
}

impl ZeroCount {
    fn new(
        theta: &Tensor<2>,
        ratio: &Logistic,
        by_theta: Tensor<2>,
        dropout_logits: Option<Tensor<2>>,
    ) -> Self {
        // z = −ln of the negative binomial's own probability of zero, θ ln(1 + μ/θ).
        let z = theta.clone() * ratio.softplus.clone();
        let by_log_mean = theta.clone() * ratio.sigmoid.clone();
        let Some(logits) = dropout_logits else {
            return Self {
                value: z,
                by_log_mean,
                by_theta,
                by_dropout: None,
            };
        };
        let lost = one_minus_exp_neg(z.clone());
        let dropout = Logistic::new(logits.clone());
        let posterior = Logistic::new(logits.clone() + z.clone());
        let small = z.clone().lower_equal_elem(LN_2);
        let kept_lost = dropout.complement * lost;
        // Where z is small the difference of softplus terms would cancel, where it is large
        // 1 − (1 − π)(1 − e⁻ᶻ) would.
        let near = -(-kept_lost.clone().mask_fill(small.clone().bool_not(), 0.0)).log1p();
        let tails = (-logits.clone().abs()).exp().log1p()
            - (-(logits.clone() + z.clone()).abs()).exp().log1p();
        let far = z.min_pair((-logits).clamp_min(0.0)) + tails;
        Self {
            value: far.mask_where(small, near),
            by_log_mean: by_log_mean * posterior.complement.clone(),
            by_theta: by_theta * posterior.complement,
            by_dropout: Some(-kept_lost * posterior.sigmoid),
        }
    }
}

/// The plain negative binomial where the count is positive.
struct PositiveCount {
    value: Tensor<2>,
    by_log_mean: Tensor<2>,
    by_theta: Tensor<2>,
}

impl PositiveCount {
    /// The saddle-point form of the oracle in `point.rs`, operation by operation.
    fn new(
        x: Tensor<2>,
        log_mean: Tensor<2>,
        theta: Tensor<2>,
        ln_theta: Tensor<2>,
        ratio: Logistic,
        zero_by_theta: Tensor<2>,
    ) -> Self {
        let mean = log_mean.clone().exp();
        let ln_x = x.clone().log();
        let total = x.clone() + theta.clone();
        let ln_total = total.clone().log();
        let scale = mean.clone() + theta.clone();
        let difference = x.clone() - mean.clone();

        let u = difference.clone() / scale.clone();
        let ln_ratio = ln_1p_or(u.clone(), ln_total.clone() - scale.clone().log());
        let v = theta.clone() / mean * (difference.clone() / total.clone());
        let ln_count_ratio = ln_1p_or(v, ln_x.clone() - log_mean - ln_ratio.clone());

        let value = x.clone() * ln_count_ratio - theta.clone() * ln_ratio.clone()
            + (ln_x + ln_total - ln_theta) * 0.5
            + stirling_error_tensor(theta.clone())
            + (stirling_error_tensor(x.clone()) - stirling_error_tensor(total.clone()))
            + HALF_LN_TWO_PI;

        // ψ(θ) − ψ(θ + x) + ln(1 + μ/θ) + (x − μ) / (θ + μ). For a small dispersion −1/θ in the
        // first term cancels against the last; it is taken out by ψ(θ) = ψ(θ + 1) − 1/θ, after
        // which a count of one leaves nothing to cancel.
        let small = theta.clone().lower_elem(SMALL_THETA);
        let from_one = (x.clone() - 1.0) / scale - ratio.sigmoid / theta.clone() + zero_by_theta
            - ((x - 1.0) / (theta.clone() + 1.0)).log1p();
        let start = theta.clone().mask_where(small.clone(), theta + 1.0);
        let by_theta = (digamma_minus_ln_tensor(start) - digamma_minus_ln_tensor(total))
            + excess(u, ln_ratio).mask_where(small, from_one);
        Self {
            value,
            by_log_mean: -difference * ratio.complement,
            by_theta,
        }
    }
}

/// ln(1 + u) where |u| ≤ ½, the given value of it elsewhere.
fn ln_1p_or(u: Tensor<2>, elsewhere: Tensor<2>) -> Tensor<2> {
    let large = u.clone().abs().greater_elem(0.5);
    u.mask_fill(large.clone(), 0.0)
        .log1p()
        .mask_where(large, elsewhere)
}

/// u − ln(1 + u) without cancellation at small u; see `excess` in `point.rs`.
fn excess(u: Tensor<2>, ln_1p_u: Tensor<2>) -> Tensor<2> {
    let large: Tensor<2, Bool> = u.clone().abs().greater_elem(EXCESS_SERIES_MAX);
    let small = u.clone().mask_fill(large.clone(), 0.0);
    let k = small.clone() / (small.clone() + 2.0);
    let square = k.clone().square();
    let tail = horner(square.clone(), &ARTANH) * square * 2.0;
    (k * (small - tail)).mask_where(large, u - ln_1p_u)
}

/// 1 − e⁻ᶻ for z ≥ 0 with full relative accuracy (Kahan: the rounding error of e⁻ᶻ cancels in
/// (1 − E) / −ln E).
fn one_minus_exp_neg(z: Tensor<2>) -> Tensor<2> {
    let power = (-z.clone()).exp();
    let difference = -power.clone() + 1.0;
    let large = z.clone().greater_elem(1.0);
    let unchanged = difference.clone().equal_elem(0.0);
    let neither = large.clone().bool_or(unchanged.clone());
    let corrected = z.clone() * difference.clone() / -power.mask_fill(neither, 0.5).log();
    corrected
        .mask_where(large, difference)
        .mask_where(unchanged, z)
}
