//! Gaussian noise and dropout on rows, from blocks of random bits.
//!
//! Noise of 256 × 2000 inputs is drawn in every training step. A sampler that rejects (ziggurat)
//! draws number by number; Box–Muller has no branch, so that the compiler can compute a vector of
//! pairs at once. Only operations that IEEE 754 rounds exactly are used and none is fused, so the
//! bits do not depend on the instructions that the CPU has.

use rand::RngExt;
use rand::rngs::ChaCha8Rng;

use super::lanes;
use super::vectorize::{Vectorize, vectorize};

/// Random words drawn together: what ChaCha8 computes at once.
const BLOCK: usize = 64;
/// Pairs of normal numbers in a block.
const PAIRS: usize = BLOCK / 2;

/// Cephes: (sin x / x − 1) / x² in x² on |x| ≤ π/4.
pub(super) const SIN: [f32; 3] = [-1.666_665_4e-1, 8.332_161e-3, -1.951_529_6e-4];
/// Cephes: (cos x − 1 + x²/2) / x⁴ in x² on |x| ≤ π/4.
pub(super) const COS: [f32; 3] = [4.166_664_6e-2, -1.388_731_6e-3, 2.443_315_7e-5];

/// Adds independent normal numbers of mean 0 and this standard deviation.
pub(crate) fn add_gaussian(values: &mut [f32], deviation: f32, rng: &mut ChaCha8Rng) {
    vectorize(AddGaussian {
        values,
        deviation,
        rng,
    });
}

struct AddGaussian<'a> {
    values: &'a mut [f32],
    deviation: f32,
    rng: &'a mut ChaCha8Rng,
}

impl Vectorize for AddGaussian<'_> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool, const WIDE: bool>(self) {
        let mut words = [0u32; BLOCK];
        let mut noise = [0f32; BLOCK];
        for block in self.values.chunks_mut(BLOCK) {
            self.rng.fill(&mut words);
            let (radii, angles) = words.split_at(PAIRS);
            let (first, second) = noise.split_at_mut(PAIRS);
            for (((x, y), &radius), &angle) in first.iter_mut().zip(second).zip(radii).zip(angles) {
                (*x, *y) = normal_pair(radius, angle);
            }
            for (value, &noise) in block.iter_mut().zip(&noise) {
                *value += self.deviation * noise;
            }
        }
    }
}

/// Two independent standard normal numbers from two random words (Box and Muller, 1958): a radius
/// of √(−2 ln u) in a uniform direction.
#[inline(always)]
fn normal_pair(radius: u32, angle: u32) -> (f32, f32) {
    // 31 bits, because vectors have no conversion of unsigned integers before AVX-512. u lies
    // between 2⁻³² and 1, so the radius between 0 and 6.7.
    let u = ((radius >> 1) as i32 as f32 + 0.5) * (1.0 / 2_147_483_648.0);
    let radius = (-2.0 * lanes::ln::<false>(u)).sqrt();

    // An angle within π/4 of an axis from 30 bits; the others say which axis and which end of it.
    let x = (((angle as i32) >> 2) as f32 + 0.5) * (std::f32::consts::FRAC_PI_4 / 536_870_912.0);
    let z = x * x;
    let sin = lanes::polynomial::<false, 3>(z, &SIN) * z * x + x;
    let cos = lanes::polynomial::<false, 3>(z, &COS) * z * z - 0.5 * z + 1.0;
    let (along, across) = if angle & 1 == 0 {
        (cos, sin)
    } else {
        (sin, cos)
    };
    let radius = if angle & 2 == 0 { radius } else { -radius };
    (radius * along, radius * across)
}

/// Sets values to zero with probability `rate` and divides the others by 1 − `rate`.
///
/// `rate` is in [0, 1) and rounded down to a multiple of 2⁻³².
pub(crate) fn drop_out(values: &mut [f32], rate: f64, rng: &mut ChaCha8Rng) {
    let threshold = (rate * 4_294_967_296.0) as u32;
    let scale = (1.0 / (1.0 - rate)) as f32;
    let mut words = [0u32; BLOCK];
    for block in values.chunks_mut(BLOCK) {
        rng.fill(&mut words);
        for (value, &word) in block.iter_mut().zip(&words) {
            *value = if word < threshold {
                0.0
            } else {
                *value * scale
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::{Purpose, stream};

    const DRAWS: usize = 1_000_000;

    fn normals(seed: u64, count: usize) -> Vec<f32> {
        let mut values = vec![0.0; count];
        add_gaussian(&mut values, 1.0, &mut stream(seed, Purpose::Noise, 0, 0));
        values
    }

    /// Φ(x) of the standard normal distribution.
    fn normal_cdf(x: f64) -> f64 {
        0.5 * libm::erfc(-x * std::f64::consts::FRAC_1_SQRT_2)
    }

    /// Within five standard errors of 0, 1, 0 and 3; and so for the products of the two numbers of
    /// a pair, of their squares, and of neighbours.
    #[test]
    fn moments_are_those_of_independent_normal_numbers() {
        let values: Vec<f64> = normals(1, DRAWS).into_iter().map(f64::from).collect();
        let mean = |terms: &mut dyn Iterator<Item = f64>| {
            let (sum, count) =
                terms.fold((0.0, 0.0), |(sum, count), term| (sum + term, count + 1.0));
            (sum / count, f64::sqrt(count))
        };
        // Expected value and standard deviation of a term.
        let check = |what: &str, terms: &mut dyn Iterator<Item = f64>, expected: f64, sd: f64| {
            let (found, root) = mean(terms);
            let error = (found - expected) * root / sd;
            assert!(
                error.abs() < 5.0,
                "{what}: {found}, {error} standard errors off"
            );
        };
        check("mean", &mut values.iter().copied(), 0.0, 1.0);
        check(
            "variance",
            &mut values.iter().map(|x| x.powi(2)),
            1.0,
            2f64.sqrt(),
        );
        check(
            "skewness",
            &mut values.iter().map(|x| x.powi(3)),
            0.0,
            15f64.sqrt(),
        );
        check(
            "kurtosis",
            &mut values.iter().map(|x| x.powi(4)),
            3.0,
            96f64.sqrt(),
        );
        let pairs = || {
            values
                .chunks_exact(BLOCK)
                .flat_map(|block| block[..PAIRS].iter().zip(&block[PAIRS..]))
        };
        check("pairs", &mut pairs().map(|(x, y)| x * y), 0.0, 1.0);
        let squares = |(x, y): (&f64, &f64)| (x * x - 1.0) * (y * y - 1.0);
        check("squares of pairs", &mut pairs().map(squares), 0.0, 2.0);
        check(
            "neighbours",
            &mut values.windows(2).map(|x| x[0] * x[1]),
            0.0,
            1.0,
        );
    }

    /// Kolmogorov's statistic, √n · D, exceeds 1.95 with probability 0.001.
    #[test]
    fn the_distribution_is_normal() {
        let mut values = normals(2, DRAWS);
        values.sort_unstable_by(f32::total_cmp);
        let count = values.len() as f64;
        let distance = values
            .iter()
            .enumerate()
            .map(|(rank, &x)| {
                let cdf = normal_cdf(f64::from(x));
                let (below, above) = (rank as f64 / count, (rank as f64 + 1.0) / count);
                (cdf - below).abs().max((cdf - above).abs())
            })
            .fold(0.0, f64::max);
        assert!(distance * count.sqrt() < 1.95, "{distance}");
    }

    /// The largest of 10⁶ lies between 4.3 and 6.2 with probability 0.9995 on either side; values
    /// beyond 3 are 2699.8 ± 51.9, beyond 4 63.3 ± 8.0.
    #[test]
    fn tails_are_as_heavy_as_they_should_be() {
        let values = normals(3, DRAWS);
        let beyond = |x: f32| values.iter().filter(|value| value.abs() > x).count() as f64;
        assert!((beyond(3.0) - 2699.8).abs() < 5.0 * 51.9, "{}", beyond(3.0));
        assert!((beyond(4.0) - 63.3).abs() < 5.0 * 8.0, "{}", beyond(4.0));
        for sign in [1.0, -1.0] {
            let largest = values.iter().map(|x| sign * x).fold(0.0, f32::max);
            assert!((4.3..6.2).contains(&largest), "{largest}");
        }
    }

    #[test]
    fn every_extreme_of_the_random_words_is_finite_and_right() {
        let mut words: Vec<u32> = (0..32)
            .flat_map(|bit| [1u32 << bit, (1 << bit) - 1, !(1 << bit), u32::MAX >> bit])
            .collect();
        words.extend([
            0,
            1,
            2,
            3,
            u32::MAX,
            u32::MAX - 1,
            u32::MAX - 2,
            u32::MAX - 3,
        ]);
        for &radius in &words {
            for &angle in &words {
                let (x, y) = normal_pair(radius, angle);
                let u = (f64::from(radius >> 1) + 0.5) / 2f64.powi(31);
                let expected = (-2.0 * u.ln()).sqrt();
                let found = f64::from(x).hypot(f64::from(y));
                // u has the precision of an f32, which is coarse for ln u where u is next to 1.
                assert!(
                    (found.powi(2) - expected.powi(2)).abs() < 2.4e-7 + 1e-6 * expected.powi(2),
                    "{radius:x} {angle:x}: radius {found}, not {expected}"
                );
                let theta = (f64::from((angle as i32) >> 2) + 0.5) / 2f64.powi(29)
                    * std::f64::consts::FRAC_PI_4;
                let (sin, cos) = match angle & 3 {
                    0 => (theta.sin(), theta.cos()),
                    1 => (theta.cos(), theta.sin()),
                    2 => (-theta.sin(), -theta.cos()),
                    _ => (-theta.cos(), -theta.sin()),
                };
                assert!(
                    (f64::from(x) - found * cos).abs() <= 2e-7 * found,
                    "{angle:x}: {x}"
                );
                assert!(
                    (f64::from(y) - found * sin).abs() <= 2e-7 * found,
                    "{angle:x}: {y}"
                );
            }
        }
        assert!(normal_pair(0, 0).0 > 6.6, "the largest radius");
    }

    #[test]
    fn a_longer_row_begins_with_the_same_noise_and_every_instruction_set_agrees() {
        let mut plain = vec![0.0; 1000];
        let work = AddGaussian {
            values: &mut plain,
            deviation: 2.5,
            rng: &mut stream(4, Purpose::Noise, 0, 0),
        };
        work.run::<false, false>();
        for length in [0, 1, 31, 63, 64, 65, 1000] {
            let mut values = vec![0.0; length];
            add_gaussian(&mut values, 2.5, &mut stream(4, Purpose::Noise, 0, 0));
            assert_eq!(values, plain[..length]);
        }
    }

    /// Within five standard errors, for rates that are no multiple of a power of two as well.
    #[test]
    fn dropout_drops_at_its_rate_and_scales_the_others() {
        for rate in [1e-4, 0.2, 0.5, 0.999] {
            let mut values = vec![3.0; DRAWS];
            drop_out(&mut values, rate, &mut stream(5, Purpose::Dropout, 0, 0));
            let kept = (3.0 / (1.0 - rate)) as f32;
            assert!(
                values
                    .iter()
                    .all(|&x| x == 0.0 || (x / kept - 1.0).abs() < 1e-6)
            );
            let dropped = values.iter().filter(|&&x| x == 0.0).count() as f64;
            let (expected, sd) = (
                DRAWS as f64 * rate,
                (DRAWS as f64 * rate * (1.0 - rate)).sqrt(),
            );
            assert!((dropped - expected).abs() < 5.0 * sd, "{rate}: {dropped}");
        }
    }
}
