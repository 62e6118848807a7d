//! Products of matrices, with what a layer does to its output.
//!
//! burn's products are programs of many variants, chosen by the shapes: a network and its last,
//! shorter batch need some forty of them, which take a driver longer to compile than an epoch to
//! train. Here one program serves all shapes, and a layer's bias and activation are part of it; which
//! activation is a number at run time, for the same reason.

use burn_cubecl::cubecl::{self, CubeCount, prelude::*};

use super::functions::{tanh, unless_nan};
use super::{CubeTensor, room};
use crate::kernel::dense::Activation;

/// Units of a cube along each axis of its tile.
const SIDE: usize = 16;

/// Inner elements that are multiplied between two looks at the counter of the loop.
const UNROLLED: usize = 4;

/// How a product is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Tile {
    /// Elements of each axis that a unit sums: the more, the fewer values of shared memory a
    /// multiplication reads.
    per_unit: usize,
    /// Inner elements that are in shared memory at a time, of which WebGPU promises 16 KiB.
    depth: usize,
}

impl Tile {
    /// From the widest on.
    const ALL: [Self; 3] = [
        Self {
            per_unit: 8,
            depth: 8,
        },
        Self {
            per_unit: 4,
            depth: 16,
        },
        Self {
            per_unit: 2,
            depth: 16,
        },
    ];
    /// With fewer tiles than so many, a device would have nothing to do for many of its processors.
    const ENOUGH: usize = 128;

    /// The widest of which there are enough.
    fn of(rows: usize, columns: usize) -> Self {
        let [wider @ .., narrowest] = Self::ALL;
        let mut wider = wider.into_iter();
        wider
            .find(|tile| {
                let (across, down) = tile.count(rows, columns);
                across * down >= Self::ENOUGH
            })
            .unwrap_or(narrowest)
    }

    /// Rows and columns that a cube computes.
    const fn side(self) -> usize {
        SIDE * self.per_unit
    }

    /// Tiles of a matrix: across, and down.
    fn count(self, rows: usize, columns: usize) -> (usize, usize) {
        (columns.div_ceil(self.side()), rows.div_ceil(self.side()))
    }
}

/// A matrix `[rows, columns]` in rows, or the transposed of one.
#[derive(Debug, Clone)]
pub(in crate::kernel) struct Factor {
    values: CubeTensor,
    rows: usize,
    columns: usize,
    transposed: bool,
    /// The output of the activation by whose derivative the values are multiplied when they are read.
    activated: Option<(CubeTensor, Activation)>,
}

impl Factor {
    /// A matrix of so many rows and columns.
    pub fn new(values: &CubeTensor, rows: usize, columns: usize) -> Self {
        Self {
            values: values.clone(),
            rows,
            columns,
            transposed: false,
            activated: None,
        }
    }

    /// From the gradient of an activation's output to that of the sum before it.
    pub fn before(self, activation: Activation, output: &CubeTensor) -> Self {
        let activated = (activation != Activation::Linear).then(|| (output.clone(), activation));
        Self { activated, ..self }
    }

    /// The transposed matrix.
    pub fn transposed(self) -> Self {
        Self {
            rows: self.columns,
            columns: self.rows,
            transposed: !self.transposed,
            ..self
        }
    }
}

/// What a product is computed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Along {
    /// The left factor may be taken [before](Factor::before) an activation.
    Nothing,
    /// Its columns get a bias, and an activation is applied.
    Layer,
    /// The right factor's columns are summed; it may be taken before an activation.
    Sums,
}

/// An activation as kernels are told it.
fn number(activation: Activation) -> u32 {
    match activation {
        Activation::Linear => LINEAR,
        Activation::Relu => RELU,
        Activation::Tanh => TANH,
    }
}

const LINEAR: u32 = 0;
const RELU: u32 = 1;
const TANH: u32 = 2;

/// The product.
pub(in crate::kernel) fn product(left: Factor, right: Factor) -> CubeTensor {
    let unused = room(&left.values, [1]);
    launch(left, right, unused, Along::Nothing, Activation::Linear)
}

/// The product, and the sums of the right factor's columns.
pub(in crate::kernel) fn product_and_sums(left: Factor, right: Factor) -> [CubeTensor; 2] {
    assert!(
        !right.transposed,
        "columns are summed as they lie in memory"
    );
    let sums = room(&right.values, [right.columns]);
    let product = launch(left, right, sums.clone(), Along::Sums, Activation::Linear);
    [product, sums]
}

/// `activation(left · right + bias)`, with one bias a column.
pub(in crate::kernel) fn layer(
    left: Factor,
    right: Factor,
    bias: CubeTensor,
    activation: Activation,
) -> CubeTensor {
    launch(left, right, bias, Along::Layer, activation)
}

/// `by_column` is the bias or takes the sums; `activation` is that of a layer.
fn launch(
    left: Factor,
    right: Factor,
    by_column: CubeTensor,
    along: Along,
    activation: Activation,
) -> CubeTensor {
    let (rows, columns, inner) = (left.rows, right.columns, left.columns);
    assert_eq!(inner, right.rows, "inner sizes of a product");
    let output = room(&left.values, [rows, columns]);
    let tile = Tile::of(rows, columns);
    let (across, down) = tile.count(rows, columns);
    let before = match along {
        Along::Nothing => {
            assert!(right.activated.is_none(), "of a product the left factor is");
            left.activated
        }
        Along::Sums => {
            assert!(left.activated.is_none(), "beside sums the right factor is");
            right.activated
        }
        Along::Layer => None,
    };
    let (activated, activation) = before.unwrap_or_else(|| (left.values.clone(), activation));
    multiply::launch(
        &output.client,
        CubeCount::Static(across as u32, down as u32, 1),
        CubeDim::new_2d(SIDE as u32, SIDE as u32),
        left.values.into_buffer_arg(),
        right.values.into_buffer_arg(),
        activated.into_buffer_arg(),
        by_column.into_buffer_arg(),
        output.clone().into_buffer_arg(),
        rows as u32,
        columns as u32,
        inner as u32,
        number(activation),
        left.transposed,
        right.transposed,
        tile,
        along,
    );
    output
}

/// A cube for every tile of the product: parts of the factors are read into shared memory, `depth`
/// inner elements at a time, and every unit sums `per_unit²` elements of the tile.
#[cube(launch)]
#[allow(clippy::too_many_arguments, reason = "buffers and numbers of a kernel")]
fn multiply(
    left: &[f32],
    right: &[f32],
    activated: &[f32],
    by_column: &mut [f32],
    output: &mut [f32],
    rows: u32,
    columns: u32,
    inner: u32,
    activation: u32,
    #[comptime] left_transposed: bool,
    #[comptime] right_transposed: bool,
    #[comptime] cut: Tile,
    #[comptime] along: Along,
) {
    let rows = rows as usize;
    let columns = columns as usize;
    let inner = inner as usize;
    let per_unit = comptime!(cut.per_unit);
    let at_once = comptime!(cut.depth);
    let tile = comptime!(cut.side());
    let unit = UNIT_POS as usize;
    let (x, y) = (UNIT_POS_X as usize, UNIT_POS_Y as usize);
    let first_row = CUBE_POS_Y as usize * tile;
    let first_column = CUBE_POS_X as usize * tile;
    // A column more keeps units from one another's banks.
    let stride = comptime!(tile + 1);
    let mut of_left = Shared::<[f32]>::new_slice(comptime!(cut.depth * (cut.side() + 1)));
    let mut of_right = Shared::<[f32]>::new_slice(comptime!(cut.depth * (cut.side() + 1)));
    let mut sums = Array::<f32>::new(comptime!(per_unit * per_unit));
    #[unroll]
    for i in 0..comptime!(per_unit * per_unit) {
        sums[i] = 0.0f32;
    }

    let parts = comptime!(cut.side() * cut.depth / (SIDE * SIDE));
    let mut next_of_left = Array::<f32>::new(parts);
    let mut next_of_right = Array::<f32>::new(parts);
    let of_rows = Lines {
        first: first_row,
        count: rows,
        inner,
    };
    let of_columns = Lines {
        first: first_column,
        count: columns,
        inner,
    };
    // Units that read the same column of the right factor are a tile apart.
    let mut sum_of_column = 0.0f32;
    read(
        left,
        activated,
        &mut next_of_left,
        &of_rows,
        0usize.runtime(),
        activation,
        !left_transposed,
        comptime!(along == Along::Nothing),
        cut,
    );
    read(
        right,
        activated,
        &mut next_of_right,
        &of_columns,
        0usize.runtime(),
        activation,
        right_transposed,
        comptime!(along == Along::Sums),
        cut,
    );
    let mut start = 0usize.runtime();
    while start < inner {
        #[unroll]
        for part in 0..parts {
            let (row, depth) = place_in_tile(part, !left_transposed, cut);
            of_left[depth * stride + row] = next_of_left[part];
            let (column, depth) = place_in_tile(part, right_transposed, cut);
            of_right[depth * stride + column] = next_of_right[part];
            if comptime!(along == Along::Sums) {
                sum_of_column += next_of_right[part];
            }
        }
        sync_cube();
        start += at_once;
        // What is read now arrives while the units multiply what is there.
        read(
            left,
            activated,
            &mut next_of_left,
            &of_rows,
            start,
            activation,
            !left_transposed,
            comptime!(along == Along::Nothing),
            cut,
        );
        read(
            right,
            activated,
            &mut next_of_right,
            &of_columns,
            start,
            activation,
            right_transposed,
            comptime!(along == Along::Sums),
            cut,
        );
        for group in 0..comptime!(cut.depth / UNROLLED) {
            #[unroll]
            for k in 0..UNROLLED {
                let line = (group * UNROLLED + k) * stride;
                let mut of_row = Array::<f32>::new(per_unit);
                #[unroll]
                for i in 0..per_unit {
                    of_row[i] = of_left[line + y + i * comptime!(SIDE)];
                }
                #[unroll]
                for j in 0..per_unit {
                    let of_column = of_right[line + x + j * comptime!(SIDE)];
                    #[unroll]
                    for i in 0..per_unit {
                        sums[comptime!(i * per_unit + j)] += of_row[i] * of_column;
                    }
                }
            }
        }
        sync_cube();
    }

    #[unroll]
    for i in 0..per_unit {
        let row = first_row + y + i * comptime!(SIDE);
        #[unroll]
        for j in 0..per_unit {
            let column = first_column + x + j * comptime!(SIDE);
            if row < rows && column < columns {
                let sum = sums[comptime!(i * per_unit + j)];
                output[row * columns + column] = if comptime!(along == Along::Layer) {
                    activated_sum(sum + by_column[column], activation)
                } else {
                    sum
                };
            }
        }
    }

    if comptime!(along == Along::Sums) {
        of_right[unit] = sum_of_column;
        sync_cube();
        let column = first_column + unit;
        if CUBE_POS_Y == 0 && unit < tile && column < columns {
            let mut sum = 0.0f32;
            #[unroll]
            for part in 0..comptime!(SIDE / per_unit) {
                sum += of_right[unit + part * tile];
            }
            by_column[column] = sum;
        }
    }
}

/// The rows of the left factor, or the columns of the right one, that a cube reads.
#[derive(CubeType, Clone, Copy)]
struct Lines {
    first: usize,
    count: usize,
    inner: usize,
}

/// Where in its tile a unit's part belongs: the line, and the place along the inner axis. What lies
/// beside each other in memory is read by units beside each other.
#[cube]
fn place_in_tile(
    #[comptime] part: usize,
    #[comptime] lines_lie_whole: bool,
    #[comptime] cut: Tile,
) -> (usize, usize) {
    let unit = UNIT_POS as usize;
    if comptime!(lines_lie_whole) {
        (
            unit / comptime!(cut.depth) + part * comptime!(SIDE * SIDE / cut.depth),
            unit % comptime!(cut.depth),
        )
    } else {
        let place = unit + part * comptime!(SIDE * SIDE);
        (place % comptime!(cut.side()), place / comptime!(cut.side()))
    }
}

/// Reads a unit's parts of a tile that begins at `start` along the inner axis; zeros outside.
#[cube]
#[allow(clippy::too_many_arguments, reason = "buffers and numbers of a kernel")]
fn read(
    values: &[f32],
    activated: &[f32],
    parts: &mut Array<f32>,
    lines: &Lines,
    start: usize,
    activation: u32,
    #[comptime] lines_lie_whole: bool,
    #[comptime] before: bool,
    #[comptime] cut: Tile,
) {
    #[unroll]
    for part in 0..comptime!(cut.side() * cut.depth / (SIDE * SIDE)) {
        let (line, depth) = place_in_tile(part, lines_lie_whole, cut);
        let (at, k) = (lines.first + line, start + depth);
        let place = if comptime!(lines_lie_whole) {
            at * lines.inner + k
        } else {
            k * lines.count + at
        };
        let mut value = 0.0f32;
        if at < lines.count && k < lines.inner {
            value = values[place];
            if comptime!(before) {
                value = before_activation(value, activated, place, activation);
            }
        }
        parts[part] = value;
    }
}

/// The activation of a sum.
#[cube]
fn activated_sum(sum: f32, activation: u32) -> f32 {
    let mut result = sum;
    if activation == comptime!(RELU) {
        result = unless_nan(sum, select(sum < 0.0f32, 0.0f32, sum));
    }
    if activation == comptime!(TANH) {
        result = tanh(sum);
    }
    result
}

/// From the gradient of an activation's output, at its place, to that of the sum before it.
#[cube]
fn before_activation(gradient: f32, activated: &[f32], place: usize, activation: u32) -> f32 {
    let mut result = gradient;
    if activation == comptime!(RELU) {
        result = select(activated[place] > 0.0f32, gradient, 0.0f32);
    }
    if activation == comptime!(TANH) {
        let output = activated[place];
        result = gradient * (1.0f32 - output * output);
    }
    result
}
