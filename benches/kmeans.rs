//! k-means with 20 starts, on groups and on noise without any. `CELLDEC_BENCH_LARGE=1` adds
//! 100 000 cells.

#[path = "shared/embedding.rs"]
mod embedding;
#[path = "shared/threads.rs"]
mod threads;

use std::hint::black_box;

use celldec::random::{Purpose, stream};
use celldec::start::KMeansConfig;
use criterion::{Criterion, criterion_group, criterion_main};
use ndarray::Array2;
use rand_distr::{Distribution, StandardNormal};

use embedding::{DIMENSIONS, GROUPS, simulated_embedding};

/// Cells of one Gaussian `[count, DIMENSIONS]`: the most iterations, the least to skip.
fn noise(count: usize) -> Array2<f32> {
    let mut random = stream(1, Purpose::Simulation, 0, 0);
    Array2::from_shape_simple_fn((count, DIMENSIONS), || StandardNormal.sample(&mut random))
}

fn kmeans(criterion: &mut Criterion) {
    let mut sizes = vec![10_000];
    if std::env::var_os("CELLDEC_BENCH_LARGE").is_some() {
        sizes.push(100_000);
    }
    for cells in sizes {
        let config = KMeansConfig::new(GROUPS);
        let starts = config.restarts;
        for (name, embedding) in [
            ("kmeans", simulated_embedding(cells)),
            ("kmeans_noise", noise(cells)),
        ] {
            for (threads, pool) in threads::pools() {
                let id = format!(
                    "{name}/{cells}x{DIMENSIONS}_{GROUPS}clusters_{starts}starts_{threads}threads"
                );
                criterion.bench_function(&id, |bencher| {
                    bencher.iter(|| pool.install(|| black_box(config.fit(embedding.view(), 1))))
                });
            }
        }
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(10);
    targets = kmeans
}
criterion_main!(benches);
