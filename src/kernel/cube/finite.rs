//! Whether all values of a tensor are finite, seen by their bits: compilers of drivers take it for
//! granted that they are.

use burn::backend::Cube;
use burn::tensor::Tensor;
use burn_cubecl::cubecl::{self, prelude::*};

use super::reduce::{UNITS, finished, sum_of_cube, summing};
use super::{contiguous, primitive, room};

#[cube(launch)]
fn count(values: &[f32], partial: &mut [f32], per_cube: u32) {
    let start = CUBE_POS * per_cube as usize;
    let end = min(start + per_cube as usize, values.len());
    let mut place = start + UNIT_POS as usize;
    let mut sum = 0.0f32;
    while place < end {
        let exponent = u32::reinterpret(values[place]) & 0x7f80_0000u32;
        sum += select(exponent == 0x7f80_0000u32, 1.0f32, 0.0f32);
        place += comptime!(UNITS as usize);
    }
    let sum = sum_of_cube(sum);
    if UNIT_POS == 0 {
        partial[CUBE_POS] = sum;
    }
}

/// How many values are NaN or infinite, `[1]`; nothing where no kernel applies.
pub(in crate::kernel) fn not_finite<const D: usize>(tensor: &Tensor<D>) -> Option<Tensor<1>> {
    let values = contiguous(tensor)?;
    let entries = values.meta.num_elements();
    if entries == 0 {
        return None;
    }
    let (cubes, dim, parts) = summing(entries);
    let partial = room(&values, [parts]);
    count::launch(
        &partial.client,
        cubes,
        dim,
        values.into_buffer_arg(),
        partial.clone().into_buffer_arg(),
        entries.div_ceil(parts) as u32,
    );
    let total = primitive(finished(partial, 1.0));
    Some(Tensor::from_primitive::<Cube>(total))
}
