use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

fn random_points(cells: usize, dimensions: usize, seed: u64) -> Array2<f32> {
    let mut random = stream(seed, Purpose::Simulation, 0, 0);
    Array2::from_shape_fn((cells, dimensions), |_| random.random::<f32>())
}

/// Cells around `groups` random centres.
fn blobs(cells: usize, dimensions: usize, groups: usize, seed: u64) -> Array2<f32> {
    let centres = random_points(groups, dimensions, seed.wrapping_add(1)) * 8.0;
    let mut points = random_points(cells, dimensions, seed);
    for (cell, mut point) in points.rows_mut().into_iter().enumerate() {
        point += &centres.row(cell % groups);
    }
    points
}

fn nearest(point: &[f64], centroids: &[Vec<f64>]) -> (usize, f64) {
    let distance = |centroid: &[f64]| -> f64 {
        point
            .iter()
            .zip(centroid)
            .map(|(a, b)| (a - b).powi(2))
            .sum()
    };
    (0..centroids.len())
        .map(|cluster| (cluster, distance(&centroids[cluster])))
        .reduce(|best, next| if next.1 < best.1 { next } else { best })
        .unwrap()
}

/// Lloyd's algorithm in f64, one cell at a time, without relocation; the inertia reached.
fn naive_inertia(points: &Array2<f32>, start: &Array2<f32>) -> f64 {
    let points: Vec<Vec<f64>> = points
        .rows()
        .into_iter()
        .map(|row| row.iter().map(|&value| f64::from(value)).collect())
        .collect();
    let mut centroids: Vec<Vec<f64>> = start
        .rows()
        .into_iter()
        .map(|row| row.iter().map(|&value| f64::from(value)).collect())
        .collect();
    let mut labels = vec![usize::MAX; points.len()];
    loop {
        let new: Vec<usize> = points.iter().map(|p| nearest(p, &centroids).0).collect();
        if new == labels {
            return points.iter().map(|p| nearest(p, &centroids).1).sum();
        }
        labels = new;
        for (cluster, centroid) in centroids.iter_mut().enumerate() {
            let members: Vec<&Vec<f64>> = (0..points.len())
                .filter(|&cell| labels[cell] == cluster)
                .map(|cell| &points[cell])
                .collect();
            if !members.is_empty() {
                for (dimension, value) in centroid.iter_mut().enumerate() {
                    *value =
                        members.iter().map(|m| m[dimension]).sum::<f64>() / members.len() as f64;
                }
            }
        }
    }
}

#[test]
fn inertia_is_not_above_a_naive_lloyd_from_the_same_start() {
    for seed in 0..40 {
        let points = if seed % 2 == 0 {
            random_points(300, 5, seed)
        } else {
            blobs(300, 5, 6, seed)
        };
        let centred = lloyd::on_grid(&CentredPoints::new(points.view()).points);
        let tiled = Points::new(centred.clone());
        let mut random = stream(seed, Purpose::KMeans, 0, 0);
        let start = start::greedy(&tiled, 6, &mut random);
        let naive = naive_inertia(&centred, &start);
        let ours = lloyd::run(&tiled, start, 0.0, 1000);
        assert!(ours.converged);
        assert!(
            ours.inertia <= naive * (1.0 + 1e-6),
            "seed {seed}: {} against {naive}",
            ours.inertia
        );
    }
}

#[test]
fn separated_groups_are_found() {
    let points = blobs(600, 8, 5, 2);
    let found = KMeansConfig::new(5).fit(points.view(), 1).unwrap();
    for cell in 0..600 {
        assert_eq!(found.labels[cell], found.labels[cell % 5]);
    }
    assert_eq!(found.distinct_clusters, 5);
    assert!(found.converged);
}

#[test]
fn threads_do_not_matter_and_seeds_do() {
    let points = random_points(5000, 6, 3);
    let config = KMeansConfig::new(7).with_restarts(3);
    let with_threads = |threads, seed| {
        rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap()
            .install(|| config.fit(points.view(), seed).unwrap())
    };
    let one = with_threads(1, 5);
    assert_eq!(with_threads(2, 5), one);
    assert_eq!(with_threads(2, 5), one);
    assert_ne!(with_threads(1, 6), one);
}

#[test]
fn more_restarts_are_never_worse() {
    let points = random_points(400, 3, 8);
    let inertia = |restarts| {
        let config = KMeansConfig::new(9).with_restarts(restarts);
        config.fit(points.view(), 2).unwrap().inertia
    };
    assert!(inertia(10) <= inertia(1));
    assert!(inertia(30) <= inertia(10));
}

#[test]
fn fault_9_impossible_cluster_counts_are_refused() {
    let points = random_points(10, 2, 0);
    for clusters in [0, 1, 11, usize::MAX] {
        let error = KMeansConfig::new(clusters).fit(points.view(), 0);
        assert!(
            matches!(
                error,
                Err(Error::Parameter(ParameterError::Clusters { cells: 10, .. }))
            ),
            "{clusters}"
        );
    }
}

#[test]
fn other_impossible_settings_are_refused() {
    let points = random_points(10, 2, 0);
    for config in [
        KMeansConfig::new(2).with_restarts(0),
        KMeansConfig::new(2).with_max_iterations(0),
        KMeansConfig::new(2).with_tolerance(-1.0),
        KMeansConfig::new(2).with_tolerance(f64::NAN),
    ] {
        assert!(matches!(
            config.fit(points.view(), 0),
            Err(Error::Parameter(ParameterError::OutOfRange { .. }))
        ));
    }
}

#[test]
fn fault_10_fewer_distinct_cells_than_clusters_ends() {
    let distinct = random_points(3, 4, 1);
    let points = Array2::from_shape_fn((50, 4), |(cell, d)| distinct[[cell % 3, d]]);
    let found = KMeansConfig::new(8).fit(points.view(), 0).unwrap();
    assert_eq!(found.distinct_clusters, 3);
    assert_eq!(found.centroids.nrows(), 8);
    assert!(found.centroids.iter().all(|value| value.is_finite()));
    assert!(found.inertia < 1e-9);
    for cell in 0..50 {
        assert_eq!(found.labels[cell], found.labels[cell % 3]);
    }
    assert_eq!(found.labels.iter().collect::<BTreeSet<_>>().len(), 3);
}

#[test]
fn fault_10_identical_cells_end_in_one_cluster() {
    let points = Array2::<f32>::from_elem((20, 3), 4.5);
    let found = KMeansConfig::new(4).fit(points.view(), 0).unwrap();
    assert_eq!(found.distinct_clusters, 1);
    assert_eq!(found.inertia, 0.0);
    assert!(found.centroids.iter().all(|&value| value == 4.5));
}

#[test]
fn an_empty_cluster_takes_the_farthest_cell() {
    let points = Points::new(ndarray::array![[0.0f32], [0.1], [0.2], [10.0]]);
    // The third centroid is nearest to no cell.
    let start = ndarray::array![[0.0f32], [0.2], [100.0]];
    let run = lloyd::run(&points, start, 0.0, 100);
    assert!(run.converged);
    assert_eq!(run.labels[3], 2);
    assert_eq!(run.centroids[[2, 0]], 10.0);
}

#[test]
fn extreme_coordinates_are_clustered() {
    for size in [1.0e-30f32, 1.0e30] {
        let points = blobs(120, 4, 3, 7) * size;
        let found = KMeansConfig::new(3).fit(points.view(), 0).unwrap();
        assert_eq!(found.distinct_clusters, 3);
        for cell in 0..120 {
            assert_eq!(found.labels[cell], found.labels[cell % 3], "{size}");
        }
    }
}

#[test]
fn the_iteration_limit_is_kept() {
    let points = random_points(2000, 2, 4);
    let config = KMeansConfig::new(20)
        .with_restarts(1)
        .with_max_iterations(2)
        .with_tolerance(0.0);
    let found = config.fit(points.view(), 0).unwrap();
    assert_eq!(found.iterations, 2);
    assert!(!found.converged);
}

proptest! {
    #[test]
    fn labels_and_inertia_belong_to_the_centroids(
        cells in 2usize..80,
        dimensions in 1usize..6,
        clusters in 2usize..8,
        seed: u64,
    ) {
        let points = random_points(cells, dimensions, seed);
        let clusters = clusters.min(cells);
        let config = KMeansConfig::new(clusters).with_restarts(2);
        let found = config.fit(points.view(), seed).unwrap();
        let centroids: Vec<Vec<f64>> = found
            .centroids
            .rows()
            .into_iter()
            .map(|row| row.iter().map(|&value| f64::from(value)).collect())
            .collect();
        let mut inertia = 0.0;
        for (cell, &label) in found.labels.iter().enumerate() {
            let point: Vec<f64> = points.row(cell).iter().map(|&v| f64::from(v)).collect();
            let (_, least) = nearest(&point, &centroids);
            let own = nearest(&point, &centroids[label..=label]).1;
            // Labels are chosen on f32 scores of coordinates below 1.
            prop_assert!(own <= least + 4e-6, "cell {cell}: {own} against {least}");
            inertia += own;
        }
        prop_assert!((found.inertia - inertia).abs() <= 1e-6 * (1.0 + inertia));
        prop_assert_eq!(
            found.distinct_clusters,
            found.labels.iter().collect::<BTreeSet<_>>().len()
        );
    }
}
