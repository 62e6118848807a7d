//! Where clusters begin: the centroids that deep embedded clustering refines.
//!
//! [`CentroidStart`] offers [k-means](KMeansConfig), as in scDCC, on the embedding or on its
//! [average over neighbourhoods](SmoothedKMeansConfig), when the number of clusters is known, and
//! communities of the [cell graph](crate::graph), as in DESC, when it is not: at
//! [one resolution](crate::graph::GraphConfig) or at [the one that the data
//! prefer](StableGraphConfig). Centroids and labels can also be given. [`cluster_stability`] says how well an embedding separates the
//! clusters that were found.
//!
//! Everything here works on a plain embedding `[cells, dimensions]`, gives the same bits for the
//! same seed, and does not depend on the number of threads.

#[cfg(test)]
mod blobs;
mod centroids;
mod communities;
mod given;
mod initial;
mod kmeans;
mod rare;
mod smoothed;
mod stability;
mod stable;

pub(crate) use centroids::centroids_by;
pub use centroids::{CentroidStart, initial_centroids};
pub use given::GivenCentroids;
pub(crate) use initial::FEWEST_KNOWN;
pub use initial::{InitialCentroids, ResolutionCandidate};
pub use kmeans::{KMeans, KMeansConfig};
pub use rare::RareGroupsConfig;
pub use smoothed::SmoothedKMeansConfig;
pub use stability::{StabilityConfig, cluster_stability};
pub use stable::StableGraphConfig;
