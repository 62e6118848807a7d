//! Agreement of two labellings: pair counts and information.

use super::contingency::Contingency;
use crate::error::Result;

/// The adjusted Rand index (Hubert and Arabie 1985): the share of pairs of cells on which two
/// labellings agree, corrected for chance. 1 for the same groups, about 0 for unrelated ones, at
/// least −0.5; symmetric.
///
/// ```
/// let index = celldec::metrics::adjusted_rand_index(&[0, 0, 1, 1], &[0, 0, 1, 2])?;
/// assert!((index - 0.5714285714285714).abs() < 1e-12);
/// # Ok::<(), celldec::Error>(())
/// ```
///
/// # Errors
/// [`Error::LengthMismatch`](crate::Error::LengthMismatch) and
/// [`Error::EmptyInput`](crate::Error::EmptyInput).
pub fn adjusted_rand_index(truth: &[usize], predicted: &[usize]) -> Result<f64> {
    let pairs = Pairs::of(&Contingency::new(truth, predicted)?);
    if pairs.only_truth == 0 && pairs.only_predicted == 0 {
        return Ok(1.0);
    }
    let [both, neither, only_truth, only_predicted] = [
        pairs.both,
        pairs.neither,
        pairs.only_truth,
        pairs.only_predicted,
    ];
    let numerator = 2 * (both * neither - only_truth * only_predicted);
    let denominator = (both + only_truth) * (only_truth + neither)
        + (both + only_predicted) * (only_predicted + neither);
    Ok(numerator as f64 / denominator as f64)
}

/// The Fowlkes–Mallows index (1983): the geometric mean of the precision and the recall of pairs
/// of cells put together. Between 0 and 1; symmetric. 0 when no pair is together in both.
///
/// # Errors
/// [`Error::LengthMismatch`](crate::Error::LengthMismatch) and
/// [`Error::EmptyInput`](crate::Error::EmptyInput).
pub fn fowlkes_mallows(truth: &[usize], predicted: &[usize]) -> Result<f64> {
    let pairs = Pairs::of(&Contingency::new(truth, predicted)?);
    if pairs.both == 0 {
        return Ok(0.0);
    }
    let both = pairs.both as f64;
    let recall = both / (pairs.both + pairs.only_truth) as f64;
    let precision = both / (pairs.both + pairs.only_predicted) as f64;
    Ok((recall * precision).sqrt())
}

/// Ordered pairs of cells by who puts them together. 128 bits hold the products of such counts.
struct Pairs {
    both: i128,
    only_truth: i128,
    only_predicted: i128,
    neither: i128,
}

impl Pairs {
    fn of(table: &Contingency) -> Self {
        let pairs = |counts: &mut dyn Iterator<Item = usize>| -> i128 {
            counts
                .map(|count| count as i128 * (count as i128 - 1))
                .sum()
        };
        let both = pairs(&mut table.shared.iter().map(|&(_, _, count)| count));
        let truth = pairs(&mut table.truth.iter().copied());
        let predicted = pairs(&mut table.predicted.iter().copied());
        let all = pairs(&mut std::iter::once(table.cells));
        Self {
            both,
            only_truth: truth - both,
            only_predicted: predicted - both,
            neither: all - truth - predicted + both,
        }
    }
}

/// Normalised mutual information: I(truth; predicted) over the arithmetic mean of both entropies.
/// Between 0 and 1; symmetric. 1 when neither labelling splits the cells.
///
/// # Errors
/// [`Error::LengthMismatch`](crate::Error::LengthMismatch) and
/// [`Error::EmptyInput`](crate::Error::EmptyInput).
pub fn normalized_mutual_information(truth: &[usize], predicted: &[usize]) -> Result<f64> {
    let information = Information::of(&Contingency::new(truth, predicted)?);
    Ok(information.normalized())
}

/// Adjusted mutual information (Vinh, Epps and Bailey, JMLR 2010): normalised mutual information
/// (arithmetic mean) corrected for chance, with the exact expectation over random labellings with
/// the same cluster sizes. 1 for the same groups, about 0 for unrelated ones; symmetric.
///
/// # Errors
/// [`Error::LengthMismatch`](crate::Error::LengthMismatch) and
/// [`Error::EmptyInput`](crate::Error::EmptyInput).
pub fn adjusted_mutual_information(truth: &[usize], predicted: &[usize]) -> Result<f64> {
    let table = Contingency::new(truth, predicted)?;
    if table.is_identical() {
        return Ok(1.0);
    }
    let information = Information::of(&table);
    let expected = expected_mutual_information(&table);
    let mean = (information.truth + information.predicted) / 2.0;
    let range = mean - expected;
    // Both differences vanish together (for example when all cells are alone in both); the sign
    // keeps the quotient within range.
    let range = if range < 0.0 {
        range.min(-f64::EPSILON)
    } else {
        range.max(f64::EPSILON)
    };
    Ok((information.mutual - expected) / range)
}

/// Homogeneity (Rosenberg and Hirschberg 2007): 1 when every cluster holds cells of one true
/// group; I / H(truth). Between 0 and 1.
///
/// # Errors
/// [`Error::LengthMismatch`](crate::Error::LengthMismatch) and
/// [`Error::EmptyInput`](crate::Error::EmptyInput).
pub fn homogeneity(truth: &[usize], predicted: &[usize]) -> Result<f64> {
    let information = Information::of(&Contingency::new(truth, predicted)?);
    Ok(ratio(information.mutual, information.truth))
}

/// Completeness (Rosenberg and Hirschberg 2007): 1 when all cells of a true group are in one
/// cluster; I / H(predicted). Between 0 and 1.
///
/// # Errors
/// [`Error::LengthMismatch`](crate::Error::LengthMismatch) and
/// [`Error::EmptyInput`](crate::Error::EmptyInput).
pub fn completeness(truth: &[usize], predicted: &[usize]) -> Result<f64> {
    homogeneity(predicted, truth)
}

/// The V-measure (Rosenberg and Hirschberg 2007): the harmonic mean of homogeneity and
/// completeness. It equals [`normalized_mutual_information`].
///
/// # Errors
/// [`Error::LengthMismatch`](crate::Error::LengthMismatch) and
/// [`Error::EmptyInput`](crate::Error::EmptyInput).
pub fn v_measure(truth: &[usize], predicted: &[usize]) -> Result<f64> {
    normalized_mutual_information(truth, predicted)
}

/// Mutual information and entropies, in nats.
struct Information {
    mutual: f64,
    truth: f64,
    predicted: f64,
}

impl Information {
    fn of(table: &Contingency) -> Self {
        let cells = table.cells as f64;
        let entropy = |counts: &[usize]| -> f64 {
            if counts.len() == 1 {
                return 0.0;
            }
            -counts
                .iter()
                .map(|&count| {
                    let share = count as f64 / cells;
                    share * share.ln()
                })
                .sum::<f64>()
        };
        let truth = entropy(&table.truth);
        if table.is_identical() {
            return Self {
                mutual: truth,
                truth,
                predicted: truth,
            };
        }
        let predicted = entropy(&table.predicted);
        let mutual = if table.truth.len() == 1 || table.predicted.len() == 1 {
            0.0
        } else {
            let sum: f64 = table
                .shared
                .iter()
                .map(|&(row, column, count)| {
                    let count = count as f64;
                    let independent = table.truth[row] as f64 * table.predicted[column] as f64;
                    count / cells * (count * cells / independent).ln()
                })
                .sum();
            // Rounding can lead out of the possible range.
            sum.clamp(0.0, truth.min(predicted))
        };
        Self {
            mutual,
            truth,
            predicted,
        }
    }

    fn normalized(&self) -> f64 {
        ratio(self.mutual, (self.truth + self.predicted) / 2.0)
    }
}

/// A share of an entropy; all of it when the entropy is 0.
fn ratio(mutual: f64, entropy: f64) -> f64 {
    if entropy == 0.0 {
        1.0
    } else {
        mutual / entropy
    }
}

/// E[I] over random labellings with the sizes of the table: for every pair of sizes a and b the
/// number of shared cells is hypergeometric (Vinh, Epps and Bailey 2010, equation 3).
fn expected_mutual_information(table: &Contingency) -> f64 {
    let cells = table.cells;
    let log_factorial = log_factorials(cells);
    // Equal sizes give equal terms: large tables have few distinct sizes.
    let truth = multiplicities(&table.truth);
    let predicted = multiplicities(&table.predicted);
    let mut expected = 0.0f64;
    for &(a, rows) in &truth {
        for &(b, columns) in &predicted {
            let fixed = log_factorial[a]
                + log_factorial[b]
                + log_factorial[cells - a]
                + log_factorial[cells - b]
                - log_factorial[cells];
            let independent = a as f64 * b as f64 / cells as f64;
            let least = (a + b).saturating_sub(cells).max(1);
            let sum: f64 = (least..=a.min(b))
                .map(|shared| {
                    let log_probability = fixed
                        - log_factorial[shared]
                        - log_factorial[a - shared]
                        - log_factorial[b - shared]
                        - log_factorial[cells + shared - a - b];
                    let information =
                        shared as f64 / cells as f64 * (shared as f64 / independent).ln();
                    information * log_probability.exp()
                })
                .sum();
            expected += (rows * columns) as f64 * sum;
        }
    }
    expected
}

/// ln 0!, ln 1!, …, ln `largest`!.
fn log_factorials(largest: usize) -> Vec<f64> {
    (0..=largest)
        .map(|number| libm::lgamma(number as f64 + 1.0))
        .collect()
}

/// The distinct sizes, rising, and how often each occurs.
fn multiplicities(sizes: &[usize]) -> Vec<(usize, usize)> {
    let mut sorted = sizes.to_vec();
    sorted.sort_unstable();
    sorted
        .chunk_by(|a, b| a == b)
        .map(|run| (run[0], run.len()))
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::error::Error;
    use crate::metrics::clustering_accuracy;

    type Metric = fn(&[usize], &[usize]) -> Result<f64>;

    const SYMMETRIC: [(&str, Metric, f64); 5] = [
        ("ARI", adjusted_rand_index, -0.5),
        ("FMI", fowlkes_mallows, 0.0),
        ("NMI", normalized_mutual_information, 0.0),
        ("AMI", adjusted_mutual_information, -1.0),
        ("accuracy", clustering_accuracy, 0.0),
    ];

    fn labellings() -> impl Strategy<Value = (Vec<usize>, Vec<usize>)> {
        (1usize..60).prop_flat_map(|cells| {
            (
                prop::collection::vec(0usize..7, cells),
                prop::collection::vec(0usize..5, cells),
            )
        })
    }

    proptest! {
        #[test]
        fn metrics_are_symmetric_and_in_range((a, b) in labellings()) {
            for (name, metric, least) in SYMMETRIC {
                let value = metric(&a, &b).unwrap();
                prop_assert!((value - metric(&b, &a).unwrap()).abs() < 1e-12, "{name}");
                prop_assert!((least..=1.0 + 1e-12).contains(&value), "{name}: {value}");
            }
            for (name, metric) in [("homogeneity", homogeneity as Metric), ("completeness", completeness)] {
                let value = metric(&a, &b).unwrap();
                prop_assert!((0.0..=1.0).contains(&value), "{name}: {value}");
            }
        }

        #[test]
        fn names_of_labels_do_not_matter((a, b) in labellings(), factor in 1usize..50) {
            let renamed: Vec<usize> = b.iter().map(|label| 1000 - label * factor).collect();
            for (name, metric, _) in SYMMETRIC {
                let difference = metric(&a, &b).unwrap() - metric(&a, &renamed).unwrap();
                prop_assert!(difference.abs() < 1e-12, "{name}");
            }
        }

        #[test]
        fn the_order_of_cells_does_not_matter((a, b) in labellings()) {
            let reversed = |labels: &[usize]| labels.iter().rev().copied().collect::<Vec<_>>();
            for (name, metric, _) in SYMMETRIC {
                let difference =
                    metric(&a, &b).unwrap() - metric(&reversed(&a), &reversed(&b)).unwrap();
                prop_assert!(difference.abs() < 1e-12, "{name}");
            }
        }

        #[test]
        fn identical_groups_score_one((a, _) in labellings()) {
            let renamed: Vec<usize> = a.iter().map(|label| 9 - label).collect();
            prop_assert_eq!(adjusted_rand_index(&a, &renamed).unwrap(), 1.0);
            prop_assert_eq!(normalized_mutual_information(&a, &renamed).unwrap(), 1.0);
            prop_assert_eq!(adjusted_mutual_information(&a, &renamed).unwrap(), 1.0);
            prop_assert_eq!(clustering_accuracy(&a, &renamed).unwrap(), 1.0);
        }

        #[test]
        fn v_measure_is_the_harmonic_mean((a, b) in labellings()) {
            let (h, c) = (homogeneity(&a, &b).unwrap(), completeness(&a, &b).unwrap());
            let mean = if h + c == 0.0 { 0.0 } else { 2.0 * h * c / (h + c) };
            prop_assert!((v_measure(&a, &b).unwrap() - mean).abs() < 1e-12);
        }
    }

    #[test]
    fn the_expected_information_is_the_mean_over_all_permutations() {
        let truth = [0, 0, 0, 1, 1, 2];
        let mut predicted = vec![0, 0, 1, 1, 1, 2];
        let table = Contingency::new(&truth, &predicted).unwrap();
        let expected = expected_mutual_information(&table);
        let (mut sum, mut count) = (0.0, 0);
        permute(&mut predicted, 0, &mut |permuted| {
            sum += Information::of(&Contingency::new(&truth, permuted).unwrap()).mutual;
            count += 1;
        });
        assert_eq!(count, 720);
        assert!((expected - sum / 720.0).abs() < 1e-12);
    }

    fn permute(values: &mut Vec<usize>, from: usize, visit: &mut dyn FnMut(&[usize])) {
        if from == values.len() {
            visit(values);
        }
        for other in from..values.len() {
            values.swap(from, other);
            permute(values, from + 1, visit);
            values.swap(from, other);
        }
    }

    #[test]
    fn unusable_labels_are_refused() {
        for (name, metric, _) in SYMMETRIC {
            assert!(
                matches!(
                    metric(&[0, 1], &[0]),
                    Err(Error::LengthMismatch {
                        expected: 2,
                        found: 1,
                        ..
                    })
                ),
                "{name}"
            );
            assert!(
                matches!(metric(&[], &[]), Err(Error::EmptyInput { .. })),
                "{name}"
            );
        }
    }
}
