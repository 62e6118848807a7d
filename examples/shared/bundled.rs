//! The data that come with the crate: 700 peripheral blood mononuclear cells.

use std::path::Path;

use celldec::metrics::{adjusted_rand_index, encode_labels};
use celldec::prelude::*;

/// Counts, and the published type of every cell.
pub struct Bundled {
    pub counts: CountMatrix,
    pub types: Vec<String>,
}

impl Bundled {
    pub fn read() -> Result<Self> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/data/pbmc68k_700_10x");
        let labels = celldec::io::read_labels(folder.join("labels.csv"), Some("cell_type"))?;
        Ok(Self {
            counts: celldec::io::read_10x_mtx(&folder)?,
            // In the order of the matrix.
            types: labels.into_iter().map(|(_, label)| label).collect(),
        })
    }

    /// The types of prepared cells: preprocessing may drop some.
    pub fn types_of(&self, cells: &Cells) -> Vec<&str> {
        cells
            .kept_cells()
            .iter()
            .map(|&cell| self.types[cell].as_str())
            .collect()
    }

    /// How well clusters agree with the types: 1 is perfect, 0 is what random clusters reach.
    pub fn agreement(&self, cells: &Cells, clusters: &Assignment) -> Result<f64> {
        let (types, _) = encode_labels(&self.types_of(cells));
        adjusted_rand_index(&types, clusters.labels())
    }
}
