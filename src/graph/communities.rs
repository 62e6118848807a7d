//! Communities of the cell graph: Leiden and Louvain.

use rand::Rng;
use serde::{Deserialize, Serialize};
use single_clustering::community_search::leiden::{LeidenConfig, ObjectiveKind, leiden};
use single_clustering::network::CSRNetwork;

use super::connectivities::Graph;
use crate::error::{Error, ParameterError, Result};
use crate::random::{Purpose, stream};

/// How communities are searched for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum CommunityMethod {
    /// Leiden (Traag, Waltman and van Eck, Sci. Rep. 2019): refines communities before it merges
    /// them, so that each is connected.
    #[default]
    Leiden,
    /// Louvain (Blondel et al., J. Stat. Mech. 2008), as in the DESC paper.
    Louvain,
}

/// Connectivities are rounded to this many parts of 1 before communities are searched, so that
/// machines whose embeddings differ in the last bits find the same communities.
const WEIGHT_STEPS: f32 = 1.0e6;
/// Passes over the graph; each continues from the communities of the one before, and the search
/// ends earlier when passes find nothing more.
const PASSES: usize = 20;

/// The community of every node of `graph` `[nodes]`, numbered by size, largest first (of equals
/// the one with the first member).
///
/// Maximises the modularity with resolution γ (Reichardt and Bornholdt 2006), as scanpy's
/// `leiden` and `louvain` do: Σ over communities c of (weight inside c − γ · K_c² / 4m), with K_c
/// the summed degrees of the members of c and m the weight of all edges. Higher resolutions give
/// more communities. The search is random but repeatable for `seed`.
///
/// ```
/// use celldec::graph::{CommunityMethod, Graph, find_communities};
///
/// let edges = [(0, 1, 1.0), (1, 2, 1.0), (0, 2, 1.0), (2, 3, 0.1), (3, 4, 1.0)];
/// let graph = Graph::from_edges(5, &edges)?;
/// let communities = find_communities(&graph, 1.0, CommunityMethod::Leiden, 7)?;
/// assert_eq!(communities, [0, 0, 0, 1, 1]);
/// # Ok::<(), celldec::Error>(())
/// ```
///
/// # Errors
/// [`ParameterError::Resolutions`] when the resolution is not positive and finite;
/// [`Error::InvalidSparse`] when the graph is too large for the search (2³² nodes).
pub fn find_communities(
    graph: &Graph,
    resolution: f64,
    method: CommunityMethod,
    seed: u64,
) -> Result<Vec<usize>> {
    check_resolution(resolution)?;
    let weights = graph
        .weights()
        .iter()
        .map(|weight| (weight * WEIGHT_STEPS).round() / WEIGHT_STEPS)
        .collect();
    let network = CSRNetwork::from_csr_parts(
        graph.offsets().to_vec(),
        graph.indices().to_vec(),
        weights,
        None,
    )
    .map_err(refused)?;
    let settings = LeidenConfig {
        objective: ObjectiveKind::Rb { resolution },
        seed: Some(stream(seed, Purpose::Communities, 0, 0).next_u64()),
        n_iterations: PASSES,
        // Without the refinement the algorithm is Louvain.
        refine: method == CommunityMethod::Leiden,
        ..LeidenConfig::default()
    };
    let found = leiden(&network, &settings).map_err(refused)?;
    Ok(by_size(found.labels()))
}

/// Refuses a resolution that is not positive and finite.
pub(crate) fn check_resolution(resolution: f64) -> Result<()> {
    if resolution.is_finite() && resolution > 0.0 {
        Ok(())
    } else {
        Err(ParameterError::Resolutions {
            value: vec![resolution],
        }
        .into())
    }
}

fn refused(error: single_clustering::ClusteringError) -> Error {
    Error::InvalidSparse {
        reason: format!("the cell graph was refused: {error}"),
    }
}

/// Renumbers labels by the size of their groups, largest first, of equals the one that occurs
/// first.
fn by_size(labels: &[usize]) -> Vec<usize> {
    let groups = labels.iter().max().map_or(0, |&largest| largest + 1);
    let mut sizes = vec![0usize; groups];
    let mut first = vec![usize::MAX; groups];
    for (node, &label) in labels.iter().enumerate() {
        sizes[label] += 1;
        first[label] = first[label].min(node);
    }
    let mut order: Vec<usize> = (0..groups).collect();
    order.sort_unstable_by_key(|&label| (std::cmp::Reverse(sizes[label]), first[label]));
    let mut renumbered = vec![0; groups];
    for (number, label) in order.into_iter().enumerate() {
        renumbered[label] = number;
    }
    labels.iter().map(|&label| renumbered[label]).collect()
}

/// The modularity of `labels` on `graph` at a resolution γ:
/// 1/2m · Σᵢⱼ (wᵢⱼ − γ kᵢkⱼ/2m) over pairs of nodes with the same label.
///
/// It is 0 for a graph without edges.
///
/// # Errors
/// [`Error::LengthMismatch`] unless there is one label for each node.
pub fn modularity(graph: &Graph, labels: &[usize], resolution: f64) -> Result<f64> {
    if labels.len() != graph.nodes() {
        return Err(Error::LengthMismatch {
            what: "the list of labels".into(),
            expected: graph.nodes(),
            found: labels.len(),
        });
    }
    let mut degrees = std::collections::BTreeMap::<usize, f64>::new();
    let (mut inside, mut total) = (0.0f64, 0.0f64);
    for (node, &label) in labels.iter().enumerate() {
        let (others, weights) = graph.row(node);
        let mut degree = 0.0f64;
        for (&other, &weight) in others.iter().zip(weights) {
            degree += f64::from(weight);
            if labels[other as usize] == label {
                inside += f64::from(weight);
            }
        }
        *degrees.entry(label).or_default() += degree;
        total += degree;
    }
    if total == 0.0 {
        return Ok(0.0);
    }
    let expected: f64 = degrees
        .values()
        .map(|degree| (degree / total).powi(2))
        .sum();
    Ok(inside / total - resolution * expected)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// `groups` cliques of `size` nodes in a ring, neighbouring cliques joined by one weak edge.
    fn ring_of_cliques(groups: u32, size: u32) -> Graph {
        let mut edges = Vec::new();
        for group in 0..groups {
            let start = group * size;
            for a in 0..size {
                for b in 0..a {
                    edges.push((start + a, start + b, 1.0));
                }
            }
            let next = (group + 1) % groups * size;
            edges.push((start + size - 1, next, 0.1));
        }
        Graph::from_edges((groups * size) as usize, &edges).unwrap()
    }

    #[test]
    fn cliques_are_found_by_both_methods() {
        let graph = ring_of_cliques(5, 6);
        let expected: Vec<usize> = (0..30).map(|node| node / 6).collect();
        for method in [CommunityMethod::Leiden, CommunityMethod::Louvain] {
            for seed in 0..10 {
                assert_eq!(
                    find_communities(&graph, 1.0, method, seed).unwrap(),
                    expected,
                    "{method:?}, seed {seed}"
                );
            }
        }
    }

    #[test]
    fn one_seed_gives_one_result() {
        let graph = ring_of_cliques(8, 4);
        for method in [CommunityMethod::Leiden, CommunityMethod::Louvain] {
            let first = find_communities(&graph, 2.0, method, 11).unwrap();
            assert_eq!(find_communities(&graph, 2.0, method, 11).unwrap(), first);
        }
    }

    #[test]
    fn invalid_resolutions_are_refused() {
        let graph = ring_of_cliques(3, 3);
        for resolution in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(matches!(
                find_communities(&graph, resolution, CommunityMethod::Leiden, 0),
                Err(Error::Parameter(ParameterError::Resolutions { .. }))
            ));
        }
    }

    #[test]
    fn modularity_of_known_partitions() {
        let graph = Graph::from_edges(4, &[(0, 1, 1.0), (2, 3, 1.0)]).unwrap();
        assert_eq!(modularity(&graph, &[0, 0, 1, 1], 1.0).unwrap(), 0.5);
        assert_eq!(modularity(&graph, &[0, 0, 0, 0], 1.0).unwrap(), 0.0);
        assert_eq!(modularity(&graph, &[0, 1, 0, 1], 1.0).unwrap(), -0.5);
        assert!(modularity(&graph, &[0], 1.0).is_err());
        let edgeless = Graph::from_edges(3, &[]).unwrap();
        assert_eq!(modularity(&edgeless, &[0, 1, 2], 1.0).unwrap(), 0.0);
    }

    proptest! {
        #[test]
        fn numbers_follow_size_and_first_member(labels in prop::collection::vec(0usize..6, 1..40)) {
            let groups = labels.iter().collect::<std::collections::BTreeSet<_>>();
            let dense: Vec<usize> = labels
                .iter()
                .map(|label| groups.iter().position(|group| *group == label).unwrap())
                .collect();
            let renumbered = by_size(&dense);
            for (a, b) in (0..labels.len()).zip(1..labels.len()) {
                prop_assert_eq!(labels[a] == labels[b], renumbered[a] == renumbered[b]);
            }
            let size = |label| renumbered.iter().filter(|&&other| other == label).count();
            let first = |label| renumbered.iter().position(|&other| other == label).unwrap();
            for label in 1..groups.len() {
                let larger = size(label - 1) > size(label);
                let earlier = size(label - 1) == size(label) && first(label - 1) < first(label);
                prop_assert!(larger || earlier);
            }
        }
    }
}
