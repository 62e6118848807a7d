//! The faults that this crate must survive, numbered: every row has tests, and what became of them is
//! printed as a table.
//!
//! A harness of its own, so that the table is in the log: names choose tests as elsewhere, `--exact`,
//! `--skip`, `--list` and `--test-threads` are known. Some tests start this program once more, to be
//! killed or to be measured. `CELLDEC_KILLS` says how often each writer is killed (default 20).

mod batches;
mod clusters;
mod counts;
mod device;
#[cfg(unix)]
mod disk;
mod files;
mod harness;
#[cfg(unix)]
mod killed;
mod likelihood;
mod memory;
mod models;
mod pairs;
mod parallel;
#[cfg(unix)]
mod resumed;
mod rows;
mod sparse;
#[cfg(unix)]
mod special;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};

use celldec::counts::CountMatrix;
use celldec::nn::ReconstructionHead;
use celldec::prelude::*;

fn main() -> ExitCode {
    harness::run(&rows::all())
}

/// Counts whose names say which they are; all have the same shape, so that mixtures would be read.
fn counts(name: &str, cells: usize) -> CountMatrix {
    let genes = 40;
    let number: usize = name.bytes().map(usize::from).sum();
    let dense = ndarray::Array2::from_shape_fn((cells, genes), |(cell, gene)| {
        ((cell * 31 + gene * 17 + number) % 5) as f32
    });
    let names = |count: usize, of: &str| (0..count).map(|i| format!("{name} {of} {i}")).collect();
    CountMatrix::from_dense(dense.view())
        .unwrap()
        .with_names(names(cells, "cell"), names(genes, "gene"))
        .unwrap()
}

/// Simulated cells of three groups.
fn simulated(cells: usize, genes: usize, seed: u64) -> Cells {
    let simulation = SimulationConfig::new(cells, genes)
        .with_groups(3)
        .with_differential_expression(0.35, 1.2, 0.4)
        .with_seed(seed)
        .simulate()
        .unwrap();
    Preprocess::scdcc().fit(&simulation.counts).unwrap()
}

/// A plan of scDCC that fits small data in a moment.
fn scdcc(clusters: usize) -> Plan<CountHead> {
    Plan::scdcc(clusters)
        .with_widths([16, 6])
        .with_batch_size(32)
        .with_epochs(3, 3)
        .with_self_training(|phase| phase.with_tolerance(0.0))
        .with_seed(3)
}

fn cpu() -> Device {
    celldec::device::by_name("cpu").unwrap()
}

fn fitted<H: ReconstructionHead>(plan: &Plan<H>, cells: &Cells) -> Fit<H> {
    plan.trainer(&cpu()).unwrap().fit(cells).unwrap()
}

/// An observer that fails the test when anything is trained.
fn no_work(event: &Event<'_>) {
    panic!("work was done: {event:?}");
}

/// Everything a fit computed, bit by bit.
fn bits<H: ReconstructionHead>(fit: &Fit<H>) -> Vec<u64> {
    let labels = fit.clusters().labels().iter().map(|&label| label as u64);
    let (embedding, soft, centroids) = (fit.embedding(), fit.clusters().soft(), fit.centroids());
    let values = embedding.iter().chain(soft.iter()).chain(centroids.iter());
    let losses = fit.history().iter().flat_map(|record| &record.losses);
    labels
        .chain(values.map(|value| u64::from(value.to_bits())))
        .chain(losses.map(|(_, loss)| loss.to_bits()))
        .collect()
}

fn names_in(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort_unstable();
    names
}

/// This program once more, to run one test, which finds `folder` in the environment variable.
fn again(test: &str, variable: &str, folder: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", test, "--nocapture"])
        .env(variable, folder)
        .stdout(Stdio::null());
    command
}

/// The folder when this is the program that [`again`] starts.
fn folder_of(variable: &str) -> Option<PathBuf> {
    std::env::var_os(variable).map(PathBuf::from)
}

/// Ends with the value, also when the test fails.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
