//! scDCC's network on a tiny case: forward pass, losses, every weight gradient, and the weights
//! after optimizer steps, in f32 and f64 against the original's f32 and f64 numbers.

#[cfg(feature = "pytorch")]
mod weight_files;

use burn::module::Param;
use burn::nn::Linear;
use burn::optim::GradientsParams;
use burn::tensor::{DType, Device, Gradients, Tensor};
use celldec::batches::Batch;
use celldec::loss::{ClusteringLoss, KlDivergence, ReconstructionLoss, SharpenedTarget, ZinbLoss};
use celldec::nn::{
    Activation, Autoencoder, ClusteringLayer, ClusteringNetwork, Decoder, Dense, Encoder,
    SimilarityKernel, ZinbHead,
};
use celldec::optim::OptimizerConfig;
use celldec::pairs::{CannotLinkLoss, ConstraintLoss, MustLinkLoss};

use crate::fixtures::Fixture;
use crate::tensors::{
    Layout, absolute, autodiff, check, largest, linear, number, numbers, relative_to_largest,
    tensor,
};

type Network = ClusteringNetwork<ZinbHead>;

/// The required agreement: absolute for outputs, losses and weights after steps; relative to a
/// parameter's largest entry for gradients.
const BOUND: f64 = 1e-5;
const GRADIENT_BOUND: f64 = 1e-4;

const REFERENCES: [&str; 2] = ["f64", "f32"];

struct Case {
    fixture: Fixture,
    dtype: DType,
}

impl Case {
    fn all() -> [Self; 2] {
        [DType::F32, DType::F64].map(|dtype| Self {
            fixture: Fixture::open("d_tiny_scdcc"),
            dtype,
        })
    }

    fn device(&self) -> Device {
        autodiff()
    }

    fn values(&self, key: &str) -> Vec<f64> {
        self.fixture.values(key)
    }

    fn tensor<const D: usize>(&self, key: &str) -> Tensor<D> {
        tensor(&self.fixture, key, &self.device(), self.dtype)
    }

    fn network(&self) -> Network {
        let layer = |name: &str| {
            let name = format!("init.{name}");
            linear(
                &self.fixture,
                &name,
                Layout::Torch,
                &self.device(),
                self.dtype,
            )
        };
        let dense = |name: &str, activation| Dense {
            linear: layer(name),
            activation,
        };
        let autoencoder = Autoencoder {
            encoder: Encoder {
                layers: vec![
                    dense("encoder.0", Activation::Relu),
                    dense("encoder.2", Activation::Relu),
                    dense("_enc_mu", Activation::Linear),
                ],
                skip: None,
                covariates: None,
            },
            decoder: Decoder {
                layers: vec![
                    dense("decoder.0", Activation::Relu),
                    dense("decoder.2", Activation::Relu),
                ],
                covariates: None,
            },
            head: ZinbHead {
                mean: layer("_dec_mean.0"),
                dispersion: layer("_dec_disp.0"),
                dropout: layer("_dec_pi.0"),
            },
        };
        let clustering = ClusteringLayer {
            centroids: Param::from_tensor(self.tensor("init.mu")),
            kernel: SimilarityKernel::StudentT { alpha: 1.0 },
        };
        ClusteringNetwork::joint(autoencoder, clustering)
    }

    fn batch(&self, rows: &[usize]) -> Batch {
        let indices: Vec<i64> = rows.iter().map(|&row| row as i64).collect();
        let indices = Tensor::from_data(indices.as_slice(), &self.device());
        Batch {
            cells: rows.to_vec(),
            input: self.tensor::<2>("in.X").select(0, indices.clone()),
            counts: self.tensor::<2>("in.X_raw").select(0, indices.clone()),
            size_factors: self.tensor::<1>("in.sf").select(0, indices),
            weights: None,
            covariates: None,
        }
    }

    fn all_cells(&self) -> Batch {
        self.batch(&(0..12).collect::<Vec<_>>())
    }

    /// The target of the initial network, from the reference.
    fn target(&self) -> Tensor<2> {
        self.tensor("f64.p")
    }

    fn title(&self, what: &str, reference: &str) -> String {
        format!("{what}, {:?} against {reference}", self.dtype)
    }

    fn check_values(&self, what: &str, found: &[f64]) {
        for reference in REFERENCES {
            let expected = self.values(&format!("{reference}.{what}"));
            check(
                &self.title(what, reference),
                absolute(found, &expected),
                BOUND,
            );
        }
    }

    /// The gradient of every weight that has one.
    fn check_gradients(&self, what: &str, network: &Network, gradients: &Gradients, count: usize) {
        let found = named(network, &|weight| weight.grad(gradients), &|bias| {
            bias.grad(gradients)
        });
        assert_eq!(found.len(), count, "{what}: weights with a gradient");
        for reference in REFERENCES {
            let prefix = format!("{reference}.grad_{what}.");
            let expected = self.fixture.names();
            let expected = expected.iter().filter(|name| name.starts_with(&prefix));
            assert_eq!(
                expected.count(),
                count,
                "{what}: gradients of the reference"
            );
            let mut worst = (0.0, String::new());
            for (name, gradient) in &found {
                let expected = self.values(&format!("{prefix}{name}"));
                let error = relative_to_largest(gradient, &expected);
                if error > worst.0 || error.is_nan() {
                    worst = (error, name.clone());
                }
            }
            let title = self.title(
                &format!("gradients of {what} (worst: {})", worst.1),
                reference,
            );
            check(&title, worst.0, GRADIENT_BOUND);
        }
    }

    fn check_weights(&self, what: &str, network: &Network) {
        let found = named(network, &|w| Some(w.clone().inner()), &|b| {
            Some(b.clone().inner())
        });
        assert_eq!(found.len(), 17);
        for reference in REFERENCES {
            let error = largest(found.iter().map(|(name, weight)| {
                absolute(weight, &self.values(&format!("{reference}.{what}.{name}")))
            }));
            check(
                &self.title(&format!("weights after {what}"), reference),
                error,
                BOUND,
            );
        }
    }

    /// Three steps on all cells; checks the losses before each and the weights at the end.
    fn check_steps(
        &self,
        what: &str,
        optimizer: OptimizerConfig,
        learning_rate: f64,
        loss: impl Fn(&Network, &Batch) -> Tensor<1>,
    ) {
        let (mut network, batch) = (self.network(), self.all_cells());
        let mut optimizer = optimizer.init();
        let mut losses = Vec::new();
        for _ in 0..3 {
            let loss = loss(&network, &batch);
            losses.push(number(loss.clone().inner()));
            let gradients = GradientsParams::from_grads(loss.backward(), &network);
            network = optimizer.step(learning_rate, network, gradients);
        }
        self.check_values(&format!("{what}_losses"), &losses);
        self.check_weights(what, &network);
    }
}

fn zinb(network: &Network, batch: &Batch) -> Tensor<1> {
    let output = network
        .decode(network.encode(batch.input.clone()))
        .expect("the network has its decoder");
    ZinbLoss::new().forward(&output, batch)
}

fn kl(network: &Network, batch: &Batch, target: &Tensor<2>) -> Tensor<1> {
    let q = network.assign(network.encode(batch.input.clone()));
    KlDivergence::new()
        .with_offset(1e-6)
        .forward(q, target.clone())
}

/// Something of every parameter, by the original's names and in its layout.
fn named(
    network: &Network,
    weight: &dyn Fn(&Tensor<2>) -> Option<Tensor<2>>,
    bias: &dyn Fn(&Tensor<1>) -> Option<Tensor<1>>,
) -> Vec<(String, Vec<f64>)> {
    let encoder = &network.encoder.layers;
    let part = network.reconstruction.as_ref().expect("a decoder");
    let decoder = &part.decoder.layers;
    let layers: [(&str, &Linear); 8] = [
        ("encoder.0", &encoder[0].linear),
        ("encoder.2", &encoder[1].linear),
        ("_enc_mu", &encoder[2].linear),
        ("decoder.0", &decoder[0].linear),
        ("decoder.2", &decoder[1].linear),
        ("_dec_mean.0", &part.head.mean),
        ("_dec_disp.0", &part.head.dispersion),
        ("_dec_pi.0", &part.head.dropout),
    ];
    let mut values = Vec::new();
    for (name, layer) in layers {
        if let Some(found) = weight(&layer.weight.val()) {
            let turned = numbers(Layout::Torch.turn(found));
            values.push((format!("{name}.weight"), turned));
        }
        let parameter = layer.bias.as_ref().expect("a bias").val();
        if let Some(found) = bias(&parameter) {
            values.push((format!("{name}.bias"), numbers(found)));
        }
    }
    if let Some(found) = weight(&network.clustering.centroids.val()) {
        values.push(("mu".to_string(), numbers(found)));
    }
    values
}

fn check_forward(case: &Case, network: &Network) {
    let z = network.encode(case.all_cells().input);
    let q = network.assign(z.clone());
    let output = network.decode(z.clone()).expect("a decoder");
    for (what, found) in [
        ("fwd.z", z),
        ("fwd.q", q),
        ("fwd.mean", output.mean()),
        ("fwd.disp", output.dispersion()),
        ("fwd.pi", output.dropout()),
    ] {
        case.check_values(what, &numbers(found.inner()));
    }
}

#[test]
fn the_forward_pass_matches_the_reference() {
    for case in Case::all() {
        check_forward(&case, &case.network());
    }
}

#[test]
fn the_target_matches_the_reference() {
    for case in Case::all() {
        let network = case.network();
        let q = network
            .assign(network.encode(case.all_cells().input))
            .inner();
        case.check_values("p", &numbers(SharpenedTarget::new().forward(q)));
    }
}

#[test]
fn the_reconstruction_loss_and_its_gradients_match_the_reference() {
    for case in Case::all() {
        let network = case.network();
        let loss = zinb(&network, &case.all_cells());
        let gradients = loss.backward();
        case.check_values("zinb_loss", &[number(loss.inner())]);
        case.check_gradients("zinb", &network, &gradients, 16);
    }
}

#[test]
fn the_joint_loss_and_its_gradients_match_the_reference() {
    for case in Case::all() {
        let (network, batch) = (case.network(), case.all_cells());
        let clustering = kl(&network, &batch, &case.target());
        case.check_values("kl_loss", &[number(clustering.clone().inner())]);
        let gradients = (clustering + zinb(&network, &batch)).backward();
        case.check_gradients("kl_plus_zinb", &network, &gradients, 17);
    }
}

#[test]
fn the_must_link_step_matches_the_reference() {
    for case in Case::all() {
        let network = case.network();
        let sides = ["in.ml1", "in.ml2"].map(|key| case.batch(&case.fixture.indices(key)));
        let [first, second] = sides
            .each_ref()
            .map(|side| network.assign(network.encode(side.input.clone())));
        let pair = MustLinkLoss::new().forward(first, second);
        case.check_values("ml_pair_loss", &[number(pair.clone().inner())]);
        let total = pair + zinb(&network, &sides[0]) + zinb(&network, &sides[1]);
        case.check_values("ml_total_loss", &[number(total.clone().inner())]);
        case.check_gradients("ml_total", &network, &total.backward(), 17);
    }
}

#[test]
fn the_cannot_link_step_matches_the_reference() {
    for case in Case::all() {
        let network = case.network();
        let [first, second] = ["in.cl1", "in.cl2"].map(|key| {
            let side = case.batch(&case.fixture.indices(key));
            network.assign(network.encode(side.input))
        });
        let loss = CannotLinkLoss::new().forward(first, second);
        case.check_values("cl_loss", &[number(loss.clone().inner())]);
        case.check_gradients("cl", &network, &loss.backward(), 7);
    }
}

#[test]
fn three_steps_of_pretraining_match_the_reference() {
    for case in Case::all() {
        let optimizer = OptimizerConfig::amsgrad();
        case.check_steps("adam3", optimizer, 1e-3, zinb);
    }
}

#[test]
fn three_steps_of_self_training_match_the_reference() {
    for case in Case::all() {
        let optimizer = OptimizerConfig::adadelta(0.95);
        let target = case.target();
        case.check_steps("adadelta3", optimizer, 1.0, |network, batch| {
            kl(network, batch, &target) + zinb(network, batch)
        });
    }
}
