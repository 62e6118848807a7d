//! Soft assignment of cells that must-link and cannot-link pairs connect.

use ndarray::{Array2, ArrayView2};

use super::groups::votes;

/// The most sweeps over all cells.
const SWEEPS: usize = 50;
/// Sweeps end when no probability changes by more than this.
const TOLERANCE: f64 = 1e-3;
/// Added to prior probabilities, so that pairs can overrule one that is 0.
const FLOOR: f64 = 1e-6;

/// A hidden Markov random field (Basu et al., *KDD* 2004): cells of pairs are its vertices, a
/// must-link pair favours that both have one cluster, a cannot-link pair that they have two.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct PairField {
    /// The cells of the pairs, rising.
    cells: Vec<usize>,
    /// For each of them, positions of the others it shares pairs with, and must-link minus
    /// cannot-link pairs with them.
    votes: Vec<Vec<(usize, f64)>>,
}

impl PairField {
    pub fn new(must_link: &[(usize, usize)], cannot_link: &[(usize, usize)]) -> Self {
        let votes = votes(must_link, cannot_link);
        let cells: Vec<usize> = votes.keys().copied().collect();
        let position = |cell: usize| cells.partition_point(|&other| other < cell);
        let votes = votes
            .values()
            .map(|others| {
                let others = others.iter();
                others
                    .map(|(&cell, &vote)| (position(cell), vote as f64))
                    .collect()
            })
            .collect();
        Self { cells, votes }
    }

    /// The cells of the pairs, rising.
    pub fn cells(&self) -> &[usize] {
        &self.cells
    }

    /// The soft assignment `[paired cells, clusters]` by mean field: the fixed point of
    ///
    /// ```text
    /// r_ic ∝ prior_ic exp(β (Σ_must-link r_jc − Σ_cannot-link r_jc))
    /// ```
    ///
    /// that sweeps from `start` lead to, β being the `strength` of a pair.
    pub fn infer(&self, prior: ArrayView2<f32>, start: Array2<f32>, strength: f64) -> Array2<f32> {
        let mut assignment = start;
        let mut scores = vec![0.0f64; prior.ncols()];
        for _ in 0..SWEEPS {
            let mut change = 0.0f64;
            for (cell, votes) in self.votes.iter().enumerate() {
                for (score, &p) in scores.iter_mut().zip(prior.row(cell)) {
                    *score = (f64::from(p) + FLOOR).ln();
                }
                for &(other, vote) in votes {
                    for (score, &r) in scores.iter_mut().zip(assignment.row(other)) {
                        *score += strength * vote * f64::from(r);
                    }
                }
                let largest = scores.iter().copied().fold(f64::MIN, f64::max);
                let total: f64 = scores.iter().map(|score| (score - largest).exp()).sum();
                for (r, score) in assignment.row_mut(cell).iter_mut().zip(&scores) {
                    let new = (score - largest).exp() / total;
                    change = change.max((new - f64::from(*r)).abs());
                    *r = new as f32;
                }
            }
            if change < TOLERANCE {
                break;
            }
        }
        assignment
    }
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    #[test]
    fn the_result_is_a_fixed_point() {
        let field = PairField::new(&[(2, 7), (7, 9)], &[(2, 4)]);
        assert_eq!(field.cells(), [2, 4, 7, 9]);
        let prior = array![
            [0.6, 0.3, 0.1],
            [0.5, 0.4, 0.1],
            [0.2, 0.7, 0.1],
            [0.3, 0.3, 0.4]
        ];
        let strength = 0.8;
        let found = field.infer(prior.view(), prior.clone(), strength);
        let links = [(0, 2, 1.0), (2, 3, 1.0), (0, 1, -1.0)];
        let mut scores = prior.mapv(|p: f32| p.ln());
        for (first, second, vote) in links {
            for (cell, other) in [(first, second), (second, first)] {
                for cluster in 0..3 {
                    scores[[cell, cluster]] += strength as f32 * vote * found[[other, cluster]];
                }
            }
        }
        let mut expected = scores.mapv(f32::exp);
        for mut row in expected.rows_mut() {
            let total = row.sum();
            row /= total;
        }
        for (found, expected) in found.iter().zip(&expected) {
            assert!((found - expected).abs() < 2e-3, "{found} {expected}");
        }
        // Nothing but the prior without pairs between them, and pairs moved it.
        assert!((&found - &prior).iter().any(|change| change.abs() > 0.05));
    }

    #[test]
    fn a_wrong_pair_is_outvoted() {
        // Cells 0 to 3 belong to one cluster, 4 to 7 to another; a third of the prior is wrong.
        let mut together = vec![(0, 4)];
        let mut apart = Vec::new();
        for first in 0..8 {
            for second in 0..first {
                if first / 4 == second / 4 {
                    together.push((first, second));
                } else if (second, first) != (0, 4) {
                    apart.push((first, second));
                }
            }
        }
        let prior = Array2::from_shape_fn((8, 2), |(cell, cluster)| {
            let right = usize::from(cell >= 4) == cluster;
            if right == (cell % 4 != 3) { 0.7 } else { 0.3 }
        });
        let found = PairField::new(&together, &apart).infer(prior.view(), prior.clone(), 3.0);
        for (cell, row) in found.rows().into_iter().enumerate() {
            assert!(row[usize::from(cell >= 4)] > 0.99, "cell {cell}: {row}");
        }
    }
}
