//! Dense delimited tables: counts in, results out.

use std::io::Write;
use std::path::Path;

use ndarray::ArrayView2;

use super::atomic::write_atomically;
use super::budget::{Budget, Shortage, bytes_of};
use super::names::named;
use super::text::{
    Lines, Refusal, UNCLOSED, next_field, next_plain_field, parse_value, quoted, separator_of,
    shown, split_names,
};
use crate::counts::CountMatrix;
use crate::error::{Error, Result};

/// How to read a dense table of counts.
///
/// ```
/// use celldec::io::TableOptions;
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("counts.csv");
/// # std::fs::write(&path, "gene,cell1,cell2\nCD3E,4,0\nLYZ,0,9\n").unwrap();
/// let counts = TableOptions::new().with_transposed(true).read(&path)?;
/// assert_eq!(counts.cell_names(), ["cell1", "cell2"]);
/// assert_eq!(counts.row(1), (&[1u32][..], &[9.0f32][..]));
/// # Ok::<(), celldec::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TableOptions {
    transposed: bool,
    separator: Option<u8>,
}

impl TableOptions {
    /// Cells × genes, separator found from the file.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether the table is genes × cells (default: cells × genes).
    pub fn with_transposed(mut self, transposed: bool) -> Self {
        self.transposed = transposed;
        self
    }

    /// The byte between fields (default: that of the extension, or the one the header uses).
    pub fn with_separator(mut self, separator: u8) -> Self {
        self.separator = Some(separator);
        self
    }

    /// Reads the table; see [`read_table`].
    ///
    /// # Errors
    /// As [`read_table`].
    pub fn read(&self, path: impl AsRef<Path>) -> Result<CountMatrix> {
        let path = path.as_ref();
        let mut lines = Lines::open(path)?;
        let budget = lines.budget();
        let header = lines.read()?.map(|line| {
            let separator = self.separator.unwrap_or_else(|| separator_of(path, line));
            (separator, split_names(line, separator, &budget))
        });
        let Some((separator, columns)) = header else {
            return Err(lines.error("expected a header line with names"));
        };
        let mut columns = columns.map_err(|refusal| lines.refuse(refusal))?;
        let mut rows = Rows::default();
        while let Some(line) = lines.read()? {
            if line.is_empty() {
                continue;
            }
            if rows.names.is_empty() {
                // R writes no name above the row names, most others do.
                let fields = line_fields(line, separator);
                if fields == columns.len() {
                    columns.remove(0);
                }
            }
            if let Err(refusal) = rows.push(line, separator, &columns, &budget) {
                return Err(lines.refuse(refusal));
            }
        }
        if rows.names.is_empty() {
            return Err(lines.error(
                "the table has no rows; expected a header and then one line for every cell",
            ));
        }
        if u32::try_from(rows.names.len().max(columns.len())).is_err() {
            return Err(lines.error("more than 2^32 rows or columns are not supported"));
        }
        rows.allow_matrix(&columns, self.transposed, &budget)
            .map_err(|shortage| lines.refuse(shortage))?;
        if self.transposed {
            let matrix = CountMatrix::from_csc(
                columns.len(),
                rows.names.len(),
                &rows.offsets,
                &rows.indices,
                &rows.values,
            );
            named(matrix, columns, rows.names)
        } else {
            let matrix = CountMatrix::from_csr(
                rows.names.len(),
                columns.len(),
                rows.offsets,
                rows.indices,
                rows.values,
            );
            named(matrix, rows.names, columns)
        }
    }
}

/// Reads a dense table of counts, cells × genes: a header of gene names, then one line for every
/// cell that starts with its name.
///
/// `.csv`, `.tsv` and `.txt`, each optionally `.gz`; the separator is that of the extension unless
/// the header uses another (tab, comma, semicolon or space). Names may be quoted. A header without
/// a name above the cell names, as R writes it, is understood. Only non-zero counts are kept in
/// memory. Repeated gene names are made unique as by [`read_10x_mtx`](super::read_10x_mtx);
/// [`TableOptions`] reads genes × cells.
///
/// # Errors
/// [`Error::Format`] with file and line for lines of other lengths than the header and for fields
/// that are not numbers; [`Error::Io`] when the file cannot be read; [`Error::NegativeCount`] and
/// [`Error::NonFiniteCount`] for such values; [`Error::MemoryLimit`] when it asks for more memory
/// than its size warrants.
pub fn read_table(path: impl AsRef<Path>) -> Result<CountMatrix> {
    TableOptions::new().read(path)
}

/// Rows read so far, compressed.
struct Rows {
    names: Vec<String>,
    offsets: Vec<usize>,
    indices: Vec<u32>,
    values: Vec<f32>,
}

impl Default for Rows {
    fn default() -> Self {
        Self {
            names: Vec::new(),
            offsets: vec![0],
            indices: Vec::new(),
            values: Vec::new(),
        }
    }
}

impl Rows {
    fn push(
        &mut self,
        line: &[u8],
        separator: u8,
        columns: &[String],
        budget: &Budget,
    ) -> std::result::Result<(), Refusal> {
        let (name, mut rest) = next_field(line, separator).ok_or(UNCLOSED)?;
        let mut column = 0;
        while let Some(fields) = rest {
            let (field, after) = next_plain_field(fields, separator);
            rest = after;
            if field != b"0" && column < columns.len() {
                let number = field
                    .strip_prefix(b"\"")
                    .and_then(|f| f.strip_suffix(b"\""));
                let value = parse_value(number.unwrap_or(field).trim_ascii()).ok_or_else(|| {
                    format!(
                        "\"{}\" in the column of \"{}\" is not a number",
                        shown(field),
                        shown(columns[column].as_bytes())
                    )
                })?;
                if value != 0.0 {
                    budget.push(&mut self.indices, column as u32)?;
                    budget.push(&mut self.values, value)?;
                }
            }
            column += 1;
        }
        if column != columns.len() {
            return Err(format!(
                "found a name and {column} values, but the header names {} columns",
                columns.len()
            )
            .into());
        }
        let name = budget.name(&name)?;
        budget.push(&mut self.names, name)?;
        budget.push(&mut self.offsets, self.indices.len())?;
        Ok(())
    }

    /// Whether there is memory to make a matrix of the rows.
    fn allow_matrix(
        &self,
        columns: &[String],
        transposed: bool,
        budget: &Budget,
    ) -> std::result::Result<(), Shortage> {
        let (rows, stored) = (self.names.len(), self.indices.len());
        // Rows are checked beside their offsets; columns become rows in a copy.
        let offsets = bytes_of::<usize>(if transposed { 3 * columns.len() } else { rows } + 1);
        let copy = if transposed {
            bytes_of::<(u32, f32)>(stored)
        } else {
            0
        };
        budget.take(offsets + copy)?;
        if transposed {
            budget.allow_naming(columns.len(), &self.names)
        } else {
            budget.allow_naming(rows, columns)
        }
    }
}

/// How many fields a line has, its name included.
fn line_fields(line: &[u8], separator: u8) -> usize {
    match next_field(line, separator) {
        Some((_, Some(rest))) => 2 + rest.iter().filter(|&&byte| byte == separator).count(),
        _ => 1,
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::{Array2, array};
    use proptest::prelude::*;

    fn read(name: &str, text: &str, options: &TableOptions) -> Result<CountMatrix> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        options.read(path)
    }

    #[test]
    fn headers_with_and_without_a_corner_are_read() {
        let expected = array![[0.0, 2.0], [1.5, 0.0]];
        for (name, text) in [
            ("a.csv", "\u{feff}cell,g1,g2\nc1,0,2\nc2,1.5,0\n"),
            (
                "a.csv",
                "\"\",\"g1\",\"g2\"\r\n\"c1\",\"0\",\"2\"\r\n\"c2\",1.5,0.0\r\n",
            ),
            ("a.tsv", "g1\tg2\nc1\t0\t2\nc2\t1.5\t0\n"),
            ("a.csv", "cell;g1;g2\nc1;0;2\nc2;1.5;0"),
            ("a.txt", "g1 g2\nc1 0 2\nc2 1.5 0\n\n"),
        ] {
            let counts = read(name, text, &TableOptions::new()).unwrap();
            assert_eq!(counts.to_dense(), expected, "{text:?}");
            assert_eq!(counts.cell_names(), ["c1", "c2"], "{text:?}");
            assert_eq!(counts.gene_names(), ["g1", "g2"], "{text:?}");
        }
    }

    #[test]
    fn malformed_tables_are_refused_with_file_and_line() {
        for (text, expected) in [
            ("", "counts.csv, line 1: expected a header"),
            ("cell,g1\n", "the table has no rows"),
            (
                "cell,g1,g2\nc1,1,2\nc2,1\n",
                "line 3: found a name and 1 values",
            ),
            (
                "cell,g1,g2\nc1,1,2\nc2,1,2,3\n",
                "line 3: found a name and 3",
            ),
            ("cell,g1,g2\nc1,1,2,3,4\n", "line 2: found a name and 4"),
            (
                "cell,g1,g2\nc1,1,NA\n",
                "line 2: \"NA\" in the column of \"g2\"",
            ),
            (
                "cell,g1,g2\nc1,,1\n",
                "line 2: \"\" in the column of \"g1\"",
            ),
            ("cell,g1\n\"c1,1\n", "line 2: a quoted field"),
            ("cell,g1,g2\nc1,1,-2\n", "cell 0 (\"c1\"), gene 1 (\"g2\")"),
            ("cell,g1,g2\nc1,inf,2\n", "cell 0 (\"c1\"), gene 0 (\"g1\")"),
        ] {
            let message = read("counts.csv", text, &TableOptions::new())
                .unwrap_err()
                .to_string();
            assert!(message.contains(expected), "{text:?}: {message}");
        }
    }

    #[test]
    fn repeated_gene_names_become_unique_in_both_orientations() {
        let counts = read("a.csv", "c,g,g\nx,1,2\n", &TableOptions::new()).unwrap();
        assert_eq!(counts.gene_names(), ["g", "g-1"]);
        let transposed = TableOptions::new().with_transposed(true);
        let counts = read("a.csv", "c,x\ng,1\ng,2\n", &transposed).unwrap();
        assert_eq!(counts.gene_names(), ["g", "g-1"]);
        assert_eq!(counts.row(0), (&[0u32, 1][..], &[1.0f32, 2.0][..]));
    }

    #[test]
    fn lengths_are_checked_before_anything_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.csv");
        let names = ["a".to_string()];
        let two = ["b".to_string(), "c".to_string()];
        let matrix = array![[1.0f32]];
        assert!(matches!(
            write_matrix_csv(&path, &two, &names, matrix.view()),
            Err(Error::LengthMismatch { .. })
        ));
        assert!(matches!(
            write_columns_csv(&path, &[("x", &names), ("y", &two)]),
            Err(Error::LengthMismatch { .. })
        ));
        assert!(!path.exists());
    }

    fn table() -> impl Strategy<Value = (Array2<f32>, Vec<String>, Vec<String>)> {
        (1usize..6, 1usize..6).prop_flat_map(|(rows, columns)| {
            let value = prop_oneof![
                3 => Just(0.0f32),
                2 => (1u32..100_000_000).prop_map(|v| v as f32),
                1 => (1u32..0x7f80_0000).prop_map(f32::from_bits),
            ];
            let names = |count: usize| {
                prop::collection::vec("[a-z,\"\t ;]{0,3}", count).prop_map(|names| {
                    names
                        .into_iter()
                        .enumerate()
                        .map(|(position, name)| format!("{position}{name}"))
                        .collect::<Vec<_>>()
                })
            };
            (
                prop::collection::vec(value, rows * columns).prop_map(move |values| {
                    Array2::from_shape_vec((rows, columns), values).unwrap()
                }),
                names(rows),
                names(columns),
            )
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn writing_and_reading_gives_the_same_matrix(
            (dense, rows, columns) in table(),
            name in prop::sample::select(vec!["a.csv", "a.tsv", "a.csv.gz", "a.tsv.gz"]),
        ) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join(name);
            write_matrix_csv(&path, &rows, &columns, dense.view()).unwrap();
            let counts = read_table(&path).unwrap();
            prop_assert_eq!(counts.to_dense(), dense.clone());
            prop_assert_eq!(counts.cell_names(), &rows[..]);
            prop_assert_eq!(counts.gene_names(), &columns[..]);
            let transposed = TableOptions::new().with_transposed(true).read(&path).unwrap();
            prop_assert_eq!(transposed.to_dense(), dense.t());
            prop_assert_eq!(transposed.cell_names(), &columns[..]);
        }
    }
}
