//! Embedding and soft assignment of all cells, without gradients.

use burn::tensor::Tensor;
use ndarray::{Array2, s};

use crate::batches::Batches;
use crate::error::Result;
use crate::nn::{ClusteringLayer, Encoder};

/// Cells per block: large enough for efficient products, small enough to stay in memory whatever
/// the number of cells.
const BLOCK: usize = 1024;

/// Embedding and soft assignment of all cells.
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluation {
    /// Embedding `[cells, latent]`.
    pub embedding: Array2<f32>,
    /// Soft assignment q `[cells, clusters]`; no columns without a clustering layer.
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
    soft_assignments
        .rows()
        .into_iter()
        .map(|row| {
            let mut best = 0;
            for (column, &value) in row.iter().enumerate() {
                if value > row[best] {
                    best = column;
                }
            }
            best
        })
        .collect()
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
    let latent = encoder.layers.last().map_or(0, |layer| layer.outputs());
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

/// A tensor's values as an array of the same shape.
pub fn tensor_to_array(tensor: Tensor<2>) -> Array2<f32> {
    let [rows, columns] = tensor.dims();
    let data = tensor.into_data_as::<f32>();
    let values = data
        .as_slice::<f32>()
        .expect("data converted to f32 is f32")
        .to_vec();
    Array2::from_shape_vec((rows, columns), values)
        .expect("a tensor holds as many values as its shape")
}
