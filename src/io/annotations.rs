//! What is known about cells besides their counts.

use crate::counts::CountMatrix;

/// Counts together with the annotation columns of their cells.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct AnnotatedCounts {
    /// Raw counts `[cells, genes]`.
    pub counts: CountMatrix,
    /// One value for every cell in every column (AnnData's `obs`).
    pub cell_annotations: CellAnnotations,
}

/// Named annotation columns, in the order of their file; every column has one value for every
/// cell.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct CellAnnotations {
    columns: Vec<(String, Annotation)>,
}

impl CellAnnotations {
    #[cfg(any(feature = "h5ad", test))]
    pub(crate) fn new(columns: Vec<(String, Annotation)>) -> Self {
        Self { columns }
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

    /// The value of every cell as text, `None` where it is missing.
    pub fn labels(&self) -> Vec<Option<String>> {
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
        let columns = CellAnnotations::new(vec![("type".into(), categorical)]);
        assert_eq!(columns.names().collect::<Vec<_>>(), ["type"]);
        assert_eq!(columns.get("type").map(Annotation::len), Some(3));
        assert!(columns.get("other").is_none());
    }
}
