//! The exact 15 nearest neighbours of every cell. `CELLDEC_BENCH_LARGE=1` adds 50 000 cells.

#[path = "shared/embedding.rs"]
mod embedding;
#[path = "shared/threads.rs"]
mod threads;

use std::hint::black_box;

use celldec::graph::nearest_neighbors;
use criterion::{Criterion, criterion_group, criterion_main};

use embedding::{DIMENSIONS, simulated_embedding};

/// Neighbours of a cell.
const NEIGHBORS: usize = 15;

fn neighbors(criterion: &mut Criterion) {
    let mut sizes = vec![10_000];
    if std::env::var_os("CELLDEC_BENCH_LARGE").is_some() {
        sizes.push(50_000);
    }
    for cells in sizes {
        let embedding = simulated_embedding(cells);
        for (threads, pool) in threads::pools() {
            let id =
                format!("neighbors/{cells}x{DIMENSIONS}_{NEIGHBORS}neighbors_{threads}threads");
            criterion.bench_function(&id, |bencher| {
                bencher.iter(|| {
                    pool.install(|| black_box(nearest_neighbors(embedding.view(), NEIGHBORS)))
                })
            });
        }
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(10);
    targets = neighbors
}
criterion_main!(benches);
