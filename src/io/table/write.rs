//! Delimited tables out.

use std::io::{self, Write};
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
    check_length("the list of row names", matrix.nrows(), row_names.len())?;
    write_blocks_csv(path, row_names, column_names, |write| write(matrix))
}

/// Writes a matrix as [`write_matrix_csv`] does that is never in memory as a whole: `rows` hands it over
/// from top to bottom, in blocks of any number of rows.
///
/// # Errors
/// As [`write_matrix_csv`], and those of `rows`; then the file is as it was before.
///
/// ```
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("denoised.csv");
/// let cells = ["a".to_string(), "b".to_string()];
/// let genes = ["CD3E".to_string()];
/// celldec::io::write_blocks_csv(&path, &cells, &genes, |write| {
///     write(ndarray::array![[0.5]].view())?;
///     write(ndarray::array![[2.0]].view())
/// })?;
/// assert_eq!(std::fs::read_to_string(&path).unwrap(), ",CD3E\na,0.5\nb,2\n");
/// # Ok::<(), celldec::Error>(())
/// ```
pub fn write_blocks_csv(
    path: impl AsRef<Path>,
    row_names: &[String],
    column_names: &[String],
    rows: impl FnOnce(&mut dyn FnMut(ArrayView2<'_, f32>) -> Result<()>) -> Result<()>,
) -> Result<()> {
    let path = path.as_ref();
    let separator = output_separator(path);
    let mut done = Ok(());
    let written = write_atomically(path, |out| {
        for name in column_names {
            write!(out, "{separator}{}", quoted(name, separator))?;
        }
        writeln!(out)?;
        let (mut count, mut failed) = (0, false);
        done = rows(&mut |block| {
            // Where the caller goes on after an error, the file is not whole.
            if failed {
                return Err(wrong_rows(count, row_names));
            }
            failed = true;
            check_length(
                "the list of column names",
                block.ncols(),
                column_names.len(),
            )?;
            let end = count + block.nrows();
            let names = row_names.get(count..end);
            let names = names.ok_or_else(|| wrong_rows(end, row_names))?;
            write_rows(out, separator, names, block).map_err(|error| Error::io(path, error))?;
            (count, failed) = (end, false);
            Ok(())
        });
        if done.is_ok() && (failed || count != row_names.len()) {
            done = Err(wrong_rows(count, row_names));
        }
        match done {
            Ok(()) => Ok(()),
            // Keeps the file from being placed; what went wrong is told below.
            Err(_) => Err(io::ErrorKind::Other.into()),
        }
    });
    done?;
    written
}

fn wrong_rows(rows: usize, row_names: &[String]) -> Error {
    Error::LengthMismatch {
        what: "the list of row names".into(),
        expected: rows,
        found: row_names.len(),
    }
}

fn write_rows(
    out: &mut dyn Write,
    separator: char,
    names: &[String],
    block: ArrayView2<'_, f32>,
) -> io::Result<()> {
    for (name, row) in names.iter().zip(block.rows()) {
        write!(out, "{}", quoted(name, separator))?;
        for value in row {
            write!(out, "{separator}{value}")?;
        }
        writeln!(out)?;
    }
    Ok(())
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
