//! Value and gradient of the likelihoods on one minibatch: `cells x genes`, a tenth non-zero.

use burn::tensor::{Device, Tensor, TensorData};
use celldec::kernel::likelihood::{
    nb_negative_log_likelihood_mean, zinb_negative_log_likelihood,
    zinb_negative_log_likelihood_mean,
};
use celldec::random::{Purpose, stream};
use criterion::{Criterion, criterion_group, criterion_main};
use rand::RngExt;
use std::hint::black_box;

struct Batch {
    counts: Tensor<2>,
    size_factors: Tensor<1>,
    logits: [Tensor<2>; 3],
}

fn batch(cells: usize, genes: usize) -> Batch {
    let plain = Device::default();
    let trained = plain.clone().autodiff();
    let mut random = stream(1, Purpose::Simulation, 0, 0);
    let mut matrix = |draw: &mut dyn FnMut(f32, f32) -> f32, device: &Device| {
        let values: Vec<f32> = (0..cells * genes)
            .map(|_| draw(random.random(), random.random()))
            .collect();
        Tensor::<2>::from_data(TensorData::new(values, [cells, genes]), device)
    };
    let counts = matrix(
        &mut |u, v| {
            if u < 0.1 {
                (1.0 - v).ln().abs().mul_add(3.0, 1.0).floor()
            } else {
                0.0
            }
        },
        &plain,
    );
    let mut logit =
        |shift: f32| matrix(&mut |u, _| (u - 0.5) * 4.0 + shift, &trained).require_grad();
    Batch {
        counts,
        logits: [logit(-1.0), logit(0.0), logit(0.0)],
        size_factors: Tensor::from_data(TensorData::from(vec![1.1f32; cells].as_slice()), &plain),
    }
}

fn likelihood(criterion: &mut Criterion) {
    for (cells, genes) in [(256, 2000), (256, 500)] {
        let Batch {
            counts,
            size_factors,
            logits: [mean, dispersion, dropout],
        } = batch(cells, genes);
        for threads in [1, 2] {
            let pool = rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .expect("a thread pool");
            let size = format!("{cells}x{genes}_{threads}threads");
            criterion.bench_function(&format!("zinb_fused/{size}"), |bencher| {
                bencher.iter(|| {
                    pool.install(|| {
                        let loss = zinb_negative_log_likelihood_mean(
                            counts.clone(),
                            size_factors.clone(),
                            mean.clone(),
                            dispersion.clone(),
                            dropout.clone(),
                        );
                        black_box(loss.backward())
                    })
                })
            });
            criterion.bench_function(&format!("nb_fused/{size}"), |bencher| {
                bencher.iter(|| {
                    pool.install(|| {
                        let loss = nb_negative_log_likelihood_mean(
                            counts.clone(),
                            size_factors.clone(),
                            mean.clone(),
                            dispersion.clone(),
                        );
                        black_box(loss.backward())
                    })
                })
            });
        }
    }
    let (cells, genes) = (256, 500);
    let Batch {
        counts,
        size_factors,
        logits: [mean, dispersion, dropout],
    } = batch(cells, genes);
    let id = format!("zinb_composed/{cells}x{genes}");
    criterion.bench_function(&id, |bencher| {
        bencher.iter(|| {
            let loss = zinb_negative_log_likelihood(
                counts.clone(),
                size_factors.clone(),
                mean.clone(),
                dispersion.clone(),
                dropout.clone(),
            );
            black_box(loss.mean().backward())
        })
    });
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20);
    targets = likelihood
}
criterion_main!(benches);
