//! Results as CSV files.

use std::path::Path;

use celldec::io::{write_blocks_csv, write_columns_csv, write_matrix_csv};
use celldec::model::{EpochRecord, FittedModel, loss_names};
use celldec::nn::ReconstructionHead;
use celldec::prelude::*;
use ndarray::ArrayView2;

/// What [`write_cells`] makes.
pub const CELL_FILES: &str = "labels.csv, soft_assignments.csv, embedding.csv";

/// Writes labels, soft assignments and embedding into a folder.
pub fn write_cells(
    folder: &Path,
    cells: &Cells,
    clusters: &Assignment,
    embedding: ArrayView2<'_, f32>,
) -> Result<()> {
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
pub fn write_history(path: &Path, history: &[EpochRecord]) -> Result<()> {
    let terms = loss_names(history);
    let column = |text: &dyn Fn(&EpochRecord) -> String| -> Vec<String> {
        history.iter().map(text).collect()
    };
    let optional = |value: Option<f64>| value.map(|value| value.to_string()).unwrap_or_default();
    let mut columns = vec![
        ("phase", column(&|record| record.phase.to_string())),
        ("epoch", column(&|record| record.epoch.to_string())),
    ];
    for term in &terms {
        let values = column(&|record| optional(record.loss(term)));
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

/// Writes a value for every cell and gene into a folder, some cells at a time, and gives the file's name.
pub fn write_denoised<H: ReconstructionHead>(
    folder: &Path,
    cells: &Cells,
    model: &FittedModel<H>,
) -> Result<String> {
    let file = "denoised.csv.gz";
    let path = folder.join(file);
    write_blocks_csv(path, cells.cell_names(), cells.gene_names(), |write| {
        model.denoise_blocks(cells, |_, values| write(values))
    })?;
    Ok(file.to_string())
}
