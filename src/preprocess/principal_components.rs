//! Principal components of the network's input.

use std::sync::Arc;

use nalgebra::{DMatrix, SymmetricEigen};
use ndarray::{Array1, Array2, ArrayView1, ArrayView2, Axis, s};
use rand_distr::{Distribution, StandardNormal};

use super::cell_rows::CellRows;
use super::cells::Cells;
use crate::error::{ParameterError, Result};
use crate::parallel::{for_each, map};
use crate::random::{Purpose, stream, subsample};

/// Cells that are dense at the same time; part of the definition of the result, because sums are
/// formed per block.
const BLOCK: usize = 256;
/// Blocks whose partial sums are kept at the same time.
const BLOCKS_AT_ONCE: usize = 16;
/// Dimensions that are iterated beside those asked for.
const OVERSAMPLING: usize = 10;
/// Rounds of subspace iteration.
const ROUNDS: usize = 6;
/// Cells that components are computed from, at most; more are subsampled.
const MOST_CELLS: usize = 20_000;

/// The directions of largest variance of the scaled expression.
#[derive(Debug, Clone, PartialEq)]
pub struct PrincipalComponents {
    mean: Array1<f32>,
    loadings: Array2<f32>,
    variances: Vec<f64>,
}

impl PrincipalComponents {
    /// The `count` leading components of cells' network input, by subspace iteration (Halko et
    /// al., *SIAM Review* 2011, algorithm 4.4). Of more than 20 000 cells, a random subsample of
    /// 20 000 is used. A component's sign is such that its largest loading is positive.
    ///
    /// # Errors
    /// [`ParameterError::OutOfRange`] when `count` is 0 or not below the numbers of cells and
    /// genes; those of the source, when counts are read from one.
    pub fn fit(cells: &Cells, count: usize, seed: u64) -> Result<Self> {
        let genes = cells.genes();
        if count == 0 || count >= genes.min(cells.cells()) {
            return Err(ParameterError::OutOfRange {
                name: "the number of principal components",
                requirement: "at least 1 and below the numbers of cells and genes",
                value: count as f64,
            }
            .into());
        }
        let rows = chosen_cells(cells.cells(), seed);
        let cells = &cells.rows(&rows)?;
        let mean = mean_input(cells, &rows);
        let width = (count + OVERSAMPLING).min(genes);
        let mut random = stream(seed, Purpose::PrincipalComponents, 0, 0);
        let mut basis = orthonormal(&Array2::from_shape_simple_fn((genes, width), || {
            StandardNormal.sample(&mut random)
        }));
        for _ in 0..ROUNDS {
            basis = orthonormal(&covariance_times(cells, &rows, &mean, &basis));
        }
        let image = covariance_times(cells, &rows, &mean, &basis);
        let within = DMatrix::from_fn(width, width, |i, j| {
            let forward = column_product(&basis, i, &image, j);
            0.5 * (forward + column_product(&basis, j, &image, i))
        });
        let eigen = SymmetricEigen::new(within);
        let mut order: Vec<usize> = (0..width).collect();
        order.sort_by(|&a, &b| eigen.eigenvalues[b].total_cmp(&eigen.eigenvalues[a]));
        order.truncate(count);

        let mut loadings = Array2::zeros((genes, count));
        for (component, &index) in order.iter().enumerate() {
            let vector = eigen.eigenvectors.column(index);
            let mut loading: Vec<f64> = basis
                .rows()
                .into_iter()
                .map(|row| {
                    let products = row.iter().zip(vector.iter());
                    products.map(|(&b, &v)| f64::from(b) * v).sum()
                })
                .collect();
            let largest =
                loading.iter().copied().fold(
                    0.0f64,
                    |best, x| if x.abs() > best.abs() { x } else { best },
                );
            if largest < 0.0 {
                loading.iter_mut().for_each(|x| *x = -*x);
            }
            for (gene, value) in loading.into_iter().enumerate() {
                loadings[[gene, component]] = value as f32;
            }
        }
        Ok(Self {
            mean,
            loadings,
            variances: order
                .into_iter()
                .map(|index| eigen.eigenvalues[index] / (rows.len() - 1) as f64)
                .collect(),
        })
    }

    /// Mean of the input `[genes]`.
    pub fn mean(&self) -> ArrayView1<'_, f32> {
        self.mean.view()
    }

    /// Unit vectors of the components `[genes, components]`, largest variance first.
    pub fn loadings(&self) -> ArrayView2<'_, f32> {
        self.loadings.view()
    }

    /// Variance along each component `[components]`.
    pub fn variances(&self) -> &[f64] {
        &self.variances
    }

    /// Coordinates of cells `[cells, components]`.
    ///
    /// # Errors
    /// Those of the source, when counts are read from one.
    ///
    /// # Panics
    /// When the cells have another number of genes than those that were fitted.
    pub fn transform(&self, cells: &Cells) -> Result<Array2<f32>> {
        let all: Vec<usize> = (0..cells.cells()).collect();
        let mut scores = Array2::zeros((all.len(), self.loadings.ncols()));
        let window = match cells.reading() {
            None => all.len().max(1),
            Some(reading) => reading.block.next_multiple_of(BLOCK),
        };
        for (mut scores, window) in scores
            .axis_chunks_iter_mut(Axis(0), window)
            .zip(all.chunks(window))
        {
            let rows = match cells.load(window.to_vec())? {
                Some(loaded) => cells.loaded_rows(Arc::new(loaded)),
                None => cells.rows(window)?,
            };
            let blocks = scores
                .axis_chunks_iter_mut(Axis(0), BLOCK)
                .zip(window.chunks(BLOCK));
            for_each(blocks, |(mut scores, block)| {
                scores.assign(&centred(&rows, block, &self.mean).dot(&self.loadings));
            });
        }
        Ok(scores)
    }
}

fn chosen_cells(cells: usize, seed: u64) -> Vec<usize> {
    if cells <= MOST_CELLS {
        return (0..cells).collect();
    }
    let mut random = stream(seed, Purpose::PrincipalComponents, 0, 1);
    subsample(&mut random, cells, MOST_CELLS)
}

fn dense(cells: &CellRows<'_>, rows: &[usize]) -> Array2<f32> {
    let mut block = Array2::zeros((rows.len(), cells.genes()));
    for (mut values, &row) in block.rows_mut().into_iter().zip(rows) {
        if let Some(values) = values.as_slice_mut() {
            cells.fill_input(row, values);
        }
    }
    block
}

fn centred(cells: &CellRows<'_>, rows: &[usize], mean: &Array1<f32>) -> Array2<f32> {
    dense(cells, rows) - mean
}

/// Sums `part` of every block of rows, always in the order of the blocks.
fn sum_over_blocks(
    rows: &[usize],
    shape: (usize, usize),
    part: impl Fn(&[usize]) -> Array2<f32> + Sync,
) -> Array2<f64> {
    let mut sum = Array2::<f64>::zeros(shape);
    for group in rows.chunks(BLOCK * BLOCKS_AT_ONCE) {
        let blocks: Vec<&[usize]> = group.chunks(BLOCK).collect();
        for part in map(blocks.len(), |block| part(blocks[block])) {
            sum.zip_mut_with(&part, |sum, &part| *sum += f64::from(part));
        }
    }
    sum
}

fn mean_input(cells: &CellRows<'_>, rows: &[usize]) -> Array1<f32> {
    let sum = sum_over_blocks(rows, (1, cells.genes()), |rows| {
        dense(cells, rows).sum_axis(Axis(0)).insert_axis(Axis(0))
    });
    sum.slice(s![0, ..])
        .mapv(|sum| (sum / rows.len() as f64) as f32)
}

/// XᵀX · `basis` for centred X, `[genes, width]`.
fn covariance_times(
    cells: &CellRows<'_>,
    rows: &[usize],
    mean: &Array1<f32>,
    basis: &Array2<f32>,
) -> Array2<f32> {
    sum_over_blocks(rows, basis.dim(), |rows| {
        let block = centred(cells, rows, mean);
        block.t().dot(&block.dot(basis))
    })
    .mapv(|sum| sum as f32)
}

fn column_product(a: &Array2<f32>, i: usize, b: &Array2<f32>, j: usize) -> f64 {
    let columns = a.column(i).into_iter().zip(b.column(j));
    columns.map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
}

/// An orthonormal basis of the columns.
fn orthonormal(columns: &Array2<f32>) -> Array2<f32> {
    let (rows, width) = columns.dim();
    let matrix = DMatrix::from_fn(rows, width, |i, j| f64::from(columns[[i, j]]));
    let q = matrix.qr().q();
    Array2::from_shape_fn((rows, width), |(i, j)| q[(i, j)] as f32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counts::CountMatrix;
    use crate::preprocess::Preprocess;
    use rand::RngExt;

    fn cells(count: usize, genes: usize) -> Cells {
        let mut random = stream(3, Purpose::Simulation, 0, 0);
        let values: Vec<f32> = (0..count * genes)
            .map(|i| {
                let (cell, gene) = (i / genes, i % genes);
                let high = cell % 3 == gene % 3;
                let count = random.random::<f32>() * if high { 9.0 } else { 4.0 };
                count.floor()
            })
            .collect();
        let dense = Array2::from_shape_vec((count, genes), values).unwrap();
        let counts = CountMatrix::from_dense(dense.view()).unwrap();
        Preprocess::scdcc().fit(&counts).unwrap()
    }

    #[test]
    fn agrees_with_the_eigenvectors_of_the_covariance() {
        let cells = cells(400, 30);
        let found = PrincipalComponents::fit(&cells, 5, 1).unwrap();
        let rows: Vec<usize> = (0..cells.cells()).collect();
        let at_hand = cells.rows(&rows).unwrap();
        let x = centred(&at_hand, &rows, &mean_input(&at_hand, &rows));
        let x = DMatrix::from_fn(400, cells.genes(), |i, j| f64::from(x[[i, j]]));
        let covariance = x.transpose() * &x / 399.0;
        let mut exact = SymmetricEigen::new(covariance.clone())
            .eigenvalues
            .as_slice()
            .to_vec();
        exact.sort_by(|a, b| b.total_cmp(a));
        for (component, (&variance, exact)) in found.variances().iter().zip(exact).enumerate() {
            // Two directions separate the three groups; the others differ little from each other,
            // which is where subspace iteration is slow.
            let tolerance = if component < 2 { 1e-5 } else { 0.02 };
            assert!(
                (variance / exact - 1.0).abs() < tolerance,
                "{variance} {exact}"
            );
            let loading = nalgebra::DVector::from_iterator(
                cells.genes(),
                found
                    .loadings()
                    .column(component)
                    .iter()
                    .map(|&x| f64::from(x)),
            );
            assert!((loading.norm() - 1.0).abs() < 1e-5);
            assert!(loading.max() >= -loading.min());
            let along = (loading.transpose() * &covariance * &loading)[0];
            assert!((along / exact - 1.0).abs() < tolerance, "{along} {exact}");
        }
        let scores = found.transform(&cells).unwrap();
        let variance = scores
            .column(0)
            .iter()
            .map(|&x| f64::from(x * x))
            .sum::<f64>()
            / 399.0;
        assert!((variance / found.variances()[0] - 1.0).abs() < 1e-3);
    }

    #[test]
    fn threads_do_not_change_a_bit() {
        let cells = cells(1500, 40);
        let run = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
            let fit = || PrincipalComponents::fit(&cells, 4, 7).unwrap();
            pool.unwrap().install(fit)
        };
        assert_eq!(run(1), run(2));
    }

    #[test]
    fn too_many_components_are_refused() {
        let cells = cells(20, 12);
        for count in [0, 12, 40] {
            assert!(PrincipalComponents::fit(&cells, count, 1).is_err());
        }
    }
}
