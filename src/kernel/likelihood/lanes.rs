//! Branch-free elementary functions that the compiler can vectorise.
//!
//! Written in plain additions, multiplications, divisions and selections (no fused
//! multiply-add), so that every vector width gives the same bits. The reductions are those of
//! fdlibm; NaN arguments give NaN.

/// Double-double ln 2 for the `f32` reduction; the high part has trailing zeros, so that its
/// products with exponents are exact.
const LN_2_HI: f32 = 0.693_138_1;
const LN_2_LO: f32 = 9.058_000_6e-6;
/// 1.5 · 2²³: adding it rounds to an integer, held in the low bits.
const ROUND: f32 = 12_582_912.0;

/// e^x = `scale` (1 + `rest`), with `scale` a power of two, for x ≤ 0.
///
/// In two parts because 1 − e^x = (1 − scale) − scale · rest is accurate for small |x| too.
/// Below x = −87 the result stays at e⁻⁸⁷, which no sum here can notice.
#[inline(always)]
pub(super) fn exp_parts(x: f32) -> (f32, f32) {
    // Not `max`, which would turn NaN into a number.
    let x = if x < -87.0 { -87.0 } else { x };
    let rounded = x * std::f32::consts::LOG2_E + ROUND;
    let n = rounded - ROUND;
    let r = (x - n * LN_2_HI) - n * LN_2_LO;
    let higher = r * (r * (r * (r * (1.0 / 5040.0) + 1.0 / 720.0) + 1.0 / 120.0) + 1.0 / 24.0);
    let rest = r + (r * r) * (0.5 + r * (1.0 / 6.0 + higher));
    let scale = f32::from_bits((rounded.to_bits() << 23).wrapping_add(0x3f80_0000));
    (scale, rest)
}

/// e^x for x ≤ 0.
#[inline(always)]
pub(super) fn exp(x: f32) -> f32 {
    let (scale, rest) = exp_parts(x);
    scale + scale * rest
}

/// ln x of a positive normal number.
#[inline(always)]
pub(super) fn ln(x: f32) -> f32 {
    const SQRT_HALF: u32 = 0x3f35_04f3;
    let shifted = x.to_bits().wrapping_add(0x3f80_0000 - SQRT_HALF);
    let exponent = (shifted >> 23) as i32 as f32 - 127.0;
    let mantissa = f32::from_bits((shifted & 0x007f_ffff).wrapping_add(SQRT_HALF));
    let f = mantissa - 1.0;
    let s = f / (2.0 + f);
    let z = s * s;
    let r = z * (0.666_666_6 + z * (0.400_009_7 + z * (0.284_987_87 + z * 0.242_790_79)));
    let half_square = 0.5 * f * f;
    let ln = s * (half_square + r) + exponent * LN_2_LO - half_square + f + exponent * LN_2_HI;
    // The bit operations do not know NaN.
    if x.is_nan() { x } else { ln }
}

/// ln(1 + u) for −½ ≤ u ≤ 1.
#[inline(always)]
pub(super) fn ln_1p(u: f32) -> f32 {
    let k = u / (2.0 + u);
    let z = k * k;
    let high = 1.0 / 9.0 + z * (1.0 / 11.0 + z * (1.0 / 13.0 + z * (1.0 / 15.0)));
    let tail = z * (1.0 / 3.0 + z * (1.0 / 5.0 + z * (1.0 / 7.0 + z * high)));
    2.0 * k + 2.0 * k * tail
}

/// The same functions in `f64`.
pub(super) mod double {
    /// 1.5 · 2⁵².
    const ROUND: f64 = 6_755_399_441_055_744.0;
    const LN_2_HI: f64 = 6.931_471_803_691_238e-1;
    const LN_2_LO: f64 = 1.908_214_929_270_587_7e-10;

    /// e^x for |x| < 700; the ends of that range stand for what lies beyond.
    #[inline(always)]
    pub(in super::super) fn exp(x: f64) -> f64 {
        const INVERSE_FACTORIALS: [f64; 12] = [
            1.0 / 2.0,
            1.0 / 6.0,
            1.0 / 24.0,
            1.0 / 120.0,
            1.0 / 720.0,
            1.0 / 5040.0,
            1.0 / 40_320.0,
            1.0 / 362_880.0,
            1.0 / 3_628_800.0,
            1.0 / 39_916_800.0,
            1.0 / 479_001_600.0,
            1.0 / 6_227_020_800.0,
        ];
        let x = if x < -700.0 { -700.0 } else { x };
        let x = if x > 700.0 { 700.0 } else { x };
        let rounded = x * std::f64::consts::LOG2_E + ROUND;
        let n = rounded - ROUND;
        let r = (x - n * LN_2_HI) - n * LN_2_LO;
        let rest = r + r * r * crate::kernel::special::polynomial(r, &INVERSE_FACTORIALS);
        let scale = f64::from_bits((rounded.to_bits() << 52).wrapping_add(0x3ff0_0000_0000_0000));
        scale + scale * rest
    }

    /// ln x of a positive normal number.
    #[inline(always)]
    pub(in super::super) fn ln(x: f64) -> f64 {
        const SQRT_HALF: u64 = 0x3fe6_a09e_0000_0000;
        /// Coefficients of the minimax polynomial of fdlibm's `log`.
        const LOG: [f64; 7] = [
            6.666_666_666_666_735e-1,
            3.999_999_999_940_942e-1,
            2.857_142_874_366_239e-1,
            2.222_219_843_214_978_4e-1,
            1.818_357_216_161_805e-1,
            1.531_383_769_920_937_3e-1,
            1.479_819_860_511_658_6e-1,
        ];
        let shifted = x.to_bits().wrapping_add(0x3ff0_0000_0000_0000 - SQRT_HALF);
        // 2⁵² + k has k in its low bits: the conversion of an integer without an instruction
        // for it.
        let exponent = f64::from_bits((shifted >> 52) | 0x4330_0000_0000_0000)
            - (4_503_599_627_370_496.0 + 1023.0);
        let mantissa = f64::from_bits((shifted & 0x000f_ffff_ffff_ffff).wrapping_add(SQRT_HALF));
        let f = mantissa - 1.0;
        let s = f / (2.0 + f);
        let z = s * s;
        let r = z * crate::kernel::special::polynomial(z, &LOG);
        let half_square = 0.5 * f * f;
        let ln = s * (half_square + r) + exponent * LN_2_LO - half_square + f + exponent * LN_2_HI;
        if x.is_nan() { x } else { ln }
    }

    /// ln(1 + u) for 0 ≤ u ≤ 1.
    #[inline(always)]
    pub(in super::super) fn ln_1p(u: f64) -> f64 {
        // The rounding of 1 + u is put back as a first-order correction.
        let sum = 1.0 + u;
        ln(sum) + (u - (sum - 1.0)) / sum
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn agree_with_the_standard_library() {
            let relative = |found: f64, exact: f64| (found - exact).abs() / exact.abs();
            for i in 0..200_000 {
                let x = f64::from(i) * 7e-3 - 700.0;
                assert!(relative(exp(x), x.exp()) < 1e-14, "exp({x})");
                let y = (f64::from(i) * 5e-4 - 50.0).exp();
                assert!(
                    (ln(y) - y.ln()).abs() < 5e-16 * y.ln().abs().max(1.0),
                    "ln({y})"
                );
                let u = (-f64::from(i) * 2e-4).exp();
                assert!(relative(ln_1p(u), u.ln_1p()) < 1e-15, "ln_1p({u})");
            }
            assert!(exp(f64::NAN).is_nan() && ln(f64::NAN).is_nan() && ln_1p(f64::NAN).is_nan());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Error in units of the last place of the exact result.
    fn ulps(found: f32, exact: f64) -> f64 {
        let rounded = exact as f32;
        let step =
            f64::from(f32::from_bits(rounded.abs().to_bits() + 1)) - f64::from(rounded.abs());
        (f64::from(found) - exact).abs() / step
    }

    #[test]
    fn within_two_units_in_the_last_place() {
        let mut worst = [0.0f64; 4];
        for i in 0..400_000u32 {
            let x = -(i as f32) * 2.1e-4;
            let exact = f64::from(x).exp();
            worst[0] = worst[0].max(ulps(exp(x), exact));
            if i > 0 {
                let (scale, rest) = exp_parts(x);
                let lost = (1.0 - scale) - scale * rest;
                worst[1] = worst[1].max(ulps(lost, -f64::from(x).exp_m1()));
            }
            let y = (i as f32 * 1e-4 - 20.0).exp();
            if (y - 1.0).abs() > 1e-3 {
                worst[2] = worst[2].max(ulps(ln(y), f64::from(y).ln()));
            }
            let u = i as f32 / 266_666.0 - 0.5;
            if u != 0.0 {
                worst[3] = worst[3].max(ulps(ln_1p(u), f64::from(u).ln_1p()));
            }
        }
        assert!(worst.iter().all(|&w| w < 2.0), "{worst:?}");
        assert!(exp(f32::NAN).is_nan() && ln(f32::NAN).is_nan() && ln_1p(f32::NAN).is_nan());
    }
}
