//! Tests of the whole preprocessing, and what they share.

mod behaviour;
mod defaults;
mod faults;
mod properties;

use ndarray::Array2;
use rand::RngExt;

use super::*;
use crate::counts::CountMatrix;
use crate::random::{Purpose, stream};

/// Counts of cells that differ in depth and of genes that differ in mean and spread.
pub(super) fn simulated(cells: usize, genes: usize, seed: u64) -> CountMatrix {
    let mut dense = Array2::zeros((cells, genes));
    for cell in 0..cells {
        let mut random = stream(seed, Purpose::Simulation, 0, cell as u64);
        let depth: f64 = 1.0 + 2.0 * random.random::<f64>();
        for gene in 0..genes {
            let spread: f64 = random.random::<f64>().powi(1 + (gene % 5) as i32);
            let mean = depth * (1 + gene % 7) as f64 * 0.5;
            dense[[cell, gene]] = (mean * spread).floor() as f32;
        }
        dense[[cell, cell % genes]] += 1.0;
    }
    named(dense)
}

pub(super) fn named(dense: Array2<f32>) -> CountMatrix {
    let (cells, genes) = dense.dim();
    CountMatrix::from_dense(dense.view())
        .unwrap()
        .with_names(
            (0..cells).map(|i| format!("cell{i}")).collect(),
            (0..genes).map(|i| format!("gene{i}")).collect(),
        )
        .unwrap()
}

pub(super) fn recipes() -> [Preprocess; 3] {
    [
        Preprocess::scdcc_reference(),
        Preprocess::desc_reference().with_variable_genes(VariableGenes::seurat(10)),
        Preprocess::desc_reference().with_variable_genes(VariableGenes::seurat_v3(10)),
    ]
}

pub(super) fn bits(cells: &Cells) -> Vec<u32> {
    cells
        .to_dense_input()
        .unwrap()
        .iter()
        .map(|v| v.to_bits())
        .collect()
}
