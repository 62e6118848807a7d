//! What both trainers do between and around the phases.

use std::time::Instant;

use burn::module::Module;
use burn::tensor::Device;
use serde::Serialize;

use super::checkpoint::{Snapshot, Step};
use super::observer::Event;
use super::run::TrainingRun;
use crate::batches::Batches;
use crate::error::{Error, ParameterError, Result};
use crate::model::{ModelInfo, evaluate};
use crate::nn::Encoder;
use crate::preprocess::{Cells, PrincipalComponents};
use crate::start::{CentroidStart, FEWEST_KNOWN, InitialCentroids, initial_centroids};

/// A module's weights on `device` with automatic differentiation, wherever they were.
pub(super) fn for_training<M: Module>(module: M, device: &Device) -> M {
    let tracked = module.devices().iter().any(Device::is_autodiff);
    let module = if tracked { module.valid() } else { module };
    module.to_device(&device.clone().inner()).train()
}

/// Lets the system's allocator keep the memory of one training step for the next.
///
/// glibc gives blocks above a threshold back to the system as soon as they are freed, so every
/// step would fault its tensors in anew (a seventh of the time of a scDCC fit). The threshold follows
/// the largest such block freed so far, up to 32 MiB: one block of nearly that size, never
/// touched, raises it. Other allocators do not notice.
pub(super) fn keep_freed_memory() {
    const BLOCK: usize = (32 << 20) - (64 << 10);
    drop(std::hint::black_box(Vec::<u8>::with_capacity(BLOCK)));
}

/// Centroids from the clean embedding of all cells, moved to groups of cells whose cluster is known,
/// or from the run's checkpoint.
pub(super) fn initial_clusters(
    encoder: &Encoder,
    batches: &Batches<'_>,
    start: &CentroidStart,
    known_groups: &[Vec<usize>],
    run: &mut TrainingRun<'_>,
) -> Result<InitialCentroids> {
    let cells = batches.cells();
    let step = Step {
        name: "the search for initial centroids".to_string(),
        cells,
        settings: StartSettings {
            start,
            known_groups: known_groups
                .iter()
                .filter(|group| group.len() >= FEWEST_KNOWN)
                .collect(),
        },
    };
    if let Some(saved) = run.resume::<Option<f64>>(&step, encoder)? {
        let latent = encoder.layers.last().map_or(0, |layer| layer.outputs());
        let centroids = saved.matrix(CENTROIDS, [None, Some(latent)])?;
        let labels = saved.indices(LABELS, cells.cells(), centroids.nrows())?;
        let resolution = *saved.progress();
        return Ok(InitialCentroids {
            centroids,
            labels,
            resolution,
        });
    }
    let begin = Instant::now();
    let embedding = evaluate(&encoder.valid(), None, &batches.without_autodiff())?.embedding;
    let initial = initial_centroids(embedding.view(), start, run.seed())?
        .moved_to(embedding.view(), known_groups);
    run.event(&Event::CentroidsFound {
        clusters: initial.centroids.nrows(),
        labels: &initial.labels,
        seconds: begin.elapsed().as_secs_f64(),
    });
    run.finish_step(false, || {
        Ok(Snapshot::new(&initial.resolution)?
            .with_matrix(CENTROIDS, initial.centroids.view())
            .with_indices(LABELS, &initial.labels))
    });
    Ok(initial)
}

/// What initial centroids depend on, for checkpoints.
#[derive(Serialize)]
struct StartSettings<'a> {
    start: &'a CentroidStart,
    /// Those that are large enough to be used.
    known_groups: Vec<&'a Vec<usize>>,
}

/// Names in checkpoints.
const CENTROIDS: &str = "centroids";
const LABELS: &str = "labels";

/// Starts an encoder's linear skip at the principal components of the input.
pub(super) fn start_at_components(encoder: Encoder, cells: &Cells, seed: u64) -> Result<Encoder> {
    let latent = encoder.layers.last().map_or(0, |layer| layer.outputs());
    let count = latent.min(cells.genes().min(cells.cells()).saturating_sub(1));
    if count == 0 {
        return Ok(encoder);
    }
    let components = PrincipalComponents::fit(cells, count, seed)?;
    Ok(encoder.start_at_projection(components.mean(), components.loadings()))
}

/// Where a model comes from, for its file.
pub(super) fn model_info(
    method: &str,
    seed: u64,
    settings: &impl Serialize,
    cells: &Cells,
) -> Result<ModelInfo> {
    Ok(ModelInfo {
        method: method.to_string(),
        seed,
        version: env!("CARGO_PKG_VERSION").to_string(),
        data_fingerprint: cells.fingerprint()?,
        // Settings are plain numbers, strings and lists, all of which JSON can hold.
        settings: serde_json::to_value(settings).unwrap_or_default(),
    })
}

/// Makes a trainer's settings part of what the run's checkpoint is compared by.
pub(super) fn describe(
    method: &'static str,
    config: &impl Serialize,
    head: &impl Serialize,
    run: &mut TrainingRun<'_>,
) -> Result<()> {
    #[derive(Serialize)]
    struct Trainer<'a, C, H> {
        method: &'static str,
        #[serde(flatten)]
        config: &'a C,
        head: &'a H,
    }
    run.describe(&Trainer {
        method,
        config,
        head,
    })
}

/// Refuses an encoder that cannot read the cells: one that was made for other data, or by hand
/// from layers that do not fit together.
pub(super) fn check_encoder(encoder: &Encoder, cells: &Cells) -> Result<()> {
    let mut width = cells.genes();
    for (number, layer) in encoder.layers.iter().enumerate() {
        if layer.inputs() != width {
            return Err(Error::LengthMismatch {
                what: format!("the input of layer {number} of the encoder"),
                expected: width,
                found: layer.inputs(),
            });
        }
        width = layer.outputs();
    }
    if encoder.layers.is_empty() {
        return Err(ParameterError::LayerWidths {
            name: "the widths of the encoder",
            value: Vec::new(),
        }
        .into());
    }
    Ok(())
}

pub(super) fn check_widths(name: &'static str, value: &[usize]) -> Result<(), ParameterError> {
    if value.is_empty() || value.contains(&0) {
        Err(ParameterError::LayerWidths {
            name,
            value: value.to_vec(),
        })
    } else {
        Ok(())
    }
}

pub(super) fn check_weight(name: &'static str, value: f64) -> Result<(), ParameterError> {
    if value >= 0.0 && value.is_finite() {
        Ok(())
    } else {
        Err(ParameterError::OutOfRange {
            name,
            requirement: "at least 0 and finite",
            value,
        })
    }
}
