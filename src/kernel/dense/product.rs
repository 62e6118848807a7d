//! Matrix products in tiles, and work on tiles of a matrix.
//!
//! The tiles run in parallel; each is one call of the `gemm` crate on one thread. How a product is
//! cut into tiles depends on its shape alone, so results do not depend on the number of threads.
//! Products that are wanted at the same time share their threads: handing work over takes as long
//! as a small product does.

use std::mem::MaybeUninit;
use std::ops::Range;

use gemm::{Parallelism, gemm};
use ndarray::{Array2, ArrayView2, ArrayViewMut2, Axis};

use super::tile::{Tile, tiles};
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

/// A matrix in memory, row by row or, with its axes reversed, column by column.
pub(super) type View<'a> = ArrayView2<'a, f32>;

/// A row-major matrix.
pub(super) fn view(values: &[f32], rows: usize, columns: usize) -> View<'_> {
    assert_eq!(values.len(), rows * columns);
    View::from_shape((rows, columns), values).expect("as many values as the shape has")
}

/// `left` · `right` in row-major order. `finish` gets every tile while it is in the cache.
pub(super) fn product(
    left: View<'_>,
    right: View<'_>,
    finish: impl Fn(Tile<'_, f32>) + Sync + Send,
) -> Vec<f32> {
    let factors = [Some((left, right))];
    let [product] = finished_products(factors, std::iter::empty::<()>(), |()| (), finish);
    product.expect("there are factors")
}

/// The given products in row-major order, and `work` for every other piece of work, all in one go:
/// threads that have nothing left to do of one take tiles of the next.
pub(super) fn products<const N: usize, T: Send>(
    factors: [Option<(View<'_>, View<'_>)>; N],
    others: impl Iterator<Item = T>,
    work: impl Fn(T) + Sync + Send,
) -> [Option<Vec<f32>>; N] {
    finished_products(factors, others, work, |_| ())
}

/// [`products`], of which `finish` gets every tile.
fn finished_products<const N: usize, T: Send>(
    factors: [Option<(View<'_>, View<'_>)>; N],
    others: impl Iterator<Item = T>,
    work: impl Fn(T) + Sync + Send,
    finish: impl Fn(Tile<'_, f32>) + Sync + Send,
) -> [Option<Vec<f32>>; N] {
    enum Task<'m, T> {
        Tile(Factors<'m>, Tile<'m, MaybeUninit<f32>>),
        Other(T),
    }
    let factors = factors.map(|pair| pair.map(|(left, right)| Factors::new(left, right)));
    let multiplications = factors.iter().flatten().map(Factors::multiplications);
    let shared = multiplications.sum::<usize>() >= SHARED_FROM;
    let mut matrices = factors.map(|factors| factors.map(|factors| Array2::uninit(factors.dim())));
    let tiles = factors.into_iter().zip(&mut matrices).flat_map(|pair| {
        let (factors, matrix) = (pair.0?, pair.1.as_mut()?);
        let tiles = factors.tiles(matrix.view_mut(), shared).into_iter();
        Some(tiles.map(move |tile| Task::Tile(factors, tile)))
    });
    let tasks: Vec<Task<'_, T>> = others.map(Task::Other).chain(tiles.flatten()).collect();
    let run = |task: Task<'_, T>| match task {
        Task::Other(other) => work(other),
        Task::Tile(factors, tile) => finish(factors.multiply(tile)),
    };
    match shared {
        true => parallel::for_each(tasks.into_iter(), run),
        false => tasks.into_iter().for_each(run),
    }
    matrices.map(|matrix| {
        // SAFETY: the tiles cover the matrix (`tiles` sees to it), and each has been a task, which
        // wrote all of its values; a task that panics does not let us come here.
        let matrix = unsafe { matrix?.assume_init() };
        Some(matrix.into_raw_vec_and_offset().0)
    })
}

/// What is multiplied.
#[derive(Clone, Copy)]
struct Factors<'a> {
    left: View<'a>,
    right: View<'a>,
}

impl<'a> Factors<'a> {
    fn new(left: View<'a>, right: View<'a>) -> Self {
        assert_eq!(left.ncols(), right.nrows());
        Self { left, right }
    }

    /// Rows and columns of the product.
    fn dim(&self) -> (usize, usize) {
        (self.left.nrows(), self.right.ncols())
    }

    fn multiplications(&self) -> usize {
        self.left.len() * self.right.ncols()
    }

    /// The tiles of the product: a single one, unless they are for several threads.
    ///
    /// Row ranges are equal, and what is left over of the columns joins the last tile, because a
    /// single row or column would be multiplied by another algorithm.
    fn tiles<'m, T>(&self, product: ArrayViewMut2<'m, T>, shared: bool) -> Vec<Tile<'m, T>> {
        let (rows, columns) = self.dim();
        if !shared {
            return tiles(product, [rows].into_iter(), [columns].into_iter());
        }
        let down = rows.div_ceil(TILE_ROWS);
        let strips = usize::max(columns / TILE_COLUMNS, 1);
        let left_is_transposed = self.left.strides()[1] != 1;
        let width = match strips >= WIDE_FROM {
            _ if left_is_transposed => TRANSPOSED_WIDTH,
            true => 2,
            false => 1,
        };
        let across = strips.div_ceil(width);
        let column_ends = (1..across).map(|index| strips * index / across * TILE_COLUMNS);
        tiles(
            product,
            (1..=down).map(|index| rows * index / down),
            column_ends.chain([columns]),
        )
    }

    /// Computes a tile of the product.
    fn multiply<'m>(&self, tile: Tile<'m, MaybeUninit<f32>>) -> Tile<'m, f32> {
        let left = part(self.left, Axis(0), tile.row_range());
        let right = part(self.right, Axis(1), tile.columns());
        let inner = left.ncols();
        assert_eq!(inner, right.nrows());
        tile.map(|mut values| {
            let (rows, columns) = values.dim();
            assert_eq!((rows, columns), (left.nrows(), right.ncols()));
            // SAFETY: the three views hold rows × columns, rows × inner and inner × columns values
            // at their strides, of which `values` has its own exclusively. `gemm` writes all of
            // them, zeros if `inner` is zero, and is told not to read them before.
            unsafe {
                gemm(
                    rows,
                    columns,
                    inner,
                    values.as_mut_ptr().cast(),
                    values.strides()[1],
                    values.strides()[0],
                    false,
                    left.as_ptr(),
                    left.strides()[1],
                    left.strides()[0],
                    right.as_ptr(),
                    right.strides()[1],
                    right.strides()[0],
                    0.0,
                    1.0,
                    false,
                    false,
                    false,
                    Parallelism::None,
                );
                values.assume_init()
            }
        })
    }
}

/// Part of a matrix along an axis.
fn part(view: View<'_>, axis: Axis, range: Range<usize>) -> View<'_> {
    view.split_at(axis, range.end)
        .0
        .split_at(axis, range.start)
        .1
}

/// Calls `work` for tiles of whole columns of a row-major matrix, in parallel, with the tile and
/// its columns of `by_column`.
pub(super) fn each_column_block(
    values: &mut [f32],
    by_column: &mut [f32],
    work: impl Fn(Tile<'_, f32>, &mut [f32]) + Sync + Send,
) {
    let columns = by_column.len();
    let matrix = view_mut(values, columns);
    let (rows, size) = (matrix.nrows(), matrix.len());
    let ends = (1..=columns.div_ceil(TILE_COLUMNS)).map(|end| columns.min(end * TILE_COLUMNS));
    let blocks = tiles(matrix, [rows].into_iter(), ends)
        .into_iter()
        .zip(by_column.chunks_mut(TILE_COLUMNS));
    let work = |(tile, by_column): (Tile<'_, f32>, &mut [f32])| work(tile, by_column);
    match size >= PASS_SHARED_FROM {
        true => parallel::for_each(blocks, work),
        false => blocks.for_each(work),
    }
}

/// Calls `work` for tiles of [`BLOCK_ROWS`] rows and one of the `strips` of a row-major matrix, in
/// parallel if `shared`. The strips are ranges of columns that cover all of them, one after the
/// other.
pub(super) fn each_block(
    values: &mut [f32],
    strips: &[Range<usize>],
    shared: bool,
    work: impl Fn(Tile<'_, f32>) + Sync + Send,
) {
    let matrix = view_mut(values, strips.iter().map(Range::len).sum());
    let rows = matrix.nrows();
    let row_ends = (1..=rows.div_ceil(BLOCK_ROWS)).map(|end| rows.min(end * BLOCK_ROWS));
    let blocks = tiles(matrix, row_ends, strips.iter().map(|strip| strip.end)).into_iter();
    match shared {
        true => parallel::for_each(blocks, work),
        false => blocks.for_each(work),
    }
}

/// A row-major matrix of so many columns.
fn view_mut(values: &mut [f32], columns: usize) -> ArrayViewMut2<'_, f32> {
    let rows = values.len() / usize::max(columns, 1);
    assert_eq!(values.len(), rows * columns);
    ArrayViewMut2::from_shape((rows, columns), values).expect("as many values as the shape has")
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

    fn check(left: View<'_>, right: View<'_>) {
        let found = product(left, right, |_| ());
        for row in 0..left.nrows() {
            for column in 0..right.ncols() {
                let exact: f64 = (0..left.ncols())
                    .map(|k| f64::from(left[[row, k]]) * f64::from(right[[k, column]]))
                    .sum();
                let found = f64::from(found[row * right.ncols() + column]);
                let tolerance = 1e-6 * (left.ncols() as f64).sqrt().max(1.0);
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
                true => view(&a, inner, rows).reversed_axes(),
                false => view(&a, rows, inner),
            };
            let right = match right_transposed {
                true => view(&b, columns, inner).reversed_axes(),
                false => view(&b, inner, columns),
            };
            check(left, right);
        }
    }

    /// Sums of nothing are zero, in memory that nobody has written before as well.
    #[test]
    fn empty_products() {
        for (rows, inner, columns) in [(3, 0, 5), (0, 2, 5), (3, 2, 0), (0, 0, 0), (1000, 0, 70)] {
            let (a, b) = (values(rows * inner, 1), values(inner * columns, 2));
            let found = product(view(&a, rows, inner), view(&b, inner, columns), |_| ());
            assert_eq!(found, vec![0.0; rows * columns]);
        }
    }

    #[test]
    #[should_panic(expected = "left == right")]
    fn factors_that_do_not_fit() {
        let zeros = [0.0; 12];
        product(view(&zeros, 3, 4), view(&zeros, 3, 4), |_| ());
    }

    #[test]
    #[should_panic(expected = "left == right")]
    fn a_matrix_that_memory_does_not_hold() {
        view(&[0.0; 11], 3, 4);
    }

    #[test]
    fn a_tile_that_panics_ends_the_product() {
        let (a, b) = (values(300 * 256, 1), values(256 * 530, 2));
        let product = || {
            product(view(&a, 300, 256), view(&b, 256, 530), |tile| {
                assert_eq!(tile.row_range().start, 0, "the second row of tiles");
            })
        };
        assert!(std::panic::catch_unwind(product).is_err());
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
            let right = view(&b, inner, columns);
            let whole = product(view(&a, rows, inner), right, |_| ());
            let (first, last) = a.split_at(rows / 3 * inner);
            let mut parts = product(view(first, rows / 3, inner), right, |_| ());
            parts.extend(product(view(last, rows - rows / 3, inner), right, |_| ()));
            assert_eq!(whole, parts);
        }
    }

    /// Together or apart, shared or not, one number of threads or another.
    #[test]
    fn products_do_not_depend_on_who_computes_them() {
        let (rows, inner, columns) = (300, 256, 530);
        let (a, b) = (values(rows * inner, 1), values(inner * columns, 2));
        let (left, right) = (view(&a, rows, inner), view(&b, inner, columns));
        let by_columns = view(&a, inner, rows).reversed_axes();
        let run = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
            pool.expect("a thread pool").install(|| {
                let together = products(
                    [Some((left, right)), None, Some((by_columns, right))],
                    std::iter::empty(),
                    |()| (),
                );
                let apart = [left, by_columns].map(|left| product(left, right, |_| ()));
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
            view(&a, rows, inner),
            view(&b, inner, columns),
            |mut tile| {
                let mut seen = seen.lock().expect("no other holder panicked");
                let columns = tile.columns();
                for row in tile.rows() {
                    row.fill(7.0);
                    columns.clone().for_each(|column| seen[column] += 1);
                }
            },
        );
        assert!(found.iter().all(|&value| value == 7.0));
        assert!(seen.lock().unwrap().iter().all(|&times| times == rows));
    }

    #[test]
    fn blocks_cover_a_matrix() {
        for (rows, ends) in [
            (3, vec![5]),
            (1030, vec![128, 256, 257]),
            (0, vec![16]),
            (0, vec![]),
        ] {
            let starts = [0].into_iter().chain(ends.clone());
            let strips: Vec<Range<usize>> = starts.zip(ends).map(|(from, to)| from..to).collect();
            let columns = strips.iter().map(Range::len).sum::<usize>();
            for shared in [false, true] {
                let mut matrix = vec![0.0; rows * columns];
                each_block(&mut matrix, &strips, shared, |mut block| {
                    let (rows, columns_of_block) = (block.row_range(), block.columns());
                    for (row, values) in rows.zip(block.rows()) {
                        for (column, value) in columns_of_block.clone().zip(values) {
                            *value += (row * columns + column) as f32;
                        }
                    }
                });
                assert!((0..rows * columns).all(|index| matrix[index] == index as f32));
            }
        }
    }

    #[test]
    fn column_blocks_cover_a_matrix() {
        for (rows, columns) in [(3, 5), (500, 400), (0, 3), (0, 0)] {
            let mut matrix = values(rows * columns, 1);
            let before = matrix.clone();
            let mut sums = vec![0.0; columns];
            each_column_block(&mut matrix, &mut sums, |mut block, sums| {
                for row in block.rows() {
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
