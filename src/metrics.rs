//! How well a clustering agrees with known groups, and how well it separates the cells.
//! [`consensus`] says what several clusterings agree on.
//!
//! Labels are `&[usize]`, one per cell; only which cells share a label matters, so gaps are fine.
//! [`encode_labels`] makes them from names. The definitions are scikit-learn's.

mod agreement;
mod assignment;
mod consensus;
mod contingency;
mod silhouette;

pub use agreement::{
    adjusted_mutual_information, adjusted_rand_index, completeness, fowlkes_mallows, homogeneity,
    normalized_mutual_information, v_measure,
};
pub use assignment::{clustering_accuracy, match_clusters};
pub(crate) use consensus::best_jaccard;
pub use consensus::{Consensus, consensus};
pub use silhouette::{silhouette, silhouette_samples};

/// Numbers labels of any type by their sorted distinct values; returns the numbers `[cells]` and
/// the distinct values, so that `values[numbers[cell]]` is the label of a cell.
///
/// ```
/// use celldec::metrics::encode_labels;
///
/// let (numbers, names) = encode_labels(&["T cell", "B cell", "T cell"]);
/// assert_eq!(numbers, [1, 0, 1]);
/// assert_eq!(names, ["B cell", "T cell"]);
/// ```
pub fn encode_labels<T: Ord + Clone>(labels: &[T]) -> (Vec<usize>, Vec<T>) {
    let mut values: Vec<T> = labels.to_vec();
    values.sort_unstable();
    values.dedup();
    let numbers = labels
        .iter()
        .map(|label| values.partition_point(|value| value < label))
        .collect();
    (numbers, values)
}
