//! Wilcoxon's rank-sum test (Mann and Whitney 1947) with the normal approximation.

use super::expression::Groups;

/// Rank sums of every group for one gene.
pub(super) struct RankSums {
    sums: Vec<f64>,
    /// Σ (t³ − t) over groups of t tied cells.
    ties: f64,
}

impl RankSums {
    /// Ranks all cells from the stored (share, group) of a gene, which are sorted for it. Cells
    /// without a count are the first group of ties.
    pub fn new(shares: &mut [(f64, u32)], groups: &Groups) -> Self {
        shares.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
        let mut zeros: Vec<usize> = groups.sizes().to_vec();
        for &(_, group) in shares.iter() {
            zeros[group as usize] -= 1;
        }
        let mut ranked = groups.cells() - shares.len();
        let mut ties = cubed_less_itself(ranked);
        let rank_of_zeros = (ranked + 1) as f64 / 2.0;
        // Ranks are multiples of one half: sums are exact, so their order does not matter.
        let mut sums: Vec<f64> = zeros.iter().map(|&n| n as f64 * rank_of_zeros).collect();
        for run in shares.chunk_by(|a, b| a.0 == b.0) {
            let rank = ranked as f64 + (run.len() + 1) as f64 / 2.0;
            for &(_, group) in run {
                sums[group as usize] += rank;
            }
            ties += cubed_less_itself(run.len());
            ranked += run.len();
        }
        Self { sums, ties }
    }

    /// z-score and two-sided p-value of one group against all other cells.
    pub fn test(&self, group: usize, groups: &Groups, tie_correct: bool) -> (f64, f64) {
        let cells = groups.cells() as f64;
        let inside = groups.sizes()[group] as f64;
        let correction = if tie_correct {
            1.0 - self.ties / cubed_less_itself(groups.cells())
        } else {
            1.0
        };
        let variance = correction * inside * (cells - inside) * (cells + 1.0) / 12.0;
        let score = (self.sums[group] - inside * (cells + 1.0) / 2.0) / variance.sqrt();
        // All cells tied: nothing tells them apart.
        let score = if score.is_nan() { 0.0 } else { score };
        (score, two_sided_normal(score))
    }
}

/// P(|Z| ≥ |z|) of the standard normal distribution, accurate in the tail.
fn two_sided_normal(z: f64) -> f64 {
    libm::erfc(z.abs() * std::f64::consts::FRAC_1_SQRT_2)
}

fn cubed_less_itself(count: usize) -> f64 {
    let count = count as f64;
    count * count * count - count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_with_ties_and_zeros() {
        // Values 0 0 0.1 0.1 0.3 of groups 0 1 0 1 1: ranks 1.5 1.5 3.5 3.5 5.
        let groups = Groups::new(vec![0, 1, 0, 1, 1], 2);
        let mut shares = [(0.3, 1), (0.1, 0), (0.1, 1)];
        let ranks = RankSums::new(&mut shares, &groups);
        assert_eq!(ranks.sums, [5.0, 10.0]);
        assert_eq!(ranks.ties, 12.0);
        let (score, p_value) = ranks.test(0, &groups, false);
        assert_eq!(score, -1.0 / 3.0f64.sqrt());
        let (corrected, _) = ranks.test(0, &groups, true);
        assert!((corrected - score / 0.9f64.sqrt()).abs() < 1e-15);
        // scipy.stats.norm.sf(1 / sqrt(3)) * 2
        assert!((p_value - 0.563_702_861_650_773_1).abs() < 1e-14);
    }

    #[test]
    fn a_constant_gene_has_no_score() {
        let groups = Groups::new(vec![0, 0, 1, 1], 2);
        let ranks = RankSums::new(&mut [], &groups);
        for tie_correct in [false, true] {
            assert_eq!(ranks.test(1, &groups, tie_correct), (0.0, 1.0));
        }
    }

    #[test]
    fn the_tail_does_not_vanish_early() {
        // scipy.stats.norm.sf(z) * 2
        for (z, expected) in [
            (1.959_963_984_540_054, 0.05),
            (8.0, 1.244_192_114_854_348e-15),
            (-37.0, 1.145_114_244_504_785_3e-299),
        ] {
            let found = two_sided_normal(z);
            assert!((found / expected - 1.0).abs() < 1e-12, "{z}: {found:e}");
        }
    }
}
