//! How time and memory grow with the number of cells.
//!
//! ```text
//! cargo run --release --features cli --example scale -- memory
//! cargo run --release --features cli --example scale -- time
//! ```
//!
//! Simulated counts, 2000 genes, about a tenth of the entries not zero, scDCC's reference network
//! in batches of 256 cells on the CPU. One line a figure, `NAME VALUE`; the number of cells is the
//! end of the name (`100k`, `1m`), megabytes are 10⁶ bytes. `RAYON_NUM_THREADS` sets the number of
//! threads. Linux only: memory and processor time are read from `/proc/self`.
//!
//! # Memory
//!
//! Every figure is the peak of the resident memory of the whole process (program, threads' stacks
//! and allocator included) over some stretch, less the bytes of one matrix of counts in compressed
//! sparse rows (CSR): 4 for each value, 4 for each gene index, 8 for each row offset.
//!
//! | figure | stretch | what is held besides the CSR that is subtracted |
//! |---|---|---|
//! | `simulation_peak_over_csr_mb` | drawing the counts | the simulated groups and names, temporaries |
//! | `preprocess_peak_over_csr_mb` | `Preprocess::fit` | the `Cells` it makes, with a CSR of their own, temporaries |
//! | `peak_over_csr_mb` | `ScdccTrainer::fit`, from the initial weights to the results | everything but the CSR in `Cells`: names, size factors, network, optimizers, batches, k-means, q and p of all cells, the fit's results, which are then read |
//!
//! The raw counts are dropped between preprocessing and the fit, as in a program that reads a
//! file, prepares it and trains. One that keeps them holds one more CSR.
//! `pretraining_peak_over_csr_mb`, `start_peak_over_csr_mb` and `self_training_peak_over_csr_mb` are
//! the parts of `peak_over_csr_mb`, which is the largest of them.
//!
//! # Time
//!
//! `microseconds_per_cell_epoch`: an epoch of pretraining over its cells.
//! `microseconds_per_cell_assignment`: embedding, q and p of all cells, what every update of the
//! target costs, over its cells. Medians of repetitions; the largest number of cells has one, the
//! others are measured before and after it.
//! `cpu_microseconds_…` is the processor time of all threads over the same stretch: other programs
//! on the machine disturb it less than they do the clock. `…_largest_over_smallest` compares the
//! numbers of cells with each other.

#[path = "shared/cells.rs"]
mod cells;
#[path = "shared/process.rs"]
mod process;
#[path = "shared/simulation.rs"]
mod simulation;
#[path = "shared/size.rs"]
mod size;

use std::error::Error;
use std::time::Instant;

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use celldec::batches::Batches;
use celldec::counts::CountMatrix;
use celldec::device::by_name;
use celldec::loss::SharpenedTarget;
use celldec::model::{Phase, evaluate};
use celldec::nn::{ClusteringLayer, Encoder, SimilarityKernel};
use celldec::preprocess::Cells;
use celldec::train::{Event, Plan};
use clap::{Parser, Subcommand};
use ndarray::s;

use cells::simulated_cells;
use process::{peak_memory, processor_seconds, reset_peak};
use simulation::{GROUPS, preprocessing, simulation};
use size::size;

/// Cells that a measurement of time goes through, in as many repetitions as that takes.
const TIMED_CELLS: usize = 50_000;

/// Cells of the run before the first measurement of time, which allocates what others reuse.
const WARM_UP_CELLS: usize = 2048;

/// How time and memory grow with the number of cells.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    figure: Figure,
}

#[derive(Subcommand)]
enum Figure {
    /// Peak memory of simulation, preprocessing and fit.
    Memory {
        /// Number of cells.
        #[arg(long, default_value_t = 100_000)]
        cells: usize,
        /// Epochs of pretraining.
        #[arg(long, default_value_t = 2)]
        pretraining_epochs: usize,
        /// Epochs of self-training.
        #[arg(long, default_value_t = 1)]
        self_training_epochs: usize,
    },
    /// Time per cell of a pretraining epoch and of the assignment of all cells.
    Time {
        /// Numbers of cells to compare.
        #[arg(long, value_delimiter = ',', default_values_t = [10_000, 100_000, 1_000_000])]
        cells: Vec<usize>,
    },
}

fn main() -> Result<(), Box<dyn Error>> {
    match Arguments::parse().figure {
        Figure::Memory {
            cells,
            pretraining_epochs,
            self_training_epochs,
        } => memory(cells, pretraining_epochs, self_training_epochs),
        Figure::Time { cells } => time(&cells),
    }
}

/// Bytes of the values, gene indices and row offsets of a matrix.
fn csr_bytes(counts: &CountMatrix) -> u64 {
    let bytes = size_of_val(counts.values())
        + size_of_val(counts.indices())
        + size_of_val(counts.offsets());
    bytes as u64
}

fn print_megabytes(figure: &str, size: &str, bytes: f64) {
    println!("{figure}_{size} {:.1}", bytes / 1e6);
}

fn memory(
    count: usize,
    pretraining_epochs: usize,
    self_training_epochs: usize,
) -> Result<(), Box<dyn Error>> {
    let size = &size(count);
    let over = |csr: u64, peak: u64| peak as f64 - csr as f64;

    reset_peak()?;
    let simulation = simulation(count)?;
    let raw_bytes = csr_bytes(&simulation.counts);
    let entries = simulation.counts.cells() as f64 * simulation.counts.genes() as f64;
    let stored = simulation.counts.stored() as f64;
    println!("nonzero_percent_{size} {:.1}", 100.0 * stored / entries);
    print_megabytes("csr_mb", size, raw_bytes as f64);
    let peak = peak_memory()?;
    print_megabytes("simulation_peak_over_csr_mb", size, over(raw_bytes, peak));

    reset_peak()?;
    let cells = preprocessing().fit(&simulation.counts)?;
    let peak = peak_memory()?;
    print_megabytes("preprocess_peak_over_csr_mb", size, over(raw_bytes, peak));
    drop(simulation);

    let kept_bytes = csr_bytes(cells.counts()?);
    let trainer = Plan::scdcc_reference(GROUPS)
        .with_epochs(pretraining_epochs, self_training_epochs)
        .with_self_training(|phase| phase.with_tolerance(0.0))
        .trainer(&by_name("cpu")?)?;
    let mut stretches = Vec::new();
    let mut end_of = |stretch: &'static str| {
        stretches.push((
            stretch,
            peak_memory().and_then(|peak| reset_peak().and(Ok(peak))),
        ));
    };
    reset_peak()?;
    let fit = trainer.fit_observed(&cells, &mut |event: &Event<'_>| match event {
        Event::PhaseFinished {
            phase: Phase::Pretraining,
            ..
        } => end_of("pretraining"),
        Event::CentroidsFound { .. } => end_of("start"),
        _ => {}
    })?;
    let results = fit.embedding().len() + fit.clusters().soft().len();
    assert_eq!(results, cells.cells() * (fit.embedding().ncols() + GROUPS));
    end_of("self_training");

    let mut largest = 0;
    for (stretch, peak) in stretches {
        let peak = peak?;
        largest = peak.max(largest);
        let figure = format!("{stretch}_peak_over_csr_mb");
        print_megabytes(&figure, size, over(kept_bytes, peak));
    }
    print_megabytes("peak_over_csr_mb", size, over(kept_bytes, largest));
    Ok(())
}

/// Clock and processor seconds.
#[derive(Clone, Copy)]
struct Seconds {
    clock: f64,
    processor: f64,
}

impl Seconds {
    fn now(start: Instant) -> std::io::Result<Self> {
        Ok(Self {
            clock: start.elapsed().as_secs_f64(),
            processor: processor_seconds()?,
        })
    }
}

/// Times of repetitions, in seconds.
#[derive(Default)]
struct Times {
    clock: Vec<f64>,
    processor: Vec<f64>,
}

impl Times {
    /// Adds the times between successive moments.
    fn extend(&mut self, moments: &[Seconds]) {
        for pair in moments.windows(2) {
            self.clock.push(pair[1].clock - pair[0].clock);
            self.processor.push(pair[1].processor - pair[0].processor);
        }
    }

    /// Prints the medians in microseconds per cell; returns clock and processor time.
    fn print_per_cell(self, figure: &str, cells: usize) -> (f64, f64) {
        let size = size(cells);
        let [clock, processor] =
            [self.clock, self.processor].map(|seconds| 1e6 * median(seconds) / cells as f64);
        println!("microseconds_per_cell_{figure}_{size} {clock:.2}");
        println!("cpu_microseconds_per_cell_{figure}_{size} {processor:.2}");
        (clock, processor)
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 {
        values[middle]
    } else {
        0.5 * (values[middle - 1] + values[middle])
    }
}

fn time(counts: &[usize]) -> Result<(), Box<dyn Error>> {
    let warm_up = simulated_cells(WARM_UP_CELLS)?;
    let (encoder, _) = timed_epochs(&warm_up, 1)?;
    timed_assignments(&encoder, &warm_up, 1)?;
    let mut times: Vec<(Times, Times)> = counts.iter().map(|_| Default::default()).collect();
    // There and back again: other work that comes or goes meanwhile disturbs all sizes alike.
    let back = (0..counts.len().saturating_sub(1)).rev();
    for position in (0..counts.len()).chain(back) {
        let cells = simulated_cells(counts[position])?;
        let repetitions = (TIMED_CELLS / counts[position]).max(1);
        let (epochs, assignments) = &mut times[position];
        let (encoder, moments) = timed_epochs(&cells, repetitions)?;
        epochs.extend(&moments);
        assignments.extend(&timed_assignments(&encoder, &cells, repetitions)?);
    }
    let (mut epochs, mut assignments) = (Vec::new(), Vec::new());
    for (&count, times) in counts.iter().zip(times) {
        epochs.push(times.0.print_per_cell("epoch", count));
        assignments.push(times.1.print_per_cell("assignment", count));
    }
    for (figure, times) in [("epoch", epochs), ("assignment", assignments)] {
        let (clock, processor): (Vec<f64>, Vec<f64>) = times.into_iter().unzip();
        for (kind, times) in [("", clock), ("cpu_", processor)] {
            let largest = times.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let smallest = times.iter().copied().fold(f64::INFINITY, f64::min);
            let ratio = largest / smallest;
            println!("{kind}{figure}_largest_over_smallest {ratio:.3}");
        }
    }
    Ok(())
}

/// Pretrains: the encoder, and the moments before, between and after the epochs.
fn timed_epochs(cells: &Cells, epochs: usize) -> Result<(Encoder, Vec<Seconds>), Box<dyn Error>> {
    let trainer = Plan::scdcc_reference(GROUPS)
        .with_pretraining(|phase| phase.with_epochs(epochs))
        .trainer(&by_name("cpu")?)?;
    let start = Instant::now();
    let mut moments = Vec::new();
    let mut observer = |event: &Event<'_>| {
        if let Event::PhaseStarted { .. } | Event::EpochFinished(_) = event {
            moments.push(Seconds::now(start));
        }
    };
    let autoencoder = trainer.pretrain(cells, &mut trainer.run_observed(&mut observer))?;
    let moments = moments.into_iter().collect::<Result<Vec<_>, _>>()?;
    Ok((autoencoder.encoder.valid(), moments))
}

/// Embeds and assigns all cells and computes their target: the moments before, between and after
/// the repetitions.
fn timed_assignments(
    encoder: &Encoder,
    cells: &Cells,
    repetitions: usize,
) -> Result<Vec<Seconds>, Box<dyn Error>> {
    let device = Device::default();
    let batches = Batches::new(cells, &device);
    let embedding = evaluate(encoder, None, &batches)?.embedding;
    let clustering = ClusteringLayer::from_centroids(
        embedding.slice(s![..GROUPS, ..]),
        SimilarityKernel::StudentT { alpha: 1.0 },
        &device,
    );
    drop(embedding);
    let start = Instant::now();
    let mut moments = vec![Seconds::now(start)?];
    for _ in 0..repetitions {
        let q = evaluate(encoder, Some(&clustering), &batches)?.soft_assignments;
        let shape = q.dim();
        let values: Vec<f32> = q.into_iter().collect();
        let q = Tensor::from_data(TensorData::new(values, [shape.0, shape.1]), &device);
        let target = SharpenedTarget::new().forward(q);
        assert_eq!(target.dims(), [shape.0, shape.1]);
        moments.push(Seconds::now(start)?);
    }
    Ok(moments)
}
