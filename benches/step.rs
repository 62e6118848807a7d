//! One pretraining step of each method and one epoch of self-training, timed inside the trainers;
//! and the matrix products of the scDCC step alone.

#[path = "shared/cells.rs"]
mod cells;
#[path = "shared/products.rs"]
mod products;
#[path = "shared/simulation.rs"]
mod simulation;
#[path = "shared/steps.rs"]
mod steps;
#[path = "shared/threads.rs"]
mod threads;

use std::time::Duration;

use celldec::Result;
use celldec::device::by_name;
use celldec::preprocess::Cells;
use celldec::train::Plan;
use criterion::{Criterion, SamplingMode, criterion_group, criterion_main};

use cells::simulated_cells;
use products::StepProducts;
use simulation::{GENES, GROUPS};
use steps::{BATCH, clustering_epochs, per_step, scdcc_steps};

/// Steps of a pretraining epoch.
const STEPS: usize = 8;

/// Cells of a clustering epoch.
const CLUSTERING_CELLS: usize = 2100;

/// Seconds per DESC pretraining step, end to end, of a network 128 – 32 in each of `epochs` epochs,
/// after one that is left out.
fn desc_steps(cells: &Cells, epochs: usize) -> Result<Vec<f64>> {
    let trainer = Plan::desc()
        .with_widths([128, 32])
        .with_batch_size(BATCH)
        .with_pretraining(|phase| phase.with_epochs(epochs + 1))
        .trainer(&by_name("cpu")?)?;
    let mut run = trainer.run();
    trainer.pretrain(cells, &mut run)?;
    Ok(per_step(run.history(), cells))
}

/// The time of `iterations` steps or epochs, from the mean of the measured ones.
fn time_of(iterations: u64, seconds: Result<Vec<f64>>) -> Duration {
    let seconds = seconds.expect("simulated cells can be trained on");
    let mean = seconds.iter().sum::<f64>() / seconds.len() as f64;
    Duration::from_secs_f64(mean * iterations as f64)
}

/// The epochs that hold at least so many steps.
fn epochs_of(steps: u64) -> usize {
    (steps as usize).div_ceil(STEPS)
}

fn step(criterion: &mut Criterion) {
    let cells = simulated_cells(STEPS * BATCH).expect("a simulated data set");
    let clustering_cells = simulated_cells(CLUSTERING_CELLS).expect("a simulated data set");
    let mut products = StepProducts::new(BATCH);
    let mut group = criterion.benchmark_group("step");
    group.sampling_mode(SamplingMode::Flat);
    for (threads, pool) in threads::pools() {
        let size = format!("{BATCH}x{GENES}_{threads}threads");
        group.bench_function(format!("scdcc_{size}"), |bencher| {
            bencher.iter_custom(|iterations| {
                let seconds = pool.install(|| scdcc_steps(&cells, epochs_of(iterations)));
                time_of(iterations, seconds)
            })
        });
        group.bench_function(format!("desc_{size}"), |bencher| {
            bencher.iter_custom(|iterations| {
                let seconds = pool.install(|| desc_steps(&cells, epochs_of(iterations)));
                time_of(iterations, seconds)
            })
        });
        let epoch = format!("scdcc_clustering_epoch_{CLUSTERING_CELLS}x{GENES}_{threads}threads");
        group.bench_function(epoch, |bencher| {
            bencher.iter_custom(|iterations| {
                let seconds = pool
                    .install(|| clustering_epochs(&clustering_cells, GROUPS, iterations as usize));
                time_of(iterations, seconds)
            })
        });
        group.bench_function(format!("scdcc_products_{size}"), |bencher| {
            bencher.iter(|| pool.install(|| products.compute()))
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(10).measurement_time(Duration::from_secs(10));
    targets = step
}
criterion_main!(benches);
