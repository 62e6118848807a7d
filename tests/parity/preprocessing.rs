//! Preprocessing against scanpy and numpy.

use celldec::counts::CountMatrix;
use celldec::preprocess::{Clip, GeneStatistics, Preprocess, Scaling, TargetSum, VariableGenes};
use celldec::preprocess::{seurat_scores, seurat_v3_scores, top_genes};
use ndarray::{Array2, s};

use crate::fixtures::Fixture;

/// Against scanpy's numbers; the network's input is f32.
const TOLERANCE: f64 = 1e-6;

/// Where both sides compute in f64.
const TIGHT: f64 = 1e-12;

fn matrix(fixture: &Fixture, key: &str) -> CountMatrix {
    let shape = fixture.shape(key);
    let dense = Array2::from_shape_vec((shape[0], shape[1]), fixture.values_f32(key)).unwrap();
    CountMatrix::from_dense(dense.view()).unwrap()
}

fn assert_close(what: &str, found: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let mut largest = 0.0f64;
    for (i, (a, b)) in found.iter().zip(expected).enumerate() {
        assert_eq!(a.is_nan(), b.is_nan(), "{what}[{i}]: {a} against {b}");
        if !a.is_nan() {
            let difference = (a - b).abs();
            assert!(difference <= tolerance, "{what}[{i}]: {a} against {b}");
            largest = largest.max(difference);
        }
    }
    println!("{what}: largest difference {largest:.1e}");
}

fn wide(values: impl IntoIterator<Item = f32>) -> Vec<f64> {
    values.into_iter().map(f64::from).collect()
}

fn input_of(settings: &Preprocess, counts: &CountMatrix) -> Vec<f64> {
    wide(settings.fit(counts).unwrap().to_dense_input().unwrap())
}

fn z_score(clip: impl Into<Option<Clip>>) -> Preprocess {
    Preprocess::scdcc_reference().with_scaling(Scaling::z_score().with_clip(clip))
}

#[test]
fn filters_and_size_factors() {
    let fixture = Fixture::open("e_preprocess_small");
    let counts = matrix(&fixture, "counts");
    let cells = Preprocess::scdcc_reference().fit(&counts).unwrap();
    assert_eq!(
        cells.kept_cells(),
        fixture.indices("after_filter_cells_kept_cells")
    );
    let genes: Vec<usize> = cells.kept_genes().iter().flatten().copied().collect();
    assert_eq!(genes, fixture.indices("after_filter_genes_kept_genes"));
    assert_eq!(
        cells.counts().unwrap().gene_totals(),
        fixture.values("filter_genes_n_counts")
    );
    assert_eq!(
        cells.counts().unwrap().cell_totals(),
        fixture.values("n_counts")
    );
    assert_eq!(
        cells.preprocessing().median_total(),
        fixture.values("median_n_counts")[0]
    );
    assert_close(
        "size factors",
        &wide(cells.size_factors().iter().copied()),
        &fixture.values("size_factors"),
        TOLERANCE,
    );
    assert_eq!(
        wide(cells.counts().unwrap().to_dense()),
        fixture.values("raw"),
        "raw counts"
    );
}

#[test]
fn log1p_and_normalized() {
    let fixture = Fixture::open("e_preprocess_small");
    let counts = matrix(&fixture, "counts");
    let logged = input_of(&Preprocess::scdcc_reference().with_scaling(None), &counts);
    assert_close("log1p", &logged, &fixture.values("log1p"), TOLERANCE);
    assert_close(
        "log1p_f64",
        &logged,
        &fixture.values("log1p_f64"),
        TOLERANCE,
    );
    // `exp_m1` of f32 logarithms magnifies their rounding by the value itself.
    let normalized: Vec<f64> = logged.iter().map(|value| value.exp_m1()).collect();
    for (found, expected) in normalized.iter().zip(fixture.values("normalized_f64")) {
        assert!((found - expected).abs() <= TOLERANCE * (1.0 + expected));
    }
}

#[test]
fn normalized_to_a_fixed_total() {
    let fixture = Fixture::open("e_preprocess_small");
    let settings = Preprocess::scdcc_reference()
        .with_min_counts_per_gene(0.0)
        .with_target_sum(TargetSum::Fixed(1e4))
        .with_scaling(None);
    let logged = input_of(&settings, &matrix(&fixture, "counts"));
    let expected: Vec<f64> = fixture
        .values("normalize_total_1e4_f64")
        .iter()
        .map(|value| value.ln_1p())
        .collect();
    assert_close("log1p at 1e4", &logged, &expected, TOLERANCE);
}

#[test]
fn scaled_and_clipped() {
    let fixture = Fixture::open("e_preprocess_small");
    let counts = matrix(&fixture, "counts");
    let cells = Preprocess::scdcc_reference().fit(&counts).unwrap();
    let statistics = cells.preprocessing().statistics();
    // Stored from a chain in f32.
    assert_close(
        "means",
        &statistics.mean,
        &fixture.values("scale_mean"),
        TOLERANCE,
    );
    assert_close(
        "standard deviations",
        &statistics.sd,
        &fixture.values("scale_std"),
        TOLERANCE,
    );
    let shape = fixture.shape("log1p_f64");
    let logged = Array2::from_shape_vec((shape[0], shape[1]), fixture.values("log1p_f64")).unwrap();
    for (gene, column) in logged.columns().into_iter().enumerate() {
        assert!((statistics.mean[gene] - column.sum() / shape[0] as f64).abs() <= TIGHT);
        assert!((statistics.sd[gene] - column.std(1.0)).abs() <= TIGHT);
    }
    let scaled = wide(cells.to_dense_input().unwrap());
    for key in ["scaled", "scaled_f64"] {
        assert_close(key, &scaled, &fixture.values(key), TOLERANCE);
    }
    for (key, clip) in [
        ("scaled_max6", Clip::Both(6.0)),
        ("scaled_max0p75_float32", Clip::Both(0.75)),
        ("scaled_upperclip0p75_old_scanpy", Clip::Upper(0.75)),
    ] {
        let clipped = input_of(&z_score(clip), &counts);
        assert_close(key, &clipped, &fixture.values(key), TOLERANCE);
    }
}

/// The second gene has the same count in every cell and all totals are equal, so its values have
/// no variance; the others must equal a plain z-score.
#[test]
fn a_gene_without_variance_is_divided_by_one() {
    let counts = ndarray::array![
        [1.0, 3.0, 6.0],
        [2.0, 3.0, 5.0],
        [3.0, 3.0, 4.0],
        [7.0, 3.0, 0.0]
    ];
    let counts = CountMatrix::from_dense(counts.view()).unwrap();
    let cells = Preprocess::scdcc_reference().fit(&counts).unwrap();
    let GeneStatistics { mean, sd } = cells.preprocessing().statistics();
    let fixture = Fixture::open("e_preprocess_small");
    assert_eq!(
        fixture.values("zerovar_std")[1],
        1.0,
        "scanpy divides by one"
    );
    assert_eq!(sd[1], 0.0);
    assert!((mean[1] - 4f64.ln()).abs() < TIGHT);
    let input = cells.to_dense_input().unwrap();
    for value in input.slice(s![.., 1]) {
        assert!(value.abs() < 1e-12, "{value}");
    }
    let first: f32 = input.slice(s![.., 0]).iter().map(|v| v * v).sum();
    assert!((first - 3.0).abs() < 1e-6, "sum of squares is n - 1");
}

#[test]
fn seurat_on_simulated_counts() {
    let fixture = Fixture::open("e_variable_genes_small");
    let counts = matrix(&fixture, "counts");
    for (key, target) in [
        ("seurat_1e4", TargetSum::Fixed(1e4)),
        ("seurat_median", TargetSum::Median),
    ] {
        let scores = seurat_scores(&counts, target).unwrap();
        for (column, found) in [
            ("means", &scores.means),
            ("dispersions", &scores.dispersions),
            ("dispersions_norm", &scores.normalized_dispersions),
        ] {
            let name = format!("{key}_{column}");
            assert_close(&name, found, &fixture.values(&name), 1e-11);
        }
        let mut selected = top_genes(&scores.normalized_dispersions, 50);
        selected.sort_unstable();
        assert_eq!(selected, fixture.indices(&format!("{key}_selected")));

        let cells = Preprocess::desc_reference()
            .with_target_sum(target)
            .with_variable_genes(VariableGenes::seurat(50))
            .fit(&counts)
            .unwrap();
        let kept: Vec<usize> = cells.kept_genes().iter().flatten().copied().collect();
        assert_eq!(kept, selected);
    }
}

#[test]
fn seurat_v3_on_simulated_counts() {
    let fixture = Fixture::open("e_variable_genes_small");
    let counts = matrix(&fixture, "counts");
    let scores = seurat_v3_scores(&counts).unwrap();
    for (column, found) in [
        ("means", &scores.means),
        ("variances", &scores.variances),
        ("variances_norm", &scores.standardized_variances),
    ] {
        let name = format!("seurat_v3_{column}");
        assert_close(&name, found, &fixture.values(&name), 1e-10);
    }
    let cells = Preprocess::desc_reference()
        .with_variable_genes(VariableGenes::seurat_v3(50))
        .fit(&counts)
        .unwrap();
    let kept: Vec<usize> = cells.kept_genes().iter().flatten().copied().collect();
    assert_eq!(kept, fixture.indices("seurat_v3_selected"));
}

#[test]
fn scaling_over_all_cells_and_within_batches() {
    let fixture = Fixture::open("e_variable_genes_small");
    let counts = matrix(&fixture, "counts");
    let batches = fixture.indices("batch");
    let stored = |input: Array2<f32>| wide(input.slice(s![.., ..20]).iter().copied());

    let overall = Preprocess::scdcc_reference().fit(&counts).unwrap();
    let check = |key: &str, statistics: &GeneStatistics, names: [&str; 2]| {
        assert_close(key, &statistics.mean, &fixture.values(names[0]), TIGHT);
        assert_close(key, &statistics.sd, &fixture.values(names[1]), TIGHT);
    };
    check(
        "overall",
        overall.preprocessing().statistics(),
        ["scaled_mean", "scaled_sd"],
    );
    assert_close(
        "scaled",
        &stored(overall.to_dense_input().unwrap()),
        &fixture.values("scaled"),
        TOLERANCE,
    );

    let half = Preprocess::scdcc_reference()
        .with_scaling(Scaling::z_score().with_exponent(0.5))
        .fit(&counts)
        .unwrap();
    assert_close(
        "divided by the root of the standard deviation",
        &stored(half.to_dense_input().unwrap()),
        &fixture.values("scaled_exponent_half"),
        TOLERANCE,
    );

    let within = Preprocess::scdcc_reference()
        .fit_with_batches(&counts, &batches)
        .unwrap();
    assert_eq!(within.batches(), Some(batches.as_slice()));
    for (batch, statistics) in within.preprocessing().batch_statistics().iter().enumerate() {
        assert_eq!(statistics.batch, batch.to_string());
        check(
            &statistics.batch,
            &statistics.statistics,
            [&format!("batch{batch}_mean"), &format!("batch{batch}_sd")],
        );
    }
    assert_close(
        "scaled within batches",
        &stored(within.to_dense_input().unwrap()),
        &fixture.values("scaled_within_batch"),
        TOLERANCE,
    );
}
