//! What a part of a method is called, and its settings.

use serde::Serialize;
use serde_json::{Map, Value};

/// The name of a part of a method (a loss, a target, a similarity) with every setting that changes
/// what it computes.
///
/// The name stands in histories and messages. Name and settings are recorded in
/// [`ModelInfo`](crate::model::ModelInfo), and a checkpoint is resumed only by parts whose
/// descriptions equal those that it was written with: a setting that is left out here can be changed
/// unnoticed.
///
/// ```
/// use celldec::description::Description;
///
/// let description = Description::new("huber").with("threshold", 1.5);
/// assert_eq!(description.name(), "huber");
/// assert_eq!(description.settings()["threshold"], 1.5);
/// ```
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Description {
    name: String,
    #[serde(skip_serializing_if = "Map::is_empty")]
    settings: Map<String, Value>,
}

impl Description {
    /// A part without settings.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            settings: Map::new(),
        }
    }

    /// Adds a setting. A value that JSON cannot hold is recorded as the reason why.
    pub fn with(mut self, setting: &str, value: impl Serialize) -> Self {
        let value = serde_json::to_value(value)
            .unwrap_or_else(|error| Value::String(format!("not recorded: {error}")));
        self.settings.insert(setting.to_string(), value);
        self
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The settings by their names.
    pub fn settings(&self) -> &Map<String, Value> {
        &self.settings
    }
}
