//! 10x Genomics MTX folders: a MatrixMarket file of genes × cells with its name files.

mod sample;

use std::path::Path;

use super::atomic::write_atomically;
use super::features::FeatureTypes;
use super::names::named;
use super::text::{Lines, name_of, parse_index, parse_value, shown};
use crate::counts::CountMatrix;
use crate::error::{Error, Result};
use sample::{CELL_FILES, GENE_FILES, MATRIX_FILES, Sample};

/// Which column of the features file names the genes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum GeneNames {
    /// Gene symbols (second column); repeated ones become unique as scanpy's
    /// `var_names_make_unique` does ("-1", "-2", …).
    #[default]
    Symbols,
    /// Identifiers such as Ensembl ids (first column).
    Ids,
}

/// How to read a 10x MTX folder.
///
/// ```
/// use celldec::io::{GeneNames, MtxOptions};
///
/// let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data/pbmc68k_700_10x");
/// let counts = MtxOptions::new()
///     .with_gene_names(GeneNames::Ids)
///     .read(folder)?;
/// assert_eq!(counts.gene_names()[0], "HES4");
/// # Ok::<(), celldec::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MtxOptions {
    gene_names: GeneNames,
    feature_types: FeatureTypes,
    prefix: Option<String>,
}

impl MtxOptions {
    /// Gene symbols, gene expression only, file prefix found from the folder.
    pub fn new() -> Self {
        Self::default()
    }

    /// Which column names the genes (default: symbols).
    pub fn with_gene_names(mut self, gene_names: GeneNames) -> Self {
        self.gene_names = gene_names;
        self
    }

    /// Keeps features of this type, such as "Antibody Capture" (default: "Gene Expression" where
    /// the features file has a type column).
    pub fn with_feature_type(mut self, feature_type: impl Into<String>) -> Self {
        self.feature_types = FeatureTypes::Only(feature_type.into());
        self
    }

    /// Whether to keep features of every type (default: only "Gene Expression").
    pub fn with_all_feature_types(mut self, all: bool) -> Self {
        self.feature_types = if all {
            FeatureTypes::All
        } else {
            FeatureTypes::GeneExpression
        };
        self
    }

    /// Text before the file names, as "GSM123_" in `GSM123_matrix.mtx.gz` (default: what stands
    /// before the name of the folder's only matrix file). Needed when a folder holds several
    /// samples.
    pub fn with_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = Some(prefix.into());
        self
    }

    /// Reads the folder; see [`read_10x_mtx`].
    ///
    /// # Errors
    /// As [`read_10x_mtx`].
    pub fn read(&self, folder: impl AsRef<Path>) -> Result<CountMatrix> {
        let sample = Sample::locate(folder.as_ref(), self.prefix.as_deref())?;
        let gene_path = sample.find("features", GENE_FILES)?;
        let cell_path = sample.find("barcodes", CELL_FILES)?;
        let matrix_path = sample.find("matrix", MATRIX_FILES)?;
        let (genes, types) = self.read_genes(&gene_path)?;
        let cells = read_cells(&cell_path)?;
        let kept = self
            .feature_types
            .select(types.iter().map(Option::as_deref), "MtxOptions")
            .map_err(|reason| Error::format(&gene_path, None, reason))?;
        let entries = read_entries(
            &matrix_path,
            (&gene_path, genes.len()),
            (&cell_path, cells.len()),
        )?;
        let matrix = entries.into_matrix(cells.len(), genes.len());
        let matrix = named(matrix, cells, genes)?;
        if kept.len() == matrix.genes() {
            Ok(matrix)
        } else {
            matrix.select_genes(&kept)
        }
    }

    /// Names and types of the features.
    fn read_genes(&self, path: &Path) -> Result<(Vec<String>, Vec<Option<String>>)> {
        let mut lines = Lines::open(path)?;
        let mut genes = Vec::new();
        let mut types = Vec::new();
        while let Some(line) = lines.read()? {
            let mut columns = line.split(|&byte| byte == b'\t');
            let id = columns.next().unwrap_or_default();
            let symbol = columns.next().unwrap_or(id);
            let name = name_of(match self.gene_names {
                GeneNames::Symbols => symbol,
                GeneNames::Ids => id,
            });
            let feature_type = columns.next().map(name_of);
            if name.is_empty() {
                return Err(lines.error(
                    "the gene name is empty; expected an id and a symbol, separated by a tab",
                ));
            }
            genes.push(name);
            types.push(feature_type);
        }
        Ok((genes, types))
    }
}

/// Reads a 10x Genomics MTX folder into cells × genes, with barcodes and gene symbols.
///
/// The folder holds `matrix.mtx` (genes × cells, MatrixMarket `coordinate`, `integer`, `real` or
/// `pattern`, `general`), `features.tsv` (or `genes.tsv` of Cell Ranger 2) and `barcodes.tsv`, each
/// plain or `.gz`. Only features of type "Gene Expression" are kept where types are given, and
/// repeated symbols are made unique, both as scanpy's `read_10x_mtx` does; [`MtxOptions`] changes
/// this. Names may have a prefix (`GSM123_matrix.mtx.gz`), and the files may lie one folder below, as
/// in `filtered_gene_bc_matrices/hg19` of Cell Ranger 2; several samples or genomes are refused with
/// their names.
///
/// # Errors
/// [`Error::Format`] with file and line when a file is missing, truncated, malformed or contradicts
/// another; [`Error::Io`] when it cannot be read; [`Error::NegativeCount`] and
/// [`Error::NonFiniteCount`] for such values.
///
/// ```
/// let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data/pbmc68k_700_10x");
/// let counts = celldec::io::read_10x_mtx(folder)?;
/// assert_eq!((counts.cells(), counts.genes(), counts.stored()), (700, 765, 174_400));
/// # Ok::<(), celldec::Error>(())
/// ```
pub fn read_10x_mtx(folder: impl AsRef<Path>) -> Result<CountMatrix> {
    MtxOptions::new().read(folder)
}

/// Writes counts as a 10x MTX folder (`matrix.mtx.gz`, `features.tsv.gz`, `barcodes.tsv.gz`),
/// creating the folder when needed and replacing such files in it.
///
/// The gene name serves as both id and symbol. Counts are written as integers, or as `real` when
/// some are fractional.
///
/// # Errors
/// [`Error::Format`] for names that are empty or hold tabs or line ends, which the format cannot
/// express, [`Error::Io`] when writing fails (the old files are then intact).
///
/// ```
/// use celldec::io::{read_10x_mtx, write_10x_mtx};
/// # let counts = celldec::counts::CountMatrix::from_dense(ndarray::array![[0.0, 2.0]].view())?;
/// # let temporary = tempfile::tempdir().unwrap();
/// # let folder = temporary.path().join("counts");
/// write_10x_mtx(&folder, &counts)?;
/// assert_eq!(read_10x_mtx(&folder)?, counts);
/// # Ok::<(), celldec::Error>(())
/// ```
pub fn write_10x_mtx(folder: impl AsRef<Path>, counts: &CountMatrix) -> Result<()> {
    let folder = folder.as_ref();
    let names = counts.cell_names().iter().chain(counts.gene_names());
    for name in names {
        if name.is_empty() || name.contains(['\t', '\n', '\r']) {
            return Err(Error::format(
                folder,
                None,
                format!("the name {name:?} is empty or holds a tab or line end; rename it first"),
            ));
        }
    }
    std::fs::create_dir_all(folder).map_err(|source| Error::io(folder, source))?;
    write_atomically(&folder.join("barcodes.tsv.gz"), |out| {
        for name in counts.cell_names() {
            writeln!(out, "{name}")?;
        }
        Ok(())
    })?;
    write_atomically(&folder.join("features.tsv.gz"), |out| {
        for name in counts.gene_names() {
            writeln!(out, "{name}\t{name}\tGene Expression")?;
        }
        Ok(())
    })?;
    let field = if counts.check_integers().is_ok() {
        "integer"
    } else {
        "real"
    };
    write_atomically(&folder.join("matrix.mtx.gz"), |out| {
        writeln!(out, "%%MatrixMarket matrix coordinate {field} general")?;
        writeln!(out, "%")?;
        writeln!(
            out,
            "{} {} {}",
            counts.genes(),
            counts.cells(),
            counts.stored()
        )?;
        for cell in 0..counts.cells() {
            let (genes, values) = counts.row(cell);
            for (gene, value) in genes.iter().zip(values) {
                writeln!(out, "{} {} {value}", gene + 1, cell + 1)?;
            }
        }
        Ok(())
    })
}

fn read_cells(path: &Path) -> Result<Vec<String>> {
    let mut lines = Lines::open(path)?;
    let mut cells = Vec::new();
    while let Some(line) = lines.read()? {
        let name = line.split(|&byte| byte == b'\t').next().unwrap_or_default();
        if name.is_empty() {
            return Err(lines.error("the cell barcode is empty; expected one barcode a line"));
        }
        cells.push(name_of(name));
    }
    Ok(cells)
}

/// Entries as the file lists them.
#[derive(Default)]
struct Entries {
    cells: Vec<u32>,
    genes: Vec<u32>,
    values: Vec<f32>,
}

impl Entries {
    fn push(&mut self, cell: u32, gene: u32, value: f32) {
        self.cells.push(cell);
        self.genes.push(gene);
        self.values.push(value);
    }

    fn into_matrix(self, cells: usize, genes: usize) -> Result<CountMatrix> {
        let mut offsets = vec![0usize; cells + 1];
        for &cell in &self.cells {
            offsets[cell as usize + 1] += 1;
        }
        for cell in 0..cells {
            offsets[cell + 1] += offsets[cell];
        }
        if self.cells.is_sorted() {
            return CountMatrix::from_csr(cells, genes, offsets, self.genes, self.values);
        }
        let mut next = offsets.clone();
        let mut indices = vec![0u32; self.genes.len()];
        let mut values = vec![0f32; self.values.len()];
        for ((&cell, &gene), &value) in self.cells.iter().zip(&self.genes).zip(&self.values) {
            let slot = &mut next[cell as usize];
            indices[*slot] = gene;
            values[*slot] = value;
            *slot += 1;
        }
        CountMatrix::from_csr(cells, genes, offsets, indices, values)
    }
}

/// Reads the entries of a genes × cells MatrixMarket file; dimensions must be those of the name
/// files, so that nothing is reserved on the word of a header alone.
fn read_entries(
    path: &Path,
    (gene_path, genes): (&Path, usize),
    (cell_path, cells): (&Path, usize),
) -> Result<Entries> {
    let mut lines = Lines::open(path)?;
    let pattern = read_banner(&mut lines)?;
    let (rows, columns, stored) = read_sizes(&mut lines)?;
    for (what, found, names_path, names) in [
        ("rows (genes)", rows, gene_path, genes),
        ("columns (cells)", columns, cell_path, cells),
    ] {
        if found != names as u64 {
            let transposed = if rows == cells as u64 && columns == genes as u64 {
                "; the matrix seems to be cells × genes, but 10x files are genes × cells: transpose it"
            } else {
                "; the files must belong together"
            };
            return Err(lines.error(format!(
                "the matrix has {found} {what}, but {} names {names}{transposed}",
                names_path.display()
            )));
        }
    }
    if u32::try_from(rows.max(columns)).is_err() {
        return Err(lines.error("more than 2^32 rows or columns are not supported"));
    }
    let reserved = usize::try_from(stored)
        .unwrap_or(usize::MAX)
        .min(lines.plausible_lines(if pattern { 4 } else { 6 }));
    let mut entries = Entries {
        cells: Vec::with_capacity(reserved),
        genes: Vec::with_capacity(reserved),
        values: Vec::with_capacity(reserved),
    };
    let mut read = 0u64;
    loop {
        let (bytes, plain) = take_plain_entries(
            lines.buffered()?,
            usize::try_from(stored - read).unwrap_or(usize::MAX),
            pattern,
            (rows, columns),
            &mut entries,
        );
        lines.pass(bytes, plain);
        read += plain as u64;
        // What is not that plain, or cut off at the end of a block, goes the careful way.
        let Some(line) = lines.read()? else { break };
        if is_comment_or_blank(line) {
            continue;
        }
        let entry = parse_entry(line, pattern, rows, columns);
        let (gene, cell, value) = match entry {
            Ok(entry) => entry,
            Err(reason) => return Err(lines.error(reason)),
        };
        if read == stored {
            return Err(lines.error(format!(
                "the file holds more entries than the {stored} its header announces; it is damaged"
            )));
        }
        read += 1;
        entries.push(cell, gene, value);
    }
    if read < stored {
        return Err(lines.error(format!(
            "the file ends after {read} of the {stored} entries its header announces; it is \
             truncated, fetch it again"
        )));
    }
    Ok(entries)
}

/// Reads the first line; says whether entries have no values.
fn read_banner(lines: &mut Lines) -> Result<bool> {
    const EXPECTED: &str =
        "expected \"%%MatrixMarket matrix coordinate integer general\" (or real, or pattern)";
    let banner = match lines.read()? {
        Some(line) => name_of(&line[..line.len().min(200)]),
        None => return Err(lines.error(format!("the file is empty; {EXPECTED}"))),
    };
    let lower = banner.to_ascii_lowercase();
    let words: Vec<&str> = lower.split_ascii_whitespace().collect();
    let ["%%matrixmarket", object, format, field, symmetry] = words[..] else {
        return Err(lines.error(format!(
            "not a MatrixMarket file: found \"{}\"; {EXPECTED}",
            shown(banner.as_bytes())
        )));
    };
    let supported = object == "matrix"
        && format == "coordinate"
        && matches!(field, "integer" | "real" | "pattern")
        && symmetry == "general";
    if !supported {
        return Err(lines.error(format!(
            "unsupported MatrixMarket kind \"{object} {format} {field} {symmetry}\"; {EXPECTED}"
        )));
    }
    Ok(field == "pattern")
}

/// Reads rows, columns and number of entries.
fn read_sizes(lines: &mut Lines) -> Result<(u64, u64, u64)> {
    loop {
        let sizes = match lines.read()? {
            None => None,
            Some(line) if is_comment_or_blank(line) => continue,
            Some(line) => {
                let mut fields = fields(line).map(parse_index);
                match (fields.next(), fields.next(), fields.next(), fields.next()) {
                    (Some(Some(rows)), Some(Some(columns)), Some(Some(stored)), None) => {
                        Some((rows, columns, stored))
                    }
                    _ => None,
                }
            }
        };
        return sizes.ok_or_else(|| {
            lines.error("expected the size line: numbers of genes, of cells and of entries")
        });
    }
}

/// Takes up to `most` entries from the start of `text`, as long as they are whole lines of numbers
/// in range, separated by single blanks; gives their bytes and number.
fn take_plain_entries(
    text: &[u8],
    most: usize,
    pattern: bool,
    (rows, columns): (u64, u64),
    entries: &mut Entries,
) -> (usize, usize) {
    let mut rest = text;
    let mut taken = 0;
    while taken < most {
        let Some((row, after)) = leading_number(rest, 10) else {
            break;
        };
        let Some((column, after)) = after
            .strip_prefix(b" ")
            .and_then(|after| leading_number(after, 10))
        else {
            break;
        };
        let (value, after) = if pattern {
            (1, after)
        } else {
            // Seven digits are exact as f32.
            match after
                .strip_prefix(b" ")
                .and_then(|after| leading_number(after, 7))
            {
                Some(parsed) => parsed,
                None => break,
            }
        };
        let Some((b'\n', after)) = after.split_first() else {
            break;
        };
        if row == 0 || row > rows || column == 0 || column > columns {
            break;
        }
        // The caller has checked that rows and columns fit.
        entries.push((column - 1) as u32, (row - 1) as u32, value as f32);
        rest = after;
        taken += 1;
    }
    (text.len() - rest.len(), taken)
}

/// A number of at most so many digits, and what follows it.
fn leading_number(text: &[u8], most: usize) -> Option<(u64, &[u8])> {
    let mut value = 0u64;
    let mut digits = 0;
    for &byte in text {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            break;
        }
        if digits == most {
            return None;
        }
        value = value * 10 + u64::from(digit);
        digits += 1;
    }
    (digits > 0).then(|| (value, &text[digits..]))
}

fn parse_entry(
    line: &[u8],
    pattern: bool,
    rows: u64,
    columns: u64,
) -> std::result::Result<(u32, u32, f32), String> {
    let malformed = || {
        let expected = if pattern {
            "gene and cell number"
        } else {
            "gene number, cell number and count"
        };
        format!("malformed entry \"{}\"; expected {expected}", shown(line))
    };
    let mut fields = fields(line);
    let row = fields.next().and_then(parse_index).ok_or_else(malformed)?;
    let column = fields.next().and_then(parse_index).ok_or_else(malformed)?;
    let value = if pattern {
        1.0
    } else {
        fields.next().and_then(parse_value).ok_or_else(malformed)?
    };
    if fields.next().is_some() {
        return Err(malformed());
    }
    if row == 0 || row > rows || column == 0 || column > columns {
        return Err(format!(
            "the entry names gene {row} and cell {column}, outside 1..={rows} and 1..={columns} \
             (numbers start at 1)"
        ));
    }
    // The caller has checked that rows and columns fit.
    Ok(((row - 1) as u32, (column - 1) as u32, value))
}

fn fields(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(|byte| matches!(byte, b' ' | b'\t'))
        .filter(|field| !field.is_empty())
}

fn is_comment_or_blank(line: &[u8]) -> bool {
    line.first() == Some(&b'%') || line.iter().all(u8::is_ascii_whitespace)
}

#[cfg(test)]
mod tests;
