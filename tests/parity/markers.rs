//! Marker genes: agreement with scanpy (`tests/fixtures/i_markers.py`), properties, refusals.

use celldec::Error;
use celldec::counts::CountMatrix;
use celldec::io::{read_10x_mtx, read_labels};
use celldec::markers::{ClusterMarkers, MarkerConfig, MarkerMethod, write_markers_csv};
use celldec::metrics::encode_labels;
use celldec::preprocess::{Preprocess, VariableGenes};

use super::fixtures::Fixture;

const TYPES: usize = 10;
const GENES: usize = 765;
/// scanpy keeps scores and fold changes in float32.
const RELATIVE: f64 = 1e-5;

fn bundled() -> (CountMatrix, Vec<usize>) {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data/pbmc68k_700_10x");
    let counts = read_10x_mtx(folder).unwrap();
    let labels = read_labels(format!("{folder}/labels.csv"), Some("cell_type")).unwrap();
    let names: Vec<&String> = labels.iter().map(|(name, _)| name).collect();
    assert!(names.into_iter().eq(counts.cell_names()));
    let types: Vec<String> = labels.into_iter().map(|(_, cell_type)| cell_type).collect();
    (counts, encode_labels(&types).0)
}

fn assert_close(what: &str, found: f64, expected: f64) {
    // Below the range of float32 the reference has 0.
    let error = (found - expected).abs();
    assert!(
        error <= RELATIVE * expected.abs() || error < 1e-37,
        "{what}: {found:e}, scanpy has {expected:e}"
    );
}

fn agrees_with_scanpy(method: MarkerMethod, key: &str, step: usize) {
    let fixture = Fixture::open("i_markers");
    let (counts, types) = bundled();
    let found = MarkerConfig::new()
        .with_method(method)
        .find(&counts, &types)
        .unwrap();
    let clusters: Vec<usize> = found.iter().map(|markers| markers.cluster).collect();
    assert_eq!(clusters, (0..TYPES).collect::<Vec<_>>());
    let order = fixture.indices(&format!("{key}_order"));
    let [scores, p_values, adjusted] = ["scores", "pvals", "pvals_adj"].map(|name| {
        let name = format!("{key}_{name}");
        assert_eq!(fixture.shape(&name), [TYPES, GENES / step]);
        fixture.values(&name)
    });
    let [fold, inside, outside] =
        ["logfoldchanges", "fraction_in", "fraction_out"].map(|name| fixture.values(name));
    for (markers, order) in found.iter().zip(order.chunks(20)) {
        let cluster = markers.cluster;
        assert_eq!(markers.genes.len(), GENES);
        let best: Vec<usize> = markers.genes[..20].iter().map(|gene| gene.gene).collect();
        assert_eq!(best, order, "type {cluster}");
        for gene in &markers.genes {
            let what = |name: &str| format!("{name} of {} in type {cluster}", gene.name);
            let all = cluster * GENES + gene.gene;
            assert_close(&what("fold change"), gene.log2_fold_change, fold[all]);
            assert_close(&what("fraction in"), gene.fraction_in, inside[all]);
            assert_close(&what("fraction out"), gene.fraction_out, outside[all]);
            if gene.gene % step == 0 {
                let at = cluster * (GENES / step) + gene.gene / step;
                assert_close(&what("score"), gene.score, scores[at]);
                assert_close(&what("p-value"), gene.p_value, p_values[at]);
                assert_close(&what("adjusted"), gene.adjusted_p_value, adjusted[at]);
            }
        }
    }
}

#[test]
fn wilcoxon_agrees_with_scanpy() {
    agrees_with_scanpy(MarkerMethod::default(), "wilcoxon", 1);
}

#[test]
fn tie_corrected_wilcoxon_agrees_with_scanpy() {
    let method = MarkerMethod::Wilcoxon { tie_correct: true };
    agrees_with_scanpy(method, "wilcoxon_tie_correct", 3);
}

#[test]
fn t_tests_agree_with_scanpy() {
    agrees_with_scanpy(MarkerMethod::TTest, "t_test", 3);
    agrees_with_scanpy(
        MarkerMethod::TTestOverestimatedVariance,
        "t_test_overestimated_variance",
        3,
    );
}

/// What the usual pipeline finds, which breaks some ties by rounding.
#[test]
fn rounding_in_scanpys_normalisation_changes_little() {
    let fixture = Fixture::open("i_markers");
    let (counts, types) = bundled();
    let found = MarkerConfig::new().find(&counts, &types).unwrap();
    let order = fixture.indices("normalized_total_order");
    let scores = fixture.values("normalized_total_scores");
    let mut largest = 0.0f64;
    for (markers, order) in found.iter().zip(order.chunks(20)) {
        let best: Vec<usize> = markers.genes[..20].iter().map(|gene| gene.gene).collect();
        assert_eq!(best, order, "type {}", markers.cluster);
        for gene in &markers.genes {
            let score = scores[markers.cluster * GENES + gene.gene];
            largest = largest.max((gene.score - score).abs());
        }
    }
    println!("largest difference of z-scores: {largest:.1e}");
    assert!(largest < 1e-3);
}

#[test]
fn labels_may_have_gaps_and_clusters_may_be_chosen() {
    let (counts, types) = bundled();
    let all = MarkerConfig::new()
        .with_limit(7)
        .find(&counts, &types)
        .unwrap();
    let spread: Vec<usize> = types.iter().map(|label| label * 5 + 3).collect();
    let chosen = MarkerConfig::new()
        .with_limit(7)
        .with_clusters([13, 3])
        .find(&counts, &spread)
        .unwrap();
    let expected = [(13, 2), (3, 0)].map(|(cluster, of)| ClusterMarkers {
        cluster,
        ..all[of].clone()
    });
    assert_eq!(chosen, expected);
    assert_eq!(chosen[0].genes.len(), 7);
}

#[test]
fn threads_do_not_change_a_bit() {
    let (counts, types) = bundled();
    let run = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        let find = || MarkerConfig::new().find(&counts, &types).unwrap();
        pool.unwrap().install(find)
    };
    assert_eq!(run(1), run(3));
}

#[test]
fn preprocessed_cells_keep_the_totals_of_all_genes() {
    let (counts, types) = bundled();
    let all = MarkerConfig::new().find(&counts, &types).unwrap();
    let variable = VariableGenes::seurat(100);
    let cells = Preprocess::desc()
        .with_variable_genes(variable)
        .fit(&counts)
        .unwrap();
    assert_eq!((cells.cells(), cells.genes()), (700, 100));
    let some = MarkerConfig::new().find_in(&cells, &types).unwrap();
    for (all, some) in all.iter().zip(&some) {
        assert_eq!(some.genes.len(), 100);
        for gene in &some.genes {
            let same = all.genes.iter().find(|other| other.name == gene.name);
            let expected = same.unwrap();
            assert_close(&gene.name, gene.score, expected.score);
            assert_close(&gene.name, gene.log2_fold_change, expected.log2_fold_change);
        }
    }
}

#[test]
fn unusable_input_is_refused() {
    let (counts, mut types) = bundled();
    let error = MarkerConfig::new().find(&counts, &types[1..]).unwrap_err();
    assert!(matches!(
        error,
        Error::LengthMismatch {
            expected: 700,
            found: 699,
            ..
        }
    ));
    for total in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let settings = MarkerConfig::new().with_target_sum(total);
        let error = settings.find(&counts, &types).unwrap_err();
        assert!(matches!(error, Error::Parameter(_)), "{error}");
    }
    let error = MarkerConfig::new()
        .with_clusters([77])
        .find(&counts, &types)
        .unwrap_err();
    assert!(
        matches!(
            error,
            Error::MarkerCluster {
                cluster: 77,
                cells: 0,
                others: 700
            }
        ),
        "{error}"
    );
    let error = MarkerConfig::new().find(&counts, &[4; 700]).unwrap_err();
    assert!(
        matches!(
            error,
            Error::MarkerCluster {
                cluster: 4,
                cells: 700,
                others: 0
            }
        ),
        "{error}"
    );
    types[5] = 40;
    let error = MarkerConfig::new().find(&counts, &types).unwrap_err();
    assert!(
        matches!(
            error,
            Error::MarkerCluster {
                cluster: 40,
                cells: 1,
                others: 699
            }
        ),
        "{error}"
    );
    assert!(error.to_string().contains("with_clusters"), "{error}");
    let others = MarkerConfig::new().with_clusters(0..TYPES);
    assert_eq!(others.find(&counts, &types).unwrap().len(), TYPES);
}

#[test]
fn the_table_reads_back() {
    let (counts, types) = bundled();
    let found = MarkerConfig::new()
        .with_limit(3)
        .find(&counts, &types)
        .unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("markers.csv");
    write_markers_csv(&path, &found).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    // Names of these genes need no quotes.
    let mut lines = text.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let header = lines.next().unwrap();
    let place = |name: &str| header.iter().position(|column| *column == name).unwrap();
    let [cluster, gene_name, p_value] = ["cluster", "gene", "p_value"].map(place);
    for markers in &found {
        for gene in &markers.genes {
            let line = lines.next().unwrap();
            assert_eq!(line[cluster], markers.cluster.to_string());
            assert_eq!(
                line[p_value].parse::<f64>().unwrap().to_bits(),
                gene.p_value.to_bits()
            );
            assert_eq!(line[gene_name], gene.name);
        }
    }
    assert!(lines.next().is_none());
}
