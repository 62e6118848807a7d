//! Starting centroids: greedy k-means++.

use ndarray::Array2;
use rand::RngExt;
use rand::rngs::ChaCha8Rng;
use rayon::prelude::*;

use crate::cluster::points::{BLOCK, row, squared_distance};

/// Draws k starting centroids: each is the best of 2 + ⌊ln k⌋ points drawn with probability
/// proportional to their squared distance from the centroids drawn before.
pub(super) fn greedy(
    points: &Array2<f32>,
    clusters: usize,
    random: &mut ChaCha8Rng,
) -> Array2<f32> {
    let cells = points.nrows();
    let trials = 2 + (clusters as f64).ln() as usize;
    let mut centroids = Array2::zeros((clusters, points.ncols()));
    let first = random.random_range(0..cells);
    centroids.row_mut(0).assign(&points.row(first));
    let mut closest = vec![0.0f32; cells];
    let mut mass = block_sums(&mut closest, 1, |cell, value| {
        value[0] = squared_distance(row(points, cell), row(points, first));
    });
    let mut distances = vec![0.0f32; cells * trials];
    for cluster in 1..clusters {
        let candidates: Vec<usize> = (0..trials).map(|_| draw(&closest, &mass, random)).collect();
        let sums = block_sums(&mut distances, trials, |cell, values| {
            for (value, &candidate) in values.iter_mut().zip(&candidates) {
                let distance = squared_distance(row(points, cell), row(points, candidate));
                *value = distance.min(closest[cell]);
            }
        });
        let mut totals = vec![0.0f64; trials];
        for block in sums.chunks_exact(trials) {
            for (total, sum) in totals.iter_mut().zip(block) {
                *total += sum;
            }
        }
        let best = (1..trials).fold(0, |best, trial| {
            if totals[trial] < totals[best] {
                trial
            } else {
                best
            }
        });
        centroids
            .row_mut(cluster)
            .assign(&points.row(candidates[best]));
        for (closest, distances) in closest.iter_mut().zip(distances.chunks_exact(trials)) {
            *closest = distances[best];
        }
        mass = sums.chunks_exact(trials).map(|block| block[best]).collect();
    }
    centroids
}

/// Fills `values` (`width` per cell) and returns their sums `[blocks, width]` over blocks of
/// cells.
fn block_sums(
    values: &mut [f32],
    width: usize,
    fill: impl Fn(usize, &mut [f32]) + Sync,
) -> Vec<f64> {
    values
        .par_chunks_mut(BLOCK * width)
        .enumerate()
        .flat_map_iter(|(block, values)| {
            let mut sums = vec![0.0f64; width];
            for (offset, values) in values.chunks_exact_mut(width).enumerate() {
                fill(block * BLOCK + offset, values);
                for (sum, &value) in sums.iter_mut().zip(values.iter()) {
                    *sum += f64::from(value);
                }
            }
            sums
        })
        .collect()
}

/// Draws a cell with probability proportional to `weights`, whose sums over blocks are `mass`;
/// uniformly when all are zero.
fn draw(weights: &[f32], mass: &[f64], random: &mut ChaCha8Rng) -> usize {
    let total: f64 = mass.iter().sum();
    if total <= 0.0 {
        return random.random_range(0..weights.len());
    }
    let target = random.random::<f64>() * total;
    let mut before = 0.0f64;
    let mut last = 0;
    for (block, &sum) in mass.iter().enumerate() {
        if sum <= 0.0 {
            continue;
        }
        let reaches = before + sum > target;
        let mut within = before;
        let start = block * BLOCK;
        let end = weights.len().min(start + BLOCK);
        for (cell, &weight) in (start..end).zip(&weights[start..end]) {
            if weight > 0.0 {
                last = cell;
                within += f64::from(weight);
                if reaches && within > target {
                    return cell;
                }
            }
        }
        before += sum;
    }
    // Only rounding of the sums leads here: the target was all but the total.
    last
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::random::{Purpose, stream};

    proptest! {
        #[test]
        fn draws_follow_the_weights(weights in prop::collection::vec(0u8..3, 1..60), seed: u64) {
            let weights: Vec<f32> = weights.into_iter().map(f32::from).collect();
            let mass: Vec<f64> = weights
                .chunks(BLOCK)
                .map(|block| block.iter().map(|&weight| f64::from(weight)).sum())
                .collect();
            let cell = draw(&weights, &mass, &mut stream(seed, Purpose::KMeans, 0, 0));
            prop_assert!(cell < weights.len());
            prop_assert!(weights[cell] > 0.0 || mass.iter().sum::<f64>() == 0.0);
        }
    }
}
