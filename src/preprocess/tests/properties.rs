//! What holds for all counts.

use proptest::prelude::*;
use rand::seq::SliceRandom;

use super::super::*;
use super::{bits, recipes, simulated};
use crate::random::{Purpose, stream};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn transforming_the_training_cells_repeats_the_fit(
        cells in 5usize..40,
        genes in 11usize..25,
        seed: u64,
    ) {
        let counts = simulated(cells, genes, seed);
        for settings in recipes() {
            let fitted = settings.fit(&counts).unwrap();
            let again = fitted.preprocessing().transform(&counts).unwrap();
            prop_assert_eq!(bits(&again), bits(&fitted));
            prop_assert_eq!(again.fingerprint().unwrap(), fitted.fingerprint().unwrap());
            prop_assert_eq!(again.kept_genes(), fitted.kept_genes());
        }
    }

    #[test]
    fn permuting_cells_permutes_the_result(
        cells in 2usize..40,
        genes in 2usize..15,
        seed: u64,
    ) {
        let counts = simulated(cells, genes, seed);
        let mut order: Vec<usize> = (0..cells).collect();
        order.shuffle(&mut stream(seed, Purpose::Shuffle, 0, 0));
        let permuted = counts.select_cells(&order).unwrap();
        for settings in [Preprocess::scdcc_reference(), Preprocess::desc_reference()] {
            let (first, second) = (settings.fit(&counts).unwrap(), settings.fit(&permuted).unwrap());
            let (a, b) = (first.to_dense_input().unwrap(), second.to_dense_input().unwrap());
            for (position, &cell) in order.iter().enumerate() {
                prop_assert_eq!(second.size_factors()[position], first.size_factors()[cell]);
                for gene in 0..first.genes() {
                    // Sums over cells round differently in another order.
                    let (x, y) = (a[[cell, gene]], b[[position, gene]]);
                    prop_assert!((x - y).abs() <= 1e-6 * (1.0 + x.abs()), "{} {}", x, y);
                }
            }
        }
    }

    #[test]
    fn rows_agree_with_the_formula(cells in 3usize..20, genes in 2usize..10, seed: u64) {
        let cells = Preprocess::scdcc_reference().fit(&simulated(cells, genes, seed)).unwrap();
        let fitted = cells.preprocessing();
        let GeneStatistics { mean, sd } = fitted.statistics();
        let totals = cells.counts().unwrap().cell_totals();
        let (mut input, mut counts) = (vec![7.0; cells.genes()], vec![7.0; cells.genes()]);
        for (cell, total) in totals.into_iter().enumerate() {
            cells.fill_input(cell, &mut input).unwrap();
            cells.fill_counts(cell, &mut counts).unwrap();
            for gene in 0..cells.genes() {
                let logged = (f64::from(counts[gene]) * fitted.target_total() / total).ln_1p();
                let sd = if sd[gene] == 0.0 { 1.0 } else { sd[gene] };
                let expected = (logged - mean[gene]) / sd;
                prop_assert!((f64::from(input[gene]) - expected).abs() < 1e-6 * (1.0 + expected.abs()));
            }
        }
    }
}
