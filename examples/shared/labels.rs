//! What is known about cells, and how clusters agree with it.

use std::collections::HashMap;
use std::fmt;

use celldec::metrics;
use celldec::prelude::*;

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
    pub names: Vec<String>,
    /// Cells with a known type: position and position of the type in `names`.
    pub cells: Vec<(usize, usize)>,
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
        Self { names, cells }
    }

    /// Agreement of clusters with the types, over the cells whose type is known.
    pub fn agreement(&self, clusters: &[usize]) -> Result<Agreement> {
        let (truth, found): (Vec<usize>, Vec<usize>) = self
            .cells
            .iter()
            .map(|&(cell, code)| (code, clusters[cell]))
            .unzip();
        Ok(Agreement {
            ari: metrics::adjusted_rand_index(&truth, &found)?,
            nmi: metrics::normalized_mutual_information(&truth, &found)?,
            accuracy: metrics::clustering_accuracy(&truth, &found)?,
        })
    }
}

/// Agreement of clusters with known types; 1 is perfect, ARI is 0 for random clusters.
pub struct Agreement {
    ari: f64,
    nmi: f64,
    accuracy: f64,
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
