//! Parts that keep their weights.

use celldec::nn::Autoencoder;
use celldec::prelude::*;
use celldec::tensors::tensor_to_array;
use celldec::train::Part;
use celldec_downstream::{short, three_groups};

/// The weights of the first layer of encoder and decoder.
fn weights(autoencoder: &Autoencoder<CountHead>) -> [Vec<f32>; 2] {
    let layers = [
        &autoencoder.encoder.layers[0],
        &autoencoder.decoder.layers[0],
    ];
    layers.map(|layer| {
        tensor_to_array(layer.linear.weight.val())
            .into_iter()
            .collect()
    })
}

#[test]
fn a_frozen_encoder_keeps_its_weights() -> celldec::Result<()> {
    let (cells, _) = three_groups(90, 1)?;
    let device = Device::default();
    let trainer = short(Plan::scdcc(3)).trainer(&device)?;
    let pretrained = trainer.pretrain(&cells, &mut trainer.run())?;
    // program: freezing the encoder of an earlier fit; at most 15 lines
    let frozen = short(Plan::scdcc(3))
        .with_frozen([Part::Encoder])
        .trainer(&device)?;
    let mut run = frozen.run();
    let further = frozen.pretrain_from(pretrained.clone(), &cells, &mut run)?;
    let fit = frozen.cluster(further.clone(), &cells, &mut run)?;
    // end
    let ([encoder, decoder], [same, moved]) = (weights(&pretrained), weights(&further));
    assert_eq!(encoder, same);
    assert_ne!(decoder, moved);
    let encoder = &fit.model().network().encoder;
    assert_eq!(
        same,
        tensor_to_array(encoder.layers[0].linear.weight.val())
            .into_iter()
            .collect::<Vec<_>>()
    );
    assert_eq!(fit.model().info().settings["frozen"][0], "encoder");
    Ok(())
}

#[test]
fn frozen_centroids_stay_where_they_start() -> celldec::Result<()> {
    let (cells, _) = three_groups(90, 1)?;
    let device = Device::default();
    let start = CentroidStart::KMeans(KMeansConfig::new(3));
    let plan = short(Plan::scdcc(3)).with_start(start);
    let first = plan
        .clone()
        .with_epochs(4, 0)
        .trainer(&device)?
        .fit(&cells)?;
    let frozen = plan
        .clone()
        .with_frozen([Part::Centroids])
        .trainer(&device)?
        .fit(&cells)?;
    let free = plan.trainer(&device)?.fit(&cells)?;
    assert_eq!(frozen.centroids(), first.centroids());
    assert_ne!(free.centroids(), first.centroids());
    assert_ne!(frozen.embedding(), first.embedding());
    Ok(())
}

#[test]
fn nothing_left_to_train_is_an_error() {
    let plan = Plan::scdcc(3).with_frozen([Part::Encoder, Part::Centroids]);
    let error = plan
        .trainer(&Device::default())
        .expect_err("nothing to train");
    assert!(error.to_string().contains("nothing to train"), "{error}");
}
