//! Measures methods on labelled data: accuracy, agreement, time and memory.
//!
//! ```text
//! cargo run --release --features cli --example accuracy -- --seeds 3 --json out.json FILE.h5ad…
//! ```
//!
//! A file may also be a simulated family, `sim:rare` for example, or a subset of a file,
//! `subset:FILE`, drawn anew for every seed.
//! `--set` changes single settings of a preset, to compare variants ([`settings`] says which):
//!
//! ```text
//! … --name "no skip" --set network.linear_skip=false --pretraining-epochs 60 sim:equal FILE.h5ad
//! ```

mod sets;
mod settings;

use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use celldec::metrics;
use celldec::prelude::*;
use celldec::preprocess::{PrincipalComponents, Scaling};
use celldec::start::KMeansConfig;
use celldec::train::PairTraining;
use clap::{Parser, ValueEnum};
use serde::{Deserialize, Serialize};

use settings::{PairSettings, changed, with_settings};

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Method {
    Scdcc,
    Desc,
    /// No network: k-means of 50 principal components of log1p values, of z-scores and of values
    /// scaled by the square root of the standard deviation.
    Pca,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Preset {
    /// The crate's defaults.
    Default,
    /// The defaults with neither a number of clusters nor a resolution given.
    Auto,
    /// The papers' settings to the letter.
    Reference,
}

/// Accuracy, agreement with labels, time and memory of each method on labelled data sets.
#[derive(Debug, Parser)]
struct Arguments {
    /// AnnData files with raw counts in X and labels in obs, subsets of their types and counts
    /// drawn anew for every seed, subset:FILE, or simulated families: sim:equal,
    /// sim:sizes, sim:rare, sim:shallow, sim:dropout, sim:batches, sim:many, sim:close, sim:deep.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Methods to run.
    #[arg(long, value_delimiter = ',', default_value = "scdcc,desc")]
    methods: Vec<Method>,
    /// Which settings.
    #[arg(long, default_value = "default")]
    preset: Preset,
    /// Number of seeds, counted from 0.
    #[arg(long, default_value_t = 3)]
    seeds: u64,
    /// First seed.
    #[arg(long, default_value_t = 0)]
    first_seed: u64,
    /// The obs column that holds the labels.
    #[arg(long, default_value = "cell_type")]
    label: String,
    /// Number of clusters for scDCC; the number of labels by default.
    #[arg(long)]
    clusters: Option<usize>,
    /// Resolutions for DESC; the preset's by default.
    #[arg(long, value_delimiter = ',')]
    resolutions: Vec<f64>,
    /// Fits of scDCC with different seeds whose consensus is scored.
    #[arg(long, default_value_t = 1)]
    ensemble: usize,
    /// Constraint pairs for scDCC, drawn from the labelled cells; scores then count the other
    /// cells only.
    #[arg(long, default_value_t = 0)]
    pairs: usize,
    /// Fraction of the constraint pairs that are wrong: must-link for cannot-link or the reverse.
    #[arg(long, default_value_t = 0.0)]
    pair_errors: f64,
    /// Fraction of cells whose label the constraint pairs may use.
    #[arg(long, default_value_t = 0.1)]
    labelled: f64,
    /// Highly variable genes for scDCC; all genes by default.
    #[arg(long)]
    variable_genes: Option<usize>,
    /// Epochs of pretraining, in place of the preset's.
    #[arg(long)]
    pretraining_epochs: Option<usize>,
    /// The most epochs of self-training, in place of the preset's.
    #[arg(long)]
    max_epochs: Option<usize>,
    /// Changes one setting of the preset: its name and its value as JSON, for example
    /// `network.linear_skip=false`. May be repeated.
    #[arg(long = "set", value_name = "SETTING=JSON")]
    settings: Vec<String>,
    /// Changes one setting of the preprocessing, as --set does.
    #[arg(long = "set-input", value_name = "SETTING=JSON")]
    input_settings: Vec<String>,
    /// Scales genes within each batch, where the data have batches.
    #[arg(long)]
    batch_scaling: bool,
    /// What this variant is called in the results.
    #[arg(long)]
    name: Option<String>,
    /// Compute device.
    #[arg(long, default_value = "cpu")]
    device: String,
    /// Writes the results as a list of JSON objects.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Runs one (file, method, seed) in this process; used by the program itself, so that the
    /// peak memory of one run is not that of another.
    #[arg(long, hide = true)]
    single: bool,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Row {
    method: String,
    set: String,
    seed: u64,
    preset: String,
    acc: f64,
    nmi: f64,
    ari: f64,
    /// Agreement of the labels that self-training started from.
    initial_ari: f64,
    /// The best F1 score of a cluster for the rarest type.
    rarest_f1: f64,
    clusters: usize,
    epochs: usize,
    converged: bool,
    seconds: f64,
    cpu_seconds: f64,
    peak_rss_mb: f64,
}

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let arguments = Arguments::parse();
    if arguments.single {
        let rows = run_single(&arguments)?;
        println!("{}", serde_json::to_string(&rows)?);
        return Ok(());
    }
    let mut rows: Vec<Row> = Vec::new();
    println!(
        "{:<22} {:<23} {:>4} {:>6} {:>6} {:>6} {:>8} {:>9} {:>9} {:>7} {:>8} {:>8}",
        "method",
        "set",
        "seed",
        "ACC",
        "NMI",
        "ARI",
        "clusters",
        "start ARI",
        "rarest F1",
        "s",
        "CPU s",
        "MB"
    );
    for file in &arguments.files {
        for &method in &arguments.methods {
            for seed in arguments.first_seed..arguments.first_seed + arguments.seeds {
                // One failure, such as a graph with one community, must not end the others.
                let runs = run_in_own_process(&arguments, file, method, seed);
                let runs = runs.unwrap_or_else(|error| {
                    println!("{error}");
                    Vec::new()
                });
                for row in runs {
                    println!(
                        "{:<22} {:<23} {:>4} {:>6.3} {:>6.3} {:>6.3} {:>8} {:>9.3} {:>9.3} {:>7.1} {:>8.1} {:>8.0}",
                        row.method,
                        row.set,
                        row.seed,
                        row.acc,
                        row.nmi,
                        row.ari,
                        row.clusters,
                        row.initial_ari,
                        row.rarest_f1,
                        row.seconds,
                        row.cpu_seconds,
                        row.peak_rss_mb
                    );
                    rows.push(row);
                }
            }
        }
    }
    print_summary(&rows);
    if let Some(path) = &arguments.json {
        std::fs::write(path, serde_json::to_string_pretty(&rows)?)?;
    }
    Ok(())
}

fn print_summary(rows: &[Row]) {
    println!("\nmean ± sd over seeds");
    let mut keys: Vec<(&str, &str)> = rows
        .iter()
        .map(|row| (row.set.as_str(), row.method.as_str()))
        .collect();
    keys.dedup();
    keys.sort_unstable();
    keys.dedup();
    for (set, method) in keys {
        let column = |value: fn(&Row) -> f64| {
            let values: Vec<f64> = rows
                .iter()
                .filter(|row| row.set == set && row.method == method)
                .map(value)
                .collect();
            let mean = values.iter().sum::<f64>() / values.len() as f64;
            let squares: f64 = values.iter().map(|v| (v - mean).powi(2)).sum();
            let deviation = (squares / (values.len().max(2) - 1) as f64).sqrt();
            format!("{mean:.3} ± {deviation:.3}")
        };
        println!(
            "{method:<22} {set:<23} ACC {}  NMI {}  ARI {}  clusters {}  CPU s {}",
            column(|row| row.acc),
            column(|row| row.nmi),
            column(|row| row.ari),
            column(|row| row.clusters as f64),
            column(|row| row.cpu_seconds),
        );
    }
}

/// Runs one (file, method, seed) in a process of its own.
fn run_in_own_process(
    arguments: &Arguments,
    file: &std::path::Path,
    method: Method,
    seed: u64,
) -> std::result::Result<Vec<Row>, Box<dyn std::error::Error>> {
    let resolutions: Vec<String> = arguments.resolutions.iter().map(f64::to_string).collect();
    let value_name = |value: &dyn Fn() -> Option<clap::builder::PossibleValue>| {
        value()
            .map(|value| value.get_name().to_string())
            .unwrap_or_default()
    };
    let mut command = Command::new(std::env::current_exe()?);
    command
        .arg(file)
        .arg("--single")
        .args(["--methods", &value_name(&|| method.to_possible_value())])
        .args([
            "--preset",
            &value_name(&|| arguments.preset.to_possible_value()),
        ])
        .args(["--first-seed", &seed.to_string()])
        .args(["--label", &arguments.label])
        .args(["--pairs", &arguments.pairs.to_string()])
        .args(["--ensemble", &arguments.ensemble.to_string()])
        .args(["--labelled", &arguments.labelled.to_string()])
        .args(["--pair-errors", &arguments.pair_errors.to_string()])
        .args(["--device", &arguments.device]);
    for setting in &arguments.settings {
        command.args(["--set", setting]);
    }
    for setting in &arguments.input_settings {
        command.args(["--set-input", setting]);
    }
    if arguments.batch_scaling {
        command.arg("--batch-scaling");
    }
    if let Some(name) = &arguments.name {
        command.args(["--name", name]);
    }
    if !resolutions.is_empty() {
        command.args(["--resolutions", &resolutions.join(",")]);
    }
    for (option, value) in [
        ("--clusters", arguments.clusters),
        ("--variable-genes", arguments.variable_genes),
        ("--pretraining-epochs", arguments.pretraining_epochs),
        ("--max-epochs", arguments.max_epochs),
    ] {
        if let Some(value) = value {
            command.args([option, &value.to_string()]);
        }
    }
    let output = command.stderr(std::process::Stdio::inherit()).output()?;
    if !output.status.success() {
        return Err(format!("{} with seed {seed} failed", file.display()).into());
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

fn run_single(arguments: &Arguments) -> std::result::Result<Vec<Row>, Box<dyn std::error::Error>> {
    let set = sets::read(&arguments.files[0], &arguments.label, arguments.first_seed)?;
    let names = &set.labels;
    let device = celldec::device::by_name(&arguments.device)?;
    let seed = arguments.first_seed;
    let method = arguments.methods[0];
    let start = Instant::now();
    let cpu_start = cpu_seconds();

    let preprocess = match (method, arguments.preset) {
        (Method::Desc, Preset::Reference) => Preprocess::desc_reference(),
        (Method::Desc, _) => Preprocess::desc(),
        (_, Preset::Reference) => Preprocess::scdcc_reference(),
        (_, _) => Preprocess::scdcc(),
    };
    let preprocess = match (method, arguments.variable_genes) {
        (Method::Scdcc, Some(count)) => {
            preprocess.with_variable_genes(VariableGenes::seurat(count))
        }
        _ => preprocess,
    };
    let preprocess = with_settings(preprocess, &arguments.input_settings)?;
    let cells = set.prepare(&preprocess, arguments.batch_scaling)?;
    let truth: Vec<&String> = cells
        .kept_cells()
        .iter()
        .map(|&cell| &names[cell])
        .collect();
    let (truth, types) = metrics::encode_labels(&truth);

    let (labelled, constraints) = constraints(arguments, &truth, seed)?;
    let scored: Vec<usize> = (0..truth.len()).filter(|&cell| !labelled[cell]).collect();
    let score =
        |labels: &[usize], name: String, converged: bool, epochs: usize, initial: &[usize]| {
            let pick =
                |labels: &[usize]| -> Vec<usize> { scored.iter().map(|&c| labels[c]).collect() };
            let (truth, found, initial) = (pick(&truth), pick(labels), pick(initial));
            let clusters = found
                .iter()
                .collect::<std::collections::BTreeSet<_>>()
                .len();
            celldec::Result::Ok(Row {
                method: match &arguments.name {
                    Some(variant) => format!("{name} {variant}"),
                    None => name,
                },
                set: set.name.clone(),
                seed,
                preset: format!("{:?}", arguments.preset).to_lowercase(),
                acc: metrics::clustering_accuracy(&truth, &found)?,
                nmi: metrics::normalized_mutual_information(&truth, &found)?,
                ari: metrics::adjusted_rand_index(&truth, &found)?,
                initial_ari: metrics::adjusted_rand_index(&truth, &initial)?,
                rarest_f1: rarest_f1(&truth, &found),
                clusters,
                epochs,
                converged,
                seconds: start.elapsed().as_secs_f64(),
                cpu_seconds: cpu_seconds() - cpu_start,
                peak_rss_mb: peak_rss_mb(),
            })
        };

    let rows = match method {
        Method::Scdcc => {
            let clusters = arguments.clusters.unwrap_or(types.len());
            let plan = match arguments.preset {
                Preset::Default => Plan::scdcc(clusters),
                Preset::Auto => Plan::scdcc_auto(),
                Preset::Reference => Plan::scdcc_reference(clusters),
            };
            let pretraining = arguments
                .pretraining_epochs
                .unwrap_or(plan.pretraining.epochs());
            let self_training = arguments
                .max_epochs
                .unwrap_or(plan.self_training.max_epochs);
            let plan = plan.with_epochs(pretraining, self_training);
            let pairs = match arguments.preset {
                Preset::Default | Preset::Auto => PairSettings::default(),
                Preset::Reference => PairSettings::published(),
            };
            let (mut plan, pairs) = changed(plan, pairs, &arguments.settings)?;
            if arguments.pairs > 0 {
                let training = PairTraining::new(constraints)
                    .with_start_at_groups(pairs.start_at_groups)
                    .with_guided_target(pairs.guided_target)
                    .with_pair_errors(pairs.pair_errors);
                plan = plan.with_pairs(training);
            }
            let first = seed * arguments.ensemble as u64;
            let ensemble = Ensemble::fit(arguments.ensemble, first, |seed| {
                Ok(plan.clone().with_seed(seed).trainer(&device)?.fit(&cells)?)
            })?;
            let mut name = match arguments.pairs {
                0 => "scdcc".to_string(),
                pairs => format!("scdcc {pairs} pairs"),
            };
            if arguments.ensemble > 1 {
                name = format!("{name} ensemble {}", arguments.ensemble);
            }
            let fit = ensemble.medoid();
            let status = fit.status();
            vec![score(
                &ensemble.consensus().labels,
                name,
                status.converged,
                status.self_training_epochs,
                fit.initial_labels(),
            )?]
        }
        Method::Desc => {
            let plan = match (arguments.preset, arguments.pretraining_epochs) {
                (Preset::Reference, Some(epochs)) => {
                    Plan::desc_reference().with_published_pretraining(epochs)
                }
                (Preset::Reference, None) => Plan::desc_reference(),
                (preset, epochs) => {
                    let plan = match preset {
                        Preset::Auto => Plan::desc_auto(),
                        _ => Plan::desc(),
                    };
                    let default = plan.pretraining.epochs();
                    plan.with_pretraining(|phase| phase.with_epochs(epochs.unwrap_or(default)))
                }
            };
            let self_training = arguments
                .max_epochs
                .unwrap_or(plan.self_training.max_epochs);
            let plan = plan.with_self_training(|phase| phase.with_max_epochs(self_training));
            let plan = match arguments.resolutions.is_empty() {
                true => plan,
                false => plan.with_resolutions(arguments.resolutions.clone()),
            };
            let (plan, _) = changed(plan, PairSettings::default(), &arguments.settings)?;
            plan.with_seed(seed)
                .trainer(&device)?
                .fit_each(&cells)?
                .iter()
                .map(|fit| {
                    let status = fit.status();
                    score(
                        fit.clusters().labels(),
                        match (arguments.preset, fit.resolution()) {
                            (Preset::Default | Preset::Reference, Some(resolution)) => {
                                format!("desc {resolution}")
                            }
                            _ => "desc".to_string(),
                        },
                        status.converged,
                        status.self_training_epochs,
                        fit.initial_labels(),
                    )
                })
                .collect::<celldec::Result<_>>()?
        }
        Method::Pca => run_components(arguments, &set)?,
    };
    Ok(rows)
}

/// k-means of principal components, without a network.
fn run_components(
    arguments: &Arguments,
    set: &sets::LabelledCounts,
) -> std::result::Result<Vec<Row>, Box<dyn std::error::Error>> {
    const COMPONENTS: usize = 50;
    let seed = arguments.first_seed;
    let z_scores = Preprocess::scdcc_reference()
        .with_variable_genes(arguments.variable_genes.map(VariableGenes::seurat));
    let inputs = [
        ("log1p", Some(Scaling::z_score().with_exponent(0.0))),
        ("z-scores", Some(Scaling::z_score())),
        ("square root", Some(Scaling::square_root())),
    ];
    let mut rows = Vec::new();
    for (name, scaling) in inputs {
        let (start, cpu_start) = (Instant::now(), cpu_seconds());
        let cells = z_scores.clone().with_scaling(scaling).fit(&set.counts)?;
        let truth: Vec<&String> = cells
            .kept_cells()
            .iter()
            .map(|&cell| &set.labels[cell])
            .collect();
        let (truth, types) = metrics::encode_labels(&truth);
        let components = PrincipalComponents::fit(&cells, COMPONENTS, seed)?;
        let clusters = arguments.clusters.unwrap_or(types.len());
        let found = KMeansConfig::new(clusters).fit(components.transform(&cells)?.view(), seed)?;
        let ari = metrics::adjusted_rand_index(&truth, &found.labels)?;
        rows.push(Row {
            method: format!("pca {name}"),
            set: set.name.clone(),
            seed,
            preset: "none".into(),
            acc: metrics::clustering_accuracy(&truth, &found.labels)?,
            nmi: metrics::normalized_mutual_information(&truth, &found.labels)?,
            ari,
            initial_ari: ari,
            rarest_f1: rarest_f1(&truth, &found.labels),
            clusters,
            epochs: 0,
            converged: true,
            seconds: start.elapsed().as_secs_f64(),
            cpu_seconds: cpu_seconds() - cpu_start,
            peak_rss_mb: peak_rss_mb(),
        });
    }
    Ok(rows)
}

/// Which cells are labelled, and constraint pairs drawn from them.
fn constraints(
    arguments: &Arguments,
    truth: &[usize],
    seed: u64,
) -> celldec::Result<(Vec<bool>, ConstraintPairs)> {
    use celldec::random::{Purpose, stream};
    use rand::RngExt;

    let mut labelled = vec![false; truth.len()];
    if arguments.pairs == 0 {
        return Ok((labelled, ConstraintPairs::default()));
    }
    let count = (truth.len() as f64 * arguments.labelled).round() as usize;
    let mut rng = stream(seed, Purpose::Subsample, 1, 0);
    for cell in rand::seq::index::sample(&mut rng, truth.len(), count.min(truth.len())) {
        labelled[cell] = true;
    }
    let known: Vec<Option<usize>> = truth
        .iter()
        .zip(&labelled)
        .map(|(&label, &known)| known.then_some(label))
        .collect();
    let pairs = ConstraintPairs::from_labels(&known, arguments.pairs, seed)?;
    if arguments.pair_errors == 0.0 {
        return Ok((labelled, pairs));
    }
    let (mut must_link, mut cannot_link) = (Vec::new(), Vec::new());
    let must_pairs = pairs.must_link().iter().map(|pair| (true, pair));
    let cannot_pairs = pairs.cannot_link().iter().map(|pair| (false, pair));
    for (together, &pair) in must_pairs.chain(cannot_pairs) {
        match together != rng.random_bool(arguments.pair_errors) {
            true => must_link.push(pair),
            false => cannot_link.push(pair),
        }
    }
    let pairs = ConstraintPairs::with_contradictions(must_link, cannot_link)?;
    Ok((labelled, pairs))
}

/// The best F1 score of any cluster for the type with the fewest cells: 1 when it is exactly one
/// cluster.
fn rarest_f1(truth: &[usize], found: &[usize]) -> f64 {
    let count = |labels: &[usize]| {
        let mut sizes = std::collections::BTreeMap::<usize, usize>::new();
        for &label in labels {
            *sizes.entry(label).or_default() += 1;
        }
        sizes
    };
    let sizes = count(truth);
    let Some((&rarest, &size)) = sizes.iter().min_by_key(|(_, size)| **size) else {
        return 0.0;
    };
    let members: Vec<usize> = truth
        .iter()
        .zip(found)
        .filter_map(|(&label, &cluster)| (label == rarest).then_some(cluster))
        .collect();
    let clusters = count(found);
    count(&members)
        .iter()
        .map(|(cluster, &shared)| 2.0 * shared as f64 / (size + clusters[cluster]) as f64)
        .fold(0.0, f64::max)
}

/// CPU seconds of this process so far; 0 where the system does not tell.
fn cpu_seconds() -> f64 {
    let ticks = || -> Option<f64> {
        let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
        let mut fields = stat.rsplit(')').next()?.split_whitespace().skip(11);
        let user: f64 = fields.next()?.parse().ok()?;
        let system: f64 = fields.next()?.parse().ok()?;
        Some((user + system) / 100.0)
    };
    ticks().unwrap_or_default()
}

/// Largest resident memory of this process so far in MB; 0 where the system does not tell.
fn peak_rss_mb() -> f64 {
    let read = || -> Option<f64> {
        let status = std::fs::read_to_string("/proc/self/status").ok()?;
        let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
        let kilobytes: f64 = line.split_whitespace().nth(1)?.parse().ok()?;
        Some(kilobytes / 1024.0)
    };
    read().unwrap_or_default()
}
