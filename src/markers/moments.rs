//! Mean and spread of a gene in every group of cells.

use super::expression::Groups;

/// Mean and sum of squared deviations of log1p values.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Moments {
    pub cells: usize,
    /// Cells with a count.
    pub expressing: usize,
    pub mean: f64,
    /// Σ (value − mean)².
    pub deviations: f64,
}

impl Moments {
    /// Of every group, from the stored (share, group) of a gene.
    pub fn of_groups(shares: &[(f64, u32)], groups: &Groups, target_sum: f64) -> Vec<Self> {
        let mut moments: Vec<Self> = groups
            .sizes()
            .iter()
            .map(|&cells| Self {
                cells,
                ..Self::default()
            })
            .collect();
        let values = || {
            let value = |&(share, group): &(f64, u32)| ((share * target_sum).ln_1p(), group);
            shares.iter().map(value)
        };
        for (value, group) in values() {
            let moments = &mut moments[group as usize];
            moments.mean += value;
            moments.expressing += 1;
        }
        for moments in &mut moments {
            moments.mean /= moments.cells as f64;
            let zeros = (moments.cells - moments.expressing) as f64;
            moments.deviations = zeros * moments.mean * moments.mean;
        }
        for (value, group) in values() {
            let moments = &mut moments[group as usize];
            moments.deviations += (value - moments.mean) * (value - moments.mean);
        }
        moments
    }

    /// Of all cells outside one group.
    ///
    /// Sums over the others instead of subtracting from a total, so that a gene found in one group
    /// only has a mean of exactly 0 outside.
    pub fn outside(groups: &[Self], inside: usize) -> Self {
        let others = || {
            let all = groups.iter().enumerate();
            all.filter(move |&(group, _)| group != inside)
                .map(|(_, moments)| moments)
        };
        let cells: usize = others().map(|other| other.cells).sum();
        let sum: f64 = others().map(|other| other.mean * other.cells as f64).sum();
        let mean = sum / cells as f64;
        let deviations = others()
            .map(|other| other.deviations + other.cells as f64 * (other.mean - mean).powi(2))
            .sum();
        Self {
            cells,
            expressing: others().map(|other| other.expressing).sum(),
            mean,
            deviations,
        }
    }

    /// With `n − 1` in the denominator.
    pub fn variance(&self) -> f64 {
        self.deviations / (self.cells as f64 - 1.0)
    }

    /// Fraction of cells with a count.
    pub fn fraction(&self) -> f64 {
        self.expressing as f64 / self.cells as f64
    }
}
