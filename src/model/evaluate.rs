//! Embedding and soft assignment of all cells, without gradients.

use ndarray::{Array2, s};
use serde::{Deserialize, Serialize};

use crate::batches::Batches;
use crate::error::Result;
use crate::nn::{ClusteringLayer, Encoder};
use crate::selection::argmax;
use crate::tensors::tensor_to_array;

/// Cells per block: large enough for efficient products, small enough to stay in memory whatever
/// the number of cells.
const BLOCK: usize = 1024;

/// Embedding and soft assignment of all cells.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// Embedding `[cells, latent]`.
    #[serde(with = "crate::tensors::stored")]
    pub embedding: Array2<f32>,
    /// Soft assignment q `[cells, clusters]`; no columns without a clustering layer.
    #[serde(with = "crate::tensors::stored")]
    pub soft_assignments: Array2<f32>,
}

impl Evaluation {
    /// The column with the largest soft assignment of every cell, the first one of equals.
    pub fn labels(&self) -> Vec<usize> {
        hard_labels(&self.soft_assignments)
    }
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
/// Those of the source, when counts are read from one.
pub fn evaluate(
    encoder: &Encoder,
    clustering: Option<&ClusteringLayer>,
    batches: &Batches<'_>,
) -> Result<Evaluation> {
    let cells = batches.cells().cells();
    let latent = encoder.latent();
    let clusters = clustering.map_or(0, ClusteringLayer::clusters);
    let mut embedding = Array2::zeros((cells, latent));
    let mut soft_assignments = Array2::zeros((cells, clusters));
    batches.for_each_block(BLOCK, |block, batches| {
        let range = block[0]..block[0] + block.len();
        let z = encoder.forward(batches.network_input(block)?);
        if let Some(clustering) = clustering {
            let q = tensor_to_array(clustering.forward(z.clone()));
            soft_assignments.slice_mut(s![range.clone(), ..]).assign(&q);
        }
        embedding
            .slice_mut(s![range, ..])
            .assign(&tensor_to_array(z));
        Ok(())
    })?;
    Ok(Evaluation {
        embedding,
        soft_assignments,
    })
}
