//! Simulated cells: 2000 genes, about a tenth of the counts not zero.

use celldec::Result;
use celldec::counts::SimulationConfig;
use celldec::preprocess::{Cells, Preprocess};

/// Genes of every simulated data set.
pub const GENES: usize = 2000;

/// Groups of every simulated data set.
pub const GROUPS: usize = 8;

/// Preprocessed cells; genes without counts stay, so that there are [`GENES`] of them.
pub fn simulated_cells(count: usize) -> Result<Cells> {
    let simulation = SimulationConfig::new(count, GENES)
        .with_groups(GROUPS)
        .with_seed(1)
        .simulate()?;
    Preprocess::scdcc()
        .with_min_counts_per_gene(0.0)
        .fit(&simulation.counts)
}
