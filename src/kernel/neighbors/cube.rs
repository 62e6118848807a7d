//! The comparison of points as a kernel for GPUs.

use std::ops::Range;

use burn::backend::DispatchDevice;
use burn::tensor::{Bytes, DType, Device, Shape};
use burn_cubecl::CubeDevice;
use burn_cubecl::cubecl::{self, CubeCount, prelude::*};
use burn_cubecl::ops::numeric::empty_device_contiguous_dtype;

use super::{Comparison, Kept, TILE};
use crate::kernel::cube::{self, CubeTensor, is_cube};
use crate::kernel::host;

/// Units of a cube, each with a point of its own.
const UNITS: usize = 128;
/// Coordinates of candidates that are in shared memory at a time.
const DEPTH: usize = 32;

/// Whether the device runs kernels.
pub(super) fn applies(device: &Device) -> bool {
    is_cube(device) && cube::applies()
}

/// A block of points on the device `[dimensions, points]`.
struct Block {
    points: Range<usize>,
    coordinates: CubeTensor,
}

pub(super) fn run(
    comparison: &Comparison<'_>,
    device: &Device,
    each: &mut dyn FnMut(Kept),
) -> Result<(), String> {
    let device = match device.clone().inner().as_dispatch() {
        DispatchDevice::Cube(device) => device.clone(),
        #[allow(unreachable_patterns, reason = "other backends may not be built in")]
        _ => return Err("no kernels run on this device".to_string()),
    };
    for points in comparison.blocks() {
        let queries = Block::send(comparison, points, &device);
        each(queries.nearest(comparison)?);
    }
    Ok(())
}

impl Block {
    fn send(comparison: &Comparison<'_>, points: Range<usize>, device: &CubeDevice) -> Self {
        let client = device.client();
        let values = comparison.coordinates(&points);
        let shape = Shape::from([comparison.points.ncols(), points.len()]);
        let handle = client.create(Bytes::from_elems(values));
        let device = device.clone();
        let coordinates = CubeTensor::new_contiguous(client, device, shape, handle, DType::F32);
        Self {
            points,
            coordinates,
        }
    }

    /// Whom of all points those of this block are nearest to.
    fn nearest(self, comparison: &Comparison<'_>) -> Result<Kept, String> {
        let client = &self.coordinates.client;
        let room = |dtype| {
            empty_device_contiguous_dtype(
                client.clone(),
                self.coordinates.device.clone(),
                Shape::from([comparison.kept, self.points.len()]),
                dtype,
            )
        };
        let (distances, indices) = (room(DType::F32), room(DType::U32));
        let mut is_first = true;
        for points in comparison.blocks() {
            let candidates = if points == self.points {
                self.coordinates.clone()
            } else {
                Self::send(comparison, points.clone(), &self.coordinates.device).coordinates
            };
            for range in comparison.launches(self.points.len(), points.len()) {
                offer::launch(
                    client,
                    CubeCount::Static(self.points.len().div_ceil(UNITS) as u32, 1, 1),
                    CubeDim::new_1d(UNITS as u32),
                    self.coordinates.clone().into_buffer_arg(),
                    candidates.clone().into_buffer_arg(),
                    distances.clone().into_buffer_arg(),
                    indices.clone().into_buffer_arg(),
                    comparison.points.ncols() as u32,
                    self.points.len() as u32,
                    points.len() as u32,
                    self.points.start as u32,
                    points.start as u32,
                    range.start as u32,
                    range.end as u32,
                    u32::from(is_first),
                    comparison.kept,
                );
                is_first = false;
                // Drivers end what takes seconds, and may take launches that are handed over
                // together for one.
                client.flush().map_err(|error| error.to_string())?;
            }
        }
        host::waits("neighbors");
        let read = client
            .read(vec![distances.handle, indices.handle])
            .map_err(|error| error.to_string())?;
        let [distances, indices] = &read[..] else {
            return Err("two lists were asked for".to_string());
        };
        Ok(Kept {
            points: self.points,
            indices: u32::from_bytes(indices).to_vec(),
            distances: f32::from_bytes(distances).to_vec(),
        })
    }
}

/// Offers the candidates of a range to all points of a block. Every unit has the nearest of one
/// point, sorted, and sums its squared distances from a tile of candidates at a time, whose
/// coordinates it shares with the other units of its cube.
#[cube(launch)]
#[allow(clippy::too_many_arguments, reason = "buffers and numbers of a kernel")]
fn offer(
    queries: &[f32],
    candidates: &[f32],
    distances: &mut [f32],
    indices: &mut [u32],
    dimensions: u32,
    query_count: u32,
    candidate_count: u32,
    first_query: u32,
    first_candidate: u32,
    start: u32,
    end: u32,
    is_first: u32,
    #[comptime] kept: usize,
) {
    let dimensions = dimensions as usize;
    let query_count = query_count as usize;
    let candidate_count = candidate_count as usize;
    let end = end as usize;
    let unit = UNIT_POS as usize;
    let query = CUBE_POS_X as usize * comptime!(UNITS) + unit;
    // Units without a point take part in what all units do together.
    let inside = query < query_count;
    let query = select(inside, query, 0usize);
    let cell = first_query + query as u32;
    let last = comptime!(kept - 1);

    // A number, since compilers of drivers take it for granted that nothing is infinite.
    let mut near = Array::<f32>::new(kept);
    let mut who = Array::<u32>::new(kept);
    let known = inside && is_first == 0u32;
    #[unroll]
    for slot in 0..kept {
        near[slot] = comptime!(f32::MAX).runtime();
        who[slot] = comptime!(u32::MAX).runtime();
    }
    if known {
        #[unroll]
        for slot in 0..kept {
            near[slot] = distances[slot * query_count + query];
            who[slot] = indices[slot * query_count + query];
        }
    }

    let mut tile = Shared::<[f32]>::new_slice(comptime!(TILE * DEPTH));
    let mut start = start as usize;
    while start < end {
        let mut sums = Array::<f32>::new(TILE);
        #[unroll]
        for candidate in 0..TILE {
            sums[candidate] = 0.0f32;
        }
        let mut depth = 0usize.runtime();
        while depth < dimensions {
            // What lies beside each other in memory is read by units beside each other.
            #[unroll]
            for part in 0..comptime!(TILE * DEPTH / UNITS) {
                let place = unit + part * comptime!(UNITS);
                let axis = depth + place / comptime!(TILE);
                let candidate = start + place % comptime!(TILE);
                let mut value = 0.0f32;
                if axis < dimensions && candidate < end {
                    value = candidates[axis * candidate_count + candidate];
                }
                tile[place] = value;
            }
            sync_cube();
            let axes = min(comptime!(DEPTH).runtime(), dimensions - depth);
            let mut axis = 0usize.runtime();
            while axis < axes {
                let coordinate = queries[(depth + axis) * query_count + query];
                #[unroll]
                for candidate in 0..TILE {
                    let difference = coordinate - tile[axis * comptime!(TILE) + candidate];
                    sums[candidate] += difference * difference;
                }
                axis += 1;
            }
            sync_cube();
            depth += comptime!(DEPTH);
        }
        let mut least = sums[0];
        #[unroll]
        for candidate in 1..TILE {
            least = select(sums[candidate] < least, sums[candidate], least);
        }
        // Of equally near candidates the first stays, and they come in their order.
        if inside && least < near[last] {
            // A copy, so that the sums themselves are never found by a number that varies and can
            // be kept in registers.
            let mut offered = Array::<f32>::new(TILE);
            #[unroll]
            for candidate in 0..TILE {
                offered[candidate] = sums[candidate];
            }
            let count = min(comptime!(TILE).runtime(), end - start);
            let mut candidate = 0usize.runtime();
            while candidate < count {
                let distance = offered[candidate];
                let index = first_candidate + (start + candidate) as u32;
                if distance < near[last] && index != cell {
                    #[unroll]
                    for step in 0..comptime!(kept - 1) {
                        let slot = comptime!(kept - 1 - step);
                        let before = near[comptime!(slot - 1)];
                        let moves = before > distance;
                        let stays = near[slot] <= distance;
                        let here = select(stays, near[slot], distance);
                        near[slot] = select(moves, before, here);
                        let here = select(stays, who[slot], index);
                        who[slot] = select(moves, who[comptime!(slot - 1)], here);
                    }
                    let stays = near[0] <= distance;
                    near[0] = select(stays, near[0], distance);
                    who[0] = select(stays, who[0], index);
                }
                candidate += 1;
            }
        }
        start += comptime!(TILE);
    }
    if inside {
        #[unroll]
        for slot in 0..kept {
            distances[slot * query_count + query] = near[slot];
            indices[slot * query_count + query] = who[slot];
        }
    }
}
