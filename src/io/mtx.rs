//! 10x Genomics MTX folders: a MatrixMarket file of genes × cells with its name files.

mod entries;
mod names;
mod naming;
mod sample;
mod splicing;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use super::atomic::{Piece, is_unsettled, write_together};
use super::features::FeatureTypes;
use super::names::named;
use super::text::{Lines, budget_of};
use crate::counts::CountMatrix;
use crate::error::{Error, Result};
use entries::{Sizes, read_entries, read_header};
use names::NameLines;
use sample::{Choice, SAVED_TOGETHER, Sample};

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
    matrix: Option<String>,
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
        self.feature_types = FeatureTypes::every(all);
        self
    }

    /// Text before the file names, as "GSM123_" in `GSM123_matrix.mtx.gz`, or after them, as "_a" or
    /// "a" in `matrix_a.mtx` (default: that of the folder's only matrix file). Needed when a folder
    /// holds several samples.
    pub fn with_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = Some(prefix.into());
        self
    }

    /// The matrix by the name of its file, such as "spliced" for `spliced.mtx` (default: the only
    /// one, or `matrix.mtx`). Needed when a sample has several, as those of STARsolo's Velocyto.
    pub fn with_matrix(mut self, matrix: impl Into<String>) -> Self {
        self.matrix = Some(matrix.into());
        self
    }

    /// Reads the folder; see [`read_10x_mtx`].
    ///
    /// # Errors
    /// As [`read_10x_mtx`].
    pub fn read(&self, folder: impl AsRef<Path>) -> Result<CountMatrix> {
        let Opened {
            mut matrix,
            genes,
            symbols,
            cells,
            cells_first,
            ..
        } = self.open(folder.as_ref())?;
        let sizes = read_header(&mut matrix)?;
        let mut genes = NameLines::read(genes)?;
        let mut cells = NameLines::read(cells)?;
        let cells_first = orientation(&matrix, sizes, &mut genes, &mut cells, cells_first)?;
        let symbols = symbols.map(NameLines::read).transpose()?;
        let symbols = symbols
            .map(|mut symbols| symbols.match_genes(&genes).map(|()| symbols))
            .transpose()?;
        let genes_path = genes.lines().path().to_path_buf();
        let budget = matrix.budget();
        let cell_names = cells.cells()?;
        let (gene_names, types) = genes.genes(self.gene_names, &self.feature_types, symbols)?;
        budget
            .allow(FeatureTypes::memory(types.len()))
            .map_err(|shortage| shortage.at(&genes_path, "the last line"))?;
        let kept = self
            .feature_types
            .select(types.iter().map(Option::as_deref), "MtxOptions")
            .map_err(|reason| Error::format(&genes_path, None, reason))?;
        let counts = read_entries(&mut matrix, sizes, cells_first)?;
        budget
            .allow_naming(cell_names.len(), &gene_names)
            .map_err(|shortage| matrix.refuse(shortage))?;
        let counts = named(counts, cell_names, gene_names)?;
        if let Some(genes) = splicing::genes_in_thirds(counts.gene_names()) {
            budget
                .allow_selection(&counts)
                .map_err(|shortage| matrix.refuse(shortage))?;
            tracing::info!(
                genes,
                "counts are of spliced, unspliced and ambiguous molecules; those of unspliced ones are \
                 left out"
            );
            return splicing::spliced_and_ambiguous(&counts, genes);
        }
        if kept.len() == counts.genes() {
            return Ok(counts);
        }
        budget
            .allow_selection(&counts)
            .map_err(|shortage| matrix.refuse(shortage))?;
        counts.select_genes(&kept)
    }

    /// Opens the files of one save: they may be replaced meanwhile.
    fn open(&self, folder: &Path) -> Result<Opened> {
        /// Every save between two attempts is a new one.
        const ATTEMPTS: usize = 10;
        /// A file that is missing because it is being replaced is there again at once.
        const FAILURES: usize = 3;
        let mut failures = 0;
        for _ in 0..ATTEMPTS {
            match self.open_once(folder) {
                Ok(opened) if opened.belong_together() => return Ok(opened),
                Ok(_) => failures = 0,
                Err(error) => {
                    failures += 1;
                    if failures == FAILURES {
                        return Err(error);
                    }
                }
            }
        }
        Err(Error::format(
            folder,
            None,
            "its files are replaced again and again while they are read; read it when the program \
             that writes them has finished",
        ))
    }

    fn open_once(&self, folder: &Path) -> Result<Opened> {
        let choice = Choice {
            prefix: self.prefix.as_deref(),
            matrix: self.matrix.as_deref(),
        };
        let Sample {
            folder,
            matrix,
            genes,
            symbols,
            cells,
            cells_first,
        } = Sample::locate(folder, choice)?;
        let symbols = symbols.filter(|_| self.gene_names == GeneNames::Symbols);
        let before = identities([&matrix, &genes, &cells]);
        let mut paths = vec![matrix.as_path(), &genes, &cells];
        paths.extend(symbols.as_deref());
        let budget = budget_of(&paths)?;
        let open = |path: &Path| Lines::open_within(path, Arc::clone(&budget));
        Ok(Opened {
            matrix: open(&matrix)?,
            genes: open(&genes)?,
            symbols: symbols.as_deref().map(open).transpose()?,
            cells: open(&cells)?,
            cells_first,
            folder,
            before,
        })
    }
}

/// Whether rows are cells, by the numbers of names; where these are equal, by the custom of the
/// program that writes such files. Headers of the name files are left out.
fn orientation(
    matrix: &Lines,
    sizes: Sizes,
    genes: &mut NameLines,
    cells: &mut NameLines,
    by_custom: bool,
) -> Result<bool> {
    let fits = |cells_first: bool| {
        let (of_cells, of_genes) = by_kind(sizes, cells_first);
        cells.fits(of_cells) && genes.fits(of_genes)
    };
    let cells_first = match (fits(by_custom), fits(!by_custom)) {
        (true, _) => by_custom,
        (false, true) => !by_custom,
        (false, false) => {
            let (of_cells, of_genes) = by_kind(sizes, by_custom);
            let [cells_are, genes_are] = if by_custom {
                ["rows (cells)", "columns (genes)"]
            } else {
                ["columns (cells)", "rows (genes)"]
            };
            let (found, what, names) = if genes.fits(of_genes) {
                (of_cells, cells_are, &*cells)
            } else {
                (of_genes, genes_are, &*genes)
            };
            return Err(matrix.error(format!(
                "the matrix has {found} {what}, but {} names {}{}; the files must belong together",
                names.lines().path().display(),
                names.len(),
                names.doubt(found)
            )));
        }
    };
    let (of_cells, of_genes) = by_kind(sizes, cells_first);
    cells.leave_header(of_cells);
    genes.leave_header(of_genes);
    Ok(cells_first)
}

/// Numbers of cells and of genes.
fn by_kind(sizes: Sizes, cells_first: bool) -> (u64, u64) {
    if cells_first {
        (sizes.rows, sizes.columns)
    } else {
        (sizes.columns, sizes.rows)
    }
}

/// The files of a sample, and what they were before they were opened.
struct Opened {
    matrix: Lines,
    genes: Lines,
    symbols: Option<Lines>,
    cells: Lines,
    cells_first: bool,
    folder: PathBuf,
    before: [Option<Identity>; 3],
}

impl Opened {
    /// Whether no save came between the opening of the first and of the last file.
    fn belong_together(&self) -> bool {
        let files = [self.matrix.path(), self.genes.path(), self.cells.path()];
        !is_unsettled(&self.folder) && identities(files) == self.before
    }
}

/// What tells a file from one that took its place.
type Identity = (u64, Option<SystemTime>, u64);

fn identities<P: AsRef<Path>>(paths: [P; 3]) -> [Option<Identity>; 3] {
    paths.map(|path| {
        let found = std::fs::metadata(path).ok()?;
        #[cfg(unix)]
        let number = std::os::unix::fs::MetadataExt::ino(&found);
        #[cfg(not(unix))]
        let number = 0;
        Some((number, found.modified().ok(), found.len()))
    })
}

/// Reads a folder of a MatrixMarket file and its names into cells × genes, with barcodes and gene
/// symbols.
///
/// The folder holds a matrix (MatrixMarket `coordinate`, `integer`, `real` or `pattern`, `general`), a
/// file that names the genes and one that names the cells, each plain or gzip whatever its ending:
///
/// | program | matrix | genes | cells |
/// |---|---|---|---|
/// | Cell Ranger, STARsolo | `matrix.mtx` | `features.tsv`, `genes.tsv` | `barcodes.tsv` |
/// | STARsolo Velocyto | `spliced.mtx` and others: [`MtxOptions::with_matrix`] | `features.tsv` | `barcodes.tsv` |
/// | Parse | `DGE.mtx`, `count_matrix.mtx` | `all_genes.csv` | `cell_metadata.csv` |
/// | kallisto, bustools | `cells_x_genes.mtx` | `cells_x_genes.genes.txt`, `.genes.names.txt` | `cells_x_genes.barcodes.txt` |
/// | alevin-fry | `quants_mat.mtx` | `quants_mat_cols.txt` | `quants_mat_rows.txt` |
///
/// Where alevin-fry counts spliced, unspliced (`-U`) and ambiguous (`-A`) molecules of a gene apart, those
/// of spliced and ambiguous ones are summed, as `loadFry` and `load_fry` do for whole cells.
/// Names of files may have a sample before or after them (`GSM123_matrix.mtx.gz`, `matrix_a.mtx`).
/// Whether rows are genes or cells is known from the numbers of names. The files may lie below: in
/// `outs/filtered_feature_bc_matrix` of a run, in `filtered_gene_bc_matrices/hg19`; several samples or
/// genomes are refused with their names.
///
/// Features have an identifier, a symbol and a type, after row numbers or not, with a header or not,
/// quoted or not; a symbol that is empty is replaced by the identifier. Only features of type "Gene
/// Expression" are kept where types are given, and repeated symbols are made unique, both as scanpy's
/// `read_10x_mtx` does; [`MtxOptions`] changes this.
///
/// # Errors
/// [`Error::Format`] with file and line when a file is missing, truncated, malformed or contradicts
/// another; [`Error::Io`] when it cannot be read; [`Error::NegativeCount`] and
/// [`Error::NonFiniteCount`] for such values; [`Error::InexactSum`] for entries of one place that do
/// not sum to an exact count; [`Error::MemoryLimit`] when the files ask for more memory than their
/// size warrants.
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
/// The three files are replaced together or not at all: a reader never finds files of different
/// saves beside each other. Whoever is killed before all three are on disk leaves the old ones as
/// they are. A kill in the moments after that leaves the folder without a matrix file (for other
/// programs) and with all that is needed to finish, which the next [`read_10x_mtx`] or
/// `write_10x_mtx` does. A reader that opened the old files reads them to their end.
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
        // A field that begins with a quote is read up to the next one.
        if name.is_empty() || name.starts_with('"') || name.contains(['\t', '\n', '\r']) {
            return Err(Error::format(
                folder,
                None,
                format!(
                    "the name {name:?} is empty, begins with a quote or holds a tab or line end; rename it first"
                ),
            ));
        }
    }
    std::fs::create_dir_all(folder).map_err(|source| Error::io(folder, source))?;
    let field = if counts.values().iter().all(|value| value.fract() == 0.0) {
        "integer"
    } else {
        "real"
    };
    let [barcodes, features, matrix] = SAVED_TOGETHER;
    write_together(
        folder,
        vec![
            Piece::new(barcodes, |out| {
                for name in counts.cell_names() {
                    writeln!(out, "{name}")?;
                }
                Ok(())
            }),
            Piece::new(features, |out| {
                for name in counts.gene_names() {
                    writeln!(out, "{name}\t{name}\tGene Expression")?;
                }
                Ok(())
            }),
            Piece::new(matrix, |out| {
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
            }),
        ],
    )
}

#[cfg(test)]
mod tests;
