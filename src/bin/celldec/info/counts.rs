//! What is in a file of counts.

use std::fmt;
use std::path::Path;

use celldec::counts::CountSource;
use celldec::io::{Annotation, CellAnnotations, CountFormat, H5adContents, H5adMatrix};
use celldec::prelude::*;
use celldec::train::DataSize;

use crate::console::Console;
use crate::exit;
use crate::input::h5ad;
use crate::input::{CountFile, ReadArguments};

/// Genes named on the screen.
const NAMED: usize = 5;

/// Prints what a file of counts holds.
pub fn print(console: &Console, path: &Path, options: &ReadArguments) -> Result<()> {
    let file = CountFile::new(path, options)?;
    if file.format != CountFormat::H5ad {
        let (counts, annotations) = if file.is_annotated() {
            let data = file.read_annotated()?;
            (data.counts, data.cell_annotations)
        } else {
            (file.read(None)?, CellAnnotations::default())
        };
        console.answer(format_args!("{}: {}", path.display(), file.format_name()));
        console.answer(format_args!("  counts        {}", Summary::of(&counts)?));
        print_genes(console, counts.gene_names());
        if !annotations.is_empty() {
            console.answer("  annotations");
        }
        for (name, annotation) in annotations.iter() {
            console.answer(format_args!("    {name:<26} {}", describe(annotation)));
        }
        return Ok(());
    }
    let contents = H5adContents::of(path)?;
    let matrices = match (&options.layer, options.raw) {
        (Some(layer), _) => vec![read_chosen(&file, H5adMatrix::Layer(layer.clone()))?],
        (None, true) => vec![read_chosen(&file, H5adMatrix::Raw)?],
        (None, false) => contents
            .matrices
            .into_iter()
            .map(|info| (summarize(&file, &info.matrix), info.matrix))
            .collect(),
    };
    console.answer(format_args!("{}: {}", path.display(), file.format_name()));
    print_matrices(console, path, matrices);
    print_annotations(console, path, &contents.annotations);
    if !contents.embeddings.is_empty() {
        console.answer(format_args!(
            "  embeddings    {}",
            contents.embeddings.join(", ")
        ));
    }
    Ok(())
}

/// A matrix in figures, or why it holds no counts.
type Described = (Result<Summary>, H5adMatrix);

/// A matrix that was asked for must be there.
fn read_chosen(file: &CountFile<'_>, matrix: H5adMatrix) -> Result<Described> {
    Ok((Ok(summarize(file, &matrix)?), matrix))
}

/// One line for every matrix, and which of them holds raw counts.
fn print_matrices(console: &Console, path: &Path, matrices: Vec<Described>) {
    console.answer("  matrices");
    let mut raw_counts = Vec::new();
    for (summary, matrix) in matrices {
        let name = match &matrix {
            H5adMatrix::Layer(layer) => format!("layer {layer}"),
            other => other.to_string(),
        };
        let option = h5ad::option(&matrix.to_string()).unwrap_or_default();
        let text = match summary {
            Ok(summary) => {
                if summary.fractional.is_none() {
                    raw_counts.push(option);
                }
                summary.to_string()
            }
            Err(error) => problem(path, &error),
        };
        console.answer(format_args!("    {name:<26} {text}"));
    }
    // Nothing need be said where X, which needs no option, holds counts.
    if let Some(option) = raw_counts.first().filter(|option| !option.is_empty()) {
        console.answer(format_args!("  raw counts    read with {option}"));
    }
}

/// Counts stay on disk, unless they are stored by genes.
fn summarize(file: &CountFile<'_>, matrix: &H5adMatrix) -> Result<Summary> {
    let options = file
        .h5ad_options(None)
        .with_matrix(matrix.clone())
        .with_annotations::<String>([]);
    match options.open(file.path) {
        Ok(source) => Summary::of(&source),
        Err(_) => Summary::of(&options.read(file.path)?.counts),
    }
}

fn print_annotations(console: &Console, path: &Path, columns: &[String]) {
    if columns.is_empty() {
        return;
    }
    console.answer("  annotations");
    let names: Vec<&str> = columns.iter().map(String::as_str).collect();
    let all = h5ad::read_columns(path, &names);
    for &name in &names {
        let text = match &all {
            Ok((_, annotations)) => annotations.get(name).map(describe).unwrap_or_default(),
            // One that cannot be read spoils them all.
            Err(_) => match h5ad::read_columns(path, &[name]) {
                Ok((_, annotations)) => annotations.get(name).map(describe).unwrap_or_default(),
                Err(error) => problem(path, &error),
            },
        };
        console.answer(format_args!("    {name:<26} {text}"));
    }
}

/// What is wrong with a part of the file whose name stands above.
fn problem(path: &Path, error: &Error) -> String {
    let message = exit::message(error);
    match message.strip_prefix(&format!("{}: ", path.display())) {
        Some(rest) => rest.to_string(),
        None => message,
    }
}

/// What a column holds.
fn describe(annotation: &Annotation) -> String {
    let mut values: Vec<String> = annotation.labels().into_iter().flatten().collect();
    let missing = annotation.len() - values.len();
    values.sort_unstable();
    values.dedup();
    let kind = match annotation {
        Annotation::Categorical { .. } => "categories",
        Annotation::Integers(_) => "whole numbers",
        Annotation::Floats(_) => "numbers",
        Annotation::Booleans(_) => "truth values",
        _ => "texts",
    };
    let mut text = format!("{} different {kind}", values.len());
    if missing > 0 {
        text += &format!(", missing in {missing} cells");
    }
    text
}

fn print_genes(console: &Console, names: &[String]) {
    let first: Vec<&str> = names.iter().take(NAMED).map(String::as_str).collect();
    let more = if names.len() > NAMED { ", …" } else { "" };
    console.answer(format_args!("  genes         {}{more}", first.join(", ")));
}

/// A matrix in figures.
struct Summary {
    cells: usize,
    genes: usize,
    /// Entries that are not zero.
    stored: usize,
    largest: f32,
    /// The first value that is not a whole number.
    fractional: Option<f32>,
}

impl Summary {
    fn of(source: &dyn CountSource) -> Result<Self> {
        let mut summary = Self {
            cells: source.cell_names().len(),
            genes: source.gene_names().len(),
            stored: 0,
            largest: 0.0,
            fractional: None,
        };
        for start in (0..summary.cells).step_by(source.block()) {
            let end = summary.cells.min(start + source.block());
            let rows = source.read_window(start..end)?;
            for row in 0..rows.cells() {
                let (_, values) = rows.row(row);
                summary.stored += values.len();
                summary.largest = values.iter().copied().fold(summary.largest, f32::max);
                let mut fractional = values.iter().copied().filter(|value| value.fract() != 0.0);
                summary.fractional = summary.fractional.or_else(|| fractional.next());
            }
        }
        Ok(summary)
    }
}

impl Summary {
    /// How much memory a fit takes with counts in memory, and with counts on disk where that is less.
    fn memory(&self) -> String {
        let Self {
            cells,
            genes,
            stored,
            ..
        } = *self;
        let plan = Plan::scdcc_auto();
        let peak = |data: DataSize| plan.memory(&data).peak();
        let in_memory = peak(DataSize::in_memory(cells, genes, stored));
        let on_disk = peak(DataSize::on_disk(cells, genes, stored));
        let megabytes = |bytes: u64| bytes.div_ceil(1_000_000);
        if on_disk < in_memory {
            format!(
                "{} MB of memory ({} MB with --on-disk)",
                megabytes(in_memory),
                megabytes(on_disk)
            )
        } else {
            format!("{} MB of memory", megabytes(in_memory))
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let entries = self.cells as f64 * self.genes as f64;
        write!(
            f,
            "{} cells × {} genes, {} values not zero ({:.1} %), ",
            self.cells,
            self.genes,
            self.stored,
            100.0 * self.stored as f64 / entries
        )?;
        match self.fractional {
            None => write!(
                f,
                "whole numbers up to {}, a fit takes about {}",
                self.largest,
                self.memory()
            ),
            Some(value) => write!(f, "not whole numbers, such as {value}: no raw counts"),
        }
    }
}
