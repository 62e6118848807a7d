//! What a model says of its own making.

use celldec::graph::NeighborAverage;
use celldec::loss;
use celldec::model::{FittedModel, ModelInfo};
use celldec::nn::{LinearHead, LinearHeadConfig, ReconstructionHead};
use celldec::prelude::*;
use celldec::train::{DecoderTraining, PairTraining, Part, Widths};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::own_parts::{DeepHeadConfig, poisson};
use crate::{cpu, default_scdcc, desc, fitted, scdcc, simulated};

/// The settings of a fitted model, which its file and its checked plan say too.
fn settings<H: ReconstructionHead>(plan: &Plan<H>, cells: &Cells) -> Value {
    let fit = fitted(plan, cells);
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("model");
    fit.model().save(&path).unwrap();
    let info = fit.model().info();
    assert_eq!(&ModelInfo::read(&path).unwrap(), info);
    assert_eq!(FittedModel::<H>::load(&path, &cpu()).unwrap().info(), info);
    assert_eq!(info.settings, plan.record());
    assert_eq!(info.settings, serde_json::to_value(plan).unwrap());
    assert_eq!(info.method, plan.method);
    assert_eq!(info.seed, plan.seed);
    info.settings.clone()
}

#[test]
fn presets_record_their_parts() {
    let (cells, _) = simulated(60, 20, 1);
    let found = settings(&default_scdcc(), &cells);
    assert_eq!(found["method"], "scdcc");
    assert_eq!(found["seed"], 5);
    assert_eq!(found["network"]["widths"], json!([16, 6]));
    assert_eq!(found["network"]["linear_skip"], true);
    assert_eq!(
        found["head"],
        json!({"name": "counts", "settings": "negative_binomial"})
    );
    assert_eq!(found["reconstruction"], json!({"name": "counts"}));
    assert_eq!(found["target"]["name"], "smoothed");
    assert_eq!(found["target"]["settings"]["neighbors"], 15);
    assert_eq!(found["target"]["settings"]["of"]["name"], "sharpened");
    assert_eq!(found["clustering"]["name"], "clustering");
    assert_eq!(found["decoder"], "kept");
    assert_eq!(found["self_training"]["max_epochs"], 7);
    assert_eq!(found["pretraining"]["stages"][0]["epochs"], 3);
    // What did not run is not there.
    for absent in ["layerwise", "pairs", "frozen"] {
        assert_eq!(found.get(absent), None, "{absent}");
    }

    let found = settings(&scdcc(3), &cells);
    assert_eq!(found["head"]["settings"], "zero_inflated");
    assert_eq!(found["target"], json!({"name": "sharpened"}));
    assert_eq!(found["decoder"]["joint"]["weight"], 1.0);

    let found = settings(&desc(), &cells);
    assert_eq!(found["method"], "desc");
    assert_eq!(found["head"]["name"], "mse");
    assert_eq!(found["decoder"], "removed");
    assert_eq!(found["layerwise"]["stages"].as_array().unwrap().len(), 3);
    assert_eq!(found["starts"][0]["Graph"]["neighbors"], 9);
}

#[test]
fn a_method_of_ones_own_records_its_own_parts() {
    let (cells, _) = simulated(60, 20, 2);
    let target = loss::target_from_fn("halved", |q, _| Ok(q * 0.5)).with_setting("factor", 0.5);
    let clustering = loss::clustering_from_fn("squares", |q, p| (q - p).square().mean());
    let similarity = celldec::nn::SimilarityKernel::Gaussian { bandwidth: 2.0 };
    let pairs = ConstraintPairs::new(vec![(0, 1)], vec![(2, 3), (4, 5)]).unwrap();
    let plan = default_scdcc()
        .with_epochs(1, 1)
        .with_method("mine")
        .with_reconstruction(poisson().weighted(0.5), DeepHeadConfig::new(7))
        .with_target(target)
        .with_clustering(clustering.weighted(3.0))
        .with_similarity(similarity)
        .with_decoder(DecoderTraining::Removed)
        .with_frozen([Part::Centroids])
        .with_pairs(PairTraining::new(pairs).with_pair_errors(0.1));
    let found = settings(&plan, &cells);
    assert_eq!(found["method"], "mine");
    assert_eq!(
        found["head"],
        json!({"name": "deep", "settings": {"width": 7}})
    );
    assert_eq!(
        found["reconstruction"],
        json!({"name": "0.5·poisson", "settings": {"weight": 0.5}})
    );
    assert_eq!(
        found["target"],
        json!({"name": "halved", "settings": {"factor": 0.5}})
    );
    assert_eq!(
        found["clustering"],
        json!({"name": "3·squares", "settings": {"weight": 3.0}})
    );
    assert_eq!(found["similarity"]["Gaussian"]["bandwidth"], 2.0);
    assert_eq!(found["decoder"], "removed");
    assert_eq!(found["frozen"], json!(["centroids"]));
    // A head that describes no counts does not start at their moments, whatever the preset did.
    assert_eq!(found["network"]["start_at_moments"], false);
    let pairs = &found["pairs"];
    assert_eq!(pairs["must_link_pairs"], 1);
    assert_eq!(pairs["cannot_link_pairs"], 2);
    assert_eq!(pairs["must_link_loss"]["name"], "must-link");
    assert_eq!(pairs["pair_errors"], 0.1);

    let squares = loss::from_fn::<LinearHead, _>("squares", |output, batch| {
        (output.logits.clone() - batch.input.clone()).square()
    });
    let plan = default_scdcc()
        .with_epochs(1, 1)
        .with_reconstruction(squares, LinearHeadConfig::identity());
    let found = settings(&plan, &cells);
    assert_eq!(found["head"]["name"], "linear");
    assert_eq!(found["head"]["settings"]["link"], "Identity");
    assert_eq!(found["reconstruction"]["name"], "squares");
}

/// Widths that follow a rule: the record names the rule, the network has what it gives.
#[test]
fn widths_by_a_rule_are_recorded_as_the_rule() {
    let (cells, _) = simulated(60, 20, 3);
    let plan = desc().with_widths(Widths::by_cells());
    assert_eq!(settings(&plan, &cells)["network"]["widths"], "by_cells");
    let fit = fitted(&plan, &cells);
    let widths: Vec<usize> = fit
        .model()
        .network()
        .encoder
        .layers
        .iter()
        .map(|layer| layer.linear.weight.dims()[1])
        .collect();
    assert_eq!(widths, Widths::for_cells(cells.cells()));
}

/// Every setting that can be changed by itself is seen in the record.
#[test]
fn plans_that_differ_have_records_that_differ() {
    let target = |neighbors, average| {
        SmoothedTarget::new(SharpenedTarget::new(), neighbors).with_average(average)
    };
    let plans = [
        default_scdcc(),
        default_scdcc().with_seed(6),
        default_scdcc().with_method("other"),
        default_scdcc().with_batch_size(16),
        default_scdcc().with_widths([8, 6]),
        default_scdcc().with_network(|network| network.with_linear_skip(false)),
        default_scdcc().with_network(|network| network.with_start_at_moments(false)),
        default_scdcc().with_self_training(|phase| phase.with_neighbor_uses(1)),
        default_scdcc().with_self_training(|phase| phase.with_shuffle(false)),
        default_scdcc().with_target(target(15, NeighborAverage::Directed)),
        default_scdcc().with_target(target(14, NeighborAverage::ByHubness)),
        default_scdcc().with_clustering(KlDivergence::new().with_offset(1e-6)),
        default_scdcc().with_clustering(KlDivergence::new().weighted(2.0)),
        default_scdcc().with_clustering(KlDivergence::new().weighted(3.0)),
        default_scdcc().with_decoder(DecoderTraining::Removed),
        default_scdcc().with_frozen([Part::Encoder]),
        default_scdcc().with_resolutions([1.0]),
        default_scdcc().with_resolutions([1.0, 2.0]),
    ];
    for (number, plan) in plans.iter().enumerate() {
        for other in &plans[..number] {
            assert_ne!(plan.record(), other.record());
        }
    }
    let same = default_scdcc().with_target(target(15, NeighborAverage::ByHubness));
    assert_eq!(same.record(), plans[0].record());
}
