//! Results in an .h5ad file.

use std::path::{Path, PathBuf};

use celldec::io::{
    AnnotatedCounts, Annotation, CellResults, CountFormat, H5adResults, ResultKeys, check_writable,
    write_h5ad,
};
use celldec::prelude::*;
use ndarray::{Array2, aview2};

use super::{Destination, Output};
use crate::input::{CellColumn, Counts, Input};
use crate::refusal::conflict;

/// Refuses names that are taken in the input, of which the output is a copy, or by its types and
/// batches; an input that nothing can be added to, and an output that cannot be written.
pub fn check<'a>(
    destination: &Destination<'_>,
    input: &Input,
    keys: impl IntoIterator<Item = &'a ResultKeys>,
) -> Result<()> {
    if !destination.options.wants(Output::H5ad) {
        return Ok(());
    }
    let path = destination.h5ad_path();
    // Pieces of no cell yet: the names that they take and how wide they are is all that counts.
    let column = Array2::zeros((0, 1));
    let mut anything = CellResults::new(Vec::new())
        .with_kept_cells(Vec::new())
        .with_confidence(Vec::new())
        .with_embedding(column.clone())
        .with_soft_assignments(column)
        .with_details(serde_json::json!({}));
    let mut places = vec![true];
    let is_copy = input.format == CountFormat::H5ad;
    if destination.options.denoised && is_copy {
        let genes = input.counts.gene_names();
        anything = anything.with_denoised(Array2::zeros((0, genes.len())), genes.to_vec());
        // Preprocessing may yet drop genes, so that there can be no layer.
        if fits_a_layer(destination, genes) {
            places.push(false);
        }
    }
    let keys: Vec<&ResultKeys> = keys.into_iter().collect();
    let results = |in_obsm| {
        let results = H5adResults::new().with_overwrite(destination.options.overwrite);
        keys.iter().fold(results, |results, &keys| {
            let keys = keys.clone().with_denoised_in_obsm(in_obsm);
            results.with(keys, anything.clone())
        })
    };
    if !is_copy {
        check_writable(&path)?;
        return check_outline(&results(true), input, &path);
    }
    places
        .into_iter()
        .try_for_each(|in_obsm| results(in_obsm).check_writing(destination.file.path, &path))
}

/// Checks results against a file of one cell with the columns that a new file will have.
fn check_outline(results: &H5adResults, input: &Input, path: &Path) -> Result<()> {
    let columns = [&input.types, &input.batches].map(Option::as_ref);
    if let [Some(types), Some(batches)] = columns
        && types.name == batches.name
        && types.values != batches.values
    {
        return Err(conflict(format!(
            "types and batches are both called \"{}\" in the .h5ad file; rename one of the columns",
            types.name
        )));
    }
    let folder = tempfile::tempdir().map_err(|error| Error::io(path, error))?;
    let outline = folder.path().join("outline.h5ad");
    let counts = CountMatrix::from_dense(aview2(&[[1.0]]))?;
    let mut data = AnnotatedCounts::new(counts);
    for CellColumn { name, .. } in columns.into_iter().flatten() {
        data = data.with_annotation(name, Annotation::Strings(vec![None]))?;
    }
    write_h5ad(&outline, &data)
        .and_then(|()| results.check(&outline))
        .map_err(|error| match error {
            Error::Format { line, reason, .. } => Error::format(path, line, reason),
            other => other,
        })
}

/// Whether these are all genes of the X of an .h5ad input by the names that they have there, as a
/// layer needs them: those of `raw` are others, and a column may have named them otherwise.
fn fits_a_layer(destination: &Destination<'_>, genes: &[String]) -> bool {
    let of_no_cell = CellResults::new(Vec::new())
        .with_kept_cells(Vec::new())
        .with_denoised(Array2::zeros((0, genes.len())), genes.to_vec());
    let layer = H5adResults::new()
        .with_overwrite(true)
        .with(ResultKeys::new("denoised"), of_no_cell);
    !destination.file.is_raw() && layer.check(destination.file.path).is_ok()
}

/// Writes results into a copy of the input, the input itself, or a new file, and gives its path.
pub fn write(
    destination: &Destination<'_>,
    input: Input,
    cells: &Cells,
    results: Vec<(ResultKeys, CellResults)>,
) -> Result<PathBuf> {
    let in_obsm = cells.report().genes_dropped() > 0
        || (input.format == CountFormat::H5ad && !fits_a_layer(destination, cells.gene_names()));
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
