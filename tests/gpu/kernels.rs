//! Values and gradients of the kernels.

use burn::module::Param;
use burn::nn::Linear;
use burn::tensor::{Device, Tensor};
use celldec::burn;
use celldec::kernel::likelihood::{
    nb_negative_log_likelihood_mean, zinb_negative_log_likelihood_mean,
};
use celldec::loss::{ClusteringLoss, KlDivergence, MseLoss, ReconstructionLoss};
use celldec::nn::{Activation, ClusteringLayer, Dense, MseOutput, SimilarityKernel};

use crate::{assert_close, cpu, gpu, numbers, tensor, values};

/// Agreement of values and gradients, as a share of the largest.
const BOUND: f32 = 1e-5;

/// What a computation gives on a device: numbers that are compared one by one.
type Computed = Vec<(&'static str, Vec<f32>)>;

fn compare(compute: impl Fn(&Device) -> Computed, what: &str) {
    let Some(gpu) = gpu() else { return };
    let expected = compute(&cpu().autodiff());
    for device in [
        gpu.clone().autodiff(),
        gpu.autodiff().gradient_checkpointing(),
    ] {
        for ((name, found), (_, expected)) in compute(&device).iter().zip(&expected) {
            assert_close(found, expected, BOUND, &format!("{what}, {name}"));
        }
    }
}

#[test]
fn likelihoods_of_ordinary_and_extreme_logits() {
    for (cells, genes, width) in [(1, 1, 4.0), (3, 5, 12.0), (37, 130, 6.0), (64, 40, 180.0)] {
        for by_gene in [false, true] {
            for inflated in [false, true] {
                let compute = |device: &Device| {
                    let plain = device.clone().inner();
                    let entries = cells * genes;
                    let counts: Vec<f32> = numbers(entries, 1, 60.0)
                        .into_iter()
                        .enumerate()
                        .map(|(i, x)| {
                            if i % 50 == 7 {
                                1e4
                            } else {
                                (x - 10.0).max(0.0).floor()
                            }
                        })
                        .collect();
                    let factors: Vec<f32> =
                        numbers(cells, 2, 1.6).iter().map(|x| x + 1.0).collect();
                    let rows = if by_gene { 1 } else { cells };
                    let logits = |rows: usize, seed| {
                        tensor(&numbers(rows * genes, seed, width), [rows, genes], device)
                            .require_grad()
                    };
                    let (mean, dispersion, dropout) =
                        (logits(cells, 3), logits(rows, 4), logits(cells, 5));
                    let counts = tensor(&counts, [cells, genes], &plain);
                    let factors = tensor(&factors, [cells], &plain);
                    let loss = if inflated {
                        zinb_negative_log_likelihood_mean(
                            counts,
                            factors,
                            mean.clone(),
                            dispersion.clone(),
                            dropout.clone(),
                        )
                    } else {
                        nb_negative_log_likelihood_mean(
                            counts,
                            factors,
                            mean.clone(),
                            dispersion.clone(),
                        )
                    };
                    let gradients = (loss.clone() * 1.7).backward();
                    let mut computed = vec![
                        ("value", values(loss)),
                        ("mean", values(mean.grad(&gradients).expect("a gradient"))),
                        (
                            "dispersion",
                            values(dispersion.grad(&gradients).expect("a gradient")),
                        ),
                    ];
                    if inflated {
                        let gradient = dropout.grad(&gradients).expect("a gradient");
                        computed.push(("dropout", values(gradient)));
                    }
                    computed
                };
                compare(
                    compute,
                    &format!(
                        "{cells} x {genes}, width {width}, by gene {by_gene}, inflated {inflated}"
                    ),
                );
            }
        }
    }
}

#[test]
fn a_logit_that_is_not_a_number_gives_a_value_that_is_none() {
    let Some(device) = gpu() else { return };
    for place in 0..3 {
        let logits = |index: usize| {
            let mut values = vec![0.5; 6];
            if index == place {
                values[4] = f32::NAN;
            }
            tensor(&values, [2, 3], &device)
        };
        let counts = tensor(&[0.0, 1.0, 2.0, 3.0, 0.0, 5.0], [2, 3], &device);
        let factors = tensor(&[1.0, 1.0], [2], &device);
        let loss =
            zinb_negative_log_likelihood_mean(counts, factors, logits(0), logits(1), logits(2));
        assert!(values(loss)[0].is_nan(), "logits {place}");
    }
}

#[test]
fn layers_with_every_activation() {
    // From the fifth on one of the products is computed in larger tiles, and in the largest ones:
    // weights; output, weights, input.
    for (cells, inputs, outputs) in [
        (1, 1, 1),
        (5, 3, 2),
        (70, 130, 300),
        (256, 33, 64),
        (9, 1030, 500),
        (1450, 19, 1430),
        (19, 1450, 1430),
        (1450, 1430, 19),
    ] {
        for activation in [Activation::Linear, Activation::Relu, Activation::Tanh] {
            // As layers are initialised.
            let width = 2.0 / (inputs as f32).sqrt();
            let compute = |device: &Device| {
                let layer = Dense {
                    linear: Linear {
                        weight: Param::from_tensor(tensor(
                            &numbers(inputs * outputs, 2, width),
                            [inputs, outputs],
                            device,
                        )),
                        bias: Some(Param::from_tensor(tensor(
                            &numbers(outputs, 3, 1.0),
                            [outputs],
                            device,
                        ))),
                    },
                    activation,
                };
                let input = tensor(&numbers(cells * inputs, 1, 2.0), [cells, inputs], device)
                    .require_grad();
                let output = layer.forward(input.clone());
                let factors = tensor(&numbers(cells * outputs, 4, 1.0), [cells, outputs], device);
                let gradients = (output.clone() * factors).sum().backward();
                let bias = layer.linear.bias.as_ref().expect("a bias").val();
                vec![
                    ("output", values(output)),
                    ("input", values(input.grad(&gradients).expect("a gradient"))),
                    (
                        "weights",
                        values(
                            layer
                                .linear
                                .weight
                                .val()
                                .grad(&gradients)
                                .expect("a gradient"),
                        ),
                    ),
                    ("bias", values(bias.grad(&gradients).expect("a gradient"))),
                ]
            };
            compare(
                compute,
                &format!("{cells} x {inputs} x {outputs}, {activation:?}"),
            );
        }
    }
}

#[test]
fn soft_assignments_and_their_divergence() {
    for (cells, clusters, width) in [(4, 2, 3), (7, 3, 2), (50, 20, 32), (300, 130, 10)] {
        for kernel in [
            SimilarityKernel::StudentT { alpha: 1.0 },
            SimilarityKernel::StudentT { alpha: 2.5 },
            SimilarityKernel::Gaussian { bandwidth: 1.5 },
        ] {
            for offset in [0.0, 1e-6] {
                let compute = |device: &Device| {
                    let centroids = tensor(
                        &numbers(clusters * width, 1, 4.0),
                        [clusters, width],
                        device,
                    );
                    let layer = ClusteringLayer {
                        centroids: Param::from_tensor(centroids),
                        kernel: kernel.clone(),
                    };
                    let latent = tensor(&numbers(cells * width, 2, 5.0), [cells, width], device)
                        .require_grad();
                    let weights: Vec<f32> = numbers(cells * clusters, 3, 1.0)
                        .iter()
                        .map(|x| x + 0.5)
                        .collect();
                    let p = tensor(&weights, [cells, clusters], &device.clone().inner());
                    let p = p.clone() / p.sum_dim(1);
                    let q = layer.forward(latent.clone());
                    let loss = KlDivergence::new()
                        .with_offset(offset)
                        .forward(q.clone(), p.autodiff());
                    let gradients = (loss.clone() * 3.0).backward();
                    let centroids = layer.centroids.val();
                    vec![
                        ("q", values(q)),
                        ("loss", values(loss)),
                        (
                            "latent",
                            values(latent.grad(&gradients).expect("a gradient")),
                        ),
                        (
                            "centroids",
                            values(centroids.grad(&gradients).expect("a gradient")),
                        ),
                    ]
                };
                compare(
                    compute,
                    &format!("{cells} x {clusters} x {width}, {kernel:?}"),
                );
            }
        }
    }
}

#[test]
fn what_is_not_a_number_stays_so_in_assignments_and_divergences() {
    let Some(device) = gpu() else { return };
    let layer = ClusteringLayer {
        centroids: Param::from_tensor(tensor(&[0.0, 0.0, 1.0, 0.0], [2, 2], &device)),
        kernel: SimilarityKernel::default(),
    };
    let latent = tensor(&[f32::NAN, 0.0, 1.0, 3.0], [2, 2], &device);
    let q = values(layer.forward(latent));
    assert!(q[..2].iter().all(|q| q.is_nan()), "{q:?}");
    assert!(q[2..].iter().all(|q| q.is_finite()), "{q:?}");
    let p = tensor(&[0.5; 4], [2, 2], &device);
    let q = tensor(&[0.5, 0.5, f32::NAN, 0.5], [2, 2], &device);
    assert!(values(KlDivergence::new().forward(q, p))[0].is_nan());
}

#[test]
fn cells_far_from_all_centroids_keep_a_proper_assignment() {
    let Some(device) = gpu() else { return };
    let layer = |device: &Device| ClusteringLayer {
        centroids: Param::from_tensor(tensor(&[0.0, 0.0, 1.0, 0.0], [2, 2], device)),
        kernel: SimilarityKernel::Gaussian { bandwidth: 1.0 },
    };
    let latent = |device: &Device| tensor(&[1e3, 0.0, -1e3, 3.0], [2, 2], device);
    let found = values(layer(&device).forward(latent(&device)));
    let expected = values(layer(&cpu()).forward(latent(&cpu())));
    assert_close(&found, &expected, 1e-5, "far cells");
}

#[test]
fn squared_errors() {
    for (cells, genes) in [(1, 1), (3, 50), (130, 301)] {
        let compute = |device: &Device| {
            let reconstruction =
                tensor(&numbers(cells * genes, 1, 10.0), [cells, genes], device).require_grad();
            let target = tensor(
                &numbers(cells * genes, 2, 10.0),
                [cells, genes],
                &device.clone().inner(),
            );
            let output = MseOutput {
                reconstruction: reconstruction.clone(),
            };
            let batch = celldec::batches::Batch {
                cells: (0..cells).collect(),
                counts: target.clone(),
                input: target,
                size_factors: Tensor::ones([cells], device),
                weights: None,
                covariates: None,
            };
            let loss = MseLoss::new().forward(&output, &batch);
            let gradients = (loss.clone() * 0.7).backward();
            vec![
                ("value", values(loss)),
                (
                    "gradient",
                    values(reconstruction.grad(&gradients).expect("a gradient")),
                ),
            ]
        };
        compare(compute, &format!("{cells} x {genes}"));
    }
}

/// Transposed tensors and rows of larger ones share memory with others.
#[test]
fn views_are_read_as_what_they_are() {
    let compute = |device: &Device| {
        let layer = Dense {
            linear: Linear {
                weight: Param::from_tensor(tensor(&numbers(33 * 20, 2, 1.0), [33, 20], device)),
                bias: Some(Param::from_tensor(tensor(
                    &numbers(20, 3, 1.0),
                    [20],
                    device,
                ))),
            },
            activation: Activation::Relu,
        };
        let input = tensor(&numbers(50 * 33, 1, 2.0), [33, 50], device).require_grad();
        let output = layer.forward(input.clone().transpose().slice_dim(0, 7..48));
        let gradients = output.clone().slice_dim(0, 3..30).square().sum().backward();
        vec![
            ("output", values(output.slice_dim(0, 5..11))),
            ("input", values(input.grad(&gradients).expect("a gradient"))),
        ]
    };
    compare(compute, "views");
}
