//! Everything that can go wrong, one variant per cause.
//!
//! A message says what was wrong, where (cell, gene, file, line) and what to do instead. It is whole:
//! what the operating system or a source of counts said is part of it, and is therefore not the
//! [`source`](std::error::Error::source) of the error as well, which reporters would print again.

mod constraint;
mod message;
mod parameter;
mod place;

use std::path::PathBuf;

pub use constraint::ConstraintError;
pub(crate) use message::size;
use message::{abridged, shortened};
pub use parameter::ParameterError;
pub use place::Place;

/// The result of a fallible operation of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong in this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The matrix has no cells or no genes.
    #[error(
        "the count matrix is empty ({cells} cells × {genes} genes); nothing can be learned from it"
    )]
    EmptyMatrix {
        /// Number of cells.
        cells: usize,
        /// Number of genes.
        genes: usize,
    },
    /// Filtering left nothing.
    #[error(
        "filtering left {cells} cells × {genes} genes of {cells_before} × {genes_before}; \
         lower the filter thresholds, or check that the matrix is cells × genes"
    )]
    AllFiltered {
        /// Cells left.
        cells: usize,
        /// Genes left.
        genes: usize,
        /// Cells before filtering.
        cells_before: usize,
        /// Genes before filtering.
        genes_before: usize,
    },
    /// A value is NaN or infinite.
    #[error(
        "{count} entries are NaN or infinite, the first at cell {cell}, gene {gene}; \
         remove or repair them before clustering"
    )]
    NonFiniteCount {
        /// First such cell.
        cell: Place,
        /// First such gene.
        gene: Place,
        /// How many entries.
        count: usize,
    },
    /// A count is negative.
    #[error(
        "negative count {value} at cell {cell}, gene {gene}; pass raw counts, \
         not scaled or batch-corrected values"
    )]
    NegativeCount {
        /// The cell.
        cell: Place,
        /// The gene.
        gene: Place,
        /// The value found.
        value: f32,
    },
    /// A count is not an integer.
    #[error(
        "{count} values are not integers, the first is {value} at cell {cell}, gene {gene}; \
         pass raw counts (in AnnData often a layer or `raw`), or allow fractional values \
         explicitly for estimated counts"
    )]
    FractionalCount {
        /// First such cell.
        cell: Place,
        /// First such gene.
        gene: Place,
        /// The value found.
        value: f32,
        /// How many entries.
        count: usize,
    },
    /// The values of a matrix are no counts, but another matrix of the same file holds counts.
    #[error(
        "{}: {used} holds no counts (but {value}, for example); counts are in {counts}: {option}",
        path.display()
    )]
    CountsElsewhere {
        /// The file.
        path: PathBuf,
        /// Where the matrix that was read lies in it.
        used: String,
        /// A value of that matrix.
        value: f32,
        /// Where the counts lie.
        counts: String,
        /// How to read them.
        option: String,
    },
    /// A cell has no counts, so it has no size factor.
    #[error(
        "{count} cells have no counts in the genes used, the first is cell {cell}; \
         drop them with `with_min_counts_per_cell(1.0)`"
    )]
    EmptyCell {
        /// First such cell.
        cell: Place,
        /// How many cells.
        count: usize,
    },
    /// A sparse matrix whose parts contradict each other.
    #[error("invalid sparse matrix: {}", abridged(reason))]
    InvalidSparse {
        /// What contradicts what, and where.
        reason: String,
    },
    /// A source of counts could not be read, or gave something else than it was asked for.
    #[error("counts could not be read: {}", abridged(&cause.to_string()))]
    CountSource {
        /// What went wrong; a text or the error of another crate becomes one with `into()`.
        cause: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Something needs all counts in memory, but they are read from a source part by part.
    #[error(
        "{what} needs all counts in memory, but these cells are read from a source part by part; \
         read the counts of these cells, or of a selection, into a `CountMatrix` and prepare them \
         with `FittedPreprocess::transform`"
    )]
    CountsNotInMemory {
        /// What was asked for.
        what: &'static str,
    },
    /// Two things that must have the same length have not.
    #[error("{} has length {found}, expected {expected}", abridged(what))]
    LengthMismatch {
        /// Which input.
        what: String,
        /// Length expected.
        expected: usize,
        /// Length found.
        found: usize,
    },
    /// An input without any entries.
    #[error("{} is empty", abridged(what))]
    EmptyInput {
        /// Which input.
        what: String,
    },
    /// A value of a dense matrix or of a computed quantity is NaN or infinite.
    #[error(
        "{} has a NaN or infinite value in row {row}, column {column}",
        abridged(what)
    )]
    NonFiniteValue {
        /// Which matrix.
        what: String,
        /// Row.
        row: usize,
        /// Column.
        column: usize,
    },
    /// Names that must be unique are not.
    #[error(
        "{what} name \"{}\" occurs more than once (first at {first}, again at {second}); make names unique",
        shortened(name)
    )]
    DuplicateName {
        /// Cell or gene.
        what: &'static str,
        /// The name.
        name: String,
        /// First position.
        first: usize,
        /// Second position.
        second: usize,
    },
    /// Names among those of genes are of counters that other programs write beside them.
    #[error(
        "among the genes are counters of reads without a gene, as HTSeq, STAR, featureCounts and \
         CITE-seq-Count write them: {}; remove them from the file, in Python \
         `adata = adata[:, ~adata.var_names.isin([\"…\"])]`",
        abridged(names)
    )]
    NotGenes {
        /// The names.
        names: String,
    },
    /// Too few genes of a fitted model are present in new data.
    #[error(
        "only {found} of the model's {expected} genes are in the new data (at least 80 % are needed), \
         missing for example {}; the data have for example {}; check the gene identifiers (symbols or \
         Ensembl ids) and the species",
        abridged(examples),
        abridged(others)
    )]
    GeneOverlap {
        /// Genes found.
        found: usize,
        /// Genes of the model.
        expected: usize,
        /// Some missing names.
        examples: String,
        /// Some names of the new data, those that the model does not know first.
        others: String,
    },
    /// The requested variable-gene selection cannot be computed.
    #[error("highly variable genes: {}", abridged(reason))]
    VariableGenes {
        /// Why, and what to do.
        reason: String,
    },
    /// A covariate of cells that a model cannot use.
    #[error("the covariate \"{}\": {}", shortened(name), abridged(reason))]
    Covariate {
        /// Its name.
        name: String,
        /// Why, and what was expected.
        reason: String,
    },
    /// A setting is invalid.
    #[error(transparent)]
    Parameter(#[from] ParameterError),
    /// Constraint pairs that cannot be used.
    #[error(transparent)]
    Constraint(#[from] ConstraintError),
    /// Graph clustering found a single community.
    #[error(
        "graph clustering at resolution {resolution} found a single community; \
         give a higher resolution (for example {suggestion}), or the number of clusters"
    )]
    SingleCommunity {
        /// The resolution used.
        resolution: f64,
        /// A resolution to try.
        suggestion: f64,
    },
    /// A cluster, or the rest of the cells, is too small to be tested for marker genes.
    #[error(
        "marker genes of cluster {cluster}: it has {cells} cells and there are {others} others, \
         at least 2 of both are needed; leave it out with `MarkerConfig::with_clusters`, or merge \
         it with another cluster"
    )]
    MarkerCluster {
        /// Label of the cluster.
        cluster: usize,
        /// Cells in it.
        cells: usize,
        /// Cells outside.
        others: usize,
    },
    /// A projection to two dimensions failed.
    #[error(
        "{method} projection: {}; project with `view::projection::pca` instead",
        abridged(reason)
    )]
    Projection {
        /// The method.
        method: &'static str,
        /// What it said.
        reason: String,
    },
    /// A picture could not be drawn.
    #[error("picture: {}", abridged(reason))]
    Picture {
        /// What is wrong, and what to do.
        reason: String,
    },
    /// Training met a non-finite loss or gradient.
    ///
    /// What it had reached by the end of the last completed epoch is in the
    /// [`Failure`](crate::train::Failure) that brought this error.
    #[error(
        "{term} became non-finite in the {phase} phase, epoch {epoch}, batch {batch}; \
         lower the learning rate, or check the input for extreme values"
    )]
    Diverged {
        /// Which term of the loss.
        term: String,
        /// Which training phase.
        phase: String,
        /// Zero-based epoch.
        epoch: usize,
        /// Zero-based batch.
        batch: usize,
    },
    /// The tensor backend refused.
    #[error("compute device: {}", abridged(reason))]
    Device {
        /// What it said, and what to do.
        reason: String,
    },
    /// A file could not be read or written.
    #[error("{}: {cause}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The operating system's word.
        cause: std::io::Error,
    },
    /// A file is not what it should be.
    #[error(
        "{}{}: {}",
        path.display(), line.map(|line| format!(", line {line}")).unwrap_or_default(), abridged(reason)
    )]
    Format {
        /// The file.
        path: PathBuf,
        /// One-based line, where the format has lines.
        line: Option<usize>,
        /// What is wrong and what was expected.
        reason: String,
    },
    /// Denoised expression was asked of a model without a decoder.
    #[error(
        "this model has no decoder (DESC removes it before self-training); \
         denoise with a scDCC model"
    )]
    NoDecoder,
    /// A checkpoint that cannot be used: damaged, of a newer version, or not a checkpoint at all.
    #[error(
        "{}: not a usable checkpoint: {}; move it away or give another path to start anew",
        path.display(), abridged(reason)
    )]
    Checkpoint {
        /// The file, which is not touched.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A checkpoint of another run: of other data, settings or another seed.
    #[error(
        "{}: checkpoint of another run: {} was {} and is now {}; resume with what it \
         was written with, or give another path to start anew",
        path.display(), abridged(what), abridged(saved), abridged(current)
    )]
    CheckpointMismatch {
        /// The file, which is not touched.
        path: PathBuf,
        /// What differs.
        what: String,
        /// What it is in the checkpoint.
        saved: String,
        /// What it is in this run.
        current: String,
    },
    /// A saved model that this version cannot use.
    #[error("{}: not a usable model: {}", path.display(), abridged(reason))]
    Model {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// Reading a file would take more memory than a sound file of its size asks for.
    #[error(
        "{}, {place}: going on needs {} of memory, but {} of data are read in at most {}; the file is \
         damaged or made to exhaust memory (if it is sound, store it without compression)",
        path.display(), size(*needed), size(*file_bytes), size(*limit)
    )]
    MemoryLimit {
        /// The file, or the folder of files that belong together.
        path: PathBuf,
        /// The line or the HDF5 path.
        place: String,
        /// Bytes that reading on would hold at a time.
        needed: u64,
        /// Bytes that it may hold.
        limit: u64,
        /// Bytes of the file.
        file_bytes: u64,
    },
    /// A fit would take more memory than it may.
    #[error(
        "a fit of {cells} cells × {genes} genes takes about {} of memory, more than the {} that it may \
         take; {advice}",
        size(*needed), size(*limit)
    )]
    InsufficientMemory {
        /// Number of cells.
        cells: usize,
        /// Number of genes.
        genes: usize,
        /// Bytes that the fit is expected to take.
        needed: u64,
        /// Bytes that it may take.
        limit: u64,
        /// What to change.
        advice: String,
    },
    /// Several entries of a matrix for one cell and gene, whose sum is no exact count.
    #[error(
        "cell {cell}, gene {gene} has {entries} entries that sum to {sum}, which 32-bit floats \
         cannot hold exactly; sum duplicates before, or check where they come from"
    )]
    InexactSum {
        /// The cell.
        cell: Place,
        /// The gene.
        gene: Place,
        /// How many entries.
        entries: usize,
        /// Their sum.
        sum: f64,
    },
}

impl Error {
    /// An [`Error::Io`] for `path`.
    pub fn io(path: impl Into<PathBuf>, cause: std::io::Error) -> Self {
        Self::Io {
            path: path.into(),
            cause,
        }
    }

    /// An [`Error::Format`] for `path` at a one-based `line`.
    pub fn format(
        path: impl Into<PathBuf>,
        line: impl Into<Option<usize>>,
        reason: impl Into<String>,
    ) -> Self {
        Self::Format {
            path: path.into(),
            line: line.into(),
            reason: reason.into(),
        }
    }

    /// The error with the names of the cell and gene at its place, which was given by position.
    pub(crate) fn with_names(self, cells: &[String], genes: &[String]) -> Self {
        let named = |place: Place, names: &[String]| match place.index < names.len() {
            true => Place::named(place.index, names),
            false => place,
        };
        self.map_places(|cell| named(cell, cells), |gene| named(gene, genes))
    }

    /// The gene whose count this is about.
    pub(crate) fn gene(&self) -> Option<&Place> {
        match self {
            Self::NonFiniteCount { gene, .. }
            | Self::NegativeCount { gene, .. }
            | Self::InexactSum { gene, .. } => Some(gene),
            _ => None,
        }
    }

    /// The error with other places of the cell and gene that it is about.
    pub(crate) fn map_places(
        self,
        at_cell: impl Fn(Place) -> Place,
        at_gene: impl Fn(Place) -> Place,
    ) -> Self {
        match self {
            Self::NonFiniteCount { cell, gene, count } => Self::NonFiniteCount {
                cell: at_cell(cell),
                gene: at_gene(gene),
                count,
            },
            Self::NegativeCount { cell, gene, value } => Self::NegativeCount {
                cell: at_cell(cell),
                gene: at_gene(gene),
                value,
            },
            Self::InexactSum {
                cell,
                gene,
                entries,
                sum,
            } => Self::InexactSum {
                cell: at_cell(cell),
                gene: at_gene(gene),
                entries,
                sum,
            },
            other => other,
        }
    }
}

#[cfg(test)]
mod documented;

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use super::*;

    /// Reporters print an error, then its sources: each word once.
    #[test]
    fn a_message_is_whole_and_not_repeated_by_sources() {
        let errors = [
            Error::io("cells.h5ad", std::io::Error::other("the disk is gone")),
            Error::CountSource {
                cause: "the disk is gone".into(),
            },
        ];
        for error in errors {
            assert!(error.to_string().contains("the disk is gone"));
            assert!(error.source().is_none());
        }
    }
}
