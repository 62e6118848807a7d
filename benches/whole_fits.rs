//! Whole default fits, and the neighbours of cells, from ten thousand to a million cells.
//!
//! ```text
//! cargo run --release --features cli --example whole_fits -- fit --method desc --cells 10000,100000
//! cargo run --release --features cli --example whole_fits -- neighbors --cells 100000,1000000
//! ```
//!
//! Simulated counts: 2000 genes, about a tenth of the entries not zero, 12 groups, in each of which a
//! twentieth of the genes is expressed more. One line a figure, `NAME VALUE`; the number of cells is the
//! end of the name (`100k`, `1m`). `RAYON_NUM_THREADS` sets the number of threads. Linux only: memory and
//! processor time are read from `/proc/self`.
//!
//! `fit`: preprocessing and fit with the defaults of the method, from counts in memory to labels:
//! `fit_seconds`, `fit_cpu_seconds`, `fit_ari` (agreement with the simulated groups), `fit_peak_mb`, the
//! largest resident memory of the process from the raw counts on; the seconds of its parts
//! (`preprocess_seconds`, `pretraining_seconds`, `start_seconds`, `self_training_seconds`) and the epochs
//! of both phases; `fit_expected_mb`, what the plan says of its memory before; `time_left_factor`, how
//! far the time that the fit was foreseen to take was from that which it took, at worst; and
//! `fit_exponent`, that of the time over the number of cells, between the least and the greatest number.
//!
//! `neighbors`: 15 neighbours in the latent space of scDCC after so many steps of pretraining as 50 000
//! cells have by default:
//! `neighbors_seconds`, `neighbors_cpu_seconds` and `neighbors_recall_percent`, how many of the true
//! ones are among those found, over 500 of the cells.

#[path = "shared/process.rs"]
mod process;
#[path = "shared/size.rs"]
mod size;

use std::collections::BTreeSet;
use std::error::Error;
use std::time::Instant;

use burn::module::Module;
use celldec::batches::Batches;
use celldec::counts::{Simulation, SimulationConfig};
use celldec::device::by_name;
use celldec::graph::NeighborSearch;
use celldec::metrics::adjusted_rand_index;
use celldec::model::evaluate;
use celldec::nn::ReconstructionHead;
use celldec::prelude::*;
use celldec::train::{DataSize, TimeLeft};
use clap::{Parser, Subcommand, ValueEnum};
use ndarray::{Array2, ArrayView1};

use process::{peak_memory, processor_seconds, reset_peak};
use size::size;

const GENES: usize = 2000;
const GROUPS: usize = 12;
/// Neighbours of a cell.
const NEIGHBORS: usize = 15;
/// Cells after whose default pretraining neighbours are looked for.
const STEPS_OF: usize = 50_000;
/// Cells whose neighbours are compared with the true ones.
const COMPARED: usize = 500;

/// Whole fits, and neighbours, of many cells.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    figure: Figure,
}

#[derive(Subcommand)]
enum Figure {
    /// Time, memory and agreement of whole fits.
    Fit {
        /// The method.
        #[arg(long)]
        method: Method,
        /// Numbers of cells.
        #[arg(long, value_delimiter = ',', default_values_t = [10_000, 30_000, 100_000])]
        cells: Vec<usize>,
        /// Epochs of pretraining; those of the method.
        #[arg(long)]
        pretraining_epochs: Option<usize>,
    },
    /// Time and recall of the search for neighbours.
    Neighbors {
        /// Numbers of cells.
        #[arg(long, value_delimiter = ',', default_values_t = [30_000, 100_000, 1_000_000])]
        cells: Vec<usize>,
        /// The share of the true neighbours to find; the default of the library.
        #[arg(long)]
        recall: Option<f64>,
        /// Say what the search decides.
        #[arg(long)]
        verbose: bool,
    },
}

#[derive(Clone, Copy, ValueEnum)]
enum Method {
    Scdcc,
    Desc,
}

fn main() -> Result<(), Box<dyn Error>> {
    match Arguments::parse().figure {
        Figure::Fit {
            method,
            cells,
            pretraining_epochs,
        } => fits(method, &cells, pretraining_epochs),
        Figure::Neighbors {
            cells,
            recall,
            verbose,
        } => {
            if verbose {
                tracing_subscriber::fmt()
                    .with_max_level(tracing_subscriber::filter::LevelFilter::DEBUG)
                    .with_writer(std::io::stderr)
                    .init();
            }
            cells
                .into_iter()
                .try_for_each(|cells| neighbors(cells, recall))
        }
    }
}

fn simulated(cells: usize) -> celldec::Result<Simulation> {
    SimulationConfig::new(cells, GENES)
        .with_groups(GROUPS)
        .with_differential_expression(0.05, 1.0, 0.7)
        .with_down_regulation(0.0)
        .with_seed(1)
        .simulate()
}

fn fits(method: Method, sizes: &[usize], epochs: Option<usize>) -> Result<(), Box<dyn Error>> {
    let mut times = Vec::new();
    for &cells in sizes {
        let seconds = match method {
            Method::Scdcc => fit(cells, &Preprocess::scdcc(), Plan::scdcc(GROUPS), epochs)?,
            Method::Desc => fit(cells, &Preprocess::desc(), Plan::desc(), epochs)?,
        };
        times.push((cells as f64, seconds));
    }
    if let ([(few, short), ..], [.., (many, long)]) = (&times[..], &times[..])
        && few < many
    {
        println!(
            "fit_exponent {:.3}",
            (long / short).ln() / (many / few).ln()
        );
    }
    Ok(())
}

/// Prints the figures of a fit and returns its seconds.
fn fit<H: ReconstructionHead>(
    count: usize,
    preprocess: &Preprocess,
    plan: Plan<H>,
    epochs: Option<usize>,
) -> Result<f64, Box<dyn Error>> {
    let size = size(count);
    let plan = match epochs {
        Some(epochs) => plan.with_pretraining(|phase| phase.with_epochs(epochs)),
        None => plan,
    };
    let Simulation { counts, groups, .. } = simulated(count)?;
    reset_peak()?;
    let (start, processor) = (Instant::now(), processor_seconds()?);
    let cells = preprocess.fit(&counts)?;
    drop(counts);
    println!(
        "preprocess_seconds_{size} {:.1}",
        start.elapsed().as_secs_f64()
    );
    let memory = plan.memory(&DataSize::of(&cells)).peak();
    println!("fit_expected_mb_{size} {:.0}", memory as f64 / 1e6);
    let trainer = plan.trainer(&by_name("cpu")?)?;
    let mut left = TimeLeft::new(&plan, cells.cells());
    let mut told = Vec::new();
    let fit = trainer.fit_observed(&cells, &mut |event: &Event<'_>| {
        left.note(event);
        match event {
            Event::PhaseFinished {
                phase,
                epochs,
                seconds,
            } => {
                let name = phase.to_string().replace([' ', '-'], "_");
                println!("{name}_seconds_{size} {seconds:.1}\n{name}_epochs_{size} {epochs}");
            }
            Event::CentroidsFound { seconds, .. } => println!("start_seconds_{size} {seconds:.1}"),
            Event::EpochFinished(_) => {
                told.extend(
                    left.seconds()
                        .map(|left| (start.elapsed().as_secs_f64(), left)),
                );
            }
            _ => {}
        }
    })?;
    let seconds = start.elapsed().as_secs_f64();
    println!(
        "time_left_factor_{size} {:.2}",
        worst_factor(&told, seconds)
    );
    let kept: Vec<usize> = cells
        .kept_cells()
        .iter()
        .map(|&cell| groups[cell])
        .collect();
    let agreement = adjusted_rand_index(&kept, fit.clusters().labels())?;
    println!("fit_seconds_{size} {seconds:.1}");
    println!(
        "fit_cpu_seconds_{size} {:.1}",
        processor_seconds()? - processor
    );
    println!("fit_clusters_{size} {}", fit.clusters().count());
    println!("fit_ari_{size} {agreement:.3}");
    println!("fit_peak_mb_{size} {:.0}", peak_memory()? as f64 / 1e6);
    for warning in &fit.status().warnings {
        println!("# {warning}");
    }
    Ok(seconds)
}

/// How far the end that was foreseen is from that which came, at most, in time from the start: from the
/// second epoch on.
fn worst_factor(told: &[(f64, f64)], end: f64) -> f64 {
    let later = told.iter().skip(1);
    later
        .map(|&(at, left)| ((at + left) / end).max(end / (at + left)))
        .fold(1.0, f64::max)
}

fn neighbors(count: usize, recall: Option<f64>) -> Result<(), Box<dyn Error>> {
    let size = size(count);
    let cells = Preprocess::scdcc().fit(&simulated(count)?.counts)?;
    let device = by_name("cpu")?;
    let plan = Plan::scdcc(GROUPS);
    let most = plan.pretraining.epochs();
    let epochs = (most * STEPS_OF / count).clamp(1, most);
    let trainer = plan
        .with_pretraining(|phase| phase.with_epochs(epochs))
        .trainer(&device)?;
    let encoder = trainer
        .pretrain(&cells, &mut trainer.run())?
        .encoder
        .valid();
    let embedding = evaluate(&encoder, None, &Batches::new(&cells, &device))?.embedding;
    drop(cells);
    let mut search = NeighborSearch::default().with_exact_up_to(0);
    if let Some(recall) = recall {
        search = search.with_recall(recall);
    }
    let (start, processor) = (Instant::now(), processor_seconds()?);
    let found = search.find(embedding.view(), NEIGHBORS)?;
    println!(
        "neighbors_seconds_{size} {:.2}",
        start.elapsed().as_secs_f64()
    );
    println!(
        "neighbors_cpu_seconds_{size} {:.2}",
        processor_seconds()? - processor
    );
    let compared: Vec<usize> = (0..COMPARED)
        .map(|number| number * count / COMPARED)
        .collect();
    let hits: usize = compared
        .iter()
        .map(|&cell| {
            let nearest = nearest(&embedding, cell);
            let row = found.indices.row(cell);
            row.iter()
                .filter(|&&index| nearest.contains(&(index as usize)))
                .count()
        })
        .sum();
    let recall = 100.0 * hits as f64 / (compared.len() * NEIGHBORS) as f64;
    println!("neighbors_recall_percent_{size} {recall:.2}");
    Ok(())
}

/// The nearest cells of a cell, from all distances.
fn nearest(embedding: &Array2<f32>, cell: usize) -> BTreeSet<usize> {
    let own = embedding.row(cell);
    let distance = |other: ArrayView1<f32>| -> f32 {
        own.iter().zip(other).map(|(a, b)| (a - b) * (a - b)).sum()
    };
    let others = embedding.rows().into_iter().enumerate();
    let mut all: Vec<(f32, usize)> = others
        .filter(|(other, _)| *other != cell)
        .map(|(other, row)| (distance(row), other))
        .collect();
    all.select_nth_unstable_by(NEIGHBORS - 1, |a, b| a.0.total_cmp(&b.0));
    all[..NEIGHBORS].iter().map(|&(_, other)| other).collect()
}
