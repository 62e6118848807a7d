//! Compares where clusters may begin, on the embedding after pretraining, without self-training:
//! rules of choice among single starts of k-means, and graph communities.
//!
//! ```text
//! cargo run --release --features cli --example starts -- --seeds 3 sim:rare FILE.h5ad…
//! ```

mod sets;

use std::path::PathBuf;

use burn::module::Module;
use celldec::batches::Batches;
use celldec::graph::{
    CommunityMethod, Graph, Neighbors, connectivities, find_communities, modularity,
    nearest_neighbors,
};
use celldec::metrics::{adjusted_rand_index, encode_labels};
use celldec::model::evaluate;
use celldec::prelude::*;
use celldec::random::{Purpose, stream};
use celldec::start::{KMeans, KMeansConfig};
use clap::{Parser, ValueEnum};
use ndarray::Array2;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Method {
    Scdcc,
    Desc,
}

/// Agreement of starting labels with cell types, by rule.
#[derive(Debug, Parser)]
struct Arguments {
    /// AnnData files with raw counts in X and labels in obs["cell_type"], subsets drawn from them
    /// as subset:FILE, or simulated families as sim:rare. Of more than 5000 genes the 2000 most
    /// variable are kept.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Whose embedding.
    #[arg(long, default_value = "scdcc")]
    method: Method,
    /// Number of seeds of the pretraining, counted from 0.
    #[arg(long, default_value_t = 3)]
    seeds: u64,
    /// Single starts of k-means for every embedding; 0: graph communities only.
    #[arg(long, default_value_t = 40)]
    starts: usize,
    /// The most averages over neighbours before k-means.
    #[arg(long, default_value_t = 2)]
    rounds: usize,
    /// Resolutions of the graph communities.
    #[arg(long, value_delimiter = ',', default_values_t = [0.1, 0.2, 0.3, 0.5, 0.8])]
    resolutions: Vec<f64>,
    /// Numbers of neighbours of a cell in the graph.
    #[arg(long, value_delimiter = ',', default_values_t = [14, 29])]
    neighbors: Vec<usize>,
}

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let arguments = Arguments::parse();
    for file in &arguments.files {
        let mut table = Table::default();
        let mut name = String::new();
        for seed in 0..arguments.seeds {
            let set = sets::read(file, "cell_type", seed)?;
            let (embedding, truth) = embed(&arguments, &set, seed)?;
            name = set.name;
            if arguments.starts > 0 {
                compare_rules(&arguments, &embedding, &truth, seed, &mut table)?;
            }
            compare_graphs(&arguments, &embedding, &truth, seed, &mut table)?;
        }
        table.print(&name);
    }
    Ok(())
}

/// The embedding after pretraining and the types of the cells.
fn embed(
    arguments: &Arguments,
    set: &sets::LabelledCounts,
    seed: u64,
) -> std::result::Result<(Array2<f32>, Vec<usize>), Box<dyn std::error::Error>> {
    let device = celldec::device::by_name("cpu")?;
    let many_genes = set.counts.genes() > 5000;
    let genes = many_genes.then(|| VariableGenes::seurat(2000));
    let (encoder, cells) = match arguments.method {
        Method::Scdcc => {
            let preprocess = Preprocess::scdcc().with_variable_genes(genes);
            let cells = set.prepare(&preprocess, true)?;
            let trainer = Plan::scdcc(2).with_seed(seed).trainer(&device)?;
            let autoencoder = trainer.pretrain(&cells, &mut trainer.run())?;
            (autoencoder.encoder, cells)
        }
        Method::Desc => {
            let cells = set.prepare(&Preprocess::desc(), true)?;
            let trainer = Plan::desc().with_seed(seed).trainer(&device)?;
            let autoencoder = trainer.pretrain(&cells, &mut trainer.run())?;
            (autoencoder.encoder, cells)
        }
    };
    let truth = cells.kept_cells().iter().map(|&cell| &set.labels[cell]);
    let truth = encode_labels(&truth.collect::<Vec<_>>()).0;
    let batches = Batches::new(&cells, &device);
    Ok((evaluate(&encoder.valid(), None, &batches)?.embedding, truth))
}

/// Rows of mean agreement and mean number of clusters.
#[derive(Default)]
struct Table(Vec<(String, Vec<(f64, f64)>)>);

impl Table {
    fn add(&mut self, rule: String, agreement: f64, clusters: f64) {
        let found = self.0.iter().position(|(name, _)| *name == rule);
        let row = found.unwrap_or_else(|| {
            self.0.push((rule, Vec::new()));
            self.0.len() - 1
        });
        self.0[row].1.push((agreement, clusters));
    }

    fn print(&self, set: &str) {
        for (rule, values) in &self.0 {
            let mean = |part: fn(&(f64, f64)) -> f64| {
                values.iter().map(part).sum::<f64>() / values.len() as f64
            };
            println!(
                "{set:<23} {rule:<56} ARI {:.3}  clusters {:.1}",
                mean(|value| value.0),
                mean(|value| value.1)
            );
        }
    }
}

/// One start of k-means.
struct Start {
    inertia: f64,
    /// At the [`RESOLUTIONS`].
    modularity: [f64; RESOLUTIONS.len()],
    agreement: f64,
}

/// Resolutions at which modularity is compared.
const RESOLUTIONS: [f64; 4] = [0.25, 0.5, 0.75, 1.0];
/// Shares of the starts, least inertia first, among which modularity chooses.
const SHORTLISTS: [f64; 4] = [1.0, 0.5, 0.25, 0.1];

/// Draws three quarters of the starts twenty times, and chooses among them by every rule: after
/// every number of averages over neighbours, and of all but the unaveraged ones together.
fn compare_rules(
    arguments: &Arguments,
    embedding: &Array2<f32>,
    truth: &[usize],
    seed: u64,
    table: &mut Table,
) -> celldec::Result<()> {
    const DRAWS: u64 = 20;
    let clusters = truth.iter().max().map_or(0, |&last| last + 1);
    let count = clusters as f64;
    let neighbors = nearest_neighbors(embedding.view(), 15)?;
    let graph = connectivities(&neighbors)?;
    let config = KMeansConfig::new(clusters).with_restarts(arguments.starts);
    let mut points = embedding.clone();
    let mut of_rounds: Vec<Vec<Start>> = Vec::new();
    for round in 0..=arguments.rounds {
        if round > 0 {
            points = neighbors.average(points.view());
        }
        let runs = config.fit_all(points.view(), seed)?.into_iter();
        let starts = runs.map(|run| start(&run, &graph, truth));
        of_rounds.push(starts.collect::<celldec::Result<Vec<_>>>()?);
    }
    for (round, starts) in of_rounds.iter().enumerate() {
        let mean = starts.iter().map(|start| start.agreement).sum::<f64>() / starts.len() as f64;
        table.add(format!("averaged {round} times, one start"), mean, count);
    }
    for draw in 0..DRAWS {
        let mut random = stream(seed, Purpose::Subsample, draw, 1);
        // The starts of a round come least inertia first, so these are ranks, the same of each round.
        let drawn = rand::seq::index::sample(
            &mut random,
            arguments.starts,
            (arguments.starts * 3).div_ceil(4),
        );
        let drawn: Vec<Vec<&Start>> = of_rounds
            .iter()
            .map(|starts| drawn.iter().filter_map(|start| starts.get(start)).collect())
            .collect();
        for (round, starts) in drawn.iter().enumerate() {
            for (rule, choice) in rules(starts) {
                let rule = format!("averaged {round} times, {rule}");
                table.add(rule, choice.agreement, count);
            }
        }
        if let Some(averaged) = drawn.get(1..).filter(|averaged| !averaged.is_empty()) {
            for (rule, choice) in rules_of_shortlists(averaged) {
                table.add(format!("all averaged, {rule}"), choice.agreement, count);
            }
        }
    }
    Ok(())
}

fn start(run: &KMeans, graph: &Graph, truth: &[usize]) -> celldec::Result<Start> {
    let mut of_resolutions = [0.0; RESOLUTIONS.len()];
    for (value, resolution) in of_resolutions.iter_mut().zip(RESOLUTIONS) {
        *value = modularity(graph, &run.labels, resolution)?;
    }
    Ok(Start {
        inertia: run.inertia,
        modularity: of_resolutions,
        agreement: adjusted_rand_index(truth, &run.labels)?,
    })
}

/// What every rule chooses.
fn rules<'a>(starts: &[&'a Start]) -> Vec<(String, &'a Start)> {
    let least = ranked(starts, |start| -start.inertia)[0];
    let mut choices = vec![("least inertia".into(), least)];
    choices.extend(rules_of_shortlists(&[starts.to_vec()]));
    choices
}

/// What modularity chooses among the best of each of the lists together.
fn rules_of_shortlists<'a>(lists: &[Vec<&'a Start>]) -> Vec<(String, &'a Start)> {
    let mut choices = Vec::new();
    for share in SHORTLISTS {
        let shortlists = lists.iter().flat_map(|starts| {
            let count = (starts.len() as f64 * share).ceil() as usize;
            ranked(starts, |start| -start.inertia)
                .into_iter()
                .take(count)
        });
        let shortlisted: Vec<&Start> = shortlists.collect();
        for (index, resolution) in RESOLUTIONS.into_iter().enumerate() {
            let ranked = ranked(&shortlisted, |start| start.modularity[index]);
            let rule = format!("best {share} by inertia, modularity {resolution}");
            choices.push((rule, ranked[0]));
        }
    }
    choices
}

/// Starts in the order of falling scores.
fn ranked<'a>(starts: &[&'a Start], score: impl Fn(&Start) -> f64) -> Vec<&'a Start> {
    let mut order = starts.to_vec();
    order.sort_by(|a, b| score(b).total_cmp(&score(a)));
    order
}

fn compare_graphs(
    arguments: &Arguments,
    embedding: &Array2<f32>,
    truth: &[usize],
    seed: u64,
    table: &mut Table,
) -> celldec::Result<()> {
    for &count in &arguments.neighbors {
        let neighbors: Neighbors = nearest_neighbors(embedding.view(), count)?;
        let graph = connectivities(&neighbors)?;
        for &resolution in &arguments.resolutions {
            let labels = find_communities(&graph, resolution, CommunityMethod::Leiden, seed)?;
            let clusters = labels.iter().max().map_or(0, |&last| last + 1);
            table.add(
                format!("Leiden at {resolution}, {count} neighbours"),
                adjusted_rand_index(truth, &labels)?,
                clusters as f64,
            );
        }
    }
    Ok(())
}
