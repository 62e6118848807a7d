//! Results of cells in plain pieces, and the names they get in an AnnData file.

use ndarray::Array2;
use serde_json::Value;

/// What a method found out about cells, in plain pieces: labels and, optionally, how sure they are,
/// an embedding, soft assignments, denoised expression and settings.
///
/// [`Fit::results`](crate::model::Fit::results) makes one of a fit; other methods build their own.
///
/// ```
/// use celldec::io::CellResults;
/// use ndarray::array;
///
/// // Of four cells in the file, the second was filtered away.
/// let results = CellResults::new(vec![0, 2, 0])
///     .with_kept_cells(vec![0, 2, 3])
///     .with_confidence(vec![0.9, 0.8, 0.7])
///     .with_embedding(array![[0.1, 0.2], [0.3, 0.4], [0.5, 0.6]])
///     .with_details(serde_json::json!({"method": "my method", "seed": 7}));
/// # let _ = results;
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct CellResults {
    pub(super) labels: Vec<usize>,
    pub(super) kept_cells: Option<Vec<usize>>,
    pub(super) cell_names: Option<Vec<String>>,
    pub(super) confidence: Option<Vec<f32>>,
    pub(super) embedding: Option<Array2<f32>>,
    pub(super) soft_assignments: Option<Array2<f32>>,
    pub(super) denoised: Option<(Array2<f32>, Vec<String>)>,
    pub(super) details: Option<Value>,
}

impl CellResults {
    /// From the cluster of every cell.
    pub fn new(labels: Vec<usize>) -> Self {
        Self {
            labels,
            kept_cells: None,
            cell_names: None,
            confidence: None,
            embedding: None,
            soft_assignments: None,
            denoised: None,
            details: None,
        }
    }

    /// The positions in the file of the cells that the results are of, one for every label
    /// (default: all cells of the file, in its order). Cells elsewhere get missing values.
    pub fn with_kept_cells(mut self, positions: Vec<usize>) -> Self {
        self.kept_cells = Some(positions);
        self
    }

    /// The names of the cells that the results are of, one for every label: writing is refused when
    /// the file has other names there (default: not compared).
    pub fn with_cell_names(mut self, names: Vec<String>) -> Self {
        self.cell_names = Some(names);
        self
    }

    /// How sure the label of every cell is, such as its largest soft assignment.
    pub fn with_confidence(mut self, confidence: Vec<f32>) -> Self {
        self.confidence = Some(confidence);
        self
    }

    /// An embedding `[cells, latent]`.
    pub fn with_embedding(mut self, embedding: Array2<f32>) -> Self {
        self.embedding = Some(embedding);
        self
    }

    /// Soft assignments `[cells, clusters]`.
    pub fn with_soft_assignments(mut self, soft_assignments: Array2<f32>) -> Self {
        self.soft_assignments = Some(soft_assignments);
        self
    }

    /// Denoised expression `[cells, genes]` with the names of its genes, such as
    /// [`FittedModel::denoise`](crate::model::FittedModel::denoise) and
    /// [`Cells::gene_names`](crate::preprocess::Cells::gene_names) give.
    pub fn with_denoised(mut self, denoised: Array2<f32>, gene_names: Vec<String>) -> Self {
        self.denoised = Some((denoised, gene_names));
        self
    }

    /// Settings, histories and whatever else explains the results. Objects become dictionaries of
    /// `uns`, lists of numbers or of texts arrays; null among numbers is NaN.
    pub fn with_details(mut self, details: Value) -> Self {
        self.details = Some(details);
        self
    }
}

/// Under which names results lie in an AnnData file.
///
/// From a name, such as "scdcc": `obs["scdcc"]`, `obs["scdcc_confidence"]`, `obsm["X_scdcc"]`,
/// `obsm["scdcc_soft_assignments"]`, `layers["scdcc_denoised"]` and `uns["scdcc"]`.
///
/// ```
/// use celldec::io::ResultKeys;
///
/// let keys = ResultKeys::new("scdcc").with_denoised_in_obsm(true);
/// assert_ne!(keys, ResultKeys::from("scdcc"));
/// // Names of the Python program: obs["desc_0.8"], obsm["X_Embeded_z0.8"], uns["prob_matrix0.8"].
/// let keys = ResultKeys::desc(0.8);
/// # let _ = keys;
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResultKeys {
    pub(super) labels: String,
    pub(super) confidence: String,
    pub(super) embedding: String,
    pub(super) soft_assignments: SoftAssignmentsKey,
    pub(super) denoised: String,
    pub(super) denoised_in_obsm: bool,
    pub(super) details: String,
}

/// Where soft assignments lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum SoftAssignmentsKey {
    Obsm(String),
    Uns(String),
}

impl ResultKeys {
    /// Names that start with this one.
    pub fn new(name: impl Into<String>) -> Self {
        let labels = name.into();
        Self {
            confidence: format!("{labels}_confidence"),
            embedding: format!("X_{labels}"),
            soft_assignments: SoftAssignmentsKey::Obsm(format!("{labels}_soft_assignments")),
            denoised: format!("{labels}_denoised"),
            denoised_in_obsm: false,
            details: labels.clone(),
            labels,
        }
    }

    /// The names that the Python program of DESC gives the results of a resolution, for programs
    /// that expect them: labels `obs["desc_0.8"]`, embedding `obsm["X_Embeded_z0.8"]` (its
    /// spelling), soft assignments `uns["prob_matrix0.8"]` (`desc/models/desc.py` of eleozzr/desc).
    /// A resolution of 1 is "1.0" there.
    pub fn desc(resolution: f64) -> Self {
        // Debug formatting keeps the ".0" of whole numbers, as Python's str does.
        let resolution = format!("{resolution:?}");
        Self {
            embedding: format!("X_Embeded_z{resolution}"),
            soft_assignments: SoftAssignmentsKey::Uns(format!("prob_matrix{resolution}")),
            ..Self::new(format!("desc_{resolution}"))
        }
    }

    /// Whether denoised expression goes to `obsm`, with the names of its genes in
    /// `uns[…]["denoised_genes"]`, instead of to a layer (default). A layer has to hold all genes of
    /// the file.
    pub fn with_denoised_in_obsm(mut self, in_obsm: bool) -> Self {
        self.denoised_in_obsm = in_obsm;
        self
    }
}

impl From<&str> for ResultKeys {
    fn from(name: &str) -> Self {
        Self::new(name)
    }
}

impl From<String> for ResultKeys {
    fn from(name: String) -> Self {
        Self::new(name)
    }
}
