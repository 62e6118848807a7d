//! Embedding, soft assignment and target of all cells: what every update of the target costs.

#[path = "shared/cells.rs"]
mod cells;
#[path = "shared/simulation.rs"]
mod simulation;
#[path = "shared/threads.rs"]
mod threads;

use std::hint::black_box;

use burn::tensor::{Device, Tensor, TensorData};
use celldec::batches::Batches;
use celldec::loss::SharpenedTarget;
use celldec::model::evaluate;
use celldec::nn::{
    ClusteringLayer, EncoderConfig, InitialWeights, SimilarityKernel, initialize_weights,
};
use criterion::{Criterion, criterion_group, criterion_main};
use ndarray::s;

use cells::simulated_cells;
use simulation::GENES;

/// Cells that are assigned.
const CELLS: usize = 10_000;

/// Clusters they are assigned to.
const CLUSTERS: usize = 20;

fn assignment(criterion: &mut Criterion) {
    let cells = simulated_cells(CELLS).expect("a simulated data set");
    let device = Device::default();
    let batches = Batches::new(&cells, &device);
    let encoder = initialize_weights(
        EncoderConfig::new(GENES, vec![256, 64, 32]).init(&device),
        InitialWeights::Pytorch,
        1,
    );
    let embedding = evaluate(&encoder, None, &batches)
        .expect("in memory")
        .embedding;
    let clustering = ClusteringLayer::from_centroids(
        embedding.slice(s![..CLUSTERS, ..]),
        SimilarityKernel::StudentT { alpha: 1.0 },
        &device,
    );
    for (threads, pool) in threads::pools() {
        let id = format!("assignment/{CELLS}x{GENES}_{CLUSTERS}clusters_{threads}threads");
        criterion.bench_function(&id, |bencher| {
            bencher.iter(|| {
                pool.install(|| {
                    let evaluation =
                        evaluate(&encoder, Some(&clustering), &batches).expect("in memory");
                    let values: Vec<f32> = evaluation.soft_assignments.into_iter().collect();
                    let q = TensorData::new(values, [CELLS, CLUSTERS]);
                    black_box(SharpenedTarget::new().forward(Tensor::from_data(q, &device)))
                })
            })
        });
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(10);
    targets = assignment
}
criterion_main!(benches);
