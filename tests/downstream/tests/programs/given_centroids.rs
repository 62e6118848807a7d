//! Clusters that start where they are told.

use celldec::prelude::*;
use celldec::start::GivenCentroids;
use celldec_downstream::{short, three_groups};

#[test]
fn a_fit_starts_at_the_centroids_of_another() -> celldec::Result<()> {
    let (cells, _) = three_groups(90, 1)?;
    let device = Device::default();
    let trainer = short(Plan::scdcc(3)).trainer(&device)?;
    let mut run = trainer.run();
    let autoencoder = trainer.pretrain(&cells, &mut run)?;
    let first = trainer.cluster(autoencoder.clone(), &cells, &mut run)?;
    // program: centroids that are given; at most 15 lines
    let given = GivenCentroids::new(first.centroids())?;
    let again = short(Plan::scdcc(3))
        .with_start(CentroidStart::Given(given))
        .with_epochs(0, 0)
        .trainer(&device)?;
    let fit = again.fit_from(autoencoder, &cells)?;
    // end
    assert_eq!(fit.centroids(), first.centroids());

    let labelled = short(Plan::scdcc(3))
        .with_start(CentroidStart::Labels(first.clusters().labels().to_vec()))
        .trainer(&device)?
        .fit(&cells)?;
    assert_eq!(labelled.initial_labels(), first.clusters().labels());
    Ok(())
}
