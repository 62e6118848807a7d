//! What a saved model says of itself: types of their own, so that settings may change without making
//! old files unreadable.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::architecture::Architecture;
use super::fitted::FittedModel;
use super::info::ModelInfo;
use crate::nn::{Activation, DecoderConfig, EncoderConfig, ReconstructionHead, SimilarityKernel};
use crate::preprocess::{CovariateDesign, FittedPreprocess};

/// Version of the file format; files of a newer version are refused. Version 2 added the checksum
/// and covariates.
pub(super) const FORMAT: u32 = 2;

/// The description of a model, as every version since 1 reads and writes it.
#[derive(Serialize, Deserialize)]
#[serde(bound = "")]
pub(super) struct Described<H: ReconstructionHead> {
    format: u32,
    head: String,
    architecture: DescribedArchitecture<H>,
    preprocessing: FittedPreprocess,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    covariates: Option<CovariateDesign>,
    info: ModelInfo,
}

#[derive(Serialize, Deserialize)]
#[serde(bound = "")]
struct DescribedArchitecture<H: ReconstructionHead> {
    encoder: DescribedEncoder,
    clusters: usize,
    /// A [`SimilarityKernel`]; of one's own only its description.
    kernel: Value,
    decoder: Option<(DescribedDecoder, H::Config)>,
}

#[derive(Serialize, Deserialize)]
struct DescribedEncoder {
    genes: usize,
    widths: Vec<usize>,
    hidden_activation: Activation,
    latent_activation: Activation,
    linear_skip: bool,
    #[serde(default)]
    covariates: usize,
}

#[derive(Serialize, Deserialize)]
struct DescribedDecoder {
    latent: usize,
    widths: Vec<usize>,
    activation: Activation,
    #[serde(default)]
    covariates: usize,
}

/// The member of a [`SimilarityKernel`] of one's own in its JSON form.
const OWN: &str = "Own";

/// Architecture, preprocessing, covariates and origin of a model.
pub(super) type Parts<H> = (
    Architecture<H>,
    FittedPreprocess,
    Option<CovariateDesign>,
    ModelInfo,
);

impl<H: ReconstructionHead> Described<H> {
    pub fn of(model: &FittedModel<H>) -> Self {
        let architecture = &model.architecture;
        let encoder = &architecture.encoder;
        Self {
            format: FORMAT,
            head: H::NAME.to_string(),
            architecture: DescribedArchitecture {
                encoder: DescribedEncoder {
                    genes: encoder.genes,
                    widths: encoder.widths.clone(),
                    hidden_activation: encoder.hidden_activation,
                    latent_activation: encoder.latent_activation,
                    linear_skip: encoder.linear_skip,
                    covariates: encoder.covariates,
                },
                clusters: architecture.clusters,
                kernel: serde_json::json!(architecture.similarity),
                decoder: architecture.decoder.as_ref().map(|(decoder, head)| {
                    let described = DescribedDecoder {
                        latent: decoder.latent,
                        widths: decoder.widths.clone(),
                        activation: decoder.activation,
                        covariates: decoder.covariates,
                    };
                    (described, head.clone())
                }),
            },
            preprocessing: model.preprocessing.clone(),
            covariates: model.covariates.clone(),
            info: model.info.clone(),
        }
    }

    /// The parts of the model, with a similarity of one's own where it was fitted with one.
    ///
    /// # Errors
    /// When the similarity is not the one that the model was fitted with.
    pub fn into_parts(self, own: Option<SimilarityKernel>) -> Result<Parts<H>, String> {
        let DescribedArchitecture {
            encoder,
            clusters,
            kernel,
            decoder,
        } = self.architecture;
        let similarity = similarity(kernel, own)?;
        let architecture = Architecture {
            encoder: EncoderConfig {
                genes: encoder.genes,
                widths: encoder.widths,
                hidden_activation: encoder.hidden_activation,
                latent_activation: encoder.latent_activation,
                linear_skip: encoder.linear_skip,
                covariates: encoder.covariates,
            },
            clusters,
            similarity,
            decoder: decoder.map(|(decoder, head)| {
                let config = DecoderConfig {
                    latent: decoder.latent,
                    widths: decoder.widths,
                    activation: decoder.activation,
                    covariates: decoder.covariates,
                };
                (config, head)
            }),
        };
        Ok((architecture, self.preprocessing, self.covariates, self.info))
    }
}

fn similarity(stored: Value, own: Option<SimilarityKernel>) -> Result<SimilarityKernel, String> {
    match (stored.get(OWN), own) {
        (Some(fitted), Some(own)) => {
            let given = &serde_json::json!(own)[OWN];
            if given == fitted {
                Ok(own)
            } else {
                Err(format!(
                    "it was fitted with the similarity {fitted}, {given} was given"
                ))
            }
        }
        (Some(fitted), None) => Err(format!(
            "it was fitted with the similarity {fitted}, which is code: load it with \
             `FittedModel::load_with_similarity`"
        )),
        (None, Some(_)) => Err(format!(
            "it was fitted with the similarity {stored}: load it with `FittedModel::load`"
        )),
        (None, None) => serde_json::from_value(stored).map_err(|error| error.to_string()),
    }
}
