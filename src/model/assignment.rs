//! Cells assigned to clusters.

use ndarray::{Array2, ArrayView2};
use serde::{Deserialize, Serialize};

use super::evaluate::{check_columns, hard_labels};
use crate::error::{Error, Result};

/// Cells assigned to clusters.
///
/// Labels are columns of the soft assignments: a cluster that lost all its cells keeps its
/// column, so labels and columns never disagree.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Stored", into = "Stored")]
pub struct Assignment {
    labels: Vec<usize>,
    soft: Array2<f32>,
}

/// What is stored: labels follow from it.
#[derive(Serialize, Deserialize)]
struct Stored {
    #[serde(with = "crate::tensors::stored")]
    soft: Array2<f32>,
}

impl From<Assignment> for Stored {
    fn from(assignment: Assignment) -> Self {
        Self {
            soft: assignment.soft,
        }
    }
}

impl TryFrom<Stored> for Assignment {
    type Error = Error;

    fn try_from(stored: Stored) -> Result<Self> {
        Self::from_soft(stored.soft)
    }
}

impl Assignment {
    /// From soft assignments `[cells, clusters]`; the label is the largest column.
    ///
    /// # Errors
    /// [`Error::NonFiniteValue`] for a value that is NaN or infinite, [`Error::EmptyInput`] for cells
    /// without columns: such a cell has no label.
    pub fn from_soft(soft: Array2<f32>) -> Result<Self> {
        check_columns("the soft assignment", &soft)?;
        check_finite("the soft assignment", &soft)?;
        Ok(Self {
            labels: hard_labels(&soft),
            soft,
        })
    }

    /// Label of every cell, below [`count`](Self::count).
    pub fn labels(&self) -> &[usize] {
        &self.labels
    }

    /// Soft assignments q `[cells, clusters]`, rows summing to 1.
    pub fn soft(&self) -> ArrayView2<'_, f32> {
        self.soft.view()
    }

    /// Largest soft assignment of every cell.
    pub fn confidence(&self) -> Vec<f32> {
        self.labels
            .iter()
            .enumerate()
            .map(|(cell, &label)| self.soft[[cell, label]])
            .collect()
    }

    /// Number of clusters, empty ones included.
    pub fn count(&self) -> usize {
        self.soft.ncols()
    }

    /// Number of cells in every cluster.
    pub fn sizes(&self) -> Vec<usize> {
        let mut sizes = vec![0; self.count()];
        for &label in &self.labels {
            sizes[label] += 1;
        }
        sizes
    }
}

/// Refuses values that are NaN or infinite: what a damaged or diverged network computes.
pub(super) fn check_finite(what: &str, values: &Array2<f32>) -> Result<()> {
    match values.indexed_iter().find(|(_, value)| !value.is_finite()) {
        None => Ok(()),
        Some(((row, column), _)) => Err(Error::NonFiniteValue {
            what: what.into(),
            row,
            column,
        }),
    }
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    #[test]
    fn cells_without_clusters_have_no_label() {
        let error = Assignment::from_soft(Array2::zeros((3, 0))).unwrap_err();
        assert!(matches!(error, Error::EmptyInput { .. }), "{error}");
        assert_eq!(
            Assignment::from_soft(Array2::zeros((0, 0)))
                .unwrap()
                .sizes(),
            [0usize; 0]
        );
    }

    #[test]
    fn an_assignment_that_is_read_is_checked() {
        let read = |text: &str| serde_json::from_str::<Assignment>(text);
        for text in [
            r#"{"soft":{"shape":[4611686018427387904,0],"values":[]}}"#,
            r#"{"soft":{"shape":[2,2],"values":[1.0,0.0,0.5]}}"#,
            r#"{"soft":{"shape":[1,1],"values":[null]}}"#,
            r#"{"soft":{"shape":[1,1],"values":[1e39]}}"#,
        ] {
            assert!(read(text).is_err(), "{text}");
        }
        let assignment = Assignment::from_soft(array![[0.25, 0.75], [1.0, 0.0]]).unwrap();
        let text = serde_json::to_string(&assignment).unwrap();
        assert_eq!(read(&text).expect(&text), assignment);
    }
}
