//! Weights of the original scDCC implementation (`.pth.tar`).

use std::collections::BTreeMap;
use std::path::Path;

use burn::module::Param;
use burn::nn::Linear;
use burn::store::{ModuleStore, PytorchStore, bridge};
use burn::tensor::{Device, Tensor, TensorData};

use crate::error::{Error, Result};
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
/// [`Error::Format`] when the file is not such a file, naming the tensor that is missing or has
/// an unexpected shape.
pub fn read_scdcc_weights(path: impl AsRef<Path>, device: &Device) -> Result<ScdccWeights> {
    let path = path.as_ref();
    if !path.is_file() {
        return Err(Error::io(path, std::io::ErrorKind::NotFound.into()));
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

/// The tensors of the file's state dictionary, and whether its centroids are trained.
fn read_tensors(path: &Path) -> Result<(BTreeMap<String, TensorData>, bool)> {
    let mut failure = String::new();
    for (key, has_centroids) in [("ae_state_dict", false), ("state_dict", true)] {
        let mut store = PytorchStore::from_file(path).with_top_level_key(key);
        match store.get_all_tensors() {
            Ok(tensors) if tensors.contains_key("_enc_mu.weight") => {
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
