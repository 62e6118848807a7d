//! Layer-wise pretraining: every layer with its mirror as a small denoising autoencoder.

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use ndarray::Array2;

use super::config::PretrainConfig;
use super::prepare::check_encoder;
use super::stages::{Stages, run_stages};
use crate::batches::{Batches, Corruption, DenseRows, Noise, ReconstructionRows};
use crate::description::Description;
use crate::error::{ParameterError, Result};
use crate::kernel::squared_error;
use crate::loss::{ReconstructionLoss, Term};
use crate::model::Phase;
use crate::nn::{Autoencoder, Dense, NetworkInput, ReconstructionHead};
use crate::tensors::RowsOnDevice;
use crate::train::epoch::EpochAddress;
use crate::train::failure::Failure;
use crate::train::run::TrainingRun;

/// The encoder's first layer with the head that mirrors it.
#[derive(Module, Debug)]
struct OuterPair<H: Module> {
    encode: Dense,
    head: H,
}

/// A layer of the encoder with the layer of the decoder that mirrors it.
#[derive(Module, Debug)]
struct InnerPair {
    encode: Dense,
    decode: Dense,
}

/// Pretrains the layers of a symmetric autoencoder one by one, input first (DESC's stacked
/// denoising autoencoder).
///
/// Layer i reads the clean output of layer i − 1, corrupted by `config.corruption`; with dropout
/// its hidden layer is corrupted too. The first layer is trained with the head on its
/// reconstruction loss, the others with the decoder's mirror on the mean squared error.
///
/// # Errors
/// [`ParameterError::Conflict`] when the decoder does not mirror the encoder,
/// [`Error::LengthMismatch`] when the autoencoder has another number of genes than the cells,
/// and otherwise as [`pretrain`](super::pretrain()). The last good state is the autoencoder with the
/// layers as their last completed epoch left them.
///
/// [`Error::LengthMismatch`]: crate::Error::LengthMismatch
pub fn pretrain_layers<H: ReconstructionHead>(
    mut autoencoder: Autoencoder<H>,
    loss: &dyn ReconstructionLoss<Head = H>,
    batches: &Batches<'_>,
    config: &PretrainConfig,
    run: &mut TrainingRun<'_>,
) -> Result<Autoencoder<H>, Failure<Autoencoder<H>>> {
    check_symmetric(&autoencoder)?;
    check_encoder(&autoencoder.encoder, batches.cells())?;
    let (seed, target) = (run.seed(), loss.target());
    let count = batches.cells().cells();
    let layers = autoencoder.encoder.layers.len();
    let hidden_dropout = HiddenDropout {
        first_address: count,
    };

    let pair = OuterPair {
        encode: autoencoder.encoder.layers[0].clone(),
        head: autoencoder.head.clone(),
    };
    let phase = Phase::LayerwisePretraining { layer: 0 };
    let width = pair.encode.outputs();
    let stages = |phase, reads_cells, loss| Stages {
        phase,
        config,
        batches,
        reads_cells,
        loss,
    };
    let read = |batches: &Batches<'_>, rows: &[usize], at: EpochAddress<'_>, corruption| {
        let noise = at.noise(corruption, seed);
        let batch = batches.read_reconstruction(rows, target, noise, false)?;
        Ok((batch, hidden_dropout.masks(rows, width, noise)))
    };
    let forward = |pair: &OuterPair<H>,
                   (rows, masks): (ReconstructionRows, Option<DenseRows>),
                   device: &Device| {
        let inputs = rows.into_inputs(device);
        let hidden = masked(pair.encode.forward_input(&inputs.corrupted), masks);
        let output = pair.head.forward(hidden);
        loss.terms(&output, &inputs.batch)
    };
    let pair = run_stages(
        stages(phase, true, loss.description()),
        pair,
        run,
        read,
        forward,
    )
    .map_err(|failure| {
        failure.map(|pair| {
            let mut autoencoder = autoencoder.clone();
            autoencoder.encoder.layers[0] = pair.encode;
            autoencoder.head = pair.head;
            autoencoder
        })
    })?;
    let plain = batches.without_autodiff();
    let mut features = None;
    if layers > 1 {
        let mut outputs = Outputs::new(&pair.encode, count);
        plain.for_each_block(BLOCK, |block, batches| {
            outputs.add(block, &batches.network_input(block)?)
        })?;
        features = Some(outputs.values.read()?);
    }
    autoencoder.encoder.layers[0] = pair.encode;
    autoencoder.head = pair.head;

    for layer in 1..layers {
        let Some(inputs) = features.take() else { break };
        let mirror = layers - 1 - layer;
        let pair = InnerPair {
            encode: autoencoder.encoder.layers[layer].clone(),
            decode: autoencoder.decoder.layers[mirror].clone(),
        };
        let phase = Phase::LayerwisePretraining { layer };
        let width = pair.encode.outputs();
        let clean = |rows: &[usize]| feature_rows(&inputs, rows, |_, _| {});
        let read = |batches: &Batches<'_>, rows: &[usize], at: EpochAddress<'_>, corruption| {
            let noise = at.noise(corruption, seed);
            let corrupt = |row, values: &mut [f32]| noise.apply(row, values);
            Ok(InnerRows {
                corrupted: feature_rows(&inputs, rows, corrupt),
                clean: clean(rows),
                masks: hidden_dropout.masks(rows, width, noise),
                weights: batches.cells().weights_of(rows),
            })
        };
        let pair = run_stages(
            stages(phase, false, Description::new("mse")),
            pair,
            run,
            read,
            inner_terms,
        )
        .map_err(|failure| {
            failure.map(|pair| {
                let mut autoencoder = autoencoder.clone();
                autoencoder.encoder.layers[layer] = pair.encode;
                autoencoder.decoder.layers[mirror] = pair.decode;
                autoencoder
            })
        })?;
        if layer + 1 < layers {
            let device = plain.device();
            let mut outputs = Outputs::new(&pair.encode, count);
            let rows: Vec<usize> = (0..count).collect();
            for block in rows.chunks(BLOCK) {
                outputs.add(block, &clean(block).into_tensor(device).into())?;
            }
            features = Some(outputs.values.read()?);
        }
        autoencoder.encoder.layers[layer] = pair.encode;
        autoencoder.decoder.layers[mirror] = pair.decode;
    }
    Ok(autoencoder)
}

/// What a step of an inner pair reads: outputs of the layer before it.
struct InnerRows {
    corrupted: DenseRows,
    clean: DenseRows,
    masks: Option<DenseRows>,
    weights: Option<Vec<f32>>,
}

/// The mean squared error of an inner pair's reconstruction.
fn inner_terms(pair: &InnerPair, rows: InnerRows, device: &Device) -> Vec<Term> {
    let input = rows.corrupted.into_tensor(device);
    let hidden = masked(pair.encode.forward(input), rows.masks);
    let decoded = pair.decode.forward(hidden);
    let clean = rows.clean.into_tensor(device);
    let error = match rows.weights {
        None => squared_error::mean(decoded, clean),
        Some(weights) => {
            let errors = (decoded - clean).square().mean_dim(1);
            let weights = TensorData::new(weights, [errors.dims()[0], 1]);
            (errors * Tensor::from_data(weights, device)).mean()
        }
    };
    vec![Term::new("mse", error)]
}

/// Dropout between the two layers of a pair.
struct HiddenDropout {
    /// Masks of hidden layers have addresses from here on, those of inputs lie below.
    first_address: usize,
}

impl HiddenDropout {
    /// Factors of the hidden values `[rows, width]`; none where the corruption is no dropout.
    fn masks(&self, rows: &[usize], width: usize, noise: Noise) -> Option<DenseRows> {
        let Corruption::Dropout(_) = noise.corruption else {
            return None;
        };
        Some(DenseRows::new(rows, width, |row, values| {
            values.fill(1.0);
            noise.apply(self.first_address + row, values);
        }))
    }
}

fn masked(hidden: Tensor<2>, masks: Option<DenseRows>) -> Tensor<2> {
    match masks {
        Some(masks) => {
            let masks = masks.into_tensor(&hidden.device());
            hidden * masks
        }
        None => hidden,
    }
}

fn feature_rows(
    features: &Array2<f32>,
    rows: &[usize],
    corrupt: impl Fn(usize, &mut [f32]) + Sync,
) -> DenseRows {
    DenseRows::new(rows, features.ncols(), |row, values| {
        for (value, &feature) in values.iter_mut().zip(features.row(row)) {
            *value = feature;
        }
        corrupt(row, values);
    })
}

/// Cells whose outputs are computed at once.
const BLOCK: usize = 1024;

/// The output of a layer for all cells, in blocks.
struct Outputs {
    layer: Dense,
    values: RowsOnDevice,
}

impl Outputs {
    fn new(layer: &Dense, cells: usize) -> Self {
        Self {
            layer: layer.valid(),
            values: RowsOnDevice::new(cells, layer.outputs()),
        }
    }

    fn add(&mut self, block: &[usize], input: &NetworkInput) -> Result<()> {
        let rows = block[0]..block[0] + block.len();
        self.values.add(rows, self.layer.forward_input(input))
    }
}

fn check_symmetric<H: ReconstructionHead>(
    autoencoder: &Autoencoder<H>,
) -> Result<(), ParameterError> {
    let encoder = &autoencoder.encoder.layers;
    let decoder = &autoencoder.decoder.layers;
    let mirrors = encoder.len() == decoder.len() + 1
        && encoder
            .iter()
            .skip(1)
            .rev()
            .zip(decoder)
            .all(|(e, d)| e.inputs() == d.outputs() && e.outputs() == d.inputs());
    if mirrors {
        Ok(())
    } else {
        Err(ParameterError::Conflict {
            reason: "layer-wise pretraining needs a decoder that mirrors the encoder; use \
                     AutoencoderConfig::symmetric, or switch layer-wise pretraining off"
                .into(),
        })
    }
}
