//! Where clusters begin: the centroids that deep embedded clustering refines.
//!
//! [`CentroidStart`] offers [k-means](mod@kmeans), as in scDCC, on the embedding or on its
//! [average over neighbourhoods](SmoothedKMeansConfig), when the number of clusters is known, and
//! [communities](mod@communities) of the cells'
//! [nearest-neighbour](mod@neighbors) [graph](mod@connectivities), as in DESC, when it is not.
//!
//! Everything here works on a plain embedding `[cells, dimensions]`, gives the same bits for the
//! same seed, and does not depend on the number of threads.

pub mod centroids;
pub mod communities;
pub mod connectivities;
mod consensus;
mod embedded;
mod graph_start;
pub mod kmeans;
mod neighbor_average;
pub mod neighbors;
mod pair_field;
mod pair_groups;
mod points;
mod rare;
mod smoothed;
mod softmax_regression;
mod stability;
mod stable;

pub(crate) use centroids::FEWEST_KNOWN;
pub use centroids::{CentroidStart, InitialCentroids, initial_centroids};
pub use communities::{CommunityMethod, find_communities, modularity};
pub use connectivities::{Graph, connectivities};
pub use consensus::{Consensus, consensus};
pub use embedded::{EmbeddedCells, NeighborMemory};
pub use graph_start::GraphConfig;
pub use kmeans::{KMeans, KMeansConfig};
pub use neighbor_average::NeighborAverage;
pub use neighbors::{Neighbors, nearest_neighbors};
pub use rare::RareGroupsConfig;
pub use smoothed::SmoothedKMeansConfig;
pub use stability::{StabilityConfig, cluster_stability};
pub use stable::StableGraphConfig;

pub(crate) use pair_field::PairField;
pub(crate) use pair_groups::pair_groups;
pub(crate) use points::check_embedding;
pub(crate) use softmax_regression::SoftmaxRegression;
