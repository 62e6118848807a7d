//! Parts of an .h5ad file in the words of the command line, and its annotations.

use std::path::Path;

use celldec::counts::CountSource;
use celldec::io::{CellAnnotations, H5adContents, H5adMatrix, H5adOptions};
use celldec::prelude::*;

/// The option that chooses a matrix; none is needed for X.
pub fn option(matrix: &H5adMatrix) -> Option<String> {
    match matrix {
        H5adMatrix::Layer(layer) if layer.contains(char::is_whitespace) => {
            Some(format!("--layer \"{layer}\""))
        }
        H5adMatrix::Layer(layer) => Some(format!("--layer {layer}")),
        H5adMatrix::Raw => Some("--raw".to_string()),
        _ => None,
    }
}

/// The names of all cells and some columns of obs.
///
/// Counts stay on disk, unless they are stored by genes.
pub fn read_columns(path: &Path, columns: &[&str]) -> Result<(Vec<String>, CellAnnotations)> {
    let matrices = H5adContents::of(path)?.matrices;
    let matrix = matrices.into_iter().next().map(|info| info.matrix);
    let options = H5adOptions::new()
        .with_matrix(matrix.unwrap_or_default())
        .with_annotations(columns.iter().copied());
    match options.open(path) {
        Ok(source) => Ok((source.cell_names().to_vec(), source.cell_annotations()?)),
        Err(_) => {
            let data = options.read(path)?;
            Ok((data.counts.cell_names().to_vec(), data.cell_annotations))
        }
    }
}
