//! What is in a checkpoint.

use std::path::Path;

use celldec::prelude::*;
use serde::Deserialize;
use serde_json::Value;

use super::print_settings;
use crate::console::Console;

/// The parts of a checkpoint's description that are of interest to its user.
#[derive(Deserialize)]
struct Description {
    version: String,
    steps: Vec<Step>,
}

#[derive(Deserialize)]
struct Step {
    identity: Identity,
    finished: bool,
    state: State,
}

#[derive(Deserialize)]
struct Identity {
    name: String,
    seed: u64,
    data: String,
    /// JSON as text.
    settings: String,
}

#[derive(Deserialize)]
struct State {
    history: Vec<Value>,
}

/// Prints which steps a checkpoint holds and how far they have come.
pub fn print(console: &Console, path: &Path, description: &Value) -> Result<()> {
    let description = Description::deserialize(description).map_err(|error| {
        let reason = format!(
            "a checkpoint that this version cannot describe ({error}); use the version that wrote it"
        );
        Error::format(path, None, reason)
    })?;
    console.answer(format_args!(
        "{}: a checkpoint of celldec {}",
        path.display(),
        description.version
    ));
    let Some(first) = description.steps.first() else {
        console.answer("  steps         none");
        return Ok(());
    };
    let Identity { seed, data, .. } = &first.identity;
    console.answer(format_args!("  seed          {seed}"));
    console.answer(format_args!("  cells         fingerprint {data}"));
    console.answer("  steps");
    for step in &description.steps {
        let state = if step.finished { "finished" } else { "running" };
        let epochs = match step.state.history.len() {
            0 => String::new(),
            epochs => format!(", {epochs} epochs"),
        };
        console.answer(format_args!(
            "    {:<34} {state}{epochs}",
            step.identity.name
        ));
    }
    if let Some(settings) = trainer_settings(&first.identity.settings) {
        print_settings(console, &settings);
    }
    Ok(())
}

/// The settings of the trainer, which are JSON text within those of a step.
fn trainer_settings(step: &str) -> Option<Value> {
    let step: Value = serde_json::from_str(step).ok()?;
    serde_json::from_str(step.get("trainer")?.as_str()?).ok()
}
