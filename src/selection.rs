//! Which of several numbers: the middle one, the largest, pairs of the least cost.

use ndarray::ArrayView2;

/// The median, the mean of the two middle values for an even number of them; 0 for none.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => 0.0,
        n if n % 2 == 1 => sorted[n / 2],
        n => 0.5 * (sorted[n / 2 - 1] + sorted[n / 2]),
    }
}

/// The position of the largest value, the first one of equals; 0 for none.
pub(crate) fn argmax<T: PartialOrd>(values: impl IntoIterator<Item = T>) -> usize {
    let mut best: Option<(usize, T)> = None;
    for (position, value) in values.into_iter().enumerate() {
        if best.as_ref().is_none_or(|(_, largest)| value > *largest) {
            best = Some((position, value));
        }
    }
    best.map_or(0, |(position, _)| position)
}

/// Matches rows and columns of `costs` one to one: the pair of the least cost first, then the least
/// among the rows and columns that are left, until either runs out; of equal costs the first row,
/// then the first column.
pub(crate) fn match_greedily(costs: ArrayView2<f64>) -> Vec<(usize, usize)> {
    let mut pairs: Vec<((usize, usize), f64)> = costs
        .indexed_iter()
        .map(|(pair, &cost)| (pair, cost))
        .collect();
    // A stable sort: pairs come by row, then by column.
    pairs.sort_by(|a, b| a.1.total_cmp(&b.1));
    let (mut row_taken, mut column_taken) =
        (vec![false; costs.nrows()], vec![false; costs.ncols()]);
    pairs.retain(|&((row, column), _)| {
        let free = !row_taken[row] && !column_taken[column];
        if free {
            (row_taken[row], column_taken[column]) = (true, true);
        }
        free
    });
    pairs.into_iter().map(|(pair, _)| pair).collect()
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    #[test]
    fn median_of_odd_even_and_none() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert_eq!(median(&[]), 0.0);
    }

    #[test]
    fn the_first_of_equal_values_is_the_largest() {
        assert_eq!(argmax([1.0, 3.0, 3.0, 2.0]), 1);
        assert_eq!(argmax([1.0, f64::NAN, 2.0]), 2);
        assert_eq!(argmax::<f64>([]), 0);
    }

    #[test]
    fn pairs_of_least_cost_are_matched_first() {
        let costs = array![[1.0, 2.0, 9.0], [0.5, 3.0, 3.0]];
        assert_eq!(match_greedily(costs.view()), [(1, 0), (0, 1)]);
        assert_eq!(match_greedily(costs.t()), [(0, 1), (1, 0)]);
        let equal = array![[1.0, 1.0], [1.0, 1.0]];
        assert_eq!(match_greedily(equal.view()), [(0, 0), (1, 1)]);
    }
}
