//! From counts to the values that the network sees.

use serde::{Deserialize, Serialize};

use super::statistics::GeneStatistics;

/// Which scaled values are cut off.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Clip {
    /// Values above the limit become the limit (older scanpy; DESC's per-batch scaling).
    Upper(f64),
    /// Values outside ± the limit become ± the limit (scanpy since 1.9 on centred data).
    Both(f64),
}

impl Clip {
    pub(super) fn limit(self) -> f64 {
        match self {
            Self::Upper(limit) | Self::Both(limit) => limit,
        }
    }

    /// The least and the largest value that is left.
    fn range(self) -> (f64, f64) {
        match self {
            Self::Upper(limit) => (f64::NEG_INFINITY, limit),
            Self::Both(limit) => (-limit, limit),
        }
    }
}

/// How the log-normalised values `v` of a gene are scaled: `(v − mean) / sd^exponent`, if asked for
/// times one factor for all genes, then clipped. The standard deviation has `n − 1` in the
/// denominator; a gene without variance is divided by 1.
///
/// The default is the plain z-score.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Scaling {
    /// Subtract the gene's mean.
    pub center: bool,
    /// Power of the standard deviation to divide by: 1 is the z-score, 0 leaves the scale alone,
    /// values between shrink the weight of rarely expressed genes.
    pub exponent: f64,
    /// Multiply all genes by one factor so that the mean variance of genes, before clipping,
    /// is 1, as it is of z-scores.
    pub unit_variance: bool,
    /// Cut off extreme values.
    pub clip: Option<Clip>,
}

impl Default for Scaling {
    fn default() -> Self {
        Self {
            center: true,
            exponent: 1.0,
            unit_variance: false,
            clip: None,
        }
    }
}

impl Scaling {
    /// Centred, divided by the square root of the standard deviation, and brought to a mean
    /// variance of 1.
    ///
    /// Between the z-score, which makes the noise of rarely expressed genes as loud as any signal,
    /// and no scaling, which leaves the word to a few highly expressed genes.
    pub fn square_root() -> Self {
        Self {
            exponent: 0.5,
            unit_variance: true,
            ..Self::default()
        }
    }

    /// The z-score: centred, divided by the standard deviation, not clipped.
    pub fn z_score() -> Self {
        Self::default()
    }

    /// Whether the mean is subtracted (default: yes).
    pub fn with_center(mut self, center: bool) -> Self {
        self.center = center;
        self
    }

    /// The power of the standard deviation to divide by (default 1).
    pub fn with_exponent(mut self, exponent: f64) -> Self {
        self.exponent = exponent;
        self
    }

    /// Whether all genes are brought to a mean variance of 1 by one factor (default: no).
    pub fn with_unit_variance(mut self, unit_variance: bool) -> Self {
        self.unit_variance = unit_variance;
        self
    }

    /// Which extreme values are cut off (default: none).
    pub fn with_clip(mut self, clip: impl Into<Option<Clip>>) -> Self {
        self.clip = clip.into();
        self
    }
}

/// Scaling of one kind of cell: `(value − centre) / divisor`, within limits.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Scaler {
    /// Centre and divisor of every gene `[genes]`.
    genes: Vec<(f64, f64)>,
    low: f64,
    high: f64,
    /// The network's input at a zero count `[genes]`.
    pub zeros: Vec<f32>,
}

impl Scaler {
    pub fn new(statistics: &GeneStatistics, scaling: Option<Scaling>) -> Self {
        // Values pass unchanged through a centre of 0, a divisor of 1 and infinite limits.
        let scaling = scaling.unwrap_or(Scaling {
            center: false,
            exponent: 0.0,
            unit_variance: false,
            clip: None,
        });
        let divisor = |sd: f64| {
            if sd > 0.0 {
                sd.powf(scaling.exponent)
            } else {
                1.0
            }
        };
        let common = if scaling.unit_variance {
            root_mean_square(statistics.sd.iter().map(|&sd| sd / divisor(sd)))
        } else {
            1.0
        };
        let genes = statistics.mean.iter().zip(&statistics.sd);
        let genes = genes.map(|(&mean, &sd)| {
            let center = if scaling.center { mean } else { 0.0 };
            (center, divisor(sd) * common)
        });
        let clip = scaling.clip;
        let (low, high) = clip.map_or((f64::NEG_INFINITY, f64::INFINITY), Clip::range);
        let mut scaler = Self {
            genes: genes.collect(),
            low,
            high,
            zeros: Vec::new(),
        };
        scaler.zeros = (0..scaler.genes.len())
            .map(|gene| scaler.scale(gene, 0.0))
            .collect();
        scaler
    }

    /// The network input for a log-normalised value.
    pub fn scale(&self, gene: usize, value: f64) -> f32 {
        let (center, divisor) = self.genes[gene];
        self.limit((value - center) / divisor) as f32
    }

    /// `f64::clamp` without its check of the limits.
    fn limit(&self, value: f64) -> f64 {
        let value = if value < self.low { self.low } else { value };
        if value > self.high { self.high } else { value }
    }
}

/// 1 without values that are not zero.
fn root_mean_square(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let count = values.len().max(1) as f64;
    let mean = values.map(|value| value * value).sum::<f64>() / count;
    if mean > 0.0 { mean.sqrt() } else { 1.0 }
}

/// log1p of the normalised counts of one cell.
///
/// A cell has few different counts, nearly all of them small: each of those is taken the logarithm
/// of once.
pub(super) struct Logarithms {
    scale: f64,
    /// Of the counts 0, 1, 2, …; negative where not yet known.
    known: [f64; Self::SMALL],
}

impl Logarithms {
    const SMALL: usize = 32;

    pub fn new(scale: f64) -> Self {
        Self {
            scale,
            known: [-1.0; Self::SMALL],
        }
    }

    pub fn of(&mut self, count: f32) -> f64 {
        let whole = count as i32;
        let scale = self.scale;
        let compute = || (f64::from(count) * scale).ln_1p();
        match self.known.get_mut(whole as usize) {
            Some(known) if whole as f32 == count => {
                if *known < 0.0 {
                    *known = compute();
                }
                *known
            }
            _ => compute(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remembered_logarithms_are_the_computed_ones() {
        let scale = 0.37;
        let mut logarithms = Logarithms::new(scale);
        let counts = [
            1.0, 2.0, 1.0, 0.5, 2.5, 31.0, 32.0, 31.0, 31.5, 1e9, 5e9, 2.0, 1e30,
        ];
        for count in counts {
            let expected = (f64::from(count) * scale).ln_1p();
            assert_eq!(
                logarithms.of(count).to_bits(),
                expected.to_bits(),
                "{count}"
            );
        }
    }

    #[test]
    fn a_scaler_centres_divides_and_limits() {
        let statistics = GeneStatistics {
            mean: vec![1.0, 2.0],
            sd: vec![4.0, 0.0],
        };
        let z_score = Scaling::z_score();
        for (scaling, expected) in [
            (None, [9.0, 9.0]),
            (Some(z_score), [2.0, 7.0]),
            (Some(z_score.with_center(false)), [2.25, 9.0]),
            (Some(z_score.with_exponent(0.5)), [4.0, 7.0]),
            (Some(z_score.with_clip(Clip::Upper(3.0))), [2.0, 3.0]),
        ] {
            let scaler = Scaler::new(&statistics, scaling);
            assert_eq!([scaler.scale(0, 9.0), scaler.scale(1, 9.0)], expected);
        }
        let upper = Scaler::new(&statistics, Some(z_score.with_clip(Clip::Upper(0.5))));
        let both = Scaler::new(&statistics, Some(z_score.with_clip(Clip::Both(0.5))));
        assert_eq!(upper.zeros, [-0.25, -2.0]);
        assert_eq!(both.zeros, [-0.25, -0.5]);
    }
}
