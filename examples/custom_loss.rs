//! A decoder head, a reconstruction loss and a clustering loss of one's own, trained by both
//! schedules.
//!
//! The head predicts the rate of a Poisson distribution for every gene and its loss scores the
//! counts. The clustering loss sharpens assignments without balancing clusters by their frequency,
//! and a weighted term that rewards certain cells is added to it.
//!
//! ```text
//! cargo run --release --example custom_loss
//! ```

use std::process::ExitCode;
use std::time::Instant;

use celldec::batches::{Batch, ReconstructionTarget};
use celldec::burn;
use celldec::nn::{HeadOutput, ReconstructionHead};
use celldec::prelude::*;

use burn::config::Config;
use burn::module::Module;
use burn::nn::{Linear, LinearConfig};
use burn::tensor::Tensor;

#[path = "shared/bundled.rs"]
mod bundled;

use bundled::Bundled;

/// Settings of a [`PoissonHead`]; it has none.
#[derive(Config, Debug)]
struct PoissonHeadConfig {}

/// The logarithm of a Poisson rate for every gene, from one linear layer.
#[derive(Module, Debug)]
struct PoissonHead {
    log_rate: Linear,
}

impl ReconstructionHead for PoissonHead {
    type Config = PoissonHeadConfig;
    /// The logarithm of the rate at size factor 1 `[cells, genes]`.
    type Output = Tensor<2>;
    const NAME: &'static str = "poisson";

    fn init(_: &PoissonHeadConfig, features: usize, genes: usize, device: &Device) -> Self {
        Self {
            log_rate: LinearConfig::new(features, genes).init(device),
        }
    }

    fn forward(&self, features: Tensor<2>) -> Tensor<2> {
        // Rates between 1e-5 and 1e6: a single step cannot overflow the exponential.
        self.log_rate.forward(features).clamp(-11.5, 13.8)
    }

    fn expectation(&self, log_rate: &Tensor<2>) -> Tensor<2> {
        log_rate.clone().exp()
    }
}

/// Negative log-likelihood of the counts under a Poisson distribution, less ln x!, which no
/// parameter changes: `μ − x ln μ` with `μ = size factor · rate`.
struct PoissonLoss;

impl ReconstructionLoss for PoissonLoss {
    type Head = PoissonHead;

    fn forward_no_reduction(&self, log_rate: &HeadOutput<PoissonHead>, batch: &Batch) -> Tensor<2> {
        let log_size_factors = batch.size_factors.clone().log().unsqueeze_dim::<2>(1);
        let log_mean = log_rate.clone() + log_size_factors;
        log_mean.clone().exp() - batch.counts.clone() * log_mean
    }

    fn target(&self) -> ReconstructionTarget {
        ReconstructionTarget::Counts
    }

    fn name(&self) -> String {
        "poisson".into()
    }
}

/// Self-training towards `p_ij ∝ q_ij²`: sharper than q, without the usual division by the
/// frequency of clusters, which evens out their sizes.
struct SquaredTarget;

impl ClusteringLoss for SquaredTarget {
    fn target(&self, q: Tensor<2>) -> Tensor<2> {
        let squares = q.square();
        let total = squares.clone().sum_dim(1);
        squares / total
    }

    fn forward(&self, q: Tensor<2>, p: Tensor<2>) -> Tensor<1> {
        KlSelfTraining::new().forward(q, p)
    }

    fn name(&self) -> String {
        "squared target".into()
    }
}

/// The mean entropy of the assignments, `−Σ_j q_ij ln q_ij`: small when every cell is certain.
struct Entropy;

impl ClusteringLoss for Entropy {
    fn target(&self, q: Tensor<2>) -> Tensor<2> {
        q
    }

    fn forward(&self, q: Tensor<2>, _p: Tensor<2>) -> Tensor<1> {
        let log_q = q.clone().clamp_min(f64::from(f32::MIN_POSITIVE)).log();
        (q * log_q).sum_dim(1).mean().neg()
    }

    fn name(&self) -> String {
        "entropy".into()
    }
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Trains scDCC and DESC with a Poisson head and another clustering loss.
fn run() -> Result<()> {
    let device = Device::default();
    let data = Bundled::read()?;
    println!(
        "{:<9} {:<16} {:<31} {:>8} {:>6}   ARI with the published types",
        "schedule", "reconstruction", "clustering", "clusters", "s"
    );

    let start = Instant::now();
    let cells = Preprocess::scdcc().fit(&data.counts)?;
    let fit = ScdccConfig::new(10)
        .with_pretraining_epochs(100)
        .init(&device)?
        .with_reconstruction_loss(PoissonLoss, PoissonHeadConfig::new())
        .with_clustering_loss(SquaredTarget.plus(Entropy.weighted(0.1)))
        .fit(&cells)?;
    print("scDCC", &data, &cells, &fit, start)?;

    let start = Instant::now();
    let cells = Preprocess::desc().fit(&data.counts)?;
    let runs = DescConfig::new()
        .with_pretraining_epochs(100)
        .init(&device)?
        .with_reconstruction_loss(PoissonLoss, PoissonHeadConfig::new())
        .with_clustering_loss(SquaredTarget.plus(Entropy.weighted(0.1)))
        .fit(&cells)?;
    for run in &runs {
        print("DESC", &data, &cells, &run.fit, start)?;
    }
    Ok(())
}

fn print(
    schedule: &str,
    data: &Bundled,
    cells: &Cells,
    fit: &Fit<PoissonHead>,
    start: Instant,
) -> Result<()> {
    println!(
        "{schedule:<9} {:<16} {:<31} {:>8} {:>6.1}   {:.3}",
        PoissonLoss.name(),
        SquaredTarget.plus(Entropy.weighted(0.1)).name(),
        fit.clusters().count(),
        start.elapsed().as_secs_f64(),
        data.agreement(cells, fit.clusters())?
    );
    Ok(())
}
