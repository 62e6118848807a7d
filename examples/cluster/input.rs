//! Reads counts, known types and batches.

use std::path::{Path, PathBuf};

use celldec::error::ParameterError;
use celldec::io::CellAnnotations;
use celldec::prelude::*;

use crate::arguments::Arguments;
use crate::labels;

/// What the command line names, read.
pub struct Input {
    pub counts: CountMatrix,
    /// The known type of every cell.
    pub types: Option<Vec<Option<String>>>,
    /// The batch of every cell.
    pub batches: Option<Vec<String>>,
}

pub fn read(arguments: &Arguments) -> Result<Input> {
    let (counts, annotations) = read_counts(arguments)?;
    let types = Column {
        file: arguments.labels.as_deref(),
        column: arguments.label_column.as_deref(),
        file_option: "--labels",
        column_option: "--label-column",
    }
    .read(arguments, &counts, &annotations)?;
    let batches = Column {
        file: arguments.batches.as_deref(),
        column: arguments.batch_column.as_deref(),
        file_option: "--batches",
        column_option: "--batch-column",
    }
    .read(arguments, &counts, &annotations)?
    .map(|batches| require_all(&counts, batches))
    .transpose()?;
    Ok(Input {
        counts,
        types,
        batches,
    })
}

/// Where a value for every cell comes from.
struct Column<'a> {
    file: Option<&'a Path>,
    column: Option<&'a str>,
    file_option: &'static str,
    column_option: &'static str,
}

impl Column<'_> {
    fn read(
        &self,
        arguments: &Arguments,
        counts: &CountMatrix,
        annotations: &CellAnnotations,
    ) -> Result<Option<Vec<Option<String>>>> {
        match (self.file, self.column) {
            (Some(file), column) => {
                let values = celldec::io::read_labels(file, column)?;
                let values = labels::join(counts.cell_names(), &values);
                if values.iter().all(Option::is_none) {
                    return Err(Error::format(
                        file,
                        None,
                        format!(
                            "no value for any cell of the input; its first column must hold cell \
                             names such as \"{}\"",
                            counts.cell_names().first().map_or("", String::as_str)
                        ),
                    ));
                }
                Ok(Some(values))
            }
            (None, Some(_)) if !is_h5ad(&arguments.input) => Err(conflict(format!(
                "{} without {} needs an .h5ad input; name the file with {}",
                self.column_option, self.file_option, self.file_option
            ))),
            (None, Some(column)) => match annotations.get(column) {
                Some(values) => Ok(Some(values.labels())),
                None => Err(conflict(format!(
                    "{}: obs has no column \"{column}\"; choose one of: {}",
                    arguments.input.display(),
                    annotations.names().collect::<Vec<_>>().join(", ")
                ))),
            },
            (None, None) => Ok(None),
        }
    }
}

fn conflict(reason: String) -> Error {
    ParameterError::Conflict { reason }.into()
}

/// Every cell needs a batch: there is nothing to scale the others by.
fn require_all(counts: &CountMatrix, batches: Vec<Option<String>>) -> Result<Vec<String>> {
    let missing = batches.iter().filter(|batch| batch.is_none()).count();
    match batches.iter().position(Option::is_none) {
        Some(cell) => Err(conflict(format!(
            "{missing} cells have no batch, the first is cell {}; name a batch for every cell",
            counts.cell_place(cell)
        ))),
        None => Ok(batches.into_iter().flatten().collect()),
    }
}

fn is_h5ad(path: &Path) -> bool {
    path.extension()
        .is_some_and(|extension| extension.eq_ignore_ascii_case("h5ad"))
}

/// Counts, and the annotations of their cells where the format has any.
fn read_counts(arguments: &Arguments) -> Result<(CountMatrix, CellAnnotations)> {
    let input: &PathBuf = &arguments.input;
    #[cfg(feature = "h5ad")]
    if is_h5ad(input) {
        let mut options = celldec::io::H5adOptions::new();
        if let Some(layer) = &arguments.layer {
            options = options.with_layer(layer);
        }
        if arguments.raw {
            options = options.with_raw();
        }
        let data = options.read(input)?;
        return Ok((data.counts, data.cell_annotations));
    }
    if (arguments.layer.is_some() || arguments.raw) && !is_h5ad(input) {
        return Err(conflict(
            "--layer and --raw need an .h5ad input; leave them out".into(),
        ));
    }
    let counts = celldec::io::read_counts(input)?;
    Ok((counts, CellAnnotations::default()))
}
