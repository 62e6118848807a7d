//! A head and a reconstruction loss of one's own.

use celldec::batches::{Batch, Batches};
use celldec::burn;
use celldec::kernel::special::{sigmoid, softplus_tensor};
use celldec::loss;
use celldec::nn::{LinearHead, LinearHeadConfig, ReconstructionHead};
use celldec::prelude::*;
use celldec::tensors::tensor_to_array;
use celldec_downstream::{short, three_groups};

use burn::module::Module;
use burn::nn::{Linear, LinearConfig};
use burn::tensor::Tensor;

// program: zero-inflated Poisson, head and loss; at most 30 lines
/// Log-rate and dropout logit of every count.
#[derive(Module, Debug)]
struct ZipHead {
    log_rate: Linear,
    dropout: Linear,
}

impl ReconstructionHead for ZipHead {
    type Config = ();
    type Output = [Tensor<2>; 2];
    const NAME: &'static str = "zip";

    fn init(_: &(), features: usize, genes: usize, device: &Device) -> Self {
        let layer = || LinearConfig::new(features, genes).init(device);
        let [log_rate, dropout] = [layer(), layer()];
        Self { log_rate, dropout }
    }

    fn forward(&self, features: Tensor<2>) -> [Tensor<2>; 2] {
        [&self.log_rate, &self.dropout].map(|layer| layer.forward(features.clone()).clamp(-14, 14))
    }

    fn expectation(&self, [log_rate, _]: &[Tensor<2>; 2]) -> Tensor<2> {
        log_rate.clone().exp()
    }
}

/// −ln p(x) without ln x!; with p(0) = π + (1 − π) e^−μ and π = sigmoid(dropout).
fn zip() -> impl ReconstructionLoss<Head = ZipHead> {
    loss::from_fn::<ZipHead, _>("zip", |[log_rate, dropout], batch: &Batch| {
        let log_mean = log_rate.clone() + batch.size_factors.clone().log().unsqueeze_dim::<2>(1);
        let mean = log_mean.clone().exp();
        let zero = batch.counts.clone().equal_elem(0).float();
        let excess = zero * softplus_tensor(dropout.clone() + mean.clone());
        softplus_tensor(dropout.clone()) - excess + mean - batch.counts.clone() * log_mean
    })
}
// end

#[test]
fn the_loss_is_that_of_a_zero_inflated_poisson() -> celldec::Result<()> {
    let (cells, _) = three_groups(40, 1)?;
    let device = Device::default();
    let batch = Batches::new(&cells, &device).batch(&[3, 1, 20])?;
    let genes = cells.genes();
    let logits = |step: f32| {
        let values = Tensor::<1, burn::tensor::Int>::arange(0..3 * genes as i64, &device).float();
        (values * step).sin().reshape([3, genes]) * 3.0
    };
    let output = [logits(0.7), logits(0.3)];
    let found = tensor_to_array(zip().forward_no_reduction(&output, &batch));
    let [log_rate, dropout] = output.map(tensor_to_array);
    for ((row, gene), &found) in found.indexed_iter() {
        let count = f64::from(tensor_to_array(batch.counts.clone())[[row, gene]]);
        let factor = f64::from(cells.size_factors()[batch.cells[row]]);
        let mean = factor * f64::from(log_rate[[row, gene]]).exp();
        let lost = sigmoid(f64::from(dropout[[row, gene]]));
        let poisson = (1.0 - lost) * (-mean).exp() * mean.powf(count);
        let probability = if count == 0.0 {
            lost + poisson
        } else {
            poisson
        };
        let expected = -probability.ln();
        assert!((f64::from(found) - expected).abs() < 1e-4 * expected.abs().max(1.0));
    }
    Ok(())
}

#[test]
fn a_head_of_ones_own_is_fitted_saved_and_loaded() -> celldec::Result<()> {
    let (cells, _) = three_groups(90, 1)?;
    let device = Device::default();
    let fit = short(Plan::scdcc(3).with_reconstruction(zip(), ()))
        .trainer(&device)?
        .fit(&cells)?;
    let pretraining = |epoch: usize| fit.history()[epoch].losses[0].clone();
    assert_eq!(pretraining(0).0, "zip");
    assert!(pretraining(3).1 < pretraining(0).1);
    let record = &fit.model().info().settings;
    assert_eq!(
        (&record["head"]["name"], &record["reconstruction"]["name"]),
        (&"zip".into(), &"zip".into())
    );

    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("zip.model");
    fit.model().save(&path)?;
    let loaded = FittedModel::<ZipHead>::load(&path, &device)?;
    assert_eq!(loaded.denoise(&cells)?, fit.model().denoise(&cells)?);
    let other = FittedModel::<MseHead>::load(&path, &device);
    assert!(
        other
            .expect_err("another head")
            .to_string()
            .contains("\"zip\"")
    );
    Ok(())
}

#[test]
fn a_poisson_needs_no_head_of_ones_own() -> celldec::Result<()> {
    let (cells, _) = three_groups(90, 1)?;
    // program: Poisson by a closure; at most 12 lines
    let poisson = loss::from_fn::<LinearHead, _>("poisson", |output, batch| {
        let factors = batch.size_factors.clone().log().unsqueeze_dim::<2>(1);
        let log_mean = output.logits.clone() + factors;
        log_mean.clone().exp() - batch.counts.clone() * log_mean
    });
    let plan = Plan::scdcc(3).with_reconstruction(poisson, LinearHeadConfig::exp());
    // end
    let fit = short(plan)
        .with_epochs(40, 1)
        .with_pretraining(|phase| phase.with_learning_rate(1e-2))
        .trainer(&Device::default())?
        .fit(&cells)?;
    assert!(fit.history()[39].total_loss() < fit.history()[0].total_loss());
    let denoised = fit.model().denoise(&cells)?;
    assert_eq!(denoised.dim(), (90, cells.genes()));
    // The expectation is a mean count: times the size factor, so sums of cells are near the totals.
    let ratio = denoised.sum() / cells.counts()?.values().iter().sum::<f32>();
    assert!((0.5..2.0).contains(&ratio), "{ratio}");
    Ok(())
}
