//! Embedding and soft assignment of all cells, without gradients.

use ndarray::Array2;
use serde::{Deserialize, Serialize};

use crate::batches::Batches;
use crate::error::{Error, Result};
use crate::nn::{ClusteringLayer, Encoder};
use crate::selection::argmax;
use crate::tensors::RowsOnDevice;

/// Cells per block: large enough for efficient products, small enough to stay in memory whatever
/// the number of cells.
const BLOCK: usize = 1024;

/// Embedding and soft assignment of all cells.
///
/// Read with serde, both must be of the same cells.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Stored")]
pub struct Evaluation {
    /// Embedding `[cells, latent]`.
    #[serde(with = "crate::tensors::stored")]
    pub embedding: Array2<f32>,
    /// Soft assignment q `[cells, clusters]`; no columns without a clustering layer.
    #[serde(with = "crate::tensors::stored")]
    pub soft_assignments: Array2<f32>,
}

/// What is read, before it is checked.
#[derive(Deserialize)]
struct Stored {
    #[serde(with = "crate::tensors::stored")]
    embedding: Array2<f32>,
    #[serde(with = "crate::tensors::stored")]
    soft_assignments: Array2<f32>,
}

impl TryFrom<Stored> for Evaluation {
    type Error = Error;

    fn try_from(stored: Stored) -> Result<Self> {
        let Stored {
            embedding,
            soft_assignments,
        } = stored;
        check_columns("the embedding", &embedding)?;
        if embedding.nrows() != soft_assignments.nrows() {
            return Err(Error::LengthMismatch {
                what: "the soft assignments".into(),
                expected: embedding.nrows(),
                found: soft_assignments.nrows(),
            });
        }
        Ok(Self {
            embedding,
            soft_assignments,
        })
    }
}

impl Evaluation {
    /// The column with the largest soft assignment of every cell, the first one of equals.
    pub fn labels(&self) -> Vec<usize> {
        hard_labels(&self.soft_assignments)
    }
}

/// Refuses rows without values. There may be more of them than fit in memory.
pub(super) fn check_columns(what: &str, values: &Array2<f32>) -> Result<()> {
    if values.nrows() > 0 && values.ncols() == 0 {
        return Err(Error::EmptyInput {
            what: format!("every row of {what}"),
        });
    }
    Ok(())
}

/// The column with the largest value of every row, the first one of equals.
pub(crate) fn hard_labels(soft_assignments: &Array2<f32>) -> Vec<usize> {
    soft_assignments.rows().into_iter().map(argmax).collect()
}

/// Embeds all cells and, given a clustering layer, assigns them.
///
/// Works in blocks of cells; neither the decoder nor automatic differentiation is involved.
///
/// # Errors
/// Those of the source, when counts are read from one, and [`Error::Device`] when the device failed.
pub fn evaluate(
    encoder: &Encoder,
    clustering: Option<&ClusteringLayer>,
    batches: &Batches<'_>,
) -> Result<Evaluation> {
    let cells = batches.cells().cells();
    let latent = encoder.latent();
    let clusters = clustering.map_or(0, ClusteringLayer::clusters);
    let mut embedding = RowsOnDevice::new(cells, latent);
    let mut soft_assignments = RowsOnDevice::new(cells, clusters);
    batches.for_each_block(BLOCK, |block, batches| {
        let range = block[0]..block[0] + block.len();
        let z = encoder.forward(batches.network_input(block)?);
        if let Some(clustering) = clustering {
            soft_assignments.add(range.clone(), clustering.forward(z.clone()))?;
        }
        embedding.add(range, z)
    })?;
    Ok(Evaluation {
        embedding: embedding.read()?,
        soft_assignments: soft_assignments.read()?,
    })
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    #[test]
    fn an_evaluation_that_is_read_is_of_the_same_cells() {
        let read = |text: &str| serde_json::from_str::<Evaluation>(text);
        let evaluation = |embedding: &str, soft: &str| {
            format!(
                r#"{{"embedding":{{"shape":{embedding}}},"soft_assignments":{{"shape":{soft}}}}}"#
            )
        };
        for (embedding, soft) in [
            (r#"[1,1],"values":[0.0]"#, r#"[2,1],"values":[0.0,1.0]"#),
            (
                r#"[1,1],"values":[0.0]"#,
                r#"[4611686018427387904,0],"values":[]"#,
            ),
            (
                r#"[4611686018427387904,0],"values":[]"#,
                r#"[4611686018427387904,0],"values":[]"#,
            ),
        ] {
            let text = evaluation(embedding, soft);
            assert!(read(&text).is_err(), "{text}");
        }
        let whole = Evaluation {
            embedding: array![[0.5, 1.5], [2.5, 3.5]],
            soft_assignments: Array2::zeros((2, 0)),
        };
        let text = serde_json::to_string(&whole).unwrap();
        assert_eq!(read(&text).expect(&text), whole);
        assert_eq!(whole.labels(), [0, 0]);
    }
}
