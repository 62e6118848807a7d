//! Labels of cells by their names.

use std::collections::HashMap;
use std::path::Path;

use celldec::io::{
    AnnotatedCounts, CountFormat, H5adContents, read_labelled_h5, read_labels, read_loom,
};
use celldec::prelude::*;

use crate::input::h5ad;
use crate::refusal::naming_column;
use crate::wording::listed;

/// A label, possibly empty, for each of some cells.
pub struct Labels {
    /// Where they come from, as the command line says it.
    pub source: String,
    labels: HashMap<String, String>,
    /// A cell's name, for messages.
    example: String,
}

/// The labels that two sources give the same cells.
pub struct Shared<'a> {
    /// How many cells both know.
    pub in_common: usize,
    /// Both labels of those of them that have both.
    pub labels: Vec<(&'a str, &'a str)>,
}

impl Labels {
    /// Reads FILE or FILE:COLUMN.
    pub fn read(source: &str) -> Result<Self> {
        let (path, column) = split(source);
        let pairs = if path.is_dir() {
            let reason = "a folder holds no labels; give a table or an .h5ad file, as FILE:COLUMN";
            return Err(Error::format(path, None, reason));
        } else {
            match CountFormat::of(path) {
                Ok(CountFormat::H5ad) => read_h5ad(path, column)?,
                Ok(CountFormat::Loom) => column_of(path, column, read_loom(path)?)?,
                Ok(CountFormat::LabelledH5) => {
                    let column = column.or(Some("Y"));
                    column_of(path, column, read_labelled_h5(path)?)?
                }
                _ => read_labels(path, column)
                    .map_err(|error| naming_column(error, "as FILE:COLUMN"))?,
            }
        };
        let example = pairs.first().map(|(cell, _)| cell.clone());
        let example = example.ok_or_else(|| Error::format(path, None, "it has no cells"))?;
        let mut labels = HashMap::with_capacity(pairs.len());
        for (cell, label) in pairs {
            if labels.insert(cell.clone(), label).is_some() {
                let reason = format!(
                    "the cell \"{cell}\" occurs more than once; cells are matched by name, make \
                     names unique"
                );
                return Err(Error::format(path, None, reason));
            }
        }
        Ok(Self {
            source: source.to_string(),
            labels,
            example,
        })
    }

    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Matches cells by name; refuses labels of other cells.
    pub fn shared_with<'a>(&'a self, other: &'a Self) -> Result<Shared<'a>> {
        let both: Vec<(&str, &str)> = self
            .labels
            .iter()
            .filter_map(|(cell, label)| Some((label.as_str(), other.labels.get(cell)?.as_str())))
            .collect();
        let refuse = |reason: String| Err(Error::format(other.source.as_str(), None, reason));
        if both.is_empty() {
            return refuse(format!(
                "no cell in common with {}: cells have names such as \"{}\" here and \"{}\" there",
                self.source, other.example, self.example
            ));
        }
        let in_common = both.len();
        let labels: Vec<(&str, &str)> = both
            .into_iter()
            .filter(|(first, second)| !first.is_empty() && !second.is_empty())
            .collect();
        if labels.is_empty() {
            return refuse(format!(
                "none of the {in_common} cells in common with {} has a label in both; choose \
                 another column",
                self.source
            ));
        }
        Ok(Shared { in_common, labels })
    }
}

/// A path may itself contain colons: the column begins after the first one that ends a path.
fn split(source: &str) -> (&Path, Option<&str>) {
    let whole = Path::new(source);
    if whole.exists() {
        return (whole, None);
    }
    source
        .match_indices(':')
        .map(|(at, _)| (Path::new(&source[..at]), Some(&source[at + 1..])))
        .find(|(path, _)| path.exists())
        .unwrap_or((whole, None))
}

/// A column of annotated counts.
fn column_of(
    path: &Path,
    column: Option<&str>,
    data: AnnotatedCounts,
) -> Result<Vec<(String, String)>> {
    let annotation = column.and_then(|column| data.cell_annotations.get(column));
    let Some(annotation) = annotation else {
        let there: Vec<&str> = data.cell_annotations.names().collect();
        let reason = format!(
            "name a column of it as {}:COLUMN, one of: {}",
            path.display(),
            there.join(", ")
        );
        return Err(Error::format(path, None, reason));
    };
    let labels = annotation
        .labels()
        .into_iter()
        .map(Option::unwrap_or_default);
    let cells = data.counts.cell_names().iter().cloned();
    Ok(cells.zip(labels).collect())
}

fn read_h5ad(path: &Path, column: Option<&str>) -> Result<Vec<(String, String)>> {
    let Some(column) = column else {
        let columns = H5adContents::of(path)?.annotations;
        let reason = if columns.is_empty() {
            "it has no columns of labels in obs".to_string()
        } else {
            format!(
                "name a column of obs as {}:COLUMN, one of: {}",
                path.display(),
                listed(&columns)
            )
        };
        return Err(Error::format(path, None, reason));
    };
    let (cells, annotations) = h5ad::read_columns(path, &[column])?;
    let labels = annotations
        .get(column)
        .map(|annotation| annotation.labels())
        .unwrap_or_default();
    let labels = labels.into_iter().map(Option::unwrap_or_default);
    Ok(cells.into_iter().zip(labels).collect())
}
