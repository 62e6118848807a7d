//! Simulated cells: 2000 genes, about a tenth of the counts not zero.

use celldec::Result;
use celldec::preprocess::Cells;

use crate::simulation::{preprocessing, simulation};

/// Preprocessed simulated cells.
pub fn simulated_cells(count: usize) -> Result<Cells> {
    preprocessing().fit(&simulation(count)?.counts)
}
