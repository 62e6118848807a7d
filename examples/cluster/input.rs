//! Reads counts, known types and batches.

use std::path::Path;

use celldec::io::{CellAnnotations, CountFormat, GeneNames, MtxOptions, TableOptions};
use celldec::prelude::*;

use crate::arguments::Arguments;
use crate::checks::conflict;
use crate::counts::Counts;
use crate::labels;

/// What the command line names, read.
pub struct Input {
    pub format: CountFormat,
    pub counts: Counts,
    pub types: Option<CellColumn>,
    pub batches: Option<CellColumn>,
}

/// A value for every cell, `None` where it is missing.
pub struct CellColumn {
    pub name: String,
    pub values: Vec<Option<String>>,
}

pub fn read(arguments: &Arguments) -> Result<Input> {
    let format = CountFormat::of(&arguments.input)?;
    check_options(arguments, format)?;
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
    types.check(format)?;
    batches.check(format)?;
    let wanted: Vec<&str> = [&types, &batches]
        .iter()
        .filter_map(|column| column.in_annotations())
        .collect();
    let (counts, annotations) = read_counts(arguments, format, &wanted)?;
    let types = types.read(&counts, &annotations)?;
    if let Some(types) = &types {
        refuse_identifiers(types)?;
    }
    let batches = batches.read(&counts, &annotations)?;
    if let Some(batches) = &batches {
        check_batches(&counts, batches, arguments.model.is_some())?;
    }
    Ok(Input {
        format,
        counts,
        types,
        batches,
    })
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

/// Refuses options that another format has.
fn check_options(arguments: &Arguments, format: CountFormat) -> Result<()> {
    let (mtx, tenx, h5ad, table) = (
        CountFormat::TenxMtx,
        CountFormat::TenxH5,
        CountFormat::H5ad,
        CountFormat::Table,
    );
    let options: [(&str, bool, &[CountFormat]); 9] = [
        ("--layer", arguments.layer.is_some(), &[h5ad]),
        ("--raw", arguments.raw, &[h5ad]),
        ("--in-place", arguments.in_place, &[h5ad]),
        ("--on-disk", arguments.on_disk, &[h5ad]),
        ("--genome", arguments.genome.is_some(), &[tenx]),
        (
            "--feature-type",
            arguments.feature_type.is_some(),
            &[mtx, tenx],
        ),
        ("--gene-ids", arguments.gene_ids, &[mtx, tenx]),
        ("--prefix", arguments.prefix.is_some(), &[mtx]),
        ("--transposed", arguments.transposed, &[table]),
    ];
    for (option, given, formats) in options {
        if given && !formats.contains(&format) {
            let formats: Vec<&str> = formats.iter().copied().map(name).collect();
            return Err(conflict(format!(
                "{option} is for {}, but {} is {}; leave it out",
                formats.join(" and "),
                arguments.input.display(),
                name(format)
            )));
        }
    }
    Ok(())
}

/// The format in words.
pub fn name(format: CountFormat) -> &'static str {
    match format {
        CountFormat::TenxMtx => "a 10x folder",
        CountFormat::TenxH5 => "a 10x .h5 file",
        CountFormat::H5ad => "an .h5ad file",
        _ => "a table",
    }
}

/// Where a value for every cell comes from.
struct Column<'a> {
    file: Option<&'a Path>,
    column: Option<&'a str>,
    file_option: &'static str,
    column_option: &'static str,
    /// The name of the values when none is given.
    fallback: &'static str,
}

impl Column<'_> {
    /// The column of the input's own annotations that is asked for.
    fn in_annotations(&self) -> Option<&str> {
        self.column.filter(|_| self.file.is_none())
    }

    fn check(&self, format: CountFormat) -> Result<()> {
        if self.in_annotations().is_some() && format != CountFormat::H5ad {
            return Err(conflict(format!(
                "{} without {} needs an .h5ad input; name a CSV file with {}",
                self.column_option, self.file_option, self.file_option
            )));
        }
        Ok(())
    }

    fn read(&self, counts: &Counts, annotations: &CellAnnotations) -> Result<Option<CellColumn>> {
        let name = self.column.unwrap_or(self.fallback).to_string();
        let Some(file) = self.file else {
            let column = self.column.and_then(|column| annotations.get(column));
            return Ok(column.map(|column| CellColumn {
                name,
                values: column.labels(),
            }));
        };
        let values = celldec::io::read_labels(file, self.column)?;
        let example = values.first().map(|(cell, _)| cell.clone());
        let values = labels::join(counts.cell_names(), &values);
        if values.iter().all(Option::is_none) {
            return Err(Error::format(
                file,
                None,
                format!(
                    "no value for any cell of the input: its first column holds names such as \
                     \"{}\", the cells have names such as \"{}\"",
                    example.unwrap_or_default(),
                    counts.first_name()
                ),
            ));
        }
        Ok(Some(CellColumn { name, values }))
    }
}

fn distinct(values: &[Option<String>]) -> Vec<&str> {
    let mut distinct: Vec<&str> = values.iter().flatten().map(String::as_str).collect();
    distinct.sort_unstable();
    distinct.dedup();
    distinct
}

/// A column with another value for nearly every cell holds no types.
fn refuse_identifiers(types: &CellColumn) -> Result<()> {
    let known = types.values.iter().flatten().count();
    let found = distinct(&types.values);
    if known == 0 {
        return Err(conflict(format!(
            "the column \"{}\" is empty; give another --label-column",
            types.name
        )));
    }
    if found.len() > 100 && found.len() * 4 > known {
        return Err(conflict(format!(
            "the column \"{}\" has {} different values for {known} cells, such as \"{}\": these are \
             no cell types; give another --label-column",
            types.name,
            found.len(),
            found[0]
        )));
    }
    Ok(())
}

/// Every cell needs a batch: there is nothing to scale the others by. New cells may be of a single
/// batch, those that a model is fitted to may not.
fn check_batches(counts: &Counts, batches: &CellColumn, new_cells: bool) -> Result<()> {
    let values = &batches.values;
    if let Some(cell) = values.iter().position(Option::is_none) {
        let missing = values.iter().filter(|batch| batch.is_none()).count();
        return Err(conflict(format!(
            "{missing} cells have no value in \"{}\", the first is cell {}; name a batch for every \
             cell",
            batches.name,
            counts.cell_place(cell)
        )));
    }
    let found = distinct(values);
    if found.len() < 2 && !new_cells {
        return Err(conflict(format!(
            "all cells are of one batch, \"{}\"; leave {} out",
            found.first().copied().unwrap_or_default(),
            "--batch-column and --batches"
        )));
    }
    if found.len() * 2 > values.len() && found.len() > 1 {
        return Err(conflict(format!(
            "the column \"{}\" has {} different values for {} cells, such as \"{}\": these are no \
             batches; give another --batch-column",
            batches.name,
            found.len(),
            values.len(),
            found[0]
        )));
    }
    Ok(())
}

/// Counts, and the wanted annotations of their cells.
fn read_counts(
    arguments: &Arguments,
    format: CountFormat,
    wanted: &[&str],
) -> Result<(Counts, CellAnnotations)> {
    let path = &arguments.input;
    let gene_names = match arguments.gene_ids {
        true => GeneNames::Ids,
        false => GeneNames::Symbols,
    };
    let counts = match format {
        CountFormat::TenxMtx => {
            let mut options = MtxOptions::new().with_gene_names(gene_names);
            if let Some(prefix) = &arguments.prefix {
                options = options.with_prefix(prefix);
            }
            match arguments.feature_type.as_deref() {
                None => options,
                Some("all") => options.with_all_feature_types(true),
                Some(one) => options.with_feature_type(one),
            }
            .read(path)?
        }
        CountFormat::Table => TableOptions::new()
            .with_transposed(arguments.transposed)
            .read(path)?,
        CountFormat::TenxH5 => read_10x_h5(arguments, gene_names)?,
        _ => return read_h5ad(arguments, wanted),
    };
    Ok((Counts::Memory(counts), CellAnnotations::default()))
}

#[cfg(feature = "h5ad")]
fn read_10x_h5(arguments: &Arguments, gene_names: GeneNames) -> Result<CountMatrix> {
    let mut options = celldec::io::TenxH5Options::new().with_gene_names(gene_names);
    if let Some(genome) = &arguments.genome {
        options = options.with_genome(genome);
    }
    match arguments.feature_type.as_deref() {
        None => options,
        Some("all") => options.with_all_feature_types(true),
        Some(one) => options.with_feature_type(one),
    }
    .read(&arguments.input)
}

#[cfg(feature = "h5ad")]
fn read_h5ad(arguments: &Arguments, wanted: &[&str]) -> Result<(Counts, CellAnnotations)> {
    let mut options = celldec::io::H5adOptions::new().with_annotations(wanted.iter().copied());
    if let Some(layer) = &arguments.layer {
        options = options.with_layer(layer);
    }
    if arguments.raw {
        options = options.with_raw();
    }
    if arguments.on_disk {
        let source = options.open(&arguments.input)?;
        let annotations = source.cell_annotations()?;
        return Ok((Counts::Disk(source.into()), annotations));
    }
    let data = options.read(&arguments.input)?;
    Ok((Counts::Memory(data.counts), data.cell_annotations))
}

/// Says what the build lacks.
#[cfg(not(feature = "h5ad"))]
fn read_10x_h5(arguments: &Arguments, _gene_names: GeneNames) -> Result<CountMatrix> {
    celldec::io::read_counts(&arguments.input)
}

/// Says what the build lacks.
#[cfg(not(feature = "h5ad"))]
fn read_h5ad(arguments: &Arguments, _wanted: &[&str]) -> Result<(Counts, CellAnnotations)> {
    let counts = celldec::io::read_counts(&arguments.input)?;
    Ok((Counts::Memory(counts), CellAnnotations::default()))
}
