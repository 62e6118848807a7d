//! k-means with 20 starts. `CELLDEC_BENCH_LARGE=1` adds 100 000 cells.

#[path = "shared/embedding.rs"]
mod embedding;
#[path = "shared/threads.rs"]
mod threads;

use std::hint::black_box;

use celldec::cluster::KMeansConfig;
use criterion::{Criterion, criterion_group, criterion_main};

use embedding::{DIMENSIONS, GROUPS, simulated_embedding};

fn kmeans(criterion: &mut Criterion) {
    let mut sizes = vec![10_000];
    if std::env::var_os("CELLDEC_BENCH_LARGE").is_some() {
        sizes.push(100_000);
    }
    for cells in sizes {
        let embedding = simulated_embedding(cells);
        let config = KMeansConfig::new(GROUPS);
        let starts = config.restarts;
        for (threads, pool) in threads::pools() {
            let id = format!(
                "kmeans/{cells}x{DIMENSIONS}_{GROUPS}clusters_{starts}starts_{threads}threads"
            );
            criterion.bench_function(&id, |bencher| {
                bencher.iter(|| pool.install(|| black_box(config.fit(embedding.view(), 1))))
            });
        }
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(10);
    targets = kmeans
}
criterion_main!(benches);
