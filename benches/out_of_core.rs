//! Counts read from disk beside counts in memory: peak memory and time of the same work.
//!
//! ```text
//! cargo run --release --features cli --example out_of_core -- run --cells 1000000
//! ```
//!
//! Writes simulated counts (2000 genes, about a tenth of the entries not zero) as a compressed
//! AnnData file into the system's folder for temporary files, or the one given with `--folder`. Then,
//! in a process of its own each, it reads the counts into memory or leaves them on disk, fits the
//! preprocessing, pretrains scDCC with its default settings for one epoch, and embeds and assigns all
//! cells. One line a figure, `NAME VALUE`, for both, and their ratio; megabytes are 10⁶ bytes,
//! seconds are of the clock, and `cpu_seconds` of all threads' processor time, which other programs on
//! the machine disturb less. Peak memory is that of the whole process. The file is deleted at the
//! end. Linux only: memory and processor time are read from `/proc/self`.

#[path = "shared/process.rs"]
mod process;
#[path = "shared/simulation.rs"]
mod simulation;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

use burn::module::Module;
use burn::tensor::Device;
use celldec::batches::Batches;
use celldec::device::by_name;
use celldec::io::{AnnotatedCounts, H5adOptions, read_counts, write_h5ad};
use celldec::model::evaluate;
use celldec::nn::{ClusteringLayer, SimilarityKernel};
use celldec::preprocess::Cells;
use celldec::train::Plan;
use clap::{Parser, Subcommand};
use ndarray::s;

use process::{peak_memory, processor_seconds, reset_peak};
use simulation::{GROUPS, preprocessing, simulation};

/// Counts read from disk beside counts in memory.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    mode: Mode,
}

#[derive(Subcommand)]
enum Mode {
    /// Writes the file, measures both ways, deletes the file.
    Run {
        /// Number of cells.
        #[arg(long, default_value_t = 100_000)]
        cells: usize,
        /// Where the file is written.
        #[arg(long)]
        folder: Option<PathBuf>,
    },
    /// Writes the file.
    Write {
        /// Number of cells.
        #[arg(long, default_value_t = 100_000)]
        cells: usize,
        /// The file.
        file: PathBuf,
    },
    /// Measures with all counts in memory.
    Memory {
        /// The file.
        file: PathBuf,
    },
    /// Measures with counts on disk.
    Disk {
        /// The file.
        file: PathBuf,
        /// Cells in memory at a time, in place of the default.
        #[arg(long)]
        buffer_cells: Option<usize>,
    },
}

fn main() -> Result<(), Box<dyn Error>> {
    match Arguments::parse().mode {
        Mode::Run { cells, folder } => run(cells, folder.unwrap_or_else(std::env::temp_dir)),
        Mode::Write { cells, file } => {
            let counts = simulation(cells)?.counts;
            Ok(write_h5ad(file, &AnnotatedCounts::new(counts))?)
        }
        Mode::Memory { file } => {
            measure("memory", || Ok(preprocessing().fit(&read_counts(&file)?)?))
        }
        Mode::Disk { file, buffer_cells } => measure("disk", || {
            let source = H5adOptions::new().open(&file)?;
            let cells = preprocessing().fit_source(Arc::new(source))?;
            Ok(match buffer_cells {
                Some(buffer) => cells.with_buffer_cells(buffer),
                None => cells,
            })
        }),
    }
}

fn run(cells: usize, folder: PathBuf) -> Result<(), Box<dyn Error>> {
    let file = folder.join(format!("celldec-{cells}-{}.h5ad", std::process::id()));
    let result = compare(cells, &file);
    std::fs::remove_file(&file)?;
    result
}

fn compare(cells: usize, file: &Path) -> Result<(), Box<dyn Error>> {
    let write = ["write", "--cells", &cells.to_string()];
    child(&write, file)?;
    println!("file_mb {:.1}", std::fs::metadata(file)?.len() as f64 / 1e6);
    let [memory, disk] = [child(&["memory"], file)?, child(&["disk"], file)?];
    for figure in ["peak_mb", "seconds", "cpu_seconds"] {
        let of = |way: &str, output: &str| value(output, &format!("{way}_{figure}"));
        let ratio = of("disk", &disk)? / of("memory", &memory)?;
        println!("{figure}_disk_over_memory {ratio:.3}");
    }
    Ok(())
}

/// Runs this program again; its output, which is printed, too.
fn child(mode: &[&str], file: &Path) -> Result<String, Box<dyn Error>> {
    let output = Command::new(std::env::current_exe()?)
        .args(mode)
        .arg(file)
        .stderr(std::process::Stdio::inherit())
        .output()?;
    let text = String::from_utf8(output.stdout)?;
    print!("{text}");
    match output.status.success() {
        true => Ok(text),
        false => Err(format!("{mode:?} failed: {}", output.status).into()),
    }
}

fn value(output: &str, figure: &str) -> Result<f64, Box<dyn Error>> {
    let line = output
        .lines()
        .find_map(|line| line.strip_prefix(figure)?.strip_prefix(' '));
    Ok(line.ok_or_else(|| format!("no {figure}"))?.parse()?)
}

fn measure(
    way: &str,
    prepare: impl FnOnce() -> Result<Cells, Box<dyn Error>>,
) -> Result<(), Box<dyn Error>> {
    reset_peak()?;
    let begin = Instant::now();
    let cells = prepare()?;
    println!("{way}_prepare_seconds {:.1}", begin.elapsed().as_secs_f64());
    println!("{way}_prepare_peak_mb {:.1}", peak_memory()? as f64 / 1e6);

    let start = Instant::now();
    let trainer = Plan::scdcc(GROUPS)
        .with_pretraining(|phase| phase.with_epochs(1))
        .trainer(&by_name("cpu")?)?;
    let autoencoder = trainer.pretrain(&cells, &mut trainer.run())?;
    let encoder = autoencoder.encoder.valid();
    println!(
        "{way}_pretraining_seconds {:.1}",
        start.elapsed().as_secs_f64()
    );

    let start = Instant::now();
    let device = Device::default();
    let batches = Batches::new(&cells, &device);
    let embedding = evaluate(&encoder, None, &batches)?.embedding;
    let clustering = ClusteringLayer::from_centroids(
        embedding.slice(s![..GROUPS, ..]),
        SimilarityKernel::StudentT { alpha: 1.0 },
        &device,
    );
    drop(embedding);
    let labels = evaluate(&encoder, Some(&clustering), &batches)?.labels();
    assert_eq!(labels.len(), cells.cells());
    println!(
        "{way}_assignment_seconds {:.1}",
        start.elapsed().as_secs_f64()
    );

    println!("{way}_seconds {:.1}", begin.elapsed().as_secs_f64());
    println!("{way}_cpu_seconds {:.1}", processor_seconds()?);
    println!("{way}_peak_mb {:.1}", peak_memory()? as f64 / 1e6);
    Ok(())
}
