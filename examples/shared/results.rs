//! Writes what a fit found as CSV files.

use std::path::Path;

use celldec::io::{write_columns_csv, write_matrix_csv};
use celldec::model::EpochRecord;
use celldec::nn::ReconstructionHead;
use celldec::prelude::*;
use ndarray::ArrayView2;

/// The files that [`write()`] makes.
pub const FILES: &str = "labels.csv, soft_assignments.csv, embedding.csv, history.csv";

/// Writes labels, soft assignments, embedding and the history of training into a folder.
pub fn write<H: ReconstructionHead>(folder: &Path, cells: &Cells, fit: &Fit<H>) -> Result<()> {
    write_cells(folder, cells, fit.clusters(), fit.embedding())?;
    write_history(&folder.join("history.csv"), fit.history())
}

/// Writes labels, soft assignments and embedding into a folder.
pub fn write_cells(
    folder: &Path,
    cells: &Cells,
    clusters: &Assignment,
    embedding: ArrayView2<'_, f32>,
) -> Result<()> {
    std::fs::create_dir_all(folder).map_err(|source| Error::io(folder, source))?;
    write_columns_csv(
        folder.join("labels.csv"),
        &[
            ("cell", cells.cell_names()),
            ("cluster", &texts(clusters.labels())),
            ("confidence", &texts(&clusters.confidence())),
        ],
    )?;
    let numbered = |prefix: &str, count: usize| -> Vec<String> {
        (0..count)
            .map(|number| format!("{prefix}{number}"))
            .collect()
    };
    write_matrix_csv(
        folder.join("soft_assignments.csv"),
        cells.cell_names(),
        &numbered("cluster_", clusters.count()),
        clusters.soft(),
    )?;
    write_matrix_csv(
        folder.join("embedding.csv"),
        cells.cell_names(),
        &numbered("z_", embedding.ncols()),
        embedding,
    )
}

/// One line for every epoch, one column for every term that occurs in any of them.
fn write_history(path: &Path, history: &[EpochRecord]) -> Result<()> {
    let mut terms: Vec<&str> = Vec::new();
    for (name, _) in history.iter().flat_map(|record| &record.losses) {
        if !terms.contains(&name.as_str()) {
            terms.push(name);
        }
    }
    let column = |text: &dyn Fn(&EpochRecord) -> String| -> Vec<String> {
        history.iter().map(text).collect()
    };
    let optional = |value: Option<f64>| value.map(|value| value.to_string()).unwrap_or_default();
    let mut columns = vec![
        ("phase", column(&|record| record.phase.to_string())),
        ("epoch", column(&|record| record.epoch.to_string())),
    ];
    for term in terms {
        let values = column(&|record| {
            let loss = record.losses.iter().find(|(name, _)| name == term);
            optional(loss.map(|(_, value)| *value))
        });
        columns.push((term, values));
    }
    columns.push(("changed_labels", column(&|record| optional(record.changed))));
    columns.push(("seconds", column(&|record| record.seconds.to_string())));
    let columns: Vec<(&str, &[String])> = columns
        .iter()
        .map(|(name, values)| (*name, values.as_slice()))
        .collect();
    write_columns_csv(path, &columns)
}

/// Values as text.
pub fn texts<T: ToString>(values: &[T]) -> Vec<String> {
    values.iter().map(T::to_string).collect()
}
