//! The search for initial centroids, as a step of a run.

use std::time::Instant;

use burn::module::Module;
use serde::{Deserialize, Serialize};

use crate::batches::Batches;
use crate::error::Result;
use crate::model::evaluate;
use crate::nn::Encoder;
use crate::start::{
    CentroidStart, FEWEST_KNOWN, InitialCentroids, ResolutionCandidate, centroids_by,
};
use crate::train::checkpoint::{Snapshot, Step};
use crate::train::observer::Event;
use crate::train::run::TrainingRun;

/// Centroids from the clean embedding of all cells, moved to groups of cells whose cluster is known,
/// or from the run's checkpoint.
pub(in crate::train) fn initial_clusters(
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
    if let Some(saved) = run.resume::<Choice>(&step, encoder)? {
        let latent = encoder.latent();
        let centroids = saved.matrix(CENTROIDS, [None, Some(latent)])?;
        if centroids.nrows() < 2 {
            return Err(saved.unusable(format!("it has {} centroids", centroids.nrows())));
        }
        let labels = saved.indices(LABELS, cells.cells(), centroids.nrows())?;
        let Choice {
            resolution,
            candidates,
        } = saved.progress().clone();
        return Ok(InitialCentroids {
            centroids,
            labels,
            resolution,
            candidates,
        });
    }
    let begin = Instant::now();
    let embedding = evaluate(&encoder.valid(), None, &batches.without_autodiff())?.embedding;
    let search = run.neighbor_search(batches.device());
    let initial = centroids_by(embedding.view(), start, run.seed(), &search)?
        .moved_to(embedding.view(), known_groups);
    run.event(&Event::CentroidsFound {
        clusters: initial.centroids.nrows(),
        labels: &initial.labels,
        seconds: begin.elapsed().as_secs_f64(),
    });
    run.finish_step(false, || {
        let choice = Choice {
            resolution: initial.resolution,
            candidates: initial.candidates.clone(),
        };
        Ok(Snapshot::new(&choice)?
            .with_matrix(CENTROIDS, initial.centroids.view())
            .with_indices(LABELS, &initial.labels))
    });
    Ok(initial)
}

/// The resolution of a graph start and what it was chosen from, for checkpoints.
#[derive(Clone, Serialize, Deserialize)]
struct Choice {
    resolution: Option<f64>,
    candidates: Vec<ResolutionCandidate>,
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
