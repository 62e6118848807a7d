//! Results in an .h5ad file.

use std::path::PathBuf;

use celldec::io::{
    AnnotatedCounts, Annotation, CellResults, CountFormat, H5adResults, ResultKeys, check_writable,
    write_h5ad,
};
use celldec::prelude::*;
use ndarray::Array2;

use super::{Destination, Output};
use crate::input::{CellColumn, Counts, Input};

/// Refuses names that are taken in the input, of which the output is a copy, an input that nothing
/// can be added to, and an output that cannot be written.
pub fn check<'a>(
    destination: &Destination<'_>,
    input: &Input,
    keys: impl IntoIterator<Item = &'a ResultKeys>,
) -> Result<()> {
    if !destination.options.wants(Output::H5ad) {
        return Ok(());
    }
    let path = destination.h5ad_path();
    if input.format != CountFormat::H5ad {
        return check_writable(path);
    }
    let cells = input.counts.cell_names().len();
    let column = Array2::zeros((cells, 1));
    let anything = CellResults::new(vec![0; cells])
        .with_confidence(vec![0.0; cells])
        .with_embedding(column.clone())
        .with_soft_assignments(column)
        .with_details(serde_json::json!({}));
    let results = H5adResults::new().with_overwrite(destination.options.overwrite);
    keys.into_iter()
        .fold(results, |results, keys| {
            results.with(keys.clone(), anything.clone())
        })
        .check_writing(destination.file.path, path)
}

/// Writes results into a copy of the input, the input itself, or a new file, and gives its path.
pub fn write(
    destination: &Destination<'_>,
    input: Input,
    cells: &Cells,
    results: Vec<(ResultKeys, CellResults)>,
) -> Result<PathBuf> {
    // A layer holds all genes of the file's X.
    let in_obsm = cells.report().genes_dropped() > 0 || destination.file.is_raw();
    let mut file = H5adResults::new().with_overwrite(destination.options.overwrite);
    for (keys, pieces) in results {
        file = file.with(keys.with_denoised_in_obsm(in_obsm), pieces);
    }
    let path = destination.h5ad_path();
    if input.format == CountFormat::H5ad {
        file.write(destination.file.path, &path)?;
        return Ok(path);
    }
    let Counts::Memory(counts) = input.counts else {
        // Of all formats only the one that has just been written is left on disk.
        return Ok(path);
    };
    let mut data = AnnotatedCounts::new(counts);
    for CellColumn { name, values } in [input.types, input.batches].into_iter().flatten() {
        data = data.with_annotation(name, Annotation::Strings(values))?;
    }
    write_h5ad(&path, &data)?;
    file.write(&path, &path)?;
    Ok(path)
}
