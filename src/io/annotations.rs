//! What is known about cells besides their counts.

use ndarray::{Array2, ArrayView2};

use crate::counts::CountMatrix;
use crate::error::{Error, Result};

/// Counts together with what is known about their cells.
///
/// ```
/// use celldec::counts::CountMatrix;
/// use celldec::io::{AnnotatedCounts, Annotation};
/// use ndarray::array;
///
/// let counts = CountMatrix::from_dense(array![[0.0, 2.0], [1.0, 0.0]].view())?;
/// let data = AnnotatedCounts::new(counts)
///     .with_annotation("age", Annotation::Integers(vec![Some(3), None]))?
///     .with_embedding("X_pca", array![[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]])?;
/// assert_eq!(data.cell_annotations.get("age").map(Annotation::len), Some(2));
/// assert_eq!(data.embedding("X_pca").map(|pca| pca.ncols()), Some(3));
/// # Ok::<(), celldec::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct AnnotatedCounts {
    /// Raw counts `[cells, genes]`.
    pub counts: CountMatrix,
    /// One value for every cell in every column (AnnData's `obs`).
    pub cell_annotations: CellAnnotations,
    /// Names and matrices `[cells, dimensions]`, such as "X_pca" (AnnData's `obsm`).
    pub embeddings: Vec<(String, Array2<f32>)>,
}

impl AnnotatedCounts {
    /// Counts of cells of which nothing else is known.
    pub fn new(counts: CountMatrix) -> Self {
        Self {
            counts,
            cell_annotations: CellAnnotations::default(),
            embeddings: Vec::new(),
        }
    }

    /// Adds a column, or replaces the one of this name.
    ///
    /// # Errors
    /// [`Error::LengthMismatch`] when it has not one value for every cell.
    pub fn with_annotation(
        mut self,
        name: impl Into<String>,
        annotation: Annotation,
    ) -> Result<Self> {
        let name = name.into();
        self.check_length("the annotation", &name, annotation.len())?;
        replace(&mut self.cell_annotations.columns, name, annotation);
        Ok(self)
    }

    /// Adds a matrix `[cells, dimensions]`, or replaces the one of this name.
    ///
    /// # Errors
    /// [`Error::LengthMismatch`] when it has not one row for every cell.
    pub fn with_embedding(
        mut self,
        name: impl Into<String>,
        embedding: Array2<f32>,
    ) -> Result<Self> {
        let name = name.into();
        self.check_length("the embedding", &name, embedding.nrows())?;
        replace(&mut self.embeddings, name, embedding);
        Ok(self)
    }

    /// The matrix of this name `[cells, dimensions]`.
    pub fn embedding(&self, name: &str) -> Option<ArrayView2<'_, f32>> {
        self.embeddings
            .iter()
            .find_map(|(other, embedding)| (other == name).then(|| embedding.view()))
    }

    fn check_length(&self, what: &str, name: &str, found: usize) -> Result<()> {
        let expected = self.counts.cells();
        if found == expected {
            return Ok(());
        }
        Err(Error::LengthMismatch {
            what: format!("{what} \"{name}\""),
            expected,
            found,
        })
    }
}

fn replace<T>(list: &mut Vec<(String, T)>, name: String, value: T) {
    match list.iter_mut().find(|(other, _)| *other == name) {
        Some((_, old)) => *old = value,
        None => list.push((name, value)),
    }
}

/// Named annotation columns, in the order of their file; every column has one value for every
/// cell.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct CellAnnotations {
    columns: Vec<(String, Annotation)>,
    unread: Vec<UnreadAnnotation>,
}

/// A column that a file has and that could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct UnreadAnnotation {
    /// Its name.
    pub name: String,
    /// Why.
    pub reason: String,
}

impl CellAnnotations {
    #[cfg(any(feature = "h5ad", test))]
    pub(crate) fn new(columns: Vec<(String, Annotation)>) -> Self {
        Self {
            columns,
            unread: Vec::new(),
        }
    }

    #[cfg(feature = "h5ad")]
    pub(crate) fn with_unread(mut self, unread: Vec<UnreadAnnotation>) -> Self {
        self.unread = unread;
        self
    }

    /// Columns of the file that could not be read, such as those of an encoding that is not
    /// supported, and why.
    pub fn unread(&self) -> &[UnreadAnnotation] {
        &self.unread
    }

    /// The column of this name.
    pub fn get(&self, name: &str) -> Option<&Annotation> {
        self.iter()
            .find_map(|(column, annotation)| (column == name).then_some(annotation))
    }

    /// Names of all columns.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.iter().map(|(name, _)| name)
    }

    /// Names and columns.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Annotation)> {
        self.columns
            .iter()
            .map(|(name, annotation)| (name.as_str(), annotation))
    }

    /// Number of columns.
    pub fn len(&self) -> usize {
        self.columns.len()
    }

    /// Whether there are no columns.
    pub fn is_empty(&self) -> bool {
        self.columns.is_empty()
    }
}

/// One annotation column: a value, possibly missing, for every cell.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Annotation {
    /// One of a few categories, such as a cell type.
    Categorical {
        /// Index into `categories` for every cell; `None` when missing.
        codes: Vec<Option<u32>>,
        /// Names of the categories.
        categories: Vec<String>,
    },
    /// Free text.
    Strings(Vec<Option<String>>),
    /// Whole numbers.
    Integers(Vec<Option<i64>>),
    /// Real numbers; a missing value is NaN.
    Floats(Vec<f64>),
    /// Truth values.
    Booleans(Vec<Option<bool>>),
}

impl Annotation {
    /// Number of cells.
    pub fn len(&self) -> usize {
        match self {
            Self::Categorical { codes, .. } => codes.len(),
            Self::Strings(values) => values.len(),
            Self::Integers(values) => values.len(),
            Self::Floats(values) => values.len(),
            Self::Booleans(values) => values.len(),
        }
    }

    /// Whether there are no cells.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The value of every cell as a label, `None` where it is missing.
    ///
    /// Blanks around a text do not count. One that is empty, or that pandas reads as missing (`NA`,
    /// `N/A`, `NaN`, `<NA>`, `None`, `null` and the like), is missing.
    pub fn labels(&self) -> Vec<Option<String>> {
        let mut texts = self.texts();
        if let Self::Categorical { .. } | Self::Strings(_) = self {
            for text in &mut texts {
                let label = text.as_deref().and_then(label);
                if label != text.as_deref() {
                    *text = label.map(str::to_string);
                }
            }
        }
        texts
    }

    /// The value of every cell as text, as it is stored; `None` where it is missing.
    pub(crate) fn texts(&self) -> Vec<Option<String>> {
        match self {
            Self::Categorical { codes, categories } => codes
                .iter()
                .map(|code| code.and_then(|code| categories.get(code as usize).cloned()))
                .collect(),
            Self::Strings(values) => values.clone(),
            Self::Integers(values) => as_text(values),
            Self::Floats(values) => values
                .iter()
                .map(|value| (!value.is_nan()).then(|| value.to_string()))
                .collect(),
            Self::Booleans(values) => as_text(values),
        }
    }
}

/// The label that a text is, without blanks around it; `None` for one that says that there is none.
pub(super) fn label(text: &str) -> Option<&str> {
    let text = text.trim();
    (!MISSING.contains(&text)).then_some(text)
}

/// Texts that stand for a missing value: those of pandas' `read_csv`.
const MISSING: [&str; 19] = [
    "", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN",
    "<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null",
];

fn as_text<T: ToString>(values: &[Option<T>]) -> Vec<Option<String>> {
    values
        .iter()
        .map(|value| value.as_ref().map(T::to_string))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_keep_missing_values_apart() {
        let text = |value: &str| Some(value.to_string());
        let categorical = Annotation::Categorical {
            codes: vec![Some(1), None, Some(0)],
            categories: vec!["B".into(), "T".into()],
        };
        assert_eq!(categorical.labels(), [text("T"), None, text("B")]);
        assert_eq!(
            Annotation::Floats(vec![1.5, f64::NAN]).labels(),
            [text("1.5"), None]
        );
        assert_eq!(
            Annotation::Booleans(vec![Some(true), None]).labels(),
            [text("true"), None]
        );
        assert_eq!(Annotation::Integers(vec![Some(-3)]).labels(), [text("-3")]);
        let spelled = ["B ", "NA", " <NA>", "", "Nan"].map(text);
        let expected = [text("B"), None, None, None, text("Nan")];
        assert_eq!(Annotation::Strings(spelled.to_vec()).labels(), expected);
        let categories = Annotation::Categorical {
            codes: vec![Some(0), Some(1), Some(2), None],
            categories: ["B", "B\t", "nan"].map(String::from).to_vec(),
        };
        assert_eq!(categories.labels(), [text("B"), text("B"), None, None]);
        assert_eq!(categories.texts()[2], text("nan"));
        let columns = CellAnnotations::new(vec![("type".into(), categorical)]);
        assert_eq!(columns.names().collect::<Vec<_>>(), ["type"]);
        assert_eq!(columns.get("type").map(Annotation::len), Some(3));
        assert!(columns.get("other").is_none());
    }
}
