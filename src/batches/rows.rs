//! Batches in memory, on their way to a device.

use burn::tensor::{Device, Tensor, TensorData};

use super::Batch;
use crate::nn::{NetworkInput, SparseInput};
use crate::parallel::write_rows;

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
    /// Rows of `width` zeros, written in parallel by `fill(row, values)`.
    pub(crate) fn new(
        rows: &[usize],
        width: usize,
        fill: impl Fn(usize, &mut [f32]) + Sync,
    ) -> Self {
        let values = vec![0f32; rows.len() * width];
        Self {
            values,
            shape: [rows.len(), width],
        }
        .filled(rows, fill)
    }

    /// Copies of the rows `start(row)` of `width` values, altered in parallel by
    /// `alter(row, values)`.
    pub(crate) fn altered<'a>(
        rows: &[usize],
        width: usize,
        start: impl Fn(usize) -> &'a [f32],
        alter: impl Fn(usize, &mut [f32]) + Sync,
    ) -> Self {
        let mut values = Vec::with_capacity(rows.len() * width);
        for &row in rows {
            values.extend_from_slice(start(row));
        }
        Self {
            values,
            shape: [rows.len(), width],
        }
        .filled(rows, alter)
    }

    fn filled(mut self, rows: &[usize], fill: impl Fn(usize, &mut [f32]) + Sync) -> Self {
        write_rows(&mut self.values, self.shape[1].max(1), |place, values| {
            fill(rows[place], values);
        });
        self
    }

    /// The tensor `[rows, width]`.
    pub(crate) fn into_tensor(self, device: &Device) -> Tensor<2> {
        // Some devices would leave room between the rows of a matrix, and kernels copy it then.
        let values = TensorData::new(self.values, [self.shape[0] * self.shape[1]]);
        Tensor::<1>::from_data(values, device).reshape(self.shape)
    }
}

/// Dense rows of counts or network input on their way to a device.
#[derive(Debug)]
pub(crate) enum ExpressionRows {
    /// Written in memory.
    Written(DenseRows),
    /// To be written by the device.
    #[cfg(any(feature = "wgpu", feature = "cuda"))]
    Unwritten(super::device::UnwrittenRows),
}

impl ExpressionRows {
    /// The tensor `[rows, genes]`.
    pub(crate) fn into_tensor(self, device: &Device) -> Tensor<2> {
        match self {
            Self::Written(rows) => rows.into_tensor(device),
            #[cfg(any(feature = "wgpu", feature = "cuda"))]
            Self::Unwritten(rows) => rows.into_tensor(device),
        }
    }
}

/// A [`Batch`] in memory, with what its reader needs.
#[derive(Debug)]
pub(crate) struct BatchRows {
    pub(super) cells: Vec<usize>,
    pub(super) input: Option<ExpressionRows>,
    pub(super) counts: Option<ExpressionRows>,
    pub(super) size_factors: Vec<f32>,
    pub(super) weights: Option<Vec<f32>>,
    pub(super) covariates: Option<DenseRows>,
}

impl BatchRows {
    /// The batch on a device. In place of what was not read stands a single NaN: a loss that reads
    /// more than it says is NaN, and training ends with an error that names it.
    pub(crate) fn into_batch(self, device: &Device) -> Batch {
        let tensor = |rows: Option<ExpressionRows>| match rows {
            Some(rows) => rows.into_tensor(device),
            None => Tensor::from_data([[f32::NAN]], device),
        };
        let count = self.cells.len();
        let column = |values| Tensor::from_data(TensorData::new(values, [count]), device);
        Batch {
            cells: self.cells,
            input: tensor(self.input),
            counts: tensor(self.counts),
            size_factors: column(self.size_factors),
            weights: self.weights.map(column),
            covariates: self.covariates.map(|rows| rows.into_tensor(device)),
        }
    }
}

/// Clean network input in memory.
#[derive(Debug)]
pub(crate) struct CleanRows {
    pub(super) expression: CleanExpression,
    pub(super) covariates: Option<DenseRows>,
}

/// Clean scaled expression in memory.
#[derive(Debug)]
pub(crate) enum CleanExpression {
    Dense(ExpressionRows),
    Sparse(SparseInput),
}

impl CleanRows {
    /// The same rows with what a gradient needs of them: made here, while the batch before them
    /// trains.
    pub(super) fn with_gradient(self) -> Self {
        if let CleanExpression::Sparse(input) = &self.expression {
            input.prepare_gradient();
        }
        self
    }

    /// The input, if dense on a device.
    pub(crate) fn into_input(self, device: &Device) -> NetworkInput {
        let input: NetworkInput = match self.expression {
            CleanExpression::Dense(rows) => rows.into_tensor(device).into(),
            CleanExpression::Sparse(input) => input.into(),
        };
        input.with_covariates(self.covariates.map(|rows| rows.into_tensor(device)))
    }
}

/// A batch in memory with the inputs of the network from which it is to be reconstructed.
#[derive(Debug)]
pub(crate) struct ReconstructionRows {
    pub(super) batch: BatchRows,
    /// Absent where it is not read, or equals the input that the loss reads.
    pub(super) clean: Option<CleanRows>,
    /// Absent where it equals the clean input.
    pub(super) corrupted: Option<ExpressionRows>,
}

/// A batch with inputs of the network, on a device.
#[derive(Debug)]
pub(crate) struct ReconstructionInputs {
    pub(crate) batch: Batch,
    /// Clean input; a single NaN where it was not read.
    pub(crate) clean: NetworkInput,
    /// Corrupted input.
    pub(crate) corrupted: NetworkInput,
}

/// A batch with what a step of joint training embeds, on a device.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "it is taken apart at once")]
pub(crate) enum JointInputs {
    /// In two passes: on the CPU a first layer reads clean rows faster when they are sparse.
    Apart(ReconstructionInputs),
    /// In one pass, corrupted rows and after them the same ones clean: a GPU has less to launch.
    #[cfg(any(feature = "wgpu", feature = "cuda"))]
    Together { batch: Batch, input: Tensor<2> },
}

impl ReconstructionRows {
    /// Batch and inputs of joint training on a device.
    pub(crate) fn into_joint_inputs(self, device: &Device) -> JointInputs {
        match self {
            #[cfg(any(feature = "wgpu", feature = "cuda"))]
            Self {
                batch,
                clean:
                    Some(CleanRows {
                        expression: CleanExpression::Dense(ExpressionRows::Unwritten(_)),
                        covariates: None,
                    }),
                corrupted: Some(ExpressionRows::Unwritten(corrupted)),
            } => JointInputs::Together {
                batch: batch.into_batch(device),
                input: corrupted.into_corrupted_and_clean(device),
            },
            rows => JointInputs::Apart(rows.into_inputs(device)),
        }
    }

    /// Batch and inputs on a device.
    pub(crate) fn into_inputs(self, device: &Device) -> ReconstructionInputs {
        let batch = self.batch.into_batch(device);
        let clean = match self.clean {
            Some(rows) => rows.into_input(device),
            None => {
                NetworkInput::from(batch.input.clone()).with_covariates(batch.covariates.clone())
            }
        };
        let corrupted = match self.corrupted {
            Some(rows) => NetworkInput::from(rows.into_tensor(device))
                .with_covariates(batch.covariates.clone()),
            None => clean.clone(),
        };
        ReconstructionInputs {
            batch,
            clean,
            corrupted,
        }
    }
}
