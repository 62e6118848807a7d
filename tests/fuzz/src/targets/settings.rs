//! JSON of everything that can be read with serde.

use std::fmt::Debug;
use std::path::Path;

use celldec::counts::SimulationConfig;
use celldec::graph::GraphConfig;
use celldec::markers::MarkerConfig;
use celldec::metrics::{Consensus, consensus};
use celldec::model::{Assignment, EpochRecord, Evaluation, ModelInfo, Phase, Status, StopReason};
use celldec::ndarray::{Array2, array};
use celldec::nn::SimilarityKernel;
use celldec::optim::OptimizerConfig;
use celldec::pairs::ConstraintPairs;
use celldec::prelude::{Device, Plan};
use celldec::preprocess::{
    CovariateDesign, FilterReport, FittedPreprocess, Preprocess, VariableGenes,
};
use celldec::start::{
    CentroidStart, GivenCentroids, InitialCentroids, KMeansConfig, SmoothedKMeansConfig,
    StabilityConfig, StableGraphConfig, cluster_stability, initial_centroids,
};
use celldec::train::{DecoderTraining, NetworkConfig, PretrainConfig, SelfTrainConfig};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::table::only_file;
use super::training::{cells, counts, covariates};
use super::{MOST, Target, outcome};
use crate::input::Input;
use crate::json;
use crate::random::Random;

/// Settings, pairs, designs, results.
pub struct Settings;

fn seed(name: &str, value: &impl Serialize) -> Input {
    let text = serde_json::to_string(value).expect("JSON");
    Input::file(&format!("{name}.json"), text)
}

/// Points of two groups.
fn points() -> Array2<f32> {
    Array2::from_shape_fn((16, 2), |(cell, dimension)| {
        let group = if cell < 8 { 0.0 } else { 20.0 };
        group + ((cell * 7 + dimension * 3) % 5) as f32
    })
}

impl Target for Settings {
    fn name(&self) -> &'static str {
        "json"
    }

    fn seeds(&self) -> Vec<Input> {
        let cells = cells();
        let plan = Plan::scdcc(2);
        let pairs = ConstraintPairs::new(vec![(0, 1), (1, 3)], vec![(0, 2), (3, 4)]);
        let contradicting = ConstraintPairs::with_contradictions(vec![(0, 1)], vec![(1, 0)]);
        let design = CovariateDesign::fit(&covariates(4)).expect("sound covariates");
        let assignment = Assignment::from_soft(array![[0.25, 0.75], [1.0, 0.0]]);
        let assignment = assignment.expect("finite");
        let evaluation = Evaluation {
            embedding: array![[0.5, 1.0], [2.0, 3.0]],
            soft_assignments: array![[0.25, 0.75], [1.0, 0.0]],
        };
        let initial = InitialCentroids {
            centroids: array![[0.0, 1.0], [2.0, 3.0]],
            labels: vec![0, 1, 1],
            resolution: Some(0.5),
            candidates: Vec::new(),
        };
        let given = GivenCentroids::new(array![[0.0, 1.0], [9.0, 9.0]]).expect("two");
        let starts = [
            CentroidStart::KMeans(KMeansConfig::new(2)),
            CentroidStart::SmoothedKMeans(SmoothedKMeansConfig::new(2)),
            CentroidStart::Graph(GraphConfig::new(1.0)),
            CentroidStart::StableGraph(StableGraphConfig::new()),
            CentroidStart::Given(given),
            CentroidStart::Labels((0..16).map(|cell| cell % 2).collect()),
        ];
        let record = EpochRecord::new(Phase::Pretraining, 3, vec![("loss".into(), 0.5)]);
        let status = json!({
            "converged": true,
            "stop_reason": StopReason::LabelsStable { changed: 0.01 },
            "pretraining_epochs": 3,
            "self_training_epochs": 2,
            "cluster_sizes": [3, 4],
            "empty_clusters": [],
            "warnings": ["text"],
        });
        let stability = StabilityConfig::new(CentroidStart::KMeans(KMeansConfig::new(2)));
        let votes = consensus(&[vec![0, 0, 1], vec![0, 1, 1]]).expect("labels");
        let recipe = Preprocess::desc_reference().with_variable_genes(VariableGenes::seurat(5));
        let mut seeds: Vec<Input> = starts
            .iter()
            .map(|start| seed("CentroidStart", start))
            .collect();
        seeds.extend([
            seed("ConstraintPairs", &pairs.expect("sound")),
            seed("ConstraintPairs", &contradicting.expect("other cells")),
            seed("CovariateDesign", &design),
            seed("FittedPreprocess", cells.preprocessing()),
            seed("Preprocess", &Preprocess::scdcc()),
            seed("Preprocess", &recipe),
            seed("Assignment", &assignment),
            seed("Evaluation", &evaluation),
            seed("InitialCentroids", &initial),
            seed("PretrainConfig", &plan.pretraining),
            seed("SelfTrainConfig", &plan.self_training),
            seed("NetworkConfig", &plan.network),
            seed("DecoderTraining", &plan.decoder),
            seed("SimilarityKernel", &plan.similarity),
            seed("OptimizerConfig", &OptimizerConfig::sgd(0.9).with_weight_decay(0.1)),
            seed("SimulationConfig", &SimulationConfig::new(10, 8).with_groups(2)),
            seed("MarkerConfig", &MarkerConfig::new().with_limit(3)),
            seed("StabilityConfig", &stability),
            seed("Consensus", &votes),
            seed("EpochRecord", &record),
            seed("Status", &status),
            seed("FilterReport", cells.report()),
            Input::file(
                "PretrainConfig.json",
                r#"{"stages":[{"epochs":3,"learning_rate":{"Cosine":{"initial_lr":0.1,"min_lr":0.0,"num_iters":10}}}]}"#,
            ),
            Input::file(
                "ModelInfo.json",
                r#"{"method":"m","seed":1,"version":"0","data_fingerprint":2,"settings":{"a":[1]}}"#,
            ),
        ]);
        seeds
    }

    fn change(&mut self, random: &mut Random, input: &mut Input, other: &Input, times: usize) {
        let donor = other.files.first().map_or(&[][..], |(_, data)| data);
        for (_, data) in &mut input.files {
            for _ in 0..times {
                json::change(random, data, donor, MOST);
            }
        }
    }

    fn run(&self, folder: &Path) -> String {
        let path = only_file(folder);
        let text = std::fs::read(&path).expect("the input");
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        let device = Device::default();
        let plan = || Plan::scdcc(2);
        let trains = |plan: Plan<_>| outcome(plan.trainer(&device));
        match &*name {
            "CentroidStart" => with(&text, |start: CentroidStart| {
                let checked = trains(plan().with_start(start.clone()));
                if checked == "read" && takes_a_moment(&text) {
                    return outcome(initial_centroids(points().view(), &start, 1));
                }
                checked
            }),
            "ConstraintPairs" => with(&text, |pairs: ConstraintPairs| {
                same_again(&pairs);
                for group in pairs.known_groups() {
                    assert!(group.len() > 1);
                }
                trains(plan().with_constraints(pairs))
            }),
            "CovariateDesign" => with(&text, |design: CovariateDesign| {
                same_again(&design);
                let encoded = design.encode(&covariates(4), 4);
                if let Ok(encoded) = &encoded {
                    assert_eq!(encoded.dim(), (4, design.columns()));
                }
                outcome(encoded)
            }),
            "FittedPreprocess" => with(&text, |fitted: FittedPreprocess| {
                let cells = fitted.transform(&counts());
                if let Ok(cells) = &cells {
                    assert_eq!(cells.genes(), fitted.gene_names().len());
                }
                outcome(cells.and_then(|cells| cells.to_dense_input()))
            }),
            "Preprocess" => with(&text, |recipe: Preprocess| outcome(recipe.fit(&counts()))),
            "Assignment" => with(&text, |assignment: Assignment| {
                same_again(&assignment);
                let cells: usize = assignment.sizes().iter().sum();
                assert_eq!(cells, assignment.labels().len());
                assert_eq!(cells, assignment.confidence().len());
                "read".into()
            }),
            "Evaluation" => with(&text, |evaluation: Evaluation| {
                assert_eq!(evaluation.labels().len(), evaluation.embedding.nrows());
                "read".into()
            }),
            "InitialCentroids" => with(&text, |initial: InitialCentroids| {
                let clusters = initial.centroids.nrows();
                assert!(initial.labels.iter().all(|&label| label < clusters));
                "read".into()
            }),
            "PretrainConfig" => with(&text, |config: PretrainConfig| {
                trains(plan().with_pretraining(|_| config))
            }),
            "SelfTrainConfig" => with(&text, |config: SelfTrainConfig| {
                trains(plan().with_self_training(|_| config))
            }),
            "NetworkConfig" => with(&text, |config: NetworkConfig| {
                trains(plan().with_network(|_| config))
            }),
            "DecoderTraining" => with(&text, |training: DecoderTraining| {
                trains(plan().with_decoder(training))
            }),
            "SimilarityKernel" => with(&text, |similarity: SimilarityKernel| {
                let mut plan = plan();
                plan.similarity = similarity;
                trains(plan)
            }),
            "OptimizerConfig" => with(&text, |optimizer: OptimizerConfig| {
                trains(plan().with_self_training(|phase| phase.with_optimizer(optimizer)))
            }),
            "SimulationConfig" => with(&text, |config: SimulationConfig| {
                if config.cells > 50 || config.genes > 50 || config.batches > 50 {
                    return "too large".into();
                }
                outcome(config.simulate())
            }),
            "MarkerConfig" => with(&text, |config: MarkerConfig| {
                let labels: Vec<usize> = (0..counts().cells()).map(|cell| cell % 3).collect();
                outcome(config.find(&counts(), &labels))
            }),
            "StabilityConfig" => with(&text, |config: StabilityConfig| {
                if !takes_a_moment(&text) {
                    return "too large".into();
                }
                let labels: Vec<usize> = (0..16).map(|cell| cell / 8).collect();
                outcome(cluster_stability(points().view(), &labels, &config, 1))
            }),
            "Consensus" => with(&text, |_: Consensus| "read".into()),
            "EpochRecord" => with(&text, |record: EpochRecord| {
                format!("read {}", record.total_loss().is_nan())
            }),
            "Status" => with(&text, |_: Status| "read".into()),
            "FilterReport" => with(&text, |report: FilterReport| {
                format!(
                    "read {}",
                    report.cells_dropped().min(report.genes_dropped()) > 0
                )
            }),
            "ModelInfo" => with(&text, |_: ModelInfo| "read".into()),
            other => panic!("no type {other}"),
        }
    }
}

fn with<T: DeserializeOwned>(text: &[u8], used: impl FnOnce(T) -> String) -> String {
    match serde_json::from_slice(text) {
        Ok(value) => used(value),
        Err(error) => error.to_string(),
    }
}

/// What was read can be stored and read again.
fn same_again<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: &T) {
    let text = serde_json::to_string(value).expect("JSON");
    let again: T = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    assert_eq!(again, *value, "{text}");
}

/// Whether no setting asks for more work than a moment's.
fn takes_a_moment(text: &[u8]) -> bool {
    const WORK: [&str; 4] = ["restarts", "subsamples", "rounds", "max_iterations"];
    fn moderate(value: &Value) -> bool {
        match value {
            Value::Object(members) => members.iter().all(|(name, value)| {
                let asked = value.as_f64().unwrap_or(0.0);
                (asked <= 300.0 || !WORK.contains(&name.as_str())) && moderate(value)
            }),
            Value::Array(elements) => elements.len() <= 300 && elements.iter().all(moderate),
            _ => true,
        }
    }
    serde_json::from_slice(text).is_ok_and(|value| moderate(&value))
}
