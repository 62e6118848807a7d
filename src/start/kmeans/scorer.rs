//! The comparison of cells with all centroids.

use ndarray::Array2;

use super::tiles::{Lanes, WIDTH};
use crate::graph::points::squared_norms;
use crate::kernel::lanes::mul_add;

/// Centroids scored in one sweep over the dimensions, twice as many where registers allow:
/// enough independent sums to hide the latency of a multiply-add.
const GROUP: usize = 4;

/// Centroids, laid out for the comparison.
///
/// The score of a centroid is ‖x − μ‖² − ‖x‖² in f32: ‖μ‖² to which −2 μ_d x_d is added dimension
/// by dimension. Every cell has its own lane, so its scores depend on nothing else.
pub(super) struct Scorer {
    /// −2μ `[groups, dimensions]` of [`GROUP`] centroids; the last group is filled up with zeros.
    minus_twice: Vec<[f32; GROUP]>,
    /// ‖μ‖² `[groups]`; infinite where there is no centroid, which is therefore never the nearest.
    norms: Vec<[f32; GROUP]>,
    dimensions: usize,
    slack: f32,
}

/// The nearest centroid of every cell of a tile, the first of equals, and how much nearer.
pub(super) struct Nearest {
    pub labels: [u32; WIDTH],
    /// How far the centroids may move, in sum of own and other, before the label must be looked
    /// at again; negative or NaN for at once.
    pub margins: [f32; WIDTH],
}

struct Best {
    scores: [f32; WIDTH],
    labels: [u32; WIDTH],
    seconds: [f32; WIDTH],
}

impl Scorer {
    /// `radius` is at least the norm of every point and every centroid.
    pub fn new(centroids: &Array2<f32>, radius: f64) -> Self {
        let (clusters, dimensions) = centroids.dim();
        let groups = clusters.div_ceil(GROUP);
        let mut minus_twice = vec![[0.0; GROUP]; groups * dimensions];
        let mut norms = vec![[f32::INFINITY; GROUP]; groups];
        for (cluster, norm) in squared_norms(centroids).into_iter().enumerate() {
            let (group, place) = (cluster / GROUP, cluster % GROUP);
            norms[group][place] = norm as f32;
            let start = group * dimensions;
            for (values, &value) in minus_twice[start..].iter_mut().zip(centroids.row(cluster)) {
                values[place] = -2.0 * value;
            }
        }
        Self {
            minus_twice,
            norms,
            dimensions,
            slack: slack(dimensions, radius) as f32,
        }
    }

    /// Compares the cells of a tile `[dimensions]` with every centroid.
    #[inline(always)]
    pub fn nearest<const FMA: bool, const WIDE: bool>(&self, tile: &[Lanes]) -> Nearest {
        let mut best = Best {
            scores: [f32::INFINITY; WIDTH],
            labels: [0; WIDTH],
            seconds: [f32::INFINITY; WIDTH],
        };
        let size = self.dimensions;
        let mut group = 0;
        if WIDE {
            while group + 2 <= self.norms.len() {
                let (first, second) =
                    self.minus_twice[group * size..(group + 2) * size].split_at(size);
                let scores = score::<FMA, 2>(
                    tile,
                    [first, second],
                    [self.norms[group], self.norms[group + 1]],
                );
                best.update(&scores[0], group);
                best.update(&scores[1], group + 1);
                group += 2;
            }
        }
        while group < self.norms.len() {
            let only = &self.minus_twice[group * size..(group + 1) * size];
            let [scores] = score::<FMA, 1>(tile, [only], [self.norms[group]]);
            best.update(&scores, group);
            group += 1;
        }
        Nearest {
            margins: self.margins::<FMA>(tile, &best),
            labels: best.labels,
        }
    }

    /// Let a be at least the distance of a cell to its centroid and b at most that to any other.
    /// When the centroids have moved, a has grown and b has shrunk by at most t in sum. While
    /// t < b − a − slack / a, the squares of what they became, which is a or more, differ by more
    /// than 2a · slack / a: enough for the scores to be certain to give the same label.
    #[inline(always)]
    fn margins<const FMA: bool>(&self, tile: &[Lanes], best: &Best) -> [f32; WIDTH] {
        let mut norms = [0.0; WIDTH];
        for values in &tile[..self.dimensions] {
            for (norm, &value) in norms.iter_mut().zip(&values.0) {
                *norm = mul_add::<FMA>(value, value, *norm);
            }
        }
        let mut margins = [0.0; WIDTH];
        for lane in 0..WIDTH {
            let own = (best.scores[lane] + norms[lane] + self.slack)
                .max(0.0)
                .sqrt();
            let other = (best.seconds[lane] + norms[lane] - self.slack)
                .max(0.0)
                .sqrt();
            margins[lane] = other - own - self.slack / own;
        }
        margins
    }
}

/// Room for rounding errors in a squared distance.
///
/// With u = 2⁻²⁴, d dimensions and R = `radius`, a score is within 3(d + 2)uR² of the truth, for
/// the magnitudes of its terms sum to at most 3R², and ‖x‖² is within (d + 1)uR². Rounding the sum
/// of both and its root adds 16uR². So (4d + 23)uR² of room make a and b bounds. Two scores are in
/// the right order when the squared distances are more than 6(d + 2)uR² apart; the margins give
/// twice the slack, less 16uR² for their own rounding. This slack is twice what either needs.
fn slack(dimensions: usize, radius: f64) -> f64 {
    let unit = f64::from(f32::EPSILON) / 2.0;
    8.0 * unit * (dimensions as f64 + 8.0) * radius * radius
}

/// The scores of `GROUPS` groups of centroids for the cells of a tile.
#[inline(always)]
fn score<const FMA: bool, const GROUPS: usize>(
    tile: &[Lanes],
    minus_twice: [&[[f32; GROUP]]; GROUPS],
    norms: [[f32; GROUP]; GROUPS],
) -> [[[f32; WIDTH]; GROUP]; GROUPS] {
    let mut scores = [[[0.0; WIDTH]; GROUP]; GROUPS];
    for group in 0..GROUPS {
        for place in 0..GROUP {
            scores[group][place] = [norms[group][place]; WIDTH];
        }
    }
    let size = minus_twice[0].len();
    let tile = &tile[..size];
    for dimension in 0..size {
        let values = &tile[dimension].0;
        for group in 0..GROUPS {
            let factors = &minus_twice[group][dimension];
            for place in 0..GROUP {
                let scores = &mut scores[group][place];
                for lane in 0..WIDTH {
                    scores[lane] = mul_add::<FMA>(values[lane], factors[place], scores[lane]);
                }
            }
        }
    }
    scores
}

impl Best {
    #[inline(always)]
    fn update(&mut self, scores: &[[f32; WIDTH]; GROUP], group: usize) {
        let Self {
            scores: mut best,
            labels: mut label,
            seconds: mut second,
        } = *self;
        for (place, scores) in scores.iter().enumerate() {
            let cluster = (group * GROUP + place) as u32;
            for lane in 0..WIDTH {
                let score = scores[lane];
                let closer = score < best[lane];
                let rival = if closer { best[lane] } else { score };
                second[lane] = if rival < second[lane] {
                    rival
                } else {
                    second[lane]
                };
                best[lane] = if closer { score } else { best[lane] };
                label[lane] = if closer { cluster } else { label[lane] };
            }
        }
        *self = Self {
            scores: best,
            labels: label,
            seconds: second,
        };
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::RngExt;

    use super::super::tiles::{Points, largest_norm};
    use super::*;
    use crate::graph::points::{row, squared_distance_f64};
    use crate::random::{Purpose, stream};

    proptest! {
        #[test]
        fn the_nearest_is_found_and_the_margin_is_safe(
            dimensions in 1usize..40,
            clusters in 1usize..14,
            size in prop::sample::select(vec![1.0e-3f32, 1.0]),
            seed: u64,
        ) {
            let mut random = stream(seed, Purpose::Simulation, 0, 0);
            let mut uniform = |_| (random.random::<f32>() - 0.5) * size;
            let points = Points::new(Array2::from_shape_fn((WIDTH, dimensions), &mut uniform));
            let centroids = Array2::from_shape_fn((clusters, dimensions), uniform);
            let radius = points.radius.max(largest_norm(&centroids));
            let scorer = Scorer::new(&centroids, radius);
            let found = scorer.nearest::<true, true>(&points.tiles);
            let narrow = scorer.nearest::<true, false>(&points.tiles);
            prop_assert_eq!(found.labels, narrow.labels);
            prop_assert_eq!(found.margins.map(f32::to_bits), narrow.margins.map(f32::to_bits));
            let unfused = scorer.nearest::<false, false>(&points.tiles);
            let room = slack(dimensions, radius);
            for nearest in [found, unfused] {
                for lane in 0..WIDTH {
                    let squares: Vec<f64> = (0..clusters)
                        .map(|c| squared_distance_f64(row(&points.rows, lane), row(&centroids, c)))
                        .collect();
                    let label = nearest.labels[lane] as usize;
                    let own = squares[label];
                    let others = squares.iter().enumerate().filter(|&(c, _)| c != label);
                    let other = others.map(|(_, &square)| square).fold(f64::INFINITY, f64::min);
                    prop_assert!(own <= other + room);
                    let margin = f64::from(nearest.margins[lane]);
                    if margin > 0.0 && clusters > 1 {
                        // Moved by the whole margin, the two are still in a certain order.
                        let (own, other) = (own.sqrt() + margin / 2.0, other.sqrt() - margin / 2.0);
                        prop_assert!(other * other - own * own > room);
                    }
                    // Not needlessly small either.
                    let gap = other.sqrt() - own.sqrt();
                    let loss = 4.0 * room.sqrt() + 4.0 * room / own.sqrt().max(room.sqrt());
                    prop_assert!(clusters == 1 || margin >= gap - loss);
                }
            }
        }
    }

    #[test]
    fn the_first_of_equal_centroids_is_taken() {
        let points = Points::new(Array2::from_elem((WIDTH, 3), 0.25));
        let mut centroids = Array2::from_elem((11, 3), 0.5);
        centroids.row_mut(0).fill(-0.5);
        let scorer = Scorer::new(&centroids, 1.0);
        let found = scorer.nearest::<false, true>(&points.tiles);
        assert_eq!(found.labels, [1; WIDTH]);
        assert!(found.margins.iter().all(|&margin| margin < 0.0));
    }
}
