//! Simulated counts: 2000 genes, about a tenth of the counts not zero.

use celldec::Result;
use celldec::counts::{Simulation, SimulationConfig};
use celldec::preprocess::Preprocess;

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
