//! Elementary functions of the kernels for GPUs.
//!
//! What a device's own `exp` and `log` may be off by is far more than a rounding (Vulkan allows
//! 2⁻²¹ around 1 for the logarithm) and differs between devices. These are the polynomials of the
//! CPU's [lanes](crate::kernel::lanes), with another reduction: compilers of drivers take
//! arithmetic for exact, so that (x + c) − c becomes x. They also take it for granted that no number
//! is NaN; where one must stay, its bits are looked at.

use burn_cubecl::cubecl::{self, prelude::*};

use crate::kernel::lanes::{ARTANH, EXP, LN, LN_2_HI, LN_2_LO, TANH};

/// Horner's rule, coefficients from the constant upwards.
#[cube]
pub(in crate::kernel) fn polynomial(x: f32, #[comptime] coefficients: &'static [f32]) -> f32 {
    let count = comptime!(coefficients.len());
    let mut sum = comptime!(coefficients[count - 1]).runtime();
    #[unroll]
    for step in 1..count {
        sum = sum * x + comptime!(coefficients[count - 1 - step]).runtime();
    }
    sum
}

/// `result`, or x if that is NaN.
#[cube]
pub(in crate::kernel) fn unless_nan(x: f32, result: f32) -> f32 {
    let magnitude = u32::reinterpret(x) & 0x7fff_ffffu32;
    select(magnitude > 0x7f80_0000u32, x, result)
}

/// The value within bounds; any of them for NaN.
#[cube]
pub(in crate::kernel) fn bounded(x: f32, least: f32, most: f32) -> f32 {
    let at_least = select(x < least, least, x);
    select(at_least > most, most, at_least)
}

/// e^x, for x taken into [−87, 88].
#[cube]
pub(in crate::kernel) fn exp(x: f32) -> f32 {
    let inside = bounded(x, -87.0, 88.0);
    let n = (inside * comptime!(std::f32::consts::LOG2_E) + 0.5f32).floor();
    let r = inside - n * comptime!(LN_2_HI) - n * comptime!(LN_2_LO);
    let biased = u32::cast_from(n + 127.0f32);
    let scale = f32::reinterpret(biased << 23u32);
    unless_nan(x, scale * exp_minus_1_small(r) + scale)
}

/// e^r − 1 for |r| ≤ ½ ln 2.
#[cube]
fn exp_minus_1_small(r: f32) -> f32 {
    r * r * polynomial(r, comptime!(&EXP[..])) + r
}

/// 1 − e⁻ᶻ for z ≥ 0 with full relative accuracy.
#[cube]
pub(in crate::kernel) fn one_minus_exp_neg(z: f32) -> f32 {
    let small = z <= 0.34f32;
    let near = -exp_minus_1_small(-select(small, z, 0.0f32));
    select(small, near, 1.0f32 - exp(-z))
}

/// ln x of a positive normal number.
#[cube]
pub(in crate::kernel) fn ln(x: f32) -> f32 {
    let sqrt_half = 0x3f35_04f3u32;
    let shifted = u32::reinterpret(x) + (0x3f80_0000u32 - sqrt_half);
    let exponent = f32::cast_from(shifted >> 23u32) - 127.0f32;
    let mantissa = f32::reinterpret((shifted & 0x007f_ffffu32) + sqrt_half);
    let f = mantissa - 1.0f32;
    let s = f / (2.0f32 + f);
    let z = s * s;
    let half_square = 0.5f32 * f * f;
    let r = z * polynomial(z, comptime!(&LN[..])) + half_square;
    let low = s * r + exponent * comptime!(LN_2_LO) - half_square;
    unless_nan(x, exponent * comptime!(LN_2_HI) + (low + f))
}

/// ln(1 + u) for −½ ≤ u ≤ 1.
#[cube]
pub(in crate::kernel) fn ln_1p_small(u: f32) -> f32 {
    twice_artanh(u / (2.0f32 + u))
}

/// 2 artanh k for |k| ≤ ⅓.
#[cube]
pub(in crate::kernel) fn twice_artanh(k: f32) -> f32 {
    let z = k * k;
    let twice = k + k;
    twice * z * polynomial(z, comptime!(&ARTANH[..])) + twice
}

/// tanh x.
#[cube]
pub(in crate::kernel) fn tanh(x: f32) -> f32 {
    let magnitude = select(x < 0.0f32, -x, x);
    let tail = exp(-2.0f32 * magnitude);
    let far = 1.0f32 - 2.0f32 * tail / (1.0f32 + tail);
    let z = x * x;
    let near = magnitude * z * polynomial(z, comptime!(&TANH[..])) + magnitude;
    let result = select(magnitude < 0.625f32, near, far);
    unless_nan(x, select(x < 0.0f32, -result, result))
}

/// ln(1 + eʸ), the logistic σ(y) and σ(−y), each with full relative accuracy.
#[derive(CubeType, Clone, Copy)]
pub(in crate::kernel) struct Logistic {
    pub softplus: f32,
    pub sigmoid: f32,
    pub complement: f32,
}

#[cube]
pub(in crate::kernel) fn logistic(y: f32) -> Logistic {
    let magnitude = select(y < 0.0f32, -y, y);
    let tail = exp(-magnitude);
    let inverse = 1.0f32 / (1.0f32 + tail);
    let minor = tail * inverse;
    let head = select(y < 0.0f32, 0.0f32, y);
    Logistic {
        softplus: head + ln_1p_small(tail),
        sigmoid: select(y > 0.0f32, inverse, minor),
        complement: select(y > 0.0f32, minor, inverse),
    }
}
