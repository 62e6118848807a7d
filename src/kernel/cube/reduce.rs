//! Sums over the units of a cube, in an order that does not depend on the device.

use burn_cubecl::cubecl::{self, CubeCount, prelude::*};

use super::{CubeTensor, room};

/// Units of a cube that sums.
pub(in crate::kernel) const UNITS: u32 = 256;
/// Elements that a unit adds up, if that takes no more than [`MOST_CUBES`], before the units of its
/// cube share their sums.
const PER_UNIT: u32 = 16;
/// The most cubes of a sum; devices take 65 535 along an axis.
const MOST_CUBES: usize = 1 << 15;
/// Columns of a cube that works on columns.
pub(in crate::kernel) const COLUMNS: u32 = 32;
/// Units that share a column.
pub(in crate::kernel) const ROWS: u32 = 8;

/// Cubes of [`UNITS`] units for sums of `count` elements, and how many cubes these are.
pub(in crate::kernel) fn summing(count: usize) -> (CubeCount, CubeDim, usize) {
    let cubes = count.div_ceil((UNITS * PER_UNIT) as usize).min(MOST_CUBES);
    (
        CubeCount::Static(cubes as u32, 1, 1),
        CubeDim::new_1d(UNITS),
        cubes,
    )
}

/// The sum of a value over all units of a one-dimensional cube of [`UNITS`], in its first unit.
#[cube]
pub(in crate::kernel) fn sum_of_cube(value: f32) -> f32 {
    let mut shared = Shared::<[f32]>::new_slice(comptime!(UNITS as usize));
    let unit = UNIT_POS as usize;
    shared[unit] = value;
    sync_cube();
    let mut half = comptime!(UNITS as usize / 2).runtime();
    while half > 0 {
        if unit < half {
            let other = shared[unit + half];
            shared[unit] += other;
        }
        sync_cube();
        half /= 2;
    }
    shared[0]
}

/// The sum of a value over the [`ROWS`] units of a column, in all of them.
#[cube]
pub(in crate::kernel) fn sum_of_column(value: f32) -> f32 {
    let mut shared = Shared::<[f32]>::new_slice(comptime!((COLUMNS * ROWS) as usize));
    let column = UNIT_POS_X as usize;
    shared[UNIT_POS_Y as usize * comptime!(COLUMNS as usize) + column] = value;
    sync_cube();
    let mut sum = 0.0f32;
    #[unroll]
    for row in 0..comptime!(ROWS as usize) {
        sum += shared[row * comptime!(COLUMNS as usize) + column];
    }
    sync_cube();
    sum
}

#[cube(launch)]
fn finish(partial: &[f32], total: &mut [f32], scale: f32) {
    let mut sum = 0.0f32;
    let mut place = UNIT_POS as usize;
    while place < partial.len() {
        sum += partial[place];
        place += comptime!(UNITS as usize);
    }
    let sum = sum_of_cube(sum);
    if UNIT_POS == 0 {
        total[0] = sum * scale;
    }
}

/// The sum of what the cubes of a [summing] kernel have come to, times `scale`, `[1]`.
pub(in crate::kernel) fn finished(partial: CubeTensor, scale: f32) -> CubeTensor {
    let total = room(&partial, [1]);
    let client = partial.client.clone();
    finish::launch(
        &client,
        CubeCount::Static(1, 1, 1),
        CubeDim::new_1d(UNITS),
        partial.into_buffer_arg(),
        total.clone().into_buffer_arg(),
        scale,
    );
    total
}
