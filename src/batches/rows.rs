//! Batches in memory, on their way to a device.

use burn::tensor::{Device, Tensor, TensorData};
use rayon::prelude::*;

use super::Batch;

/// Dense rows in memory.
///
/// Not a tensor yet, so that any thread of the pool can make them: a backward pass holds a lock of
/// its graph while it shares its work with the pool, and GPU backends order their work by thread.
#[derive(Debug)]
pub(crate) struct DenseRows {
    values: Vec<f32>,
    shape: [usize; 2],
}

impl DenseRows {
    /// Rows of `width` values, written in parallel by `fill(row, values)`.
    pub(crate) fn new(
        rows: &[usize],
        width: usize,
        fill: impl Fn(usize, &mut [f32]) + Sync,
    ) -> Self {
        let mut values = vec![0f32; rows.len() * width];
        values
            .par_chunks_mut(width.max(1))
            .zip(rows)
            .for_each(|(chunk, &row)| fill(row, chunk));
        Self {
            values,
            shape: [rows.len(), width],
        }
    }

    /// The tensor `[rows, width]`.
    pub(crate) fn into_tensor(self, device: &Device) -> Tensor<2> {
        Tensor::from_data(TensorData::new(self.values, self.shape), device)
    }
}

/// A [`Batch`] in memory, with what its reader needs.
#[derive(Debug)]
pub(crate) struct BatchRows {
    pub(super) cells: Vec<usize>,
    pub(super) input: Option<DenseRows>,
    pub(super) counts: Option<DenseRows>,
    pub(super) size_factors: Vec<f32>,
}

impl BatchRows {
    /// The batch on a device. In place of what was not read stands a single NaN: a loss that reads
    /// more than it says is NaN, and training ends with an error that names it.
    pub(crate) fn into_batch(self, device: &Device) -> Batch {
        let tensor = |rows: Option<DenseRows>| match rows {
            Some(rows) => rows.into_tensor(device),
            None => Tensor::from_data([[f32::NAN]], device),
        };
        let count = self.cells.len();
        Batch {
            cells: self.cells,
            input: tensor(self.input),
            counts: tensor(self.counts),
            size_factors: Tensor::from_data(TensorData::new(self.size_factors, [count]), device),
        }
    }
}

/// A batch in memory with the corrupted input from which it is to be reconstructed.
#[derive(Debug)]
pub(crate) struct ReconstructionRows {
    pub(super) batch: BatchRows,
    /// Absent where it equals the clean input of the batch.
    pub(super) corrupted: Option<DenseRows>,
}

impl ReconstructionRows {
    /// The corrupted input `[cells, genes]` and the batch, on a device.
    pub(crate) fn into_tensors(self, device: &Device) -> (Tensor<2>, Batch) {
        let batch = self.batch.into_batch(device);
        let corrupted = match self.corrupted {
            Some(rows) => rows.into_tensor(device),
            None => batch.input.clone(),
        };
        (corrupted, batch)
    }
}
