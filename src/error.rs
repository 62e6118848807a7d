//! Everything that can go wrong, one variant per cause.
//!
//! A message says what was wrong, where (cell, gene, file, line) and what to do instead. It is whole:
//! what the operating system or a source of counts said is part of it, and is therefore not the
//! [`source`](std::error::Error::source) of the error as well, which reporters would print again.

use std::fmt;
use std::path::PathBuf;

/// The result of a fallible operation of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A row or column of a matrix: its zero-based position and its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Zero-based position.
    pub index: usize,
    /// Name (cell barcode or gene symbol); empty when the matrix has no names.
    pub name: String,
}

impl Place {
    /// A place from its position and name.
    pub fn new(index: usize, name: impl Into<String>) -> Self {
        Self {
            index,
            name: name.into(),
        }
    }

    /// A place with its name among the names of all rows or columns; empty when there is none.
    pub(crate) fn named(index: usize, names: &[String]) -> Self {
        Self::new(index, names.get(index).cloned().unwrap_or_default())
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.name.is_empty() {
            write!(f, "{}", self.index)
        } else {
            write!(f, "{} (\"{}\")", self.index, shortened(&self.name))
        }
    }
}

/// A name for messages: as much of it as people read.
fn shortened(name: &str) -> std::borrow::Cow<'_, str> {
    const MOST: usize = 100;
    match name.char_indices().nth(MOST) {
        None => name.into(),
        Some((end, _)) => format!("{}…", &name[..end]).into(),
    }
}

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
    #[error("invalid sparse matrix: {reason}")]
    InvalidSparse {
        /// What contradicts what, and where.
        reason: String,
    },
    /// A source of counts could not be read, or gave something else than it was asked for.
    #[error("counts could not be read: {cause}")]
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
    #[error("{what} has length {found}, expected {expected}")]
    LengthMismatch {
        /// Which input.
        what: String,
        /// Length expected.
        expected: usize,
        /// Length found.
        found: usize,
    },
    /// An input without any entries.
    #[error("{what} is empty")]
    EmptyInput {
        /// Which input.
        what: String,
    },
    /// A value of a dense matrix or of a computed quantity is NaN or infinite.
    #[error("{what} has a NaN or infinite value in row {row}, column {column}")]
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
    /// Too few genes of a fitted model are present in new data.
    #[error(
        "only {found} of the model's {expected} genes are in the new data (at least 80 % are needed), \
         missing for example {examples}; check the gene identifiers (symbols or Ensembl ids) and the species"
    )]
    GeneOverlap {
        /// Genes found.
        found: usize,
        /// Genes of the model.
        expected: usize,
        /// Some missing names.
        examples: String,
    },
    /// The requested variable-gene selection cannot be computed.
    #[error("highly variable genes: {reason}")]
    VariableGenes {
        /// Why, and what to do.
        reason: String,
    },
    /// A covariate of cells that a model cannot use.
    #[error("the covariate \"{name}\": {reason}")]
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
    #[error("{method} projection: {reason}; project with `view::projection::pca` instead")]
    Projection {
        /// The method.
        method: &'static str,
        /// What it said.
        reason: String,
    },
    /// A picture could not be drawn.
    #[error("picture: {reason}")]
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
    #[error("compute device: {reason}")]
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
    #[error("{}{}: {reason}", path.display(), line.map(|line| format!(", line {line}")).unwrap_or_default())]
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
        "{}: not a usable checkpoint: {reason}; move it away or give another path to start anew",
        path.display()
    )]
    Checkpoint {
        /// The file, which is not touched.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A checkpoint of another run: of other data, settings or another seed.
    #[error(
        "{}: checkpoint of another run: {what} was {saved} and is now {current}; resume with what it \
         was written with, or give another path to start anew",
        path.display()
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
    #[error("{}: not a usable model: {reason}", path.display())]
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

/// A number of bytes for messages.
pub(crate) fn size(bytes: u64) -> String {
    match bytes {
        0..10_000 => format!("{bytes} bytes"),
        10_000..10_000_000 => format!("{} KB", bytes / 1000),
        10_000_000..10_000_000_000 => format!("{} MB", bytes / 1_000_000),
        _ => format!("{} GB", bytes / 1_000_000_000),
    }
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

/// A setting outside its range: one variant per setting.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ParameterError {
    /// Fewer than two clusters.
    #[error("the number of clusters must be at least 2, got {clusters}")]
    TooFewClusters {
        /// Clusters asked for.
        clusters: usize,
    },
    /// Number of clusters outside `2..=cells`.
    #[error(
        "the number of clusters must be between 2 and the number of cells ({cells}), got {clusters}"
    )]
    Clusters {
        /// Clusters asked for.
        clusters: usize,
        /// Cells there are.
        cells: usize,
    },
    /// Learning rate zero, negative or not finite.
    #[error("the learning rate of {phase} must be positive and finite, got {value}")]
    LearningRate {
        /// Which phase.
        phase: &'static str,
        /// Value given.
        value: f64,
    },
    /// A schedule of the learning rate that cannot be.
    #[error("the learning rate of {phase}: {reason}")]
    Schedule {
        /// Which phase.
        phase: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// Batch size zero.
    #[error("the batch size must be at least 1")]
    BatchSize,
    /// Number of epochs zero where at least one is needed.
    #[error("{name} must be at least 1")]
    Epochs {
        /// Which count of epochs.
        name: &'static str,
    },
    /// A value outside its range.
    #[error("{name} must be {requirement}, got {value}")]
    OutOfRange {
        /// Which setting.
        name: &'static str,
        /// What is allowed.
        requirement: &'static str,
        /// Value given.
        value: f64,
    },
    /// A list of layer widths that is empty or holds a zero.
    #[error("{name} must be a non-empty list of positive widths, got {value:?}")]
    LayerWidths {
        /// Which list.
        name: &'static str,
        /// Value given.
        value: Vec<usize>,
    },
    /// A list of resolutions that is empty or holds a non-positive value.
    #[error("resolutions must be a non-empty list of positive finite numbers, got {value:?}")]
    Resolutions {
        /// Value given.
        value: Vec<f64>,
    },
    /// Settings that contradict each other.
    #[error("{reason}")]
    Conflict {
        /// Which settings, and what to change.
        reason: String,
    },
}

/// Why constraint pairs cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConstraintError {
    /// A pair names a cell that does not exist.
    #[error("{kind} pair {pair}: ({first}, {second}) names a cell outside 0..{cells}")]
    OutOfRange {
        /// Must-link or cannot-link.
        kind: &'static str,
        /// Position of the pair in its list.
        pair: usize,
        /// First cell.
        first: usize,
        /// Second cell.
        second: usize,
        /// Number of cells.
        cells: usize,
    },
    /// A pair of a cell with itself.
    #[error("{kind} pair {pair}: cell {cell} is paired with itself")]
    SelfPair {
        /// Must-link or cannot-link.
        kind: &'static str,
        /// Position of the pair in its list.
        pair: usize,
        /// The cell.
        cell: usize,
    },
    /// Cannot-link pairs inside a must-link component.
    #[error(
        "{count} cannot-link pairs contradict the must-link pairs, the first is \
         ({first}, {second}): both cells are in one must-link component; remove one side"
    )]
    Contradiction {
        /// First cell of the first conflict.
        first: usize,
        /// Second cell of the first conflict.
        second: usize,
        /// Number of conflicting cannot-link pairs.
        count: usize,
        /// All conflicting cannot-link pairs.
        pairs: Vec<(usize, usize)>,
    },
    /// More pairs asked for than the labelled cells allow.
    #[error(
        "{asked} {kind} pairs were asked for but the labelled cells allow only {available}; ask for fewer or label more cells"
    )]
    TooFewPairs {
        /// Must-link, cannot-link or both.
        kind: &'static str,
        /// Pairs asked for.
        asked: usize,
        /// Pairs there are.
        available: usize,
    },
}

#[cfg(test)]
mod documented;

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use super::*;

    #[test]
    fn long_names_are_shortened() {
        let place = Place::new(3, "ä🧬".repeat(2000));
        let message = place.to_string();
        assert!(message.starts_with("3 (\"ä🧬ä🧬") && message.ends_with("…\")"));
        assert!(message.len() < 700, "{}", message.len());
        assert_eq!(Place::new(3, "CD3E").to_string(), "3 (\"CD3E\")");
    }

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
