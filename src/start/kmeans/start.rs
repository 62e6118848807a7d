//! Starting centroids: greedy k-means++.

use ndarray::Array2;
use rand::RngExt;
use rand::rngs::ChaCha8Rng;

use super::tiles::{Lanes, Points, WIDTH};
use crate::graph::points::{BLOCK, row};
use crate::kernel::lanes::mul_add;
use crate::kernel::vectorize::{Vectorize, vectorize};
use crate::parallel::for_each;

/// Tiles handled as one unit of work.
const BLOCK_TILES: usize = BLOCK / WIDTH;

/// Draws k starting centroids: each is the best of 2 + ⌊ln k⌋ points drawn with probability
/// proportional to their squared distance from the centroids drawn before.
pub(super) fn greedy(points: &Points, clusters: usize, random: &mut ChaCha8Rng) -> Array2<f32> {
    let cells = points.cells();
    let trials = 2 + (clusters as f64).ln() as usize;
    let mut centroids = Array2::zeros((clusters, points.dimensions()));
    let mut closest = vec![Lanes([f32::INFINITY; WIDTH]); cells.div_ceil(WIDTH)];
    if let Some(last) = closest.last_mut() {
        // No cell is there: never drawn, counts nothing.
        last.0[(cells - 1) % WIDTH + 1..].fill(0.0);
    }
    let mut distances = vec![Lanes::ZERO; closest.len() * trials];
    let mut mass = Vec::new();
    for cluster in 0..clusters {
        let candidates: Vec<usize> = if cluster == 0 {
            vec![random.random_range(0..cells)]
        } else {
            (0..trials)
                .map(|_| draw(&closest, cells, &mass, random))
                .collect()
        };
        let trials = candidates.len();
        let distances = &mut distances[..closest.len() * trials];
        let sums = try_candidates(points, &candidates, &closest, distances);
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
            .assign(&points.rows.row(candidates[best]));
        for (closest, distances) in closest.iter_mut().zip(distances.chunks_exact(trials)) {
            *closest = distances[best];
        }
        mass = sums.chunks_exact(trials).map(|block| block[best]).collect();
    }
    centroids
}

/// For every candidate as the next centroid, the squared distances of all cells to their closest
/// centroid `[tiles, candidates]`, and their sums over blocks of cells `[blocks, candidates]`.
fn try_candidates(
    points: &Points,
    candidates: &[usize],
    closest: &[Lanes],
    distances: &mut [Lanes],
) -> Vec<f64> {
    let candidates: Vec<&[f32]> = candidates
        .iter()
        .map(|&candidate| row(&points.rows, candidate))
        .collect();
    let blocks = points
        .tiles
        .chunks(BLOCK_TILES * points.dimensions())
        .zip(closest.chunks(BLOCK_TILES))
        .zip(distances.chunks_mut(BLOCK_TILES * candidates.len()));
    let mut sums = vec![Vec::new(); closest.len().div_ceil(BLOCK_TILES)];
    for_each(
        blocks.zip(&mut sums),
        |(((tiles, closest), distances), sums)| {
            *sums = vectorize(Trial {
                candidates: &candidates,
                tiles,
                closest,
                distances,
            });
        },
    );
    sums.concat()
}

/// [`try_candidates`] for a block of cells.
struct Trial<'a> {
    candidates: &'a [&'a [f32]],
    tiles: &'a [Lanes],
    closest: &'a [Lanes],
    distances: &'a mut [Lanes],
}

impl Vectorize for Trial<'_> {
    type Output = Vec<f64>;

    #[inline(always)]
    fn run<const FMA: bool, const WIDE: bool>(self) -> Vec<f64> {
        let dimensions = self.tiles.len() / self.closest.len();
        let mut sums = vec![[0.0f64; WIDTH]; self.candidates.len()];
        for ((tile, closest), distances) in self
            .tiles
            .chunks_exact(dimensions)
            .zip(self.closest)
            .zip(self.distances.chunks_exact_mut(self.candidates.len()))
        {
            for ((candidate, distance), sums) in
                self.candidates.iter().zip(distances).zip(&mut sums)
            {
                let mut squares = [0.0f32; WIDTH];
                for (values, &other) in tile.iter().zip(*candidate) {
                    for (square, &value) in squares.iter_mut().zip(&values.0) {
                        let difference = value - other;
                        *square = mul_add::<FMA>(difference, difference, *square);
                    }
                }
                let closest = closest.0;
                let mut least = [0.0f32; WIDTH];
                for lane in 0..WIDTH {
                    let closer = squares[lane] < closest[lane];
                    least[lane] = if closer { squares[lane] } else { closest[lane] };
                }
                for lane in 0..WIDTH {
                    sums[lane] += f64::from(least[lane]);
                }
                distance.0 = least;
            }
        }
        sums.iter().map(|lanes| lanes.iter().sum()).collect()
    }
}

/// Draws one of `cells` with probability proportional to `weights`, whose sums over blocks are
/// `mass`; uniformly when all are zero.
fn draw(weights: &[Lanes], cells: usize, mass: &[f64], random: &mut ChaCha8Rng) -> usize {
    let total: f64 = mass.iter().sum();
    if total <= 0.0 {
        return random.random_range(0..cells);
    }
    let target = random.random::<f64>() * total;
    let positive = |block: usize| {
        let weights = weights.iter().skip(block * BLOCK_TILES).take(BLOCK_TILES);
        let weights = weights.flat_map(|lanes| lanes.0).enumerate();
        weights.filter_map(move |(offset, weight)| {
            (weight > 0.0).then_some((block * BLOCK + offset, weight))
        })
    };
    let mut before = 0.0f64;
    for (block, &sum) in mass.iter().enumerate() {
        if before + sum > target {
            let mut within = before;
            for (cell, weight) in positive(block) {
                within += f64::from(weight);
                if within > target {
                    return cell;
                }
            }
        }
        before += sum;
    }
    // Only rounding of the sums leads here: the target was all but the total.
    let mut last = (0..mass.len())
        .rev()
        .filter_map(|block| positive(block).last());
    last.next().map_or(0, |(cell, _)| cell)
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
            let tiles: Vec<Lanes> = weights
                .chunks(WIDTH)
                .map(|tile| {
                    let mut lanes = Lanes::ZERO;
                    lanes.0[..tile.len()].copy_from_slice(tile);
                    lanes
                })
                .collect();
            let mut random = stream(seed, Purpose::KMeans, 0, 0);
            let cell = draw(&tiles, weights.len(), &mass, &mut random);
            prop_assert!(cell < weights.len());
            prop_assert!(weights[cell] > 0.0 || mass.iter().sum::<f64>() == 0.0);
        }
    }
}
