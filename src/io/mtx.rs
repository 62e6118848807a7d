//! 10x Genomics MTX folders: a MatrixMarket file of genes × cells with its name files.

mod entries;
mod sample;

use std::path::Path;

use super::atomic::write_atomically;
use super::features::FeatureTypes;
use super::names::named;
use super::text::{Lines, name_of};
use crate::counts::CountMatrix;
use crate::error::{Error, Result};
use entries::read_entries;
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
        let matrix_path = sample.find("matrix", MATRIX_FILES)?;
        let gene_path = sample.find("features", GENE_FILES)?;
        let cell_path = sample.find("barcodes", CELL_FILES)?;
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

#[cfg(test)]
mod tests;
