//! A training loop of one's own, whose result is a model and a fit like any other.

use celldec::batches::{Batches, epoch_order, split};
use celldec::burn;
use celldec::model::{EpochRecord, ModelInfo, evaluate};
use celldec::nn::{
    Activation, Autoencoder, AutoencoderConfig, ClusteringLayer, ClusteringNetwork, NbHead,
    NbHeadConfig, SimilarityKernel,
};
use celldec::prelude::*;
use celldec::start::initial_centroids;
use celldec::tensors::array_to_tensor;
use celldec_downstream::three_groups;
use serde_json::json;

use burn::module::Module;
use burn::optim::{AdamConfig, GradientsParams};
use burn::tensor::{Tensor, TensorData};

const SEED: u64 = 3;

// program: an own training loop, its model and its fit; at most 70 lines
fn by_hand(cells: &Cells, device: &Device) -> celldec::Result<Fit<NbHead>> {
    let tracked = device.clone().autodiff();
    let batches = Batches::new(cells, &tracked);
    let head = NbHeadConfig::new();
    let mut autoencoder: Autoencoder<NbHead> =
        AutoencoderConfig::symmetric(cells.genes(), &[16, 4], Activation::Linear)
            .init(&head, &tracked);
    let mut history = Vec::new();

    let mut adam = AdamConfig::new().init();
    for epoch in 0..30 {
        let order = epoch_order(cells.cells(), true, SEED, epoch);
        let mut sum = 0.0;
        for rows in split(&order, 32) {
            let batch = batches.batch(rows)?;
            let output = autoencoder.forward(batch.input.clone());
            let loss = NbLoss::new().forward(&output, &batch);
            sum += loss.clone().into_scalar::<f64>() * rows.len() as f64;
            let gradients = GradientsParams::from_grads(loss.backward(), &autoencoder);
            autoencoder = adam.step(1e-2, autoencoder, gradients);
        }
        let losses = vec![("nb".to_string(), sum / cells.cells() as f64)];
        history.push(EpochRecord::new(Phase::Pretraining, epoch as usize, losses));
    }

    let plain = batches.without_autodiff();
    let embedding = evaluate(&autoencoder.encoder.valid(), None, &plain)?.embedding;
    let start = CentroidStart::KMeans(KMeansConfig::new(3));
    let initial = initial_centroids(embedding.view(), &start, SEED)?;
    let kernel = SimilarityKernel::default();
    let layer = ClusteringLayer::from_centroids(initial.centroids.view(), kernel, &tracked);
    let mut network = ClusteringNetwork::joint(autoencoder, layer);

    let mut adam = AdamConfig::new().init();
    let rows: Vec<usize> = (0..cells.cells()).collect();
    for epoch in 0..5 {
        let current = network.valid();
        let q = evaluate(&current.encoder, Some(&current.clustering), &plain)?.soft_assignments;
        let p = SharpenedTarget::new().forward(array_to_tensor(q.view(), device));
        let p = Tensor::from_inner(p);
        let q = network.assign(network.encode(batches.input(&rows)?));
        let loss = KlDivergence::new().forward(q, p);
        let losses = vec![("clustering".to_string(), loss.clone().into_scalar())];
        history.push(EpochRecord::new(Phase::SelfTraining, epoch, losses));
        let gradients = GradientsParams::from_grads(loss.backward(), &network);
        network = adam.step(1e-3, network, gradients);
    }

    let settings = json!({"optimizer": "adam", "epochs": [30, 5]});
    let info = ModelInfo::new("by hand", SEED, settings, cells)?;
    let model = FittedModel::from_parts(network, Some(head), cells, info, device)?;
    let evaluation = model.evaluate(cells)?;
    let stop_reason = StopReason::MaximumEpochs { changed: 0.0 };
    Fit::from_parts(model, evaluation, initial, stop_reason, history)
}
// end

#[test]
fn the_result_is_a_fit_like_any_other() -> celldec::Result<()> {
    let (cells, groups) = three_groups(90, 1)?;
    let device = Device::default();
    let fit = by_hand(&cells, &device)?;
    let agreement = celldec::metrics::adjusted_rand_index(&groups, fit.clusters().labels())?;
    assert!(agreement > 0.8, "{agreement}");
    assert!(fit.history()[29].total_loss() < fit.history()[0].total_loss());
    let status = fit.status();
    assert_eq!(
        (status.pretraining_epochs, status.self_training_epochs),
        (30, 5)
    );

    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("by-hand.model");
    fit.model().save(&path)?;
    let info = ModelInfo::read(&path)?;
    assert_eq!(
        (&*info.method, &info.settings["epochs"][1]),
        ("by hand", &json!(5))
    );
    let loaded = FittedModel::<NbHead>::load(&path, &device)?;
    assert_eq!(loaded.assign(&cells)?.labels(), fit.clusters().labels());
    assert_eq!(loaded.denoise(&cells)?, fit.model().denoise(&cells)?);
    Ok(())
}

#[test]
fn parts_that_do_not_fit_together_are_refused() -> celldec::Result<()> {
    let (cells, _) = three_groups(60, 1)?;
    let (others, _) = three_groups(50, 2)?;
    let device = Device::default();
    let fit = by_hand(&cells, &device)?;
    let info = fit.model().info().clone();
    let network = || fit.model().network().clone();
    let head = || Some(NbHeadConfig::new());
    let refused = |network, head, cells: &Cells| {
        let model = FittedModel::from_parts(network, head, cells, info.clone(), &device);
        model.expect_err("refused").to_string()
    };
    assert!(refused(network(), None, &cells).contains("head"));
    if others.genes() != cells.genes() {
        assert!(refused(network(), head(), &others).contains("genes"));
    }
    let mut broken = network();
    let nan = Tensor::from_data(TensorData::new(vec![f32::NAN; 12], [3, 4]), &device);
    broken.clustering.centroids = burn::module::Param::from_tensor(nan);
    assert!(refused(broken, head(), &cells).contains("NaN"));
    Ok(())
}
