//! How often each pair of a true and a predicted label occurs.

use super::encode_labels;
use crate::error::{Error, Result};

/// The contingency table of two labellings, without its zeros.
pub(super) struct Contingency {
    /// Number of cells.
    pub cells: usize,
    /// Cells of every true label.
    pub truth: Vec<usize>,
    /// Cells of every predicted label.
    pub predicted: Vec<usize>,
    /// (true label, predicted label, cells), sorted.
    pub shared: Vec<(usize, usize, usize)>,
}

impl Contingency {
    /// Of two labellings of the same cells.
    pub fn new(truth: &[usize], predicted: &[usize]) -> Result<Self> {
        if truth.len() != predicted.len() {
            return Err(Error::LengthMismatch {
                what: "the list of predicted labels".into(),
                expected: truth.len(),
                found: predicted.len(),
            });
        }
        if truth.is_empty() {
            return Err(Error::EmptyInput {
                what: "the list of labels".into(),
            });
        }
        let (truth, truth_values) = encode_labels(truth);
        let (predicted, predicted_values) = encode_labels(predicted);
        let mut pairs: Vec<(usize, usize)> = truth.into_iter().zip(predicted).collect();
        pairs.sort_unstable();
        let mut table = Self {
            cells: pairs.len(),
            truth: vec![0; truth_values.len()],
            predicted: vec![0; predicted_values.len()],
            shared: Vec::new(),
        };
        for run in pairs.chunk_by(|a, b| a == b) {
            let (row, column) = run[0];
            table.truth[row] += run.len();
            table.predicted[column] += run.len();
            table.shared.push((row, column, run.len()));
        }
        Ok(table)
    }

    /// Whether both labellings put the same cells together.
    pub fn is_identical(&self) -> bool {
        self.shared.len() == self.truth.len() && self.shared.len() == self.predicted.len()
    }
}
