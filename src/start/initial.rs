//! The clusters that self-training starts from.

use ndarray::{Array2, ArrayView2, Axis};
use serde::{Deserialize, Serialize};

use super::kmeans::nearest_centroids;
use crate::graph::points::means;
use crate::selection::match_greedily;

/// Initial centroids and the cells' clusters.
///
/// Read with serde, every label must be that of a centroid.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Stored")]
pub struct InitialCentroids {
    /// Centroids `[clusters, dimensions]`.
    #[serde(with = "crate::tensors::stored")]
    pub centroids: Array2<f32>,
    /// The cluster of every cell `[cells]`, below the number of clusters.
    pub labels: Vec<usize>,
    /// The resolution of the communities; none with other starts.
    pub resolution: Option<f64>,
    /// The resolutions that were compared, lowest first, where one was chosen.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub candidates: Vec<ResolutionCandidate>,
}

/// A resolution that might have been chosen, and what speaks for it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ResolutionCandidate {
    /// The resolution.
    pub resolution: f64,
    /// How many communities the cell graph has at it, before rare groups are split off.
    pub clusters: usize,
    /// How stable they are: the mean adjusted Rand index with those of subgraphs.
    pub stability: f64,
    /// Their mean silhouette in the averaged embedding; none where they are not stable enough to be
    /// chosen.
    pub silhouette: Option<f64>,
    /// Whether it was chosen.
    pub chosen: bool,
}

/// What is read, before it is checked.
#[derive(Deserialize)]
struct Stored {
    #[serde(with = "crate::tensors::stored")]
    centroids: Array2<f32>,
    labels: Vec<usize>,
    resolution: Option<f64>,
    #[serde(default)]
    candidates: Vec<ResolutionCandidate>,
}

impl TryFrom<Stored> for InitialCentroids {
    type Error = String;

    fn try_from(stored: Stored) -> Result<Self, String> {
        let Stored {
            centroids,
            labels,
            resolution,
            candidates,
        } = stored;
        let (clusters, dimensions) = centroids.dim();
        if clusters > 0 && dimensions == 0 {
            return Err("the initial centroids have no dimensions".into());
        }
        if let Some(cell) = labels.iter().position(|&label| label >= clusters) {
            return Err(format!(
                "cell {cell} has the label {}, there are {clusters} initial centroids",
                labels[cell]
            ));
        }
        if !centroids.iter().all(|value| value.is_finite()) {
            return Err("an initial centroid has a value that is NaN or infinite".into());
        }
        Ok(Self {
            centroids,
            labels,
            resolution,
            candidates,
        })
    }
}

/// The mean of fewer cells is too noisy to take the place of a centroid.
pub(crate) const FEWEST_KNOWN: usize = 5;

impl InitialCentroids {
    /// Centroids `[clusters, dimensions]` and labels `[cells]` that come of no graph.
    pub(super) fn new(centroids: Array2<f32>, labels: Vec<usize>) -> Self {
        Self {
            centroids,
            labels,
            resolution: None,
            candidates: Vec::new(),
        }
    }

    /// Moves centroids to the means of groups of cells that are known to lie in different clusters;
    /// each group takes the centroid that it is matched to (nearest first), and all cells go to the
    /// nearest centroid. Groups of fewer than five cells, or in excess of the centroids, are not
    /// used.
    pub(crate) fn moved_to(mut self, embedding: ArrayView2<f32>, groups: &[Vec<usize>]) -> Self {
        let usable = groups.iter().filter(|group| group.len() >= FEWEST_KNOWN);
        let groups: Vec<&Vec<usize>> = usable.take(self.centroids.nrows()).collect();
        if groups.is_empty() {
            return self;
        }
        let group_means: Vec<_> = groups
            .iter()
            .map(|group| {
                means(
                    embedding.select(Axis(0), group).view(),
                    &vec![0; group.len()],
                )
            })
            .collect();
        let distances: Array2<f64> = Array2::from_shape_fn(
            (groups.len(), self.centroids.nrows()),
            |(group, cluster)| {
                let (mean, centroid) = (group_means[group].row(0), self.centroids.row(cluster));
                let squares = mean.into_iter().zip(centroid);
                squares.map(|(a, b)| f64::from(a - b).powi(2)).sum()
            },
        );
        for (group, cluster) in match_greedily(distances.view()) {
            self.centroids
                .row_mut(cluster)
                .assign(&group_means[group].row(0));
        }
        tracing::info!(
            groups = groups.len(),
            "centroids moved to groups known from constraints"
        );
        self.labels = nearest_centroids(embedding, self.centroids.view());
        self
    }
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    #[test]
    fn initial_centroids_that_are_read_are_checked() {
        let read = |text: &str| serde_json::from_str::<InitialCentroids>(text);
        for (centroids, labels, expected) in [
            (
                r#"[2,1],"values":[0.0,1.0]"#,
                "[0,2]",
                "cell 1 has the label 2",
            ),
            (
                r#"[4611686018427387904,0],"values":[]"#,
                "[]",
                "no dimensions",
            ),
            (r#"[1,1],"values":[1e39]"#, "[0]", "NaN or infinite"),
            (r#"[2,2],"values":[0.0]"#, "[0]", "shape"),
        ] {
            let text = format!(
                r#"{{"centroids":{{"shape":{centroids}}},"labels":{labels},"resolution":null}}"#
            );
            let error = read(&text).expect_err(&text).to_string();
            assert!(
                error.to_lowercase().contains(&expected.to_lowercase()),
                "{error}"
            );
        }
        let initial = InitialCentroids {
            centroids: array![[0.5], [1.5]],
            labels: vec![1, 0, 1],
            resolution: Some(0.5),
            candidates: Vec::new(),
        };
        let text = serde_json::to_string(&initial).unwrap();
        assert_eq!(read(&text).expect(&text), initial);
    }
}
