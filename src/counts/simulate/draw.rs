//! Drawing gene parameters and counts.

use rand::rngs::ChaCha8Rng;
use rand::seq::SliceRandom;
use rand::{Rng, RngExt};
use rand_distr::{ChiSquared, Distribution, Gamma, LogNormal, Poisson};

use super::SimulationConfig;
use crate::random::{Purpose, stream};

// The second part of a stream's address: what is drawn. The third is which one.
pub(super) const GROUP_ORDER: u64 = 0;
pub(super) const BATCH_ORDER: u64 = 1;
const GENE_MEANS: u64 = 2;
const GROUP_FACTORS: u64 = 3;
const BATCH_FACTORS: u64 = 4;
const DISPERSIONS: u64 = 5;
const CELL: u64 = 6;

/// Above this expected count, inversion takes longer than a Gamma and a Poisson draw.
const INVERSION_LIMIT: f64 = 8.0;

/// Gives every cell a part so that part sizes follow the weights exactly (largest remainders),
/// in random order.
pub(super) fn shuffled_assignment(
    cells: usize,
    weights: &[f64],
    seed: u64,
    what: u64,
) -> Vec<usize> {
    let total: f64 = weights.iter().sum();
    let ideal: Vec<f64> = weights
        .iter()
        .map(|weight| weight / total * cells as f64)
        .collect();
    let mut sizes: Vec<usize> = ideal.iter().map(|size| *size as usize).collect();
    let mut by_remainder: Vec<usize> = (0..weights.len()).collect();
    by_remainder.sort_by(|&a, &b| {
        let remainder = |part: usize| ideal[part] - sizes[part] as f64;
        remainder(b).total_cmp(&remainder(a))
    });
    let missing = cells.saturating_sub(sizes.iter().sum());
    for &part in by_remainder.iter().cycle().take(missing) {
        sizes[part] += 1;
    }
    let mut parts: Vec<usize> = sizes
        .iter()
        .enumerate()
        .flat_map(|(part, &size)| std::iter::repeat_n(part, size))
        .take(cells)
        .collect();
    parts.shuffle(&mut stream(seed, Purpose::Simulation, what, 0));
    parts
}

/// What is drawn once for every gene, group and batch.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct GeneModel {
    batches: usize,
    /// For every group, the factor of every gene.
    factors: Vec<Vec<f64>>,
    /// For every group and batch, the share of every gene in the library.
    profiles: Vec<Vec<f64>>,
    /// Dispersion of every gene.
    dispersions: Vec<f64>,
}

impl GeneModel {
    pub(super) fn draw(config: &SimulationConfig) -> Self {
        let genes = config.genes;
        let means = gene_means(config);
        let factors: Vec<Vec<f64>> = (0..config.group_proportions.len())
            .map(|group| group_factors(config, group))
            .collect();
        let batch_factors: Vec<Vec<f64>> = (0..config.batches)
            .map(|batch| {
                if config.batches == 1 {
                    return vec![1.0; genes];
                }
                let mut random = gene_stream(config, BATCH_FACTORS, batch);
                (0..genes)
                    .map(|_| log_normal(&mut random, config.batch_location, config.batch_scale))
                    .collect()
            })
            .collect();
        let profiles = factors
            .iter()
            .flat_map(|group| batch_factors.iter().map(move |batch| (group, batch)))
            .map(|(group, batch)| {
                let mut profile: Vec<f64> = (0..genes)
                    .map(|gene| means[gene] * group[gene] * batch[gene])
                    .collect();
                let total: f64 = profile.iter().sum();
                profile.iter_mut().for_each(|mean| *mean /= total);
                profile
            })
            .collect();
        Self {
            batches: config.batches,
            factors,
            profiles,
            dispersions: dispersions(config),
        }
    }

    /// The share of every gene in the library of a cell.
    pub(super) fn profile(&self, group: usize, batch: usize) -> &[f64] {
        &self.profiles[group * self.batches + batch]
    }

    /// The factor of every gene in a group.
    pub(super) fn group_factors(&self, group: usize) -> Option<&[f64]> {
        self.factors.get(group).map(Vec::as_slice)
    }
}

fn gene_stream(config: &SimulationConfig, what: u64, index: usize) -> ChaCha8Rng {
    stream(config.seed, Purpose::Simulation, what, index as u64)
}

fn gene_means(config: &SimulationConfig) -> Vec<f64> {
    let mut random = gene_stream(config, GENE_MEANS, 0);
    (0..config.genes)
        // A tiny shape underflows to 0, and a profile of zeros has no shares.
        .map(|_| gamma(&mut random, config.mean_shape, 1.0 / config.mean_rate).max(1e-100))
        .collect()
}

fn group_factors(config: &SimulationConfig, group: usize) -> Vec<f64> {
    let mut random = gene_stream(config, GROUP_FACTORS, group);
    (0..config.genes)
        .map(|_| {
            if random.random::<f64>() >= config.de_probability {
                return 1.0;
            }
            let factor = log_normal(&mut random, config.de_location, config.de_scale);
            let down = random.random::<f64>() < config.de_down_probability;
            // Down-regulation lowers the mean whichever way the factor points.
            if down == (factor > 1.0) {
                1.0 / factor
            } else {
                factor
            }
        })
        .collect()
}

fn dispersions(config: &SimulationConfig) -> Vec<f64> {
    let common = config.bcv * config.bcv;
    let Ok(chi_squared) = ChiSquared::new(config.bcv_degrees) else {
        return vec![common; config.genes];
    };
    if config.bcv_degrees.is_infinite() {
        return vec![common; config.genes];
    }
    let mut random = gene_stream(config, DISPERSIONS, 0);
    (0..config.genes)
        .map(|_| {
            let spread: f64 = chi_squared.sample(&mut random);
            common * config.bcv_degrees / spread.max(1e-3)
        })
        .collect()
}

/// Draws the counts of a cell, appending the non-zero ones; returns its library size.
pub(super) fn draw_cell(
    config: &SimulationConfig,
    model: &GeneModel,
    cell: usize,
    group: usize,
    batch: usize,
    indices: &mut Vec<u32>,
    values: &mut Vec<f32>,
) -> f64 {
    let mut random = stream(config.seed, Purpose::Simulation, CELL, cell as u64);
    let library = log_normal(
        &mut random,
        config.library_median.ln(),
        config.library_scale,
    );
    let profile = model.profile(group, batch);
    for (gene, (&share, &dispersion)) in profile.iter().zip(&model.dispersions).enumerate() {
        let mean = library * share;
        let count = negative_binomial(&mut random, mean, dispersion);
        if count == 0.0 {
            continue;
        }
        if let Some(dropout) = config.dropout {
            let lost = 1.0 / (1.0 + (-dropout.shape * (mean.ln() - dropout.midpoint)).exp());
            if random.random::<f64>() < lost {
                continue;
            }
        }
        indices.push(gene as u32);
        values.push(count as f32);
    }
    library
}

/// A count of the given mean and dispersion φ (variance mean + φ mean²).
fn negative_binomial(random: &mut ChaCha8Rng, mean: f64, dispersion: f64) -> f64 {
    let poisson_limit = dispersion < 1e-8;
    if mean > INVERSION_LIMIT {
        let mean = if !poisson_limit {
            gamma(random, 1.0 / dispersion, mean * dispersion)
        } else {
            mean
        };
        return poisson(random, mean);
    }
    let uniform: f64 = random.random();
    // P(0) ≥ exp(−mean) ≥ 1 − mean for every dispersion: most zeros need no logarithm.
    if uniform < 1.0 - mean {
        return 0.0;
    }
    let (mut probability, ratio, size) = if !poisson_limit {
        let size = 1.0 / dispersion;
        let odds = mean * dispersion;
        ((-size * odds.ln_1p()).exp(), odds / (1.0 + odds), size)
    } else {
        ((-mean).exp(), 0.0, 0.0)
    };
    let mut cumulative = probability;
    let mut count = 0.0;
    // Inversion: P(k + 1) / P(k) = (k + size) / (k + 1) · ratio, in the Poisson limit mean / (k + 1).
    while uniform >= cumulative {
        let step = if ratio > 0.0 {
            (count + size) * ratio
        } else {
            mean
        };
        count += 1.0;
        probability *= step / count;
        cumulative += probability;
        // Rounding keeps the sum below the largest uniform number; the rest has no weight.
        if probability < 1e-18 && count > mean {
            break;
        }
    }
    count
}

fn poisson(random: &mut ChaCha8Rng, mean: f64) -> f64 {
    // A mean of 0, possible after a Gamma draw of tiny shape, has only the count 0; one beyond the
    // sampler's range can only come from absurd settings, and 1e15 is as absurd a count.
    Poisson::new(mean.min(1e15)).map_or(0.0, |poisson| poisson.sample(random))
}

fn gamma<R: Rng>(random: &mut R, shape: f64, scale: f64) -> f64 {
    // Both are positive and finite by validation.
    Gamma::new(shape, scale).map_or(0.0, |gamma| gamma.sample(random))
}

fn log_normal<R: Rng>(random: &mut R, location: f64, scale: f64) -> f64 {
    // A finite scale that is not negative, by validation, is never refused.
    LogNormal::new(location, scale).map_or(1.0, |distribution| distribution.sample(random))
}
