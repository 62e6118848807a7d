//! Records the bits of fits of both methods, or compares them with a record: a change of the code
//! that should change no result must change none of them.
//!
//! ```text
//! cargo run --release --example bits -- record before.json
//! cargo run --release --example bits -- compare before.json
//! ```
//!
//! `compare` prints every difference; its exit status is 1 when there is one. Bits are the same
//! whatever the number of threads, but not on another family of processors: record and compare on
//! one machine.

use std::fmt::Write;
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use celldec::batches::Corruption;
use celldec::graph::NeighborAverage;
use celldec::metrics::encode_labels;
use celldec::nn::{
    Activation, Dispersion, MseHeadConfig, NbHeadConfig, ReconstructionHead, SimilarityKernel,
};
use celldec::optim::OptimizerConfig;
use celldec::prelude::*;
use celldec::train::{DecoderTraining, EarlyStopping, PretrainConfig, Stage};
use serde_json::{Map, Value, json};

const SEED: u64 = 7;

// What is fitted. A change of the API is a change of this section only.

/// scDCC as it comes.
fn scdcc(clusters: usize) -> Plan<CountHead> {
    Plan::scdcc(clusters).with_seed(SEED)
}

/// scDCC as published, cut short.
fn scdcc_reference(clusters: usize) -> Plan<CountHead> {
    Plan::scdcc_reference(clusters)
        .with_epochs(6, 4)
        .with_seed(SEED)
}

/// scDCC that finds the number of clusters.
fn scdcc_auto() -> Plan<CountHead> {
    Plan::scdcc_auto().with_seed(SEED)
}

/// scDCC with communities at a resolution.
fn scdcc_from_resolution() -> Plan<CountHead> {
    Plan::scdcc_at_resolution(0.8)
        .with_self_training(|phase| phase.with_max_epochs(8).with_tolerance(0.0))
        .with_seed(SEED)
}

/// scDCC with the reconstruction in self-training.
fn scdcc_joint(clusters: usize) -> Plan<CountHead> {
    Plan::scdcc(clusters)
        .with_decoder(DecoderTraining::Joint {
            weight: 1.0,
            corruption: Corruption::Gaussian(2.5),
        })
        .with_epochs(8, 6)
        .with_self_training(|phase| phase.with_tolerance(0.0))
        .with_seed(SEED)
}

/// scDCC with most other settings away from their defaults.
fn scdcc_unusual(clusters: usize) -> Plan<CountHead> {
    Plan::scdcc(clusters)
        .with_widths([48, 12])
        .with_batch_size(100)
        .with_pretraining(|phase| {
            phase
                .with_epochs(12)
                .with_early_stopping(Some(EarlyStopping::new(5e-3, 2)))
                .with_learning_rate(2e-3)
        })
        .with_self_training(|phase| {
            phase
                .with_max_epochs(9)
                .with_tolerance(0.0)
                .with_update_interval(3)
                .with_optimizer(OptimizerConfig::sgd(0.9))
                .with_learning_rate(1e-2)
                .with_shuffle(false)
        })
        .with_decoder(DecoderTraining::Joint {
            weight: 0.3,
            corruption: Corruption::None,
        })
        .with_corruption(Corruption::Gaussian(1.0))
        .with_clustering(KlDivergence::new().weighted(0.7))
        .with_target(
            SmoothedTarget::new(SharpenedTarget::new(), 5).with_average(NeighborAverage::ByHubness),
        )
        .with_similarity(SimilarityKernel::Gaussian { bandwidth: 2.0 })
        .with_seed(SEED)
}

/// DESC as it comes.
fn desc() -> Plan<MseHead> {
    Plan::desc().with_seed(SEED)
}

/// DESC as published, cut short.
fn desc_reference() -> Plan<MseHead> {
    Plan::desc_reference()
        .with_published_pretraining(6)
        .with_self_training(|phase| phase.with_max_epochs(7))
        .with_seed(SEED)
}

/// DESC that finds the resolution.
fn desc_auto() -> Plan<MseHead> {
    Plan::desc_auto().with_seed(SEED)
}

/// DESC at two resolutions.
fn desc_resolutions() -> Plan<MseHead> {
    Plan::desc()
        .with_resolutions([0.4, 1.0])
        .with_self_training(|phase| phase.with_max_epochs(6).with_tolerance(0.0))
        .with_seed(SEED)
}

/// DESC from k-means.
fn desc_kmeans(clusters: usize) -> Plan<MseHead> {
    Plan::desc()
        .with_start(CentroidStart::KMeans(KMeansConfig::new(clusters)))
        .with_self_training(|phase| phase.with_max_epochs(6).with_tolerance(0.0))
        .with_seed(SEED)
}

/// DESC with most other settings away from their defaults.
fn desc_unusual() -> Plan<MseHead> {
    let graph = GraphConfig::new(0.6)
        .with_neighbors(11)
        .with_method(CommunityMethod::Louvain);
    let layers = PretrainConfig::new()
        .with_stages(
            (1..=3)
                .map(|power| Stage::new(1e-3 * 0.1f64.powi(power), 2))
                .collect(),
        )
        .with_corruption(Corruption::Dropout(0.3))
        .with_early_stopping(Some(EarlyStopping::new(1e-4, 10)));
    Plan::desc()
        .with_start(CentroidStart::Graph(graph))
        .with_widths([64, 24, 12])
        .with_network(|network| network.with_latent_activation(Activation::Tanh))
        .with_layerwise(Some(layers))
        .with_batch_size(100)
        .with_pretraining(|phase| {
            phase
                .with_epochs(9)
                .with_early_stopping(Some(EarlyStopping::new(1e-3, 3)))
        })
        .with_corruption(Corruption::Gaussian(0.5))
        .with_self_training(|phase| {
            phase
                .with_max_epochs(6)
                .with_update_interval(2)
                .with_tolerance(0.0)
        })
        .with_target(SharpenedTarget::new())
        .with_similarity(SimilarityKernel::StudentT { alpha: 2.0 })
        .with_seed(SEED)
}

/// The records of one run of scDCC.
fn fit_scdcc(plan: &Plan<CountHead>, pairs: &ConstraintPairs, cells: &Cells) -> Result<Value> {
    let plan = plan.clone().with_constraints(pairs.clone());
    Ok(record(
        &plan.trainer(&Device::default())?.fit(cells)?,
        cells,
    ))
}

/// The same with a negative binomial head whose dispersion is each cell's and gene's own.
fn fit_scdcc_nb(plan: &Plan<CountHead>, cells: &Cells) -> Result<Value> {
    let head = NbHeadConfig::new().with_dispersion(Dispersion::PerCellAndGene);
    let plan = plan.clone().with_reconstruction(NbLoss::new(), head);
    Ok(record(
        &plan.trainer(&Device::default())?.fit(cells)?,
        cells,
    ))
}

/// The same with the mean squared error and a target without a neighbour graph.
fn fit_scdcc_mse(plan: &Plan<CountHead>, cells: &Cells) -> Result<Value> {
    let plan = plan
        .clone()
        .with_reconstruction(MseLoss::new(), MseHeadConfig::new())
        .with_target(SharpenedTarget::new());
    Ok(record(
        &plan.trainer(&Device::default())?.fit(cells)?,
        cells,
    ))
}

/// The records of a run of DESC, one for every start.
fn fit_desc(plan: &Plan<MseHead>, cells: &Cells) -> Result<Value> {
    let fits = plan.trainer(&Device::default())?.fit_each(cells)?;
    Ok(fits.iter().map(|fit| record(fit, cells)).collect())
}

// What is recorded.

/// Everything that a fit computed.
fn record<H: ReconstructionHead>(fit: &Fit<H>, cells: &Cells) -> Value {
    let status = fit.status();
    let terms = || fit.history().iter().flat_map(|epoch| &epoch.losses);
    let mut losses: Map<String, Value> = Map::new();
    for epoch in fit.history() {
        for (name, value) in &epoch.losses {
            let list = losses
                .entry(format!("{}: {name}", epoch.phase))
                .or_insert_with(|| json!([]));
            if let Value::Array(list) = list {
                list.push(json!(value));
            }
        }
    }
    let changed: Vec<Option<f64>> = fit.history().iter().map(|epoch| epoch.changed).collect();
    let denoised = fit.model().denoise(cells).ok();
    json!({
        "resolution": fit.resolution(),
        "cluster_sizes": status.cluster_sizes,
        "converged": status.converged,
        "pretraining_epochs": status.pretraining_epochs,
        "self_training_epochs": status.self_training_epochs,
        "hash of the embedding": hash(fit.embedding().iter().map(|value| value.to_bits())),
        "hash of q": hash(fit.clusters().soft().iter().map(|value| value.to_bits())),
        "hash of the centroids": hash(fit.centroids().iter().map(|value| value.to_bits())),
        "hash of denoised expression": denoised
            .map(|values| hash(values.iter().map(|value| value.to_bits()))),
        "hash of the losses": hash(terms().map(|(_, value)| value.to_bits())),
        "losses": losses,
        "changed": changed,
        "initial_labels": text(fit.initial_labels()),
        "labels": text(fit.clusters().labels()),
    })
}

/// FNV-1a, 64 bits, over the bytes of numbers in memory order.
fn hash<T: Into<u64>>(values: impl Iterator<Item = T>) -> String {
    let width = size_of::<T>();
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for value in values {
        for &byte in &value.into().to_le_bytes()[..width] {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    format!("{hash:016x}")
}

/// Labels on one line.
fn text(labels: &[usize]) -> String {
    let mut text = String::new();
    for label in labels {
        let separator = if text.is_empty() { "" } else { " " };
        write!(text, "{separator}{label}").expect("a string takes everything");
    }
    text
}

/// Counts with their groups, prepared for both methods.
struct Input {
    name: &'static str,
    clusters: usize,
    scdcc: Cells,
    scdcc_reference: Cells,
    desc: Cells,
    desc_reference: Cells,
    /// 100 pairs of labelled cells.
    pairs: ConstraintPairs,
}

impl Input {
    fn new(
        name: &'static str,
        counts: &CountMatrix,
        groups: &[Option<usize>],
        batches: Option<&[usize]>,
    ) -> Result<Self> {
        let prepare = |preprocess: Preprocess| match batches {
            Some(batches) => preprocess.fit_with_batches(counts, batches),
            None => preprocess.fit(counts),
        };
        let scdcc = prepare(Preprocess::scdcc())?;
        let known: Vec<Option<usize>> = scdcc.kept_cells().iter().map(|&c| groups[c]).collect();
        Ok(Self {
            name,
            clusters: groups.iter().flatten().max().map_or(0, |last| last + 1),
            pairs: ConstraintPairs::from_labels(&known, 100, SEED)?,
            scdcc,
            scdcc_reference: prepare(Preprocess::scdcc_reference())?,
            desc: prepare(Preprocess::desc())?,
            desc_reference: prepare(Preprocess::desc_reference())?,
        })
    }
}

/// The bundled cells, and two simulations.
fn inputs() -> Result<[Input; 3]> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/data/pbmc68k_700_10x");
    let counts = celldec::io::read_10x_mtx(&folder)?;
    // In the order of the matrix.
    let types = celldec::io::read_labels(folder.join("labels.csv"), Some("cell_type"))?;
    let types: Vec<&str> = types.iter().map(|(_, label)| label.as_str()).collect();
    let groups: Vec<Option<usize>> = encode_labels(&types).0.into_iter().map(Some).collect();
    let pbmc = Input::new("pbmc", &counts, &groups, None)?;

    let simulation = SimulationConfig::new(600, 300)
        .with_groups(4)
        .with_differential_expression(0.2, 0.4, 0.45)
        .with_seed(21)
        .simulate()?;
    let groups: Vec<Option<usize>> = simulation.groups.into_iter().map(Some).collect();
    let plain = Input::new("four groups", &simulation.counts, &groups, None)?;

    let simulation = SimulationConfig::new(450, 200)
        .with_group_proportions([0.4, 0.25, 0.2, 0.1, 0.05])
        .with_differential_expression(0.25, 0.5, 0.4)
        .with_library_size(400.0, 0.4)
        .with_dropout(-1.0, -1.0)
        .with_batches(3)
        .with_batch_effect(0.1, 0.3)
        .with_seed(22)
        .simulate()?;
    let groups: Vec<Option<usize>> = simulation.groups.into_iter().map(Some).collect();
    let batched = Input::new(
        "three batches",
        &simulation.counts,
        &groups,
        Some(&simulation.batches),
    )?;
    Ok([pbmc, plain, batched])
}

/// Makes every fit.
fn fits() -> Result<Value> {
    let mut fits = Map::new();
    let mut add = |input: &Input, name: &str, fit: &dyn Fn() -> Result<Value>| {
        let name = format!("{}, {name}", input.name);
        let start = Instant::now();
        // An error is a result like any other.
        let value = fit().unwrap_or_else(|error| json!({ "error": error.to_string() }));
        eprintln!("{:7.2} s  {name}", start.elapsed().as_secs_f64());
        fits.insert(name, value);
    };
    for input in &inputs()? {
        let (k, none, pairs) = (input.clusters, ConstraintPairs::default(), &input.pairs);
        let (ours, theirs) = (&input.scdcc, &input.scdcc_reference);
        add(input, "scdcc", &|| fit_scdcc(&scdcc(k), &none, ours));
        add(input, "scdcc reference", &|| {
            fit_scdcc(&scdcc_reference(k), &none, theirs)
        });
        add(input, "scdcc auto", &|| {
            fit_scdcc(&scdcc_auto(), &none, ours)
        });
        add(input, "scdcc with pairs", &|| {
            fit_scdcc(&scdcc(k), pairs, ours)
        });
        add(input, "scdcc reference with pairs", &|| {
            fit_scdcc(&scdcc_reference(k), pairs, theirs)
        });
        add(input, "scdcc joint", &|| {
            fit_scdcc(&scdcc_joint(k), &none, ours)
        });
        let (ours, theirs) = (&input.desc, &input.desc_reference);
        add(input, "desc", &|| fit_desc(&desc(), ours));
        add(input, "desc reference", &|| {
            fit_desc(&desc_reference(), theirs)
        });
        add(input, "desc auto", &|| fit_desc(&desc_auto(), ours));
        add(input, "desc resolutions", &|| {
            fit_desc(&desc_resolutions(), ours)
        });
        add(input, "desc kmeans", &|| fit_desc(&desc_kmeans(k), ours));
        if input.name == "pbmc" {
            continue;
        }
        let ours = &input.scdcc;
        add(input, "scdcc from resolution", &|| {
            fit_scdcc(&scdcc_from_resolution(), &none, ours)
        });
        add(input, "scdcc unusual", &|| {
            fit_scdcc(&scdcc_unusual(k), &none, ours)
        });
        add(input, "scdcc unusual with pairs", &|| {
            fit_scdcc(&scdcc_unusual(k), pairs, ours)
        });
        add(input, "scdcc joint, nb head", &|| {
            fit_scdcc_nb(&scdcc_joint(k), ours)
        });
        add(input, "scdcc joint, mse head", &|| {
            fit_scdcc_mse(&scdcc_joint(k), ours)
        });
        add(input, "desc unusual", &|| {
            fit_desc(&desc_unusual(), &input.desc)
        });
    }
    Ok(Value::Object(fits))
}

/// The processor, by whose family bits may differ.
fn processor() -> Value {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with("model name"));
    json!(
        line.and_then(|line| line.split_once(": "))
            .map(|(_, name)| name)
    )
}

/// Prints where two records differ; how often they do.
fn differences(place: &str, before: &Value, now: &Value) -> usize {
    match (before, now) {
        (Value::Object(before), Value::Object(now)) => {
            let missing = Value::Null;
            let mut keys: Vec<&String> = before.keys().chain(now.keys()).collect();
            keys.sort();
            keys.dedup();
            keys.into_iter()
                .map(|key| {
                    differences(
                        &format!("{place} / {key}"),
                        before.get(key).unwrap_or(&missing),
                        now.get(key).unwrap_or(&missing),
                    )
                })
                .sum()
        }
        (Value::Array(before), Value::Array(now)) if before.len() == now.len() => before
            .iter()
            .zip(now)
            .enumerate()
            .map(|(number, (before, now))| differences(&format!("{place} / {number}"), before, now))
            .sum(),
        (Value::String(before), Value::String(now)) if before.contains(' ') => {
            let (before, now): (Vec<_>, Vec<_>) =
                (before.split(' ').collect(), now.split(' ').collect());
            let differ = before.iter().zip(&now).filter(|(a, b)| a != b).count();
            if before != now {
                println!(
                    "{place}: {differ} of {} differ, now {}",
                    before.len(),
                    now.len()
                );
            }
            usize::from(before != now)
        }
        _ if before == now => 0,
        _ => {
            println!("{place}: {before} before, {now} now");
            1
        }
    }
}

fn run(command: &str, path: &Path) -> std::result::Result<ExitCode, Box<dyn std::error::Error>> {
    let start = Instant::now();
    let now = json!({ "processor": processor(), "fits": fits()? });
    eprintln!("all in {:.1} s", start.elapsed().as_secs_f64());
    let text = serde_json::to_string_pretty(&now)?;
    if command == "record" {
        std::fs::write(path, text + "\n")?;
        return Ok(ExitCode::SUCCESS);
    }
    // Both from text, so that both are rounded alike.
    let now: Value = serde_json::from_str(&text)?;
    let before: Value = serde_json::from_str(&std::fs::read_to_string(path)?)?;
    if before["processor"] != now["processor"] {
        println!(
            "recorded on another processor: {}, here {}; bits may differ",
            before["processor"], now["processor"]
        );
    }
    let count = differences("", &before["fits"], &now["fits"]);
    println!("{count} differences");
    Ok(ExitCode::from(u8::from(count > 0)))
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [command, path] = arguments.as_slice() else {
        eprintln!("bits record FILE | bits compare FILE");
        return ExitCode::from(2);
    };
    if !["record", "compare"].contains(&command.as_str()) {
        eprintln!("bits record FILE | bits compare FILE");
        return ExitCode::from(2);
    }
    run(command, Path::new(path)).unwrap_or_else(|error| {
        eprintln!("{error}");
        ExitCode::from(2)
    })
}
