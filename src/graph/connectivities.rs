//! The fuzzy neighbourhood graph of UMAP.

use ndarray::ArrayView1;

use super::neighbors::Neighbors;
use crate::error::{Error, Result};
use crate::parallel::{map_rows, write_rows};

/// An undirected weighted graph without self-loops: a symmetric matrix `[cells, cells]` in
/// compressed sparse rows.
///
/// Every edge is stored in both directions with the same weight; within a row the neighbours
/// rise; weights are positive.
#[derive(Debug, Clone, PartialEq)]
pub struct Graph {
    offsets: Vec<usize>,
    indices: Vec<u32>,
    weights: Vec<f32>,
}

impl Graph {
    /// A graph of `nodes` nodes from undirected edges `(a, b, weight)`, each given once.
    ///
    /// # Errors
    /// [`Error::InvalidSparse`] for an edge that names a missing node, joins a node to itself,
    /// occurs twice (in either direction), or has a weight that is not positive and finite.
    pub fn from_edges(nodes: usize, edges: &[(u32, u32, f32)]) -> Result<Self> {
        let mut entries = Vec::with_capacity(2 * edges.len());
        for &(a, b, weight) in edges {
            let reason = if a.max(b) as usize >= nodes {
                format!("edge ({a}, {b}) names a node outside 0..{nodes}")
            } else if a == b {
                format!("edge ({a}, {b}) joins a node to itself")
            } else if !(weight.is_finite() && weight > 0.0) {
                format!("edge ({a}, {b}) has weight {weight}; weights must be positive and finite")
            } else {
                entries.push((a, b, weight));
                entries.push((b, a, weight));
                continue;
            };
            return Err(Error::InvalidSparse { reason });
        }
        entries.sort_unstable_by_key(|&(a, b, _)| (a, b));
        if let Some(pair) = entries
            .windows(2)
            .find(|pair| (pair[0].0, pair[0].1) == (pair[1].0, pair[1].1))
        {
            return Err(Error::InvalidSparse {
                reason: format!("edge ({}, {}) occurs twice", pair[0].0, pair[0].1),
            });
        }
        let mut offsets = vec![0usize; nodes + 1];
        for &(a, _, _) in &entries {
            offsets[a as usize + 1] += 1;
        }
        for node in 0..nodes {
            offsets[node + 1] += offsets[node];
        }
        Ok(Self {
            offsets,
            indices: entries.iter().map(|entry| entry.1).collect(),
            weights: entries.iter().map(|entry| entry.2).collect(),
        })
    }

    /// Number of nodes (cells).
    pub fn nodes(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Number of undirected edges.
    pub fn edges(&self) -> usize {
        self.indices.len() / 2
    }

    /// The neighbours of `node`, rising, and the weights of the edges to them.
    ///
    /// # Panics
    /// When `node` is not below [`nodes`](Self::nodes), as indexing a slice does.
    pub fn row(&self, node: usize) -> (&[u32], &[f32]) {
        let range = self.offsets[node]..self.offsets[node + 1];
        (&self.indices[range.clone()], &self.weights[range])
    }

    /// Row offsets `[nodes + 1]`.
    pub fn offsets(&self) -> &[usize] {
        &self.offsets
    }

    /// Neighbours, row after row.
    pub fn indices(&self) -> &[u32] {
        &self.indices
    }

    /// Weights, row after row.
    pub fn weights(&self) -> &[f32] {
        &self.weights
    }

    /// The graph among `nodes` (rising): node i of it is `nodes[i]` of this one.
    pub(crate) fn among(&self, nodes: &[usize]) -> Self {
        let mut number = vec![u32::MAX; self.nodes()];
        for (new, &node) in nodes.iter().enumerate() {
            number[node] = new as u32;
        }
        let mut offsets = vec![0];
        let (mut indices, mut weights) = (Vec::new(), Vec::new());
        for &node in nodes {
            let (others, weights_to) = self.row(node);
            for (&other, &weight) in others.iter().zip(weights_to) {
                let other = number[other as usize];
                if other != u32::MAX {
                    indices.push(other);
                    weights.push(weight);
                }
            }
            offsets.push(indices.len());
        }
        Self {
            offsets,
            indices,
            weights,
        }
    }

    /// The same edges, all of weight 1.
    pub fn into_unweighted(mut self) -> Self {
        self.weights.fill(1.0);
        self
    }
}

/// Bisection steps for a cell's bandwidth.
const BISECTIONS: usize = 64;
/// How near the sum of memberships must come to its target.
const BISECTION_TOLERANCE: f64 = 1e-5;
/// The least bandwidth, relative to a mean distance.
const LEAST_BANDWIDTH: f64 = 1e-3;

/// The connectivities of UMAP (McInnes, Healy and Melville 2018), as scanpy's
/// `neighbors(method='umap')` computes them with `n_neighbors` one more than the neighbours given
/// here (scanpy counts the cell itself).
///
/// Cell i belongs to the neighbourhood of cell j at distance d with membership
/// exp(−max(0, d − ρⱼ)/σⱼ), where ρⱼ is the distance of j's nearest neighbour that is not a
/// duplicate and σⱼ makes the memberships of the k neighbours sum to log₂(k + 1). Both directions
/// a and b are joined to a + b − ab.
///
/// # Errors
/// [`Error::LengthMismatch`] when the indices and the distances of `neighbors` differ in shape;
/// [`Error::InvalidSparse`] when an index is not that of a cell.
pub fn connectivities(neighbors: &Neighbors) -> Result<Graph> {
    let (cells, k) = neighbors.indices.dim();
    if neighbors.distances.dim() != (cells, k) {
        return Err(Error::LengthMismatch {
            what: "the matrix of neighbor distances".into(),
            expected: cells * k,
            found: neighbors.distances.len(),
        });
    }
    if let Some(((cell, _), &index)) = neighbors
        .indices
        .indexed_iter()
        .find(|(_, index)| **index as usize >= cells)
    {
        return Err(Error::InvalidSparse {
            reason: format!("cell {cell} has neighbor {index}, but there are {cells} cells"),
        });
    }
    let mean_distance = mean(neighbors.distances.iter(), cells * (k + 1));
    let mut directed: Vec<Vec<(u32, f32)>> = map_rows(
        cells,
        || (),
        |(), cell| memberships(neighbors, cell, mean_distance),
    );
    let reverse = transpose(&directed);
    write_rows(&mut directed, 1, |cell, row| {
        let forward = &mut row[0];
        forward.sort_unstable_by_key(|&(other, _)| other);
        *forward = union(forward, &reverse[cell]);
    });
    let mut offsets = Vec::with_capacity(cells + 1);
    offsets.push(0);
    let stored = directed.iter().map(Vec::len).sum();
    let mut indices = Vec::with_capacity(stored);
    let mut weights = Vec::with_capacity(stored);
    for row in directed {
        for (other, weight) in row {
            indices.push(other);
            weights.push(weight);
        }
        offsets.push(indices.len());
    }
    Ok(Graph {
        offsets,
        indices,
        weights,
    })
}

fn mean<'a>(values: impl Iterator<Item = &'a f32>, count: usize) -> f64 {
    values.map(|&value| f64::from(value)).sum::<f64>() / count.max(1) as f64
}

/// The memberships of a cell's neighbours.
fn memberships(neighbors: &Neighbors, cell: usize, mean_distance: f64) -> Vec<(u32, f32)> {
    let distances = neighbors.distances.row(cell);
    let nearest = distances
        .iter()
        .copied()
        .find(|&distance| distance > 0.0)
        .unwrap_or(0.0);
    let nearest = f64::from(nearest);
    let bandwidth = bandwidth(distances, nearest, mean_distance);
    neighbors
        .indices
        .row(cell)
        .iter()
        .zip(distances)
        .filter(|(other, _)| **other as usize != cell)
        .map(|(&other, &distance)| {
            let beyond = f64::from(distance) - nearest;
            let membership = if beyond <= 0.0 || bandwidth == 0.0 {
                1.0
            } else {
                (-beyond / bandwidth).exp()
            };
            (other, membership as f32)
        })
        .collect()
}

/// σ: the bandwidth at which the memberships sum to log₂(k + 1).
fn bandwidth(distances: ArrayView1<f32>, nearest: f64, mean_distance: f64) -> f64 {
    // UMAP counts the cell itself among its neighbours.
    let neighbors = distances.len() + 1;
    let target = (neighbors as f64).log2();
    let (mut low, mut high, mut middle) = (0.0f64, f64::INFINITY, 1.0f64);
    for _ in 0..BISECTIONS {
        let sum: f64 = distances
            .iter()
            .map(|&distance| {
                let beyond = f64::from(distance) - nearest;
                if beyond > 0.0 {
                    (-beyond / middle).exp()
                } else {
                    1.0
                }
            })
            .sum();
        if (sum - target).abs() < BISECTION_TOLERANCE {
            break;
        }
        if sum > target {
            high = middle;
            middle = (low + high) / 2.0;
        } else {
            low = middle;
            middle = if high.is_infinite() {
                middle * 2.0
            } else {
                (low + high) / 2.0
            };
        }
    }
    let typical = if nearest > 0.0 {
        mean(distances.iter(), neighbors)
    } else {
        mean_distance
    };
    middle.max(LEAST_BANDWIDTH * typical)
}

/// The reversed directed edges; rows come out sorted.
fn transpose(rows: &[Vec<(u32, f32)>]) -> Vec<Vec<(u32, f32)>> {
    let mut degrees = vec![0usize; rows.len()];
    for &(other, _) in rows.iter().flatten() {
        degrees[other as usize] += 1;
    }
    let mut reversed: Vec<Vec<(u32, f32)>> = degrees.into_iter().map(Vec::with_capacity).collect();
    for (cell, row) in rows.iter().enumerate() {
        for &(other, membership) in row {
            reversed[other as usize].push((cell as u32, membership));
        }
    }
    reversed
}

/// a + b − ab over two sorted rows; memberships that underflowed to 0 are no edges.
fn union(forward: &[(u32, f32)], backward: &[(u32, f32)]) -> Vec<(u32, f32)> {
    let mut joined = Vec::with_capacity(forward.len() + backward.len());
    let (mut i, mut j) = (0, 0);
    loop {
        let (other, a, b) = match (forward.get(i), backward.get(j)) {
            (Some(&(f, a)), Some(&(g, b))) if f == g => {
                i += 1;
                j += 1;
                (f, a, b)
            }
            (Some(&(f, a)), next) if next.is_none_or(|next| f < next.0) => {
                i += 1;
                (f, a, 0.0)
            }
            (_, Some(&(g, b))) => {
                j += 1;
                (g, 0.0, b)
            }
            (_, None) => break,
        };
        // In f32 rounding could leave the range: 1 + b − b need not be 1.
        let (a, b) = (f64::from(a), f64::from(b));
        let weight = (a + b - a * b) as f32;
        if weight > 0.0 {
            joined.push((other, weight));
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use ndarray::{Array2, array};
    use proptest::prelude::*;
    use rand::RngExt;

    use super::super::neighbors::nearest_neighbors;
    use super::*;
    use crate::random::{Purpose, stream};

    proptest! {
        #[test]
        fn the_graph_is_symmetric_with_weights_in_0_to_1(
            cells in 3usize..40,
            seed: u64,
            k in 1usize..12,
        ) {
            let mut random = stream(seed, Purpose::Simulation, 0, 0);
            let points = Array2::from_shape_fn((cells, 3), |_| random.random::<f32>());
            let neighbors = nearest_neighbors(points.view(), k.min(cells - 1)).unwrap();
            let graph = connectivities(&neighbors).unwrap();
            for cell in 0..cells {
                let (others, weights) = graph.row(cell);
                prop_assert!(others.windows(2).all(|pair| pair[0] < pair[1]));
                prop_assert!(weights.contains(&1.0));
                for (&other, &weight) in others.iter().zip(weights) {
                    prop_assert!(weight > 0.0 && weight <= 1.0);
                    prop_assert_ne!(other as usize, cell);
                    let (back, back_weights) = graph.row(other as usize);
                    let place = back.binary_search(&(cell as u32)).unwrap();
                    prop_assert_eq!(back_weights[place], weight);
                }
            }
        }

        #[test]
        fn memberships_sum_to_the_target(seed: u64, k in 4usize..16) {
            let mut random = stream(seed, Purpose::Simulation, 1, 0);
            let points = Array2::from_shape_fn((40, 5), |_| random.random::<f32>());
            let neighbors = nearest_neighbors(points.view(), k).unwrap();
            for cell in 0..40 {
                let sum: f64 = memberships(&neighbors, cell, 0.0)
                    .iter()
                    .map(|&(_, membership)| f64::from(membership))
                    .sum();
                let excess = sum - ((k + 1) as f64).log2();
                // Neighbours that nearly tie need a bandwidth below the least one.
                let distances = neighbors.distances.row(cell);
                let nearest = f64::from(distances[0]);
                let least = LEAST_BANDWIDTH * mean(distances.iter(), k + 1);
                if bandwidth(distances, nearest, 0.0) > least {
                    prop_assert!(excess.abs() < 2e-5, "{excess}");
                } else {
                    prop_assert!(excess > -2e-5, "{excess}");
                }
            }
        }
    }

    #[test]
    fn duplicates_are_fully_connected() {
        let points = Array2::<f32>::zeros((6, 2));
        let neighbors = nearest_neighbors(points.view(), 3).unwrap();
        let graph = connectivities(&neighbors).unwrap();
        assert!(graph.weights().iter().all(|&weight| weight == 1.0));
    }

    #[test]
    fn edges_make_a_graph() {
        let graph = Graph::from_edges(4, &[(2, 0, 0.5), (0, 1, 1.0)]).unwrap();
        assert_eq!((graph.nodes(), graph.edges()), (4, 2));
        assert_eq!(graph.row(0), (&[1, 2][..], &[1.0, 0.5][..]));
        assert_eq!(graph.row(3), (&[][..], &[][..]));
        for bad in [
            vec![(0, 4, 1.0)],
            vec![(1, 1, 1.0)],
            vec![(0, 1, 0.0)],
            vec![(0, 1, f32::NAN)],
            vec![(0, 1, 1.0), (1, 0, 1.0)],
        ] {
            assert!(matches!(
                Graph::from_edges(4, &bad),
                Err(Error::InvalidSparse { .. })
            ));
        }
    }

    #[test]
    fn neighbors_that_contradict_themselves_are_refused() {
        let shapes = Neighbors {
            indices: array![[1], [0]],
            distances: array![[1.0], [1.0], [1.0]],
        };
        assert!(matches!(
            connectivities(&shapes),
            Err(Error::LengthMismatch { .. })
        ));
        let range = Neighbors {
            indices: array![[1], [2]],
            distances: array![[1.0], [1.0]],
        };
        assert!(matches!(
            connectivities(&range),
            Err(Error::InvalidSparse { .. })
        ));
    }
}
