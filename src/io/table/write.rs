//! Delimited tables out.

use std::io::Write;
use std::path::Path;

use ndarray::ArrayView2;

use crate::error::{Error, Result};
use crate::io::atomic::write_atomically;
use crate::io::delimited::quoted;

/// Writes a matrix with row and column names, such as an embedding, as a delimited file.
///
/// Tab-separated when the path ends in `.tsv` or `.tsv.gz`, else comma-separated; compressed when
/// it ends in `.gz`. Numbers are the shortest that read back to the same `f32`. The file replaces
/// an older one only when it is complete.
///
/// # Errors
/// [`Error::LengthMismatch`] when names do not fit the matrix, [`Error::Io`] when writing fails.
///
/// ```
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("embedding.csv");
/// let cells = ["a".to_string(), "b".to_string()];
/// let axes = ["z1".to_string()];
/// let z = ndarray::array![[0.5], [-1.0]];
/// celldec::io::write_matrix_csv(&path, &cells, &axes, z.view())?;
/// assert_eq!(std::fs::read_to_string(&path).unwrap(), ",z1\na,0.5\nb,-1\n");
/// # Ok::<(), celldec::Error>(())
/// ```
pub fn write_matrix_csv(
    path: impl AsRef<Path>,
    row_names: &[String],
    column_names: &[String],
    matrix: ArrayView2<'_, f32>,
) -> Result<()> {
    let path = path.as_ref();
    check_length("the list of row names", matrix.nrows(), row_names.len())?;
    check_length(
        "the list of column names",
        matrix.ncols(),
        column_names.len(),
    )?;
    let separator = output_separator(path);
    write_atomically(path, |out| {
        for name in column_names {
            write!(out, "{separator}{}", quoted(name, separator))?;
        }
        writeln!(out)?;
        for (name, row) in row_names.iter().zip(matrix.rows()) {
            write!(out, "{}", quoted(name, separator))?;
            for value in row {
                write!(out, "{separator}{value}")?;
            }
            writeln!(out)?;
        }
        Ok(())
    })
}

/// Writes named columns of text, such as cell names and cluster labels, as a delimited file with a
/// header.
///
/// Separator, compression and atomicity as in [`write_matrix_csv`].
///
/// # Errors
/// [`Error::LengthMismatch`] when columns differ in length, [`Error::Io`] when writing fails.
///
/// ```
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("clusters.csv");
/// let cells = ["a".to_string(), "b".to_string()];
/// let clusters = ["0".to_string(), "2".to_string()];
/// celldec::io::write_columns_csv(&path, &[("cell", &cells), ("cluster", &clusters)])?;
/// assert_eq!(celldec::io::read_labels(&path, None)?[1], ("b".into(), "2".into()));
/// # Ok::<(), celldec::Error>(())
/// ```
pub fn write_columns_csv(path: impl AsRef<Path>, columns: &[(&str, &[String])]) -> Result<()> {
    let path = path.as_ref();
    let rows = columns.first().map_or(0, |(_, values)| values.len());
    for (name, values) in columns {
        check_length(&format!("column \"{name}\""), rows, values.len())?;
    }
    let separator = output_separator(path);
    let separated = |out: &mut dyn Write, position: usize, field: &str| {
        if position > 0 {
            write!(out, "{separator}")?;
        }
        write!(out, "{}", quoted(field, separator))
    };
    write_atomically(path, |out| {
        for (position, (name, _)) in columns.iter().enumerate() {
            separated(out, position, name)?;
        }
        writeln!(out)?;
        for row in 0..rows {
            for (position, (_, values)) in columns.iter().enumerate() {
                separated(out, position, &values[row])?;
            }
            writeln!(out)?;
        }
        Ok(())
    })
}

fn output_separator(path: &Path) -> char {
    let name = path.to_string_lossy().to_ascii_lowercase();
    if name.strip_suffix(".gz").unwrap_or(&name).ends_with(".tsv") {
        '\t'
    } else {
        ','
    }
}

fn check_length(what: &str, expected: usize, found: usize) -> Result<()> {
    if expected == found {
        Ok(())
    } else {
        Err(Error::LengthMismatch {
            what: what.to_string(),
            expected,
            found,
        })
    }
}
