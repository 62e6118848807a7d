//! Times of training on a GPU; `benches/gpu/run` builds and drives it.
//!
//! ```text
//! cargo run --release --features wgpu --example gpu_steps -- [wgpu|cuda|cpu] [steps] [fit CELLS]
//! ```
//!
//! Prints one line of JSON for every figure: how long a process takes to the end of its first epoch
//! on the bundled cells (what is compiled at first use included), a step of scDCC's pretraining at
//! three batch sizes, and, if asked for, a whole default fit of simulated cells.

#[path = "../../examples/shared/bundled.rs"]
mod bundled;
#[path = "../shared/cells.rs"]
mod cells;
#[path = "../shared/simulation.rs"]
mod simulation;

use std::error::Error;
use std::time::Instant;

use celldec::device::by_name;
use celldec::prelude::*;
use serde_json::json;

use bundled::Bundled;
use cells::simulated_cells;
use simulation::GROUPS;

/// Sizes of batches.
const BATCHES: [usize; 3] = [256, 1024, 4096];
/// Steps of an epoch.
const STEPS: usize = 16;
/// Epochs that are measured, after two that are not.
const EPOCHS: usize = 8;

fn main() -> Result<(), Box<dyn Error>> {
    let start = Instant::now();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let name = arguments.first().map_or("wgpu", String::as_str);
    let device = by_name(name)?;
    #[cfg(feature = "wgpu")]
    if name == "wgpu" {
        println!(
            "{}",
            json!({ "adapter": format!("{:?}", celldec::device::adapter()?) })
        );
    }
    cold_start(&device, start)?;
    if arguments.iter().any(|argument| argument == "steps") {
        for batch in BATCHES {
            steps(&device, batch)?;
        }
    }
    if let Some(at) = arguments.iter().position(|argument| argument == "fit") {
        let count = arguments.get(at + 1).ok_or("fit needs a number of cells")?;
        fit(&device, count.parse()?)?;
    }
    Ok(())
}

/// Seconds from the start of the process to the end of the first epoch, and of the whole fit.
fn cold_start(device: &Device, start: Instant) -> Result<(), Box<dyn Error>> {
    let data = Bundled::read()?;
    let cells = Preprocess::scdcc().fit(&data.counts)?;
    let mut first = None;
    let fit = Plan::scdcc(10)
        .trainer(device)?
        .fit_observed(&cells, &mut |event: &Event<'_>| {
            if let Event::EpochFinished(_) = event {
                first.get_or_insert_with(|| start.elapsed().as_secs_f64());
            }
        })?;
    let whole = start.elapsed().as_secs_f64();
    let agreement = data.agreement(&cells, fit.clusters())?;
    println!(
        "{}",
        json!({ "first_epoch_s": first, "bundled_fit_s": whole, "ari": agreement })
    );
    Ok(())
}

/// Milliseconds of a step of the published scDCC's pretraining: the mean of an epoch's, so the wait
/// at its end is shared by its steps.
fn steps(device: &Device, batch: usize) -> Result<(), Box<dyn Error>> {
    let cells = simulated_cells(STEPS * batch)?;
    let trainer = Plan::scdcc_reference(GROUPS)
        .with_batch_size(batch)
        .with_pretraining(|phase| phase.with_epochs(EPOCHS + 2))
        .trainer(device)?;
    let mut run = trainer.run();
    trainer.pretrain(&cells, &mut run)?;
    let mut times: Vec<f64> = run
        .history()
        .iter()
        .skip(2)
        .map(|epoch| 1e3 * epoch.seconds / STEPS as f64)
        .collect();
    times.sort_unstable_by(f64::total_cmp);
    println!(
        "{}",
        json!({ "batch": batch, "step_ms": times[times.len() / 2] })
    );
    Ok(())
}

/// Seconds of a whole default fit.
fn fit(device: &Device, count: usize) -> Result<(), Box<dyn Error>> {
    let cells = Preprocess::scdcc().fit(&simulation::simulation(count)?.counts)?;
    let start = Instant::now();
    Plan::scdcc(GROUPS).trainer(device)?.fit(&cells)?;
    let seconds = start.elapsed().as_secs_f64();
    println!("{}", json!({ "cells": count, "fit_s": seconds }));
    Ok(())
}
