//! Where a model comes from.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::Result;
use crate::preprocess::Cells;

/// Where a model comes from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ModelInfo {
    /// The method: "scdcc", "desc", "scdeepcluster", or the name that you gave yours.
    pub method: String,
    /// The seed of the run.
    pub seed: u64,
    /// Version of this crate that fitted the model.
    pub version: String,
    /// Fingerprint of the training cells and their preprocessing.
    pub data_fingerprint: u64,
    /// Everything that ran: for a model of a [`Trainer`](crate::train::Trainer) the
    /// [record](crate::train::Plan::record) of its plan.
    pub settings: Value,
}

impl ModelInfo {
    /// Where a model of these cells comes from.
    ///
    /// # Errors
    /// Those of the cells' source, when counts are read from one.
    pub fn new(method: &str, seed: u64, settings: Value, cells: &Cells) -> Result<Self> {
        Ok(Self {
            method: method.to_string(),
            seed,
            version: env!("CARGO_PKG_VERSION").to_string(),
            data_fingerprint: cells.fingerprint()?,
            settings,
        })
    }
}
