//! Exact nearest neighbours.

use std::ops::Range;

use ndarray::{Array2, ArrayView2, Axis, s};

use super::points::{CentredPoints, check_embedding, row, squared_distance_f64, squared_norms};
use crate::error::{ParameterError, Result};
use crate::kernel::vectorize::{Vectorize, vectorize};
use crate::parallel::for_each;

/// Queries handled as one unit of work.
const QUERIES: usize = 128;
/// Candidates whose scores are computed at once; with [`QUERIES`] they fit the cache.
const CANDIDATES: usize = 1024;
/// Scores tested together before any is looked at alone.
const GROUP: usize = 32;

/// How many neighbours a cell has where `wanted` are asked for: a third of the cells where there are
/// not that many others. With all others as neighbours, every cell would have the same
/// neighbourhood, and all averages over neighbourhoods the same value.
pub(crate) fn neighbors_among(cells: usize, wanted: usize) -> usize {
    if wanted < cells {
        wanted
    } else {
        (cells / 3).clamp(1, cells.saturating_sub(1).max(1))
    }
}

/// What a fit says of neighbourhoods that are smaller than asked for; `what` is made of them.
pub(crate) fn fewer_neighbors(what: &str, cells: usize, wanted: usize) -> Option<String> {
    let neighbors = neighbors_among(cells, wanted);
    (neighbors < wanted).then(|| {
        format!(
            "{what} has {neighbors} neighbours of each cell instead of {wanted}: there are only \
             {cells} cells"
        )
    })
}

/// The nearest neighbours of every cell, the cell itself excluded.
#[derive(Debug, Clone, PartialEq)]
pub struct Neighbors {
    /// The neighbours of each cell `[cells, k]`, nearest first; equal distances in the order of
    /// the cells.
    pub indices: Array2<u32>,
    /// Their Euclidean distances `[cells, k]`.
    pub distances: Array2<f32>,
}

/// The `k` nearest neighbours of every row of `embedding` `[cells, dimensions]` in Euclidean
/// distance, exactly: the same as from all pairwise distances in f64.
///
/// A cell is not its own neighbour, but a duplicate of it is, at distance 0. Note that scanpy's
/// `n_neighbors` counts the cell itself: it corresponds to `k + 1` here.
///
/// Matrix products in f32 score blocks of candidates; a bound on their rounding errors decides
/// which candidates could be among the nearest, and these are measured in f64.
///
/// ```
/// use celldec::graph::nearest_neighbors;
/// use ndarray::array;
///
/// let found = nearest_neighbors(array![[0.0], [1.0], [3.0]].view(), 1)?;
/// assert_eq!(found.indices, array![[1], [0], [1]]);
/// assert_eq!(found.distances, array![[1.0], [1.0], [2.0]]);
/// # Ok::<(), celldec::Error>(())
/// ```
///
/// # Errors
/// [`ParameterError::OutOfRange`] when `k` is 0 or not below the number of cells;
/// [`Error::EmptyInput`](crate::Error::EmptyInput) without cells or dimensions;
/// [`Error::NonFiniteValue`](crate::Error::NonFiniteValue) for a NaN or infinite value.
pub fn nearest_neighbors(embedding: ArrayView2<f32>, k: usize) -> Result<Neighbors> {
    check_request(embedding, k)?;
    let cells = embedding.nrows();
    let search = Search::new(embedding, k);
    let mut indices = Array2::zeros((cells, k));
    let mut distances = Array2::zeros((cells, k));
    if let (Some(indices), Some(distances)) = (indices.as_slice_mut(), distances.as_slice_mut()) {
        let distances = distances.chunks_mut(QUERIES * k);
        let blocks = indices.chunks_mut(QUERIES * k).zip(distances);
        for_each(blocks.enumerate(), |(block, (indices, distances))| {
            search.block(block * QUERIES, indices, distances);
        });
    }
    Ok(Neighbors { indices, distances })
}

/// Refuses what no search can answer.
pub(super) fn check_request(embedding: ArrayView2<f32>, k: usize) -> Result<()> {
    check_embedding(embedding)?;
    let cells = embedding.nrows();
    if k == 0 || k >= cells {
        return Err(ParameterError::OutOfRange {
            name: "the number of neighbors",
            requirement: "at least 1 and below the number of cells",
            value: k as f64,
        }
        .into());
    }
    if u32::try_from(cells).is_err() {
        return Err(ParameterError::OutOfRange {
            name: "the number of cells of a neighbor search",
            requirement: "below 2^32",
            value: cells as f64,
        }
        .into());
    }
    Ok(())
}

/// Points among which neighbours are looked for.
pub(super) struct Search {
    /// The points as given, in standard layout; exact distances are theirs.
    points: Array2<f32>,
    /// Centred points with a last column of ones, `[cells, dimensions + 1]`.
    queries: Array2<f32>,
    /// −2 × centred points with a last column of ‖x‖², so that query · candidate is the squared
    /// distance less ‖query‖².
    candidates: Array2<f32>,
    /// ‖x‖² of the centred points.
    norms: Vec<f64>,
    largest_norm: f64,
    scale: f64,
    k: usize,
}

impl Search {
    pub fn new(embedding: ArrayView2<f32>, k: usize) -> Self {
        let CentredPoints { points, scale, .. } = CentredPoints::new(embedding);
        let norms = squared_norms(&points);
        let (cells, dimensions) = points.dim();
        let mut queries = Array2::ones((cells, dimensions + 1));
        queries.slice_mut(s![.., ..dimensions]).assign(&points);
        let mut candidates = Array2::zeros((cells, dimensions + 1));
        for (cell, mut candidate) in candidates.rows_mut().into_iter().enumerate() {
            for dimension in 0..dimensions {
                candidate[dimension] = -2.0 * points[[cell, dimension]];
            }
            candidate[dimensions] = norms[cell] as f32;
        }
        let largest_norm = norms.iter().copied().fold(0.0, f64::max);
        Self {
            points: embedding.as_standard_layout().into_owned(),
            queries,
            candidates,
            norms,
            largest_norm,
            scale,
            k,
        }
    }

    /// The points as they were given.
    pub fn points(&self) -> &Array2<f32> {
        &self.points
    }

    /// How far a score can be from the true squared distance less ‖query‖², in centred units.
    ///
    /// With u = 2⁻²⁴, d dimensions, and R = ‖query‖ + max ‖x‖: rounding the centred coordinates
    /// moves a squared distance by at most 4uR²; a dot product of d + 1 terms in f32 is within
    /// (d + 1)u of the sum of the terms' magnitudes, which is at most R²; the rounded ‖x‖² and
    /// the rounded threshold add uR² each. The factor 2 leaves room for second-order terms.
    fn slack(&self, query: usize) -> f64 {
        let unit = f64::from(f32::EPSILON) / 2.0;
        let reach = (self.norms[query].sqrt() + self.largest_norm.sqrt()).powi(2);
        2.0 * unit * (self.queries.ncols() as f64 + 8.0) * reach
    }

    /// The neighbours of the cells from `first` on, as many as `indices` has rows of k, among all.
    pub fn block(&self, first: usize, indices: &mut [u32], distances: &mut [f32]) {
        let mut nearest = self.nearest(indices.len() / self.k);
        let cells: Vec<usize> = (first..first + nearest.len()).collect();
        let queries = self.queries.slice(s![first..first + cells.len(), ..]);
        let mut places: Vec<&mut Nearest> = nearest.iter_mut().collect();
        self.search(&cells, queries, 0..self.points.nrows(), &mut places);
        self.write(nearest, indices, distances);
    }

    /// The neighbours of some cells among all, and their distances, `[cells, k]` each.
    pub fn of(&self, cells: &[usize]) -> (Vec<u32>, Vec<f32>) {
        let mut indices = vec![0; cells.len() * self.k];
        let mut distances = vec![0.0; cells.len() * self.k];
        let blocks = indices
            .chunks_mut(QUERIES * self.k)
            .zip(distances.chunks_mut(QUERIES * self.k))
            .zip(cells.chunks(QUERIES));
        for_each(blocks, |((indices, distances), cells)| {
            let mut nearest = self.nearest(cells.len());
            let queries = self.queries.select(Axis(0), cells);
            let mut places: Vec<&mut Nearest> = nearest.iter_mut().collect();
            self.search(cells, queries.view(), 0..self.points.nrows(), &mut places);
            self.write(nearest, indices, distances);
        });
        (indices, distances)
    }

    /// The neighbours of the cells from `first` on, as many as `indices` has rows of k, each among those in
    /// ranges of its own: `searched` holds pairs of a range and the row of `indices` of a cell, rising.
    pub fn block_within(
        &self,
        first: usize,
        searched: &[(Range<usize>, usize)],
        indices: &mut [u32],
        distances: &mut [f32],
    ) {
        let mut nearest = self.nearest(indices.len() / self.k);
        for of_range in searched.chunk_by(|(range, _), (next, _)| range == next) {
            let cells: Vec<usize> = of_range.iter().map(|(_, row)| first + row).collect();
            let queries = self.queries.select(Axis(0), &cells);
            // Rows rise, so that those of this range are met in their order.
            let mut rows = of_range.iter().map(|&(_, row)| row).peekable();
            let mut places: Vec<&mut Nearest> = nearest
                .iter_mut()
                .enumerate()
                .filter_map(|(row, nearest)| rows.next_if_eq(&row).map(|_| nearest))
                .collect();
            let (range, _) = &of_range[0];
            self.search(&cells, queries.view(), range.clone(), &mut places);
        }
        self.write(nearest, indices, distances);
    }

    fn nearest(&self, rows: usize) -> Vec<Nearest> {
        (0..rows).map(|_| Nearest::new(self.k)).collect()
    }

    /// Offers the candidates of a range to cells with these queries. Ranges must come in their order.
    fn search(
        &self,
        cells: &[usize],
        queries: ArrayView2<f32>,
        range: Range<usize>,
        nearest: &mut [&mut Nearest],
    ) {
        let slack: Vec<f64> = cells.iter().map(|&cell| self.slack(cell)).collect();
        let width = CANDIDATES.min(range.len());
        let mut scores = Array2::zeros((cells.len(), width));
        for start in range.clone().step_by(CANDIDATES) {
            let end = range.end.min(start + CANDIDATES);
            let candidates = self.candidates.slice(s![start..end, ..]);
            let mut scores = scores.slice_mut(s![.., ..end - start]);
            ndarray::linalg::general_mat_mul(1.0, &queries, &candidates.t(), 0.0, &mut scores);
            vectorize(Scan {
                search: self,
                cells,
                slack: &slack,
                start,
                scores: scores.view(),
                nearest,
            });
        }
    }

    fn write(&self, nearest: Vec<Nearest>, indices: &mut [u32], distances: &mut [f32]) {
        for ((nearest, indices), distances) in nearest
            .into_iter()
            .zip(indices.chunks_exact_mut(self.k))
            .zip(distances.chunks_exact_mut(self.k))
        {
            for (slot, (distance, index)) in nearest.found.into_iter().enumerate() {
                indices[slot] = index;
                distances[slot] = distance.sqrt() as f32;
            }
        }
    }

    /// Measures the candidates from `start` on whose scores could place them among the nearest.
    #[inline(always)]
    fn scan(&self, query: usize, start: usize, scores: &[f32], slack: f64, nearest: &mut Nearest) {
        let threshold = |nearest: &Nearest| {
            if nearest.worst() == 0.0 {
                // With k duplicates found, no later candidate can be nearer.
                return f32::NEG_INFINITY;
            }
            let worst = nearest.worst() * self.scale * self.scale;
            (worst - self.norms[query] + slack) as f32
        };
        let mut limit = threshold(nearest);
        for (group, scores) in scores.chunks(GROUP).enumerate() {
            if !scores
                .iter()
                .fold(false, |any, &score| any | (score <= limit))
            {
                continue;
            }
            for (offset, &score) in scores.iter().enumerate() {
                let candidate = start + group * GROUP + offset;
                if score <= limit && candidate != query {
                    let distance = squared_distance_f64(
                        row(&self.points, query),
                        row(&self.points, candidate),
                    );
                    if nearest.offer(distance, candidate as u32) {
                        limit = threshold(nearest);
                    }
                }
            }
        }
    }
}

/// The scores `[cells, candidates]` of candidates from `start` on, to be looked through.
struct Scan<'a, 'n> {
    search: &'a Search,
    cells: &'a [usize],
    slack: &'a [f64],
    start: usize,
    scores: ArrayView2<'a, f32>,
    nearest: &'a mut [&'n mut Nearest],
}

impl Vectorize for Scan<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool, const WIDE: bool>(self) {
        let rows = self.cells.iter().zip(self.slack).zip(self.nearest);
        for (((&cell, &slack), nearest), scores) in rows.zip(self.scores.rows()) {
            if let Some(scores) = scores.to_slice() {
                self.search.scan(cell, self.start, scores, slack, nearest);
            }
        }
    }
}

/// The k nearest candidates so far, sorted by distance and index.
struct Nearest {
    found: Vec<(f64, u32)>,
    k: usize,
}

impl Nearest {
    fn new(k: usize) -> Self {
        Self {
            found: Vec::with_capacity(k + 1),
            k,
        }
    }

    /// The squared distance that a candidate must not exceed.
    fn worst(&self) -> f64 {
        if self.found.len() < self.k {
            f64::INFINITY
        } else {
            self.found.last().map_or(f64::INFINITY, |last| last.0)
        }
    }

    /// Takes a candidate if it is near enough. Candidates must come in the order of their
    /// indices, so that of equals the first stays.
    fn offer(&mut self, distance: f64, index: u32) -> bool {
        if distance >= self.worst() {
            return false;
        }
        let place = self.found.partition_point(|&(other, _)| other <= distance);
        self.found.insert(place, (distance, index));
        self.found.truncate(self.k);
        true
    }
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;
    use proptest::prelude::*;
    use rand::RngExt;

    use super::*;
    use crate::error::Error;
    use crate::random::{Purpose, stream};

    fn brute_force(points: &Array2<f32>, k: usize) -> Neighbors {
        let cells = points.nrows();
        let mut indices = Array2::zeros((cells, k));
        let mut distances = Array2::zeros((cells, k));
        for cell in 0..cells {
            let mut all: Vec<(f64, usize)> = (0..cells)
                .filter(|&other| other != cell)
                .map(|other| {
                    let squared: f64 = (0..points.ncols())
                        .map(|d| {
                            (f64::from(points[[cell, d]]) - f64::from(points[[other, d]])).powi(2)
                        })
                        .sum();
                    (squared, other)
                })
                .collect();
            all.sort_by(|a, b| a.partial_cmp(b).unwrap());
            for (slot, &(squared, other)) in all.iter().take(k).enumerate() {
                indices[[cell, slot]] = other as u32;
                distances[[cell, slot]] = squared.sqrt() as f32;
            }
        }
        Neighbors { indices, distances }
    }

    fn random_points(cells: usize, dimensions: usize, seed: u64, offset: f32) -> Array2<f32> {
        let mut random = stream(seed, Purpose::Simulation, 0, 0);
        Array2::from_shape_fn((cells, dimensions), |_| offset + random.random::<f32>())
    }

    proptest! {
        #[test]
        fn equals_brute_force(
            cells in 2usize..60,
            dimensions in 1usize..12,
            seed: u64,
            offset in prop::sample::select(vec![0.0f32, 100.0, -1.0e6]),
            k in 1usize..20,
        ) {
            let points = random_points(cells, dimensions, seed, offset);
            let k = k.min(cells - 1);
            prop_assert_eq!(nearest_neighbors(points.view(), k).unwrap(), brute_force(&points, k));
        }

        #[test]
        fn equals_brute_force_with_ties(
            cells in 2usize..60,
            values in prop::collection::vec(-2i8..3, 120),
            k in 1usize..20,
        ) {
            let points = Array2::from_shape_fn((cells, 2), |(i, d)| f32::from(values[i * 2 + d]));
            let k = k.min(cells - 1);
            prop_assert_eq!(nearest_neighbors(points.view(), k).unwrap(), brute_force(&points, k));
        }
    }

    #[test]
    fn equals_brute_force_over_several_blocks() {
        let mut points = random_points(2500, 7, 3, 0.0);
        for cell in 0..50 {
            let copy = points.row(cell).to_owned();
            points.row_mut(2400 - cell).assign(&copy);
        }
        let found = nearest_neighbors(points.view(), 15).unwrap();
        assert_eq!(found, brute_force(&points, 15));
    }

    #[test]
    fn extreme_coordinates_are_measured() {
        for size in [1.0e-30f32, 1.0e30] {
            let points = random_points(40, 3, 5, 0.0) * size;
            let found = nearest_neighbors(points.view(), 4).unwrap();
            assert_eq!(found.indices, brute_force(&points, 4).indices);
        }
    }

    #[test]
    fn threads_do_not_matter() {
        let points = random_points(1500, 8, 9, 0.0);
        let with_threads = |threads| {
            rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .unwrap()
                .install(|| nearest_neighbors(points.view(), 10).unwrap())
        };
        assert_eq!(with_threads(1), with_threads(2));
    }

    #[test]
    fn a_transposed_view_is_read_in_its_own_order() {
        let points = random_points(30, 4, 2, 0.0);
        let transposed = points.t().as_standard_layout().into_owned();
        assert_eq!(
            nearest_neighbors(transposed.t(), 3).unwrap(),
            nearest_neighbors(points.view(), 3).unwrap()
        );
    }

    #[test]
    fn invalid_requests_are_refused() {
        let mut points = random_points(5, 2, 1, 0.0);
        for k in [0, 5, 6] {
            assert!(matches!(
                nearest_neighbors(points.view(), k),
                Err(Error::Parameter(ParameterError::OutOfRange { .. }))
            ));
        }
        points[[3, 1]] = f32::NAN;
        assert!(matches!(
            nearest_neighbors(points.view(), 1),
            Err(Error::NonFiniteValue {
                row: 3,
                column: 1,
                ..
            })
        ));
        assert!(matches!(
            nearest_neighbors(Array2::zeros((0, 3)).view(), 1),
            Err(Error::EmptyInput { .. })
        ));
    }

    #[test]
    fn averages_over_neighbourhoods() {
        let points = ndarray::array![[0.0f32], [1.0], [3.0], [10.0]];
        let found = nearest_neighbors(points.view(), 1).unwrap();
        assert_eq!(
            found.average(points.view()),
            ndarray::array![[0.5], [0.5], [2.0], [6.5]]
        );
    }
}
