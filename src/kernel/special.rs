//! Special functions of the count likelihoods: log-gamma, digamma and the logistic family.
//!
//! The scalar functions work in `f64`; the `_f32` versions round an `f64` result. The tensor
//! functions use ordinary tensor operations, so they run on every backend.
//!
//! Log-gamma and digamma are computed from Stirling's series, after a shift of eight by the
//! recurrence Γ(z + 1) = z Γ(z) where the argument is small (Abramowitz & Stegun 6.1.15, 6.1.40,
//! 6.3.5, 6.3.18).

use burn::tensor::{Bool, DType, Tensor, activation};

/// ½ ln 2π.
pub(crate) const HALF_LN_TWO_PI: f64 = 0.918_938_533_204_672_8;

/// From here on Stirling's series with eight terms is exact to `f64` precision.
pub(crate) const STIRLING_MIN: f64 = 8.0;

/// Number of recurrence steps that take any positive argument above [`STIRLING_MIN`].
pub(crate) const STIRLING_SHIFT: usize = 8;

/// Coefficients B₂ₖ / (2k (2k − 1)) of z^(1 − 2k) in Stirling's series of ln Γ.
pub(crate) const STIRLING: [f64; 8] = [
    1.0 / 12.0,
    -1.0 / 360.0,
    1.0 / 1260.0,
    -1.0 / 1680.0,
    1.0 / 1188.0,
    -691.0 / 360_360.0,
    1.0 / 156.0,
    -3617.0 / 122_400.0,
];

/// Coefficients −B₂ₖ / 2k of z^(−2k) in the asymptotic series of ψ(z) − ln z + 1/2z.
pub(crate) const STIRLING_DIGAMMA: [f64; 8] = [
    -1.0 / 12.0,
    1.0 / 120.0,
    -1.0 / 252.0,
    1.0 / 240.0,
    -1.0 / 132.0,
    691.0 / 32_760.0,
    -1.0 / 12.0,
    3617.0 / 8160.0,
];

/// Horner's rule, coefficients from the constant upwards.
#[inline(always)]
pub(crate) fn polynomial<const N: usize>(x: f64, coefficients: &[f64; N]) -> f64 {
    coefficients.iter().rev().fold(0.0, |sum, c| sum * x + c)
}

/// ln |Γ(x)|, the logarithm of the gamma function.
///
/// Infinite at zero and the negative integers. Relative error below 1e-14, next to the zeros at
/// 1 and 2 too.
///
/// ```
/// let factorial_of_four = celldec::kernel::special::ln_gamma(5.0).exp();
/// assert!((factorial_of_four - 24.0).abs() < 1e-12);
/// ```
pub fn ln_gamma(x: f64) -> f64 {
    libm::lgamma(x)
}

/// [`ln_gamma`] for `f32`, computed in `f64` and rounded once.
pub fn ln_gamma_f32(x: f32) -> f32 {
    ln_gamma(f64::from(x)) as f32
}

/// ψ(x) = d ln Γ(x) / dx, the digamma function.
///
/// NaN at its poles, zero and the negative integers. Relative error below 1e-13 away from the
/// zero at 1.4616…, absolute error below 1e-14 around it.
///
/// ```
/// let euler_mascheroni = -celldec::kernel::special::digamma(1.0);
/// assert!((euler_mascheroni - 0.577_215_664_901_532_9).abs() < 1e-14);
/// ```
pub fn digamma(x: f64) -> f64 {
    if x <= 0.0 {
        if x == x.floor() {
            return f64::NAN;
        }
        // Reflection; the argument of the tangent is reduced first because it is periodic.
        let fraction = x - x.round();
        let pi = std::f64::consts::PI;
        return digamma(1.0 - x) - pi / (pi * fraction).tan();
    }
    if x >= STIRLING_MIN {
        return x.ln() + digamma_minus_ln_asymptotic(x);
    }
    let shifted = x + STIRLING_SHIFT as f64;
    let steps: f64 = (0..STIRLING_SHIFT)
        .rev()
        .map(|j| 1.0 / (x + j as f64))
        .sum();
    shifted.ln() + digamma_minus_ln_asymptotic(shifted) - steps
}

/// [`digamma`] for `f32`, computed in `f64` and rounded once.
pub fn digamma_f32(x: f32) -> f32 {
    digamma(f64::from(x)) as f32
}

/// ln(1 + eˣ), without overflow or loss of the tail.
pub fn softplus(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

/// 1 / (1 + e⁻ˣ), with full relative accuracy in the lower tail.
pub fn sigmoid(x: f64) -> f64 {
    let tail = (-x.abs()).exp();
    if x >= 0.0 {
        1.0 / (1.0 + tail)
    } else {
        tail / (1.0 + tail)
    }
}

/// ln(1 / (1 + e⁻ˣ)), without overflow or loss of the tail.
pub fn log_sigmoid(x: f64) -> f64 {
    -softplus(-x)
}

/// The error of Stirling's formula, ln Γ(z) − [(z − ½) ln z − z + ½ ln 2π], for positive `z`.
///
/// Differences of log-gammas of large arguments lose no digits when they are formed from these
/// (Loader, "Fast and accurate computation of binomial probabilities", 2000).
pub(crate) fn stirling_error(z: f64) -> f64 {
    if z >= STIRLING_MIN {
        return polynomial((z * z).recip(), &STIRLING) / z;
    }
    ln_gamma(z) - ((z - 0.5) * z.ln() - z + HALF_LN_TWO_PI)
}

/// ψ(z) − ln z for positive `z`; differences of digammas of large arguments lose no digits when
/// they are formed from these.
pub(crate) fn digamma_minus_ln(z: f64) -> f64 {
    if z >= STIRLING_MIN {
        digamma_minus_ln_asymptotic(z)
    } else {
        digamma(z) - z.ln()
    }
}

fn digamma_minus_ln_asymptotic(z: f64) -> f64 {
    let inverse_square = (z * z).recip();
    polynomial(inverse_square, &STIRLING_DIGAMMA) * inverse_square - 0.5 / z
}

/// ln Γ of every element of a tensor with **positive** elements; any shape, any backend.
///
/// Differentiable: the derivative recorded by autodiff is the digamma function. Relative to the
/// larger of the result and one, the errors of value and derivative are below 1e-6 in `f32` and
/// below 1e-13 in `f64`.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use celldec::kernel::special::ln_gamma_tensor;
///
/// let x = Tensor::<1>::from_floats([1.0, 5.0], &Device::default());
/// let y: Vec<f32> = ln_gamma_tensor(x).into_data().try_to_vec().unwrap();
/// assert!(y[0].abs() < 2e-6 && (y[1] - 24f32.ln()).abs() < 2e-6);
/// ```
pub fn ln_gamma_tensor<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    let shifted = Shifted::new(x);
    let z = shifted.argument.clone();
    // ln Γ(z) = ½ ln 2π + (z − ½)(ln z − 1) − ½ + series: for z ≥ 8 no two large terms cancel.
    (z.clone() - 0.5) * (z.clone().log() - 1.0) + series(z, &STIRLING) + (HALF_LN_TWO_PI - 0.5)
        - shifted.ln_product()
}

/// ln(1 + eˣ) of every element of a tensor, without overflow or loss of the tail; any shape, any
/// backend.
///
/// Differentiable: the derivative is the logistic function. With it, logarithms of probabilities
/// that come from a logit stay exact: −ln sigmoid(x) is softplus(−x), −ln(1 − sigmoid(x)) is
/// softplus(x).
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use celldec::kernel::special::softplus_tensor;
///
/// let x = Tensor::<1>::from_floats([-80.0, 0.0, 100.0], &Device::default());
/// let y: Vec<f32> = softplus_tensor(x).into_data().try_to_vec().unwrap();
/// assert!((y[0] / (-80f32).exp() - 1.0).abs() < 1e-6);
/// assert!((y[1] - 2f32.ln()).abs() < 1e-6);
/// assert_eq!(y[2], 100.0);
/// ```
pub fn softplus_tensor<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    // From 40 on x and its softplus are the same `f64`.
    activation::softplus_with_threshold(x, 1.0, 40.0)
}

/// [`stirling_error`] of every element of a positive tensor.
pub(crate) fn stirling_error_tensor<const D: usize>(z: Tensor<D>) -> Tensor<D> {
    let shifted = Shifted::new(z.clone());
    let argument = shifted.argument.clone();
    let ln_argument = argument.clone().log();
    let shift = shifted.steps as f64;
    let correction = (z.clone() - 0.5) * (ln_argument.clone() - z.log()) + ln_argument * shift
        - shift
        - shifted.ln_product();
    series(argument, &STIRLING) + correction.mask_fill(shifted.large, 0.0)
}

/// [`digamma_minus_ln`] of every element of a positive tensor.
pub(crate) fn digamma_minus_ln_tensor<const D: usize>(z: Tensor<D>) -> Tensor<D> {
    let shifted = Shifted::new(z.clone());
    let argument = shifted.argument.clone();
    let correction = argument.clone().log() - z.clone().log() - shifted.reciprocals();
    let inverse = argument.recip();
    let asymptotic = horner(inverse.clone().square(), &STIRLING_DIGAMMA) * inverse.clone().square()
        - inverse * 0.5;
    asymptotic + correction.mask_fill(shifted.large, 0.0)
}

/// A positive tensor and the same tensor moved into the range of Stirling's series.
struct Shifted<const D: usize> {
    /// Where the argument is in the range already.
    large: Tensor<D, Bool>,
    /// The argument, or 1 where it is large: a harmless start for the recurrence.
    small: Tensor<D>,
    /// The argument, shifted where it is not large.
    argument: Tensor<D>,
    /// Number of recurrence steps of the shift.
    steps: usize,
}

impl<const D: usize> Shifted<D> {
    fn new(x: Tensor<D>) -> Self {
        // The eight terms are exact to `f32` precision from 3 on, and every step of the
        // recurrence costs digits that the narrower types do not have.
        let steps = match x.dtype() {
            DType::F64 => STIRLING_SHIFT,
            _ => 3,
        };
        let large = x.clone().greater_equal_elem(steps as f64);
        let small = x.clone().mask_fill(large.clone(), 1.0);
        let argument = (x.clone() + steps as f64).mask_where(large.clone(), x);
        Self {
            large,
            small,
            argument,
            steps,
        }
    }

    /// ln of the product x (x + 1) … over all steps, zero where the argument was not shifted.
    fn ln_product(&self) -> Tensor<D> {
        let product = (1..self.steps).fold(self.small.clone(), |product, j| {
            product * (self.small.clone() + j as f64)
        });
        product.log().mask_fill(self.large.clone(), 0.0)
    }

    /// 1/x + 1/(x + 1) + … over all steps, of the argument that is not large.
    fn reciprocals(&self) -> Tensor<D> {
        (1..self.steps).fold(self.small.clone().recip(), |sum, j| {
            sum + (self.small.clone() + j as f64).recip()
        })
    }
}

fn series<const D: usize>(z: Tensor<D>, coefficients: &[f64]) -> Tensor<D> {
    let inverse = z.recip();
    horner(inverse.clone().square(), coefficients) * inverse
}

/// Horner's rule on a tensor, coefficients from the constant upwards.
pub(crate) fn horner<const D: usize>(x: Tensor<D>, coefficients: &[f64]) -> Tensor<D> {
    let Some((&last, rest)) = coefficients.split_last() else {
        return x.zeros_like();
    };
    rest.iter()
        .rev()
        .fold(x.full_like(last), |sum, &c| sum * x.clone() + c)
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, TensorData};

    use super::*;

    #[test]
    fn softplus_of_tensors_and_its_derivative() {
        let device = Device::default().autodiff();
        let points = [
            -700.0, -80.0, -20.0, -1.0, 0.0, 1e-3, 1.0, 19.9, 20.1, 39.9, 40.1, 700.0,
        ];
        for (dtype, error, points) in [
            (DType::F64, 1e-14, &points[..]),
            (DType::F32, 1e-6, &points[1..]),
        ] {
            let data = TensorData::from(points);
            let x = Tensor::<1>::from_data(data, (&device, dtype)).require_grad();
            let y = softplus_tensor(x.clone());
            let gradients = y.clone().sum().backward();
            let numbers = |tensor: Tensor<1>| {
                let data = tensor.into_data_as::<f64>();
                data.try_to_vec::<f64>().expect("f64 numbers")
            };
            let derivative = numbers(x.grad(&gradients).expect("a gradient"));
            let rounded = numbers(x.inner());
            for ((x, y), slope) in rounded.into_iter().zip(numbers(y.inner())).zip(derivative) {
                assert!((y / softplus(x) - 1.0).abs() < error, "softplus({x}) = {y}");
                assert!(
                    (slope / sigmoid(x) - 1.0).abs() < error,
                    "slope at {x}: {slope}"
                );
            }
        }
    }
}
