//! What must not go wrong: bad settings, extreme data, parts that do not fit together.

use burn::optim::grad_clipping::GradientClippingConfig;
use celldec::batches::{Batches, Corruption};
use celldec::counts::CountMatrix;
use celldec::error::{ConstraintError, ParameterError};
use celldec::loss::Weighted;
use celldec::nn::{ClusteringLayer, ClusteringNetwork, ReconstructionHead, SimilarityKernel};
use celldec::optim::OptimizerConfig;
use celldec::prelude::*;
use celldec::start::GivenCentroids;
use celldec::train::{DecoderTraining, JointReconstruction, Part, SelfTrainConfig, SelfTraining};
use ndarray::{Array2, array};

use crate::{bits, cpu, desc, fitted, no_work, parameter, scdcc, simulated};

/// Fault 9, before any work.
#[test]
fn impossible_numbers_of_clusters_are_refused() {
    for clusters in [0, 1] {
        let error = scdcc(clusters).trainer(&cpu()).unwrap_err();
        assert!(error.to_string().contains("at least 2"), "{error}");
    }
    let (cells, _) = simulated(20, 10, 1);
    for clusters in [21, usize::MAX] {
        let error = scdcc(clusters)
            .trainer(&cpu())
            .unwrap()
            .fit_observed(&cells, &mut no_work)
            .unwrap_err();
        assert_eq!(
            parameter(error),
            ParameterError::Clusters {
                clusters,
                cells: 20
            }
        );
    }
    fn refused<H: ReconstructionHead>(plan: Plan<H>, cells: &Cells) -> ParameterError {
        match plan.trainer(&cpu()) {
            Ok(trainer) => parameter(trainer.fit_observed(cells, &mut no_work).unwrap_err()),
            // What needs no cells to be seen.
            Err(error) => parameter(error),
        }
    }
    for start in [
        CentroidStart::KMeans(KMeansConfig::new(21)),
        CentroidStart::KMeans(KMeansConfig::new(1)),
        CentroidStart::Graph(GraphConfig::new(-1.0)),
        CentroidStart::Graph(GraphConfig::new(1.0).with_neighbors(0)),
    ] {
        refused(scdcc(3).with_start(start.clone()), &cells);
        refused(desc().with_start(start), &cells);
    }
    for start in [
        CentroidStart::KMeans(KMeansConfig::new(1)),
        CentroidStart::Graph(GraphConfig::new(-1.0)),
    ] {
        let of_scdcc = scdcc(3).with_start(start.clone()).trainer(&cpu());
        parameter(of_scdcc.unwrap_err());
        let of_desc = desc().with_start(start).trainer(&cpu());
        parameter(of_desc.unwrap_err());
    }
    let fit = fitted(&scdcc(20), &cells);
    assert_eq!(fit.clusters().count(), 20);
}

/// Fault 22.
#[test]
fn impossible_learning_rates_are_refused() {
    fn check<H: ReconstructionHead>(plan: &Plan<H>, rate: f64) {
        let layerwise = plan.pretraining.clone().with_learning_rate(rate);
        for plan in [
            plan.clone()
                .with_self_training(|phase| phase.with_learning_rate(rate)),
            plan.clone()
                .with_pretraining(|phase| phase.with_learning_rate(rate)),
            plan.clone().with_layerwise(Some(layerwise)),
        ] {
            let error = parameter(plan.trainer(&cpu()).unwrap_err());
            assert!(
                matches!(error, ParameterError::LearningRate { .. }),
                "{error}"
            );
        }
    }
    for rate in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        check(&scdcc(3), rate);
        check(&desc(), rate);
    }
}

#[test]
fn other_impossible_settings_are_refused() {
    fn check<H: ReconstructionHead>(plans: impl IntoIterator<Item = Plan<H>>) {
        for plan in plans {
            parameter(plan.trainer(&cpu()).expect_err(&format!("{plan:?}")));
        }
    }
    let nan = f64::NAN;
    let changes: [fn(SelfTrainConfig) -> SelfTrainConfig; 13] = [
        |phase| phase.with_batch_size(0),
        |phase| phase.with_update_interval(0),
        |phase| phase.with_max_epochs(usize::MAX),
        |phase| phase.with_tolerance(-0.1),
        |phase| phase.with_tolerance(1.0),
        |phase| phase.with_tolerance(f64::NAN),
        |phase| phase.with_optimizer(OptimizerConfig::adadelta(1.5)),
        |phase| phase.with_optimizer(OptimizerConfig::sgd(f64::NAN)),
        |phase| phase.with_optimizer(OptimizerConfig::sgd(1.0)),
        |phase| phase.with_optimizer(OptimizerConfig::adam().with_weight_decay(-1e-3)),
        |phase| phase.with_optimizer(OptimizerConfig::adam().with_weight_decay(f64::NAN)),
        |phase| {
            let none = GradientClippingConfig::Norm(0.0);
            phase.with_optimizer(OptimizerConfig::adam().with_clipping(none))
        },
        |phase| {
            let unbounded = GradientClippingConfig::Value(f32::INFINITY);
            phase.with_optimizer(OptimizerConfig::adam().with_clipping(unbounded))
        },
    ];
    for change in changes {
        check([scdcc(3).with_self_training(change)]);
        check([desc().with_self_training(change)]);
    }
    let joint = |weight: f64| DecoderTraining::Joint {
        weight,
        corruption: Corruption::None,
    };
    check([
        scdcc(3).with_batch_size(0),
        scdcc(3).with_widths(vec![]),
        scdcc(3).with_widths([4, 0]),
        scdcc(3).with_widths([usize::MAX, 4]),
        scdcc(3).with_corruption(Corruption::Gaussian(-1.0)),
        scdcc(3).with_corruption(Corruption::Gaussian(nan)),
        scdcc(3).with_pretraining(|phase| phase.with_epochs(usize::MAX)),
        // Without a weight the decoder does not train: that has a name of its own.
        scdcc(3).with_decoder(joint(0.0)),
        scdcc(3).with_decoder(joint(-1.0)),
        scdcc(3).with_decoder(joint(nan)),
        scdcc(3).with_decoder(joint(f64::INFINITY)),
        scdcc(3).with_similarity(SimilarityKernel::StudentT { alpha: 0.0 }),
        scdcc(3).with_similarity(SimilarityKernel::Gaussian { bandwidth: nan }),
        scdcc(3).with_frozen([Part::Encoder, Part::Decoder, Part::Head]),
        scdcc(3).with_frozen([Part::Encoder, Part::Centroids]),
    ]);
    let dropout = |rate: f64| {
        let layerwise = desc().layerwise.unwrap();
        desc().with_layerwise(Some(layerwise.with_corruption(Corruption::Dropout(rate))))
    };
    check([
        desc().with_resolutions([]),
        desc().with_resolutions([1.0, 0.0]),
        desc().with_resolutions([nan]),
        desc().with_widths(vec![]),
        desc().with_batch_size(0),
        desc().with_self_training(|phase| phase.with_update_interval(0)),
        dropout(1.0),
        dropout(-0.1),
        desc().with_self_training(|phase| phase.with_optimizer(OptimizerConfig::sgd(1.0))),
        desc().with_self_training(|phase| phase.with_tolerance(f64::NAN)),
        desc().with_similarity(SimilarityKernel::StudentT { alpha: -1.0 }),
        // Scaled expression has no moments of counts to start at.
        desc().with_network(|network| network.with_start_at_moments(true)),
    ]);
}

/// Faults 18 to 20 in a fit: pairs are checked before any work.
#[test]
fn constraint_pairs_outside_the_cells_are_refused() {
    let (cells, _) = simulated(20, 10, 2);
    let pairs = ConstraintPairs::new(vec![(0, 1)], vec![(3, 20)]).unwrap();
    let failure = scdcc(3)
        .with_constraints(pairs)
        .trainer(&cpu())
        .unwrap()
        .fit_observed(&cells, &mut no_work)
        .unwrap_err();
    let Error::Constraint(ConstraintError::OutOfRange {
        pair,
        second,
        cells,
        ..
    }) = failure.error()
    else {
        panic!("{failure}");
    };
    assert_eq!((*pair, *second, *cells), (0, 20, 20));
}

/// Faults 16 and 17: any batch size works, and a batch larger than the data is one batch.
#[test]
fn any_batch_size_trains() {
    let (cells, _) = simulated(33, 10, 3);
    let fit = |batch_size: usize| {
        let plan = scdcc(3).with_epochs(2, 2).with_batch_size(batch_size);
        fitted(&plan, &cells)
    };
    // 33 cells: a last batch of one cell, single cells, all cells.
    for batch_size in [1, 4, 16, 32] {
        assert!(fit(batch_size).embedding().iter().all(|z| z.is_finite()));
    }
    assert_eq!(bits(&fit(33), &cells), bits(&fit(usize::MAX), &cells));
}

/// Copies of a few distinct cells.
fn copies(profiles: &Array2<f32>, each: usize) -> Cells {
    let rows = profiles.nrows() * each;
    let counts = Array2::from_shape_fn((rows, profiles.ncols()), |(cell, gene)| {
        profiles[[cell % profiles.nrows(), gene]]
    });
    let counts = CountMatrix::from_dense(counts.view()).unwrap();
    Preprocess::scdcc_reference().fit(&counts).unwrap()
}

/// Faults 10 and 11: more clusters than distinct cells; empty clusters keep their columns.
#[test]
fn more_clusters_than_distinct_cells_leave_empty_ones() {
    let cells = copies(&array![[9.0, 1.0, 0.0, 4.0], [0.0, 7.0, 5.0, 2.0]], 15);
    let fit = fitted(&scdcc(5), &cells);
    let status = fit.status();
    assert_eq!(fit.clusters().count(), 5);
    assert_eq!(fit.clusters().soft().ncols(), 5);
    assert!(status.empty_clusters.len() >= 3, "{status:?}");
    assert_eq!(status.warnings.len(), 1);
    assert!(fit.clusters().labels().iter().all(|&label| label < 5));
}

/// Fault 13: all cells are the same.
#[test]
fn a_single_cluster_for_all_cells_is_a_result_with_a_warning() {
    let cells = copies(&array![[3.0, 1.0, 2.0]], 12);
    let fit = fitted(&scdcc(2), &cells);
    let status = fit.status();
    assert_eq!(status.empty_clusters.len(), 1);
    assert!(
        status.warnings[0].contains("every cell is in one cluster"),
        "{status:?}"
    );
    assert!(fit.embedding().iter().all(|z| z.is_finite()));
}

/// Fault 11: a cluster that no cell is near empties; labels stay columns of q.
#[test]
fn labels_stay_columns_after_a_cluster_empties() {
    let (cells, _) = simulated(60, 20, 4);
    let trainer = scdcc(3).with_epochs(3, 0).trainer(&cpu()).unwrap();
    let mut run = trainer.run();
    let autoencoder = trainer.pretrain(&cells, &mut run).unwrap();
    let mut centroids = Array2::zeros((3, 6));
    centroids.row_mut(0).fill(1e3);
    centroids[[1, 0]] = 0.5;
    centroids[[2, 0]] = -0.5;
    let device = cpu().autodiff();
    let kernel = SimilarityKernel::StudentT { alpha: 1.0 };
    let network = ClusteringNetwork::joint(
        autoencoder,
        ClusteringLayer::from_centroids(centroids.view(), kernel, &device),
    );
    let config = SelfTrainConfig::new()
        .with_optimizer(OptimizerConfig::adadelta(0.95))
        .with_learning_rate(1.0)
        .with_max_epochs(3)
        .with_tolerance(0.0);
    // The cells start in the cluster that is far away from all of them.
    let outcome = SelfTraining {
        target: &SharpenedTarget::new(),
        clustering: &KlDivergence::new(),
        reconstruction: Some(JointReconstruction {
            loss: &CountLoss::new(),
            corruption: Corruption::Gaussian(2.5),
        }),
        constraints: None,
        config: &config,
    }
    .run(network, &Batches::new(&cells, &device), &[0; 60], &mut run)
    .unwrap();
    let labels = outcome.evaluation.labels();
    assert_eq!(outcome.evaluation.soft_assignments.ncols(), 3);
    assert!(
        labels.iter().all(|&label| label == 1 || label == 2),
        "{labels:?}"
    );
    assert!(labels.contains(&1) && labels.contains(&2));
}

/// Fault 12.
#[test]
fn a_single_community_suggests_a_resolution() {
    let (cells, _) = simulated(40, 20, 5);
    let failure = desc()
        .with_resolutions([0.01])
        .trainer(&cpu())
        .unwrap()
        .fit(&cells)
        .unwrap_err();
    let Error::SingleCommunity {
        resolution,
        suggestion,
    } = failure.error()
    else {
        panic!("{failure}");
    };
    assert_eq!(*resolution, 0.01);
    assert!(suggestion > resolution);
}

/// Data of the smallest sizes, with networks larger than them.
#[test]
fn tiny_data_fits_or_is_refused() {
    let counts = |cells: usize, genes: usize| {
        let dense = Array2::from_shape_fn((cells, genes), |(cell, gene)| {
            (1 + (cell * 7 + gene * 3) % 5) as f32
        });
        Preprocess::scdcc_reference()
            .fit(&CountMatrix::from_dense(dense.view()).unwrap())
            .unwrap()
    };
    let single_cell = counts(1, 5);
    let trainer = scdcc(2).trainer(&cpu()).unwrap();
    parameter(trainer.fit(&single_cell).unwrap_err());
    let graph = desc().trainer(&cpu()).unwrap();
    parameter(graph.fit(&single_cell).unwrap_err());
    // Neighbourhoods are as small as the data; two neighbours are one community.
    let failure = graph.fit(&counts(2, 5)).unwrap_err();
    assert!(
        matches!(failure.error(), Error::SingleCommunity { .. }),
        "{failure}"
    );

    for (cells, genes) in [(2, 5), (2, 1), (8, 1), (3, 3)] {
        let cells = counts(cells, genes);
        for (pretraining, epochs) in [(0, 0), (0, 2), (2, 0), (2, 2)] {
            let plan = scdcc(2)
                .with_widths([64, 16])
                .with_epochs(pretraining, epochs);
            let fit = fitted(&plan, &cells);
            assert!(fit.embedding().iter().all(|z| z.is_finite()));
            assert_eq!(fit.history().len(), pretraining + epochs);
            if epochs == 0 {
                assert_eq!(fit.clusters().labels(), fit.initial_labels());
            }
            let start = CentroidStart::KMeans(KMeansConfig::new(2));
            let plan = desc()
                .with_start(start)
                .with_published_pretraining(pretraining)
                .with_self_training(|phase| phase.with_max_epochs(epochs));
            let fit = fitted(&plan, &cells);
            assert!(fit.embedding().iter().all(|z| z.is_finite()));
        }
    }
}

/// Fault 8: counts of ten million, and totals beyond 2^24.
#[test]
fn huge_counts_train() {
    let dense = Array2::from_shape_fn((24, 8), |(cell, gene)| {
        if (cell + gene) % 3 == 0 {
            1e7 + cell as f32
        } else {
            (gene % 2) as f32
        }
    });
    let counts = CountMatrix::from_dense(dense.view()).unwrap();
    let cells = Preprocess::scdcc_reference().fit(&counts).unwrap();
    let fit = fitted(&scdcc(3), &cells);
    assert!(fit.embedding().iter().all(|z| z.is_finite()));
    assert!(
        fit.model()
            .denoise(&cells)
            .unwrap()
            .iter()
            .all(|v| v.is_finite())
    );
    let start = CentroidStart::KMeans(KMeansConfig::new(3));
    let fit = fitted(&desc().with_start(start), &cells);
    assert!(fit.embedding().iter().all(|z| z.is_finite()));
}

/// An autoencoder that was made for other genes is refused, not multiplied.
#[cfg(feature = "pytorch")]
#[test]
fn autoencoders_of_other_data_are_refused() {
    let (cells, _) = simulated(40, 20, 6);
    let file = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/fixtures/d_tiny_FTcheckpoint_1.pth.tar"
    );
    let weights = celldec::model::read_scdcc_weights(file, &cpu()).unwrap();
    let trainer = scdcc(3).trainer(&cpu()).unwrap();
    for failure in [
        trainer.cluster(weights.autoencoder.clone(), &cells, &mut trainer.run()),
        trainer.fit_from(weights.autoencoder, &cells),
    ] {
        let failure = failure.unwrap_err();
        let Error::LengthMismatch {
            expected, found, ..
        } = failure.error()
        else {
            panic!("{failure}");
        };
        assert_eq!((*expected, *found), (20, 30));
    }
}

#[test]
fn given_centroids_of_another_latent_space_are_refused_before_any_work() {
    let (cells, _) = simulated(40, 20, 11);
    let given = GivenCentroids::new(Array2::from_shape_fn((3, 5), |(j, d)| (j + d) as f32));
    let plan = scdcc(3).with_start(CentroidStart::Given(given.unwrap()));
    let trainer = plan.trainer(&cpu()).unwrap();
    let failure = trainer.fit_observed(&cells, &mut no_work).unwrap_err();
    let Error::LengthMismatch {
        expected, found, ..
    } = failure.error()
    else {
        panic!("{failure}");
    };
    assert_eq!((*expected, *found), (6, 5));
}

/// Parts that do not fit together are refused by the phase itself.
#[test]
fn self_training_checks_what_it_is_given() {
    let (cells, _) = simulated(40, 20, 11);
    let trainer = scdcc(3).with_epochs(0, 1).trainer(&cpu()).unwrap();
    let mut run = trainer.run();
    let autoencoder = trainer.pretrain(&cells, &mut run).unwrap();
    let device = cpu().autodiff();
    let layer = |latent: usize| {
        let centroids = Array2::from_shape_fn((3, latent), |(j, d)| (j + d) as f32);
        let kernel = SimilarityKernel::StudentT { alpha: 1.0 };
        ClusteringLayer::from_centroids(centroids.view(), kernel, &device)
    };
    let good = SelfTrainConfig::new()
        .with_optimizer(OptimizerConfig::sgd(0.9))
        .with_learning_rate(0.01)
        .with_max_epochs(1)
        .with_tolerance(0.0);
    let clustering = Weighted::new(KlDivergence::new(), 1.0);
    let zinb = CountLoss::new();
    let joint = |latent| ClusteringNetwork::joint(autoencoder.clone(), layer(latent));
    let encoder_only = ClusteringNetwork::encoder_only(autoencoder.encoder.clone(), layer(6));
    let mut fit = |network, labels: usize, config: &SelfTrainConfig| {
        SelfTraining {
            target: &SharpenedTarget::new(),
            clustering: &clustering,
            reconstruction: Some(JointReconstruction {
                loss: &zinb,
                corruption: Corruption::Gaussian(2.5),
            }),
            constraints: None,
            config,
        }
        .run(
            network,
            &Batches::new(&cells, &device),
            &vec![0; labels],
            &mut run,
        )
        .map(drop)
        .map_err(Error::from)
    };
    assert!(fit(joint(6), 40, &good).is_ok());
    let mismatch = |result: Result<()>| {
        let error = result.unwrap_err();
        assert!(matches!(error, Error::LengthMismatch { .. }), "{error}");
    };
    mismatch(fit(joint(5), 40, &good));
    mismatch(fit(joint(6), 39, &good));
    parameter(fit(encoder_only, 40, &good).unwrap_err());
    for bad in [
        good.clone().with_update_interval(0),
        good.clone().with_batch_size(0),
    ] {
        parameter(fit(joint(6), 40, &bad).unwrap_err());
    }
}
