//! What happened in every epoch.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::preprocess::Fingerprint;

/// A phase of training.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Phase {
    /// One layer of the encoder with its mirror, as a denoising autoencoder.
    LayerwisePretraining {
        /// Zero-based layer of the encoder.
        layer: usize,
    },
    /// The autoencoder end to end.
    Pretraining,
    /// Towards the sharpened target.
    SelfTraining,
    /// [One of your own](crate::train::train_phase).
    Own {
        /// Its name.
        name: String,
    },
}

impl Phase {
    /// The phase's number in the addresses of random streams.
    pub(crate) fn stream(&self) -> u64 {
        match self {
            Self::Pretraining => 1,
            Self::SelfTraining => 2,
            Self::LayerwisePretraining { layer } => 16 + *layer as u64,
            Self::Own { name } => {
                let mut hash = Fingerprint::new();
                hash.bytes(name.as_bytes());
                // The upper half of the numbers, which no other phase has.
                (1 << 31) | (hash.finish() & 0x7fff_ffff)
            }
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LayerwisePretraining { layer } => {
                f.pad(&format!("layer-wise pretraining (layer {})", layer + 1))
            }
            Self::Pretraining => f.pad("pretraining"),
            Self::SelfTraining => f.pad("self-training"),
            Self::Own { name } => f.pad(name),
        }
    }
}

/// What happened in one epoch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct EpochRecord {
    /// Phase of training.
    pub phase: Phase,
    /// Zero-based epoch within the phase.
    pub epoch: usize,
    /// Mean over the cells (or pairs) of every term of the loss, weights included.
    pub losses: Vec<(String, f64)>,
    /// The same over the cells that are [kept apart](crate::train::PretrainConfig::validation), of clean
    /// input and after the epoch's last step; empty where there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub validation: Vec<(String, f64)>,
    /// Fraction of cells whose label changed at the last update of the target, in epochs of
    /// self-training that began with one.
    pub changed: Option<f64>,
    /// Wall-clock seconds.
    pub seconds: f64,
}

impl EpochRecord {
    /// What happened in an epoch of a loop of your own: the mean of every term of its loss.
    pub fn new(phase: Phase, epoch: usize, losses: Vec<(String, f64)>) -> Self {
        Self {
            phase,
            epoch,
            losses,
            validation: Vec::new(),
            changed: None,
            seconds: 0.0,
        }
    }

    /// Every term of the loss, and those over the cells that are kept apart by names that begin with
    /// `validation`.
    pub fn all_losses(&self) -> Vec<(String, f64)> {
        let apart = |(name, value): &(String, f64)| (format!("validation {name}"), *value);
        let validation = self.validation.iter().map(apart);
        self.losses.iter().cloned().chain(validation).collect()
    }

    /// A term of [`all_losses`](Self::all_losses) by its name.
    pub fn loss(&self, name: &str) -> Option<f64> {
        let all = self.all_losses().into_iter();
        all.filter(|(found, _)| found == name)
            .map(|(_, value)| value)
            .next()
    }

    /// The sum of all terms, of the cells that are trained on.
    pub fn total_loss(&self) -> f64 {
        self.losses.iter().map(|(_, value)| value).sum()
    }
}

/// The names of [all losses](EpochRecord::all_losses) that occur, in the order of their first occurrence.
pub fn loss_names<'a>(records: impl IntoIterator<Item = &'a EpochRecord>) -> Vec<String> {
    let mut names = Vec::new();
    for (name, _) in records.into_iter().flat_map(EpochRecord::all_losses) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}
