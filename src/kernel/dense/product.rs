//! Matrix products in tiles, and work on tiles of a matrix.
//!
//! The tiles run in parallel; each is one call of the `gemm` crate on one thread. How a product is cut
//! into tiles depends on its shape alone, so results do not depend on the number of threads. Products that are wanted at the same time share their threads: handing work over
//! takes as long as a small product does.

use std::mem::MaybeUninit;
use std::ops::Range;

use gemm::{Parallelism, gemm};

use crate::kernel::parallel;

/// Rows of a tile, at most.
const TILE_ROWS: usize = 256;
/// Tiles begin at columns that are multiples of this, so that the vectors of the product's kernel
/// are full in all of them but the last.
const TILE_COLUMNS: usize = 64;
/// From this many times [`TILE_COLUMNS`] on, tiles are twice as wide: there are enough of them to
/// share, and each reads all rows of the left matrix.
const WIDE_FROM: usize = 16;
/// How many times [`TILE_COLUMNS`] tiles are wide where the left matrix is transposed: only for
/// tiles wider than twice that does the `gemm` crate gather its columns, which it would otherwise
/// read from far apart in memory for every [`TILE_COLUMNS`] anew.
const TRANSPOSED_WIDTH: usize = 4;
/// Rows of a block, at most.
const BLOCK_ROWS: usize = 512;
/// Multiplications below which a product is not worth sharing between threads.
const SHARED_FROM: usize = 1 << 23;
/// Entries below which a pass over a matrix is not worth sharing between threads.
pub(super) const PASS_SHARED_FROM: usize = 1 << 18;

/// A matrix in memory, row by row or, transposed, column by column.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    values: &'a [f32],
    rows: usize,
    columns: usize,
    row_stride: usize,
    column_stride: usize,
}

impl<'a> View<'a> {
    /// A row-major matrix of `columns` columns.
    pub(super) fn new(values: &'a [f32], rows: usize, columns: usize) -> Self {
        assert_eq!(values.len(), rows * columns);
        Self {
            values,
            rows,
            columns,
            row_stride: columns,
            column_stride: 1,
        }
    }

    fn is_transposed(&self) -> bool {
        self.column_stride != 1
    }

    pub(super) fn transposed(self) -> Self {
        Self {
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
            ..self
        }
    }
}

/// `left` · `right` in row-major order. `finish` gets every tile's range of columns and its rows,
/// while they are in the cache.
pub(super) fn product(
    left: View<'_>,
    right: View<'_>,
    finish: impl for<'t> Fn(Range<usize>, Rows<'t>) + Sync,
) -> Vec<f32> {
    let mut product = Product::new(left, right);
    let shared = product.multiplications() >= SHARED_FROM;
    let tiles = product.tiles(shared);
    let (matrix, factors) = product.matrix();
    parallel::for_each(tiles.into_iter(), |tile| {
        // SAFETY: the tiles of a product lie within it and do not overlap.
        let rows = unsafe { factors.multiply(&tile, &matrix) };
        finish(tile.columns, rows);
    });
    // SAFETY: the tiles cover the matrix, so every value is initialised.
    unsafe { product.into_values() }
}

/// The given products in row-major order, and `work` for every other piece of work, all in one go:
/// threads that have nothing left to do of one take tiles of the next.
pub(super) fn products<const N: usize, T: Send>(
    factors: [Option<(View<'_>, View<'_>)>; N],
    others: impl Iterator<Item = T>,
    work: impl Fn(T) + Sync + Send,
) -> [Option<Vec<f32>>; N] {
    enum Task<T> {
        Tile(usize, Tile),
        Other(T),
    }
    let mut products = factors.map(|pair| pair.map(|(left, right)| Product::new(left, right)));
    let multiplications = products.iter().flatten().map(Product::multiplications);
    let shared = multiplications.sum::<usize>() >= SHARED_FROM;
    let tasks = products.iter().enumerate().flat_map(|(index, product)| {
        let tiles = product
            .iter()
            .flat_map(move |product| product.tiles(shared));
        tiles.map(move |tile| Task::Tile(index, tile))
    });
    let tasks: Vec<Task<T>> = others.map(Task::Other).chain(tasks).collect();
    let matrices = products
        .each_mut()
        .map(|product| product.as_mut().map(Product::matrix));
    let run = |task: Task<T>| match task {
        Task::Other(other) => work(other),
        Task::Tile(index, tile) => {
            if let Some((matrix, factors)) = &matrices[index] {
                // SAFETY: the tiles of a product lie within it and do not overlap.
                unsafe { factors.multiply(&tile, matrix) };
            }
        }
    };
    match shared {
        true => parallel::for_each(tasks.into_iter(), run),
        false => tasks.into_iter().for_each(run),
    }
    // SAFETY: the tiles cover the matrices, so every value is initialised.
    products.map(|product| product.map(|product| unsafe { product.into_values() }))
}

/// A product that is being computed.
struct Product<'a> {
    factors: Factors<'a>,
    values: Vec<f32>,
}

/// What is multiplied.
#[derive(Clone, Copy)]
struct Factors<'a> {
    left: View<'a>,
    right: View<'a>,
}

impl<'a> Product<'a> {
    fn new(left: View<'a>, right: View<'a>) -> Self {
        assert_eq!(left.columns, right.rows);
        Self {
            factors: Factors { left, right },
            values: Vec::with_capacity(left.rows * right.columns),
        }
    }

    fn multiplications(&self) -> usize {
        let Factors { left, right } = &self.factors;
        left.rows * left.columns * right.columns
    }

    /// Tiles that cover the product: a single one, unless they are for several threads.
    fn tiles(&self, shared: bool) -> Vec<Tile> {
        let Factors { left, right } = &self.factors;
        match shared {
            true => tiles(left, right),
            false => vec![Tile {
                rows: 0..left.rows,
                columns: 0..right.columns,
            }],
        }
    }

    /// Where the product goes, and the factors.
    fn matrix(&mut self) -> (Matrix, Factors<'a>) {
        let columns = self.factors.right.columns;
        let length = self.factors.left.rows * columns;
        let values = &mut self.values.spare_capacity_mut()[..length];
        (Matrix::new(values, columns), self.factors)
    }

    /// The product.
    ///
    /// # Safety
    /// All its tiles have been multiplied.
    unsafe fn into_values(mut self) -> Vec<f32> {
        let length = self.factors.left.rows * self.factors.right.columns;
        // SAFETY: `new` made room for them, and the caller promises that they are initialised.
        unsafe { self.values.set_len(length) };
        self.values
    }
}

impl Factors<'_> {
    /// Computes a tile of the product and returns its rows.
    ///
    /// # Safety
    /// `matrix` is that of the product, the tile lies within it, and nobody else has the tile while
    /// `'t` lasts.
    unsafe fn multiply<'t>(&self, tile: &Tile, matrix: &Matrix) -> Rows<'t> {
        let Self { left, right } = self;
        let first = tile.rows.start * matrix.columns + tile.columns.start;
        let left_first = tile.rows.start * left.row_stride;
        let right_first = tile.columns.start * right.column_stride;
        // SAFETY: `View` holds rows × columns values at its strides, and the tile lies within both
        // of them and within `matrix`. The destination is not read, so it need not be initialised.
        unsafe {
            gemm(
                tile.rows.len(),
                tile.columns.len(),
                left.columns,
                matrix.first.add(first),
                1,
                matrix.columns as isize,
                false,
                left.values.as_ptr().add(left_first),
                left.column_stride as isize,
                left.row_stride as isize,
                right.values.as_ptr().add(right_first),
                right.column_stride as isize,
                right.row_stride as isize,
                0.0,
                1.0,
                false,
                false,
                false,
                Parallelism::None,
            );
            matrix.rows(tile)
        }
    }
}

/// Calls `work` for blocks of whole columns of a row-major matrix, in parallel, with the range of
/// columns, the rows within it and that range of `by_column`.
pub(super) fn each_column_block(
    values: &mut [f32],
    by_column: &mut [f32],
    work: impl for<'t> Fn(Range<usize>, Rows<'t>, &mut [f32]) + Sync,
) {
    let columns = by_column.len();
    let rows = values.len() / columns.max(1);
    assert_eq!(values.len(), rows * columns);
    let first = values.as_mut_ptr().cast::<MaybeUninit<f32>>();
    // SAFETY: the same memory, borrowed as long; only initialised values are written to it.
    let matrix = Matrix::new(
        unsafe { std::slice::from_raw_parts_mut(first, rows * columns) },
        columns,
    );
    let block = |(index, by_column): (usize, &mut [f32])| {
        let start = index * TILE_COLUMNS;
        let tile = Tile {
            rows: 0..rows,
            columns: start..start + by_column.len(),
        };
        // SAFETY: the values are initialised, blocks do not overlap, and `values` is borrowed
        // exclusively.
        let tile_rows = unsafe { matrix.rows(&tile) };
        work(tile.columns, tile_rows, by_column);
    };
    let blocks = by_column.chunks_mut(TILE_COLUMNS).enumerate();
    match rows * columns >= PASS_SHARED_FROM {
        true => parallel::for_each(blocks, block),
        false => blocks.for_each(block),
    }
}

/// Calls `work` for blocks of [`BLOCK_ROWS`] rows and one of the `strips` of a row-major matrix, in
/// parallel if `shared`. The strips are ranges of columns that cover all of them, one after the
/// other.
pub(super) fn each_block(
    values: &mut [f32],
    strips: &[Range<usize>],
    shared: bool,
    work: impl Fn(Block<'_>) + Sync,
) {
    let columns = strips.iter().map(Range::len).sum();
    let rows = values.len() / usize::max(columns, 1);
    assert_eq!(values.len(), rows * columns);
    assert!(strips.first().is_none_or(|strip| strip.start == 0));
    assert!(strips.windows(2).all(|pair| pair[0].end == pair[1].start));
    let first = values.as_mut_ptr().cast::<MaybeUninit<f32>>();
    // SAFETY: the same memory, borrowed as long; only initialised values are written to it.
    let matrix = Matrix::new(
        unsafe { std::slice::from_raw_parts_mut(first, rows * columns) },
        columns,
    );
    let block = |index: usize| {
        let first = index / strips.len() * BLOCK_ROWS;
        work(Block {
            matrix: &matrix,
            tile: Tile {
                rows: first..rows.min(first + BLOCK_ROWS),
                columns: strips[index % strips.len()].clone(),
            },
        });
    };
    let blocks = 0..rows.div_ceil(BLOCK_ROWS) * strips.len();
    match shared {
        true => parallel::for_each(blocks, block),
        false => blocks.for_each(block),
    }
}

/// Part of a matrix that nobody else has.
pub(super) struct Block<'m> {
    matrix: &'m Matrix,
    tile: Tile,
}

impl Block<'_> {
    /// Which rows of the matrix.
    pub(super) fn row_range(&self) -> Range<usize> {
        self.tile.rows.clone()
    }

    /// Which columns of the matrix.
    pub(super) fn columns(&self) -> Range<usize> {
        self.tile.columns.clone()
    }

    /// The rows of the block.
    pub(super) fn rows(&mut self) -> Rows<'_> {
        // SAFETY: `each_block` makes blocks of an initialised matrix that lie within it and do not
        // overlap; this one is borrowed exclusively as long as the rows.
        unsafe { self.matrix.rows(&self.tile) }
    }
}

struct Tile {
    rows: Range<usize>,
    columns: Range<usize>,
}

/// Tiles that cover a product.
///
/// Row ranges are equal, and what is left over of the columns joins the last tile, because a single
/// row or column would be multiplied by another algorithm.
fn tiles(left: &View<'_>, right: &View<'_>) -> Vec<Tile> {
    let (rows, columns) = (left.rows, right.columns);
    let down = rows.div_ceil(TILE_ROWS);
    let strips = usize::max(columns / TILE_COLUMNS, 1);
    let width = match strips >= WIDE_FROM {
        _ if left.is_transposed() => TRANSPOSED_WIDTH,
        true => 2,
        false => 1,
    };
    let across = strips.div_ceil(width);
    let tile = |index: usize| {
        let strip = part(strips, across, index % across);
        let end = match strip.end == strips {
            true => columns,
            false => strip.end * TILE_COLUMNS,
        };
        Tile {
            rows: part(rows, down, index / across),
            columns: strip.start * TILE_COLUMNS..end,
        }
    };
    (0..down * across).map(tile).collect()
}

/// The part at `index` when `length` is cut into `parts` that differ by one at most.
fn part(length: usize, parts: usize, index: usize) -> Range<usize> {
    length * index / parts..length * (index + 1) / parts
}

/// A row-major matrix that threads share tile by tile.
struct Matrix {
    first: *mut f32,
    columns: usize,
}

// SAFETY: the pointer is used for tiles that do not overlap.
unsafe impl Sync for Matrix {}

impl Matrix {
    fn new(values: &mut [MaybeUninit<f32>], columns: usize) -> Self {
        Self {
            first: values.as_mut_ptr().cast(),
            columns,
        }
    }

    /// The rows of a tile.
    ///
    /// # Safety
    /// The tile lies within the matrix, is initialised, and nobody else has it while `'t` lasts.
    unsafe fn rows<'t>(&self, tile: &Tile) -> Rows<'t> {
        Rows {
            // SAFETY: the tile lies within the matrix.
            next: unsafe {
                self.first
                    .add(tile.rows.start * self.columns + tile.columns.start)
            },
            left: tile.rows.len(),
            width: tile.columns.len(),
            stride: self.columns,
            lifetime: std::marker::PhantomData,
        }
    }
}

/// The rows of a tile, each a slice as wide as the tile.
pub(super) struct Rows<'t> {
    next: *mut f32,
    left: usize,
    width: usize,
    stride: usize,
    lifetime: std::marker::PhantomData<&'t mut [f32]>,
}

impl<'t> Iterator for Rows<'t> {
    type Item = &'t mut [f32];

    #[inline(always)]
    fn next(&mut self) -> Option<&'t mut [f32]> {
        if self.left == 0 {
            return None;
        }
        self.left -= 1;
        // SAFETY: `Matrix::rows` was promised this row exclusively; rows do not overlap.
        let row = unsafe { std::slice::from_raw_parts_mut(self.next, self.width) };
        self.next = self.next.wrapping_add(self.stride);
        Some(row)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use proptest::prelude::*;

    use super::*;

    fn values(length: usize, seed: usize) -> Vec<f32> {
        (0..length)
            .map(|i| ((i * 7919 + seed * 104_729) % 10_007) as f32 / 10_007.0 - 0.5)
            .collect()
    }

    fn element(view: View<'_>, row: usize, column: usize) -> f64 {
        f64::from(view.values[row * view.row_stride + column * view.column_stride])
    }

    fn check(left: View<'_>, right: View<'_>) {
        let found = product(left, right, |_, _| {});
        for row in 0..left.rows {
            for column in 0..right.columns {
                let exact: f64 = (0..left.columns)
                    .map(|k| element(left, row, k) * element(right, k, column))
                    .sum();
                let found = f64::from(found[row * right.columns + column]);
                let tolerance = 1e-6 * (left.columns as f64).sqrt().max(1.0);
                assert!((found - exact).abs() < tolerance, "{found} {exact}");
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn products_of_every_shape_and_order(
            rows in 1usize..300,
            inner in 1usize..150,
            columns in 1usize..150,
            left_transposed: bool,
            right_transposed: bool,
        ) {
            let (a, b) = (values(rows * inner, 1), values(inner * columns, 2));
            let left = match left_transposed {
                true => View::new(&a, inner, rows).transposed(),
                false => View::new(&a, rows, inner),
            };
            let right = match right_transposed {
                true => View::new(&b, columns, inner).transposed(),
                false => View::new(&b, inner, columns),
            };
            check(left, right);
        }
    }

    #[test]
    fn tiles_do_not_change_a_bit() {
        for (rows, inner, columns) in [
            (257, 700, 193),
            (600, 90, 65),
            (1000, 2000, 70),
            (300, 530, 1100),
        ] {
            let (a, b) = (values(rows * inner, 1), values(inner * columns, 2));
            let right = View::new(&b, inner, columns);
            let whole = product(View::new(&a, rows, inner), right, |_, _| {});
            let (first, last) = a.split_at(rows / 3 * inner);
            let mut parts = product(View::new(first, rows / 3, inner), right, |_, _| {});
            parts.extend(product(
                View::new(last, rows - rows / 3, inner),
                right,
                |_, _| {},
            ));
            assert_eq!(whole, parts);
        }
    }

    /// Together or apart, shared or not, one number of threads or another.
    #[test]
    fn products_do_not_depend_on_who_computes_them() {
        let (rows, inner, columns) = (300, 256, 530);
        let (a, b) = (values(rows * inner, 1), values(inner * columns, 2));
        let (left, right) = (View::new(&a, rows, inner), View::new(&b, inner, columns));
        let by_columns = View::new(&a, inner, rows).transposed();
        let run = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
            pool.expect("a thread pool").install(|| {
                let together = products(
                    [Some((left, right)), None, Some((by_columns, right))],
                    std::iter::empty(),
                    |()| (),
                );
                let apart = [left, by_columns].map(|left| product(left, right, |_, _| {}));
                (together, apart)
            })
        };
        let ([first, none, second], apart) = run(1);
        assert!(none.is_none());
        assert_eq!([first, second], apart.clone().map(Some));
        assert_eq!(run(3).1, apart);
        check(by_columns, right);
    }

    #[test]
    fn tiles_are_finished_once() {
        let (rows, inner, columns) = (530, 40, 201);
        let (a, b) = (values(rows * inner, 1), values(inner * columns, 2));
        let seen = Mutex::new(vec![0; columns]);
        let found = product(
            View::new(&a, rows, inner),
            View::new(&b, inner, columns),
            |tile, rows| {
                let mut seen = seen.lock().expect("no other holder panicked");
                for row in rows {
                    row.fill(7.0);
                    tile.clone().for_each(|column| seen[column] += 1);
                }
            },
        );
        assert!(found.iter().all(|&value| value == 7.0));
        assert!(seen.lock().unwrap().iter().all(|&times| times == rows));
    }

    #[test]
    fn column_blocks_cover_a_matrix() {
        for (rows, columns) in [(3, 5), (500, 400)] {
            let mut matrix = values(rows * columns, 1);
            let before = matrix.clone();
            let mut sums = vec![0.0; columns];
            each_column_block(&mut matrix, &mut sums, |_, block, sums| {
                for row in block {
                    for (value, sum) in row.iter_mut().zip(sums.iter_mut()) {
                        *sum += *value;
                        *value *= 2.0;
                    }
                }
            });
            for (column, sum) in sums.into_iter().enumerate() {
                let exact: f32 = before.chunks(columns).map(|row| row[column]).sum();
                assert_eq!(sum, exact);
            }
            assert!(before.iter().zip(&matrix).all(|(b, m)| 2.0 * b == *m));
        }
    }
}
