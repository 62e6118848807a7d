//! Neighbours, exactly among few cells and approximately among many.

use std::ops::Range;

use ndarray::{Array2, ArrayView2, Axis, s};

use super::neighbors::{Neighbors, QUERIES, Search, check_request};
use super::points::CentredPoints;
use crate::error::Result;
use crate::parallel::{for_each, map};
use crate::random::{Purpose, stream, subsample};

/// Cells in a list, on average.
const LIST: usize = 512;
/// Cells that the lists' centres are learned from, for each list.
const SAMPLE: usize = 32;
/// Lloyd iterations for the centres: what they gain later is not worth their time.
const ITERATIONS: usize = 8;
/// Cells that are given a list at once.
const BLOCK: usize = 512;

/// How nearest neighbours are looked for: all pairs up to some number of cells, above it near lists.
///
/// Above the limit cells are parted into lists of about 512 by k-means, and the neighbours of a cell are
/// looked for, exactly, in the lists whose centres are nearest to the centre of its own. The time then
/// grows with the number of cells and not with its square. What is found depends on the data alone,
/// neither on a seed nor on threads. How many of the true neighbours it finds depends on how much structure
/// there is: of 100 000 simulated cells that differ by noise alone within their 12 groups, in 32
/// dimensions, the default finds 74 of 100 (`whole_fits neighbors --cells 100000`).
///
/// ```
/// use celldec::graph::{NeighborSearch, nearest_neighbors};
/// use ndarray::Array2;
///
/// let cells = Array2::from_shape_fn((300, 2), |(cell, d)| ((cell * (7 + d)) % 101) as f32);
/// let found = NeighborSearch::default().find(cells.view(), 5)?;
/// assert_eq!(found, nearest_neighbors(cells.view(), 5)?);
/// # Ok::<(), celldec::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct NeighborSearch {
    /// Most cells whose neighbours are found exactly. Default 200 000.
    pub exact_up_to: usize,
    /// Lists that are searched above it, more for a higher recall. Default 64.
    pub lists: usize,
}

impl Default for NeighborSearch {
    fn default() -> Self {
        Self {
            exact_up_to: 200_000,
            lists: 64,
        }
    }
}

impl NeighborSearch {
    /// Exactly among any number of cells.
    pub fn exact() -> Self {
        Self {
            exact_up_to: usize::MAX,
            ..Self::default()
        }
    }

    /// Sets the most cells whose neighbours are found exactly.
    pub fn with_exact_up_to(mut self, cells: usize) -> Self {
        self.exact_up_to = cells;
        self
    }

    /// Sets how many lists are searched above it; at least 1.
    pub fn with_lists(mut self, lists: usize) -> Self {
        self.lists = lists.max(1);
        self
    }

    /// Whether the neighbours of so many cells are found exactly.
    pub fn is_exact(&self, cells: usize) -> bool {
        cells <= self.exact_up_to || cells.div_ceil(LIST) <= self.lists
    }

    /// The `k` nearest neighbours of every row of `embedding` `[cells, dimensions]` in Euclidean
    /// distance; a cell is not its own neighbour.
    ///
    /// # Errors
    /// As [`nearest_neighbors`](super::nearest_neighbors).
    pub fn find(&self, embedding: ArrayView2<f32>, k: usize) -> Result<Neighbors> {
        let cells = embedding.nrows();
        if self.is_exact(cells) {
            return super::nearest_neighbors(embedding, k);
        }
        check_request(embedding, k)?;
        let lists = Lists::of(embedding);
        let ordered = embedding.select(Axis(0), &lists.order);
        let search = Search::new(ordered.view(), k);
        drop(ordered);
        // A list may be small, and so may those around it: there are always k candidates.
        let searched: Vec<Vec<Range<usize>>> = (0..lists.ranges.len())
            .map(|list| lists.around(list, self.lists, k + 1))
            .collect();
        let mut indices = vec![0u32; cells * k];
        let mut distances = vec![0.0f32; cells * k];
        let mut places = (indices.as_mut_slice(), distances.as_mut_slice());
        let mut blocks = Vec::new();
        for (range, searched) in lists.ranges.iter().zip(&searched) {
            for first in range.clone().step_by(QUERIES) {
                let rows = QUERIES.min(range.end - first);
                let (indices, later_indices) = places.0.split_at_mut(rows * k);
                let (distances, later_distances) = places.1.split_at_mut(rows * k);
                places = (later_indices, later_distances);
                blocks.push((first, searched, indices, distances));
            }
        }
        for_each(
            blocks.into_iter(),
            |(first, searched, indices, distances)| {
                search.block(first, searched, indices, distances);
            },
        );
        Ok(lists.in_order_of_cells(&indices, &distances, k))
    }
}

/// Cells parted into lists of cells that are near each other.
struct Lists {
    /// Cells list by list, rising in each.
    order: Vec<usize>,
    /// The places of every list in this order.
    ranges: Vec<Range<usize>>,
    /// The centre of every list, scaled, `[lists, dimensions]`.
    centres: Array2<f32>,
}

impl Lists {
    fn of(embedding: ArrayView2<f32>) -> Self {
        let cells = embedding.nrows();
        let count = cells.div_ceil(LIST);
        let CentredPoints { points, .. } = CentredPoints::new(embedding);
        let mut random = stream(0, Purpose::NeighborLists, 0, 0);
        let chosen = subsample(&mut random, cells, cells.min(count * SAMPLE));
        let sample = points.select(Axis(0), &chosen);
        let first = subsample(&mut random, chosen.len(), count);
        let mut centres = sample.select(Axis(0), &first);
        for _ in 0..ITERATIONS {
            let lists = nearest_centres(sample.view(), &centres);
            move_to_means(&mut centres, sample.view(), &lists);
        }
        let lists = nearest_centres(points.view(), &centres);
        let mut ends = vec![0usize; count];
        for &list in &lists {
            ends[list as usize] += 1;
        }
        let mut ranges = Vec::with_capacity(count);
        let mut start = 0;
        for size in ends {
            ranges.push(start..start + size);
            start += size;
        }
        let mut next: Vec<usize> = ranges.iter().map(|range| range.start).collect();
        let mut order = vec![0; cells];
        for (cell, &list) in lists.iter().enumerate() {
            let place = &mut next[list as usize];
            order[*place] = cell;
            *place += 1;
        }
        Self {
            order,
            ranges,
            centres,
        }
    }

    /// The places of the `count` lists nearest to a list, or of more until they hold `least` cells;
    /// rising, lists that follow each other as one.
    fn around(&self, list: usize, count: usize, least: usize) -> Vec<Range<usize>> {
        let own = self.centres.row(list);
        let mut lists: Vec<(f32, usize)> = self
            .centres
            .rows()
            .into_iter()
            .enumerate()
            .map(|(other, centre)| {
                let squares = own.iter().zip(centre).map(|(a, b)| (a - b).powi(2));
                // Its own first, also where another has the same centre.
                let distance = if other == list { -1.0 } else { squares.sum() };
                (distance, other)
            })
            .collect();
        lists.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        let mut held = 0;
        let mut ranges: Vec<Range<usize>> = Vec::new();
        for (number, &(_, other)) in lists.iter().enumerate() {
            if number >= count && held >= least {
                break;
            }
            held += self.ranges[other].len();
            ranges.push(self.ranges[other].clone());
        }
        ranges.sort_unstable_by_key(|range| range.start);
        let mut joined: Vec<Range<usize>> = Vec::with_capacity(ranges.len());
        for range in ranges {
            match joined.last_mut() {
                Some(last) if last.end == range.start => last.end = range.end,
                _ => joined.push(range),
            }
        }
        joined
    }

    /// Neighbours found in the order of the lists, of the cells in their own.
    fn in_order_of_cells(&self, indices: &[u32], distances: &[f32], k: usize) -> Neighbors {
        let cells = self.order.len();
        let mut found = Neighbors {
            indices: Array2::zeros((cells, k)),
            distances: Array2::zeros((cells, k)),
        };
        let mut row: Vec<(f32, u32)> = Vec::with_capacity(k);
        for (place, &cell) in self.order.iter().enumerate() {
            let of_place = place * k..(place + 1) * k;
            row.clear();
            for (&index, &distance) in indices[of_place.clone()].iter().zip(&distances[of_place]) {
                row.push((distance, self.order[index as usize] as u32));
            }
            row.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            for (slot, &(distance, index)) in row.iter().enumerate() {
                found.indices[[cell, slot]] = index;
                found.distances[[cell, slot]] = distance;
            }
        }
        found
    }
}

/// The nearest centre of every point `[points]`, the first of equals.
fn nearest_centres(points: ArrayView2<f32>, centres: &Array2<f32>) -> Vec<u32> {
    let (count, dimensions) = centres.dim();
    // Point · centre is then half the squared distance, less what all centres have in common.
    let norms: Vec<f32> = centres
        .rows()
        .into_iter()
        .map(|centre| centre.dot(&centre) / 2.0)
        .collect();
    let blocks = map(points.nrows().div_ceil(BLOCK), |block| {
        let rows = block * BLOCK..points.nrows().min((block + 1) * BLOCK);
        let mut scores = Array2::zeros((rows.len(), count));
        let points = points.slice(s![rows, ..dimensions]);
        ndarray::linalg::general_mat_mul(-1.0, &points, &centres.t(), 0.0, &mut scores);
        let nearest = scores.rows().into_iter().map(|scores| {
            let scores = scores.iter().zip(&norms).map(|(score, norm)| score + norm);
            let (mut best, mut least) = (0, f32::INFINITY);
            for (centre, score) in scores.enumerate() {
                if score < least {
                    (best, least) = (centre as u32, score);
                }
            }
            best
        });
        nearest.collect::<Vec<u32>>()
    });
    blocks.concat()
}

/// Moves every centre that has points to their mean.
fn move_to_means(centres: &mut Array2<f32>, points: ArrayView2<f32>, lists: &[u32]) {
    let mut sums = Array2::<f64>::zeros(centres.dim());
    let mut counts = vec![0usize; centres.nrows()];
    for (point, &list) in points.rows().into_iter().zip(lists) {
        counts[list as usize] += 1;
        let mut sum = sums.row_mut(list as usize);
        sum.zip_mut_with(&point, |sum, &value| *sum += f64::from(value));
    }
    for (list, &count) in counts.iter().enumerate() {
        if count > 0 {
            let mean = sums.row(list).mapv(|sum| (sum / count as f64) as f32);
            centres.row_mut(list).assign(&mean);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use rand::RngExt;
    use rand_distr::{Distribution, StandardNormal};

    use super::super::nearest_neighbors;
    use super::*;

    /// Overlapping groups in few of many dimensions, as embeddings of cells are.
    fn groups(cells: usize, dimensions: usize) -> Array2<f32> {
        let mut random = stream(5, Purpose::Simulation, 0, 0);
        let mut normal = || -> f32 { StandardNormal.sample(&mut random) };
        let centres = Array2::from_shape_fn((20, 6), |_| 3.0 * normal());
        let axes = Array2::from_shape_fn((6, dimensions), |_| normal());
        let noise = Array2::from_shape_fn((cells, dimensions), |_| 0.2 * normal());
        let inner =
            Array2::from_shape_fn((cells, 6), |(cell, d)| centres[[cell % 20, d]] + normal());
        inner.dot(&axes) + noise
    }

    fn recall(found: &Neighbors, exact: &Neighbors) -> f64 {
        let mut hits = 0;
        for (found, exact) in found.indices.rows().into_iter().zip(exact.indices.rows()) {
            let exact: BTreeSet<u32> = exact.iter().copied().collect();
            hits += found.iter().filter(|index| exact.contains(index)).count();
        }
        hits as f64 / exact.indices.len() as f64
    }

    #[test]
    fn most_neighbours_are_found_and_distances_are_exact() {
        let points = groups(12_000, 32);
        let exact = nearest_neighbors(points.view(), 15).unwrap();
        // 24 lists; of a million cells the default searches 64 of 1954.
        let mut last = 0.0;
        for (lists, least) in [(1, 0.3f64), (6, 0.9), (12, 0.99)] {
            let search = NeighborSearch::default()
                .with_exact_up_to(0)
                .with_lists(lists);
            let found = search.find(points.view(), 15).unwrap();
            let share = recall(&found, &exact);
            assert!(share > least.max(last), "{lists} lists: {share}");
            last = share;
            for (cell, row) in found.indices.rows().into_iter().enumerate() {
                let distinct: BTreeSet<u32> = row.iter().copied().collect();
                assert_eq!(distinct.len(), 15);
                assert!(!distinct.contains(&(cell as u32)));
                for (slot, &other) in row.iter().enumerate() {
                    let squares = points.row(cell).into_iter().zip(points.row(other as usize));
                    let squared: f64 = squares
                        .map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2))
                        .sum();
                    assert_eq!(found.distances[[cell, slot]], squared.sqrt() as f32);
                }
                assert!(
                    found
                        .distances
                        .row(cell)
                        .windows(2)
                        .into_iter()
                        .all(|pair| pair[0] <= pair[1])
                );
            }
        }
    }

    #[test]
    fn all_lists_are_an_exact_search() {
        let points = groups(3_000, 8);
        let search = NeighborSearch::default().with_exact_up_to(0);
        assert!(search.is_exact(3_000));
        let found = search.find(points.view(), 7).unwrap();
        assert_eq!(found, nearest_neighbors(points.view(), 7).unwrap());
        assert!(!search.is_exact(64 * LIST + 1));
        assert!(NeighborSearch::exact().is_exact(usize::MAX));
    }

    /// A cell has k neighbours even where its list and those around it are almost empty.
    #[test]
    fn lonely_cells_have_all_their_neighbours() {
        let mut random = stream(9, Purpose::Simulation, 0, 0);
        let mut points = Array2::from_shape_fn((2_100, 3), |_| random.random::<f32>());
        for cell in 0..4 {
            points.row_mut(cell).fill(1000.0 * (cell + 1) as f32);
        }
        let search = NeighborSearch::default().with_exact_up_to(0).with_lists(1);
        let found = search.find(points.view(), 30).unwrap();
        for (cell, row) in found.indices.rows().into_iter().enumerate() {
            let distinct: BTreeSet<u32> = row.iter().copied().collect();
            assert_eq!(distinct.len(), 30, "cell {cell}");
            assert!(!distinct.contains(&(cell as u32)));
        }
    }

    #[test]
    fn identical_cells_are_neighbours_of_each_other() {
        let points = Array2::from_elem((2_000, 4), 0.5f32);
        let search = NeighborSearch::default().with_exact_up_to(0).with_lists(2);
        let found = search.find(points.view(), 5).unwrap();
        assert!(found.distances.iter().all(|&distance| distance == 0.0));
        assert!(
            found
                .indices
                .indexed_iter()
                .all(|((cell, _), &other)| cell != other as usize)
        );
    }

    #[test]
    fn threads_do_not_matter() {
        let points = groups(4_000, 16);
        let search = NeighborSearch::default().with_exact_up_to(0).with_lists(3);
        let with_threads = |threads| {
            rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .unwrap()
                .install(|| search.find(points.view(), 10).unwrap())
        };
        assert_eq!(with_threads(1), with_threads(3));
    }

    #[test]
    fn invalid_requests_are_refused_as_by_the_exact_search() {
        let mut points = groups(2_000, 4);
        let search = NeighborSearch::default().with_exact_up_to(0).with_lists(1);
        let message = |points: &Array2<f32>, k| {
            let exact = nearest_neighbors(points.view(), k).unwrap_err().to_string();
            assert_eq!(
                search.find(points.view(), k).unwrap_err().to_string(),
                exact
            );
        };
        message(&points, 0);
        message(&points, 2_000);
        points[[7, 2]] = f32::NAN;
        message(&points, 3);
    }
}
