//! The steps of an epoch over cells, and what they share with those over pairs.

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use ndarray::Array2;

use super::SelfTraining;
use crate::batches::{
    Batch, Batches, CleanRows, Corruption, DenseRows, EpochPlan, JointInputs, Noise,
    ReconstructionRows,
};
use crate::error::Result;
#[cfg(any(feature = "wgpu", feature = "cuda"))]
use crate::kernel::cube::halves::halves;
use crate::loss::Term;
use crate::nn::{ClusteringNetwork, NetworkInput, ReconstructionHead};
use crate::train::epoch::{EpochAddress, MeanLosses, Steps};

impl<H: ReconstructionHead> SelfTraining<'_, H> {
    /// One epoch: steps over all cells, then over all pairs.
    pub(super) fn steps(
        &self,
        network: ClusteringNetwork<H>,
        target: &Array2<f32>,
        pass: &mut Pass<'_>,
    ) -> Result<ClusteringNetwork<H>> {
        let network = self.cell_steps(network, target, pass)?;
        match &self.constraints {
            Some(constraints) => self.pair_steps(network, constraints, pass),
            None => Ok(network),
        }
    }

    /// What a step reads of the given cells.
    pub(super) fn read(
        &self,
        batches: &Batches<'_>,
        rows: &[usize],
        noise: Noise,
    ) -> Result<StepRows> {
        Ok(match &self.reconstruction {
            Some(joint) => {
                let target = joint.loss.target();
                let rows = batches.read_reconstruction(rows, target, noise, true)?;
                StepRows::Joint(Box::new(rows))
            }
            None => StepRows::Clean(batches.read_clean(rows)?),
        })
    }

    /// The reconstruction terms of a batch.
    pub(super) fn reconstruction_terms(
        &self,
        network: &ClusteringNetwork<H>,
        corrupted: Option<Corrupted>,
    ) -> Vec<Term> {
        let joint = self
            .reconstruction
            .as_ref()
            .zip(network.reconstruction.as_ref());
        let Some(((joint, part), Corrupted { batch, input })) = joint.zip(corrupted) else {
            return Vec::new();
        };
        let latent = match input {
            CorruptedInput::Expression(input) => network.encode(input),
            #[cfg(any(feature = "wgpu", feature = "cuda"))]
            CorruptedInput::Embedded(latent) => latent,
        };
        let output = part.forward(latent, batch.covariates.as_ref());
        joint.loss.terms(&output, &batch)
    }

    fn cell_steps(
        &self,
        network: ClusteringNetwork<H>,
        target: &Array2<f32>,
        pass: &mut Pass<'_>,
    ) -> Result<ClusteringNetwork<H>> {
        let batches = &self.cell_batches(pass.batches, target);
        let noise = self.noise(pass, 0);
        let config = self.config;
        let (shuffle, size) = (config.shuffle, config.batch_size);
        let plan = EpochPlan::of_cells(batches.cells(), shuffle, size, pass.seed, noise.epoch);
        pass.steps(
            network,
            (batches, &plan),
            |batches, rows| {
                let read = self.read(batches, rows, noise)?;
                let weights = batches.cells().weights_of(rows);
                Ok((read, target_rows(target, rows), weights))
            },
            |network: &ClusteringNetwork<H>, (rows, p, weights): CellRows, device| {
                let (latent, corrupted) = rows.embedded(network, device);
                let q = network.assign(latent);
                let device = q.device();
                let p = p.into_tensor(&device);
                let weights = weights.map(|values| row_weights(values, &device));
                let mut terms = self.clustering.terms(q, p, weights.as_ref());
                terms.extend(self.reconstruction_terms(network, corrupted));
                terms
            },
        )
    }

    /// Batches for steps over cells: on the first device where the clustering loss of a batch does not
    /// follow from those of its shares, because it has no loss of every cell. It is asked for that of one
    /// cell at its target.
    fn cell_batches<'b>(&self, batches: &Batches<'b>, target: &Array2<f32>) -> Batches<'b> {
        if batches.other_devices().is_empty() {
            return batches.clone();
        }
        let device = batches.device().clone().inner();
        let row = target_rows(target, &[0]).into_tensor(&device);
        match self.clustering.forward_no_reduction(row.clone(), row) {
            Some(_) => batches.clone(),
            None => batches.on_first_device(),
        }
    }

    /// The noise of an epoch; `stream` sets kinds of steps apart.
    pub(super) fn noise(&self, pass: &Pass<'_>, stream: u64) -> Noise {
        let joint = self.reconstruction.as_ref();
        let corruption = joint.map_or(Corruption::None, |joint| joint.corruption);
        Noise {
            epoch: pass.at.stream() | stream,
            ..pass.at.noise(corruption, pass.seed)
        }
    }
}

/// What a step reads of its cells, their target, and their weights if they have any.
type CellRows = (StepRows, DenseRows, Option<Vec<f32>>);

/// What a step reads of its cells, in memory.
pub(super) enum StepRows {
    /// Clean input for q.
    Clean(CleanRows),
    /// Clean input, and what the reconstruction reads.
    Joint(Box<ReconstructionRows>),
}

/// What a batch is reconstructed from.
pub(super) struct Corrupted {
    batch: Batch,
    input: CorruptedInput,
}

#[allow(clippy::large_enum_variant, reason = "there is one, for a step")]
enum CorruptedInput {
    Expression(NetworkInput),
    /// Embedded together with clean rows.
    #[cfg(any(feature = "wgpu", feature = "cuda"))]
    Embedded(Tensor<2>),
}

impl StepRows {
    /// The embedding of clean rows and, in joint training, everything that a reconstruction reads, on a
    /// device.
    pub(super) fn embedded<H: ReconstructionHead>(
        self,
        network: &ClusteringNetwork<H>,
        device: &Device,
    ) -> (Tensor<2>, Option<Corrupted>) {
        let rows = match self {
            Self::Clean(rows) => return (network.encode(rows.into_input(device)), None),
            Self::Joint(rows) => rows,
        };
        let (latent, batch, input) = match rows.into_joint_inputs(device) {
            JointInputs::Apart(inputs) => (
                network.encode(inputs.clean),
                inputs.batch,
                CorruptedInput::Expression(inputs.corrupted),
            ),
            #[cfg(any(feature = "wgpu", feature = "cuda"))]
            JointInputs::Together { batch, input } => {
                let latent = network.encode(input);
                let [corrupted, clean] = halves(&latent);
                (clean, batch, CorruptedInput::Embedded(corrupted))
            }
        };
        (latent, Some(Corrupted { batch, input }))
    }
}

/// One epoch of self-training: what its steps over cells and over pairs share.
pub(super) struct Pass<'a> {
    pub batches: &'a Batches<'a>,
    /// Batches that hold the cells of all pairs.
    pub pairs: &'a Batches<'a>,
    pub steps: &'a mut Steps,
    pub at: EpochAddress<'a>,
    pub seed: u64,
    pub losses: MeanLosses,
}

impl Pass<'_> {
    /// One step for every batch of the plan (cells or pairs).
    pub(super) fn steps<M: Module, P: Send>(
        &mut self,
        model: M,
        batches: (&Batches<'_>, &EpochPlan),
        prepare: impl Fn(&Batches<'_>, &[usize]) -> Result<P> + Sync,
        forward: impl Fn(&M, P, &Device) -> Vec<Term> + Sync,
    ) -> Result<M> {
        self.steps
            .shared_epoch(model, batches, self.at, &mut self.losses, prepare, forward)
    }
}

/// The weights of a batch's cells `[rows]`.
fn row_weights(values: Vec<f32>, device: &Device) -> Tensor<1> {
    let count = values.len();
    Tensor::from_data(TensorData::new(values, [count]), device)
}

/// The target of the given cells.
fn target_rows(target: &Array2<f32>, rows: &[usize]) -> DenseRows {
    DenseRows::new(rows, target.ncols(), |row, values| {
        for (value, &p) in values.iter_mut().zip(target.row(row)) {
            *value = p;
        }
    })
}
