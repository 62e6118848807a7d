//! Branch-free elementary functions that the compiler can vectorise.
//!
//! The type parameter `FMA` says whether the CPU has fused multiply-add; it must be a constant,
//! because the operation is a library call where the CPU has none. The reductions are those of
//! fdlibm, the polynomials interpolate at Chebyshev nodes. NaN arguments give NaN.

/// Double-double ln 2 for the `f32` reduction; the high part has trailing zeros, so that its
/// products with exponents are exact.
pub(super) const LN_2_HI: f32 = 0.693_138_1;
pub(super) const LN_2_LO: f32 = 9.058_001e-6;
/// 1.5 · 2²³: adding it rounds to an integer, held in the low bits.
const ROUND: f32 = 12_582_912.0;
/// (eʳ − 1 − r) / r² on |r| ≤ ½ ln 2, within 8e-9 of eʳ.
pub(super) const EXP: [f32; 5] = [
    0.5,
    0.166_665_77,
    0.041_666_556,
    0.008_363_195,
    0.001_392_620_3,
];
/// (artanh(k)/k − 1) / k² in k² on |k| ≤ ⅓, within 4e-10 of artanh(k)/k.
pub(super) const ARTANH: [f32; 5] = [
    0.333_333_34,
    0.199_998_53,
    0.142_961_8,
    0.108_532_876,
    0.116_121_65,
];
/// Coefficients of the minimax polynomial of fdlibm's `logf`.
pub(super) const LN: [f32; 4] = [0.666_666_6, 0.400_009_7, 0.284_987_87, 0.242_790_79];

/// (tanh(x)/x − 1) / x² in x² on |x| < 0.625, as in the Cephes library.
pub(super) const TANH: [f32; 5] = [
    -0.333_332_8,
    0.133_314_42,
    -0.053_739_716,
    0.020_639_09,
    -0.005_704_988_6,
];

/// a b + c.
#[inline(always)]
pub(crate) fn mul_add<const FMA: bool>(a: f32, b: f32, c: f32) -> f32 {
    if FMA { a.mul_add(b, c) } else { a * b + c }
}

#[inline(always)]
pub(super) fn polynomial<const FMA: bool, const N: usize>(x: f32, coefficients: &[f32; N]) -> f32 {
    let mut sum = coefficients[N - 1];
    for &coefficient in coefficients[..N - 1].iter().rev() {
        sum = mul_add::<FMA>(sum, x, coefficient);
    }
    sum
}

/// e^x = `scale` (1 + `rest`), with `scale` a power of two, for x ≤ 0.
///
/// In two parts because 1 − e^x = (1 − scale) − scale · rest is accurate for small |x| too.
/// Below x = −87 the result stays at e⁻⁸⁷, which no sum here can notice.
#[inline(always)]
pub(super) fn exp_parts<const FMA: bool>(x: f32) -> (f32, f32) {
    // Not `max`, which would turn NaN into a number.
    let x = if x < -87.0 { -87.0 } else { x };
    let rounded = mul_add::<FMA>(x, std::f32::consts::LOG2_E, ROUND);
    let n = rounded - ROUND;
    let r = mul_add::<FMA>(-n, LN_2_LO, mul_add::<FMA>(-n, LN_2_HI, x));
    let rest = mul_add::<FMA>(r * r, polynomial::<FMA, 5>(r, &EXP), r);
    let scale = f32::from_bits((rounded.to_bits() << 23).wrapping_add(0x3f80_0000));
    (scale, rest)
}

/// e^x for x ≤ 0.
#[inline(always)]
pub(super) fn exp<const FMA: bool>(x: f32) -> f32 {
    let (scale, rest) = exp_parts::<FMA>(x);
    mul_add::<FMA>(scale, rest, scale)
}

/// ln x of a positive normal number.
#[inline(always)]
pub(super) fn ln<const FMA: bool>(x: f32) -> f32 {
    const SQRT_HALF: u32 = 0x3f35_04f3;
    let shifted = x.to_bits().wrapping_add(0x3f80_0000 - SQRT_HALF);
    let exponent = (shifted >> 23) as i32 as f32 - 127.0;
    let mantissa = f32::from_bits((shifted & 0x007f_ffff).wrapping_add(SQRT_HALF));
    let f = mantissa - 1.0;
    let s = f / (2.0 + f);
    let z = s * s;
    let half_square = 0.5 * f * f;
    let r = mul_add::<FMA>(z, polynomial::<FMA, 4>(z, &LN), half_square);
    let low = mul_add::<FMA>(s, r, exponent * LN_2_LO) - half_square;
    let ln = mul_add::<FMA>(exponent, LN_2_HI, low + f);
    // The bit operations do not know NaN.
    if x.is_nan() { x } else { ln }
}

/// 2 artanh k for |k| ≤ ⅓, which is ln(1 + u) with k = u / (2 + u).
#[inline(always)]
pub(super) fn twice_artanh<const FMA: bool>(k: f32) -> f32 {
    let z = k * k;
    let twice = k + k;
    mul_add::<FMA>(twice * z, polynomial::<FMA, 5>(z, &ARTANH), twice)
}

/// tanh x.
#[inline(always)]
pub(super) fn tanh<const FMA: bool>(x: f32) -> f32 {
    let magnitude = x.abs();
    let tail = exp::<FMA>(-2.0 * magnitude);
    let far = 1.0 - 2.0 * tail / (1.0 + tail);
    let z = x * x;
    let near = mul_add::<FMA>(magnitude * z, polynomial::<FMA, 5>(z, &TANH), magnitude);
    let tanh = if magnitude < 0.625 { near } else { far };
    tanh.copysign(x)
}

/// The same functions in `f64`.
pub(super) mod double {
    /// 1.5 · 2⁵².
    const ROUND: f64 = 6_755_399_441_055_744.0;
    const LN_2_HI: f64 = 6.931_471_803_691_238e-1;
    const LN_2_LO: f64 = 1.908_214_929_270_587_7e-10;
    /// (eʳ − 1 − r) / r² on |r| ≤ ½ ln 2, within 5e-17 of eʳ.
    const EXP: [f64; 10] = [
        0.5,
        0.166_666_666_666_665_82,
        0.041_666_666_666_634_69,
        0.008_333_333_333_416_185,
        0.001_388_888_891_415_712,
        0.000_198_412_696_403_793_95,
        2.480_152_404_563_392_6e-5,
        2.755_747_766_395_205_7e-6,
        2.761_934_673_559_404_7e-7,
        2.503_360_483_685_535e-8,
    ];
    /// (artanh(k)/k − 1) / k² in k² on |k| ≤ ⅓, within 3e-17 of artanh(k)/k.
    const ARTANH: [f64; 10] = [
        0.333_333_333_333_333_26,
        0.200_000_000_000_045_56,
        0.142_857_142_840_061_5,
        0.111_111_113_294_066_41,
        0.090_908_959_386_576_62,
        0.076_927_513_881_899_4,
        0.066_576_463_053_389_35,
        0.059_948_115_493_591_636,
        0.044_307_893_012_348_31,
        0.080_155_591_559_132_13,
    ];
    /// Coefficients of the minimax polynomial of fdlibm's `log`.
    const LN: [f64; 7] = [
        6.666_666_666_666_735e-1,
        3.999_999_999_940_942e-1,
        2.857_142_874_366_239e-1,
        2.222_219_843_214_978_4e-1,
        1.818_357_216_161_805e-1,
        1.531_383_769_920_937_3e-1,
        1.479_819_860_511_658_6e-1,
    ];

    /// a b + c.
    #[inline(always)]
    pub(in crate::kernel) fn mul_add<const FMA: bool>(a: f64, b: f64, c: f64) -> f64 {
        if FMA { a.mul_add(b, c) } else { a * b + c }
    }

    #[inline(always)]
    pub(in crate::kernel) fn polynomial<const FMA: bool, const N: usize>(
        x: f64,
        coefficients: &[f64; N],
    ) -> f64 {
        let mut sum = coefficients[N - 1];
        for &coefficient in coefficients[..N - 1].iter().rev() {
            sum = mul_add::<FMA>(sum, x, coefficient);
        }
        sum
    }

    /// e^x for |x| < 700; the ends of that range stand for what lies beyond.
    #[inline(always)]
    pub(in crate::kernel) fn exp<const FMA: bool>(x: f64) -> f64 {
        let x = if x < -700.0 { -700.0 } else { x };
        let x = if x > 700.0 { 700.0 } else { x };
        let rounded = mul_add::<FMA>(x, std::f64::consts::LOG2_E, ROUND);
        let n = rounded - ROUND;
        let r = mul_add::<FMA>(-n, LN_2_LO, mul_add::<FMA>(-n, LN_2_HI, x));
        let rest = mul_add::<FMA>(r * r, polynomial::<FMA, 10>(r, &EXP), r);
        let scale = f64::from_bits((rounded.to_bits() << 52).wrapping_add(0x3ff0_0000_0000_0000));
        mul_add::<FMA>(scale, rest, scale)
    }

    /// ln x of a positive normal number.
    #[inline(always)]
    pub(in crate::kernel) fn ln<const FMA: bool>(x: f64) -> f64 {
        const SQRT_HALF: u64 = 0x3fe6_a09e_0000_0000;
        let shifted = x.to_bits().wrapping_add(0x3ff0_0000_0000_0000 - SQRT_HALF);
        // 2⁵² + k has k in its low bits: the conversion of an integer without an instruction
        // for it.
        let exponent = f64::from_bits((shifted >> 52) | 0x4330_0000_0000_0000)
            - (4_503_599_627_370_496.0 + 1023.0);
        let mantissa = f64::from_bits((shifted & 0x000f_ffff_ffff_ffff).wrapping_add(SQRT_HALF));
        let f = mantissa - 1.0;
        let s = f / (2.0 + f);
        let z = s * s;
        let half_square = 0.5 * f * f;
        let r = mul_add::<FMA>(z, polynomial::<FMA, 7>(z, &LN), half_square);
        let low = mul_add::<FMA>(s, r, exponent * LN_2_LO) - half_square;
        let ln = mul_add::<FMA>(exponent, LN_2_HI, low + f);
        if x.is_nan() { x } else { ln }
    }

    /// 2 artanh k for |k| ≤ ⅓, which is ln(1 + u) with k = u / (2 + u).
    #[inline(always)]
    pub(in crate::kernel) fn twice_artanh<const FMA: bool>(k: f64) -> f64 {
        let z = k * k;
        let twice = k + k;
        mul_add::<FMA>(twice * z, polynomial::<FMA, 10>(z, &ARTANH), twice)
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        fn agree_with_the_standard_library<const FMA: bool>() {
            let relative = |found: f64, exact: f64| (found - exact).abs() / exact.abs();
            for i in 0..50_000 {
                let x = f64::from(i) * 28e-3 - 700.0;
                assert!(relative(exp::<FMA>(x), x.exp()) < 1e-14, "exp({x})");
                let y = (f64::from(i) * 2e-3 - 50.0).exp();
                let error = (ln::<FMA>(y) - y.ln()).abs();
                assert!(error < 5e-16 * y.ln().abs().max(1.0), "ln({y})");
                let u = (-f64::from(i) * 8e-4).exp();
                let ln_1p = twice_artanh::<FMA>(u / (2.0 + u));
                assert!(relative(ln_1p, u.ln_1p()) < 1e-15, "ln_1p({u})");
            }
            assert!(exp::<FMA>(f64::NAN).is_nan() && ln::<FMA>(f64::NAN).is_nan());
        }

        #[test]
        fn with_and_without_fused_multiply_add() {
            agree_with_the_standard_library::<false>();
            agree_with_the_standard_library::<true>();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Error in units of the last place of the exact result.
    fn ulps(found: f32, exact: f64) -> f64 {
        let rounded = (exact as f32).abs();
        (f64::from(found) - exact).abs() / f64::from(rounded.next_up() - rounded)
    }

    fn within_two_units_in_the_last_place<const FMA: bool>() {
        let mut worst = [0.0f64; 5];
        for i in 0..200_000u32 {
            let x = -(i as f32) * 4.2e-4;
            worst[0] = worst[0].max(ulps(exp::<FMA>(x), f64::from(x).exp()));
            if i > 0 {
                let (scale, rest) = exp_parts::<FMA>(x);
                let lost = (1.0 - scale) - scale * rest;
                worst[1] = worst[1].max(ulps(lost, -f64::from(x).exp_m1()));
            }
            let y = (i as f32 * 2e-4 - 20.0).exp();
            if y != 1.0 {
                worst[2] = worst[2].max(ulps(ln::<FMA>(y), f64::from(y).ln()));
            }
            let u = i as f32 / 133_333.0 - 0.5;
            if u != 0.0 {
                let k = u / (2.0 + u);
                worst[3] = worst[3].max(ulps(twice_artanh::<FMA>(k), f64::from(u).ln_1p()));
            }
            let t = i as f32 * 5e-5;
            worst[4] = worst[4].max(ulps(tanh::<FMA>(t), f64::from(t).tanh()));
        }
        assert!(worst.iter().all(|&w| w < 2.0), "{worst:?}");
        assert_eq!(tanh::<FMA>(-0.7), -tanh::<FMA>(0.7));
        assert_eq!(tanh::<FMA>(f32::INFINITY), 1.0);
        assert!(tanh::<FMA>(f32::NAN).is_nan());
        assert!(exp::<FMA>(f32::NAN).is_nan() && ln::<FMA>(f32::NAN).is_nan());
    }

    #[test]
    fn with_and_without_fused_multiply_add() {
        within_two_units_in_the_last_place::<false>();
        within_two_units_in_the_last_place::<true>();
    }
}
