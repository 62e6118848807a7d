//! The presets are what their documentation says, and change only on purpose.

use celldec::prelude::*;
use celldec::train::Widths;
use serde_json::{Map, Value, json};

/// The record of every preset, for eight clusters where the number is given.
fn records() -> Value {
    let mut records = Map::new();
    for plan in [
        ("scdcc", Plan::scdcc(8).record()),
        ("scdcc_auto", Plan::scdcc_auto().record()),
        (
            "scdcc_at_resolution",
            Plan::scdcc_at_resolution(0.8).record(),
        ),
        ("scdcc_reference", Plan::scdcc_reference(8).record()),
        ("scdeepcluster", Plan::scdeepcluster(8).record()),
        ("desc", Plan::desc().record()),
        ("desc_auto", Plan::desc_auto().record()),
        ("desc_reference", Plan::desc_reference().record()),
    ] {
        records.insert(plan.0.to_string(), plan.1);
    }
    Value::Object(records)
}

/// A preset that changes changes the results of its users: then this file is written anew, with
/// `CELLDEC_WRITE_PRESETS=1 cargo test --test presets`, and the changelog says so.
#[test]
fn presets_are_as_recorded() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/presets.json");
    if std::env::var_os("CELLDEC_WRITE_PRESETS").is_some() {
        let text = serde_json::to_string_pretty(&records()).expect("JSON");
        std::fs::write(path, text + "\n").expect("a writable checkout");
    }
    let recorded = std::fs::read_to_string(path).expect("the recorded presets");
    let recorded: Value = serde_json::from_str(&recorded).expect("JSON");
    for (name, record) in records().as_object().expect("an object") {
        assert_eq!(&recorded[name], record, "{name}");
    }
}

/// What the documentation of the presets says in numbers.
#[test]
fn presets_are_as_documented() {
    let scdcc = Plan::scdcc(8).record();
    assert_eq!(scdcc["pretraining"]["stages"][0]["epochs"], 15);
    for (plan, epochs, cells) in [
        (Plan::scdcc(8).pretraining, 15, 54_784),
        (Plan::desc().pretraining, 10, 85_248),
    ] {
        assert_eq!(plan.enough_steps, Some(3000));
        assert_eq!(plan.epochs_with(cells), epochs);
        assert_eq!(plan.epochs_with(cells + 1), epochs - 1);
        assert_eq!(plan.epochs_with(10_000_000), 1);
    }
    // What was published does not depend on the number of cells.
    let desc = Plan::desc_reference();
    let layerwise = desc.layerwise.expect("layers are pretrained");
    for phase in [
        Plan::scdcc_reference(8).pretraining,
        Plan::scdeepcluster(8).pretraining,
        desc.pretraining,
        layerwise,
    ] {
        assert_eq!(phase.enough_steps, None);
        assert_eq!(phase.epochs_with(10_000_000), phase.epochs());
    }
    assert_eq!(scdcc["head"]["settings"], "negative_binomial");
    assert_eq!(scdcc["target"]["settings"]["neighbors"], 15);
    assert_eq!(scdcc["decoder"], "kept");
    assert_eq!(scdcc["network"]["widths"], json!([256, 64, 32]));

    let at_resolution = Plan::scdcc_at_resolution(0.8).record();
    assert_eq!(at_resolution["starts"][0]["Graph"]["neighbors"], 14);

    let reference = Plan::scdcc_reference(8).record();
    assert_eq!(reference["head"]["settings"], "zero_inflated");
    assert_eq!(reference["pretraining"]["stages"][0]["epochs"], 300);
    assert_eq!(reference["self_training"]["tolerance"], 1e-3);
    assert_eq!(reference["self_training"]["shuffle"], false);
    assert_eq!(reference["clustering"]["settings"]["offset"], 1e-6);
    assert_eq!(reference["decoder"]["joint"]["weight"], 1.0);
    assert_eq!(reference["target"]["name"], "sharpened");
    let deep = Plan::scdeepcluster(8).record();
    assert_eq!(deep["method"], "scdeepcluster");
    assert_eq!(deep["self_training"], reference["self_training"]);

    let desc = Plan::desc().record();
    assert_eq!(desc["pretraining"]["stages"][0]["epochs"], 10);
    assert_eq!(desc["starts"][0]["Graph"]["resolution"], 0.3);
    assert_eq!(desc["target"]["settings"]["neighbors"], 15);
    assert_eq!(desc["decoder"], "removed");
    assert_eq!(desc["layerwise"], Value::Null);

    let reference = Plan::desc_reference();
    let rates: Vec<Value> = reference.record()["pretraining"]["stages"]
        .as_array()
        .expect("stages")
        .iter()
        .map(|stage| stage["learning_rate"].clone())
        .collect();
    assert_eq!(rates.len(), 6);
    assert_eq!(rates[0], 1.0);
    assert!(
        reference
            .pretraining
            .stages
            .iter()
            .all(|stage| stage.epochs == 50)
    );
    let layers = reference.layerwise.as_ref().expect("layer by layer");
    assert!(layers.stages.iter().all(|stage| stage.epochs == 50));
    assert_eq!(reference.record()["starts"][0]["Graph"]["neighbors"], 9);
    assert_eq!(reference.network.widths, Widths::by_cells());
    for (cells, widths) in [
        (20_001, vec![128, 32]),
        (10_001, vec![64, 32]),
        (5_001, vec![32, 16]),
        (2_001, vec![128]),
        (501, vec![64]),
        (500, vec![16]),
    ] {
        assert_eq!(Widths::for_cells(cells), widths, "{cells} cells");
    }
}

/// Settings of a phase may come from JSON, which may leave out any and misspell none.
#[test]
fn settings_come_from_json() {
    let phase: celldec::train::SelfTrainConfig =
        serde_json::from_str(r#"{"max_epochs": 7, "learning_rate": 0.5}"#).expect("settings");
    assert_eq!(
        phase,
        celldec::train::SelfTrainConfig::new()
            .with_max_epochs(7)
            .with_learning_rate(0.5)
    );
    let misspelt = serde_json::from_str::<celldec::train::SelfTrainConfig>(r#"{"epochs": 7}"#);
    assert!(
        misspelt
            .expect_err("no such setting")
            .to_string()
            .contains("epochs")
    );
}
