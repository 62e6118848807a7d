//! The autoencoder of a plan, before the number of genes is known.

use serde::{Deserialize, Serialize};

use crate::error::ParameterError;
use crate::nn::{Activation, AutoencoderConfig, CovariatePlacement, InitialWeights};
use crate::settings::settings;

/// Widths of the encoder's layers; the last one is the latent space, the decoder mirrors them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
#[non_exhaustive]
pub enum Widths {
    /// The same for any data.
    Fixed(Vec<usize>),
    /// A rule.
    Rule(WidthRule),
}

/// A rule for the widths of layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum WidthRule {
    /// By the number of cells, as in DESC's paper ([`Widths::for_cells`]).
    ByCells,
}

impl Widths {
    /// By the number of cells, as in DESC's paper ([`Widths::for_cells`]).
    pub fn by_cells() -> Self {
        Self::Rule(WidthRule::ByCells)
    }

    /// The widths of DESC's encoder (Li et al., 2020): above 20 000 cells `[128, 32]`, above 10 000
    /// `[64, 32]`, above 5 000 `[32, 16]`, above 2 000 `[128]`, above 500 `[64]`, else `[16]`.
    pub fn for_cells(cells: usize) -> Vec<usize> {
        match cells {
            20_001.. => vec![128, 32],
            10_001.. => vec![64, 32],
            5_001.. => vec![32, 16],
            2_001.. => vec![128],
            501.. => vec![64],
            _ => vec![16],
        }
    }

    /// The widths for data of so many cells.
    pub(in crate::train) fn of(&self, cells: usize) -> Vec<usize> {
        match self {
            Self::Fixed(widths) => widths.clone(),
            Self::Rule(WidthRule::ByCells) => Self::for_cells(cells),
        }
    }
}

impl From<Vec<usize>> for Widths {
    fn from(widths: Vec<usize>) -> Self {
        Self::Fixed(widths)
    }
}

impl<const N: usize> From<[usize; N]> for Widths {
    fn from(widths: [usize; N]) -> Self {
        Self::Fixed(widths.to_vec())
    }
}

settings! {
    /// The autoencoder of a plan, before the number of genes is known.
    pub struct NetworkConfig {
        /// Widths of the encoder's layers; the last one is the latent space, the decoder mirrors
        /// them.
        with_widths / widths: Widths as impl Into<Widths> = Widths::from([256, 64, 32]),
        /// Activation of the latent space.
        with_latent_activation / latent_activation: Activation = Activation::Linear,
        /// Whether a trainable linear map from genes to the latent space is added to the encoder;
        /// it starts at the principal components of the input.
        with_linear_skip / linear_skip: bool = true,
        /// Where weights start.
        with_initial_weights / initial_weights: InitialWeights = InitialWeights::Pytorch,
        /// Whether the decoder's output starts at the mean and dispersion of every gene, instead of
        /// at random; of use to heads that
        /// [describe counts](crate::nn::ReconstructionHead::DESCRIBES_COUNTS) only.
        with_start_at_moments / start_at_moments: bool = true,
        /// Which parts of the network are told the
        /// [covariates](crate::preprocess::Cells::with_covariates) of cells that have some.
        with_covariates / covariates: CovariatePlacement = CovariatePlacement::Both,
    }
}

/// The widest layer: a weight matrix of two such layers fills the memory of any machine.
const WIDEST: usize = 1 << 20;

impl NetworkConfig {
    /// The configuration of the autoencoder for data of this size.
    pub(in crate::train) fn autoencoder(
        &self,
        cells: usize,
        genes: usize,
        covariates: usize,
    ) -> AutoencoderConfig {
        let widths = self.widths.of(cells);
        let mut config = AutoencoderConfig::symmetric(genes, &widths, self.latent_activation);
        config.encoder.linear_skip = self.linear_skip;
        if self.covariates.in_encoder() {
            config.encoder.covariates = covariates;
        }
        if self.covariates.in_decoder() {
            config.decoder.covariates = covariates;
        }
        config
    }

    pub(in crate::train) fn check(&self) -> Result<(), ParameterError> {
        let Widths::Fixed(widths) = &self.widths else {
            return Ok(());
        };
        if widths.is_empty() || !widths.iter().all(|width| (1..=WIDEST).contains(width)) {
            return Err(ParameterError::LayerWidths {
                name: "the widths of the encoder",
                value: widths.clone(),
            });
        }
        Ok(())
    }
}
