//! Dense delimited tables: counts in, results out.

mod layout;
mod long;
mod orientation;
mod rows;
mod sums;
mod write;

use std::path::Path;

use super::delimited::{Separator, read_head};
use super::names::named;
use super::text::Lines;
use crate::counts::CountMatrix;
use crate::error::{Error, Result};
use layout::{Layout, Refused, Told};
use orientation::{Side, is_transposed};
use rows::Rows;
pub use write::{write_blocks_csv, write_columns_csv, write_matrix_csv};

/// How to read a dense table of counts.
///
/// What is not said is found out: which side holds the genes, whether there are a header and names of
/// lines. A table of which that cannot be known is refused, with the method that says it.
///
/// ```
/// use celldec::io::TableOptions;
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("counts.csv");
/// # std::fs::write(&path, "gene,cell1,cell2\nCD3E,4,0\nLYZ,0,9\n").unwrap();
/// let counts = TableOptions::new().with_transposed(true).read(&path)?;
/// assert_eq!(counts.cell_names(), ["cell1", "cell2"]);
/// assert_eq!(counts.row(1), (&[1u32][..], &[9.0f32][..]));
/// // The heading and the names say as much.
/// assert_eq!(celldec::io::read_table(&path)?, counts);
/// # Ok::<(), celldec::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TableOptions {
    transposed: Option<bool>,
    separator: Option<u8>,
    header: Option<bool>,
    row_names: Option<bool>,
    known_genes: Vec<String>,
}

impl TableOptions {
    /// Everything is found out from the file.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether the table is genes × cells, a line for every gene (default: found out from headings
    /// and names).
    pub fn with_transposed(mut self, transposed: bool) -> Self {
        self.transposed = Some(transposed);
        self
    }

    /// The byte between fields; a space stands for any number of spaces and tabs (default: that of
    /// the extension, or the one that divides the first two lines alike).
    pub fn with_separator(mut self, separator: u8) -> Self {
        self.separator = Some(separator);
        self
    }

    /// Whether the first line names the columns (default: found out). Without a header columns are
    /// numbered from 0.
    pub fn with_header(mut self, header: bool) -> Self {
        self.header = Some(header);
        self
    }

    /// Whether lines start with a name (default: found out). Without names lines are numbered from 0.
    pub fn with_row_names(mut self, row_names: bool) -> Self {
        self.row_names = Some(row_names);
        self
    }

    /// Genes that the table should hold, such as those of a fitted model: they tell genes from cells
    /// where names alone do not.
    pub fn with_known_genes<S: Into<String>>(mut self, genes: impl IntoIterator<Item = S>) -> Self {
        self.known_genes = genes.into_iter().map(Into::into).collect();
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
        let Some(head) = read_head(&mut lines, self.separator.map(Separator::from_byte))? else {
            return Err(lines.error("expected a header line with names"));
        };
        let Some(first) = &head.first else {
            return Err(lines.error(
                "the table has no rows; expected a header and then one line for every cell",
            ));
        };
        if self.header != Some(false) && long::is_long(&head) {
            if self.transposed.is_some() || self.row_names.is_some() {
                tracing::warn!(
                    path = %path.display(),
                    "the table has a line for every gene and cell; what is told of its lines does \
                     not apply"
                );
            }
            return long::read(&mut lines, &head);
        }
        let told = Told {
            header: self.header,
            row_names: self.row_names,
        };
        let mut layout =
            Layout::of(path, &head, first, told, &budget).map_err(|refused| match refused {
                Refused::In(line, refusal) => lines.refuse_at(line, refusal),
                Refused::Table(reason) => Error::format(path, None, reason),
            })?;
        let mut rows = Rows::new(&layout);
        // Without a header the first lines hold counts like all others.
        let counted = (!layout.has_header).then_some((head.header_line, &head.header));
        for (number, line) in counted.into_iter().chain([(head.first_line, first)]) {
            rows.push(line, &layout, &budget)
                .map_err(|refusal| lines.refuse_at(number, refusal))?;
        }
        while let Some(line) = lines.read()? {
            let pushed = layout
                .separator
                .read_line(line, layout.width, |line| rows.push(line, &layout, &budget));
            pushed.map_err(|refusal| lines.refuse(refusal))?;
        }
        rows.settle_names(&mut layout, &budget)
            .map_err(|refusal| lines.refuse_at(head.first_line, refusal))?;
        if u32::try_from(rows.names.len().max(layout.columns.len())).is_err() {
            return Err(lines.error("more than 2^32 rows or columns are not supported"));
        }
        let transposed = self
            .orientation(path, &layout, &rows)
            .map_err(|reason| Error::format(path, None, reason))?;
        if transposed && let Some(reason) = rows.about_cells() {
            return Err(Error::format(path, None, reason));
        }
        let columns = layout.columns;
        rows.allow_matrix(&columns, transposed, &budget)
            .map_err(|shortage| lines.refuse(shortage))?;
        let counts = if transposed {
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
        }?;
        match sums::refusal(&counts) {
            Some(reason) => Err(Error::format(path, None, reason)),
            None => Ok(counts),
        }
    }

    /// Whether lines are genes: as told, or as names and headings say.
    fn orientation(
        &self,
        path: &Path,
        layout: &Layout,
        rows: &Rows,
    ) -> std::result::Result<bool, String> {
        let found = is_transposed(
            Side {
                names: &rows.names,
                headed: layout.kind_of_lines(),
            },
            Side {
                names: &layout.columns,
                headed: None,
            },
            &self.known_genes,
        );
        match (self.transposed, found) {
            (Some(told), Ok(found)) if told != found => {
                tracing::warn!(
                    path = %path.display(),
                    "by its names the table is {}, but it is read as {}, as told",
                    shape(found),
                    shape(told)
                );
                Ok(told)
            }
            (Some(told), _) => Ok(told),
            (None, Ok(true)) => {
                tracing::warn!(
                    path = %path.display(),
                    "by its names the table is genes × cells and is read so"
                );
                Ok(true)
            }
            (None, found) => found,
        }
    }
}

fn shape(transposed: bool) -> &'static str {
    if transposed {
        "genes × cells"
    } else {
        "cells × genes"
    }
}

/// Reads a dense table of counts: a header, then one line for every cell, or for every gene, that
/// starts with its name.
///
/// `.csv`, `.tsv`, `.txt` or any other text, plain or gzip, in UTF-8 or UTF-16; fields are separated
/// by tabs, commas, semicolons or blanks. Lines that start with `#` are comments, unless they head
/// columns; one that may be a name and its counts is refused. Names may be quoted, blanks around others do
/// not count; separators may end lines. A header without a name above the cell names, as R writes it, is
/// understood, and so are columns between the names of genes and their counts that say more of genes (`gene_name`, or `Chr` to
/// `Length` of featureCounts): symbols then name the genes. Only non-zero counts are kept in memory.
/// Repeated gene names are made unique as by [`read_10x_mtx`](super::read_10x_mtx).
///
/// A header of "gene", "cell" and "count" is that of a table with a line for every gene and cell, as
/// `umi_tools count` writes it; genes and cells are then in the order in which they first occur, and
/// counts of one gene and cell are summed.
///
/// Which side holds the genes is known from headings and names, such as barcodes and gene symbols;
/// [`TableOptions`] says it where they do not tell.
///
/// # Errors
/// [`Error::Format`] with file and line for lines of other lengths than the header, for fields that
/// are not numbers, and for tables of which it cannot be known what is cells, genes, header or names;
/// [`Error::Io`] when the file cannot be read; [`Error::NegativeCount`] and
/// [`Error::NonFiniteCount`] for such values; [`Error::MemoryLimit`] when it asks for more memory
/// than its size warrants.
pub fn read_table(path: impl AsRef<Path>) -> Result<CountMatrix> {
    TableOptions::new().read(path)
}

#[cfg(test)]
mod tests;
