//! A whole scDCC fit with few epochs: 5 of pretraining, k-means, 5 of self-training.
//! `CELLDEC_BENCH_LARGE=1` adds 100 000 cells.

#[path = "shared/cells.rs"]
mod cells;
#[path = "shared/simulation.rs"]
mod simulation;
#[path = "shared/threads.rs"]
mod threads;

use std::hint::black_box;
use std::time::Duration;

use celldec::device::by_name;
use celldec::train::Plan;
use criterion::{Criterion, SamplingMode, criterion_group, criterion_main};

use cells::simulated_cells;
use simulation::{GENES, GROUPS};

/// Epochs of pretraining, and of self-training.
const EPOCHS: usize = 5;

fn fit(criterion: &mut Criterion) {
    let mut sizes = vec![1_000, 10_000];
    if std::env::var_os("CELLDEC_BENCH_LARGE").is_some() {
        sizes.push(100_000);
    }
    let trainer = Plan::scdcc_reference(GROUPS)
        .with_epochs(EPOCHS, EPOCHS)
        .with_self_training(|phase| phase.with_tolerance(0.0))
        .trainer(&by_name("cpu").expect("a CPU backend"))
        .expect("valid settings");
    let mut group = criterion.benchmark_group("fit");
    group
        .sampling_mode(SamplingMode::Flat)
        .warm_up_time(Duration::from_millis(1));
    for count in sizes {
        let cells = simulated_cells(count).expect("a simulated data set");
        for (threads, pool) in threads::pools() {
            let id = format!("scdcc_{count}x{GENES}_{EPOCHS}and{EPOCHS}epochs_{threads}threads");
            group.bench_function(id, |bencher| {
                bencher.iter(|| pool.install(|| black_box(trainer.fit(&cells))))
            });
        }
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(10);
    targets = fit
}
criterion_main!(benches);
