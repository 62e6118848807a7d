//! Which batch every cell is of.

use std::collections::HashMap;
use std::fmt::{Display, Write as _};

use crate::error::{Error, Result};

/// The batch of every cell.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct BatchLabels {
    /// Labels that occur, sorted (numbers by value).
    names: Vec<String>,
    /// Position in `names` of every cell's label.
    codes: Vec<usize>,
}

impl BatchLabels {
    pub fn new<L: Display>(cells: usize, batches: &[L]) -> Result<Self> {
        if batches.len() != cells {
            return Err(Error::LengthMismatch {
                what: "the list of batch labels".into(),
                expected: cells,
                found: batches.len(),
            });
        }
        Ok(Self::from_labels(batches))
    }

    fn from_labels<L: Display>(labels: &[L]) -> Self {
        let mut code: HashMap<String, usize> = HashMap::new();
        let mut label = String::new();
        let codes = labels
            .iter()
            .map(|displayed| {
                label.clear();
                // Writing into a string cannot fail.
                let _ = write!(label, "{displayed}");
                match code.get(&label) {
                    Some(&known) => known,
                    None => {
                        code.insert(label.clone(), code.len());
                        code.len() - 1
                    }
                }
            })
            .collect();
        let mut names = vec![String::new(); code.len()];
        for (name, code) in code {
            names[code] = name;
        }
        Self { names, codes }.sorted()
    }

    /// The same labels with sorted names, those that do not occur forgotten.
    fn sorted(self) -> Self {
        let mut occurs = vec![false; self.names.len()];
        for &code in &self.codes {
            occurs[code] = true;
        }
        let mut order: Vec<usize> = (0..self.names.len()).filter(|&code| occurs[code]).collect();
        // Integers sort by value, before other labels, so that the codes of batches numbered from
        // zero are their numbers.
        order.sort_by_cached_key(|&code| {
            let name = &self.names[code];
            let number = name.parse::<u64>().ok();
            (number.is_none(), number, name.clone())
        });
        let mut position = vec![0; self.names.len()];
        for (new, &old) in order.iter().enumerate() {
            position[old] = new;
        }
        Self {
            names: order.iter().map(|&code| self.names[code].clone()).collect(),
            codes: self.codes.iter().map(|&code| position[code]).collect(),
        }
    }

    pub fn names(&self) -> &[String] {
        &self.names
    }

    pub fn codes(&self) -> &[usize] {
        &self.codes
    }

    /// The cells of a batch, rising.
    pub fn members(&self, code: usize) -> Vec<usize> {
        (0..self.codes.len())
            .filter(|&cell| self.codes[cell] == code)
            .collect()
    }

    /// The labels of some cells; batches without any of them are forgotten.
    pub fn select(&self, cells: &[usize]) -> Self {
        Self {
            names: self.names.clone(),
            codes: cells.iter().map(|&cell| self.codes[cell]).collect(),
        }
        .sorted()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbered_batches_keep_their_numbers() {
        let labels: Vec<String> = (0..12).rev().map(|i| i.to_string()).collect();
        let labels = BatchLabels::from_labels(&labels);
        assert_eq!(labels.codes()[0], 11);
        assert_eq!(labels.names()[10], "10");
    }

    #[test]
    fn batches_without_cells_are_forgotten() {
        let labels = BatchLabels::from_labels(&["b", "10", "a", "9", "b"]);
        assert_eq!(labels.names(), ["9", "10", "a", "b"]);
        assert_eq!(labels.codes(), [3, 1, 2, 0, 3]);
        let some = labels.select(&[1, 4, 0]);
        assert_eq!(some.names(), ["10", "b"]);
        assert_eq!(some.codes(), [0, 1, 1]);
    }
}
