//! Which step of which run a saved step is.

use std::collections::BTreeMap;

use burn::module::Module;
use burn::store::ModuleSnapshot;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Step;
use crate::preprocess::Fingerprint;

/// What identifies a step: a saved one is only taken up by the same step of the same run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct StepIdentity {
    name: String,
    seed: u64,
    /// Fingerprint of the cells and their preprocessing.
    data: String,
    /// Settings of the trainer and of the step, as JSON text: compared as text, because numbers
    /// may change in the last place when they are parsed.
    settings: String,
    /// How cells are read that are not in memory, which decides the order in which they train.
    #[serde(default)]
    order: Option<String>,
    /// Fingerprint of the weights that the run's first step begins with.
    start: Option<String>,
}

/// Everything that decides the result of a step beside data, seed and earlier steps.
#[derive(Serialize)]
struct Settings<'a, S> {
    trainer: Option<&'a str>,
    step: &'a S,
}

impl StepIdentity {
    /// `data` is the fingerprint of the step's cells.
    pub fn new<S: Serialize>(
        step: &Step<'_, S>,
        data: u64,
        trainer: Option<&str>,
        seed: u64,
        start: Option<&impl Module>,
    ) -> Result<Self, String> {
        Ok(Self {
            name: step.name.clone(),
            seed,
            data: format!("{data:016x}"),
            order: step.cells.reading().and_then(|reading| {
                // A single buffer has the order of cells in memory.
                let blocks = step.cells.cells().div_ceil(reading.block);
                (blocks > reading.blocks).then(|| {
                    format!(
                        "blocks of {} cells, {} in a buffer",
                        reading.block, reading.blocks
                    )
                })
            }),
            settings: text(&Settings {
                trainer,
                step: &step.settings,
            })?,
            start: start.map(fingerprint).transpose()?,
        })
    }

    /// What differs from the step that is asked for, its saved and its current value.
    pub fn difference(&self, current: &Self) -> Option<(String, String, String)> {
        let differing = |what: &str, saved: &str, current: &str| {
            (saved != current).then(|| (what.to_string(), saved.to_string(), current.to_string()))
        };
        let start = |identity: &Self| identity.start.clone().unwrap_or_default();
        differing("the step", &self.name, &current.name)
            .or_else(|| {
                differing(
                    "the seed",
                    &self.seed.to_string(),
                    &current.seed.to_string(),
                )
            })
            .or_else(|| differing("the fingerprint of the cells", &self.data, &current.data))
            .or_else(|| {
                let order = |identity: &Self| {
                    let order = identity.order.as_deref();
                    order.unwrap_or("that of cells in memory").to_string()
                };
                let what = "the order of cells in an epoch";
                differing(what, &order(self), &order(current))
            })
            .or_else(|| {
                (self.settings != current.settings)
                    .then(|| differing_settings(&self.settings, &current.settings))
            })
            .or_else(|| {
                differing(
                    "the fingerprint of the network at the start",
                    &start(self),
                    &start(current),
                )
            })
    }
}

/// Settings as JSON text, always in the same order.
pub(super) fn text(settings: &impl Serialize) -> Result<String, String> {
    serde_json::to_string(settings).map_err(|error| format!("its settings: {error}"))
}

/// Names and values of the settings that differ. Where the trainer's do, those of the step follow
/// from them.
fn differing_settings(saved: &str, current: &str) -> (String, String, String) {
    let [(saved_trainer, saved_step), (trainer, step)] = [saved, current].map(|text| {
        let settings: Value = serde_json::from_str(text).unwrap_or_default();
        let of_trainer = settings["trainer"].as_str().unwrap_or("null");
        (
            leaves(&serde_json::from_str(of_trainer).unwrap_or_default()),
            leaves(&settings["step"]),
        )
    });
    let (saved_settings, settings) = if saved_trainer == trainer {
        (saved_step, step)
    } else {
        (saved_trainer, trainer)
    };
    let mut names: Vec<&String> = saved_settings.keys().chain(settings.keys()).collect();
    names.sort_unstable();
    names.dedup();
    names.retain(|name| saved_settings.get(*name) != settings.get(*name));
    if names.is_empty() {
        // A number that differs in its last place only.
        return ("the settings".into(), saved.into(), current.into());
    }
    let values = |settings: &BTreeMap<String, String>| {
        let values: Vec<&str> = names
            .iter()
            .map(|name| settings.get(*name).map_or("none", String::as_str))
            .collect();
        values.join(", ")
    };
    let listed: Vec<&str> = names.iter().map(|name| name.as_str()).collect();
    (
        format!("the setting {}", listed.join(", ")),
        values(&saved_settings),
        values(&settings),
    )
}

/// Every value of a nested structure by its path.
fn leaves(value: &Value) -> BTreeMap<String, String> {
    fn collect(path: &str, value: &Value, leaves: &mut BTreeMap<String, String>) {
        match value {
            Value::Object(fields) => {
                for (name, value) in fields {
                    let separator = if path.is_empty() { "" } else { "." };
                    collect(&format!("{path}{separator}{name}"), value, leaves);
                }
            }
            other => {
                leaves.insert(path.to_string(), other.to_string());
            }
        }
    }
    let mut found = BTreeMap::new();
    collect("", value, &mut found);
    found
}

/// A fingerprint of all parameters of a module.
fn fingerprint(module: &impl Module) -> Result<String, String> {
    let mut hash = Fingerprint::new();
    for parameter in module.collect(None, None, false) {
        hash.bytes(parameter.name.as_bytes());
        for &length in parameter.shape.iter() {
            hash.number(length);
        }
        let bytes = parameter.into_bytes().map_err(|error| error.to_string())?;
        hash.bytes(&bytes);
    }
    Ok(format!("{:016x}", hash.finish()))
}
