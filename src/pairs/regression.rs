//! Multinomial logistic regression from an embedding to clusters.

use nalgebra::{Cholesky, DMatrix};
use ndarray::{Array2, ArrayView1, ArrayView2};

use crate::parallel::write_rows;

/// Inverse variance of the coefficients' prior.
const PENALTY: f64 = 1.0;
/// The climb ends when no probability changes by more than this in a step.
const TOLERANCE: f64 = 1e-4;
/// The most steps of the climb.
const STEPS: usize = 500;

/// Multinomial logistic regression from an embedding to clusters, learned from some of the cells.
///
/// The embedding is centred and divided by one number, so that the mean variance of its dimensions
/// over all cells is 1. Coefficients, not intercepts, have a normal prior of mean 0 and variance 1.
/// The posterior is climbed by Böhning's bound (*Ann. Inst. Stat. Math.* 44, 1992): every step
/// solves the same linear system, and none overshoots.
pub(crate) struct SoftmaxRegression {
    mean: Vec<f64>,
    scale: f64,
    /// `[dimensions + 1, clusters]`, intercepts last.
    coefficients: DMatrix<f64>,
}

impl SoftmaxRegression {
    /// Learns from `known` cells, rows of `embedding` `[cells, dimensions]`, with their soft
    /// assignment `[known cells, clusters]`; `None` when no two cells of the embedding differ.
    pub fn fit(
        embedding: ArrayView2<f32>,
        known: &[usize],
        assignment: ArrayView2<f32>,
    ) -> Option<Self> {
        let (mean, scale) = centre_and_scale(embedding)?;
        let (dimensions, clusters) = (mean.len(), assignment.ncols());
        let mut regression = Self {
            mean,
            scale,
            coefficients: DMatrix::zeros(dimensions + 1, clusters),
        };
        let mut inputs = DMatrix::zeros(known.len(), dimensions + 1);
        for (row, &cell) in known.iter().enumerate() {
            for (column, value) in regression.inputs(embedding.row(cell)).enumerate() {
                inputs[(row, column)] = value;
            }
        }
        let wanted = DMatrix::from_fn(known.len(), clusters, |row, cluster| {
            f64::from(assignment[[row, cluster]])
        });
        let mut bound = inputs.tr_mul(&inputs) * 0.5;
        for dimension in 0..dimensions {
            bound[(dimension, dimension)] += PENALTY;
        }
        let bound = Cholesky::new(bound)?;
        let mut probabilities = DMatrix::from_element(known.len(), clusters, 1.0 / clusters as f64);
        for _ in 0..STEPS {
            let mut gradient = inputs.tr_mul(&(&wanted - &probabilities));
            let mut slopes = gradient.rows_mut(0, dimensions);
            slopes -= regression.coefficients.rows(0, dimensions) * PENALTY;
            regression.coefficients += bound.solve(&gradient);
            let mut climbed = &inputs * &regression.coefficients;
            for mut row in climbed.row_iter_mut() {
                let largest = row.max();
                row.apply(|score| *score = (*score - largest).exp());
                row.unscale_mut(row.sum());
            }
            let change = (&climbed - &probabilities).amax();
            probabilities = climbed;
            if change < TOLERANCE {
                break;
            }
        }
        Some(regression)
    }

    /// A cell as the regression sees it: centred and scaled, then the intercept's 1.
    fn inputs<'a>(&'a self, cell: ArrayView1<'a, f32>) -> impl Iterator<Item = f64> + 'a {
        let scaled = cell
            .into_iter()
            .zip(&self.mean)
            .map(|(&value, mean)| (f64::from(value) - mean) / self.scale);
        scaled.chain(std::iter::once(1.0))
    }

    /// The probability of every cluster `[cells, clusters]`.
    pub fn probabilities(&self, embedding: ArrayView2<f32>) -> Array2<f32> {
        let clusters = self.coefficients.ncols();
        let mut probabilities = vec![0.0f32; embedding.nrows() * clusters];
        write_rows(&mut probabilities, clusters.max(1), |cell, row| {
            let mut scores = vec![0.0f64; clusters];
            for (dimension, value) in self.inputs(embedding.row(cell)).enumerate() {
                let coefficients = self.coefficients.row(dimension);
                for (score, coefficient) in scores.iter_mut().zip(coefficients.iter()) {
                    *score += value * coefficient;
                }
            }
            let largest = scores.iter().copied().fold(f64::MIN, f64::max);
            let total: f64 = scores.iter().map(|score| (score - largest).exp()).sum();
            for (probability, score) in row.iter_mut().zip(&scores) {
                *probability = ((score - largest).exp() / total) as f32;
            }
        });
        Array2::from_shape_vec((embedding.nrows(), clusters), probabilities)
            .expect("a row of every cell")
    }
}

/// The mean of every dimension, and the root of their mean variance; `None` when nothing varies.
fn centre_and_scale(embedding: ArrayView2<f32>) -> Option<(Vec<f64>, f64)> {
    let cells = embedding.nrows() as f64;
    let mut mean = vec![0.0; embedding.ncols()];
    for cell in embedding.rows() {
        for (sum, &value) in mean.iter_mut().zip(cell) {
            *sum += f64::from(value) / cells;
        }
    }
    let squares: f64 = embedding
        .rows()
        .into_iter()
        .flat_map(|cell| cell.into_iter().zip(&mean))
        .map(|(&value, mean)| (f64::from(value) - mean).powi(2))
        .sum();
    let scale = (squares / embedding.len() as f64).sqrt();
    (scale.is_finite() && scale > 0.0).then_some((mean, scale))
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    /// ```python
    /// x = np.array([[0, 0], [1, .5], [.2, 2], [3, 1], [2.5, 3], [1, 1], [4, 0], [.5, 2.5]])
    /// s = (x - x.mean(0)) / np.sqrt(x.var(0).mean())
    /// # soft labels as weighted copies of the cells
    /// known = [0, 2, 3, 7, 6]; y = np.array([[1, 0, 0], [0, 1, 0], [.1, .1, .8], [0, .7, .3], [0, 0, 1]])
    /// rows, columns = np.nonzero(y)
    /// m = LogisticRegression(C=1, tol=1e-10, max_iter=10000)
    /// m.fit(s[known][rows], columns, sample_weight=y[rows, columns]); m.predict_proba(s)
    /// ```
    #[test]
    fn probabilities_are_those_of_scikit_learn() {
        let embedding = array![
            [0.0, 0.0],
            [1.0, 0.5],
            [0.2, 2.0],
            [3.0, 1.0],
            [2.5, 3.0],
            [1.0, 1.0],
            [4.0, 0.0],
            [0.5, 2.5]
        ];
        let assignment = array![
            [1.0, 0.0, 0.0],
            [0.0, 1.0, 0.0],
            [0.1, 0.1, 0.8],
            [0.0, 0.7, 0.3],
            [0.0, 0.0, 1.0]
        ];
        let known = [0, 2, 3, 7, 6];
        let found = SoftmaxRegression::fit(embedding.view(), &known, assignment.view())
            .unwrap()
            .probabilities(embedding.view());
        let expected: Array2<f32> = array![
            [0.57652, 0.26247, 0.16101],
            [0.37440, 0.30123, 0.32437],
            [0.19692, 0.62838, 0.17471],
            [0.11014, 0.17083, 0.71903],
            [0.04470, 0.45725, 0.49805],
            [0.29327, 0.38225, 0.32448],
            [0.08797, 0.05671, 0.85532],
            [0.12845, 0.68161, 0.18994]
        ];
        for (found, expected) in found.iter().zip(&expected) {
            assert!((found - expected).abs() < 2e-3, "{found} {expected}");
        }
    }

    #[test]
    fn cells_that_do_not_differ_teach_nothing() {
        let embedding = Array2::<f32>::from_elem((4, 2), 3.0);
        let assignment = array![[1.0, 0.0], [0.0, 1.0]];
        assert!(SoftmaxRegression::fit(embedding.view(), &[0, 1], assignment.view()).is_none());
    }
}
