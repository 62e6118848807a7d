//! Small groups of cells that communities at a low resolution swallow.

use ndarray::{Array2, ArrayView2, Zip};
use serde::{Deserialize, Serialize};

use crate::error::{ParameterError, Result};
use crate::graph::points::means;
use crate::graph::{Graph, GraphConfig, find_communities};
use crate::parallel::{map, try_map};
use crate::selection::median;

/// Settings of the search for rare groups.
///
/// Modularity has a resolution limit (Fortunato and Barthélemy, PNAS 2007): at the resolution that
/// suits the large types of a tissue, a group of a few cells joins a larger community however
/// distinct it is. Distinct groups are known by two signs. They are communities at *all* finer
/// resolutions, where large types break into other pieces at each; and they lie apart from the
/// community around them: their cells' silhouette (from distances to centroids) is of the order of
/// that of the other clusters. Groups with both signs become clusters of their own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RareGroupsConfig {
    /// Finer resolutions, rising. Default 0.65, 0.8, 1 and 1.3.
    pub resolutions: Vec<f64>,
    /// The largest fraction of all cells in a rare group. Default 0.03.
    pub largest: f64,
    /// The least Jaccard index between a group at the finest resolution and its counterparts at the
    /// others. Default 0.75.
    pub persistence: f64,
    /// The least silhouette of a group, in parts of the median of all clusters. Default 0.5.
    pub separation: f64,
}

impl Default for RareGroupsConfig {
    fn default() -> Self {
        Self {
            resolutions: vec![0.65, 0.8, 1.0, 1.3],
            largest: 0.03,
            persistence: 0.75,
            separation: 0.5,
        }
    }
}

/// The fewest cells that are looked at as a group.
const FEWEST: usize = 5;
/// A group lies in one cluster with at least this fraction of its cells.
const INSIDE: f64 = 0.8;

impl RareGroupsConfig {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the finer resolutions.
    pub fn with_resolutions(mut self, resolutions: impl Into<Vec<f64>>) -> Self {
        self.resolutions = resolutions.into();
        self
    }

    /// Sets the largest fraction of all cells in a rare group.
    pub fn with_largest(mut self, largest: f64) -> Self {
        self.largest = largest;
        self
    }

    /// Sets the least Jaccard index between resolutions.
    pub fn with_persistence(mut self, persistence: f64) -> Self {
        self.persistence = persistence;
        self
    }

    /// Sets the least silhouette, in parts of the median of all clusters.
    pub fn with_separation(mut self, separation: f64) -> Self {
        self.separation = separation;
        self
    }

    pub(super) fn validate(&self) -> Result<()> {
        let rising = self.resolutions.windows(2).all(|pair| pair[0] < pair[1]);
        let positive = |resolution: &f64| resolution.is_finite() && *resolution > 0.0;
        if self.resolutions.is_empty() || !rising || !self.resolutions.iter().all(positive) {
            return Err(ParameterError::Resolutions {
                value: self.resolutions.clone(),
            }
            .into());
        }
        for (name, value) in [
            (
                "the largest fraction of cells in a rare group",
                self.largest,
            ),
            ("the persistence of a rare group", self.persistence),
        ] {
            if !(0.0..=1.0).contains(&value) {
                return Err(ParameterError::OutOfRange {
                    name,
                    requirement: "at least 0 and at most 1",
                    value,
                }
                .into());
            }
        }
        if !(self.separation >= 0.0 && self.separation.is_finite()) {
            return Err(ParameterError::OutOfRange {
                name: "the separation of a rare group",
                requirement: "at least 0 and finite",
                value: self.separation,
            }
            .into());
        }
        Ok(())
    }
}

/// Gives rare groups labels of their own, after the largest label there is.
pub(super) fn split_rare_groups(
    embedding: ArrayView2<f32>,
    graph: &Graph,
    labels: &mut [usize],
    config: &RareGroupsConfig,
    settings: &GraphConfig,
    seed: u64,
) -> Result<()> {
    let finer = try_map(config.resolutions.len(), |index| {
        find_communities(graph, config.resolutions[index], settings.method, seed)
    })?;
    let Some((finest, others)) = finer.split_last() else {
        return Ok(());
    };
    let others: Vec<_> = others.iter().map(|labels| groups(labels)).collect();
    let whole = groups(labels);
    let typical = median(&separations(embedding, &whole, labels));
    let mut next = whole.len();
    let found = labels.to_vec();
    for members in groups(finest) {
        let size = members.len();
        if size < FEWEST || size as f64 > config.largest * found.len() as f64 {
            continue;
        }
        let (cluster, shared) = counterpart(&members, &found);
        let inside = shared as f64 >= INSIDE * size as f64;
        if !inside || 2 * size > whole[cluster].len() {
            continue;
        }
        let persists = finer[..finer.len() - 1]
            .iter()
            .zip(&others)
            .all(|(labels, groups)| {
                let (other, shared) = counterpart(&members, labels);
                let union = size + groups[other].len() - shared;
                shared as f64 >= config.persistence * union as f64
            });
        if !persists {
            continue;
        }
        let mut split = found.clone();
        for &cell in &members {
            split[cell] = whole.len();
        }
        let centroids = means(embedding, &split);
        let apart = separation(embedding, &members, whole.len(), &centroids);
        if apart >= config.separation * typical {
            tracing::info!(
                cells = size,
                cluster,
                separation = apart,
                "rare group split off"
            );
            for &cell in &members {
                labels[cell] = next;
            }
            next += 1;
        }
    }
    Ok(())
}

/// The cells of every group.
fn groups(labels: &[usize]) -> Vec<Vec<usize>> {
    let count = labels.iter().max().map_or(0, |&last| last + 1);
    let mut groups = vec![Vec::new(); count];
    for (cell, &label) in labels.iter().enumerate() {
        groups[label].push(cell);
    }
    groups
}

/// The label that most of these cells have, the lowest of equals, and how many have it.
fn counterpart(members: &[usize], labels: &[usize]) -> (usize, usize) {
    let mut counts = std::collections::BTreeMap::<usize, usize>::new();
    for &cell in members {
        *counts.entry(labels[cell]).or_default() += 1;
    }
    counts.into_iter().fold(
        (0, 0),
        |best, (label, count)| {
            if count > best.1 { (label, count) } else { best }
        },
    )
}

/// The mean silhouette of every cluster.
fn separations(embedding: ArrayView2<f32>, clusters: &[Vec<usize>], labels: &[usize]) -> Vec<f64> {
    let centroids = means(embedding, labels);
    map(clusters.len(), |label| {
        separation(embedding, &clusters[label], label, &centroids)
    })
}

/// The mean silhouette of a cluster, simplified to distances from centroids (Vendramin, Campello
/// and Hruschka 2010): (b − a)/max(a, b) with a the distance of a cell to its own centroid and b to
/// the nearest other one.
fn separation(
    embedding: ArrayView2<f32>,
    members: &[usize],
    label: usize,
    centroids: &Array2<f32>,
) -> f64 {
    let silhouettes = members
        .iter()
        .map(|&cell| silhouette(embedding, cell, label, centroids));
    silhouettes.sum::<f64>() / members.len().max(1) as f64
}

fn silhouette(
    embedding: ArrayView2<f32>,
    cell: usize,
    label: usize,
    centroids: &Array2<f32>,
) -> f64 {
    let distance = |cluster: usize| {
        let squares = Zip::from(embedding.row(cell)).and(centroids.row(cluster));
        let sum = squares.fold(0.0, |sum, &a, &b| {
            sum + (f64::from(a) - f64::from(b)).powi(2)
        });
        f64::sqrt(sum)
    };
    let own = distance(label);
    let other = (0..centroids.nrows())
        .filter(|&cluster| cluster != label)
        .map(distance)
        .fold(f64::INFINITY, f64::min);
    match own.max(other) {
        0.0 => 0.0,
        larger if larger.is_infinite() => 0.0,
        larger => (other - own) / larger,
    }
}

#[cfg(test)]
mod tests {
    use rand::RngExt;

    use super::*;
    use crate::graph::{connectivities, nearest_neighbors};
    use crate::random::{Purpose, stream};

    /// Two blobs of 300 cells, and `rare` cells at a distance from the first.
    fn points(rare: usize, distance: f32) -> Array2<f32> {
        let mut random = stream(3, Purpose::Simulation, 0, 0);
        Array2::from_shape_fn((600 + rare, 6), |(cell, dimension)| {
            let center = match (cell, dimension) {
                (300..600, 0) => 20.0,
                (600.., 1) => distance,
                _ => 0.0,
            };
            center + random.random_range(-1.0f32..1.0) + random.random_range(-1.0f32..1.0)
        })
    }

    fn split(points: &Array2<f32>, config: &RareGroupsConfig) -> Vec<usize> {
        let neighbors = nearest_neighbors(points.view(), 29).unwrap();
        let graph = connectivities(&neighbors).unwrap();
        // As at a resolution that is too low for the rare group.
        let mut labels: Vec<usize> = (0..points.nrows())
            .map(|cell| usize::from((300..600).contains(&cell)))
            .collect();
        let settings = GraphConfig::default();
        split_rare_groups(points.view(), &graph, &mut labels, config, &settings, 1).unwrap();
        labels
    }

    #[test]
    fn a_distinct_group_becomes_a_cluster() {
        let labels = split(&points(12, 8.0), &RareGroupsConfig::new());
        assert!(labels[600..].iter().all(|&label| label == 2), "{labels:?}");
        assert!(labels[..300].iter().all(|&label| label == 0));
        assert!(labels[300..600].iter().all(|&label| label == 1));
    }

    #[test]
    fn cells_amid_others_and_larger_groups_are_left() {
        assert!(
            split(&points(12, 0.0), &RareGroupsConfig::new())
                .iter()
                .all(|&label| label < 2)
        );
        let few = RareGroupsConfig::new().with_largest(0.01);
        assert!(split(&points(12, 8.0), &few).iter().all(|&label| label < 2));
        let strict = RareGroupsConfig::new().with_separation(5.0);
        assert!(
            split(&points(12, 8.0), &strict)
                .iter()
                .all(|&label| label < 2)
        );
    }

    #[test]
    fn settings_are_checked() {
        let good = RareGroupsConfig::new();
        assert!(good.validate().is_ok());
        for bad in [
            good.clone().with_resolutions([]),
            good.clone().with_resolutions([1.0, 0.5]),
            good.clone().with_resolutions([f64::NAN]),
            good.clone().with_largest(1.5),
            good.clone().with_persistence(-0.1),
            good.clone().with_separation(f64::INFINITY),
        ] {
            assert!(bad.validate().is_err(), "{bad:?}");
        }
    }
}
