//! Matrices cut into tiles, so that threads write to one matrix at the same time.

use std::ops::Range;

use ndarray::{ArrayViewMut2, Axis};

/// Part of a row-major matrix that nobody else has.
pub(super) struct Tile<'m, T> {
    rows: Range<usize>,
    columns: Range<usize>,
    values: ArrayViewMut2<'m, T>,
}

impl<'m, T> Tile<'m, T> {
    /// Which rows of the matrix.
    pub(super) fn row_range(&self) -> Range<usize> {
        self.rows.clone()
    }

    /// Which columns of the matrix.
    pub(super) fn columns(&self) -> Range<usize> {
        self.columns.clone()
    }

    /// The rows of the tile, each a slice as wide as the tile.
    #[inline(always)]
    pub(super) fn rows(&mut self) -> impl Iterator<Item = &mut [T]> {
        let rows = self.values.axis_iter_mut(Axis(0));
        rows.map(|row| row.into_slice().expect("the matrix is row-major"))
    }

    /// The same place with what `write` makes of its values.
    pub(super) fn map<U>(
        self,
        write: impl FnOnce(ArrayViewMut2<'m, T>) -> ArrayViewMut2<'m, U>,
    ) -> Tile<'m, U> {
        let Self {
            rows,
            columns,
            values,
        } = self;
        let values = write(values);
        assert_eq!(values.dim(), (rows.len(), columns.len()));
        Tile {
            rows,
            columns,
            values,
        }
    }
}

/// Cuts a row-major matrix into tiles that end at these rows and columns, row by row. The ends
/// ascend to the numbers of rows and columns, so that the tiles cover the matrix.
pub(super) fn tiles<'m, T>(
    matrix: ArrayViewMut2<'m, T>,
    row_ends: impl Iterator<Item = usize>,
    column_ends: impl Iterator<Item = usize> + Clone,
) -> Vec<Tile<'m, T>> {
    let bands = cut(matrix, Axis(0), row_ends).into_iter();
    let tiles = bands.flat_map(|(rows, band)| {
        let band = cut(band, Axis(1), column_ends.clone()).into_iter();
        band.map(move |(columns, values)| Tile {
            rows: rows.clone(),
            columns,
            values,
        })
    });
    tiles.collect()
}

/// Cuts a matrix along an axis into parts that end at `ends`, which ascend to its length.
fn cut<'m, T>(
    matrix: ArrayViewMut2<'m, T>,
    axis: Axis,
    ends: impl Iterator<Item = usize>,
) -> Vec<(Range<usize>, ArrayViewMut2<'m, T>)> {
    let (mut rest, mut start) = (matrix, 0);
    let mut parts = Vec::new();
    for end in ends {
        assert!(start <= end, "ends ascend");
        let (part, after) = rest.split_at(axis, end - start);
        parts.push((start..end, part));
        (rest, start) = (after, end);
    }
    assert_eq!(rest.len_of(axis), 0, "parts cover the matrix");
    parts
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;

    use super::*;

    /// Every value belongs to one tile, at the place that the tile says, and may be written by a
    /// thread of its own.
    #[test]
    fn tiles_cover_a_matrix_once() {
        let shapes: [(&[usize], &[usize]); 7] = [
            (&[1], &[1]),
            (&[2, 3], &[5]),
            (&[1, 2, 7], &[3, 4, 11]),
            (&[4], &[0, 2, 2, 5]),
            (&[0], &[3]),
            (&[3], &[0]),
            (&[], &[]),
        ];
        for (row_ends, column_ends) in shapes {
            let last = |ends: &[usize]| ends.last().copied().unwrap_or(0);
            let mut matrix = Array2::<usize>::zeros((last(row_ends), last(column_ends)));
            let tiles = tiles(
                matrix.view_mut(),
                row_ends.iter().copied(),
                column_ends.iter().copied(),
            );
            assert_eq!(tiles.len(), row_ends.len() * column_ends.len());
            std::thread::scope(|scope| {
                for mut tile in tiles {
                    scope.spawn(move || {
                        let (rows, columns) = (tile.row_range(), tile.columns());
                        for (row, values) in rows.zip(tile.rows()) {
                            assert_eq!(values.len(), columns.len());
                            for (column, value) in columns.clone().zip(values) {
                                *value += 100 * row + column + 1;
                            }
                        }
                    });
                }
            });
            for ((row, column), &value) in matrix.indexed_iter() {
                assert_eq!(value, 100 * row + column + 1);
            }
        }
    }

    fn cut_at(row_ends: &[usize], column_ends: &[usize]) {
        let mut matrix = Array2::<u8>::zeros((4, 5));
        tiles(
            matrix.view_mut(),
            row_ends.iter().copied(),
            column_ends.iter().copied(),
        );
    }

    #[test]
    #[should_panic(expected = "parts cover the matrix")]
    fn every_row_is_in_a_tile() {
        cut_at(&[1, 3], &[5]);
    }

    #[test]
    #[should_panic(expected = "parts cover the matrix")]
    fn every_column_is_in_a_tile() {
        cut_at(&[4], &[2]);
    }

    #[test]
    #[should_panic(expected = "ends ascend")]
    fn no_tiles_overlap() {
        cut_at(&[3, 2, 4], &[5]);
    }

    #[test]
    #[should_panic(expected = "index <= self.len_of(axis)")]
    fn no_tile_ends_outside() {
        cut_at(&[4], &[6]);
    }
}
