//! Labels of cells in delimited files.

use std::path::Path;

use super::budget::Budget;
use super::text::{Lines, Refusal, UNCLOSED, listed, next_field, separator_of, split_names};
use crate::error::Result;

/// Reads one label for every cell from a delimited file with a header: pairs of cell name (first
/// column) and label.
///
/// The separator is that of the extension (`.csv`, `.tsv`, optionally `.gz`) or the one the header
/// uses; fields may be quoted. `column` names the column of labels; `None` stands for the only
/// column besides the cell names. An empty field is an empty label.
///
/// # Errors
/// [`Error::Format`](crate::Error::Format) with file and line when the column does not exist or is
/// not clear, or a line has another number of fields than the header;
/// [`Error::Io`](crate::Error::Io) when the file cannot be read,
/// [`Error::MemoryLimit`](crate::Error::MemoryLimit) when it asks for more memory than its size
/// warrants.
///
/// ```
/// let path = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data/pbmc68k_700_10x/labels.csv");
/// let labels = celldec::io::read_labels(path, Some("cell_type"))?;
/// assert_eq!(labels[0], ("AAAGCCTGGCTAAC-1".into(), "CD14+ Monocyte".into()));
/// # Ok::<(), celldec::Error>(())
/// ```
pub fn read_labels(path: impl AsRef<Path>, column: Option<&str>) -> Result<Vec<(String, String)>> {
    let path = path.as_ref();
    let mut lines = Lines::open(path)?;
    let budget = lines.budget();
    let header = lines.read()?.map(|line| {
        let separator = separator_of(path, line);
        (separator, split_names(line, separator, &budget))
    });
    let Some((separator, header)) = header else {
        return Err(lines.error("expected a header line with column names"));
    };
    let header = header.map_err(|refusal| lines.refuse(refusal))?;
    let columns = header.get(1..).unwrap_or_default();
    let column = match column {
        Some(column) => columns
            .iter()
            .position(|name| name == column)
            .ok_or_else(|| {
                lines.error(format!(
                    "no column \"{column}\"; there are: {}",
                    listed(columns)
                ))
            })?,
        None if columns.len() == 1 => 0,
        None if columns.is_empty() => {
            return Err(lines.error(
                "expected two columns, cell names and labels, separated by commas or tabs",
            ));
        }
        None => {
            return Err(lines.error(format!(
                "which column holds the labels is not clear; name one of: {}",
                listed(columns)
            )));
        }
    };
    let mut labels = Vec::new();
    while let Some(line) = lines.read()? {
        if line.is_empty() {
            continue;
        }
        let label = read_label(line, separator, column + 1, header.len(), &budget)
            .and_then(|label| Ok(budget.push(&mut labels, label)?));
        if let Err(refusal) = label {
            return Err(lines.refuse(refusal));
        }
    }
    Ok(labels)
}

/// The first field of a line and the one of a column; the line must have as many as the header.
fn read_label(
    line: &[u8],
    separator: u8,
    column: usize,
    columns: usize,
    budget: &Budget,
) -> std::result::Result<(String, String), Refusal> {
    let (name, mut rest) = next_field(line, separator).ok_or(UNCLOSED)?;
    let name = budget.name(&name)?;
    let mut label = None;
    let mut found = 1;
    while let Some(fields) = rest {
        let (field, after) = next_field(fields, separator).ok_or(UNCLOSED)?;
        if found == column {
            label = Some(budget.name(&field)?);
        }
        found += 1;
        rest = after;
    }
    match label {
        Some(label) if found == columns => Ok((name, label)),
        _ => Err(format!("found {found} fields, but the header has {columns}").into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, column: Option<&str>) -> Result<Vec<(String, String)>> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("labels.csv");
        std::fs::write(&path, text).unwrap();
        read_labels(path, column)
    }

    #[test]
    fn quoted_fields_and_columns_are_read() {
        let text = "cell,batch,type\r\n\"a,1\",x,\"T \"\"CD4\"\"\"\r\nb,y,\r\n\r\n";
        let labels = read(text, Some("type")).unwrap();
        let expected = [("a,1", "T \"CD4\""), ("b", "")].map(|(a, b)| (a.into(), b.into()));
        assert_eq!(labels, expected);
    }

    #[test]
    fn unclear_or_ragged_files_are_refused() {
        for (text, column, expected) in [
            ("cell,a,b\n", None, "line 1: which column"),
            ("cell,a,b\n", Some("c"), "no column \"c\"; there are: a, b"),
            ("cell,a,b\n", Some("cell"), "no column \"cell\""),
            ("cell\nx\n", None, "line 1: expected two columns"),
            ("cell,a\nx,1\ny\n", None, "line 3: found 1 fields"),
            ("cell,a\n\"x,1\n", None, "line 2: a quoted field"),
            ("", None, "line 1: expected a header"),
        ] {
            let message = read(text, column).unwrap_err().to_string();
            assert!(message.contains(expected), "{text:?}: {message}");
        }
    }
}
