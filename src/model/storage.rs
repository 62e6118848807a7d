//! Saving and loading fitted models.
//!
//! A model is one SafeTensors file: the weights as tensors, and everything else — architecture,
//! preprocessing with gene names, settings, fingerprint — as JSON in the header's metadata under
//! the key `celldec`. Python reads both with `safetensors.safe_open`.

use std::fs;
use std::path::Path;

use burn::store::{ModuleSnapshot, SafetensorsStore};
use burn::tensor::Device;
use serde::{Deserialize, Serialize};

use super::fitted::{Architecture, FittedModel, ModelInfo, is_finite};
use crate::error::{Error, Result};
use crate::nn::ReconstructionHead;
use crate::preprocess::FittedPreprocess;

/// Version of the file format; files of a newer version are refused.
const FORMAT: u32 = 1;
const METADATA_KEY: &str = "celldec";

/// What the metadata holds before the head's type is known.
#[derive(Debug, Deserialize)]
struct Preamble {
    format: u32,
    head: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(bound = "")]
struct Metadata<H: ReconstructionHead> {
    format: u32,
    head: String,
    architecture: Architecture<H>,
    preprocessing: FittedPreprocess,
    info: ModelInfo,
}

/// The part of the metadata that does not depend on the head.
#[derive(Debug, Deserialize)]
struct Origin {
    info: ModelInfo,
}

impl ModelInfo {
    /// Reads where a saved model comes from, without loading it: its method tells which type of
    /// model to load.
    ///
    /// # Errors
    /// [`Error::Io`] when the file cannot be read; [`Error::Model`] when it is no model or one of a
    /// newer format.
    ///
    /// ```
    /// use celldec::model::ModelInfo;
    /// use celldec::prelude::*;
    ///
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let path = folder.path().join("model");
    /// # let counts = SimulationConfig::new(60, 40).with_seed(1).simulate()?.counts;
    /// # let cells = Preprocess::scdcc().fit(&counts)?;
    /// # let config = ScdccConfig::new(3).with_pretraining_epochs(1).with_max_epochs(1);
    /// # config.init(&Device::default())?.fit(&cells)?.model().save(&path)?;
    /// let device = Device::default();
    /// let clusters = match ModelInfo::read(&path)?.method.as_str() {
    ///     "desc" => DescModel::load(&path, &device)?.clusters(),
    ///     _ => ScdccModel::load(&path, &device)?.clusters(),
    /// };
    /// assert_eq!(clusters, 3);
    /// # Ok::<(), celldec::Error>(())
    /// ```
    pub fn read(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let unusable = |reason: String| Error::Model {
            path: path.into(),
            reason,
        };
        let bytes = fs::read(path).map_err(|error| Error::io(path, error))?;
        let (text, _) = read_description(&bytes).map_err(unusable)?;
        let origin: Origin =
            serde_json::from_str(&text).map_err(|error| unusable(error.to_string()))?;
        Ok(origin.info)
    }
}

impl<H: ReconstructionHead> FittedModel<H> {
    /// Saves the model as one file, atomically: a file already at `path` is replaced only when
    /// the new one is complete.
    ///
    /// # Errors
    /// [`Error::Io`] when the file cannot be written; the old file is then untouched.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let unusable = |reason: String| Error::Model {
            path: path.into(),
            reason,
        };
        let metadata = serde_json::to_string(&Metadata {
            format: FORMAT,
            head: H::NAME.to_string(),
            architecture: self.architecture.clone(),
            preprocessing: self.preprocessing.clone(),
            info: self.info.clone(),
        })
        .map_err(|error| unusable(error.to_string()))?;
        let mut store = SafetensorsStore::from_bytes(None).metadata(METADATA_KEY, metadata);
        self.network
            .save_into(&mut store)
            .map_err(|error| unusable(error.to_string()))?;
        let bytes = store
            .get_bytes()
            .map_err(|error| unusable(error.to_string()))?;
        crate::io::atomic::write_bytes_atomically(path, &bytes)
    }

    /// Loads a model onto a device.
    ///
    /// # Errors
    /// [`Error::Io`] when the file cannot be read; [`Error::Model`] when it is truncated, of a
    /// newer format, of another head, or its weights do not fit its description.
    pub fn load(path: impl AsRef<Path>, device: &Device) -> Result<Self> {
        let path = path.as_ref();
        let unusable = |reason: String| Error::Model {
            path: path.into(),
            reason,
        };
        let bytes = fs::read(path).map_err(|error| Error::io(path, error))?;
        let (text, preamble) = read_description(&bytes).map_err(unusable)?;
        if preamble.head != H::NAME {
            return Err(unusable(format!(
                "its head is \"{}\", a model with head \"{}\" was asked for",
                preamble.head,
                H::NAME
            )));
        }
        let metadata: Metadata<H> =
            serde_json::from_str(&text).map_err(|error| unusable(error.to_string()))?;
        metadata.architecture.check().map_err(unusable)?;
        let genes = metadata.preprocessing.gene_names().len();
        if genes != metadata.architecture.encoder.genes {
            return Err(unusable(format!(
                "its network reads {} genes, its preprocessing returns {genes}",
                metadata.architecture.encoder.genes
            )));
        }
        let device = device.clone().inner();
        let mut network = metadata.architecture.init(&device);
        let mut store = SafetensorsStore::from_bytes(Some(bytes));
        let applied = network
            .load_from(&mut store)
            .map_err(|error| unusable(error.to_string()))?;
        if !applied.errors.is_empty() || !applied.missing.is_empty() {
            return Err(unusable(format!(
                "weights do not fit its description: {applied}"
            )));
        }
        if !is_finite(&network) {
            return Err(unusable("it holds NaN or infinite weights".into()));
        }
        Ok(Self {
            network,
            architecture: metadata.architecture,
            preprocessing: metadata.preprocessing,
            info: metadata.info,
            device,
        })
    }
}

/// The metadata and its preamble, of a format that this version knows.
fn read_description(bytes: &[u8]) -> Result<(String, Preamble), String> {
    let text = read_metadata(bytes)?;
    let preamble: Preamble = serde_json::from_str(&text).map_err(|error| error.to_string())?;
    if preamble.format > FORMAT {
        return Err(format!(
            "it has format {}, this version reads up to {FORMAT}; use a newer version",
            preamble.format
        ));
    }
    Ok((text, preamble))
}

/// The crate's metadata from the header of a SafeTensors file: 8 bytes of header length, then
/// the header as JSON.
fn read_metadata(bytes: &[u8]) -> Result<String, String> {
    let truncated = || "the file is truncated or not a SafeTensors file".to_string();
    let (length, rest) = bytes.split_first_chunk::<8>().ok_or_else(truncated)?;
    let length = usize::try_from(u64::from_le_bytes(*length)).map_err(|_| truncated())?;
    let header = rest.get(..length).ok_or_else(truncated)?;
    let header: serde_json::Value =
        serde_json::from_slice(header).map_err(|error| format!("{}: {error}", truncated()))?;
    header
        .get("__metadata__")
        .and_then(|metadata| metadata.get(METADATA_KEY))
        .and_then(|text| text.as_str())
        .map(str::to_string)
        .ok_or_else(|| "it has no celldec metadata; was it saved by FittedModel::save?".to_string())
}
