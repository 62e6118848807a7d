//! Single settings of a plan, changed by name.
//!
//! | names begin with | as in |
//! |---|---|
//! | `network`, `head`, `layerwise`, `pretraining`, `starts`, `similarity`, `self_training`, `decoder` | the fields of [`Plan`]; entries of lists by their position: `starts.0.Graph.neighbors=14` |
//! | `target.neighbors`, `target.average` | [`SmoothedTarget`]; 0 neighbours: not smoothed |
//! | `clustering.weight`, `clustering.offset` | [`KlDivergence`] |
//! | `pairs.start_at_groups`, `pairs.guided_target`, `pairs.pair_errors` | [`PairTraining`](celldec::train::PairTraining) |

use std::error::Error;

use celldec::graph::NeighborAverage;
use celldec::nn::{ReconstructionHead, SimilarityKernel};
use celldec::prelude::*;
use celldec::train::{DecoderTraining, NetworkConfig, PretrainConfig, SelfTrainConfig};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// How constraint pairs are used.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct PairSettings {
    pub start_at_groups: bool,
    pub guided_target: bool,
    pub pair_errors: f64,
}

impl Default for PairSettings {
    fn default() -> Self {
        Self {
            start_at_groups: true,
            guided_target: true,
            pair_errors: 0.05,
        }
    }
}

impl PairSettings {
    /// In the losses alone.
    pub fn published() -> Self {
        Self {
            start_at_groups: false,
            guided_target: false,
            ..Self::default()
        }
    }
}

#[derive(Serialize, Deserialize)]
struct TargetSettings {
    neighbors: usize,
    average: NeighborAverage,
}

#[derive(Serialize, Deserialize)]
struct ClusteringSettings {
    weight: f64,
    offset: f64,
}

/// What can be set, by the names of a plan's record.
#[derive(Serialize, Deserialize)]
struct Settings<C> {
    network: NetworkConfig,
    head: C,
    layerwise: Option<PretrainConfig>,
    pretraining: PretrainConfig,
    starts: Vec<CentroidStart>,
    similarity: SimilarityKernel,
    self_training: SelfTrainConfig,
    decoder: DecoderTraining,
    target: TargetSettings,
    clustering: ClusteringSettings,
    pairs: PairSettings,
}

/// A preset's plan and its use of pairs with single settings changed.
pub fn changed<H: ReconstructionHead>(
    mut plan: Plan<H>,
    pairs: PairSettings,
    settings: &[String],
) -> Result<(Plan<H>, PairSettings), Box<dyn Error>> {
    if settings.is_empty() {
        return Ok((plan, pairs));
    }
    // The presets' targets are sharpened ones, smoothed or not; their losses are divergences.
    let record = plan.record();
    let smoothing = &record["target"]["settings"];
    let before = Settings {
        network: plan.network,
        head: plan.head,
        layerwise: plan.layerwise,
        pretraining: plan.pretraining,
        starts: plan.starts,
        similarity: plan.similarity,
        self_training: plan.self_training,
        decoder: plan.decoder,
        target: TargetSettings {
            neighbors: smoothing["neighbors"].as_u64().unwrap_or(0) as usize,
            average: serde_json::from_value(smoothing["average"].clone()).unwrap_or_default(),
        },
        clustering: ClusteringSettings {
            weight: 1.0,
            offset: record["clustering"]["settings"]["offset"]
                .as_f64()
                .unwrap_or(0.0),
        },
        pairs,
    };
    let after = with_settings(before, settings)?;
    plan.network = after.network;
    plan.head = after.head;
    plan.layerwise = after.layerwise;
    plan.pretraining = after.pretraining;
    plan.starts = after.starts;
    plan.similarity = after.similarity;
    plan.self_training = after.self_training;
    plan.decoder = after.decoder;
    let target = SmoothedTarget::new(SharpenedTarget::new(), after.target.neighbors)
        .with_average(after.target.average);
    let clustering = KlDivergence::new()
        .with_offset(after.clustering.offset)
        .weighted(after.clustering.weight);
    let plan = plan.with_target(target).with_clustering(clustering);
    Ok((plan, after.pairs))
}

/// `value` with single settings changed, each given as `name=JSON`; names of nested settings are
/// joined by dots.
pub fn with_settings<T: Serialize + DeserializeOwned>(
    value: T,
    settings: &[String],
) -> Result<T, Box<dyn Error>> {
    let mut json = serde_json::to_value(value)?;
    for setting in settings {
        let (name, new) = setting
            .split_once('=')
            .ok_or_else(|| format!("a setting is NAME=JSON, not \"{setting}\""))?;
        let pointer = format!("/{}", name.replace('.', "/"));
        *json
            .pointer_mut(&pointer)
            .ok_or_else(|| format!("there is no setting \"{name}\""))? = serde_json::from_str(new)?;
    }
    Ok(serde_json::from_value(json)?)
}
