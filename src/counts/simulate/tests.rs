use super::*;
use crate::random::{Purpose, stream};
use proptest::prelude::*;

/// Mean and variance.
fn moments(values: impl Iterator<Item = f64> + Clone) -> (f64, f64) {
    let count = values.clone().count() as f64;
    let mean = values.clone().sum::<f64>() / count;
    let variance = values.map(|value| (value - mean).powi(2)).sum::<f64>() / (count - 1.0);
    (mean, variance)
}

fn column(counts: &CountMatrix, gene: usize) -> Vec<f64> {
    (0..counts.cells())
        .map(|cell| {
            let (indices, values) = counts.row(cell);
            indices
                .binary_search(&(gene as u32))
                .map_or(0.0, |position| f64::from(values[position]))
        })
        .collect()
}

fn zero_fraction(counts: &CountMatrix) -> f64 {
    1.0 - counts.stored() as f64 / (counts.cells() * counts.genes()) as f64
}

/// One group and one library size, so that every gene is one negative binomial.
fn homogeneous(cells: usize, genes: usize, median: f64) -> SimulationConfig {
    SimulationConfig::new(cells, genes)
        .with_groups(1)
        .with_differential_expression(0.0, 0.0, 0.0)
        .with_library_size(median, 0.0)
}

#[test]
fn genes_have_the_moments_of_their_negative_binomial() {
    let cells = 20_000;
    // Expected counts on both sides of the change from inversion to Gamma-Poisson draws.
    for (bcv, median) in [
        (0.0, 60.0),
        (0.5, 60.0),
        (1.0, 60.0),
        (0.0, 600.0),
        (0.5, 600.0),
    ] {
        let simulation = homogeneous(cells, 20, median)
            .with_bcv(bcv, f64::INFINITY)
            .with_gene_means(5.0, 1.0)
            .with_seed(3)
            .simulate()
            .unwrap();
        let expected = simulation.expected_counts(0).unwrap();
        for (gene, &mean) in expected.iter().enumerate() {
            let (found_mean, found_variance) =
                moments(column(&simulation.counts, gene).into_iter());
            let variance = mean + bcv * bcv * mean * mean;
            let mean_error = (variance / cells as f64).sqrt();
            assert!(
                (found_mean - mean).abs() < 5.0 * mean_error,
                "bcv {bcv}, mean {mean}: {found_mean}"
            );
            // The standard error of a variance of these distributions is below 3 %.
            assert!(
                (found_variance / variance - 1.0).abs() < 0.15,
                "bcv {bcv}, mean {mean}: {found_variance} for {variance}"
            );
        }
    }
}

#[test]
fn small_counts_have_the_probabilities_of_their_negative_binomial() {
    let cells = 40_000;
    let simulation = homogeneous(cells, 4, 8.0)
        .with_bcv(0.8, f64::INFINITY)
        .with_gene_means(5.0, 1.0)
        .simulate()
        .unwrap();
    let size = 1.0 / 0.64;
    for (gene, &mean) in simulation.expected_counts(0).unwrap().iter().enumerate() {
        let ratio = mean / (mean + size);
        let mut probability = (1.0 - ratio).powf(size);
        let values = column(&simulation.counts, gene);
        for count in 0..6 {
            let found = values.iter().filter(|&&v| v == f64::from(count)).count() as f64;
            let found = found / cells as f64;
            let error = (probability * (1.0 - probability) / cells as f64).sqrt();
            assert!(
                (found - probability).abs() < 5.0 * error,
                "mean {mean}, count {count}: {found} for {probability}"
            );
            probability *= (f64::from(count) + size) * ratio / f64::from(count + 1);
        }
    }
}

#[test]
fn dispersion_varies_between_genes_around_the_common_one() {
    let simulation = homogeneous(4000, 60, 6000.0)
        .with_bcv(0.5, 10.0)
        .with_gene_means(20.0, 1.0)
        .simulate()
        .unwrap();
    let expected = simulation.expected_counts(0).unwrap();
    let dispersions: Vec<f64> = expected
        .iter()
        .enumerate()
        .map(|(gene, &mean)| {
            let (_, variance) = moments(column(&simulation.counts, gene).into_iter());
            (variance - mean) / (mean * mean)
        })
        .collect();
    let (mean, variance) = moments(dispersions.iter().copied());
    // φ = 0.25 ν/χ²(ν) with ν = 10: mean 0.25 · 10/8, variance mean² · 2/(10 − 4).
    assert!((mean / 0.3125 - 1.0).abs() < 0.3, "{mean}");
    assert!(variance.sqrt() > 0.08, "{variance}");
}

#[test]
fn library_sizes_follow_their_distribution() {
    let simulation = SimulationConfig::new(3000, 500)
        .with_library_size(2000.0, 0.4)
        .with_groups(3)
        .simulate()
        .unwrap();
    let (location, variance) = moments(simulation.library_sizes.iter().map(|size| size.ln()));
    assert!((location - 2000f64.ln()).abs() < 5.0 * 0.4 / 3000f64.sqrt());
    assert!((variance.sqrt() / 0.4 - 1.0).abs() < 0.08);
    let totals = simulation.counts.cell_totals();
    let (ratio, _) = moments(
        totals
            .iter()
            .zip(&simulation.library_sizes)
            .map(|(total, size)| total / size),
    );
    assert!((ratio - 1.0).abs() < 0.01, "{ratio}");
}

#[test]
fn groups_differ_in_their_marked_genes_only() {
    let simulation = SimulationConfig::new(50, 1000)
        .with_differential_expression(0.2, 1.0, 0.4)
        .with_groups(2)
        .simulate()
        .unwrap();
    let cell_of = |group: usize| simulation.groups.iter().position(|&g| g == group).unwrap();
    let profile = |group: usize| {
        let expected = simulation.expected_counts(cell_of(group)).unwrap();
        let total: f64 = expected.iter().sum();
        expected
            .into_iter()
            .map(move |mean| mean / total)
            .collect::<Vec<_>>()
    };
    let (first, second) = (profile(0), profile(1));
    let marked: Vec<Vec<bool>> = (0..2)
        .map(|group| simulation.differential_genes(group).unwrap())
        .collect();
    let (mean, _) = moments(marked[0].iter().map(|&is| f64::from(u8::from(is))));
    assert!(
        (mean - 0.2).abs() < 5.0 * (0.16f64 / 1000.0).sqrt(),
        "{mean}"
    );
    let unmarked: Vec<f64> = (0..1000)
        .filter(|&gene| !marked[0][gene] && !marked[1][gene])
        .map(|gene| (first[gene] / second[gene]).ln())
        .collect();
    let (_, spread) = moments(unmarked.iter().copied());
    assert!(spread < 1e-20, "{spread}");
    let changed: Vec<f64> = (0..1000)
        .filter(|&gene| marked[0][gene] && !marked[1][gene])
        .map(|gene| (first[gene] / second[gene]).ln() - unmarked[0])
        .collect();
    let up = changed.iter().filter(|&&change| change > 0.0).count() as f64;
    assert!(changed.iter().all(|change| change.abs() > 1e-6));
    let share = up / changed.len() as f64;
    assert!((0.3..0.7).contains(&share), "{share}");
    assert!(simulation.differential_genes(2).is_none());
    assert!(simulation.expected_counts(50).is_none());
}

#[test]
fn batches_shift_expression_and_one_batch_does_not() {
    let expected = |batches: usize| {
        let simulation = SimulationConfig::new(40, 200)
            .with_groups(1)
            .with_library_size(1000.0, 0.0)
            .with_batches(batches)
            .with_batch_effect(0.0, 0.5)
            .simulate()
            .unwrap();
        let last = simulation.batches.iter().position(|&b| b == batches - 1);
        let first = simulation.batches.iter().position(|&b| b == 0);
        let of = |cell: Option<usize>| simulation.expected_counts(cell.unwrap()).unwrap();
        (of(first), of(last))
    };
    let (first, second) = expected(2);
    let (_, variance) = moments(first.iter().zip(&second).map(|(a, b)| (a / b).ln()));
    assert!(
        (variance.sqrt() / (0.5 * 2f64.sqrt()) - 1.0).abs() < 0.2,
        "{variance}"
    );
    let (first, second) = expected(1);
    assert_eq!(first, second);
}

#[test]
fn dropout_removes_what_its_curve_says() {
    let base = homogeneous(4000, 50, 100.0);
    let without = base.simulate().unwrap();
    let with = base.clone().with_dropout(0.0, -1.0).simulate().unwrap();
    let more = base.clone().with_dropout(1.0, -1.0).simulate().unwrap();
    let [without_zeros, with_zeros, more_zeros] =
        [&without, &with, &more].map(|s| zero_fraction(&s.counts));
    assert!(
        without_zeros + 0.02 < with_zeros,
        "{without_zeros} {with_zeros}"
    );
    assert!(with_zeros + 0.02 < more_zeros, "{with_zeros} {more_zeros}");
    // Counts that survive keep 1 − 1/(1 + μ) = μ/(1 + μ) of their expectation.
    let totals = with.counts.gene_totals();
    for (gene, mean) in with.expected_counts(0).unwrap().into_iter().enumerate() {
        let expected = mean * mean / (1.0 + mean);
        let error = ((mean + mean * mean) * 1.2 / 4000.0).sqrt();
        let found = totals[gene] / 4000.0;
        assert!((found - expected).abs() < 5.0 * error, "{mean}: {found}");
    }
}

#[test]
fn the_default_leaves_about_a_tenth_non_zero() {
    let zeros = zero_fraction(&SimulationConfig::default().simulate().unwrap().counts);
    assert!((0.87..0.93).contains(&zeros), "{zeros}");
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    let config = SimulationConfig::new(700, 80)
        .with_library_size(500.0, 0.3)
        .with_batches(2)
        .with_dropout(0.0, -1.0)
        .with_seed(11);
    let with_threads = |threads: usize| {
        rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap()
            .install(|| config.simulate().unwrap())
    };
    let one = with_threads(1);
    assert_eq!(one, with_threads(2));
    assert_eq!(one, with_threads(8));
    assert_ne!(one, config.clone().with_seed(12).simulate().unwrap());
}

#[test]
fn a_cell_does_not_depend_on_the_others() {
    let config = SimulationConfig::new(600, 50).with_groups(1);
    let more = SimulationConfig {
        cells: 900,
        ..config.clone()
    };
    let (few, many) = (config.simulate().unwrap(), more.simulate().unwrap());
    for cell in 0..600 {
        assert_eq!(few.counts.row(cell), many.counts.row(cell));
    }
}

#[test]
fn invalid_settings_are_refused() {
    let valid = || SimulationConfig::new(10, 10);
    assert!(matches!(
        SimulationConfig::new(0, 10).simulate(),
        Err(Error::EmptyMatrix { .. })
    ));
    assert!(matches!(
        SimulationConfig::new(10, 0).simulate(),
        Err(Error::EmptyMatrix { .. })
    ));
    assert!(matches!(
        valid().with_groups(0).simulate(),
        Err(Error::Parameter(ParameterError::Conflict { .. }))
    ));
    for (config, setting) in [
        (
            valid().with_group_proportions([0.5, 0.0]),
            "group_proportions",
        ),
        (
            valid().with_group_proportions([f64::NAN]),
            "group_proportions",
        ),
        (valid().with_gene_means(0.0, 1.0), "mean_shape"),
        (valid().with_gene_means(1.0, -1.0), "mean_rate"),
        (
            valid().with_differential_expression(1.5, 0.0, 0.1),
            "de_probability",
        ),
        (
            valid().with_differential_expression(0.5, 99.0, 0.1),
            "de_location",
        ),
        (
            valid().with_differential_expression(0.5, 0.0, -0.1),
            "de_scale",
        ),
        (
            valid().with_down_regulation(f64::NAN),
            "de_down_probability",
        ),
        (valid().with_library_size(0.0, 0.1), "library_median"),
        (
            valid().with_library_size(f64::INFINITY, 0.1),
            "library_median",
        ),
        (valid().with_library_size(10.0, f64::NAN), "library_scale"),
        (valid().with_bcv(-0.1, 60.0), "bcv"),
        (valid().with_bcv(0.1, 0.0), "bcv_degrees"),
        (valid().with_dropout(f64::NAN, -1.0), "dropout.midpoint"),
        (valid().with_dropout(0.0, f64::INFINITY), "dropout.shape"),
        (valid().with_batches(0), "batches"),
        (valid().with_batch_effect(0.0, -1.0), "batch_scale"),
    ] {
        match config.simulate() {
            Err(Error::Parameter(ParameterError::OutOfRange { name, .. })) => {
                assert_eq!(name, setting);
            }
            other => panic!("{setting}: {other:?}"),
        }
    }
}

#[test]
fn configurations_survive_serialisation() {
    let config = SimulationConfig::new(20, 30).with_dropout(0.5, -2.0);
    let text = serde_json::to_string(&config).unwrap();
    assert_eq!(
        serde_json::from_str::<SimulationConfig>(&text).unwrap(),
        config
    );
    let partial: SimulationConfig = serde_json::from_str(r#"{"cells": 5}"#).unwrap();
    assert_eq!(partial.cells, 5);
    assert_eq!(partial.genes, SimulationConfig::default().genes);
    assert!(serde_json::from_str::<SimulationConfig>(r#"{"cels": 5}"#).is_err());
}

#[test]
fn streams_of_cells_and_genes_are_distinct() {
    use rand::RngExt;
    let firsts: std::collections::HashSet<u64> = (0..7)
        .flat_map(|what| (0..50).map(move |index| (what, index)))
        .map(|(what, index)| stream(1, Purpose::Simulation, what, index).random())
        .collect();
    assert_eq!(firsts.len(), 350);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn group_and_batch_sizes_are_exact(
        cells in 1usize..400,
        weights in prop::collection::vec(0.01f64..1.0, 1..8),
        batches in 1usize..5,
        seed in any::<u64>(),
    ) {
        let simulation = SimulationConfig::new(cells, 5)
            .with_group_proportions(weights.clone())
            .with_batches(batches)
            .with_seed(seed)
            .simulate()
            .unwrap();
        prop_assert_eq!(simulation.groups.len(), cells);
        let total: f64 = weights.iter().sum();
        for (group, weight) in weights.iter().enumerate() {
            let found = simulation.groups.iter().filter(|&&g| g == group).count() as f64;
            prop_assert!((found - weight / total * cells as f64).abs() < 1.0 + 1e-9);
        }
        for batch in 0..batches {
            let found = simulation.batches.iter().filter(|&&b| b == batch).count();
            prop_assert!(found == cells / batches || found == cells / batches + 1);
        }
    }

    #[test]
    fn counts_are_valid_and_reproducible(
        cells in 1usize..60,
        genes in 1usize..60,
        median in 1.0f64..1e5,
        bcv in 0.0f64..3.0,
        shape in 0.01f64..5.0,
        dropout in prop::option::of((-5.0f64..5.0, -3.0f64..0.0)),
        seed in any::<u64>(),
    ) {
        let mut config = SimulationConfig::new(cells, genes)
            .with_gene_means(shape, 0.3)
            .with_library_size(median, 0.5)
            .with_bcv(bcv, 20.0)
            .with_seed(seed);
        if let Some((midpoint, shape)) = dropout {
            config = config.with_dropout(midpoint, shape);
        }
        let simulation = config.simulate().unwrap();
        prop_assert_eq!(simulation.counts.cells(), cells);
        prop_assert_eq!(simulation.counts.genes(), genes);
        prop_assert!(simulation.counts.check_integers().is_ok());
        prop_assert_eq!(&config.simulate().unwrap(), &simulation);
    }
}
