//! Reads counts, known types and batches.

mod columns;
mod counts;
pub mod h5ad;
mod reading;
mod table;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use celldec::io::{CellAnnotations, CountFormat};
use celldec::prelude::*;
use clap::Args;

pub use columns::CellColumn;
use columns::{Column, check_batches, refuse_identifiers};
pub use counts::Counts;
pub use reading::{CountFile, ReadArguments};

/// The cells to work on, and what is known about them.
#[derive(Debug, Args)]
pub struct CellArguments {
    /// Folder or file with raw counts.
    pub input: PathBuf,

    #[command(flatten)]
    pub reading: ReadArguments,
    /// Leave the counts of an .h5ad or 10x .h5 file on disk and read them part by part.
    ///
    /// For files that do not fit in memory. Training then shuffles blocks of cells, and cells within
    /// a buffer; results differ from those in memory as those of another seed do, unless all cells
    /// fit in one buffer (65 536 cells). There are no marker genes.
    #[arg(verbatim_doc_comment, long, help_heading = "Counts")]
    pub on_disk: bool,
    /// The column that names the batch of each cell: genes are scaled within each batch.
    ///
    /// A column of the .h5ad file's obs or, with --batches, of that file.
    #[arg(
        verbatim_doc_comment,
        long,
        value_name = "COLUMN",
        help_heading = "Counts"
    )]
    pub batch_column: Option<String>,
    /// A table with the batch of each cell (first column: barcodes).
    #[arg(long, value_name = "FILE", help_heading = "Counts")]
    pub batches: Option<PathBuf>,

    /// The column with known cell types, to compare the clusters with.
    ///
    /// A column of the .h5ad file's obs or, with --labels, of that file. Known types do not
    /// influence the clustering.
    #[arg(
        verbatim_doc_comment,
        long,
        value_name = "COLUMN",
        help_heading = "Comparison"
    )]
    pub label_column: Option<String>,
    /// A table with known cell types (first column: barcodes).
    #[arg(long, value_name = "FILE", help_heading = "Comparison")]
    pub labels: Option<PathBuf>,
}

impl CellArguments {
    /// The file of counts, checked as far as can be without reading it.
    pub fn file(&self) -> Result<CountFile<'_>> {
        let file = CountFile::new(&self.input, &self.reading)?;
        let on_disk = [CountFormat::H5ad, CountFormat::TenxH5];
        file.refuse("--on-disk", self.on_disk, &on_disk)?;
        Ok(file)
    }

    /// The tables that are read beside it.
    pub fn tables(&self) -> impl Iterator<Item = &Path> {
        let tables = [&self.labels, &self.batches];
        tables.into_iter().flatten().map(PathBuf::as_path)
    }
}

/// What the command line names, read.
pub struct Input {
    pub format: CountFormat,
    pub counts: Counts,
    pub types: Option<CellColumn>,
    pub batches: Option<CellColumn>,
}

/// What cells are read for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    Fit,
    /// New cells may be of a single batch.
    Map,
}

/// Reads counts and what is known about their cells.
///
/// `genes` are those of a model that the counts are for.
pub fn read(
    arguments: &CellArguments,
    file: &CountFile<'_>,
    purpose: Purpose,
    genes: Option<&[String]>,
) -> Result<Input> {
    let types = Column {
        file: arguments.labels.as_deref(),
        column: arguments.label_column.as_deref(),
        file_option: "--labels",
        column_option: "--label-column",
        fallback: "label",
    };
    let batches = Column {
        file: arguments.batches.as_deref(),
        column: arguments.batch_column.as_deref(),
        file_option: "--batches",
        column_option: "--batch-column",
        fallback: "batch",
    };
    types.check(file)?;
    batches.check(file)?;
    let wanted: Vec<&str> = [&types, &batches]
        .iter()
        .filter_map(|column| column.in_annotations())
        .collect();
    let (counts, annotations) =
        read_counts(file, arguments.on_disk, &wanted, genes).map_err(h5ad::explain)?;
    let types = types.read(&counts, &annotations)?;
    if let Some(types) = &types {
        refuse_identifiers(types)?;
    }
    let batches = batches.read(&counts, &annotations)?;
    if let Some(batches) = &batches {
        check_batches(&counts, batches, purpose)?;
    }
    Ok(Input {
        format: file.format,
        counts,
        types,
        batches,
    })
}

/// Counts, and the wanted annotations of their cells.
fn read_counts(
    file: &CountFile<'_>,
    on_disk: bool,
    wanted: &[&str],
    genes: Option<&[String]>,
) -> Result<(Counts, CellAnnotations)> {
    if !file.is_annotated() {
        let counts = if on_disk {
            Counts::Disk(Arc::new(file.tenx_h5_options().open(file.path)?))
        } else {
            Counts::Memory(file.read(genes)?)
        };
        return Ok((counts, CellAnnotations::default()));
    }
    if file.format != CountFormat::H5ad {
        let data = file.read_annotated()?;
        for name in wanted {
            if data.cell_annotations.get(name).is_none() {
                let there: Vec<&str> = data.cell_annotations.names().collect();
                let there = match there.as_slice() {
                    [] => "none".to_string(),
                    names => names.join(", "),
                };
                let reason = format!("no column \"{name}\"; there are: {there}");
                return Err(Error::format(file.path, None, reason));
            }
        }
        return Ok((Counts::Memory(data.counts), data.cell_annotations));
    }
    let options = file
        .h5ad_options(genes)
        .with_annotations(wanted.iter().copied());
    if on_disk {
        let source = options.open(file.path)?;
        let annotations = source.cell_annotations()?;
        return Ok((Counts::Disk(Arc::new(source)), annotations));
    }
    let data = options.read(file.path)?;
    Ok((Counts::Memory(data.counts), data.cell_annotations))
}

impl Input {
    /// The known type of each of these cells.
    pub fn types_of(&self, cells: &[usize]) -> Option<Vec<Option<String>>> {
        let types = self.types.as_ref()?;
        Some(
            cells
                .iter()
                .map(|&cell| types.values[cell].clone())
                .collect(),
        )
    }

    /// The batch of every cell; those without one have an empty name.
    pub fn batch_labels(&self) -> Option<Vec<String>> {
        let batches = self.batches.as_ref()?;
        Some(
            batches
                .values
                .iter()
                .map(|batch| batch.clone().unwrap_or_default())
                .collect(),
        )
    }
}
