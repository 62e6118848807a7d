//! Weights of the original scDCC implementation (`.pth.tar`).

use std::collections::BTreeMap;
use std::path::Path;

use burn::module::Param;
use burn::nn::Linear;
use burn::store::burn_pack::Tensor as NamedTensor;
use burn::store::{ModuleStore, PytorchStore, bridge};
use burn::tensor::{Device, Tensor, TensorData};

use crate::error::{Error, Result};
use crate::io::input::read_file;
use crate::nn::{
    Activation, Autoencoder, ClusteringLayer, Decoder, Dense, Encoder, SimilarityKernel, ZinbHead,
};

/// The networks in a weight file of the original scDCC implementation.
#[derive(Debug, Clone)]
pub struct ScdccWeights {
    /// Encoder, decoder and the three heads.
    pub autoencoder: Autoencoder<ZinbHead>,
    /// The centroids; `None` in files written after pretraining, where they are not yet set.
    pub clustering: Option<ClusteringLayer>,
}

/// Reads the weights that the original scDCC saves: `AE_weights.pth.tar` after pretraining and
/// `FTcheckpoint_*.pth.tar` during clustering.
///
/// Widths of all layers are taken from the file. Give the autoencoder to
/// [`Trainer::cluster`](crate::train::Trainer::cluster) to go on from it.
///
/// Versions of the `zip` crate from 9.1 on misread an archive whose file name has exactly 21
/// characters before its last extension; the names that the original gives are not of that length.
///
/// # Errors
/// [`Error::Io`] when the file cannot be read; [`Error::Format`] when it is not such a file, naming the
/// tensor that is missing or has an unexpected shape; [`Error::MemoryLimit`] when what it describes is
/// far larger than the file.
pub fn read_scdcc_weights(path: impl AsRef<Path>, device: &Device) -> Result<ScdccWeights> {
    let path = path.as_ref();
    if path.is_dir() {
        return Err(Error::io(path, std::io::ErrorKind::IsADirectory.into()));
    }
    let (tensors, has_centroids) = read_tensors(path)?;
    let reader = Reader {
        path,
        tensors,
        device,
    };
    let mut encoder = reader.dense_layers("encoder")?;
    encoder.push(Dense {
        linear: reader.linear("_enc_mu")?,
        activation: Activation::Linear,
    });
    let autoencoder = Autoencoder {
        encoder: Encoder {
            layers: encoder,
            skip: None,
            covariates: None,
        },
        decoder: Decoder {
            layers: reader.dense_layers("decoder")?,
            covariates: None,
        },
        head: ZinbHead {
            mean: reader.linear("_dec_mean.0")?,
            dispersion: reader.linear("_dec_disp.0")?,
            dropout: reader.linear("_dec_pi.0")?,
        },
    };
    reader.check_chain(&autoencoder)?;
    let clustering = if has_centroids {
        let centroids = reader.tensor::<2>("mu")?;
        let latent = autoencoder.encoder.layers.last().map(Dense::outputs);
        reader.check_width("a centroid", latent, centroids.dims()[1])?;
        Some(ClusteringLayer {
            centroids: Param::from_tensor(centroids),
            kernel: SimilarityKernel::StudentT { alpha: 1.0 },
        })
    } else {
        None
    };
    Ok(ScdccWeights {
        autoencoder,
        clustering,
    })
}

/// What may be read whatever the size of the file.
const FREE_BYTES: u64 = 40 << 20;

/// The longest description of tensors: thousands of them.
const MOST_DESCRIPTION: u64 = 400 << 10;

/// Refuses an archive whose description, of which every byte may become an object, is longer than that
/// of any network; packed, it would be a small file.
fn check_description(path: &Path) -> Result<()> {
    let bytes = read_file(path)?;
    for at in memmem(&bytes, b"PK\x01\x02") {
        let number = |from: usize, width: usize| {
            let field = bytes.get(at + from..at + from + width)?;
            let digits = field.iter().rev();
            Some(digits.fold(0u64, |sum, &byte| (sum << 8) | u64::from(byte)))
        };
        let (Some(size), Some(length)) = (number(24, 4), number(28, 2)) else {
            continue;
        };
        let name = bytes.get(at + 46..at + 46 + length as usize);
        let is_description = name.is_some_and(|name| name.ends_with(b".pkl"));
        if is_description && size > MOST_DESCRIPTION {
            return Err(Error::format(
                path,
                None,
                format!(
                    "its description of tensors has {size} bytes, that of thousands of tensors \
                     has fewer than {MOST_DESCRIPTION}; the file is damaged or no weight file"
                ),
            ));
        }
    }
    Ok(())
}

/// Where a pattern of four bytes begins.
fn memmem<'a>(bytes: &'a [u8], pattern: &'a [u8; 4]) -> impl Iterator<Item = usize> + 'a {
    let windows = bytes.windows(pattern.len()).enumerate();
    windows.filter_map(move |(at, window)| (window == pattern).then_some(at))
}

/// Refuses tensors that are larger together than the file: several may share what is stored, or
/// repeat it.
fn check_sizes(path: &Path, tensors: &BTreeMap<String, NamedTensor>) -> Result<()> {
    let metadata = std::fs::metadata(path).map_err(|source| Error::io(path, source))?;
    let file_bytes = metadata.len();
    let limit = file_bytes.saturating_mul(4).saturating_add(FREE_BYTES);
    let mut needed = 0u64;
    for (name, tensor) in tensors {
        let values = tensor.shape.iter();
        let values = values.fold(1u64, |sum, &length| sum.saturating_mul(length as u64));
        needed = needed.saturating_add(values.saturating_mul(tensor.dtype.size() as u64));
        if needed > limit {
            return Err(Error::MemoryLimit {
                path: path.into(),
                place: format!("tensor \"{name}\""),
                needed,
                limit,
                file_bytes,
            });
        }
    }
    Ok(())
}

/// The tensors of the file's state dictionary, and whether its centroids are trained.
fn read_tensors(path: &Path) -> Result<(BTreeMap<String, TensorData>, bool)> {
    check_description(path)?;
    let mut failure = String::new();
    for (key, has_centroids) in [("ae_state_dict", false), ("state_dict", true)] {
        let mut store = PytorchStore::from_file(path).with_top_level_key(key);
        match store.get_all_tensors() {
            Ok(tensors) if tensors.contains_key("_enc_mu.weight") => {
                check_sizes(path, tensors)?;
                let tensors = tensors
                    .iter()
                    .map(|(name, tensor)| {
                        bridge::to_data(tensor)
                            .map(|data| (name.clone(), data))
                            .map_err(|error| Error::format(path, None, format!("{name}: {error}")))
                    })
                    .collect::<Result<_>>()?;
                return Ok((tensors, has_centroids));
            }
            Ok(_) => {}
            Err(error) => failure = format!(" ({error})"),
        }
    }
    Err(Error::format(
        path,
        None,
        format!(
            "not a weight file of scDCC: expected a state dictionary under \"ae_state_dict\" or \
             \"state_dict\" with a tensor \"_enc_mu.weight\"{failure}"
        ),
    ))
}

struct Reader<'a> {
    path: &'a Path,
    tensors: BTreeMap<String, TensorData>,
    device: &'a Device,
}

impl Reader<'_> {
    fn tensor<const D: usize>(&self, name: &str) -> Result<Tensor<D>> {
        let data = self
            .tensors
            .get(name)
            .ok_or_else(|| Error::format(self.path, None, format!("no tensor \"{name}\"")))?;
        if data.rank() != D {
            return Err(Error::format(
                self.path,
                None,
                format!(
                    "tensor \"{name}\" has {} dimensions, expected {D}",
                    data.rank()
                ),
            ));
        }
        Ok(Tensor::from_data(data.clone(), self.device))
    }

    /// PyTorch keeps weights as `[outputs, inputs]`, burn as `[inputs, outputs]`.
    fn linear(&self, name: &str) -> Result<Linear> {
        let weight: Tensor<2> = self.tensor(&format!("{name}.weight"))?;
        let bias: Tensor<1> = self.tensor(&format!("{name}.bias"))?;
        if weight.dims()[0] != bias.dims()[0] {
            return Err(Error::format(
                self.path,
                None,
                format!(
                    "\"{name}\" has {} outputs but {} biases",
                    weight.dims()[0],
                    bias.dims()[0]
                ),
            ));
        }
        Ok(Linear {
            weight: Param::from_tensor(weight.transpose()),
            bias: Some(Param::from_tensor(bias)),
        })
    }

    /// Refuses layers that cannot follow each other.
    fn check_chain(&self, autoencoder: &Autoencoder<ZinbHead>) -> Result<()> {
        let head = &autoencoder.head;
        let dense = autoencoder
            .encoder
            .layers
            .iter()
            .chain(&autoencoder.decoder.layers);
        let mut width = None;
        for layer in dense {
            self.check_width("a layer", width, layer.inputs())?;
            width = Some(layer.outputs());
        }
        let genes = autoencoder.encoder.layers[0].inputs();
        for layer in [&head.mean, &head.dispersion, &head.dropout] {
            let [inputs, outputs] = layer.weight.dims();
            self.check_width("an output layer", width, inputs)?;
            self.check_width("the genes of an output layer", Some(genes), outputs)?;
        }
        Ok(())
    }

    fn check_width(&self, what: &str, expected: Option<usize>, found: usize) -> Result<()> {
        match expected {
            Some(expected) if expected != found => Err(Error::format(
                self.path,
                None,
                format!("{what} has width {found}, expected {expected}"),
            )),
            _ => Ok(()),
        }
    }

    /// The linear layers of a sequence; the store numbers them without gaps.
    fn dense_layers(&self, name: &str) -> Result<Vec<Dense>> {
        (0..)
            .map(|layer| format!("{name}.{layer}"))
            .take_while(|layer| self.tensors.contains_key(&format!("{layer}.weight")))
            .map(|layer| {
                Ok(Dense {
                    linear: self.linear(&layer)?,
                    activation: Activation::Relu,
                })
            })
            .collect()
    }
}
