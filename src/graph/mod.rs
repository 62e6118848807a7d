//! Which cells are near each other, and what follows from it.
//!
//! [`nearest_neighbors`] of an embedding, or [of many cells](NeighborSearch) approximately, their
//! [`connectivities`] as in UMAP, the communities of that [`Graph`] ([`find_communities`]), and
//! [averages over neighbourhoods](Neighbors::average_over). [`GraphConfig`] holds the settings of a
//! graph and its communities; [`EmbeddedCells`] finds the neighbours of cells in training when they
//! are asked for.
//!
//! Everything here works on a plain embedding `[cells, dimensions]`, gives the same bits for the
//! same seed, and does not depend on the number of threads. A GPU may look for neighbours among many
//! cells ([`DeviceSearch`]).

mod average;
mod communities;
mod config;
mod connectivities;
mod embedded;
mod neighbors;
pub(crate) mod points;
mod search;

pub use average::NeighborAverage;
pub(crate) use communities::check_resolution;
pub use communities::{CommunityMethod, find_communities, modularity};
pub use config::GraphConfig;
pub(crate) use config::cell_graph;
pub use connectivities::{Graph, connectivities};
pub use embedded::{EmbeddedCells, NeighborMemory};
pub use neighbors::{Neighbors, nearest_neighbors};
pub(crate) use neighbors::{fewer_neighbors, neighbors_among};
pub use search::{DeviceSearch, NeighborSearch};
