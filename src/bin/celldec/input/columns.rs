//! A value for every cell: known types, batches.

use std::collections::HashSet;
use std::path::Path;

use celldec::io::CellAnnotations;
use celldec::prelude::*;

use super::{CountFile, Counts, Purpose};
use crate::known;
use crate::refusal::{conflict, naming_column};

/// A value for every cell, `None` where it is missing.
pub struct CellColumn {
    pub name: String,
    pub values: Vec<Option<String>>,
}

/// Where a value for every cell comes from.
pub struct Column<'a> {
    pub file: Option<&'a Path>,
    pub column: Option<&'a str>,
    pub file_option: &'static str,
    pub column_option: &'static str,
    /// The name of the values when none is given.
    pub fallback: &'static str,
}

impl Column<'_> {
    /// The column of the input's own annotations that is asked for.
    pub fn in_annotations(&self) -> Option<&str> {
        self.column.filter(|_| self.file.is_none())
    }

    pub fn check(&self, file: &CountFile<'_>) -> Result<()> {
        if self.in_annotations().is_some() && !file.is_annotated() {
            return Err(conflict(format!(
                "{} without {} needs an .h5ad input; name a CSV file with {}",
                self.column_option, self.file_option, self.file_option
            )));
        }
        Ok(())
    }

    pub fn read(
        &self,
        counts: &Counts,
        annotations: &CellAnnotations,
    ) -> Result<Option<CellColumn>> {
        let name = self.column.unwrap_or(self.fallback).to_string();
        let Some(file) = self.file else {
            let column = self.column.and_then(|column| annotations.get(column));
            return Ok(column.map(|column| CellColumn {
                name,
                values: column.labels(),
            }));
        };
        if let Some(name) = repeated(counts.cell_names()) {
            return Err(conflict(format!(
                "{} finds cells by name, but the input has several of the name \"{name}\"; make the \
                 names of its cells unique",
                self.file_option
            )));
        }
        let values = celldec::io::read_labels(file, self.column)
            .map_err(|error| naming_column(error, &format!("with {}", self.column_option)))?;
        let example = values.first().map(|(cell, _)| cell.clone());
        let values = known::join(counts.cell_names(), &values);
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

/// A name that occurs more than once.
fn repeated(names: &[String]) -> Option<&str> {
    let mut seen = HashSet::with_capacity(names.len());
    names
        .iter()
        .map(String::as_str)
        .find(|name| !seen.insert(*name))
}

fn distinct(values: &[Option<String>]) -> Vec<&str> {
    let mut distinct: Vec<&str> = values.iter().flatten().map(String::as_str).collect();
    distinct.sort_unstable();
    distinct.dedup();
    distinct
}

/// A column with another value for nearly every cell holds no types.
pub fn refuse_identifiers(types: &CellColumn) -> Result<()> {
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
pub fn check_batches(counts: &Counts, batches: &CellColumn, purpose: Purpose) -> Result<()> {
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
    if found.len() < 2 && purpose == Purpose::Fit {
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
