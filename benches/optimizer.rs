//! One step of every optimizer on parameters of the shapes of the reference scDCC network.

#[path = "shared/threads.rs"]
mod threads;

use burn::optim::Optimizer;
use burn::tensor::{Device, Tensor, TensorData};
use celldec::optim::{Adadelta, Adam, Sgd};
use celldec::random::{Purpose, stream};
use criterion::{Criterion, criterion_group, criterion_main};
use rand::RngExt;
use rayon::ThreadPool;

/// Weights and biases (as one row) of the layers 2000 – 256 – 64 – 32 – 64 – 256 and of three
/// heads.
const SHAPES: [[usize; 2]; 16] = [
    [2000, 256],
    [1, 256],
    [256, 64],
    [1, 64],
    [64, 32],
    [1, 32],
    [32, 64],
    [1, 64],
    [64, 256],
    [1, 256],
    [256, 2000],
    [1, 2000],
    [256, 2000],
    [1, 2000],
    [256, 2000],
    [1, 2000],
];

fn random_tensors(index: u64) -> Vec<Tensor<2>> {
    let mut random = stream(1, Purpose::Simulation, 0, index);
    SHAPES
        .iter()
        .map(|&[rows, columns]| {
            let values: Vec<f32> = (0..rows * columns)
                .map(|_| 0.1 * (random.random::<f32>() - 0.5))
                .collect();
            Tensor::from_data(TensorData::new(values, [rows, columns]), &Device::default())
        })
        .collect()
}

fn bench<O: Optimizer>(
    criterion: &mut Criterion,
    name: &str,
    optimizer: &O,
    threads: usize,
    pool: &ThreadPool,
) {
    let parameters: usize = SHAPES.iter().map(|[rows, columns]| rows * columns).sum();
    let gradients = random_tensors(1);
    let mut trained: Vec<(Tensor<2>, Option<O::State<2>>)> = random_tensors(0)
        .into_iter()
        .map(|tensor| (tensor, None))
        .collect();
    let id = format!("optimizer/{name}_{parameters}parameters_{threads}threads");
    criterion.bench_function(&id, |bencher| {
        bencher.iter(|| {
            pool.install(|| {
                trained = std::mem::take(&mut trained)
                    .into_iter()
                    .zip(&gradients)
                    .map(|((tensor, state), gradient)| {
                        optimizer.step(1e-4, tensor, gradient.clone(), state)
                    })
                    .collect();
            })
        })
    });
}

fn optimizer(criterion: &mut Criterion) {
    for (threads, pool) in &threads::pools() {
        let amsgrad = Adam::new().with_amsgrad(true);
        bench(criterion, "amsgrad", &amsgrad, *threads, pool);
        bench(criterion, "adadelta", &Adadelta::new(0.95), *threads, pool);
        bench(criterion, "sgd", &Sgd::new(0.9), *threads, pool);
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(50);
    targets = optimizer
}
criterion_main!(benches);
