//! How much memory a fit will take.

use std::fmt;

use burn::module::Module;
use burn::tensor::Device;

use super::plan::Plan;
use crate::error::size;
use crate::graph::NeighborSearch;
use crate::nn::ReconstructionHead;
use crate::preprocess::{Cells, default_buffer_cells};
use crate::start::CentroidStart;

/// Copies of a parameter in training: weight, gradient, three moments.
const COPIES: usize = 5;
/// Copies of a parameter that each further device adds: weight, gradient, and either on its way.
const COPIES_OF_OTHERS: usize = 3;
/// Dense matrices of a batch with all genes: inputs, counts, and what the decoder makes of them.
const ROWS: usize = 4;
/// Bytes of the name of a cell with the numbers that are kept of it.
const NAME: usize = 100;
/// Clusters of a start whose number is found.
const CLUSTERS: usize = 20;
/// Matrices of soft assignments and targets of all cells at a time.
const ASSIGNMENTS: usize = 5;
/// Lists of labels of all cells.
const LABELS: usize = 3;
/// Neighbours over which a target is averaged.
const NEIGHBORS: usize = 15;
/// Bytes of a count that is not zero: the gene and the count.
const ENTRY: usize = 8;
/// Bytes of a count on its way to a GPU: two numbers and a gene, and once more where the driver takes them.
#[cfg(any(feature = "wgpu", feature = "cuda"))]
const SENT: usize = 24;
/// What a running program holds besides.
const PROGRAM: u64 = 20_000_000;

/// What decides how much memory the data of a fit take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct DataSize {
    /// Number of cells.
    pub cells: usize,
    /// Number of genes that the network sees.
    pub genes: usize,
    /// Counts that are not zero and in memory at a time.
    pub held: usize,
}

impl DataSize {
    /// Of counts in memory, `stored` of them not zero.
    pub fn in_memory(cells: usize, genes: usize, stored: usize) -> Self {
        Self {
            cells,
            genes,
            held: stored,
        }
    }

    /// Of counts that are read from a source part by part, `stored` of them not zero.
    pub fn on_disk(cells: usize, genes: usize, stored: usize) -> Self {
        let buffer = default_buffer_cells(cells, stored);
        Self {
            held: buffered(buffer, cells, stored),
            ..Self::in_memory(cells, genes, stored)
        }
    }

    /// Of prepared cells.
    pub fn of(cells: &Cells) -> Self {
        let (count, stored) = (cells.cells(), cells.stored());
        let size = Self::in_memory(count, cells.genes(), stored);
        match cells.reading() {
            Some(reading) => Self {
                held: buffered(reading.block * reading.blocks, count, stored),
                ..size
            },
            None => size,
        }
    }
}

/// The counts of two buffers: one trains while the next is read.
fn buffered(buffer: usize, cells: usize, stored: usize) -> usize {
    let share = (2 * buffer) as f64 / cells.max(1) as f64;
    (stored as f64 * share.min(1.0)) as usize
}

/// How much memory a fit is expected to take, in bytes, part by part; within a half of what it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemoryEstimate {
    /// The counts that are held, and names of cells.
    pub counts: u64,
    /// Weights with what the optimizer keeps, and a batch on its way through the network.
    pub network: u64,
    /// The embedding, neighbours and assignments of all cells, while centroids are looked for or in
    /// self-training, whichever takes more.
    pub cells: u64,
}

impl MemoryEstimate {
    /// The most that is held at a time.
    pub fn peak(&self) -> u64 {
        PROGRAM + self.counts + self.network + self.cells
    }
}

impl fmt::Display for MemoryEstimate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} (counts {}, network {}, embedding and neighbors {})",
            size(self.peak()),
            size(self.counts),
            size(self.network),
            size(self.cells)
        )
    }
}

impl<H: ReconstructionHead> Plan<H> {
    /// How much memory a fit of data of this size will take, once they are prepared, on one device;
    /// [`Trainer::memory`](super::Trainer::memory) knows of several.
    ///
    /// ```
    /// use celldec::prelude::*;
    /// use celldec::train::DataSize;
    ///
    /// // A million cells, a tenth of 2000 genes not zero.
    /// let plan = Plan::scdcc(12);
    /// let in_memory = plan.memory(&DataSize::in_memory(1_000_000, 2000, 200_000_000));
    /// let on_disk = plan.memory(&DataSize::on_disk(1_000_000, 2000, 200_000_000));
    /// assert_eq!(in_memory.cells, on_disk.cells);
    /// assert!(in_memory.peak() - on_disk.peak() > 1_000_000_000);
    /// println!("{on_disk}");
    /// ```
    pub fn memory(&self, data: &DataSize) -> MemoryEstimate {
        self.memory_on(1, data)
    }

    /// The same on so many devices. Rows of a batch are on one of them each.
    pub(super) fn memory_on(&self, devices: usize, data: &DataSize) -> MemoryEstimate {
        let DataSize { cells, genes, held } = *data;
        let widths = self.network.widths.of(cells);
        let latent = widths.last().copied().unwrap_or(1);
        let config = self.network.autoencoder(cells, genes, 0);
        let network = config.init::<H>(&self.head, &Device::default());
        let batch = self.pretraining.batch_size.min(cells);
        let starts = self.starts.iter();
        let start = starts.clone().map(|start| start.bytes(cells, latent)).max();
        let clusters = starts.filter_map(CentroidStart::clusters).max();
        let clusters = clusters.unwrap_or(CLUSTERS);
        let float = size_of::<f32>();
        let self_training = sum([
            NeighborSearch::default().bytes(cells, latent, NEIGHBORS),
            product([cells, 2 * latent + ASSIGNMENTS * clusters, float]),
            product([cells, LABELS, size_of::<usize>()]),
        ]);
        MemoryEstimate {
            counts: sum([product([held, 1, ENTRY]), product([cells, 1, NAME])]),
            network: sum([
                product([
                    network.num_params(),
                    COPIES + COPIES_OF_OTHERS * devices.saturating_sub(1),
                    float,
                ]),
                product([batch, genes * ROWS, float]),
            ]),
            cells: self_training.max(start.unwrap_or(0)),
        }
    }

    /// What lets a fit of cells go on in so many bytes.
    pub(super) fn memory_advice(&self, devices: usize, cells: &Cells, limit: u64) -> String {
        let (count, stored) = (cells.cells(), cells.stored());
        let on_disk = DataSize::on_disk(count, cells.genes(), stored);
        let on_disk = self.memory_on(devices, &on_disk).peak();
        if cells.reading().is_none() && on_disk <= limit {
            return format!(
                "read counts part by part with `Preprocess::fit_source`, which takes about {}",
                size(on_disk)
            );
        }
        "fit some of the cells and assign the others to their clusters \
         (`FittedModel::assign`), or take a machine with more memory"
            .to_string()
    }
}

/// What sending the counts to a GPU takes besides, if one of the devices is a GPU.
#[cfg(any(feature = "wgpu", feature = "cuda"))]
pub(super) fn of_sending(devices: &[&Device], data: &DataSize) -> u64 {
    match devices
        .iter()
        .any(|device| crate::kernel::cube::is_cube(device))
    {
        true => product([data.held, 1, SENT]),
        false => 0,
    }
}

/// There are no GPUs in this build.
#[cfg(not(any(feature = "wgpu", feature = "cuda")))]
pub(super) fn of_sending(_devices: &[&Device], _data: &DataSize) -> u64 {
    0
}

fn sum<const N: usize>(parts: [u64; N]) -> u64 {
    parts.into_iter().fold(0, u64::saturating_add)
}

fn product(factors: [usize; 3]) -> u64 {
    factors
        .iter()
        .fold(1, |product, &factor| product.saturating_mul(factor as u64))
}
