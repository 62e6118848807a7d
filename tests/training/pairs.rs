//! What constraint pairs do for cells that are in none of them.

use celldec::metrics::adjusted_rand_index;
use celldec::prelude::*;
use celldec::train::PairTraining;

use crate::{Bits, bits, cpu, fitted, scdcc, simulated};

/// Agreement of the cells without a known group, when pairs are drawn from every third cell and one
/// in `wrong` of them is turned around.
fn agreement(guide: bool, count: usize, wrong: Option<usize>) -> f64 {
    let (cells, groups) = simulated(150, 40, 6);
    let known: Vec<Option<usize>> = groups
        .iter()
        .enumerate()
        .map(|(cell, &group)| (cell % 3 == 0).then_some(group))
        .collect();
    let drawn = ConstraintPairs::from_labels(&known, count, 1).unwrap();
    let [mut together, mut apart] = [drawn.must_link().to_vec(), drawn.cannot_link().to_vec()];
    if let Some(wrong) = wrong {
        let turned = [
            together
                .extract_if(.., |pair| (pair.0 + pair.1) % wrong == 0)
                .collect::<Vec<_>>(),
            apart
                .extract_if(.., |pair| (pair.0 + pair.1) % wrong == 0)
                .collect(),
        ];
        let [was_together, was_apart] = turned;
        together.extend(was_apart);
        apart.extend(was_together);
    }
    let pairs = ConstraintPairs::with_contradictions(together, apart).unwrap();
    let pairs = PairTraining::published(pairs).with_guided_target(guide);
    let fit = fitted(&scdcc(3).with_pairs(pairs), &cells);
    let others: Vec<usize> = (0..groups.len())
        .filter(|&cell| known[cell].is_none())
        .collect();
    let pick =
        |labels: &[usize]| -> Vec<usize> { others.iter().map(|&cell| labels[cell]).collect() };
    adjusted_rand_index(&pick(&groups), &pick(fit.clusters().labels())).unwrap()
}

#[test]
fn a_guided_target_carries_pairs_over_to_other_cells() {
    let (unguided, guided) = (agreement(false, 400, None), agreement(true, 400, None));
    assert!(guided > unguided + 0.05, "{unguided} {guided}");
}

#[test]
fn a_few_wrong_pairs_are_outvoted() {
    let (unguided, guided) = (
        agreement(false, 400, Some(13)),
        agreement(true, 400, Some(13)),
    );
    assert!(guided > unguided + 0.05, "{unguided} {guided}");
}

#[test]
fn without_pairs_their_settings_change_nothing() {
    let (cells, _) = simulated(60, 30, 7);
    let fit = |guide: bool, errors: f64| -> Bits {
        let pairs = PairTraining::new(ConstraintPairs::default())
            .with_guided_target(guide)
            .with_pair_errors(errors);
        bits(&fitted(&scdcc(3).with_pairs(pairs), &cells), &cells)
    };
    let without = bits(&fitted(&scdcc(3), &cells), &cells);
    assert_eq!(fit(true, 0.2), without);
    assert_eq!(fit(false, 0.05), without);
}

#[test]
fn impossible_shares_of_wrong_pairs_are_refused() {
    for share in [0.0, 0.5, -0.1, f64::NAN] {
        let pairs = PairTraining::new(ConstraintPairs::default()).with_pair_errors(share);
        let error = scdcc(3).with_pairs(pairs).trainer(&cpu()).unwrap_err();
        assert!(error.to_string().contains("constraint pairs"), "{error}");
    }
}
