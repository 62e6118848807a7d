//! Where in a matrix something is wrong.

use std::fmt;

use super::message::shortened;

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_names_are_shortened() {
        let place = Place::new(3, "ä🧬".repeat(2000));
        let message = place.to_string();
        assert!(message.starts_with("3 (\"ä🧬ä🧬") && message.ends_with("…\")"));
        assert!(message.len() < 700, "{}", message.len());
        assert_eq!(Place::new(3, "CD3E").to_string(), "3 (\"CD3E\")");
    }
}
