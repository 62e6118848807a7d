//! One entry of the fused pass: a zero count in `f32`, a positive one in `f64`, without branches.
//!
//! The forms are those of `point.rs`, with exponentials and divisions shared.

use super::{DISPERSION_MAX, DISPERSION_MIN};
use crate::kernel::lanes::{self, double, mul_add};
use crate::kernel::special::{STIRLING, STIRLING_DIGAMMA, STIRLING_SHIFT};

/// The likelihood of one entry and its derivatives.
#[derive(Clone, Copy)]
pub(super) struct Entry<T> {
    pub value: T,
    pub by_log_mean: T,
    pub by_dispersion: T,
    pub by_dropout: T,
}

/// Dispersion θ from its logit, in three steps of a count of zero: short chains of arithmetic for
/// several entries at a time keep the CPU busier than one long chain after the other.
#[derive(Clone, Copy, Default)]
pub(super) struct Theta {
    pub theta: f32,
    /// dθ by the logit.
    pub slope: f32,
    pub ln: f32,
}

impl Theta {
    #[inline(always)]
    pub fn new<const FMA: bool>(logit: f32) -> Self {
        let (raw, slope) = logistic::<FMA>(logit);
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
        Self {
            theta,
            slope: if theta == raw { slope } else { 0.0 },
            ln: lanes::ln::<FMA>(theta),
        }
    }

    /// A count of zero under the negative binomial: z = −ln P(0) = θ ln(1 + μ/θ).
    #[inline(always)]
    pub fn zero<const FMA: bool>(self, log_mean: f32) -> Entry<f32> {
        let (log1p_ratio, share) = logistic::<FMA>(log_mean - self.ln);
        // −ln(1 − w) − w with w = μ / (θ + μ), as a series where the subtraction would cancel.
        const SERIES: [f32; 7] = [0.5, 1.0 / 3.0, 0.25, 0.2, 1.0 / 6.0, 1.0 / 7.0, 0.125];
        let series = share * share * lanes::polynomial::<FMA, 7>(share, &SERIES);
        let by_theta = if share < 0.1 {
            series
        } else {
            log1p_ratio - share
        };
        Entry {
            value: self.theta * log1p_ratio,
            by_log_mean: self.theta * share,
            by_dispersion: by_theta * self.slope,
            by_dropout: 0.0,
        }
    }
}

impl Entry<f32> {
    /// From a count of zero under the negative binomial to one under the zero-inflated.
    #[inline(always)]
    pub fn inflated<const FMA: bool>(self, dropout: f32) -> Self {
        let z = self.value;
        let (scale, rest) = lanes::exp_parts::<FMA>(-z);
        let lost = mul_add::<FMA>(-scale, rest, 1.0 - scale);
        let prior_tail = lanes::exp::<FMA>(-dropout.abs());
        let kept = (if dropout > 0.0 { prior_tail } else { 1.0 }) / (1.0 + prior_tail);
        let kept_lost = kept * lost;
        let posterior = dropout + z;
        let tail = lanes::exp::<FMA>(-posterior.abs());
        // P(0) = 1 − (1 − π)(1 − e⁻ᶻ) where z is small, the ratio of two logistic normalisers
        // where it is not; either way the value is `base` + ln(1 + numerator / denominator).
        let near = z <= std::f32::consts::LN_2;
        let head = positive_part(-dropout);
        let base = if z < head { z } else { head };
        let base = if near { 0.0 } else { base };
        let numerator = if near { kept_lost } else { prior_tail - tail };
        let denominator = if near { 1.0 - kept_lost } else { 1.0 + tail };
        // One division for ln(1 + n/d), which needs n / (2 d + n), and for 1 / (1 + tail).
        let sum = mul_add::<FMA>(2.0, denominator, numerator);
        let shared = 1.0 / (sum * (1.0 + tail));
        let major = sum * shared;
        let minor = tail * major;
        let k = numerator * (1.0 + tail) * shared;
        let (from_dropout, from_counts) = if posterior > 0.0 {
            (major, minor)
        } else {
            (minor, major)
        };
        Self {
            value: base + lanes::twice_artanh::<FMA>(k),
            by_log_mean: from_counts * self.by_log_mean,
            by_dispersion: from_counts * self.by_dispersion,
            by_dropout: -kept_lost * from_dropout,
        }
    }
}

/// ln(1 + eʸ) and σ(y), with one division for both.
#[inline(always)]
fn logistic<const FMA: bool>(y: f32) -> (f32, f32) {
    let tail = lanes::exp::<FMA>(-y.abs());
    let (one, two) = (1.0 + tail, 2.0 + tail);
    let shared = 1.0 / (one * two);
    let inverse = two * shared;
    let k = tail * one * shared;
    (
        positive_part(y) + lanes::twice_artanh::<FMA>(k),
        if y > 0.0 { inverse } else { tail * inverse },
    )
}

/// max(x, 0), NaN for NaN.
#[inline(always)]
fn positive_part(x: f32) -> f32 {
    if x < 0.0 { 0.0 } else { x }
}

/// A positive count.
#[inline(always)]
pub(super) fn positive<const INFLATED: bool, const FMA: bool>(
    x: f64,
    ln_factorial: f64,
    log_mean: f64,
    dispersion: f64,
    dropout: f64,
) -> Entry<f64> {
    let (raw, slope, _) = logistic_double::<FMA>(dispersion);
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

    let t = log_mean - double::ln::<FMA>(theta);
    let (log1p_ratio, share, complement) = logistic_double::<FMA>(t);
    let gamma = GammaDifference::new::<FMA>(theta, x);
    // softplus(−t) = softplus(t) − t.
    let value = gamma.ln_gamma + ln_factorial + theta * log1p_ratio + x * (log1p_ratio - t);
    let by_theta = gamma.digamma + log1p_ratio + (x * complement * gamma.inverse_theta - share);
    let (dropout_value, by_dropout) = if INFLATED {
        let (softplus, sigmoid, _) = logistic_double::<FMA>(dropout);
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

/// ln(1 + eʸ), σ(y) and σ(−y), with one division for all.
#[inline(always)]
fn logistic_double<const FMA: bool>(y: f64) -> (f64, f64, f64) {
    let tail = double::exp::<FMA>(-y.abs());
    let (one, two) = (1.0 + tail, 2.0 + tail);
    let shared = 1.0 / (one * two);
    let inverse = two * shared;
    let minor = tail * inverse;
    let k = tail * one * shared;
    let head = if y < 0.0 { 0.0 } else { y };
    let (sigmoid, complement) = if y > 0.0 {
        (inverse, minor)
    } else {
        (minor, inverse)
    };
    (head + double::twice_artanh::<FMA>(k), sigmoid, complement)
}

/// ln Γ(θ) − ln Γ(θ + x) and ψ(θ) − ψ(θ + x), with 1/θ as a by-product.
struct GammaDifference {
    ln_gamma: f64,
    digamma: f64,
    inverse_theta: f64,
}

impl GammaDifference {
    /// Stirling's series after a shift of both arguments, always, so that there is no branch.
    /// Two divisions and three logarithms for everything.
    #[inline(always)]
    fn new<const FMA: bool>(theta: f64, x: f64) -> Self {
        let total = theta + x;
        let (low_product, low_derivative) = rising_factorial::<FMA>(theta);
        let (high_product, high_derivative) = rising_factorial::<FMA>(total);
        let shared = 1.0 / (low_product * high_product);
        let ratio = high_product * high_product * shared;
        let reciprocals = (low_derivative * high_product - high_derivative * low_product) * shared;

        let low = theta + STIRLING_SHIFT as f64;
        let high = total + STIRLING_SHIFT as f64;
        let shared = 1.0 / (theta * low * high);
        let inverse_low = theta * high * shared;
        let inverse_high = theta * low * shared;
        let (low_series, low_digamma) = stirling::<FMA>(inverse_low);
        let (high_series, high_digamma) = stirling::<FMA>(inverse_high);
        let (ln_low, ln_high) = (double::ln::<FMA>(low), double::ln::<FMA>(high));
        Self {
            // (low − ½) ln low − low − (high − ½) ln high + high, less the shift.
            ln_gamma: (low - 0.5) * ln_low - (high - 0.5) * ln_high
                + x
                + (low_series - high_series)
                + double::ln::<FMA>(ratio),
            digamma: (ln_low - ln_high) + (low_digamma - high_digamma) - reciprocals,
            inverse_theta: low * high * shared,
        }
    }
}

/// z (z + 1) … (z + 7) and its derivative.
#[inline(always)]
fn rising_factorial<const FMA: bool>(z: f64) -> (f64, f64) {
    let mut product = z;
    let mut derivative = 1.0;
    for j in 1..STIRLING_SHIFT {
        let factor = z + j as f64;
        derivative = double::mul_add::<FMA>(derivative, factor, product);
        product *= factor;
    }
    (product, derivative)
}

/// The series of ln Γ and of ψ − ln at the argument whose inverse is given.
#[inline(always)]
fn stirling<const FMA: bool>(inverse: f64) -> (f64, f64) {
    let square = inverse * inverse;
    (
        inverse * double::polynomial::<FMA, 8>(square, &STIRLING),
        square * double::polynomial::<FMA, 8>(square, &STIRLING_DIGAMMA) - 0.5 * inverse,
    )
}
