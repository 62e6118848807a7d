//! The cell graph and its communities against scanpy, leidenalg and igraph
//! (`tests/fixtures/h_cell_graph.py`).

use std::collections::BTreeMap;

use celldec::graph::{
    CommunityMethod, Graph, connectivities, find_communities, modularity, nearest_neighbors,
};
use ndarray::Array2;

use crate::fixtures::Fixture;

const WEIGHT_TOLERANCE: f64 = 1e-5;

fn points(fixture: &Fixture) -> Array2<f32> {
    assert_eq!(fixture.shape("points"), [200, 10]);
    Array2::from_shape_vec((200, 10), fixture.values_f32("points")).expect("200 × 10")
}

/// The reference's connectivities: upper triangle only.
fn reference_edges(fixture: &Fixture, n: usize) -> BTreeMap<(u32, u32), f32> {
    let offsets = fixture.indices(&format!("n{n}_offsets"));
    let indices = fixture.indices(&format!("n{n}_indices"));
    let weights = fixture.values_f32(&format!("n{n}_weights"));
    let mut edges = BTreeMap::new();
    for cell in 0..offsets.len() - 1 {
        for entry in offsets[cell]..offsets[cell + 1] {
            if cell < indices[entry] {
                edges.insert((cell as u32, indices[entry] as u32), weights[entry]);
            }
        }
    }
    edges
}

fn reference_graph(fixture: &Fixture) -> Graph {
    let edges: Vec<_> = reference_edges(fixture, 15)
        .into_iter()
        .map(|((a, b), weight)| (a, b, weight))
        .collect();
    Graph::from_edges(200, &edges).expect("a valid graph")
}

#[test]
fn connectivities_match_scanpy() {
    let fixture = Fixture::open("h_cell_graph");
    let points = points(&fixture);
    for n in [10, 15] {
        let neighbors = nearest_neighbors(points.view(), n - 1).expect("valid input");
        let graph = connectivities(&neighbors).expect("valid neighbors");
        let mut reference = reference_edges(&fixture, n);
        let mut largest = 0.0f64;
        for cell in 0..graph.nodes() {
            let (others, weights) = graph.row(cell);
            for (&other, &weight) in others.iter().zip(weights) {
                if (cell as u32) < other {
                    // An edge that the reference lacks has weight 0 there.
                    let expected = reference.remove(&(cell as u32, other)).unwrap_or(0.0);
                    largest = largest.max((f64::from(weight) - f64::from(expected)).abs());
                }
            }
        }
        for (_, weight) in reference {
            largest = largest.max(f64::from(weight));
        }
        println!("n_neighbors {n}: largest difference of a weight {largest:.1e}");
        assert!(largest <= WEIGHT_TOLERANCE, "n_neighbors {n}: {largest:e}");
    }
}

#[test]
fn modularity_matches_igraph() {
    let fixture = Fixture::open("h_cell_graph");
    let graph = reference_graph(&fixture);
    for resolution in ["0.5", "1", "2"] {
        let labels = fixture.indices(&format!("leiden_r{resolution}_labels"));
        let best = fixture
            .values(&format!("leiden_r{resolution}"))
            .into_iter()
            .fold(f64::NEG_INFINITY, f64::max);
        let found = modularity(&graph, &labels, resolution.parse().expect("a number"))
            .expect("a label for each node");
        assert!((found - best).abs() < 1e-6, "{resolution}: {found}, {best}");
    }
}

#[test]
fn communities_are_as_good_as_those_of_leidenalg_and_igraph() {
    let fixture = Fixture::open("h_cell_graph");
    let graph = reference_graph(&fixture);
    for (name, method) in [
        ("leiden", CommunityMethod::Leiden),
        ("louvain", CommunityMethod::Louvain),
    ] {
        for resolution in ["0.5", "1", "2"] {
            let reference = fixture.values(&format!("{name}_r{resolution}"));
            let resolution: f64 = resolution.parse().expect("a number");
            let ours: Vec<f64> = (0..20)
                .map(|seed| {
                    let labels = find_communities(&graph, resolution, method, seed)
                        .expect("a valid resolution");
                    modularity(&graph, &labels, resolution).expect("a label for each node")
                })
                .collect();
            let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
            let (ours, theirs) = (mean(&ours), mean(&reference));
            println!("{name} at {resolution}: modularity {ours:.6} against {theirs:.6}");
            assert!(
                ours >= theirs - 1e-3,
                "{name} at {resolution}: {ours} against {theirs}"
            );
        }
    }
}
