//! The silhouette: how much nearer cells are to their own cluster than to the next.

use ndarray::ArrayView2;

use super::encode_labels;
use crate::error::{Error, ParameterError, Result};
use crate::parallel::map_rows;

/// Cells whose distances to one cell are computed at once.
const BLOCK: usize = 1024;
/// Dimensions added to these distances at once.
const DIMENSIONS: usize = 4;

/// The mean silhouette of all cells: between −1 and 1, higher is better separated. See
/// [`silhouette_samples`].
///
/// ```
/// use ndarray::array;
///
/// let cells = array![[0.0f32], [1.0], [10.0], [11.0]];
/// let mean = celldec::metrics::silhouette(cells.view(), &[0, 0, 1, 1])?;
/// assert!((mean - 0.8997493734335839).abs() < 1e-12);
/// # Ok::<(), celldec::Error>(())
/// ```
///
/// # Errors
/// As [`silhouette_samples`].
pub fn silhouette<A>(embedding: ArrayView2<A>, labels: &[usize]) -> Result<f64>
where
    A: Copy + Into<f64>,
{
    let samples = silhouette_samples(embedding, labels)?;
    Ok(samples.iter().sum::<f64>() / samples.len() as f64)
}

/// The silhouette of every cell `[cells]` (Rousseeuw 1987): (b − a) / max(a, b), with a the mean
/// Euclidean distance to the other cells of its cluster and b the least mean distance to the
/// cells of another cluster; 0 for a cell that is alone in its cluster.
///
/// `embedding` `[cells, dimensions]` holds f32 or f64; distances are computed in f64, for all
/// pairs of cells, in memory that grows with the number of cells only.
///
/// # Errors
/// [`Error::LengthMismatch`] unless there is one label for each row; [`Error::EmptyInput`]
/// without cells or dimensions; [`Error::NonFiniteValue`]; [`ParameterError::OutOfRange`] unless
/// there are at least 2 clusters and fewer clusters than cells.
pub fn silhouette_samples<A>(embedding: ArrayView2<A>, labels: &[usize]) -> Result<Vec<f64>>
where
    A: Copy + Into<f64>,
{
    let (cells, dimensions) = embedding.dim();
    if labels.len() != cells {
        return Err(Error::LengthMismatch {
            what: "the list of labels".into(),
            expected: cells,
            found: labels.len(),
        });
    }
    if embedding.is_empty() {
        return Err(Error::EmptyInput {
            what: "the embedding".into(),
        });
    }
    let (labels, values) = encode_labels(labels);
    let clusters = values.len();
    if clusters < 2 || clusters >= cells {
        return Err(ParameterError::OutOfRange {
            name: "the number of clusters of a silhouette",
            requirement: "at least 2 and below the number of cells",
            value: clusters as f64,
        }
        .into());
    }
    let mut order: Vec<usize> = (0..cells).collect();
    order.sort_by_key(|&cell| labels[cell]);
    let mut starts = vec![0usize; clusters + 1];
    for &label in &labels {
        starts[label + 1] += 1;
    }
    for cluster in 0..clusters {
        starts[cluster + 1] += starts[cluster];
    }
    // Clusters lie side by side and each dimension is one row, so that the sums below run over
    // neighbouring numbers.
    let mut columns = Vec::with_capacity(dimensions * cells);
    for column in embedding.columns() {
        columns.extend(order.iter().map(|&cell| -> f64 { column[cell].into() }));
    }
    if let Some(position) = columns.iter().position(|value| !value.is_finite()) {
        return Err(Error::NonFiniteValue {
            what: "the embedding".into(),
            row: order[position % cells],
            column: position / cells,
        });
    }
    let room = || vec![0.0f64; BLOCK];
    let sorted: Vec<f64> = map_rows(cells, room, |squared, place| {
        let label = labels[order[place]];
        of_cell(&columns, cells, &starts, label, place, squared)
    });
    let mut samples = vec![0.0f64; cells];
    for (&cell, value) in order.iter().zip(sorted) {
        samples[cell] = value;
    }
    Ok(samples)
}

/// Adds the squared differences between the cell at `place` and those from `start` on, over the
/// dimensions whose `rows` of `cells` values are given.
fn add_squares(rows: &[f64], cells: usize, place: usize, start: usize, squared: &mut [f64]) {
    let end = start + squared.len();
    let row = |dimension: usize| {
        let row = &rows[dimension * cells..(dimension + 1) * cells];
        (row[place], &row[start..end])
    };
    if rows.len() == DIMENSIONS * cells {
        let [(own_a, a), (own_b, b), (own_c, c), (own_d, d)] = [row(0), row(1), row(2), row(3)];
        for ((((squared, a), b), c), d) in squared.iter_mut().zip(a).zip(b).zip(c).zip(d) {
            let [a, b, c, d] = [a - own_a, b - own_b, c - own_c, d - own_d];
            *squared += (a * a + b * b) + (c * c + d * d);
        }
    } else {
        for dimension in 0..rows.len() / cells {
            let (own, others) = row(dimension);
            for (squared, other) in squared.iter_mut().zip(others) {
                *squared += (other - own) * (other - own);
            }
        }
    }
}

/// The silhouette of the cell at `place`, a member of cluster `own`.
fn of_cell(
    columns: &[f64],
    cells: usize,
    starts: &[usize],
    own: usize,
    place: usize,
    squared: &mut [f64],
) -> f64 {
    if starts[own + 1] - starts[own] == 1 {
        return 0.0;
    }
    let (mut within, mut nearest) = (0.0f64, f64::INFINITY);
    for (cluster, bounds) in starts.windows(2).enumerate() {
        let mut sum = 0.0f64;
        for start in (bounds[0]..bounds[1]).step_by(BLOCK) {
            let end = bounds[1].min(start + BLOCK);
            let squared = &mut squared[..end - start];
            squared.fill(0.0);
            for rows in columns.chunks(DIMENSIONS * cells) {
                add_squares(rows, cells, place, start, squared);
            }
            sum += squared.iter().map(|squared| squared.sqrt()).sum::<f64>();
        }
        let size = (bounds[1] - bounds[0]) as f64;
        if cluster == own {
            within = sum / (size - 1.0);
        } else {
            nearest = nearest.min(sum / size);
        }
    }
    let larger = within.max(nearest);
    if larger > 0.0 {
        (nearest - within) / larger
    } else {
        0.0
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{Array2, array};
    use proptest::prelude::*;
    use rand::RngExt;

    use super::*;
    use crate::random::{Purpose, stream};

    proptest! {
        #[test]
        fn silhouettes_are_in_range_and_ignore_names(cells in 4usize..50, seed: u64) {
            let mut random = stream(seed, Purpose::Simulation, 0, 0);
            let points = Array2::from_shape_fn((cells, 3), |_| random.random::<f32>());
            let labels: Vec<usize> = (0..cells).map(|cell| cell % 3).collect();
            let samples = silhouette_samples(points.view(), &labels).unwrap();
            prop_assert!(samples.iter().all(|value| (-1.0..=1.0).contains(value)));
            let renamed: Vec<usize> = labels.iter().map(|label| 70 - 7 * label).collect();
            let again = silhouette_samples(points.view(), &renamed).unwrap();
            for (a, b) in samples.iter().zip(again) {
                prop_assert!((a - b).abs() < 1e-12);
            }
        }
    }

    #[test]
    fn threads_do_not_matter() {
        let mut random = stream(1, Purpose::Simulation, 0, 0);
        let points = Array2::from_shape_fn((2500, 4), |_| random.random::<f32>());
        let labels: Vec<usize> = (0..2500).map(|cell| cell % 2).collect();
        let with_threads = |threads| {
            rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .unwrap()
                .install(|| silhouette_samples(points.view(), &labels).unwrap())
        };
        assert_eq!(with_threads(1), with_threads(2));
    }

    #[test]
    fn identical_cells_have_silhouette_zero() {
        let points = Array2::<f32>::ones((6, 2));
        let samples = silhouette_samples(points.view(), &[0, 0, 0, 1, 1, 1]).unwrap();
        assert_eq!(samples, [0.0; 6]);
    }

    #[test]
    fn unusable_input_is_refused() {
        let points = array![[0.0f32], [1.0], [f32::NAN]];
        assert!(matches!(
            silhouette(points.view(), &[0, 0, 1]),
            Err(Error::NonFiniteValue {
                row: 2,
                column: 0,
                ..
            })
        ));
        assert!(matches!(
            silhouette(points.view(), &[0, 1]),
            Err(Error::LengthMismatch { .. })
        ));
        for labels in [[0, 0, 0], [0, 1, 2]] {
            assert!(matches!(
                silhouette(points.view(), &labels),
                Err(Error::Parameter(ParameterError::OutOfRange { .. }))
            ));
        }
    }
}
