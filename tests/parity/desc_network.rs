//! DESC's network on a tiny case against the original under TensorFlow in f32, and the mean
//! squared error against finite differences.

use burn::module::Param;
use burn::nn::Linear;
use burn::optim::GradientsParams;
use burn::tensor::{DType, Gradients, Tensor, TensorData};
use celldec::batches::Batch;
use celldec::loss::{ClusteringLoss, KlDivergence, MseLoss, ReconstructionLoss, SharpenedTarget};
use celldec::nn::{
    Activation, Autoencoder, ClusteringLayer, ClusteringNetwork, Decoder, Dense, Encoder, MseHead,
    MseOutput, SimilarityKernel,
};
use celldec::optim::OptimizerConfig;

use crate::fixtures::Fixture;
use crate::tensors::{
    Layout, absolute, autodiff, check, largest, linear, number, numbers, relative_to_largest,
    tensor,
};

/// The required agreement: absolute for outputs, losses and weights after steps; relative to a
/// parameter's largest entry for gradients.
const BOUND: f64 = 1e-5;
const GRADIENT_BOUND: f64 = 1e-4;

struct Case {
    fixture: Fixture,
    dtype: DType,
}

impl Case {
    fn all() -> [Self; 2] {
        [DType::F32, DType::F64].map(|dtype| Self {
            fixture: Fixture::open("g_tiny_desc"),
            dtype,
        })
    }

    fn tensor(&self, key: &str) -> Tensor<2> {
        tensor(&self.fixture, key, &autodiff(), self.dtype)
    }

    fn autoencoder(&self) -> Autoencoder<MseHead> {
        let layer = |name: &str| {
            let name = format!("init.{name}");
            linear(&self.fixture, &name, Layout::Keras, &autodiff(), self.dtype)
        };
        let dense = |name: &str, activation| Dense {
            linear: layer(name),
            activation,
        };
        Autoencoder {
            encoder: Encoder {
                layers: vec![
                    dense("encoder_0", Activation::Relu),
                    dense("encoder_1", Activation::Tanh),
                ],
                skip: None,
                covariates: None,
            },
            decoder: Decoder {
                layers: vec![dense("decoder_1", Activation::Relu)],
                covariates: None,
            },
            head: MseHead {
                output: layer("decoder_0"),
                activation: Activation::Tanh,
            },
        }
    }

    fn batch(&self) -> Batch {
        let input = self.tensor("in.X");
        Batch {
            cells: (0..12).collect(),
            counts: input.zeros_like(),
            size_factors: Tensor::ones([12], &autodiff()),
            input,
            weights: None,
            covariates: None,
        }
    }

    fn title(&self, what: &str) -> String {
        format!("{what}, {:?} against f32", self.dtype)
    }

    fn check_values(&self, what: &str, found: &[f64]) {
        let error = absolute(found, &self.fixture.values(what));
        check(&self.title(what), error, BOUND);
    }

    fn check_weights(&self, prefix: &str, weights: &[(String, Vec<f64>)], count: usize) {
        assert_eq!(weights.len(), count);
        let error = largest(weights.iter().map(|(name, found)| {
            absolute(found, &self.fixture.values(&format!("{prefix}.{name}")))
        }));
        check(&self.title(prefix), error, BOUND);
    }
}

fn layers(autoencoder: &Autoencoder<MseHead>) -> [(&'static str, &Linear); 4] {
    let encoder = &autoencoder.encoder.layers;
    [
        ("encoder_0", &encoder[0].linear),
        ("encoder_1", &encoder[1].linear),
        ("decoder_1", &autoencoder.decoder.layers[0].linear),
        ("decoder_0", &autoencoder.head.output),
    ]
}

/// Values of layers, or their gradients.
fn named(layers: &[(&str, &Linear)], gradients: Option<&Gradients>) -> Vec<(String, Vec<f64>)> {
    fn values<const D: usize>(tensor: Tensor<D>, gradients: Option<&Gradients>) -> Vec<f64> {
        numbers(match gradients {
            Some(gradients) => tensor.grad(gradients).expect("a gradient"),
            None => tensor.inner(),
        })
    }
    layers
        .iter()
        .flat_map(|(name, layer)| {
            let bias = layer.bias.as_ref().expect("a bias").val();
            [
                (
                    format!("{name}.kernel"),
                    values(layer.weight.val(), gradients),
                ),
                (format!("{name}.bias"), values(bias, gradients)),
            ]
        })
        .collect()
}

fn mse(autoencoder: &Autoencoder<MseHead>, batch: &Batch) -> Tensor<1> {
    MseLoss::new().forward(&autoencoder.forward(batch.input.clone()), batch)
}

#[test]
fn the_forward_pass_matches_the_reference() {
    for case in Case::all() {
        let autoencoder = case.autoencoder();
        let z = autoencoder.encode(case.tensor("in.X"));
        let output = autoencoder.decode(z.clone());
        case.check_values("fwd.z", &numbers(z.inner()));
        case.check_values("fwd.recon", &numbers(output.reconstruction.inner()));
    }
}

#[test]
fn the_reconstruction_loss_and_its_gradients_match_the_reference() {
    for case in Case::all() {
        let autoencoder = case.autoencoder();
        let loss = mse(&autoencoder, &case.batch());
        let gradients = loss.backward();
        case.check_values("mse", &[number(loss.inner())]);
        let found = named(&layers(&autoencoder), Some(&gradients));
        assert_eq!(found.len(), 8);
        let error = largest(found.iter().map(|(name, gradient)| {
            let expected = case.fixture.values(&format!("grad_mse.{name}"));
            relative_to_largest(gradient, &expected)
        }));
        check(&case.title("gradients of mse"), error, GRADIENT_BOUND);
    }
}

#[test]
fn three_steps_of_pretraining_match_the_reference() {
    for case in Case::all() {
        let (mut autoencoder, batch) = (case.autoencoder(), case.batch());
        let mut optimizer = OptimizerConfig::sgd(0.9).init();
        let mut losses = Vec::new();
        for _ in 0..3 {
            let loss = mse(&autoencoder, &batch);
            losses.push(number(loss.clone().inner()));
            let gradients = GradientsParams::from_grads(loss.backward(), &autoencoder);
            autoencoder = optimizer.step(0.1, autoencoder, gradients);
        }
        case.check_values("sgd3_losses", &losses);
        case.check_weights("sgd3", &named(&layers(&autoencoder), None), 8);
    }
}

#[test]
fn three_steps_of_self_training_match_the_reference() {
    for case in Case::all() {
        let clustering = ClusteringLayer {
            centroids: Param::from_tensor(case.tensor("in.centroids")),
            kernel: SimilarityKernel::StudentT { alpha: 1.0 },
        };
        let mut network =
            ClusteringNetwork::<MseHead>::encoder_only(case.autoencoder().encoder, clustering);
        let assign = |network: &ClusteringNetwork<MseHead>| {
            network.assign(network.encode(case.tensor("in.X")))
        };
        let loss = KlDivergence::new();
        let q = assign(&network).inner();
        let p = SharpenedTarget::new().forward(q.clone());
        case.check_values("t.q", &numbers(q));
        case.check_values("t.p", &numbers(p.clone()));

        let p = Tensor::from_inner(p);
        let mut optimizer = OptimizerConfig::sgd(0.9).init();
        let mut losses = Vec::new();
        for _ in 0..3 {
            let divergence = loss.forward(assign(&network), p.clone());
            losses.push(number(divergence.clone().inner()));
            let gradients = GradientsParams::from_grads(divergence.backward(), &network);
            network = optimizer.step(0.01, network, gradients);
        }
        case.check_values("t.kld3_losses", &losses);
        let encoder = &network.encoder.layers;
        let mut weights = named(
            &[
                ("encoder_0", &encoder[0].linear),
                ("encoder_1", &encoder[1].linear),
            ],
            None,
        );
        let centroids = numbers(network.clustering.centroids.val().inner());
        weights.push(("clustering.clusters".into(), centroids));
        case.check_weights("t.kld_sgd3", &weights, 5);
    }
}

/// The mean squared error in f64 by its two inputs: reconstruction and network input.
#[test]
fn the_mean_squared_error_matches_finite_differences() {
    let fixture = Fixture::open("g_tiny_desc");
    let (reconstruction, input) = (fixture.values("fwd.recon"), fixture.values("in.X"));
    let matrix = |values: &[f64]| -> Tensor<2> {
        let data = TensorData::new(values.to_vec(), [12, 30]);
        Tensor::from_data(data, (&autodiff(), DType::F64)).require_grad()
    };
    let loss = |reconstruction: &Tensor<2>, input: &Tensor<2>| {
        let batch = Batch {
            cells: (0..12).collect(),
            counts: input.zeros_like(),
            size_factors: Tensor::ones([12], &autodiff()),
            input: input.clone(),
            weights: None,
            covariates: None,
        };
        let output = MseOutput {
            reconstruction: reconstruction.clone(),
        };
        MseLoss::new().forward(&output, &batch)
    };
    let tensors = [matrix(&reconstruction), matrix(&input)];
    let gradients = loss(&tensors[0], &tensors[1]).backward();
    let step = 1e-4;
    for (side, tracked) in tensors.iter().enumerate() {
        let expected: Vec<f64> = (0..input.len())
            .map(|i| {
                let at = |step: f64| {
                    let mut moved = [reconstruction.clone(), input.clone()];
                    moved[side][i] += step;
                    number(loss(&matrix(&moved[0]), &matrix(&moved[1])).inner())
                };
                (at(step) - at(-step)) / (2.0 * step)
            })
            .collect();
        let found = numbers(tracked.grad(&gradients).expect("a gradient"));
        check(
            &format!("mse by {}", ["reconstruction", "input"][side]),
            relative_to_largest(&found, &expected),
            1e-7,
        );
    }
}
