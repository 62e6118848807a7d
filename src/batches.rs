//! Minibatches: rows of preprocessed cells as dense tensors, their order, and noise.

use burn::config::Config;
use burn::tensor::{Device, Tensor};
use rand::seq::SliceRandom;

use crate::kernel::noise;
use crate::preprocess::Cells;
use crate::random::{Purpose, stream};

mod ahead;
mod rows;

pub(crate) use ahead::fold_ahead;
pub(crate) use rows::{BatchRows, DenseRows, ReconstructionRows};

/// What corrupts the network's input while training.
#[derive(Config, Debug, Copy, PartialEq)]
pub enum Corruption {
    /// Nothing.
    None,
    /// Gaussian noise of this standard deviation, added (scDCC: 2.5).
    Gaussian(f64),
    /// Inputs set to zero with this probability, the others scaled up (DESC: 0.2).
    Dropout(f64),
}

impl Corruption {
    /// Whether it leaves every input as it is.
    fn is_nothing(self) -> bool {
        matches!(self, Self::None | Self::Gaussian(0.0) | Self::Dropout(0.0))
    }

    /// Corrupts one row in place with the stream at (`seed`, `epoch`, `row`).
    ///
    /// Equal on every machine; a shorter row gets the beginning of the same noise.
    pub fn apply(self, values: &mut [f32], seed: u64, epoch: u64, row: u64) {
        if self.is_nothing() {
            return;
        }
        match self {
            Self::None => {}
            Self::Gaussian(deviation) => {
                let mut rng = stream(seed, Purpose::Noise, epoch, row);
                noise::add_gaussian(values, deviation as f32, &mut rng);
            }
            Self::Dropout(rate) => {
                let mut rng = stream(seed, Purpose::Dropout, epoch, row);
                noise::drop_out(values, rate, &mut rng);
            }
        }
    }
}

/// What a reconstruction is compared with: which tensors of a [`Batch`] a loss reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ReconstructionTarget {
    /// The clean network input.
    Input,
    /// The raw counts.
    Counts,
    /// Both.
    Both,
}

impl ReconstructionTarget {
    /// What is read by this, the other, or both.
    ///
    /// ```
    /// use celldec::batches::ReconstructionTarget::{Both, Counts, Input};
    ///
    /// assert_eq!((Counts.and(Counts), Counts.and(Input)), (Counts, Both));
    /// ```
    pub fn and(self, other: Self) -> Self {
        if self == other { self } else { Self::Both }
    }

    /// Whether the clean network input is read.
    fn input(self) -> bool {
        self != Self::Counts
    }

    /// Whether the raw counts are read.
    fn counts(self) -> bool {
        self != Self::Input
    }
}

/// A batch of cells as tensors.
///
/// While training, the tensor that a loss does not name as its
/// [`target`](crate::loss::ReconstructionLoss::target) is a single NaN.
#[derive(Debug, Clone)]
pub struct Batch {
    /// Positions of the cells in [`Cells`].
    pub cells: Vec<usize>,
    /// Clean network input (scaled expression) `[cells, genes]`.
    pub input: Tensor<2>,
    /// Raw counts `[cells, genes]`.
    pub counts: Tensor<2>,
    /// Size factors `[cells]`.
    pub size_factors: Tensor<1>,
}

/// Turns rows of [`Cells`] into tensors on a device.
#[derive(Debug, Clone)]
pub struct Batches<'a> {
    cells: &'a Cells,
    device: Device,
}

impl<'a> Batches<'a> {
    /// Batches of `cells` on `device`.
    pub fn new(cells: &'a Cells, device: &Device) -> Self {
        Self {
            cells,
            device: device.clone(),
        }
    }

    /// The same batches outside automatic differentiation.
    pub fn without_autodiff(&self) -> Self {
        Self {
            cells: self.cells,
            device: self.device.clone().inner(),
        }
    }

    /// The cells.
    pub fn cells(&self) -> &'a Cells {
        self.cells
    }

    /// The batch of the given rows.
    pub fn batch(&self, rows: &[usize]) -> Batch {
        self.read(rows, ReconstructionTarget::Both)
            .into_batch(&self.device)
    }

    /// The clean network input of the given rows `[rows, genes]`.
    pub fn input(&self, rows: &[usize]) -> Tensor<2> {
        self.read_input(rows).into_tensor(&self.device)
    }

    /// The corrupted network input of the given rows `[rows, genes]`.
    ///
    /// The noise of a cell depends on (`seed`, `epoch`, cell) alone, not on the batch it is in.
    pub fn corrupted_input(
        &self,
        rows: &[usize],
        corruption: Corruption,
        seed: u64,
        epoch: u64,
    ) -> Tensor<2> {
        let noise = Noise {
            corruption,
            seed,
            epoch,
        };
        self.read_corrupted(rows, noise).into_tensor(&self.device)
    }

    /// Those tensors of a batch that `target` names, still in memory.
    fn read(&self, rows: &[usize], target: ReconstructionTarget) -> BatchRows {
        BatchRows {
            cells: rows.to_vec(),
            input: target.input().then(|| self.read_input(rows)),
            counts: target.counts().then(|| {
                DenseRows::new(rows, self.cells.genes(), |row, values| {
                    self.cells.fill_counts(row, values);
                })
            }),
            size_factors: rows
                .iter()
                .map(|&row| self.cells.size_factors()[row])
                .collect(),
        }
    }

    /// The clean network input, still in memory.
    pub(crate) fn read_input(&self, rows: &[usize]) -> DenseRows {
        DenseRows::new(rows, self.cells.genes(), |row, values| {
            self.cells.fill_input(row, values);
        })
    }

    fn read_corrupted(&self, rows: &[usize], noise: Noise) -> DenseRows {
        DenseRows::new(rows, self.cells.genes(), |row, values| {
            self.cells.fill_input(row, values);
            noise.apply(row, values);
        })
    }

    /// What a reconstruction reads, still in memory: the batch and its corrupted input.
    pub(crate) fn read_reconstruction(
        &self,
        rows: &[usize],
        target: ReconstructionTarget,
        noise: Noise,
    ) -> ReconstructionRows {
        let same = noise.corruption.is_nothing() && target.input();
        ReconstructionRows {
            batch: self.read(rows, target),
            corrupted: (!same).then(|| self.read_corrupted(rows, noise)),
        }
    }

    /// The device of the tensors.
    pub(crate) fn device(&self) -> &Device {
        &self.device
    }
}

/// A corruption with the address of its random streams, but for the row.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Noise {
    pub corruption: Corruption,
    pub seed: u64,
    pub epoch: u64,
}

impl Noise {
    /// Corrupts a row in place.
    pub(crate) fn apply(self, row: usize, values: &mut [f32]) {
        self.corruption
            .apply(values, self.seed, self.epoch, row as u64);
    }
}

/// The order in which an epoch visits `count` rows: shuffled, or as they are.
pub fn epoch_order(count: usize, shuffle: bool, seed: u64, epoch: u64) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    if shuffle {
        order.shuffle(&mut stream(seed, Purpose::Shuffle, epoch, 0));
    }
    order
}

/// Cuts an order into batches; a last batch of a single row joins the one before.
pub fn split(order: &[usize], batch_size: usize) -> Vec<&[usize]> {
    let mut batches: Vec<&[usize]> = order.chunks(batch_size.max(1)).collect();
    if batch_size > 1 && batches.len() > 1 && batches.last().is_some_and(|last| last.len() == 1) {
        batches.pop();
        let start = (batches.len() - 1) * batch_size;
        batches.pop();
        batches.push(&order[start..]);
    }
    batches
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::counts::SimulationConfig;
    use crate::preprocess::Preprocess;

    #[test]
    fn a_single_last_row_joins_the_batch_before() {
        let order: Vec<usize> = (0..9).collect();
        let sizes: Vec<usize> = split(&order, 4).iter().map(|b| b.len()).collect();
        assert_eq!(sizes, [4, 5]);
        let sizes: Vec<usize> = split(&order[..1], 4).iter().map(|b| b.len()).collect();
        assert_eq!(sizes, [1]);
    }

    #[test]
    fn a_batch_larger_than_the_data_is_clamped() {
        let order: Vec<usize> = (0..3).collect();
        assert_eq!(split(&order, 100), vec![&order[..]]);
    }

    proptest! {
        #[test]
        fn batches_cover_every_row_once(count in 1usize..500, size in 1usize..64, seed: u64) {
            let order = epoch_order(count, true, seed, 3);
            let mut seen: Vec<usize> = split(&order, size).concat();
            seen.sort_unstable();
            prop_assert_eq!(seen, (0..count).collect::<Vec<_>>());
        }

        #[test]
        fn dropout_keeps_the_mean(rate in 0.0f64..0.8, seed: u64) {
            let mut values = vec![1f32; 20_000];
            Corruption::Dropout(rate).apply(&mut values, seed, 0, 0);
            let mean: f32 = values.iter().sum::<f32>() / values.len() as f32;
            let standard_error = (rate / (1.0 - rate) / values.len() as f64).sqrt() as f32;
            prop_assert!((mean - 1.0).abs() <= 6.0 * standard_error + 1e-4);
        }
    }

    #[test]
    fn the_noise_of_a_cell_depends_on_seed_epoch_and_cell_alone() {
        let simulation = SimulationConfig::new(30, 100).simulate().expect("counts");
        let cells = Preprocess::scdcc().fit(&simulation.counts).expect("cells");
        let batches = Batches::new(&cells, &Device::default());
        for corruption in [Corruption::Gaussian(2.5), Corruption::Dropout(0.2)] {
            let noisy = |rows: &[usize], seed, epoch| {
                let input = batches.corrupted_input(rows, corruption, seed, epoch);
                input
                    .into_data_as::<f32>()
                    .try_to_vec::<f32>()
                    .expect("f32")
            };
            let (batch, genes) = (noisy(&[3, 9, 4], 1, 2), cells.genes());
            assert_eq!(batch[genes..2 * genes], noisy(&[9], 1, 2));
            assert_ne!(noisy(&[9], 1, 2), noisy(&[9], 2, 2));
            assert_ne!(noisy(&[9], 1, 2), noisy(&[9], 1, 3));
            let noise = |row| {
                let mut values = vec![1.0; genes];
                corruption.apply(&mut values, 1, 2, row);
                values
            };
            assert_ne!(noise(9), noise(4));
        }
    }

    #[test]
    fn noise_has_the_deviation_asked_for() {
        let mut values = vec![0f32; 50_000];
        Corruption::Gaussian(2.5).apply(&mut values, 1, 0, 0);
        let mean: f64 = values.iter().map(|&v| f64::from(v)).sum::<f64>() / 50_000.0;
        let variance: f64 = values
            .iter()
            .map(|&v| (f64::from(v) - mean).powi(2))
            .sum::<f64>()
            / 50_000.0;
        assert!(mean.abs() < 0.05, "{mean}");
        assert!((variance.sqrt() - 2.5).abs() < 0.04, "{variance}");
    }
}
