//! Simulated cells: 2000 genes, about a tenth of the counts not zero.

use celldec::Result;
use celldec::counts::{Simulation, SimulationConfig};
use celldec::preprocess::{Cells, Preprocess};

/// Genes of every simulated data set.
pub const GENES: usize = 2000;

/// Groups of every simulated data set.
pub const GROUPS: usize = 8;

/// Simulated counts `[count, GENES]`.
pub fn simulation(count: usize) -> Result<Simulation> {
    SimulationConfig::new(count, GENES)
        .with_groups(GROUPS)
        .with_seed(1)
        .simulate()
}

/// scDCC's preprocessing, except that genes without counts stay: there are always [`GENES`].
pub fn preprocessing() -> Preprocess {
    Preprocess::scdcc_reference().with_min_counts_per_gene(0.0)
}

/// Preprocessed simulated cells.
pub fn simulated_cells(count: usize) -> Result<Cells> {
    preprocessing().fit(&simulation(count)?.counts)
}
