//! A decoder head, a reconstruction loss, a target and a clustering loss of one's own, in both
//! methods.
//!
//! The head predicts the rate of a Poisson distribution for every gene and its loss scores the
//! counts. The target sharpens assignments without balancing clusters by their frequency, and a
//! weighted term that rewards certain cells is added to the clustering loss.
//!
//! ```text
//! cargo run --release --example custom_loss
//! ```

use std::process::ExitCode;
use std::time::Instant;

use celldec::batches::{Batch, ReconstructionTarget};
use celldec::burn;
use celldec::description::Description;
use celldec::graph::EmbeddedCells;
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

    fn description(&self) -> Description {
        Description::new("poisson")
    }
}

/// `p_ij ∝ q_ij²`: sharper than q, without the usual division by the frequency of clusters, which
/// evens out their sizes.
struct SquaredTarget;

impl Target for SquaredTarget {
    fn target(&self, q: Tensor<2>, _cells: &EmbeddedCells<'_>) -> Result<Tensor<2>> {
        let squares = q.square();
        Ok(squares.clone() / squares.sum_dim(1))
    }

    fn description(&self) -> Description {
        Description::new("squared")
    }
}

/// The entropy of a cell's assignment, `−Σ_j q_ij ln q_ij`: small when the cell is certain.
struct Entropy;

impl ClusteringLoss for Entropy {
    fn forward(&self, q: Tensor<2>, _p: Tensor<2>) -> Tensor<1> {
        let log_q = q.clone().clamp_min(f64::from(f32::MIN_POSITIVE)).log();
        (q * log_q).sum_dim(1).mean().neg()
    }

    fn description(&self) -> Description {
        Description::new("entropy")
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

/// Trains scDCC and DESC with all of them.
fn run() -> Result<()> {
    let data = Bundled::read()?;
    println!(
        "{:<7} {:<15} {:<8} {:<24} {:>8} {:>6}   ARI with the published types",
        "method", "reconstruction", "target", "clustering", "clusters", "s"
    );
    let cells = Preprocess::scdcc().fit(&data.counts)?;
    fit(Plan::scdcc(10), &data, &cells)?;
    let cells = Preprocess::desc().fit(&data.counts)?;
    fit(Plan::desc(), &data, &cells)
}

/// Exchanges the parts of a plan, whatever its head was.
fn fit<H: ReconstructionHead>(plan: Plan<H>, data: &Bundled, cells: &Cells) -> Result<()> {
    let start = Instant::now();
    let fit = plan
        .with_pretraining(|phase| phase.with_epochs(100))
        .with_reconstruction(PoissonLoss, PoissonHeadConfig::new())
        .with_target(SquaredTarget)
        .with_clustering(KlDivergence::new().plus(Entropy.weighted(0.1)))
        .trainer(&Device::default())?
        .fit(cells)?;
    // What ran is recorded in the model.
    let info = fit.model().info();
    let name = |part: &str| info.settings[part]["name"].as_str().unwrap_or_default();
    println!(
        "{:<7} {:<15} {:<8} {:<24} {:>8} {:>6.1}   {:.3}",
        info.method,
        name("reconstruction"),
        name("target"),
        name("clustering"),
        fit.clusters().count(),
        start.elapsed().as_secs_f64(),
        data.agreement(cells, fit.clusters())?
    );
    Ok(())
}
