//! Cells side by side in memory.

use ndarray::Array2;

use crate::graph::points::{row, squared_norms};
#[cfg(target_arch = "x86_64")]
use crate::kernel::vectorize::has_avx512;

/// Cells of a tile: one AVX-512 register of f32, two of AVX2.
pub(super) const WIDTH: usize = 16;

/// One number for every cell of a tile. Aligned, so that no vector straddles two cache lines.
#[derive(Debug, Clone, Copy, PartialEq)]
#[repr(align(64))]
pub(super) struct Lanes(pub [f32; WIDTH]);

impl Lanes {
    pub const ZERO: Self = Self([0.0; WIDTH]);
}

/// Points in both layouts: rows for single cells, tiles for all cells.
pub(super) struct Points {
    /// `[cells, dimensions]`, in standard layout.
    pub rows: Array2<f32>,
    /// `[tiles, dimensions]`; the last tile is filled up with the last cell.
    pub tiles: Vec<Lanes>,
    /// max ‖x‖.
    pub radius: f64,
}

impl Points {
    pub fn new(rows: Array2<f32>) -> Self {
        let (cells, dimensions) = rows.dim();
        let mut tiles = vec![Lanes::ZERO; cells.div_ceil(WIDTH) * dimensions];
        for (tile, values) in tiles.chunks_exact_mut(dimensions).enumerate() {
            let lanes = std::array::from_fn(|lane| (tile * WIDTH + lane).min(cells - 1));
            gather(&rows, lanes, values);
        }
        let radius = largest_norm(&rows);
        Self {
            rows,
            tiles,
            radius,
        }
    }

    pub fn cells(&self) -> usize {
        self.rows.nrows()
    }

    pub fn dimensions(&self) -> usize {
        self.rows.ncols()
    }
}

/// The largest Euclidean norm of a row.
pub(super) fn largest_norm(rows: &Array2<f32>) -> f64 {
    squared_norms(rows).into_iter().fold(0.0, f64::max).sqrt()
}

/// Copies cells into the lanes of a tile `[dimensions]`.
#[inline(always)]
pub(super) fn gather(rows: &Array2<f32>, cells: [usize; WIDTH], tile: &mut [Lanes]) {
    let size = tile.len();
    let mut chosen: [&[f32]; WIDTH] = [&[]; WIDTH];
    for lane in 0..WIDTH {
        chosen[lane] = &row(rows, cells[lane])[..size];
    }
    #[cfg(target_arch = "x86_64")]
    let done = if has_avx512() {
        // SAFETY: the CPU has just been found to have these features.
        unsafe { transpose_fours(&chosen, tile) }
    } else {
        0
    };
    #[cfg(not(target_arch = "x86_64"))]
    let done = 0;
    for dimension in done..size {
        let lanes = &mut tile[dimension].0;
        for lane in 0..WIDTH {
            lanes[lane] = chosen[lane][dimension];
        }
    }
}

/// Copies rows into lanes, four dimensions at a time; returns how many dimensions are done.
///
/// Left to itself the compiler scatters single numbers: 11 ns instead of 5 for a cell of 32
/// dimensions.
#[cfg(target_arch = "x86_64")]
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
fn transpose_fours(rows: &[&[f32]; WIDTH], tile: &mut [Lanes]) -> usize {
    use std::arch::x86_64::*;

    let (fours, _) = tile.as_chunks_mut::<4>();
    for (place, four) in fours.iter_mut().enumerate() {
        let quarter = |row: usize| {
            let values = &rows[row][place * 4..place * 4 + 4];
            // SAFETY: four numbers are there, and they need no alignment.
            unsafe { _mm_loadu_ps(values.as_ptr()) }
        };
        // Rows i, 4 + i, 8 + i and 12 + i, so that 4 × 4 blocks can be transposed within the
        // quarters of a register.
        let interleaved = |i: usize| {
            let first = _mm512_castps128_ps512(quarter(i));
            let two = _mm512_insertf32x4::<1>(first, quarter(4 + i));
            let three = _mm512_insertf32x4::<2>(two, quarter(8 + i));
            _mm512_insertf32x4::<3>(three, quarter(12 + i))
        };
        let [a, b, c, d] = [
            interleaved(0),
            interleaved(1),
            interleaved(2),
            interleaved(3),
        ];
        let low = |x, y| _mm512_castps_pd(_mm512_unpacklo_ps(x, y));
        let high = |x, y| _mm512_castps_pd(_mm512_unpackhi_ps(x, y));
        let columns = [
            _mm512_unpacklo_pd(low(a, b), low(c, d)),
            _mm512_unpackhi_pd(low(a, b), low(c, d)),
            _mm512_unpacklo_pd(high(a, b), high(c, d)),
            _mm512_unpackhi_pd(high(a, b), high(c, d)),
        ];
        for (lanes, column) in four.iter_mut().zip(columns) {
            // SAFETY: `Lanes` holds as many numbers as a register and is aligned like one.
            unsafe { _mm512_store_ps(lanes.0.as_mut_ptr(), _mm512_castpd_ps(column)) };
        }
    }
    fours.len() * 4
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_hold_the_cells_side_by_side() {
        for (cells, dimensions) in [(1, 3), (15, 4), (16, 1), (17, 9), (40, 32)] {
            let rows = Array2::from_shape_fn((cells, dimensions), |(cell, d)| {
                (cell * dimensions + d) as f32
            });
            let points = Points::new(rows.clone());
            assert_eq!(points.tiles.len(), cells.div_ceil(WIDTH) * dimensions);
            for cell in 0..cells.next_multiple_of(WIDTH) {
                for dimension in 0..dimensions {
                    let tile = &points.tiles[cell / WIDTH * dimensions..];
                    assert_eq!(
                        tile[dimension].0[cell % WIDTH],
                        rows[[cell.min(cells - 1), dimension]]
                    );
                }
            }
        }
    }
}
