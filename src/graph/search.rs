//! Neighbours, exactly among few cells and approximately among many; exactly among many by a GPU.

mod device;
mod lists;
mod sample;

use ndarray::{Array2, ArrayView2, Axis, s};

use super::neighbors::{Neighbors, Search, check_request};
use super::points::{row, squared_distance_f64};
use crate::error::Result;
use crate::parallel::for_each;
use lists::Lists;
use sample::lists_for;

pub use device::DeviceSearch;

/// Cells that are searched for together: they lie near each other and have most of their lists in common.
const QUERIES: usize = 512;
/// Cells whose results are put in their order together.
const ROWS: usize = 256;

/// How nearest neighbours are looked for: among all cells up to some number of them, above it among those
/// of near lists, or by a [device](Self::with_device) among all.
///
/// Above the limit cells are parted into lists of about 512 by k-means, and the neighbours of a cell are
/// the nearest of those in the lists whose centres are nearest to it. How many lists that are is decided
/// by the true neighbours of some 500 of the cells: as many as hold the share that is asked for. Where
/// cells differ by noise in many dimensions these are many lists, at last all. What is found depends on
/// the data alone, neither on a seed nor on threads.
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
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct NeighborSearch {
    /// Most cells whose neighbours are found exactly. Default 50 000.
    pub exact_up_to: usize,
    /// The share of the true neighbours that is to be found above it, from 0 to 1. Default 0.98.
    pub recall: f64,
    /// A device that looks for neighbours where that is quicker, exactly. Default: none.
    pub device: Option<DeviceSearch>,
}

impl Default for NeighborSearch {
    fn default() -> Self {
        Self {
            exact_up_to: 50_000,
            recall: 0.98,
            device: None,
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

    /// Sets the share of the true neighbours that is to be found above it; 1 finds all.
    pub fn with_recall(mut self, recall: f64) -> Self {
        self.recall = recall;
        self
    }

    /// Sets the device that looks for neighbours where that is quicker, exactly.
    pub fn with_device(mut self, device: impl Into<Option<DeviceSearch>>) -> Self {
        self.device = device.into();
        self
    }

    /// The most memory that a search holds at a time, with what it finds, in bytes.
    pub(crate) fn bytes(&self, cells: usize, dimensions: usize, k: usize) -> u64 {
        // Points as they are, as queries and as candidates; their norms; indices and distances.
        let mut of_cell = 4 * (3 * dimensions + 2) + 8 + 8 * k;
        if !self.is_exact(cells) {
            // The order of cells there and back; what is found, in both orders.
            of_cell += 2 * 8 + 8 * k;
        }
        cells as u64 * of_cell as u64
    }

    /// Whether the neighbours of so many cells are found exactly, whatever the device.
    pub fn is_exact(&self, cells: usize) -> bool {
        cells <= self.exact_up_to
    }

    /// Whether `k` neighbours of so many cells are found exactly, by the CPU or by the device.
    pub fn finds_exactly(&self, cells: usize, k: usize) -> bool {
        self.is_exact(cells) || self.on_device(cells, k).is_some()
    }

    /// The device, if it looks for `k` neighbours of so many cells.
    fn on_device(&self, cells: usize, k: usize) -> Option<&DeviceSearch> {
        self.device.as_ref().filter(|device| device.takes(cells, k))
    }

    /// The `k` nearest neighbours of every row of `embedding` `[cells, dimensions]` in Euclidean
    /// distance; a cell is not its own neighbour.
    ///
    /// # Errors
    /// As [`nearest_neighbors`](super::nearest_neighbors); [`Error::Device`](crate::Error::Device) when the
    /// device fails.
    pub fn find(&self, embedding: ArrayView2<f32>, k: usize) -> Result<Neighbors> {
        let cells = embedding.nrows();
        if let Some(device) = self.on_device(cells, k) {
            check_request(embedding, k)?;
            return device.find(embedding, k);
        }
        if let Some(device) = self.device.as_ref().filter(|device| device.is_capable()) {
            tracing::debug!(
                cells,
                neighbors = k,
                ?device,
                "neighbours looked for by the CPU: few cells, many neighbours, or no GPU"
            );
        }
        if self.is_exact(cells) {
            return super::nearest_neighbors(embedding, k);
        }
        check_request(embedding, k)?;
        let lists = Lists::of(embedding);
        let search = Search::new(embedding.select(Axis(0), &lists.order).view(), k);
        let searched = lists_for(self.recall, &search, &lists, k);
        tracing::debug!(searched, lists = lists.len(), "neighbours within lists");
        let found = within_lists(&search, &lists, searched, k);
        Ok(in_order_of_cells(&found, search.points(), &lists.order))
    }
}

/// The nearest neighbours of every cell in as many lists, by places in the order of the lists.
fn within_lists(search: &Search, lists: &Lists, searched: usize, k: usize) -> Array2<u32> {
    let cells = lists.order.len();
    let mut indices = vec![0; cells * k];
    let mut distances = vec![0.0; cells * k];
    let blocks = indices
        .chunks_mut(QUERIES * k)
        .zip(distances.chunks_mut(QUERIES * k));
    for_each(blocks.enumerate(), |(block, (indices, distances))| {
        let first = block * QUERIES;
        let points = search
            .points()
            .slice(s![first..first + indices.len() / k, ..]);
        // Lists may be small: there are always enough cells, of which one is the cell itself.
        let around = lists.around(points, searched, k + 1);
        let mut within: Vec<(u32, usize)> = (0..)
            .zip(around)
            .flat_map(|(row, lists)| lists.into_iter().map(move |list| (list, row)))
            .collect();
        within.sort_unstable();
        let ranges = within.into_iter();
        let ranges: Vec<_> = ranges
            .map(|(list, row)| (lists.ranges[list as usize].clone(), row))
            .collect();
        search.block_within(first, &ranges, indices, distances);
    });
    Array2::from_shape_vec((cells, k), indices).expect("k of every cell")
}

/// What was found by places, of cells in their own order.
fn in_order_of_cells(found: &Array2<u32>, points: &Array2<f32>, order: &[usize]) -> Neighbors {
    let (cells, k) = found.dim();
    let mut place_of = vec![0usize; cells];
    for (place, &cell) in order.iter().enumerate() {
        place_of[cell] = place;
    }
    let mut indices = vec![0u32; cells * k];
    let mut distances = vec![0.0f32; cells * k];
    let blocks = indices
        .chunks_mut(ROWS * k)
        .zip(distances.chunks_mut(ROWS * k));
    for_each(blocks.enumerate(), |(block, (indices, distances))| {
        let rows = indices.chunks_mut(k).zip(distances.chunks_mut(k));
        for (number, (indices, distances)) in rows.enumerate() {
            let place = place_of[block * ROWS + number];
            let point = row(points, place);
            let others = found.row(place).into_iter();
            let mut nearest: Vec<(f64, u32)> = others
                .map(|&other| {
                    let squared = squared_distance_f64(point, row(points, other as usize));
                    (squared, order[other as usize] as u32)
                })
                .collect();
            nearest.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            for (slot, &(squared, index)) in nearest.iter().enumerate() {
                indices[slot] = index;
                distances[slot] = squared.sqrt() as f32;
            }
        }
    });
    let shape = (cells, k);
    Neighbors {
        indices: Array2::from_shape_vec(shape, indices).expect("k of every cell"),
        distances: Array2::from_shape_vec(shape, distances).expect("k of every cell"),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use rand::RngExt;
    use rand_distr::{Distribution, StandardNormal};

    use super::super::nearest_neighbors;
    use super::*;
    use crate::random::{Purpose, stream};

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

    /// One group in as many dimensions as there are: nothing is harder.
    fn noise(cells: usize, dimensions: usize) -> Array2<f32> {
        let mut random = stream(6, Purpose::Simulation, 0, 0);
        Array2::from_shape_fn((cells, dimensions), |_| StandardNormal.sample(&mut random))
    }

    #[test]
    fn as_many_neighbours_are_found_as_asked_for_at_exact_distances() {
        for points in [groups(12_000, 32), groups(12_000, 7), noise(6_000, 24)] {
            let exact = nearest_neighbors(points.view(), 15).unwrap();
            for wanted in [0.8, 0.98] {
                let search = NeighborSearch::default()
                    .with_exact_up_to(0)
                    .with_recall(wanted);
                let found = search.find(points.view(), 15).unwrap();
                let share = recall(&found, &exact);
                // The share is measured on some of the cells.
                assert!(share > wanted - 0.01, "{share} of {wanted}");
                for (cell, row) in found.indices.rows().into_iter().enumerate() {
                    let distinct: BTreeSet<u32> = row.iter().copied().collect();
                    assert_eq!(distinct.len(), 15);
                    assert!(!distinct.contains(&(cell as u32)));
                    let distances = found.distances.row(cell);
                    for (&other, &distance) in row.iter().zip(distances) {
                        let squares = points.row(cell).into_iter().zip(points.row(other as usize));
                        let squared: f64 = squares
                            .map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2))
                            .sum();
                        assert_eq!(distance, squared.sqrt() as f32);
                    }
                    assert!(
                        distances
                            .windows(2)
                            .into_iter()
                            .all(|pair| pair[0] <= pair[1])
                    );
                }
            }
        }
    }

    /// Squares of such coordinates, or of their differences, are beyond the range of f32.
    #[test]
    fn neither_large_nor_small_coordinates_matter() {
        let points = groups(3_000, 8);
        let search = NeighborSearch::default().with_exact_up_to(0);
        let usual = search.find(points.view(), 10).unwrap();
        for exponent in [-100, -70, 70, 100] {
            let factor = 2f32.powi(exponent);
            let found = search.find((&points * factor).view(), 10).unwrap();
            assert_eq!(found.indices, usual.indices, "2^{exponent}");
            assert_eq!(found.distances, &usual.distances * factor, "2^{exponent}");
        }
    }

    #[test]
    fn a_share_that_nothing_less_finds_is_an_exact_search() {
        for points in [groups(3_000, 8), noise(1_500, 30), noise(9, 2)] {
            let search = NeighborSearch::default()
                .with_exact_up_to(0)
                .with_recall(2.0);
            let found = search.find(points.view(), 7).unwrap();
            assert_eq!(found, nearest_neighbors(points.view(), 7).unwrap());
        }
        assert!(NeighborSearch::default().is_exact(50_000));
        assert!(!NeighborSearch::default().is_exact(50_001));
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
        let search = NeighborSearch::default()
            .with_exact_up_to(0)
            .with_recall(0.0);
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
        let search = NeighborSearch::default().with_exact_up_to(0);
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
        let search = NeighborSearch::default().with_exact_up_to(0);
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
        let search = NeighborSearch::default().with_exact_up_to(0);
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
