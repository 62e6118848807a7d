//! AnnData `.h5ad` files of all versions of anndata, and MuData `.h5mu` files.

mod append;
mod contents;
mod details;
mod elsewhere;
mod embedding;
mod encode;
mod extend;
mod frame;
mod gene_names;
mod gene_types;
mod host;
mod matrix;
mod modality;
mod records;
mod results;
mod source;
mod write;

use std::fmt;
use std::path::Path;

use super::annotations::AnnotatedCounts;
use super::features::FeatureTypes;
use super::hdf5::Store;

use super::names::named;
use crate::counts::Origin;
use crate::error::Result;
pub use append::H5adResults;
pub use contents::{H5adContents, H5adMatrixInfo, MatrixValues};
use elsewhere::MatrixRead;
pub(super) use frame::read_plain;
use gene_names::GeneNaming;
pub(super) use matrix::read_dense;
pub use results::{CellResults, ResultKeys};
pub use source::H5adSource;
pub use write::write_h5ad;

/// Which matrix of an AnnData file holds the counts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum H5adMatrix {
    /// The main matrix, `adata.X`.
    #[default]
    X,
    /// A layer, `adata.layers[name]`.
    Layer(String),
    /// The matrix before gene selection, `adata.raw.X`, with its own genes.
    Raw,
}

/// What to read of an AnnData file.
///
/// ```
/// use celldec::io::H5adOptions;
/// # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/h5ad/annotations.h5ad");
///
/// let data = H5adOptions::new()
///     .with_annotations(["cell_type"])
///     .read(path)?;
/// let types = data.cell_annotations.get("cell_type").map(|column| column.labels());
/// assert_eq!(types.unwrap_or_default()[..2], [Some("T".to_string()), None]);
/// # Ok::<(), celldec::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct H5adOptions {
    matrix: H5adMatrix,
    annotations: Option<Vec<String>>,
    embeddings: Vec<String>,
    gene_naming: GeneNaming,
    feature_types: FeatureTypes,
}

impl H5adOptions {
    /// The matrix `X`, gene expression only, and all annotation columns.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads counts from this matrix (default: `X`).
    pub fn with_matrix(mut self, matrix: H5adMatrix) -> Self {
        self.matrix = matrix;
        self
    }

    /// Reads counts from the layer of this name.
    pub fn with_layer(self, name: impl Into<String>) -> Self {
        self.with_matrix(H5adMatrix::Layer(name.into()))
    }

    /// Reads counts from `raw`.
    pub fn with_raw(self) -> Self {
        self.with_matrix(H5adMatrix::Raw)
    }

    /// Names genes by this column of `var` (default: by its index), such as "feature_name" in files of
    /// CELLxGENE, whose index holds identifiers of Ensembl.
    pub fn with_gene_names(mut self, column: impl Into<String>) -> Self {
        self.gene_naming = GeneNaming::Column(column.into());
        self
    }

    /// Names genes as most of these are, such as those of a fitted model: by the index of `var`, or
    /// by its column of names or identifiers ("feature_name", "gene_symbols", "gene_ids" and others)
    /// that has more of them. Versions of Ensembl's identifiers ("ENSG00000167286.10") do not count.
    pub fn with_gene_names_like(mut self, names: &[String]) -> Self {
        self.gene_naming = GeneNaming::Like(names.to_vec());
        self
    }

    /// Keeps features of this type, such as "Antibody Capture", by the column "feature_types" of `var`
    /// (default: "Gene Expression" where features are of several types).
    pub fn with_feature_type(mut self, feature_type: impl Into<String>) -> Self {
        self.feature_types = FeatureTypes::Only(feature_type.into());
        self
    }

    /// Whether to keep features of every type (default: only "Gene Expression").
    pub fn with_all_feature_types(mut self, all: bool) -> Self {
        self.feature_types = FeatureTypes::every(all);
        self
    }

    /// Reads only these annotation columns; one that cannot be read is then an error (default: all
    /// that can be read).
    pub fn with_annotations<S: Into<String>>(
        mut self,
        columns: impl IntoIterator<Item = S>,
    ) -> Self {
        self.annotations = Some(columns.into_iter().map(Into::into).collect());
        self
    }

    /// Also reads these matrices of `obsm`, such as "X_pca" (default: none).
    pub fn with_embeddings<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        self.embeddings = names.into_iter().map(Into::into).collect();
        self
    }

    /// Reads the file; see [`read_h5ad`].
    ///
    /// # Errors
    /// As [`read_h5ad`].
    pub fn read(&self, path: impl AsRef<Path>) -> Result<AnnotatedCounts> {
        let store = modality::open(path.as_ref(), Store::open)?;
        let cells = frame::read_index(&store, "/obs")?;
        let (matrix_at, genes_at) = matrix::locate(&store, &self.matrix)?;
        let genes = gene_names::read(&store, genes_at, &self.gene_naming)?;
        gene_names::check_sides(&store, genes_at, &cells, &genes)?;
        let kept = gene_types::select(&store, genes_at, genes.len(), &self.feature_types)?;
        let counts = matrix::read(&store, &matrix_at, cells.len(), genes.len());
        let cell_annotations =
            frame::read_columns(&store, "/obs", cells.len(), self.annotations.as_deref())?;
        let embeddings = embedding::read_all(&store, &self.embeddings, cells.len())?;
        store.within(genes_at, store.budget().allow_naming(cells.len(), &genes))?;
        let origin = Origin::of(MatrixRead::new(path.as_ref(), &self.matrix));
        let mut counts = named(counts, cells, genes).map_err(|error| origin.explain(error))?;
        if let Some(kept) = kept {
            store.within(genes_at, store.budget().allow_selection(&counts))?;
            counts = counts.select_genes(&kept)?;
        }
        Ok(AnnotatedCounts {
            counts: counts.with_origin(origin),
            cell_annotations,
            embeddings,
        })
    }
}

impl fmt::Display for H5adMatrix {
    /// Where it lies in the file.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::X => f.write_str("X"),
            Self::Layer(name) => write!(f, "layers/{name}"),
            Self::Raw => f.write_str("raw"),
        }
    }
}

/// Reads an AnnData file: the matrix `X` as counts (cells × genes) and all columns of `obs`.
///
/// Matrices may be CSR, CSC or dense with any numeric type and index type; `obs` columns may be
/// categorical, text, numbers or booleans, each with missing values; columns of other encodings are
/// named by [`CellAnnotations::unread`](super::CellAnnotations::unread). [`H5adOptions`] chooses a layer
/// or `raw`, which columns to read and which matrices of `obsm`. Repeated gene names are made unique
/// as by [`read_10x_mtx`](super::read_10x_mtx). Where `var` has a column "feature_types" of several types,
/// such as "Antibody Capture" beside "Gene Expression", only features of the latter are kept. Of a MuData
/// file (`.h5mu`), the modality "rna" is read, or the one of gene expression. A file that is compressed as
/// a whole (`.h5ad.gz`) is decompressed into a temporary file. Other parts of the file (`uns`, `obsp`, …)
/// are ignored.
///
/// # Errors
/// [`Error::Format`](crate::Error::Format) with the HDF5 path when the matrix is missing (naming
/// those there are), no feature is of the wanted type, an encoding is not supported, a part lies in another
/// file, or the file is damaged;
/// [`Error::Io`](crate::Error::Io) when it cannot be read;
/// [`Error::NegativeCount`](crate::Error::NegativeCount), or
/// [`Error::CountsElsewhere`](crate::Error::CountsElsewhere) when another matrix holds counts, and
/// [`Error::NonFiniteCount`](crate::Error::NonFiniteCount) for such values;
/// [`Error::MemoryLimit`](crate::Error::MemoryLimit) when it asks for more memory than its size
/// warrants.
pub fn read_h5ad(path: impl AsRef<Path>) -> Result<AnnotatedCounts> {
    H5adOptions::new().read(path)
}
