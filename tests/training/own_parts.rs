//! Parts of one's own: heads, losses of pairs, similarities.

use burn::config::Config;
use burn::module::Module;
use burn::nn::{Linear, LinearConfig};
use burn::tensor::{Device, Tensor, activation};
use celldec::description::Description;
use celldec::loss;
use celldec::model::FittedModel;
use celldec::nn::{ReconstructionHead, Similarity, SimilarityKernel};
use celldec::pairs::{CannotLinkLoss, MustLinkLoss};
use celldec::prelude::*;
use celldec::train::PairTraining;
use tempfile::TempDir;

use crate::checkpoint::check_every_checkpoint;
use crate::{bits, cpu, default_scdcc, fitted, scdcc, simulated};

/// Settings of a [`DeepHead`].
#[derive(Config, Debug)]
pub struct DeepHeadConfig {
    /// Width of its hidden layer.
    pub width: usize,
}

/// A head as a user would write it: log-rates of a Poisson through a hidden layer.
#[derive(Module, Debug)]
pub struct DeepHead {
    hidden: Linear,
    output: Linear,
}

/// What a [`DeepHead`] returns.
pub struct LogRates(Tensor<2>);

impl ReconstructionHead for DeepHead {
    type Config = DeepHeadConfig;
    type Output = LogRates;
    const NAME: &'static str = "deep";

    fn init(config: &DeepHeadConfig, features: usize, genes: usize, device: &Device) -> Self {
        Self {
            hidden: LinearConfig::new(features, config.width).init(device),
            output: LinearConfig::new(config.width, genes).init(device),
        }
    }

    fn forward(&self, features: Tensor<2>) -> LogRates {
        let hidden = activation::relu(self.hidden.forward(features));
        LogRates(self.output.forward(hidden))
    }

    fn expectation(&self, output: &LogRates) -> Tensor<2> {
        output.0.clone().exp()
    }
}

/// −ln Poisson(x; s·λ) without ln x!.
pub fn poisson() -> impl ReconstructionLoss<Head = DeepHead> + 'static {
    loss::from_fn::<DeepHead, _>("poisson", |output, batch| {
        let factors = batch.size_factors.clone().log().unsqueeze_dim::<2>(1);
        let log_mean = output.0.clone() + factors;
        log_mean.clone().exp() - batch.counts.clone() * log_mean
    })
}

fn with_deep_head() -> Plan<DeepHead> {
    default_scdcc()
        .with_network(|network| network.with_start_at_moments(false))
        .with_reconstruction(poisson(), DeepHeadConfig::new(7))
}

#[test]
fn a_head_of_ones_own_trains_saves_and_loads() {
    let (cells, _) = simulated(80, 30, 1);
    let fit = fitted(&with_deep_head().with_epochs(10, 2), &cells);
    let (first, last) = (&fit.history()[0], &fit.history()[9]);
    assert_eq!(first.losses[0].0, "poisson");
    assert!(last.total_loss() < first.total_loss());

    let folder = TempDir::new().unwrap();
    let path = folder.path().join("model");
    fit.model().save(&path).unwrap();
    let loaded = FittedModel::<DeepHead>::load(&path, &cpu()).unwrap();
    assert_eq!(&loaded.assign(&cells).unwrap(), fit.clusters());
    assert_eq!(
        loaded.denoise(&cells).unwrap(),
        fit.model().denoise(&cells).unwrap()
    );
    let error = ScdccModel::load(&path, &cpu()).unwrap_err();
    assert!(error.to_string().contains("\"deep\""), "{error}");
}

#[test]
fn a_head_of_ones_own_resumes_at_every_checkpoint() {
    let (cells, _) = simulated(60, 20, 2);
    check_every_checkpoint(&with_deep_head().with_epochs(2, 2), &cells);
}

/// The squared distance of two soft assignments, or what is missing of it.
#[derive(Clone, Copy)]
struct SquaredDistance {
    apart: bool,
}

impl ConstraintLoss for SquaredDistance {
    fn forward_no_reduction(&self, first: Tensor<2>, second: Tensor<2>) -> Tensor<1> {
        let distance = (first - second).square().sum_dim(1).squeeze_dim(1);
        if self.apart {
            distance.neg() + 2.0
        } else {
            distance
        }
    }

    fn description(&self) -> Description {
        Description::new(if self.apart {
            "repulsion"
        } else {
            "attraction"
        })
        .with("apart", self.apart)
    }
}

/// How much pairs share a cluster: the mean of Σ q₁q₂.
fn togetherness(fit: &Fit<CountHead>, pairs: &[(usize, usize)]) -> f32 {
    let q = fit.clusters().soft();
    let shared = pairs.iter().map(|&(a, b)| q.row(a).dot(&q.row(b)));
    shared.sum::<f32>() / pairs.len() as f32
}

#[test]
fn losses_of_pairs_of_ones_own_act_on_their_pairs() {
    let (cells, groups) = simulated(120, 40, 6);
    let labels: Vec<Option<usize>> = groups.iter().map(|&group| Some(group)).collect();
    let pairs = ConstraintPairs::from_labels(&labels, 120, 1).unwrap();
    let (together, apart) = (pairs.must_link().to_vec(), pairs.cannot_link().to_vec());
    let training = PairTraining::published(pairs.clone())
        .with_must_link_loss(SquaredDistance { apart: false }.weighted(2.0))
        .with_cannot_link_loss(SquaredDistance { apart: true });
    let plan = scdcc(3).with_epochs(8, 12);
    let free = fitted(&plan, &cells);
    let own = fitted(&plan.clone().with_pairs(training), &cells);
    let separation = |fit| togetherness(fit, &together) - togetherness(fit, &apart);
    assert!(separation(&own) > separation(&free));
    let last = own.history().last().unwrap();
    let names: Vec<&str> = last.losses.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names,
        [
            "clustering",
            "counts",
            "2·attraction",
            "2·attraction counts",
            "repulsion"
        ]
    );
    let settings = &own.model().info().settings["pairs"];
    assert_eq!(settings["must_link_loss"]["name"], "2·attraction");
    assert_eq!(settings["must_link_loss"]["settings"]["weight"], 2.0);
    assert_eq!(settings["cannot_link_loss"]["settings"]["apart"], true);

    // The library's own losses, given by hand, are the default.
    let given = PairTraining::published(pairs.clone())
        .with_must_link_loss(MustLinkLoss::new())
        .with_cannot_link_loss(CannotLinkLoss::new());
    let short = scdcc(3).with_epochs(2, 2);
    let given = fitted(&short.clone().with_pairs(given), &cells);
    let default = fitted(&short.with_constraints(pairs), &cells);
    assert_eq!(bits(&given, &cells), bits(&default, &cells));
}

/// The logarithm of the similarity is −scale · distance.
#[derive(Clone, Copy)]
struct Laplacian {
    scale: f64,
}

impl Similarity for Laplacian {
    fn log_similarity(&self, squared_distances: Tensor<2>) -> Tensor<2> {
        (squared_distances + 1e-8).sqrt() * -self.scale
    }

    fn description(&self) -> Description {
        Description::new("laplacian").with("scale", self.scale)
    }
}

/// A Gaussian by hand.
struct Bell;

impl Similarity for Bell {
    fn log_similarity(&self, squared_distances: Tensor<2>) -> Tensor<2> {
        squared_distances * -0.5
    }

    fn description(&self) -> Description {
        Description::new("bell")
    }
}

#[test]
fn a_similarity_of_ones_own_trains() {
    let (cells, _) = simulated(80, 30, 3);
    let with = |similarity| fitted(&default_scdcc().with_similarity(similarity), &cells);
    let own = with(SimilarityKernel::own(Bell));
    let gaussian = with(SimilarityKernel::Gaussian { bandwidth: 1.0 });
    assert_eq!(bits(&own, &cells), bits(&gaussian, &cells));
    let laplacian = with(SimilarityKernel::own(Laplacian { scale: 1.0 }));
    assert_ne!(bits(&laplacian, &cells), bits(&gaussian, &cells));
}

#[test]
fn a_similarity_of_ones_own_is_loaded_with_itself_only() {
    let (cells, _) = simulated(60, 20, 4);
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("model");
    let laplacian = Laplacian { scale: 0.5 };
    let plan = default_scdcc().with_similarity(SimilarityKernel::own(laplacian));
    let fit = fitted(&plan, &cells);
    fit.model().save(&path).unwrap();

    let loaded = ScdccModel::load_with_similarity(&path, &cpu(), laplacian).unwrap();
    assert_eq!(&loaded.assign(&cells).unwrap(), fit.clusters());
    assert_eq!(loaded.info(), fit.model().info());
    // And can be saved again.
    let again = folder.path().join("again");
    loaded.save(&again).unwrap();
    assert_eq!(
        std::fs::read(&path).unwrap(),
        std::fs::read(&again).unwrap()
    );

    let refused = |error: Error, reason: &str| {
        assert!(matches!(error, Error::Model { .. }), "{error}");
        let text = error.to_string();
        assert!(
            text.contains("laplacian") && text.contains(reason),
            "{text}"
        );
    };
    refused(
        ScdccModel::load(&path, &cpu()).unwrap_err(),
        "load_with_similarity",
    );
    let other = Laplacian { scale: 0.25 };
    let error = ScdccModel::load_with_similarity(&path, &cpu(), other).unwrap_err();
    refused(error, "0.25");
    let error = ScdccModel::load_with_similarity(&path, &cpu(), Bell).unwrap_err();
    refused(error, "bell");
    // A model that has none is not given one.
    fitted(&default_scdcc(), &cells)
        .model()
        .save(&path)
        .unwrap();
    let error = ScdccModel::load_with_similarity(&path, &cpu(), Bell).unwrap_err();
    assert!(error.to_string().contains("FittedModel::load"), "{error}");
}

#[test]
fn a_similarity_of_ones_own_resumes_and_is_compared_by_its_settings() {
    let (cells, _) = simulated(60, 20, 5);
    let plan = |scale: f64| {
        let similarity = SimilarityKernel::own(Laplacian { scale });
        let plan = default_scdcc().with_epochs(1, 2);
        plan.with_similarity(similarity)
    };
    check_every_checkpoint(&plan(0.5), &cells);
    let folder = TempDir::new().unwrap();
    let checkpoint = CheckpointConfig::new(folder.path().join("checkpoint"));
    let fit = |scale: f64| {
        let trainer = plan(scale).trainer(&cpu()).unwrap();
        trainer.with_checkpoint(checkpoint.clone()).fit(&cells)
    };
    fit(0.5).unwrap();
    let failure = fit(0.25).unwrap_err();
    let Error::CheckpointMismatch {
        what,
        saved,
        current,
        ..
    } = failure.error()
    else {
        panic!("{failure}");
    };
    assert_eq!(what, "the setting similarity.Own.settings.scale");
    assert_eq!((saved.as_str(), current.as_str()), ("0.5", "0.25"));
}
