//! Clustering accuracy under the best matching of clusters and groups.

use super::contingency::Contingency;
use super::encode_labels;
use crate::error::{ParameterError, Result};

/// Most entries of the table that the matching is computed on.
const LARGEST_TABLE: usize = 100_000_000;

/// Clustering accuracy: the share of cells whose predicted cluster is matched to their true
/// group, under the one-to-one matching that makes this share largest (Kuhn 1955). Clusters or
/// groups in excess stay unmatched. Between 0 and 1; symmetric.
///
/// ```
/// let accuracy = celldec::metrics::clustering_accuracy(&[0, 0, 1, 1], &[5, 5, 5, 2])?;
/// assert_eq!(accuracy, 0.75);
/// # Ok::<(), celldec::Error>(())
/// ```
///
/// # Errors
/// [`Error::LengthMismatch`](crate::Error::LengthMismatch),
/// [`Error::EmptyInput`](crate::Error::EmptyInput), and [`ParameterError::OutOfRange`] when
/// clusters × groups exceed 10⁸, too many to match.
pub fn clustering_accuracy(truth: &[usize], predicted: &[usize]) -> Result<f64> {
    let table = Contingency::new(truth, predicted)?;
    let matched: usize = matching(&table)?.iter().map(|matched| matched.cells).sum();
    Ok(matched as f64 / table.cells as f64)
}

/// The one-to-one matching of predicted clusters and true groups that agrees on most cells: pairs
/// (cluster, group) that share cells, by rising cluster.
///
/// ```
/// let pairs = celldec::metrics::match_clusters(&[0, 0, 1, 1], &[5, 5, 5, 2])?;
/// assert_eq!(pairs, [(2, 1), (5, 0)]);
/// # Ok::<(), celldec::Error>(())
/// ```
///
/// # Errors
/// As [`clustering_accuracy`].
pub fn match_clusters(truth: &[usize], predicted: &[usize]) -> Result<Vec<(usize, usize)>> {
    let table = Contingency::new(truth, predicted)?;
    let (_, groups) = encode_labels(truth);
    let (_, clusters) = encode_labels(predicted);
    let mut pairs: Vec<(usize, usize)> = matching(&table)?
        .into_iter()
        .map(|matched| (clusters[matched.predicted], groups[matched.truth]))
        .collect();
    pairs.sort_unstable();
    Ok(pairs)
}

/// A group and the cluster matched to it, by their numbers in the table.
struct Matched {
    truth: usize,
    predicted: usize,
    cells: usize,
}

/// The best matching, without pairs that share no cell.
fn matching(table: &Contingency) -> Result<Vec<Matched>> {
    let wide = table.truth.len() <= table.predicted.len();
    let (rows, columns) = if wide {
        (table.truth.len(), table.predicted.len())
    } else {
        (table.predicted.len(), table.truth.len())
    };
    if rows.saturating_mul(columns) > LARGEST_TABLE {
        return Err(ParameterError::OutOfRange {
            name: "clusters × groups of a clustering accuracy",
            requirement: "at most 10^8",
            value: rows as f64 * columns as f64,
        }
        .into());
    }
    let mut gains = vec![0i64; rows * columns];
    for &(truth, predicted, count) in &table.shared {
        let (row, column) = if wide {
            (truth, predicted)
        } else {
            (predicted, truth)
        };
        gains[row * columns + column] = count as i64;
    }
    let pairs = best_matching(&gains, rows, columns);
    let matched = pairs.into_iter().map(|(row, column)| Matched {
        truth: if wide { row } else { column },
        predicted: if wide { column } else { row },
        cells: gains[row * columns + column] as usize,
    });
    Ok(matched.filter(|matched| matched.cells > 0).collect())
}

/// The matching of every row with a column of its own that has the largest sum of `gains`
/// `[rows, columns]`, as (row, column); rows ≤ columns.
///
/// Shortest augmenting paths with potentials (Jonker and Volgenant 1987): O(rows² · columns).
fn best_matching(gains: &[i64], rows: usize, columns: usize) -> Vec<(usize, usize)> {
    // Position 0 of the columns is a virtual one from which each search starts.
    let mut row_potential = vec![0i64; rows + 1];
    let mut column_potential = vec![0i64; columns + 1];
    let mut matched_row = vec![0usize; columns + 1];
    for row in 1..=rows {
        let mut previous = vec![0usize; columns + 1];
        let mut shortest = vec![i64::MAX; columns + 1];
        let mut visited = vec![false; columns + 1];
        matched_row[0] = row;
        let mut current = 0;
        while matched_row[current] != 0 {
            visited[current] = true;
            let from = matched_row[current];
            let (mut step, mut next) = (i64::MAX, 0);
            for column in 1..=columns {
                if visited[column] {
                    continue;
                }
                let cost = -gains[(from - 1) * columns + column - 1];
                let reduced = cost - row_potential[from] - column_potential[column];
                if reduced < shortest[column] {
                    shortest[column] = reduced;
                    previous[column] = current;
                }
                if shortest[column] < step {
                    step = shortest[column];
                    next = column;
                }
            }
            for column in 0..=columns {
                if visited[column] {
                    row_potential[matched_row[column]] += step;
                    column_potential[column] -= step;
                } else if column > 0 {
                    shortest[column] -= step;
                }
            }
            current = next;
        }
        while current != 0 {
            matched_row[current] = matched_row[previous[current]];
            current = previous[current];
        }
    }
    (1..=columns)
        .filter(|&column| matched_row[column] > 0)
        .map(|column| (matched_row[column] - 1, column - 1))
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::error::Error;

    fn by_trying_all(gains: &[i64], columns: usize, row: usize, used: u32) -> i64 {
        if (row + 1) * columns > gains.len() {
            return 0;
        }
        (0..columns)
            .filter(|column| used & (1 << column) == 0)
            .map(|column| {
                gains[row * columns + column]
                    + by_trying_all(gains, columns, row + 1, used | (1 << column))
            })
            .max()
            .unwrap()
    }

    proptest! {
        #[test]
        fn the_matching_is_the_best_of_all(
            rows in 1usize..6,
            more in 0usize..3,
            values in prop::collection::vec(0i64..30, 40),
        ) {
            let columns = rows + more;
            let gains = &values[..rows * columns];
            let matched = best_matching(gains, rows, columns);
            let sum: i64 = matched.iter().map(|(row, column)| gains[row * columns + column]).sum();
            prop_assert_eq!(sum, by_trying_all(gains, columns, 0, 0));
            let used: std::collections::BTreeSet<_> = matched.iter().map(|pair| pair.1).collect();
            prop_assert_eq!((matched.len(), used.len()), (rows, rows));
        }
    }

    #[test]
    fn tables_too_large_to_match_are_refused() {
        let labels: Vec<usize> = (0..10_001).collect();
        assert!(matches!(
            clustering_accuracy(&labels, &labels),
            Err(Error::Parameter(ParameterError::OutOfRange { .. }))
        ));
    }
}
