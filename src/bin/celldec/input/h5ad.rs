//! Parts of an .h5ad file in the words of the command line, and its annotations.

use std::path::Path;

use celldec::counts::CountSource;
use celldec::io::{CellAnnotations, H5adContents, H5adMatrix, H5adOptions};
use celldec::prelude::*;

/// The option that chooses the matrix at a place of the file; none is needed for X.
pub fn option(place: &str) -> Option<String> {
    match place.strip_prefix("layers/") {
        Some(layer) if layer.contains(char::is_whitespace) => Some(format!("--layer \"{layer}\"")),
        Some(layer) => Some(format!("--layer {layer}")),
        None => (place == H5adMatrix::Raw.to_string()).then(|| "--raw".to_string()),
    }
}

/// An error that names the matrix that holds counts, with the option that reads it.
pub fn explain(error: Error) -> Error {
    match error {
        Error::CountsElsewhere {
            path,
            used,
            value,
            counts,
            ..
        } => Error::CountsElsewhere {
            option: option(&counts).unwrap_or_else(|| "leave --layer and --raw out".to_string()),
            path,
            used,
            value,
            counts,
        },
        other => other,
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
        .with_all_feature_types(true)
        .with_annotations(columns.iter().copied());
    match options.open(path) {
        Ok(source) => Ok((source.cell_names().to_vec(), source.cell_annotations()?)),
        Err(_) => {
            let data = options.read(path)?;
            Ok((data.counts.cell_names().to_vec(), data.cell_annotations))
        }
    }
}
