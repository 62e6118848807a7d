//! Minibatches: rows of preprocessed cells as dense tensors, their order, and noise.

use std::sync::Arc;

use crate::error::Result;
use crate::kernel::computes_on;
use crate::kernel::noise;
use crate::nn::NetworkInput;
use crate::preprocess::{CellRows, Cells, LoadedRows};
use crate::random::{Purpose, stream};
use burn::config::Config;
use burn::tensor::{Device, Tensor};

mod ahead;
#[cfg(any(feature = "wgpu", feature = "cuda"))]
mod device;
mod loading;
mod order;
mod rows;

pub(crate) use ahead::{Workers, fold_ahead};
pub(crate) use order::EpochPlan;
pub use order::epoch_order;
pub(crate) use rows::{BatchRows, CleanRows, DenseRows, JointInputs, ReconstructionRows};
use rows::{CleanExpression, ExpressionRows};

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
    /// Weights of the cells `[cells]`, if they have [some](Cells::with_weights).
    pub weights: Option<Tensor<1>>,
    /// Encoded covariates `[cells, columns]`, if the cells have [some](Cells::with_covariates).
    pub covariates: Option<Tensor<2>>,
}

impl Batch {
    /// The logarithm of the size factors `[cells, 1]`: what a count loss adds to log-means.
    pub fn log_size_factors(&self) -> Tensor<2> {
        self.size_factors.clone().log().unsqueeze_dim(1)
    }
}

/// The largest share of counts that are not zero at which clean input is sparse.
///
/// In the benchmark `sparse` a layer of 32 outputs takes as long with one form as with the other
/// at this share, a layer of 256 outputs at nearly twice of it.
pub const SPARSE_UP_TO: f64 = 0.2;

/// Turns rows of [`Cells`] into tensors on a device.
#[derive(Debug, Clone)]
pub struct Batches<'a> {
    cells: &'a Cells,
    device: Device,
    /// Whether a first layer reads clean input faster when it is sparse.
    sparse: bool,
    /// Counts of some cells that are read from a source.
    loaded: Option<Arc<LoadedRows>>,
    /// From where the device writes dense rows itself, if it does.
    #[cfg(any(feature = "wgpu", feature = "cuda"))]
    on_device: Option<device::Counts>,
    /// Batches on the devices that share the steps of training with the first one.
    others: Vec<Self>,
}

impl<'a> Batches<'a> {
    /// Batches of `cells` on `device`.
    pub fn new(cells: &'a Cells, device: &Device) -> Self {
        let all = cells.cells() as f64 * cells.genes() as f64;
        let few = cells.stored() as f64 <= SPARSE_UP_TO * all;
        Self {
            cells,
            device: device.clone(),
            sparse: few && computes_on(device),
            loaded: None,
            #[cfg(any(feature = "wgpu", feature = "cuda"))]
            on_device: device::Counts::of(cells, device),
            others: Vec::new(),
        }
    }

    /// Lets further devices share the steps of [`pretrain`](crate::train::pretrain()),
    /// [`pretrain_layers`](crate::train::pretrain_layers) and
    /// [`SelfTraining`](crate::train::SelfTraining), as
    /// [`Plan::trainer_on`](crate::train::Plan::trainer_on) does. All else that these batches are
    /// asked for is on the first device.
    pub fn shared_with(mut self, devices: &[Device]) -> Self {
        for device in devices {
            let batches = Self::new(self.cells, device);
            // What was sent to a device once serves all shares that it computes.
            #[cfg(any(feature = "wgpu", feature = "cuda"))]
            let batches = {
                let mut there = std::iter::once(&self).chain(&self.others);
                let same = there.find(|other| other.device == *device);
                let sent = same.and_then(|other| other.on_device.clone());
                Self {
                    on_device: sent.or(batches.on_device),
                    ..batches
                }
            };
            self.others.push(batches);
        }
        self
    }

    /// The same batches outside automatic differentiation, on the first device.
    pub fn without_autodiff(&self) -> Self {
        Self {
            device: self.device.clone().inner(),
            ..self.on_first_device()
        }
    }

    /// The same batches without the devices that share them.
    pub(crate) fn on_first_device(&self) -> Self {
        Self {
            others: Vec::new(),
            ..self.clone()
        }
    }

    /// The same batches on each of their devices, the first one first.
    pub(crate) fn on_each_device(&self) -> Vec<Self> {
        let others = self.others.iter().map(|batches| Self {
            loaded: self.loaded.clone(),
            ..batches.clone()
        });
        std::iter::once(self.on_first_device())
            .chain(others)
            .collect()
    }

    /// The devices that share the steps of training with the first one.
    pub(crate) fn other_devices(&self) -> Vec<Device> {
        let devices = self.others.iter().map(Self::device);
        devices.cloned().collect()
    }

    /// The cells.
    pub fn cells(&self) -> &'a Cells {
        self.cells
    }

    /// The batch of the given rows.
    ///
    /// # Errors
    /// Those of the source, when counts are read from one; so it is with all that reads rows.
    pub fn batch(&self, rows: &[usize]) -> Result<Batch> {
        let read = self.read(&self.rows(rows)?, ReconstructionTarget::Both);
        Ok(read.into_batch(&self.device))
    }

    /// The clean network input of the given rows `[rows, genes]`.
    ///
    /// # Errors
    /// As [`batch`](Self::batch).
    pub fn input(&self, rows: &[usize]) -> Result<Tensor<2>> {
        let read = self.rows(rows)?.input();
        Ok(read.into_tensor(&self.device))
    }

    /// The clean network input of the given rows in the form in which a first layer reads it
    /// fastest: sparse on the backend `flex` where at most [`SPARSE_UP_TO`] of the counts are not
    /// zero, dense elsewhere.
    ///
    /// # Errors
    /// As [`batch`](Self::batch).
    pub fn network_input(&self, rows: &[usize]) -> Result<NetworkInput> {
        let read = self.clean(&self.rows(rows)?);
        Ok(read.into_input(&self.device))
    }

    /// The corrupted network input of the given rows `[rows, genes]`.
    ///
    /// The noise of a cell depends on (`seed`, `epoch`, cell) alone, not on the batch it is in.
    ///
    /// # Errors
    /// As [`batch`](Self::batch).
    pub fn corrupted_input(
        &self,
        rows: &[usize],
        corruption: Corruption,
        seed: u64,
        epoch: u64,
    ) -> Result<Tensor<2>> {
        let noise = Noise {
            corruption,
            seed,
            epoch,
        };
        let read = self.rows(rows)?.corrupted(noise);
        Ok(read.into_tensor(&self.device))
    }

    /// The rows with their counts in memory: those that are there, or read for the purpose.
    fn rows<'r>(&self, rows: &'r [usize]) -> Result<Reader<'a, 'r>> {
        let cells = match &self.loaded {
            Some(loaded) if loaded.hold(rows) => self.cells.loaded_rows(Arc::clone(loaded)),
            _ => self.cells.rows(rows)?,
        };
        Ok(Reader {
            #[cfg(any(feature = "wgpu", feature = "cuda"))]
            on_device: self
                .on_device
                .as_ref()
                .map(|counts| counts.of_batch(&cells, rows)),
            all: self.cells,
            cells,
            rows,
        })
    }

    /// Those tensors of a batch that `target` names, still in memory.
    fn read(&self, reader: &Reader<'_, '_>, target: ReconstructionTarget) -> BatchRows {
        let rows = reader.rows;
        BatchRows {
            cells: rows.to_vec(),
            input: target.input().then(|| reader.input()),
            counts: target.counts().then(|| reader.counts()),
            size_factors: rows
                .iter()
                .map(|&row| self.cells.size_factors()[row])
                .collect(),
            weights: self.cells.weights_of(rows),
            covariates: self.read_covariates(rows),
        }
    }

    fn read_covariates(&self, rows: &[usize]) -> Option<DenseRows> {
        let covariates = self.cells.covariates()?;
        Some(DenseRows::new(rows, covariates.ncols(), |row, values| {
            for (value, &covariate) in values.iter_mut().zip(covariates.row(row)) {
                *value = covariate;
            }
        }))
    }

    /// The clean network input of a training step in the faster form, still in memory.
    ///
    /// # Errors
    /// As [`batch`](Self::batch).
    pub(crate) fn read_clean(&self, rows: &[usize]) -> Result<CleanRows> {
        Ok(self.clean(&self.rows(rows)?).with_gradient())
    }

    fn clean(&self, reader: &Reader<'_, '_>) -> CleanRows {
        let expression = if self.sparse {
            CleanExpression::Sparse(reader.cells.sparse_input(reader.rows))
        } else {
            CleanExpression::Dense(reader.input())
        };
        CleanRows {
            expression,
            covariates: self.read_covariates(reader.rows),
        }
    }

    /// What a reconstruction reads, still in memory: the batch, its corrupted input and, if asked
    /// for, the clean one for the network.
    ///
    /// # Errors
    /// As [`batch`](Self::batch).
    pub(crate) fn read_reconstruction(
        &self,
        rows: &[usize],
        target: ReconstructionTarget,
        noise: Noise,
        clean: bool,
    ) -> Result<ReconstructionRows> {
        let reader = &self.rows(rows)?;
        let corrupts = !noise.corruption.is_nothing();
        // Dense clean input that the loss reads too is read once.
        let apart = self.sparse || !target.input();
        Ok(ReconstructionRows {
            batch: self.read(reader, target),
            clean: ((clean || !corrupts) && apart).then(|| self.clean(reader).with_gradient()),
            corrupted: corrupts.then(|| reader.corrupted(noise)),
        })
    }

    /// Says in which order training visits cells that are not in memory.
    pub(crate) fn log_order(&self) {
        if let Some(reading) = self.cells.reading() {
            tracing::info!(
                cells_per_block = reading.block,
                blocks_per_buffer = reading.blocks,
                "counts are read from their source: every epoch shuffles blocks, and cells within \
                 a buffer of blocks"
            );
        }
    }

    /// The device of the tensors, the first where there are several.
    pub(crate) fn device(&self) -> &Device {
        &self.device
    }
}

/// Writes dense rows of some cells, or has the device write them.
struct Reader<'a, 'r> {
    all: &'a Cells,
    cells: CellRows<'a>,
    rows: &'r [usize],
    #[cfg(any(feature = "wgpu", feature = "cuda"))]
    on_device: Option<Arc<device::DeviceBatch>>,
}

impl Reader<'_, '_> {
    /// Raw counts.
    fn counts(&self) -> ExpressionRows {
        #[cfg(any(feature = "wgpu", feature = "cuda"))]
        if let Some(batch) = &self.on_device {
            return ExpressionRows::Unwritten(device::UnwrittenRows::counts(batch));
        }
        let rows = DenseRows::new(self.rows, self.all.genes(), |row, values| {
            self.cells.set_counts(row, values);
        });
        ExpressionRows::Written(rows)
    }

    /// Clean network input.
    fn input(&self) -> ExpressionRows {
        #[cfg(any(feature = "wgpu", feature = "cuda"))]
        if let Some(batch) = &self.on_device {
            return ExpressionRows::Unwritten(device::UnwrittenRows::input(batch));
        }
        ExpressionRows::Written(self.altered(|_, _| ()))
    }

    /// Corrupted network input.
    fn corrupted(&self, noise: Noise) -> ExpressionRows {
        #[cfg(any(feature = "wgpu", feature = "cuda"))]
        if let Some(batch) = &self.on_device {
            return ExpressionRows::Unwritten(device::UnwrittenRows::corrupted(batch, noise));
        }
        ExpressionRows::Written(self.altered(|row, values| noise.apply(row, values)))
    }

    /// Network input, altered by `alter(row, values)`.
    fn altered(&self, alter: impl Fn(usize, &mut [f32]) + Sync) -> DenseRows {
        DenseRows::altered(
            self.rows,
            self.all.genes(),
            |row| self.all.input_at_zeros(row),
            |row, values| {
                self.cells.set_input_at_counts(row, values);
                alter(row, values);
            },
        )
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
mod tests;
