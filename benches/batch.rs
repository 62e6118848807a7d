//! Making one minibatch: sparse rows to dense tensors, scaled, with noise; and the noise alone,
//! beside that of a sampler which draws number by number.

#[path = "shared/cells.rs"]
mod cells;
#[path = "shared/simulation.rs"]
mod simulation;
#[path = "shared/threads.rs"]
mod threads;

use std::hint::black_box;

use burn::tensor::Device;
use celldec::batches::{Batches, Corruption, epoch_order};
use celldec::random::{Purpose, stream};
use criterion::{Criterion, criterion_group, criterion_main};
use rand_distr::{Distribution, StandardNormal};

use cells::simulated_cells;
use simulation::GENES;

/// Cells per batch.
const BATCH: usize = 256;

fn batch(criterion: &mut Criterion) {
    let cells = simulated_cells(8 * BATCH).expect("a simulated data set");
    let batches = Batches::new(&cells, &Device::default());
    let order = epoch_order(cells.cells(), true, 1, 0);
    let rows = &order[..BATCH];
    for (threads, pool) in threads::pools() {
        let size = format!("{BATCH}x{GENES}_{threads}threads");
        criterion.bench_function(&format!("batch/counts_and_input_{size}"), |bencher| {
            bencher.iter(|| pool.install(|| black_box(batches.batch(rows).expect("in memory"))))
        });
        for (name, corruption) in [
            ("gaussian", Corruption::Gaussian(2.5)),
            ("dropout", Corruption::Dropout(0.2)),
        ] {
            criterion.bench_function(&format!("batch/{name}_input_{size}"), |bencher| {
                bencher.iter(|| {
                    pool.install(|| {
                        black_box(
                            batches
                                .corrupted_input(rows, corruption, 1, 0)
                                .expect("in memory"),
                        )
                    })
                })
            });
        }
    }
}

fn noise(criterion: &mut Criterion) {
    let mut values = vec![0f32; BATCH * GENES];
    let size = format!("{BATCH}x{GENES}");
    criterion.bench_function(&format!("noise/gaussian_{size}"), |bencher| {
        bencher.iter(|| {
            for (row, values) in values.chunks_mut(GENES).enumerate() {
                Corruption::Gaussian(2.5).apply(values, 1, 0, row as u64);
            }
        })
    });
    criterion.bench_function(&format!("noise/gaussian_by_ziggurat_{size}"), |bencher| {
        bencher.iter(|| {
            for (row, values) in values.chunks_mut(GENES).enumerate() {
                let mut rng = stream(1, Purpose::Noise, 0, row as u64);
                for value in values {
                    let normal: f32 = StandardNormal.sample(&mut rng);
                    *value += 2.5 * normal;
                }
            }
        })
    });
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(50);
    targets = batch, noise
}
criterion_main!(benches);
