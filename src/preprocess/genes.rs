//! Finding the same genes in another matrix.

use std::collections::{HashMap, HashSet};

use serde::{Deserialize, Serialize};

/// Genes identified by name and, because symbols are not always unique, by which occurrence of
/// that name they are: the second "HSPA14" of a model is the second "HSPA14" of new data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct GeneList {
    names: Vec<String>,
    occurrences: Vec<u32>,
}

impl GeneList {
    /// The genes at `positions` of a matrix with these gene names.
    pub fn select(all_names: &[String], positions: &[usize]) -> Self {
        let occurrences = occurrences(all_names);
        Self {
            names: positions
                .iter()
                .map(|&gene| all_names[gene].clone())
                .collect(),
            occurrences: positions.iter().map(|&gene| occurrences[gene]).collect(),
        }
    }

    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Whether every name has its occurrence and no two genes have the same of both: they would be
    /// found in the same place.
    pub fn is_consistent(&self) -> bool {
        let mut seen = HashSet::new();
        self.names.len() == self.occurrences.len()
            && self
                .names
                .iter()
                .zip(&self.occurrences)
                .all(|gene| seen.insert(gene))
    }

    /// Where each gene of this list is in a matrix with these gene names.
    pub fn locate(&self, all_names: &[String]) -> Vec<Option<usize>> {
        let positions: HashMap<(&str, u32), usize> = all_names
            .iter()
            .zip(occurrences(all_names))
            .enumerate()
            .map(|(position, (name, occurrence))| ((name.as_str(), occurrence), position))
            .collect();
        self.names
            .iter()
            .zip(&self.occurrences)
            .map(|(name, &occurrence)| positions.get(&(name.as_str(), occurrence)).copied())
            .collect()
    }
}

/// For every name, how often it occurred before.
fn occurrences(names: &[String]) -> Vec<u32> {
    let mut seen: HashMap<&str, u32> = HashMap::with_capacity(names.len());
    names
        .iter()
        .map(|name| {
            let count = seen.entry(name).or_insert(0);
            *count += 1;
            *count - 1
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(list: &[&str]) -> Vec<String> {
        list.iter().map(|name| name.to_string()).collect()
    }

    #[test]
    fn duplicate_names_match_by_occurrence() {
        // Only the second "a" was kept when fitting.
        let list = GeneList::select(&names(&["a", "b", "a", "c"]), &[1, 2]);
        assert_eq!(
            list.locate(&names(&["a", "x", "a", "b"])),
            [Some(3), Some(2)]
        );
        assert_eq!(list.locate(&names(&["a", "b"])), [Some(1), None]);
    }
}
