//! Labels of cells in delimited files.

use std::path::Path;

use super::text::{Lines, name_of, separator_of, split_fields};
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
/// [`Error::Io`](crate::Error::Io) when the file cannot be read.
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
    let header = lines.read()?.map(|line| {
        let separator = separator_of(path, line);
        (separator, split_fields(line, separator))
    });
    let Some((separator, Some(header))) = header else {
        return Err(lines.error("expected a header line with column names"));
    };
    let header: Vec<String> = header.iter().map(|field| name_of(field)).collect();
    let columns = header.get(1..).unwrap_or_default();
    let listed = columns.join(", ");
    let column = match column {
        Some(column) => columns
            .iter()
            .position(|name| name == column)
            .ok_or_else(|| lines.error(format!("no column \"{column}\"; there are: {listed}")))?,
        None if columns.len() == 1 => 0,
        None if columns.is_empty() => {
            return Err(lines.error(
                "expected two columns, cell names and labels, separated by commas or tabs",
            ));
        }
        None => {
            return Err(lines.error(format!(
                "which column holds the labels is not clear; name one of: {listed}"
            )));
        }
    };
    let mut labels = Vec::new();
    while let Some(line) = lines.read()? {
        if line.is_empty() {
            continue;
        }
        let Some(fields) = split_fields(line, separator) else {
            return Err(lines.error("a quoted field does not end where the field ends"));
        };
        if fields.len() != header.len() {
            return Err(lines.error(format!(
                "found {} fields, but the header has {}",
                fields.len(),
                header.len()
            )));
        }
        labels.push((name_of(&fields[0]), name_of(&fields[column + 1])));
    }
    Ok(labels)
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
