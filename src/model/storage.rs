//! Saving and loading fitted models.
//!
//! A model is one SafeTensors file: the weights as tensors, and everything else — architecture,
//! preprocessing with gene names, what ran, fingerprint — as JSON in the header's metadata under
//! the key `celldec`, with a checksum. Python reads both with `safetensors.safe_open`. Equal models
//! are equal files.

use std::path::Path;

use burn::tensor::Device;
use serde::Deserialize;

use super::architecture::Architecture;
use super::description::{Described, FORMAT};
use super::fitted::{FittedModel, is_finite};
use super::info::ModelInfo;
use crate::error::{Error, Result};
use crate::io::input::read_file;
use crate::nn::{ReconstructionHead, Similarity, SimilarityKernel};
use crate::tensor_file;

const METADATA_KEY: &str = "celldec";

/// The part of the description that does not depend on the head.
#[derive(Deserialize)]
struct Origin {
    info: ModelInfo,
}

/// What is read before the head's type is known.
#[derive(Deserialize)]
struct Head {
    head: String,
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
    /// # let plan = Plan::scdcc(3).with_epochs(1, 1);
    /// # plan.trainer(&Device::default())?.fit(&cells)?.model().save(&path)?;
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
        let bytes = read_file(path)?;
        read_description(&bytes)
            .and_then(|description| {
                serde_json::from_str(&description.text).map_err(|error| error.to_string())
            })
            .map(|origin: Origin| origin.info)
            .map_err(|reason| Error::Model {
                path: path.into(),
                reason,
            })
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
        let bytes = self.to_bytes().map_err(|reason| Error::Model {
            path: path.into(),
            reason,
        })?;
        crate::io::atomic::write_bytes_atomically(path, &bytes)
    }

    fn to_bytes(&self) -> Result<Vec<u8>, String> {
        let description =
            serde_json::to_string(&Described::of(self)).map_err(|error| error.to_string())?;
        let parameters = tensor_file::parameters(&self.network)?;
        let tensors = parameters
            .iter()
            .map(|(name, data)| (name.clone(), data))
            .collect();
        tensor_file::to_bytes(METADATA_KEY, &description, &tensors)
    }

    /// Loads a model onto a device.
    ///
    /// # Errors
    /// [`Error::Io`] when the file cannot be read; [`Error::Model`] when it is truncated, damaged, of
    /// a newer format, of another head, when its weights do not fit its description, or when it has
    /// a [similarity of one's own](SimilarityKernel::own).
    pub fn load(path: impl AsRef<Path>, device: &Device) -> Result<Self> {
        load(path.as_ref(), device, None)
    }

    /// Loads a model that was fitted with a similarity of one's own, which a file cannot hold.
    ///
    /// # Errors
    /// As [`load`](Self::load), and when `similarity` has another description than the one that the
    /// model was fitted with.
    pub fn load_with_similarity(
        path: impl AsRef<Path>,
        device: &Device,
        similarity: impl Similarity + 'static,
    ) -> Result<Self> {
        load(
            path.as_ref(),
            device,
            Some(SimilarityKernel::own(similarity)),
        )
    }
}

fn load<H: ReconstructionHead>(
    path: &Path,
    device: &Device,
    similarity: Option<SimilarityKernel>,
) -> Result<FittedModel<H>> {
    let bytes = read_file(path)?;
    from_bytes(&bytes, device, similarity).map_err(|reason| Error::Model {
        path: path.into(),
        reason,
    })
}

fn from_bytes<H: ReconstructionHead>(
    bytes: &[u8],
    device: &Device,
    similarity: Option<SimilarityKernel>,
) -> Result<FittedModel<H>, String> {
    let description = read_description(bytes)?;
    let parsed = |error: serde_json::Error| error.to_string();
    let Head { head } = serde_json::from_str(&description.text).map_err(parsed)?;
    if head != H::NAME {
        return Err(format!(
            "its head is \"{head}\", a model with head \"{}\" was asked for",
            H::NAME
        ));
    }
    let tensors = tensor_file::tensors(bytes, &description)?;
    let described: Described<H> = serde_json::from_str(&description.text).map_err(parsed)?;
    let (architecture, preprocessing, covariates, info) = described.into_parts(similarity)?;
    let columns = covariates.as_ref().map_or(0, |design| design.columns());
    architecture.check(preprocessing.gene_names().len(), columns)?;
    check_shapes(&architecture, &tensors)?;
    let device = device.clone().inner();
    let network = tensor_file::with_parameters(architecture.init(&device), tensors)
        .map_err(|reason| format!("weights do not fit its description: {reason}"))?;
    if !is_finite(&network).map_err(|error| error.to_string())? {
        return Err("it holds NaN or infinite weights".into());
    }
    Ok(FittedModel {
        network,
        architecture,
        preprocessing,
        covariates,
        info,
        device,
    })
}

/// So many weights may be made whatever the file holds.
const FREE_WEIGHTS: usize = 1 << 22;

/// A network is made before its weights are put in: its layers must not be wider than the weights in
/// the file say, or a damaged number would ask for any amount of memory.
fn check_shapes<H: ReconstructionHead>(
    architecture: &Architecture<H>,
    tensors: &tensor_file::Tensors,
) -> Result<(), String> {
    let stored = |name: String| tensors.get(&name).map(|data| data.shape().to_vec());
    let check = |name: String, expected: [usize; 2]| match stored(name.clone()) {
        Some(found) if found == expected => Ok(()),
        found => Err(format!(
            "weights do not fit its description: {name} is {found:?}, expected {expected:?}"
        )),
    };
    let layers = |part: &str, start: usize, widths: &[usize]| -> Result<(), String> {
        let mut inputs = start;
        for (number, &width) in widths.iter().enumerate() {
            check(
                format!("{part}.layers.{number}.linear.weight"),
                [inputs, width],
            )?;
            inputs = width;
        }
        Ok(())
    };
    let encoder = &architecture.encoder;
    layers("encoder", encoder.genes, &encoder.widths)?;
    let centroids = [architecture.clusters, encoder.latent()];
    check("clustering.centroids".into(), centroids)?;
    // Weights of other parts are products of two such numbers, too.
    let first = |widths: &[usize]| widths.first().copied().unwrap_or(0);
    let mut others = vec![
        ("covariates", encoder.covariates, first(&encoder.widths)),
        (
            "linear skip",
            if encoder.linear_skip {
                encoder.genes
            } else {
                0
            },
            encoder.latent(),
        ),
    ];
    if let Some((decoder, _)) = &architecture.decoder {
        layers("reconstruction.decoder", decoder.latent, &decoder.widths)?;
        let last = decoder.widths.last().copied().unwrap_or(decoder.latent);
        others.push(("head", last, encoder.genes));
        others.push(("covariates", decoder.covariates, first(&decoder.widths)));
    }
    // A head of one's own may have fewer weights than this product, though not by much.
    let stored: usize = tensors.values().map(|data| data.num_elements()).sum();
    let most = stored.saturating_mul(4).max(FREE_WEIGHTS);
    match others
        .into_iter()
        .find(|(_, rows, columns)| rows.saturating_mul(*columns) > most)
    {
        None => Ok(()),
        Some((part, rows, columns)) => Err(format!(
            "weights do not fit its description: {part} of {rows} × {columns}, the whole file has \
             {stored} weights"
        )),
    }
}

/// The description of a model, of a format that this version knows.
fn read_description(bytes: &[u8]) -> Result<tensor_file::Description, String> {
    let description = tensor_file::description(bytes, METADATA_KEY)?;
    if description.format > FORMAT {
        return Err(format!(
            "it has format {}, this version reads up to {FORMAT}; use a newer version",
            description.format
        ));
    }
    Ok(description)
}
