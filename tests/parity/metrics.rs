//! Metrics against scikit-learn and the reference's accuracy.

use celldec::metrics::{
    adjusted_mutual_information, adjusted_rand_index, clustering_accuracy, completeness,
    fowlkes_mallows, homogeneity, normalized_mutual_information, silhouette, silhouette_samples,
    v_measure,
};
use ndarray::Array2;
use serde_json::Value;

use crate::fixtures;

type Metric = fn(&[usize], &[usize]) -> celldec::Result<f64>;

const METRICS: [(&str, Metric); 8] = [
    ("acc", clustering_accuracy),
    ("ari", adjusted_rand_index),
    ("nmi_arithmetic", normalized_mutual_information),
    ("ami", adjusted_mutual_information),
    ("homogeneity", homogeneity),
    ("completeness", completeness),
    ("v_measure", v_measure),
    ("fmi", fowlkes_mallows),
];
const TOLERANCE: f64 = 1e-9;

fn cases() -> serde_json::Map<String, Value> {
    let text = std::fs::read_to_string(fixtures::path("f_metrics.json")).expect("the fixture");
    let mut root: Value = serde_json::from_str(&text).expect("JSON");
    match root["cases"].take() {
        Value::Object(cases) => cases,
        other => panic!("expected cases, found {other}"),
    }
}

fn labels(value: &Value) -> Vec<usize> {
    numbers(value).into_iter().map(|v| v as usize).collect()
}

fn numbers(value: &Value) -> Vec<f64> {
    let list = value.as_array().expect("a list");
    list.iter().map(|v| v.as_f64().expect("a number")).collect()
}

#[test]
fn agreement_matches_scikit_learn() {
    let cases = cases();
    assert_eq!(cases.len(), 11);
    let mut largest = 0.0f64;
    for (case, values) in &cases {
        let (truth, predicted) = (labels(&values["y"]), labels(&values["pred"]));
        for (name, metric) in METRICS {
            let expected = values[name].as_f64().expect("a number");
            let found = metric(&truth, &predicted).expect("valid labels");
            let difference = (found - expected).abs();
            assert!(
                difference <= TOLERANCE,
                "{case}, {name}: {found} against {expected}"
            );
            largest = largest.max(difference);
        }
    }
    println!("largest difference of an agreement metric: {largest:.1e}");
}

#[test]
fn silhouettes_match_scikit_learn() {
    let mut compared = 0;
    let mut largest = 0.0f64;
    for (case, values) in &cases() {
        let Some(rows) = values.get("X").and_then(Value::as_array) else {
            continue;
        };
        let rows: Vec<Vec<f64>> = rows.iter().map(numbers).collect();
        let points = Array2::from_shape_fn((rows.len(), rows[0].len()), |(i, j)| rows[i][j]);
        let predicted = labels(&values["pred"]);
        let mean = silhouette(points.view(), &predicted).expect("valid input");
        let expected = values["silhouette_pred"].as_f64().expect("a number");
        assert!((mean - expected).abs() <= TOLERANCE, "{case}");
        let samples = silhouette_samples(points.view(), &predicted).expect("valid input");
        let expected = numbers(&values["silhouette_samples_pred"]);
        assert_eq!(samples.len(), expected.len());
        for (cell, (found, expected)) in samples.iter().zip(&expected).enumerate() {
            let difference = (found - expected).abs();
            assert!(
                difference <= TOLERANCE,
                "{case}, cell {cell}: {found} against {expected}"
            );
            largest = largest.max(difference);
        }
        compared += 1;
    }
    assert_eq!(compared, 3);
    println!("largest difference of a silhouette: {largest:.1e}");
}
