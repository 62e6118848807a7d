//! Results in an .h5ad file.

use std::path::PathBuf;

use celldec::io::{
    AnnotatedCounts, Annotation, CellResults, CountFormat, H5adResults, ResultKeys, write_h5ad,
};
use celldec::nn::ReconstructionHead;
use celldec::prelude::*;
use ndarray::Array2;

use crate::arguments::{Arguments, Method};
use crate::counts::Counts;
use crate::input::{CellColumn, Input};
use crate::output::Found;

/// Refuses names that are taken in the input, of which the output is a copy.
pub fn check(arguments: &Arguments, input: &Input) -> Result<()> {
    if input.format != CountFormat::H5ad {
        return Ok(());
    }
    let method = match arguments.method {
        Method::Scdcc => "scdcc",
        Method::Desc => "desc",
    };
    check_names(arguments, input, &names(arguments, method))
}

/// As [`check`], of new cells.
pub fn check_names(arguments: &Arguments, input: &Input, names: &[Names]) -> Result<()> {
    if input.format != CountFormat::H5ad {
        return Ok(());
    }
    let cells = input.counts.cell_names().len();
    let column = Array2::zeros((cells, 1));
    let anything = CellResults::new(vec![0; cells])
        .with_confidence(vec![0.0; cells])
        .with_embedding(column.clone())
        .with_soft_assignments(column)
        .with_details(serde_json::json!({}));
    let mut results = H5adResults::new().with_overwrite(arguments.overwrite);
    for names in names {
        results = results.with(names.keys.clone(), anything.clone());
    }
    results.check(&arguments.input)
}

/// Under which names one clustering lies in the file.
pub struct Names {
    keys: ResultKeys,
    consensus: ResultKeys,
}

/// The names of every clustering, in their order.
pub fn names(arguments: &Arguments, method: &str) -> Vec<Names> {
    let key = arguments.key.as_deref().unwrap_or(method);
    let named = |name: String| Names {
        consensus: ResultKeys::new(format!("{name}_consensus")),
        keys: ResultKeys::new(name),
    };
    match &arguments.resolution[..] {
        resolutions if arguments.python_keys => resolutions
            .iter()
            .map(|&resolution| Names {
                keys: ResultKeys::desc(resolution),
                ..named(format!("desc_{resolution:?}"))
            })
            .collect(),
        [_, _, ..] => arguments
            .resolution
            .iter()
            .map(|resolution| named(format!("{key}_{resolution}")))
            .collect(),
        _ => vec![named(key.to_string())],
    }
}

/// Writes every clustering into one file and gives its path.
pub fn write_fits<H: ReconstructionHead>(
    arguments: &Arguments,
    input: Input,
    cells: &Cells,
    found: &[Found<H>],
) -> Result<PathBuf> {
    let method = found
        .first()
        .map_or("", |one| &one.fit.model().info().method);
    let mut results = Vec::new();
    for (names, one) in names(arguments, method).into_iter().zip(found) {
        let mut pieces = one.fit.results(cells)?;
        if arguments.denoised {
            let denoised = one.fit.model().denoise(cells)?;
            pieces = pieces.with_denoised(denoised, cells.gene_names().to_vec());
        }
        results.push((names.keys, pieces));
        if let Some(consensus) = &one.consensus {
            let pieces = CellResults::new(consensus.labels.clone())
                .with_kept_cells(cells.kept_cells().to_vec())
                .with_cell_names(cells.cell_names().to_vec())
                .with_confidence(consensus.agreement.clone())
                .with_details(serde_json::json!({
                    "runs": arguments.runs,
                    "first_seed": arguments.seed,
                    "mean_agreement": consensus.mean_agreement,
                    "stability": consensus.stability,
                }));
            results.push((names.consensus, pieces));
        }
    }
    write(arguments, input, cells, results)
}

/// Writes results into a copy of the input, the input itself, or a new file.
pub fn write(
    arguments: &Arguments,
    input: Input,
    cells: &Cells,
    results: Vec<(ResultKeys, CellResults)>,
) -> Result<PathBuf> {
    // A layer holds all genes of the file's X.
    let in_obsm = cells.report().genes_dropped() > 0 || arguments.raw;
    let mut file = H5adResults::new().with_overwrite(arguments.overwrite);
    for (keys, pieces) in results {
        file = file.with(keys.with_denoised_in_obsm(in_obsm), pieces);
    }
    let path = crate::output::h5ad_path(arguments);
    if input.format == CountFormat::H5ad {
        file.write(&arguments.input, &path)?;
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

/// Writes new cells and gives the path of the file.
pub fn write_new_cells<H: ReconstructionHead>(
    arguments: &Arguments,
    input: Input,
    cells: &Cells,
    pieces: CellResults,
    model: &FittedModel<H>,
) -> Result<PathBuf> {
    let names = names(arguments, &model.info().method);
    let results = names.into_iter().map(|names| (names.keys, pieces.clone()));
    write(arguments, input, cells, results.collect())
}
