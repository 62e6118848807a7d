//! Averages over neighbourhoods of cells.

use ndarray::{Array2, ArrayView2, ArrayViewMut1};
use serde::{Deserialize, Serialize};

use super::neighbors::Neighbors;
use crate::parallel::write_rows;

/// Over whom values of a cell are averaged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum NeighborAverage {
    /// [The cell and its neighbours](Neighbors::average).
    #[default]
    Directed,
    /// [Also the cells that it is a neighbour of](Neighbors::average_symmetric).
    Symmetric,
    /// Symmetric where hubs dominate the graph: where the [hubness](Neighbors::hubness) is above 1.
    ByHubness,
}

impl Neighbors {
    /// The mean of `values` `[cells, columns]` over every cell and its neighbours.
    ///
    /// # Panics
    /// When `values` has another number of rows than there are cells.
    pub fn average(&self, values: ArrayView2<f32>) -> Array2<f32> {
        assert_eq!(values.nrows(), self.indices.nrows());
        let share = 1.0 / (self.indices.ncols() + 1) as f32;
        averaged(values, |cell, mut average| {
            for &neighbor in self.indices.row(cell) {
                average += &values.row(neighbor as usize);
            }
            average *= share;
        })
    }

    /// The average of `values` `[cells, columns]` over the neighbourhoods that `over` names.
    ///
    /// # Panics
    /// When `values` has another number of rows than there are cells.
    pub fn average_over(&self, values: ArrayView2<f32>, over: NeighborAverage) -> Array2<f32> {
        let symmetric = match over {
            NeighborAverage::Directed => false,
            NeighborAverage::Symmetric => true,
            NeighborAverage::ByHubness => self.hubness() > 1.0,
        };
        if symmetric {
            self.average_symmetric(values)
        } else {
            self.average(values)
        }
    }

    /// How unequally cells are neighbours of others: the standard deviation of how often a cell is
    /// one, divided by the mean. 0 when all are equally often; in many dimensions without clear
    /// structure it grows above 1, and few cells, hubs, are neighbours of very many (Radovanović et
    /// al., *JMLR* 2010).
    ///
    /// ```
    /// use celldec::graph::nearest_neighbors;
    /// use ndarray::array;
    ///
    /// let pairs = nearest_neighbors(array![[0.0], [1.0], [8.0], [9.0]].view(), 1)?;
    /// assert_eq!(pairs.hubness(), 0.0);
    /// // The first cell is the nearest neighbour of all others.
    /// let star = array![[0.0, 0.0], [1.0, 0.0], [-1.1, 0.0], [0.0, 1.2], [0.0, -1.3]];
    /// assert!(nearest_neighbors(star.view(), 1)?.hubness() > 1.0);
    /// # Ok::<(), celldec::Error>(())
    /// ```
    pub fn hubness(&self) -> f64 {
        let mut times = vec![0.0f64; self.indices.nrows()];
        for &neighbor in &self.indices {
            times[neighbor as usize] += 1.0;
        }
        let mean = self.indices.ncols() as f64;
        let squares: f64 = times.iter().map(|times| (times - mean).powi(2)).sum();
        (squares / times.len() as f64).sqrt() / mean
    }

    /// The mean of `values` `[cells, columns]` over every cell, its neighbours and the cells that
    /// it is a neighbour of, where the cell itself and whoever is both counts twice: the average
    /// over the symmetric graph.
    ///
    /// In many dimensions few cells (hubs) are neighbours of a great part of all others
    /// (Radovanović et al., *JMLR* 2010). A mean over neighbours alone hands what a hub happens to
    /// be on to all of these; here a hub takes their mean as well.
    ///
    /// ```
    /// use celldec::graph::nearest_neighbors;
    /// use ndarray::array;
    ///
    /// // The second cell is the nearest neighbour of both others.
    /// let found = nearest_neighbors(array![[0.0], [1.0], [3.0]].view(), 1)?;
    /// let average = found.average_symmetric(array![[0.0], [4.0], [8.0]].view());
    /// // (2·0 + 2·4) / 4, (2·4 + 2·0 + 8) / 5, (2·8 + 4) / 3
    /// assert_eq!(average, array![[2.0], [3.2], [20.0 / 3.0]]);
    /// # Ok::<(), celldec::Error>(())
    /// ```
    ///
    /// # Panics
    /// When `values` has another number of rows than there are cells.
    pub fn average_symmetric(&self, values: ArrayView2<f32>) -> Array2<f32> {
        assert_eq!(values.nrows(), self.indices.nrows());
        let mut neighbor_of = vec![Vec::new(); values.nrows()];
        for ((cell, _), &neighbor) in self.indices.indexed_iter() {
            neighbor_of[neighbor as usize].push(cell);
        }
        averaged(values, |cell, mut average| {
            let (neighbors, neighbor_of) = (self.indices.row(cell), &neighbor_of[cell]);
            average *= 2.0;
            for &neighbor in neighbors {
                average += &values.row(neighbor as usize);
            }
            for &cell in neighbor_of {
                average += &values.row(cell);
            }
            average /= (2 + neighbors.len() + neighbor_of.len()) as f32;
        })
    }
}

/// Copies of the rows of `values`, each made an average by `average(cell, row)`.
fn averaged(
    values: ArrayView2<f32>,
    average: impl Fn(usize, ArrayViewMut1<f32>) + Sync,
) -> Array2<f32> {
    let mut averages = values.as_standard_layout().into_owned();
    let columns = averages.ncols().max(1);
    if let Some(rows) = averages.as_slice_mut() {
        write_rows(rows, columns, |cell, row| average(cell, row.into()));
    }
    averages
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::super::neighbors::nearest_neighbors;
    use super::*;

    #[test]
    fn hubness_chooses_between_both_averages() {
        // Two pairs, each the nearest neighbour of the other; and a star around its first cell.
        let pairs = array![[0.0, 0.0], [1.0, 0.0], [8.0, 0.0], [9.0, 0.0]];
        let star = array![[0.0, 0.0], [1.0, 0.0], [-1.1, 0.0], [0.0, 1.2], [0.0, -1.3]];
        for (points, symmetric) in [(pairs, false), (star, true)] {
            let found = nearest_neighbors(points.view(), 1).unwrap();
            let average = |over| found.average_over(points.view(), over);
            let [directed, both, chosen] = [
                NeighborAverage::Directed,
                NeighborAverage::Symmetric,
                NeighborAverage::ByHubness,
            ]
            .map(average);
            assert_eq!(directed, found.average(points.view()));
            assert_eq!(both, found.average_symmetric(points.view()));
            assert_eq!(chosen, if symmetric { both } else { directed });
        }
    }

    #[test]
    fn a_constant_is_its_own_average() {
        let points = Array2::from_shape_fn((30, 3), |(cell, d)| ((cell * 7 + d * 11) % 13) as f32);
        let found = nearest_neighbors(points.view(), 4).unwrap();
        let constant = Array2::from_elem((30, 2), 3.0);
        for over in [NeighborAverage::Directed, NeighborAverage::Symmetric] {
            let average = found.average_over(constant.view(), over);
            assert!(
                average.iter().all(|value| (value - 3.0).abs() < 1e-6),
                "{over:?}"
            );
        }
    }
}
