//! What must not go wrong: bad settings, extreme data, parts that do not fit together.

use celldec::batches::Batches;
use celldec::counts::CountMatrix;
use celldec::error::{ConstraintError, ParameterError};
use celldec::loss::Weighted;
use celldec::model::read_scdcc_weights;
use celldec::nn::{ClusteringLayer, ClusteringNetwork, SimilarityKernel};
use celldec::optim::OptimizerConfig;
use celldec::prelude::*;
use celldec::train::{SelfTrainConfig, SelfTraining, TrainingRun};
use ndarray::{Array2, array};

use crate::{bits, cpu, desc, scdcc, simulated};

fn parameter(error: Error) -> ParameterError {
    match error {
        Error::Parameter(error) => error,
        other => panic!("not a parameter error: {other}"),
    }
}

/// Fails the test when anything is trained.
fn no_work(event: &Event<'_>) {
    panic!("work was done before the error: {event:?}");
}

/// Fault 9, before any work.
#[test]
fn impossible_numbers_of_clusters_are_refused() {
    for clusters in [0, 1] {
        let error = scdcc(clusters).init(&cpu()).unwrap_err();
        assert!(error.to_string().contains("at least 2"), "{error}");
    }
    let (cells, _) = simulated(20, 10, 1);
    for clusters in [21, usize::MAX] {
        let error = scdcc(clusters)
            .init(&cpu())
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
    for start in [
        CentroidStart::KMeans(KMeansConfig::new(21)),
        CentroidStart::KMeans(KMeansConfig::new(1)),
        CentroidStart::Graph(GraphConfig::new(-1.0)),
        CentroidStart::Graph(GraphConfig::new(1.0).with_neighbors(20)),
    ] {
        // What needs no cells to be seen is refused by `init` already.
        let refused = scdcc(3)
            .with_start(Some(start.clone()))
            .init(&cpu())
            .and_then(|trainer| trainer.fit_observed(&cells, &mut no_work));
        parameter(refused.unwrap_err());
        let refused = desc()
            .with_start(Some(start))
            .init(&cpu())
            .and_then(|trainer| trainer.fit_observed(&cells, &mut no_work).map(drop));
        parameter(refused.unwrap_err());
    }
    for start in [
        CentroidStart::KMeans(KMeansConfig::new(1)),
        CentroidStart::Graph(GraphConfig::new(-1.0)),
    ] {
        let of_scdcc = scdcc(3).with_start(Some(start.clone())).init(&cpu());
        parameter(of_scdcc.map(drop).unwrap_err());
        let of_desc = desc().with_start(Some(start)).init(&cpu());
        parameter(of_desc.map(drop).unwrap_err());
    }
    let fit = scdcc(20).init(&cpu()).unwrap().fit(&cells).unwrap();
    assert_eq!(fit.clusters().count(), 20);
}

/// Fault 22.
#[test]
fn impossible_learning_rates_are_refused() {
    for rate in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let errors = [
            scdcc(3).with_learning_rate(rate).init(&cpu()).map(drop),
            scdcc(3)
                .with_pretraining_learning_rate(rate)
                .init(&cpu())
                .map(drop),
            desc().with_learning_rate(rate).init(&cpu()).map(drop),
            desc()
                .with_pretraining_learning_rate(rate)
                .init(&cpu())
                .map(drop),
        ];
        for error in errors {
            let error = parameter(error.unwrap_err());
            assert!(
                matches!(error, ParameterError::LearningRate { .. }),
                "{error}"
            );
        }
    }
}

#[test]
fn other_impossible_settings_are_refused() {
    let nan = f64::NAN;
    let scdcc_errors = [
        scdcc(3).with_batch_size(0),
        scdcc(3).with_update_interval(0),
        scdcc(3).with_widths(vec![]),
        scdcc(3).with_widths(vec![4, 0]),
        scdcc(3).with_noise(-1.0),
        scdcc(3).with_noise(nan),
        scdcc(3).with_tolerance(-0.1),
        scdcc(3).with_tolerance(1.0),
        scdcc(3).with_tolerance(nan),
        scdcc(3).with_clustering_weight(-1.0),
        scdcc(3).with_must_link_weight(nan),
        scdcc(3).with_cannot_link_weight(f64::INFINITY),
        scdcc(3).with_assignment_offset(-1e-6),
        scdcc(3).with_kernel(SimilarityKernel::StudentT { alpha: 0.0 }),
        scdcc(3).with_kernel(SimilarityKernel::Gaussian { bandwidth: nan }),
        scdcc(3).with_optimizer(OptimizerConfig::Adadelta { rho: 1.5 }),
        scdcc(3).with_optimizer(OptimizerConfig::Sgd { momentum: nan }),
    ];
    for config in scdcc_errors {
        parameter(config.init(&cpu()).expect_err(&format!("{config:?}")));
    }
    let desc_errors = [
        desc().with_resolutions(vec![]),
        desc().with_resolutions(vec![1.0, 0.0]),
        desc().with_resolutions(vec![nan]),
        desc().with_widths(Some(vec![])),
        desc().with_batch_size(0),
        desc().with_update_interval(0),
        desc().with_dropout(1.0),
        desc().with_dropout(-0.1),
        desc().with_optimizer(OptimizerConfig::Sgd { momentum: 1.0 }),
        desc().with_tolerance(nan),
        desc().with_kernel(SimilarityKernel::StudentT { alpha: -1.0 }),
    ];
    for config in desc_errors {
        parameter(config.init(&cpu()).expect_err(&format!("{config:?}")));
    }
}

/// Faults 18 to 20 in a fit: pairs are checked before any work.
#[test]
fn constraint_pairs_outside_the_cells_are_refused() {
    let (cells, _) = simulated(20, 10, 2);
    let pairs = ConstraintPairs::new(vec![(0, 1)], vec![(3, 20)]).unwrap();
    let error = scdcc(3)
        .init(&cpu())
        .unwrap()
        .with_constraints(pairs)
        .fit_observed(&cells, &mut no_work)
        .unwrap_err();
    let Error::Constraint(ConstraintError::OutOfRange {
        pair,
        second,
        cells,
        ..
    }) = error
    else {
        panic!("{error}");
    };
    assert_eq!((pair, second, cells), (0, 20, 20));
}

/// Faults 16 and 17: any batch size works, and a batch larger than the data is one batch.
#[test]
fn any_batch_size_trains() {
    let (cells, _) = simulated(33, 10, 3);
    let fit = |batch_size: usize| {
        let config = scdcc(3).with_pretraining_epochs(2).with_max_epochs(2);
        config
            .with_batch_size(batch_size)
            .init(&cpu())
            .unwrap()
            .fit(&cells)
            .unwrap()
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
    let fit = scdcc(5).init(&cpu()).unwrap().fit(&cells).unwrap();
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
    let fit = scdcc(2).init(&cpu()).unwrap().fit(&cells).unwrap();
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
    let trainer = scdcc(3).with_pretraining_epochs(3).init(&cpu()).unwrap();
    let mut run = TrainingRun::new(1);
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
    let config = SelfTrainConfig::new(OptimizerConfig::Adadelta { rho: 0.95 }, 1.0, 3, 0.0);
    // The cells start in the cluster that is far away from all of them.
    let outcome = SelfTraining {
        clustering: &KlSelfTraining::new(),
        reconstruction: Some(&CountLoss::new()),
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
    let error = desc()
        .with_resolutions(vec![0.01])
        .init(&cpu())
        .unwrap()
        .fit(&cells)
        .unwrap_err();
    let Error::SingleCommunity {
        resolution,
        suggestion,
    } = error
    else {
        panic!("{error}");
    };
    assert_eq!(resolution, 0.01);
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
    let trainer = scdcc(2).init(&cpu()).unwrap();
    parameter(trainer.fit(&single_cell).unwrap_err());
    let graph = desc().init(&cpu()).unwrap();
    parameter(graph.fit(&single_cell).map(drop).unwrap_err());
    parameter(graph.fit(&counts(2, 5)).map(drop).unwrap_err());

    for (cells, genes) in [(2, 5), (2, 1), (8, 1), (3, 3)] {
        let cells = counts(cells, genes);
        for (pretraining, epochs) in [(0, 0), (0, 2), (2, 0), (2, 2)] {
            let config = scdcc(2)
                .with_widths(vec![64, 16])
                .with_pretraining_epochs(pretraining)
                .with_max_epochs(epochs);
            let fit = config.init(&cpu()).unwrap().fit(&cells).unwrap();
            assert!(fit.embedding().iter().all(|z| z.is_finite()));
            assert_eq!(fit.history().len(), pretraining + epochs);
            if epochs == 0 {
                assert_eq!(fit.clusters().labels(), fit.initial_labels());
            }
            let start = CentroidStart::KMeans(KMeansConfig::new(2));
            let config = desc()
                .with_start(Some(start))
                .with_pretraining_epochs(pretraining)
                .with_max_epochs(epochs);
            let runs = config.init(&cpu()).unwrap().fit(&cells).unwrap();
            assert!(runs[0].fit.embedding().iter().all(|z| z.is_finite()));
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
    let fit = scdcc(3).init(&cpu()).unwrap().fit(&cells).unwrap();
    assert!(fit.embedding().iter().all(|z| z.is_finite()));
    assert!(
        fit.model()
            .denoise(&cells)
            .unwrap()
            .iter()
            .all(|v| v.is_finite())
    );
    let start = CentroidStart::KMeans(KMeansConfig::new(3));
    let runs = desc()
        .with_start(Some(start))
        .init(&cpu())
        .unwrap()
        .fit(&cells)
        .unwrap();
    assert!(runs[0].fit.embedding().iter().all(|z| z.is_finite()));
}

/// An autoencoder that was made for other genes is refused, not multiplied.
#[test]
fn autoencoders_of_other_data_are_refused() {
    let (cells, _) = simulated(40, 20, 6);
    let file = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/fixtures/d_tiny_FTcheckpoint_1.pth.tar"
    );
    let weights = read_scdcc_weights(file, &cpu()).unwrap();
    let error = scdcc(3)
        .init(&cpu())
        .unwrap()
        .cluster(weights.autoencoder, &cells, TrainingRun::new(0))
        .unwrap_err();
    let Error::LengthMismatch {
        expected, found, ..
    } = error
    else {
        panic!("{error}");
    };
    assert_eq!((expected, found), (20, 30));
}

/// Parts that do not fit together are refused by the phase itself.
#[test]
fn self_training_checks_what_it_is_given() {
    let (cells, _) = simulated(40, 20, 11);
    let trainer = scdcc(3).with_pretraining_epochs(0).init(&cpu()).unwrap();
    let mut run = TrainingRun::new(1);
    let autoencoder = trainer.pretrain(&cells, &mut run).unwrap();
    let device = cpu().autodiff();
    let layer = |latent: usize| {
        let centroids = Array2::from_shape_fn((3, latent), |(j, d)| (j + d) as f32);
        let kernel = SimilarityKernel::StudentT { alpha: 1.0 };
        ClusteringLayer::from_centroids(centroids.view(), kernel, &device)
    };
    let good = SelfTrainConfig::new(OptimizerConfig::Sgd { momentum: 0.9 }, 0.01, 1, 0.0);
    let clustering = Weighted::new(KlSelfTraining::new(), 1.0);
    let zinb = CountLoss::new();
    let joint = |latent| ClusteringNetwork::joint(autoencoder.clone(), layer(latent));
    let encoder_only = ClusteringNetwork::encoder_only(autoencoder.encoder.clone(), layer(6));
    let mut fit = |network, labels: usize, config: &SelfTrainConfig| {
        SelfTraining {
            clustering: &clustering,
            reconstruction: Some(&zinb),
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
