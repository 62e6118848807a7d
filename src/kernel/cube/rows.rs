//! Batches made on the device: from the stored counts of cells to dense rows of counts or of
//! network input, clean or corrupted.
//!
//! The noise is that of the CPU ([`noise`](crate::kernel::noise)): the words of the same ChaCha8
//! stream, whose key is the address (seed, purpose, epoch, cell), computed where they are needed.

use burn::backend::{Cube, DispatchDevice};
use burn::tensor::{Bytes, DType, Device, Shape, Tensor};
use burn_cubecl::CubeDevice;
use burn_cubecl::cubecl::{self, prelude::*};

use super::functions::{ln, polynomial};
use super::{CubeTensor, applies, primitive, room, units};
use crate::kernel::noise::{COS, SIN};
use crate::random::{Purpose, key};

/// Values that share the random words of a block of the stream: half of each of two runs.
const RUN: usize = 16;
/// Values of a row between which noise is drawn anew.
const BLOCK: usize = 64;

/// Stored counts of cells, in memory: lists of genes, rising, with the count and the network input
/// of each.
#[derive(Debug, Default)]
pub(crate) struct StoredRows {
    /// Where each list begins, and the end of the last one `[cells + 1]`.
    pub offsets: Vec<u32>,
    /// Genes.
    pub genes: Vec<u32>,
    /// Raw counts.
    pub counts: Vec<f32>,
    /// Network input.
    pub inputs: Vec<f32>,
    /// Which base each cell has `[cells]`.
    pub base_of_row: Vec<u32>,
    /// Network input where no count is stored `[bases, genes]`.
    pub bases: Vec<f32>,
    /// Length of a dense row.
    pub width: usize,
}

/// [`StoredRows`] on a device.
#[derive(Debug, Clone)]
pub(crate) struct DeviceRows {
    offsets: CubeTensor,
    genes: CubeTensor,
    counts: CubeTensor,
    inputs: CubeTensor,
    base_of_row: CubeTensor,
    bases: CubeTensor,
    width: usize,
}

/// The cells of dense rows, by their positions among all cells, which address their random streams.
#[derive(Debug)]
pub(crate) struct RowsOfCells {
    pub cells: Vec<u32>,
    pub stored: Stored,
}

/// Which counts are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Stored {
    /// Those of all cells.
    All,
    /// Those of the rows, in their order.
    Rows,
}

/// What dense rows hold.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Content {
    /// Raw counts.
    Counts,
    /// Clean network input.
    Input,
    /// Network input plus normal noise of this standard deviation.
    Gaussian {
        deviation: f32,
        stream: StreamOfRows,
    },
    /// Network input with values dropped at this rate, the others scaled up.
    Dropout { rate: f64, stream: StreamOfRows },
}

/// The address of the random streams of rows, but for the cell.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct StreamOfRows {
    pub seed: u64,
    pub epoch: u64,
}

impl StoredRows {
    /// The rows on a device; nothing on a device without kernels.
    pub(crate) fn send(self, device: &Device) -> Option<DeviceRows> {
        let device = match device.clone().inner().as_dispatch() {
            DispatchDevice::Cube(device) => device.clone(),
            #[allow(unreachable_patterns, reason = "other backends may not be built in")]
            _ => return None,
        };
        Some(DeviceRows {
            offsets: integers(self.offsets, &device),
            genes: integers(self.genes, &device),
            counts: numbers(self.counts, &device),
            inputs: numbers(self.inputs, &device),
            base_of_row: integers(self.base_of_row, &device),
            bases: numbers(self.bases, &device),
            width: self.width,
        })
    }
}

/// Memory of a device whose driver does not tell: what the smallest cards have that train.
const UNTOLD_MEMORY: u64 = 2 << 30;

/// Whether a device has room for so many stored counts of cells beside what training needs;
/// nothing for a device without kernels.
pub(crate) fn room_for(device: &Device, stored: usize, cells: usize) -> Option<bool> {
    if !applies() {
        return None;
    }
    let device = device.clone().inner();
    let memory = match device.as_dispatch() {
        DispatchDevice::Cube(device) => device.client().properties().memory.clone(),
        #[allow(unreachable_patterns, reason = "other backends may not be built in")]
        _ => return None,
    };
    let largest = 4 * stored.max(cells + 1) as u64;
    let all = 12 * stored as u64 + 8 * cells as u64;
    let total = memory
        .max_memory()
        .unwrap_or(memory.max_page_size.min(UNTOLD_MEMORY));
    // Places are counted in 32 bits, by some compilers of drivers with a sign.
    Some(largest <= memory.max_page_size && all <= total / 2 && stored <= i32::MAX as usize)
}

fn numbers(values: Vec<f32>, device: &CubeDevice) -> CubeTensor {
    // There is no empty buffer.
    let values = if values.is_empty() { vec![0.0] } else { values };
    buffer(values.len(), Bytes::from_elems(values), DType::F32, device)
}

fn integers(values: Vec<u32>, device: &CubeDevice) -> CubeTensor {
    let values = if values.is_empty() { vec![0] } else { values };
    buffer(values.len(), Bytes::from_elems(values), DType::U32, device)
}

fn buffer(length: usize, bytes: Bytes, dtype: DType, device: &CubeDevice) -> CubeTensor {
    let client = device.client();
    let handle = client.create(bytes);
    CubeTensor::new_contiguous(client, device.clone(), Shape::from([length]), handle, dtype)
}

impl DeviceRows {
    /// Dense rows `[rows, genes]`.
    pub(crate) fn dense(&self, rows: &RowsOfCells, content: Content) -> Tensor<2> {
        self.filled(rows, content, 1)
    }

    /// Corrupted rows, and after them the same ones clean `[2 · rows, genes]`.
    pub(crate) fn corrupted_and_clean(&self, rows: &RowsOfCells, content: Content) -> Tensor<2> {
        self.filled(rows, content, 2)
    }

    fn filled(&self, rows: &RowsOfCells, content: Content, times: usize) -> Tensor<2> {
        let width = self.width;
        let count_of_rows = times * rows.cells.len();
        let output = room(&self.counts, [count_of_rows, width]);
        if count_of_rows == 0 || width == 0 {
            return Tensor::from_primitive::<Cube>(primitive(output));
        }
        let (noise, stream, number, threshold) = match content {
            Content::Counts | Content::Input => (Noise::None, None, 0.0, 0),
            Content::Gaussian { deviation, stream } => (
                Noise::Gaussian,
                Some((stream, Purpose::Noise)),
                deviation,
                0,
            ),
            Content::Dropout { rate, stream } => (
                Noise::Dropout,
                Some((stream, Purpose::Dropout)),
                (1.0 / (1.0 - rate)) as f32,
                (rate * 4_294_967_296.0) as u32,
            ),
        };
        let key = match stream {
            Some((stream, purpose)) => key(stream.seed, purpose, stream.epoch, 0),
            None => [0; 8],
        };
        let (count, dim) = units(&output, count_of_rows * width.div_ceil(BLOCK) * 2);
        let values = match content {
            Content::Counts => &self.counts,
            _ => &self.inputs,
        };
        fill::launch(
            &output.client,
            count,
            dim,
            self.offsets.clone().into_buffer_arg(),
            self.genes.clone().into_buffer_arg(),
            values.clone().into_buffer_arg(),
            self.base_of_row.clone().into_buffer_arg(),
            self.bases.clone().into_buffer_arg(),
            integers(rows.cells.clone(), &output.device).into_buffer_arg(),
            output.clone().into_buffer_arg(),
            width as u32,
            key[0],
            key[1],
            key[2],
            key[4],
            key[5],
            number,
            threshold,
            rows.stored,
            content == Content::Counts,
            noise,
        );
        Tensor::from_primitive::<Cube>(primitive(output))
    }
}

/// What is done to input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Noise {
    None,
    Gaussian,
    Dropout,
}

/// Every unit fills two runs of a row, which take their noise from the same random words.
#[cube(launch)]
#[allow(clippy::too_many_arguments, reason = "buffers and numbers of a kernel")]
fn fill(
    offsets: &[u32],
    genes: &[u32],
    values: &[f32],
    base_of_row: &[u32],
    bases: &[f32],
    cells: &[u32],
    output: &mut [f32],
    width: u32,
    seed_low: u32,
    seed_high: u32,
    purpose: u32,
    epoch_low: u32,
    epoch_high: u32,
    number: f32,
    threshold: u32,
    #[comptime] stored: Stored,
    #[comptime] counts: bool,
    #[comptime] noise: Noise,
) {
    let width = width as usize;
    let per_row = (width + comptime!(BLOCK - 1)) / comptime!(BLOCK) * 2;
    let output_row = ABSOLUTE_POS / per_row;
    if output_row * width < output.len() {
        // Rows behind those of all cells are the same ones without noise.
        let clean = output_row >= cells.len();
        let place = select(clean, output_row - cells.len(), output_row);
        let part = ABSOLUTE_POS - output_row * per_row;
        let block = part / 2;
        let half = part - block * 2;
        let row = match stored {
            Stored::All => cells[place] as usize,
            Stored::Rows => place,
        };
        let begin = offsets[row] as usize;
        let end = offsets[row + 1] as usize;
        let base = base_of_row[row] as usize * width;
        let first = block * comptime!(BLOCK) + half * comptime!(RUN);
        let second = first + comptime!(BLOCK / 2);

        let mut noise_of_first = Array::<f32>::new(comptime!(RUN));
        let mut noise_of_second = Array::<f32>::new(comptime!(RUN));
        if comptime!(noise != Noise::None) {
            let mut state = Array::<u32>::new(16usize);
            state[4] = seed_low;
            state[5] = seed_high;
            state[6] = purpose;
            state[7] = 0u32;
            state[8] = epoch_low;
            state[9] = epoch_high;
            state[10] = cells[place];
            state[11] = 0u32;
            // A block of noise takes four blocks of the stream.
            let counter = block as u32 * 4u32 + half as u32;
            let words = chacha8(&state, counter);
            let more = chacha8(&state, counter + 2u32);
            #[unroll]
            for i in 0..comptime!(RUN) {
                if comptime!(noise == Noise::Gaussian) {
                    let pair = normal_pair(words[i], more[i]);
                    noise_of_first[i] = select(clean, 0.0f32, pair.first);
                    noise_of_second[i] = select(clean, 0.0f32, pair.second);
                } else {
                    let first = select(words[i] < threshold, 0.0f32, number);
                    let second = select(more[i] < threshold, 0.0f32, number);
                    noise_of_first[i] = select(clean, 1.0f32, first);
                    noise_of_second[i] = select(clean, 1.0f32, second);
                }
            }
        }
        fill_run(
            genes,
            values,
            bases,
            output,
            begin,
            end,
            base,
            output_row * width,
            first,
            width,
            &noise_of_first,
            number,
            counts,
            noise,
        );
        fill_run(
            genes,
            values,
            bases,
            output,
            begin,
            end,
            base,
            output_row * width,
            second,
            width,
            &noise_of_second,
            number,
            counts,
            noise,
        );
    }
}

/// Fills a run of a row from `start` on.
#[cube]
#[allow(clippy::too_many_arguments, reason = "buffers and numbers of a kernel")]
fn fill_run(
    genes: &[u32],
    values: &[f32],
    bases: &[f32],
    output: &mut [f32],
    begin: usize,
    end: usize,
    base: usize,
    row: usize,
    start: usize,
    width: usize,
    noise_of_run: &Array<f32>,
    number: f32,
    #[comptime] counts: bool,
    #[comptime] noise: Noise,
) {
    // The first stored gene that is not before the run.
    let mut low = begin;
    let mut high = end;
    while low < high {
        let middle = low + (high - low) / 2;
        if (genes[middle] as usize) < start {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    #[unroll]
    for i in 0..comptime!(RUN) {
        let gene = start + i;
        if gene < width {
            let mut value = 0.0f32;
            if comptime!(!counts) {
                value = bases[base + gene];
            }
            if low < end && genes[low] as usize == gene {
                value = values[low];
                low += 1;
            }
            if comptime!(noise == Noise::Gaussian) {
                value += number * noise_of_run[i];
            } else if comptime!(noise == Noise::Dropout) {
                value *= noise_of_run[i];
            }
            output[row + gene] = value;
        }
    }
}

#[derive(CubeType, Clone, Copy)]
struct Pair {
    first: f32,
    second: f32,
}

/// Two independent standard normal numbers, as the CPU makes them.
#[cube]
fn normal_pair(radius: u32, angle: u32) -> Pair {
    let u = (f32::cast_from(radius >> 1u32) + 0.5f32) * comptime!(1.0f32 / 2_147_483_648.0);
    let radius = (-2.0f32 * ln(u)).sqrt();
    let quarter = i32::reinterpret(angle) >> 2i32;
    let x =
        (f32::cast_from(quarter) + 0.5f32) * comptime!(std::f32::consts::FRAC_PI_4 / 536_870_912.0);
    let z = x * x;
    let sin = polynomial(z, comptime!(&SIN[..])) * z * x + x;
    let cos = polynomial(z, comptime!(&COS[..])) * z * z - 0.5f32 * z + 1.0f32;
    let even = (angle & 1u32) == 0u32;
    let along = select(even, cos, sin);
    let across = select(even, sin, cos);
    let radius = select((angle & 2u32) == 0u32, radius, -radius);
    Pair {
        first: radius * along,
        second: radius * across,
    }
}

/// A block of sixteen words of the ChaCha8 stream with the key at 4 to 11 of `key`.
#[cube]
fn chacha8(key: &Array<u32>, counter: u32) -> Array<u32> {
    let mut x = Array::<u32>::new(16usize);
    x[0] = 0x6170_7865u32;
    x[1] = 0x3320_646eu32;
    x[2] = 0x7962_2d32u32;
    x[3] = 0x6b20_6574u32;
    #[unroll]
    for i in 4..12usize {
        x[i] = key[i];
    }
    x[12] = counter;
    x[13] = 0u32;
    x[14] = 0u32;
    x[15] = 0u32;
    for _ in 0..4u32 {
        quarter_round(&mut x, 0usize, 4usize, 8usize, 12usize);
        quarter_round(&mut x, 1usize, 5usize, 9usize, 13usize);
        quarter_round(&mut x, 2usize, 6usize, 10usize, 14usize);
        quarter_round(&mut x, 3usize, 7usize, 11usize, 15usize);
        quarter_round(&mut x, 0usize, 5usize, 10usize, 15usize);
        quarter_round(&mut x, 1usize, 6usize, 11usize, 12usize);
        quarter_round(&mut x, 2usize, 7usize, 8usize, 13usize);
        quarter_round(&mut x, 3usize, 4usize, 9usize, 14usize);
    }
    x[0] += 0x6170_7865u32;
    x[1] += 0x3320_646eu32;
    x[2] += 0x7962_2d32u32;
    x[3] += 0x6b20_6574u32;
    #[unroll]
    for i in 4..12usize {
        x[i] += key[i];
    }
    x[12] += counter;
    x
}

#[cube]
fn quarter_round(
    x: &mut Array<u32>,
    #[comptime] a: usize,
    #[comptime] b: usize,
    #[comptime] c: usize,
    #[comptime] d: usize,
) {
    x[a] += x[b];
    x[d] = rotated(x[d] ^ x[a], 16u32);
    x[c] += x[d];
    x[b] = rotated(x[b] ^ x[c], 12u32);
    x[a] += x[b];
    x[d] = rotated(x[d] ^ x[a], 8u32);
    x[c] += x[d];
    x[b] = rotated(x[b] ^ x[c], 7u32);
}

#[cube]
fn rotated(word: u32, #[comptime] by: u32) -> u32 {
    (word << by) | (word >> comptime!(32 - by))
}
