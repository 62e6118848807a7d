//! Rows 9 to 13: numbers of clusters, empty clusters, a single one.

use celldec::counts::CountMatrix;
use celldec::error::ParameterError;
use celldec::start::{StableGraphConfig, initial_centroids};
use ndarray::{Array2, array};

use super::*;

/// Copies of a few distinct cells.
fn copies(profiles: &Array2<f32>, each: usize) -> Cells {
    let rows = profiles.nrows() * each;
    let counts = Array2::from_shape_fn((rows, profiles.ncols()), |(cell, gene)| {
        profiles[[cell % profiles.nrows(), gene]]
    });
    let counts = CountMatrix::from_dense(counts.view()).unwrap();
    Preprocess::scdcc().fit(&counts).unwrap()
}

pub fn row_09_impossible_numbers_of_clusters_are_refused() {
    for clusters in [0, 1] {
        let error = scdcc(clusters).trainer(&cpu()).unwrap_err();
        assert!(error.to_string().contains("at least 2"), "{error}");
    }
    let cells = simulated(20, 10, 1);
    for clusters in [21, usize::MAX] {
        let trainer = scdcc(clusters).trainer(&cpu()).unwrap();
        let error = Error::from(trainer.fit_observed(&cells, &mut no_work).unwrap_err());
        let expected = ParameterError::Clusters {
            clusters,
            cells: 20,
        };
        assert!(
            matches!(&error, Error::Parameter(found) if *found == expected),
            "{error}"
        );
    }
}

pub fn row_10_more_clusters_than_distinct_cells_end() {
    let cells = copies(&array![[9.0, 1.0, 0.0, 4.0], [0.0, 7.0, 5.0, 2.0]], 15);
    let fit = fitted(&scdcc(5), &cells);
    assert_eq!(fit.clusters().count(), 5);
    assert!(fit.status().empty_clusters.len() >= 3, "{:?}", fit.status());
    assert!(fit.embedding().iter().all(|z| z.is_finite()));
}

pub fn row_11_empty_clusters_keep_their_columns() {
    let cells = copies(&array![[9.0, 1.0, 0.0, 4.0], [0.0, 7.0, 5.0, 2.0]], 15);
    let fit = fitted(&scdcc(4), &cells);
    let (clusters, status) = (fit.clusters(), fit.status());
    assert_eq!(clusters.soft().dim(), (30, 4));
    for (cell, &label) in clusters.labels().iter().enumerate() {
        let row = clusters.soft().row(cell).to_vec();
        assert!(row.iter().all(|q| *q <= row[label]), "cell {cell}: {row:?}");
    }
    let sizes = clusters.sizes();
    assert_eq!(status.cluster_sizes, sizes);
    let empty: Vec<usize> = (0..4).filter(|&cluster| sizes[cluster] == 0).collect();
    assert_eq!(status.empty_clusters, empty);
    assert!(!empty.is_empty() && status.warnings.iter().any(|text| text.contains("lost all")));
}

pub fn row_12_a_single_community_suggests_a_resolution_that_works() {
    let cells = simulated(60, 20, 5);
    // Cells without groups, drawn evenly from a cube.
    let mut state = 1u64;
    let one = Array2::from_shape_simple_fn((60, 4), || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 40) as f32 / (1u64 << 24) as f32
    });
    for start in [
        CentroidStart::Graph(GraphConfig::new(0.01)),
        CentroidStart::StableGraph(
            StableGraphConfig::new()
                .with_graph(GraphConfig::default())
                .with_resolutions([0.005, 0.01]),
        ),
    ] {
        let error = initial_centroids(one.view(), &start, 1).unwrap_err();
        let message = error.to_string();
        assert!(message.contains("higher resolution"), "{message}");
        assert!(message.contains("number of clusters"), "{message}");
        // What was asked for is no advice.
        assert!(!message.contains("auto"), "{message}");
        let Error::SingleCommunity {
            resolution,
            suggestion,
        } = error
        else {
            panic!("{message}");
        };
        assert!(suggestion > resolution);
        let higher = CentroidStart::Graph(GraphConfig::new(suggestion));
        assert!(
            initial_centroids(one.view(), &higher, 1).is_ok(),
            "{suggestion}"
        );
    }
    let start = CentroidStart::Graph(GraphConfig::new(1e-4).with_neighbors(29));
    let failure = scdcc(3)
        .with_start(start)
        .trainer(&cpu())
        .unwrap()
        .fit(&cells)
        .unwrap_err();
    assert!(
        matches!(failure.error(), Error::SingleCommunity { .. }),
        "{failure}"
    );
}

pub fn row_13_one_cluster_for_all_is_a_result_with_a_warning() {
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
