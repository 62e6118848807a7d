//! The first layer on dense and on sparse input, reading of the cells included: forward, and
//! forward with the gradient of its weights, at several shares of counts that are not zero.

#[path = "shared/threads.rs"]
mod threads;

use std::hint::black_box;

use burn::module::Module;
use burn::tensor::Device;
use celldec::batches::Batches;
use celldec::counts::CountMatrix;
use celldec::nn::{EncoderConfig, InitialWeights, NetworkInput, initialize_weights};
use celldec::preprocess::{Cells, Preprocess};
use celldec::random::{Purpose, stream};
use criterion::{Criterion, criterion_group, criterion_main};
use ndarray::Array2;
use rand::RngExt;

/// Cells per batch.
const BATCH: usize = 256;

/// Genes.
const GENES: usize = 2000;

/// Cells with about so many of 100 counts not zero, evenly spread.
fn cells(percent: u32) -> celldec::Result<Cells> {
    let mut rng = stream(1, Purpose::Simulation, 0, u64::from(percent));
    let counts = Array2::from_shape_simple_fn((2 * BATCH, GENES), || {
        let draw = rng.random_range(0..100);
        if draw < percent {
            (1 + draw % 4) as f32
        } else {
            0.0
        }
    });
    Preprocess::scdcc().fit(&CountMatrix::from_dense(counts.view())?)
}

fn sparse(criterion: &mut Criterion) {
    let device = Device::default().autodiff();
    for percent in [5, 10, 20, 40] {
        let cells = cells(percent).expect("cells");
        let batches = Batches::new(&cells, &device);
        let plain_batches = batches.without_autodiff();
        let rows: Vec<usize> = (0..BATCH).map(|row| row * 2).collect();
        for width in [256, 32] {
            let encoder = EncoderConfig::new(cells.genes(), vec![width]).init(&device);
            let encoder = initialize_weights(encoder, InitialWeights::Pytorch, 1);
            for (threads, pool) in threads::pools() {
                let mut run =
                    |kind: &str, input: &(dyn Fn(&Batches<'_>) -> NetworkInput + Sync)| {
                        let size =
                            format!("{percent}percent_{BATCH}x{GENES}x{width}_{threads}threads");
                        let plain = encoder.valid();
                        criterion.bench_function(
                            &format!("sparse/{kind}_forward_{size}"),
                            |bencher| {
                                bencher.iter(|| {
                                    pool.install(|| black_box(plain.forward(input(&plain_batches))))
                                })
                            },
                        );
                        criterion.bench_function(
                            &format!("sparse/{kind}_both_{size}"),
                            |bencher| {
                                bencher.iter(|| {
                                    pool.install(|| {
                                        black_box(encoder.forward(input(&batches)).sum().backward())
                                    })
                                })
                            },
                        );
                    };
                run("dense", &|batches| {
                    batches.input(&rows).expect("in memory").into()
                });
                run("sparse", &|batches| {
                    batches
                        .cells()
                        .sparse_input(&rows)
                        .expect("in memory")
                        .into()
                });
            }
        }
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(30);
    targets = sparse
}
criterion_main!(benches);
