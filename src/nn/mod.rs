//! Neural-network modules: encoder, decoder, heads and the clustering layer.
//!
//! Each is a burn [`Module`](burn::module::Module) built by a `Config`, as in burn itself:
//! `EncoderConfig::new(2000, vec![256, 64, 32]).init(&device)`. They compose freely;
//! [`Autoencoder`] and [`ClusteringNetwork`] are the two compositions that the trainers use.

mod autoencoder;
mod clustering;
mod covariates;
mod decoder;
mod dense;
mod encoder;
mod head;
mod initialize;
mod input;
mod linear_head;
mod network;
mod similarity;

pub use autoencoder::{Autoencoder, AutoencoderConfig};
pub use clustering::{ClusteringLayer, ClusteringLayerConfig};
pub use covariates::CovariatePlacement;
pub use decoder::{Decoder, DecoderConfig};
pub use dense::{Activation, Dense, DenseConfig};
pub use encoder::{Encoder, EncoderConfig, LinearSkip};
pub use head::{
    CountDistribution, CountHead, CountOutput, Dispersion, HeadOutput, MseHead, MseHeadConfig,
    MseOutput, NbHead, NbHeadConfig, NbOutput, ReconstructionHead, ZinbHead, ZinbHeadConfig,
    ZinbOutput,
};
pub use initialize::{InitialWeights, initialize_weights};
pub use input::{Expression, NetworkInput, SparseInput};
pub use linear_head::{LinearHead, LinearHeadConfig, LinearOutput, Link};
pub use network::{ClusteringNetwork, Reconstruction};
pub use similarity::{OwnSimilarity, Similarity, SimilarityKernel};
