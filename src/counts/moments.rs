//! Moments of genes, as a negative binomial sees them.

use super::CountMatrix;
use crate::error::{Error, Result};

/// Mean and dispersion of every gene by the method of moments.
#[derive(Debug, Clone, PartialEq)]
pub struct GeneMoments {
    /// Mean count per unit of size factor `[genes]`.
    pub means: Vec<f32>,
    /// Dispersion θ of the negative binomial `[genes]`; 10⁴, next to Poisson, where the variance
    /// does not exceed a Poisson's.
    pub dispersions: Vec<f32>,
}

/// The dispersion of a gene that is no more variable than a Poisson.
const POISSON: f64 = 1e4;

impl GeneMoments {
    /// Moments of `counts` `[cells, genes]` with positive size factors s `[cells]`.
    ///
    /// With y = x/s, a negative binomial has E y = μ and Var y = μ E(1/s) + μ²/θ, which is solved
    /// for μ and θ.
    ///
    /// # Errors
    /// [`Error::LengthMismatch`] when there is not one size factor a cell, [`Error::EmptyInput`]
    /// without cells.
    pub fn new(counts: &CountMatrix, size_factors: &[f32]) -> Result<Self> {
        if size_factors.len() != counts.cells() {
            return Err(Error::LengthMismatch {
                what: "size factors".into(),
                expected: counts.cells(),
                found: size_factors.len(),
            });
        }
        let mut sums = MomentSums::new(counts.genes());
        for (cell, &size_factor) in size_factors.iter().enumerate() {
            let (genes, values) = counts.row(cell);
            sums.add(size_factor, genes, values);
        }
        sums.finish()
    }
}

/// Sums over cells, from which moments follow.
pub(crate) struct MomentSums {
    cells: usize,
    sums: Vec<f64>,
    squares: Vec<f64>,
    inverse: f64,
}

impl MomentSums {
    pub fn new(genes: usize) -> Self {
        Self {
            cells: 0,
            sums: vec![0.0; genes],
            squares: vec![0.0; genes],
            inverse: 0.0,
        }
    }

    /// Adds a cell.
    pub fn add(&mut self, size_factor: f32, genes: &[u32], values: &[f32]) {
        let scale = 1.0 / f64::from(size_factor);
        self.cells += 1;
        self.inverse += scale;
        for (&gene, &count) in genes.iter().zip(values) {
            let y = f64::from(count) * scale;
            self.sums[gene as usize] += y;
            self.squares[gene as usize] += y * y;
        }
    }

    /// # Errors
    /// [`Error::EmptyInput`] without cells.
    pub fn finish(self) -> Result<GeneMoments> {
        if self.cells == 0 {
            return Err(Error::EmptyInput {
                what: "the count matrix".into(),
            });
        }
        let n = self.cells as f64;
        let inverse = self.inverse / n;
        let (means, dispersions) = self
            .sums
            .into_iter()
            .zip(self.squares)
            .map(|(sum, square)| {
                let mean = sum / n;
                let variance = (square - n * mean * mean) / (n - 1.0).max(1.0);
                let excess = variance - mean * inverse;
                let dispersion = if excess > 0.0 {
                    (mean * mean / excess).min(POISSON)
                } else {
                    POISSON
                };
                (mean as f32, dispersion as f32)
            })
            .unzip();
        Ok(GeneMoments { means, dispersions })
    }
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;
    use rand_distr::{Distribution, Gamma, Poisson};

    use super::*;
    use crate::random::{Purpose, stream};

    #[test]
    fn finds_the_parameters_of_simulated_genes() {
        let truth = [(0.5, 0.8), (4.0, 2.0), (20.0, 10.0)];
        let mut random = stream(1, Purpose::Simulation, 0, 0);
        let size_factors: Vec<f32> = (0..20_000).map(|i| 0.5 + (i % 11) as f32 / 10.0).collect();
        let counts = Array2::from_shape_fn((size_factors.len(), 3), |(cell, gene)| {
            let (mean, dispersion): (f64, f64) = truth[gene];
            let gamma = Gamma::new(dispersion, mean / dispersion).expect("valid parameters");
            let rate = gamma.sample(&mut random) * f64::from(size_factors[cell]);
            match Poisson::new(rate) {
                Ok(poisson) => poisson.sample(&mut random) as f32,
                Err(_) => 0.0,
            }
        });
        let counts = CountMatrix::from_dense(counts.view()).expect("counts");
        let found = GeneMoments::new(&counts, &size_factors).expect("moments");
        for (gene, (mean, dispersion)) in truth.into_iter().enumerate() {
            let relative = |found: f32, exact: f64| (f64::from(found) / exact - 1.0).abs();
            assert!(relative(found.means[gene], mean) < 0.03, "{found:?}");
            assert!(
                relative(found.dispersions[gene], dispersion) < 0.15,
                "{found:?}"
            );
        }
    }

    #[test]
    fn genes_without_excess_variance_are_poisson() {
        let counts = CountMatrix::from_dense(Array2::from_elem((5, 2), 3.0).view()).unwrap();
        let found = GeneMoments::new(&counts, &[1.0; 5]).unwrap();
        assert_eq!(found.means, [3.0, 3.0]);
        assert_eq!(found.dispersions, [1e4, 1e4]);
        assert!(GeneMoments::new(&counts, &[1.0; 4]).is_err());
    }
}
