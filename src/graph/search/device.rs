//! Neighbours found by a GPU, and proved by the CPU.

use burn::tensor::Device;
use ndarray::{Array2, ArrayView2, aview1};

use crate::error::{Error, Result};
use crate::graph::neighbors::{Neighbors, Search};
use crate::graph::points::{power_of_two_below_inverse, squared_distance_f64};
use crate::kernel::is_gpu;
use crate::kernel::neighbors::{Comparison, Kept, compares_on};
use crate::parallel::for_each;

/// Fewest cells whose neighbours a GPU finds sooner than the CPU, where its kernel has to be compiled.
const FEWEST_CELLS: usize = 20_000;
/// Most neighbours of a cell: a GPU's processors hold them in registers.
const MOST_NEIGHBORS: usize = 64;
/// Coordinates that a launch compares, by default: three operations each, 13 thousand million in all.
const WORK: u64 = 1 << 32;
/// Most pairs of cells that the CPU compares where the GPU leaves doubt: those of its own exact search
/// of 50 000 cells.
const MOST_PAIRS: u64 = 2_500_000_000;
/// Cells whose neighbours are put in order together.
const ROWS: usize = 256;

/// A device that looks for neighbours in the place of the CPU: exactly, by comparing all cells with all
/// others.
///
/// It is used where that is quicker: on a GPU, for 20 000 cells and more, and for up to 64 neighbours of
/// each. What it finds in `f32` is put in order by distances in `f64`, and bounds on rounding tell whether a
/// cell that it left out could be as near; neighbours of such cells are looked for by the CPU. So the
/// result is that of [`nearest_neighbors`](crate::graph::nearest_neighbors) to the bit, unless so many cells
/// are equally near to others that this would take long: then neighbours are as near as the nearest within
/// the rounding of `f32`.
///
/// ```
/// use celldec::burn::tensor::Device;
/// use celldec::graph::{DeviceSearch, NeighborSearch, nearest_neighbors};
/// use ndarray::Array2;
///
/// let cells = Array2::from_shape_fn((300, 2), |(cell, d)| ((cell * (7 + d)) % 101) as f32);
/// // Any device may be given; one without kernels leaves the work to the CPU.
/// let search = NeighborSearch::default().with_device(DeviceSearch::new(&Device::default()));
/// assert_eq!(search.find(cells.view(), 5)?, nearest_neighbors(cells.view(), 5)?);
/// # Ok::<(), celldec::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct DeviceSearch {
    device: Device,
    work: u64,
    always: bool,
}

impl DeviceSearch {
    /// A search on a device; one on the CPU is never used.
    pub fn new(device: &Device) -> Self {
        Self {
            device: device.clone().inner(),
            work: WORK,
            always: false,
        }
    }

    /// Uses the device for any number of cells, and also a program on the CPU that stands in for a GPU
    /// (Mesa's `llvmpipe`), which is slower than the CPU's own search: for tests.
    pub fn always(mut self) -> Self {
        self.always = true;
        self
    }

    /// Sets how many coordinates a launch compares at most, if it is as many as a few cells have. Drivers end
    /// launches that take about two seconds. Default 2³², which is 13 thousand million operations.
    pub fn with_work(mut self, coordinates: u64) -> Self {
        self.work = coordinates;
        self
    }

    /// Whether the device looks for `k` neighbours of so many cells.
    pub fn takes(&self, cells: usize, k: usize) -> bool {
        k <= MOST_NEIGHBORS
            && self.is_capable()
            && (self.always || (cells >= FEWEST_CELLS && is_gpu(&self.device)))
    }

    /// Whether it could look for neighbours at all.
    pub(super) fn is_capable(&self) -> bool {
        compares_on(&self.device)
    }

    /// The `k` nearest neighbours of every row of an embedding that was checked.
    pub(super) fn find(&self, embedding: ArrayView2<f32>, k: usize) -> Result<Neighbors> {
        let cells = embedding.nrows();
        let points = embedding.as_standard_layout();
        let largest = points
            .iter()
            .fold(0.0f32, |most, value| most.max(value.abs()));
        let comparison = Comparison {
            points: points.view(),
            scale: power_of_two_below_inverse(f64::from(largest)),
            // Two more tell whether others are as near; fewer programs are compiled for multiples.
            kept: (k + 2).next_multiple_of(4),
            work: self.work,
        };
        let mut found = Neighbors {
            indices: Array2::zeros((cells, k)),
            distances: Array2::zeros((cells, k)),
        };
        let mut doubtful = Vec::new();
        let mut has_failed = false;
        let ran = comparison.run(&self.device, &mut |kept| {
            if has_enough(&kept, cells, k) {
                doubtful.extend(put_in_order(&comparison, &kept, &mut found));
            } else {
                has_failed = true;
            }
        });
        let failure = match ran {
            Err(reason) => Some(reason),
            Ok(()) => has_failed.then(|| "it found fewer than there are".to_string()),
        };
        if let Some(reason) = failure {
            return Err(Error::Device {
                reason: format!("the search for neighbours failed: {reason}"),
            });
        }
        let is_proved = (doubtful.len() as u64).saturating_mul(cells as u64) <= MOST_PAIRS;
        if is_proved {
            settle(&doubtful, embedding, &mut found);
        }
        tracing::debug!(
            cells,
            neighbors = k,
            doubtful = doubtful.len(),
            is_proved,
            device = ?self.device,
            "neighbours found on the device"
        );
        Ok(found)
    }
}

/// Whether all points of a block have `k` neighbours among so many cells, which a device that has failed
/// need not find.
fn has_enough(kept: &Kept, cells: usize, k: usize) -> bool {
    let nearest = kept.indices.get(..k * kept.points.len());
    nearest.is_some_and(|nearest| nearest.iter().all(|&other| (other as usize) < cells))
}

/// Takes the CPU's neighbours of cells of which the device left doubt.
fn settle(doubtful: &[usize], embedding: ArrayView2<f32>, found: &mut Neighbors) {
    if doubtful.is_empty() {
        return;
    }
    let k = found.indices.ncols();
    let (indices, distances) = Search::new(embedding, k).of(doubtful);
    let rows = indices.chunks_exact(k).zip(distances.chunks_exact(k));
    for (&cell, (indices, distances)) in doubtful.iter().zip(rows) {
        found.indices.row_mut(cell).assign(&aview1(indices));
        found.distances.row_mut(cell).assign(&aview1(distances));
    }
}

/// Puts what is kept of a block among what is found, in the order of the true distances; the cells of
/// which another cell could be as near as the last of theirs.
fn put_in_order(comparison: &Comparison<'_>, kept: &Kept, found: &mut Neighbors) -> Vec<usize> {
    let (cells, k) = found.indices.dim();
    let count = kept.points.len();
    let (share, beyond) = comparison.errors();
    let square = comparison.scale * comparison.scale;
    let points = comparison.points.as_slice().unwrap_or_default();
    let dimensions = comparison.points.ncols();
    let point = |cell: usize| &points[cell * dimensions..(cell + 1) * dimensions];
    let mut is_doubtful = vec![false; count];
    let of_block = kept.points.start * k..kept.points.end * k;
    let (Some(indices), Some(distances)) =
        (found.indices.as_slice_mut(), found.distances.as_slice_mut())
    else {
        return Vec::new();
    };
    let blocks = indices[of_block.clone()]
        .chunks_mut(ROWS * k)
        .zip(distances[of_block].chunks_mut(ROWS * k))
        .zip(is_doubtful.chunks_mut(ROWS));
    for_each(
        blocks.enumerate(),
        |(block, ((indices, distances), is_doubtful))| {
            let rows = indices.chunks_mut(k).zip(distances.chunks_mut(k));
            for (number, ((indices, distances), is_doubtful)) in rows.zip(is_doubtful).enumerate() {
                let place = block * ROWS + number;
                let own = point(kept.points.start + place);
                let others = (0..comparison.kept).map(|slot| kept.indices[slot * count + place]);
                let mut nearest: Vec<(f64, u32)> = others
                    .filter(|&other| (other as usize) < cells)
                    .map(|other| (squared_distance_f64(own, point(other as usize)), other))
                    .collect();
                nearest.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
                for (slot, &(squared, other)) in nearest.iter().take(k).enumerate() {
                    indices[slot] = other;
                    distances[slot] = squared.sqrt() as f32;
                }
                let (last, _) = nearest[k - 1];
                let farthest = f64::from(kept.distances[(comparison.kept - 1) * count + place]);
                // Cells that were not kept are at least so far. Of duplicates the first are kept.
                let not_kept = (farthest - beyond) / (1.0 + share);
                let all = nearest.len() + 1 == cells;
                *is_doubtful = !all && last > 0.0 && not_kept <= last * square;
            }
        },
    );
    let of_cells = kept.points.clone().zip(is_doubtful);
    of_cells
        .filter_map(|(cell, is_doubtful)| is_doubtful.then_some(cell))
        .collect()
}

#[cfg(test)]
mod tests {
    use ndarray::s;

    use super::*;
    use crate::graph::nearest_neighbors;

    /// What a device keeps of one block that has all cells, in the precision of f32.
    fn keep(points: &Array2<f32>, kept: usize) -> Kept {
        let cells = points.nrows();
        let mut indices = vec![u32::MAX; kept * cells];
        let mut distances = vec![f32::MAX; kept * cells];
        for cell in 0..cells {
            let distance = |other: usize| -> f32 {
                let axes = points.row(cell).into_iter().zip(points.row(other));
                axes.map(|(a, b)| (a - b) * (a - b)).sum()
            };
            let others = (0..cells).filter(|&other| other != cell);
            let mut others: Vec<(f32, usize)> =
                others.map(|other| (distance(other), other)).collect();
            others.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            for (slot, &(distance, other)) in others.iter().take(kept).enumerate() {
                indices[slot * cells + cell] = other as u32;
                distances[slot * cells + cell] = distance;
            }
        }
        Kept {
            points: 0..cells,
            indices,
            distances,
        }
    }

    fn found_in(points: &Array2<f32>, k: usize, kept: usize) -> (Neighbors, Vec<usize>) {
        let comparison = Comparison {
            points: points.view(),
            scale: 1.0,
            kept,
            work: WORK,
        };
        let mut found = Neighbors {
            indices: Array2::zeros((points.nrows(), k)),
            distances: Array2::zeros((points.nrows(), k)),
        };
        let doubtful = put_in_order(&comparison, &keep(points, kept), &mut found);
        (found, doubtful)
    }

    #[test]
    fn what_is_kept_is_put_in_the_order_of_true_distances() {
        let points = Array2::from_shape_fn((600, 3), |(cell, axis)| {
            ((cell * 7919 + axis * 104_729) % 10_007) as f32 / 10_007.0
        });
        let (found, doubtful) = found_in(&points, 5, 8);
        assert_eq!(doubtful, [0usize; 0]);
        assert_eq!(found, nearest_neighbors(points.view(), 5).unwrap());
    }

    /// Cells on a ring around the first one, whose distances differ by less than the rounding of f32.
    #[test]
    fn cells_that_others_could_be_as_near_to_are_doubtful() {
        let mut points = Array2::from_shape_fn((40, 2), |(cell, axis)| {
            let angle = cell as f64;
            (if axis == 0 { angle.cos() } else { angle.sin() }) as f32
        });
        points.row_mut(0).fill(0.0);
        let (_, doubtful) = found_in(&points, 5, 8);
        assert_eq!(doubtful, [0]);
        // Where all are kept nothing can be nearer.
        let (found, doubtful) = found_in(&points, 37, 40);
        assert_eq!(doubtful, [0usize; 0]);
        assert_eq!(found, nearest_neighbors(points.view(), 37).unwrap());
    }

    #[test]
    fn doubts_are_settled_by_the_neighbours_of_the_cpu() {
        let points = Array2::from_shape_fn((400, 3), |(cell, axis)| {
            ((cell * 7919 + axis * 104_729) % 10_007) as f32
        });
        let expected = nearest_neighbors(points.view(), 5).unwrap();
        let nothing = Neighbors {
            indices: Array2::zeros((400, 5)),
            distances: Array2::zeros((400, 5)),
        };
        let mut found = nothing.clone();
        settle(&[], points.view(), &mut found);
        assert_eq!(found, nothing);
        // More than a block of queries, in no order.
        let doubtful: Vec<usize> = (0..300).map(|number| number * 7 % 400).collect();
        settle(&doubtful, points.view(), &mut found);
        for cell in 0..400 {
            let source = if doubtful.contains(&cell) {
                &expected
            } else {
                &nothing
            };
            assert_eq!(found.indices.row(cell), source.indices.row(cell));
            assert_eq!(found.distances.row(cell), source.distances.row(cell));
        }
    }

    #[test]
    fn of_duplicates_the_first_are_beyond_doubt() {
        let points = Array2::from_elem((50, 3), 0.7);
        let (found, doubtful) = found_in(&points, 5, 8);
        assert_eq!(doubtful, [0usize; 0]);
        assert_eq!(found, nearest_neighbors(points.view(), 5).unwrap());
    }

    #[test]
    fn what_a_failed_device_leaves_is_not_enough() {
        let points = Array2::from_shape_fn((30, 1), |(cell, _)| (cell * cell) as f32);
        let mut kept = keep(&points, 8);
        assert!(has_enough(&kept, 30, 5));
        // There are five others of six cells.
        assert!(has_enough(
            &keep(&points.slice(s![..6, ..]).to_owned(), 8),
            6,
            5
        ));
        kept.indices[4 * 30 + 17] = 30;
        assert!(!has_enough(&kept, 30, 5) && has_enough(&kept, 30, 4));
        kept.indices.clear();
        assert!(!has_enough(&kept, 30, 1));
    }

    #[cfg(feature = "flex")]
    #[test]
    fn a_device_without_kernels_leaves_the_work_to_the_cpu() {
        assert!(
            !DeviceSearch::new(&Device::flex())
                .always()
                .takes(1_000_000, 15)
        );
    }
}
