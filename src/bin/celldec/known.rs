//! What is known about cells, and how clusters agree with it.

use std::collections::HashMap;
use std::fmt;

use celldec::metrics;
use celldec::prelude::*;

use crate::table::CrossTable;

/// The label of every cell by its name; `None` for cells without one, or with an empty one.
pub fn join(cell_names: &[String], labels: &[(String, String)]) -> Vec<Option<String>> {
    let labels: HashMap<&str, &str> = labels
        .iter()
        .filter(|(_, label)| !label.is_empty())
        .map(|(cell, label)| (cell.as_str(), label.as_str()))
        .collect();
    cell_names
        .iter()
        .map(|cell| labels.get(cell.as_str()).map(|label| label.to_string()))
        .collect()
}

/// The known types of cells; some may have none.
pub struct KnownTypes {
    /// Names of the types, sorted.
    names: Vec<String>,
    /// Cells with a known type: position and position of the type in `names`.
    cells: Vec<(usize, usize)>,
    /// Number of cells, with a known type or without.
    all: usize,
}

impl KnownTypes {
    /// From the type of every clustered cell.
    pub fn new(types: &[Option<String>]) -> Self {
        let (positions, known): (Vec<usize>, Vec<String>) = types
            .iter()
            .enumerate()
            .filter_map(|(cell, name)| Some((cell, name.clone()?)))
            .unzip();
        let (codes, names) = metrics::encode_labels(&known);
        let cells = positions.into_iter().zip(codes).collect();
        Self {
            names,
            cells,
            all: types.len(),
        }
    }

    /// Agreement of clusters with the types, over the cells whose type is known.
    pub fn agreement(&self, clusters: &[usize]) -> Result<Agreement> {
        let (truth, found): (Vec<usize>, Vec<usize>) = self.pairs(clusters).unzip();
        Agreement::between(&truth, &found)
    }

    /// Over how many cells agreement is, unless it is over all.
    pub fn extent(&self) -> String {
        match self.cells.len() {
            known if known == self.all => String::new(),
            known => format!("   over {known} of {} cells", self.all),
        }
    }

    /// How many cells of every known type each cluster holds.
    pub fn table(&self, clusters: &Assignment) -> CrossTable {
        let columns = (0..clusters.count()).map(|cluster| cluster.to_string());
        CrossTable::new(
            "cells of type in cluster",
            self.names.clone(),
            columns.collect(),
            self.pairs(clusters.labels()),
        )
    }

    /// Type and cluster of every cell whose type is known.
    fn pairs(&self, clusters: &[usize]) -> impl Iterator<Item = (usize, usize)> {
        self.cells
            .iter()
            .map(|&(cell, code)| (code, clusters[cell]))
    }
}

/// Agreement of two labellings; 1 is perfect, the adjusted Rand index is 0 for random ones.
pub struct Agreement {
    /// The adjusted Rand index.
    pub ari: f64,
    /// Normalized mutual information.
    pub nmi: f64,
    /// Accuracy under the best one-to-one matching of labels.
    pub accuracy: f64,
}

impl Agreement {
    /// Of two labels for every cell.
    pub fn between(truth: &[usize], found: &[usize]) -> Result<Self> {
        Ok(Self {
            ari: metrics::adjusted_rand_index(truth, found)?,
            nmi: metrics::normalized_mutual_information(truth, found)?,
            accuracy: metrics::clustering_accuracy(truth, found)?,
        })
    }
}

impl fmt::Display for Agreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "ARI {:.3}  NMI {:.3}  ACC {:.3}",
            self.ari, self.nmi, self.accuracy
        )
    }
}
