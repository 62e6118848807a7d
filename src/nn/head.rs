//! Reconstruction heads: the last step of the decoder, from features to a distribution over
//! expression.
//!
//! A head returns *logits* (unbounded outputs); the losses work on them in log space. The
//! parameters that they stand for are
//!
//! * mean μ = exp(logit), clamped to [1e-5, 1e6],
//! * dispersion θ = softplus(logit), clamped to [1e-4, 1e4] (variance μ + μ²/θ),
//! * dropout π = sigmoid(logit), the probability of an excess zero.

use burn::config::Config;
use burn::module::{Initializer, Module, ModuleDisplay, Param};
use burn::nn::{Linear, LinearConfig};
use burn::tensor::{Device, Tensor, activation};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::dense::Activation;
use super::initialize::with_values;
use crate::kernel::dense;

/// What a head returns for a batch.
pub type HeadOutput<H> = <H as ReconstructionHead>::Output;

/// A module that turns decoder features `[cells, features]` into the parameters of a
/// distribution over expression `[cells, genes]`.
///
/// Which loss fits which head is settled by the compiler: a
/// [`ReconstructionLoss`](crate::loss::ReconstructionLoss) names its head.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a reconstruction head",
    note = "a head is a burn module with `#[derive(Module, Debug)]`"
)]
pub trait ReconstructionHead: Module + ModuleDisplay + Sync + 'static {
    /// Settings of the head; kept in saved models.
    type Config: Serialize + DeserializeOwned + Clone + Send + Sync + std::fmt::Debug;
    /// The tensors that the head returns.
    type Output;

    /// A name that identifies the head in saved models.
    const NAME: &'static str;

    /// Whether the head describes counts whose distribution can start at the moments of every gene
    /// ([`start_at_moments`](Self::start_at_moments)).
    const DESCRIBES_COUNTS: bool = false;

    /// Whether the [expectation](Self::expectation) is per unit of size factor, as a mean count is,
    /// which is the default, rather than on the scale of the network's input.
    fn scales_with_size_factor(&self) -> bool {
        true
    }

    /// Creates the head.
    fn init(config: &Self::Config, features: usize, genes: usize, device: &Device) -> Self;

    /// The head with its biases moved to where, without features, the mean of every gene is
    /// `means` and its dispersion is `dispersions` (both `[genes]`): training need not first find
    /// out how much each gene is expressed. Heads that do not describe counts stay as they are,
    /// which is the default.
    fn start_at_moments(self, means: &[f32], dispersions: &[f32]) -> Self {
        let _ = (means, dispersions);
        self
    }

    /// Features `[cells, features]` → output.
    fn forward(&self, features: Tensor<2>) -> Self::Output;

    /// The expected expression `[cells, genes]` of an output at size factor 1, without excess
    /// zeros: the denoised value.
    fn expectation(&self, output: &Self::Output) -> Tensor<2>;
}

/// exp of mean logits, clamped as in scDCC.
fn mean_from_logits(logits: Tensor<2>) -> Tensor<2> {
    logits.exp().clamp(1e-5, 1e6)
}

/// softplus of dispersion logits, clamped as in scDCC.
fn dispersion_from_logits(logits: Tensor<2>) -> Tensor<2> {
    activation::softplus(logits, 1.0).clamp(1e-4, 1e4)
}

/// The logits of means, the inverse of [`mean_from_logits`].
fn mean_logits(means: &[f32]) -> Vec<f32> {
    means
        .iter()
        .map(|mean| mean.clamp(1e-5, 1e6).ln())
        .collect()
}

/// The logits of dispersions, the inverse of [`dispersion_from_logits`].
fn dispersion_logits(dispersions: &[f32]) -> Vec<f32> {
    dispersions
        .iter()
        .map(|dispersion| {
            let dispersion = dispersion.clamp(1e-4, 1e4);
            // ln(eᶿ − 1), written so that it does not overflow.
            dispersion + (-(-dispersion).exp_m1()).ln()
        })
        .collect()
}

/// Replaces the bias of a layer that has one.
fn set_bias(layer: &mut Linear, values: Vec<f32>) {
    if let Some(bias) = &mut layer.bias {
        *bias = with_values(bias, values);
    }
}

/// Settings of an [`MseHead`].
#[derive(Config, Debug, PartialEq)]
pub struct MseHeadConfig {
    /// Activation of the output. The published DESC ends in tanh although its inputs reach ±6;
    /// the default is linear.
    #[config(default = "Activation::Linear")]
    pub activation: Activation,
}

/// A single output per gene, scored by the mean squared error.
#[derive(Module, Debug)]
pub struct MseHead {
    /// Features to genes.
    pub output: Linear,
    /// Activation of the output.
    #[module(skip)]
    pub activation: Activation,
}

/// What an [`MseHead`] returns.
#[derive(Debug, Clone)]
pub struct MseOutput {
    /// Reconstructed network input `[cells, genes]`.
    pub reconstruction: Tensor<2>,
}

impl ReconstructionHead for MseHead {
    type Config = MseHeadConfig;
    type Output = MseOutput;
    const NAME: &'static str = "mse";

    fn scales_with_size_factor(&self) -> bool {
        false
    }

    fn init(config: &MseHeadConfig, features: usize, genes: usize, device: &Device) -> Self {
        Self {
            output: LinearConfig::new(features, genes).init(device),
            activation: config.activation,
        }
    }

    fn forward(&self, features: Tensor<2>) -> MseOutput {
        MseOutput {
            reconstruction: dense::forward(&self.output, self.activation, features),
        }
    }

    fn expectation(&self, output: &MseOutput) -> Tensor<2> {
        output.reconstruction.clone()
    }
}

/// Where the dispersion of an [`NbHead`] comes from.
#[derive(Config, Debug, Copy, PartialEq, Eq)]
pub enum Dispersion {
    /// One dispersion per gene, shared by all cells.
    PerGene,
    /// One dispersion per cell and gene, from a layer of its own.
    PerCellAndGene,
}

/// Settings of an [`NbHead`].
#[derive(Config, Debug, PartialEq)]
pub struct NbHeadConfig {
    /// Where the dispersion comes from.
    #[config(default = "Dispersion::PerGene")]
    pub dispersion: Dispersion,
}

/// Mean and dispersion of a negative binomial.
#[derive(Module, Debug)]
pub struct NbHead {
    /// Features to mean logits.
    pub mean: Linear,
    /// Features to dispersion logits, when they differ between cells.
    pub dispersion: Option<Linear>,
    /// Dispersion logits `[1, genes]`, when they are shared by all cells.
    pub gene_dispersion: Option<Param<Tensor<2>>>,
}

/// What an [`NbHead`] returns.
#[derive(Debug, Clone)]
pub struct NbOutput {
    /// Logits of the mean `[cells, genes]`, before the size factor.
    pub mean_logits: Tensor<2>,
    /// Logits of the dispersion, `[cells, genes]` or `[1, genes]`.
    pub dispersion_logits: Tensor<2>,
}

impl NbOutput {
    /// Mean μ before the size factor `[cells, genes]`.
    pub fn mean(&self) -> Tensor<2> {
        mean_from_logits(self.mean_logits.clone())
    }

    /// Dispersion θ, `[cells, genes]` or `[1, genes]`.
    pub fn dispersion(&self) -> Tensor<2> {
        dispersion_from_logits(self.dispersion_logits.clone())
    }
}

impl ReconstructionHead for NbHead {
    type Config = NbHeadConfig;
    type Output = NbOutput;
    const NAME: &'static str = "nb";
    const DESCRIBES_COUNTS: bool = true;

    fn init(config: &NbHeadConfig, features: usize, genes: usize, device: &Device) -> Self {
        let linear = || LinearConfig::new(features, genes).init(device);
        let (dispersion, gene_dispersion) = match config.dispersion {
            Dispersion::PerCellAndGene => (Some(linear()), None),
            Dispersion::PerGene => (None, Some(Initializer::Zeros.init([1, genes], device))),
        };
        Self {
            mean: linear(),
            dispersion,
            gene_dispersion,
        }
    }

    fn start_at_moments(mut self, means: &[f32], dispersions: &[f32]) -> Self {
        set_bias(&mut self.mean, mean_logits(means));
        if let Some(layer) = &mut self.dispersion {
            set_bias(layer, dispersion_logits(dispersions));
        }
        if let Some(logits) = &mut self.gene_dispersion {
            *logits = with_values(logits, dispersion_logits(dispersions));
        }
        self
    }

    fn forward(&self, features: Tensor<2>) -> NbOutput {
        let mean_logits = dense::forward(&self.mean, Activation::Linear, features.clone());
        let dispersion_logits = match (&self.dispersion, &self.gene_dispersion) {
            (Some(layer), _) => dense::forward(layer, Activation::Linear, features),
            (None, Some(logits)) => logits.val(),
            (None, None) => mean_logits.zeros_like(),
        };
        NbOutput {
            mean_logits,
            dispersion_logits,
        }
    }

    fn expectation(&self, output: &NbOutput) -> Tensor<2> {
        output.mean()
    }
}

/// Settings of a [`ZinbHead`]; it has none.
#[derive(Config, Debug, PartialEq)]
pub struct ZinbHeadConfig {}

/// Mean, dispersion and dropout of a zero-inflated negative binomial: the three output layers of
/// scDCC and scDeepCluster.
#[derive(Module, Debug)]
pub struct ZinbHead {
    /// Features to mean logits.
    pub mean: Linear,
    /// Features to dispersion logits.
    pub dispersion: Linear,
    /// Features to dropout logits.
    pub dropout: Linear,
}

/// What a [`ZinbHead`] returns: logits `[cells, genes]`.
#[derive(Debug, Clone)]
pub struct ZinbOutput {
    /// Logits of the mean, before the size factor.
    pub mean_logits: Tensor<2>,
    /// Logits of the dispersion.
    pub dispersion_logits: Tensor<2>,
    /// Logits of the dropout.
    pub dropout_logits: Tensor<2>,
}

impl ZinbOutput {
    /// Mean μ before the size factor `[cells, genes]`.
    pub fn mean(&self) -> Tensor<2> {
        mean_from_logits(self.mean_logits.clone())
    }

    /// Dispersion θ `[cells, genes]`.
    pub fn dispersion(&self) -> Tensor<2> {
        dispersion_from_logits(self.dispersion_logits.clone())
    }

    /// Dropout π `[cells, genes]`.
    pub fn dropout(&self) -> Tensor<2> {
        activation::sigmoid(self.dropout_logits.clone())
    }
}

impl ReconstructionHead for ZinbHead {
    type Config = ZinbHeadConfig;
    type Output = ZinbOutput;
    const NAME: &'static str = "zinb";
    const DESCRIBES_COUNTS: bool = true;

    fn init(_config: &ZinbHeadConfig, features: usize, genes: usize, device: &Device) -> Self {
        let linear = || LinearConfig::new(features, genes).init(device);
        Self {
            mean: linear(),
            dispersion: linear(),
            dropout: linear(),
        }
    }

    fn start_at_moments(mut self, means: &[f32], dispersions: &[f32]) -> Self {
        set_bias(&mut self.mean, mean_logits(means));
        set_bias(&mut self.dispersion, dispersion_logits(dispersions));
        self
    }

    fn forward(&self, features: Tensor<2>) -> ZinbOutput {
        let logits = |layer| dense::forward(layer, Activation::Linear, features.clone());
        ZinbOutput {
            mean_logits: logits(&self.mean),
            dispersion_logits: logits(&self.dispersion),
            dropout_logits: logits(&self.dropout),
        }
    }

    fn expectation(&self, output: &ZinbOutput) -> Tensor<2> {
        output.mean()
    }
}

/// Which distribution of counts a [`CountHead`] describes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CountDistribution {
    /// Negative binomial with one dispersion per gene: one output per gene.
    #[default]
    NegativeBinomial,
    /// Zero-inflated negative binomial with mean, dispersion and dropout per cell and gene, as in
    /// scDCC: three outputs per gene.
    ZeroInflated,
}

/// An [`NbHead`] or a [`ZinbHead`], chosen at run time.
#[derive(Module, Debug)]
pub enum CountHead {
    /// Negative binomial.
    NegativeBinomial(NbHead),
    /// Zero-inflated negative binomial.
    ZeroInflated(ZinbHead),
}

/// What a [`CountHead`] returns.
#[derive(Debug, Clone)]
#[allow(
    clippy::large_enum_variant,
    reason = "a value lives for one step, and is not kept in collections"
)]
pub enum CountOutput {
    /// Of a negative binomial.
    NegativeBinomial(NbOutput),
    /// Of a zero-inflated negative binomial.
    ZeroInflated(ZinbOutput),
}

impl ReconstructionHead for CountHead {
    type Config = CountDistribution;
    type Output = CountOutput;
    const NAME: &'static str = "counts";
    const DESCRIBES_COUNTS: bool = true;

    fn init(config: &CountDistribution, features: usize, genes: usize, device: &Device) -> Self {
        match config {
            CountDistribution::NegativeBinomial => {
                let head = NbHead::init(&NbHeadConfig::new(), features, genes, device);
                Self::NegativeBinomial(head)
            }
            CountDistribution::ZeroInflated => {
                let head = ZinbHead::init(&ZinbHeadConfig::new(), features, genes, device);
                Self::ZeroInflated(head)
            }
        }
    }

    fn start_at_moments(self, means: &[f32], dispersions: &[f32]) -> Self {
        match self {
            Self::NegativeBinomial(head) => {
                Self::NegativeBinomial(head.start_at_moments(means, dispersions))
            }
            Self::ZeroInflated(head) => {
                Self::ZeroInflated(head.start_at_moments(means, dispersions))
            }
        }
    }

    fn forward(&self, features: Tensor<2>) -> CountOutput {
        match self {
            Self::NegativeBinomial(head) => CountOutput::NegativeBinomial(head.forward(features)),
            Self::ZeroInflated(head) => CountOutput::ZeroInflated(head.forward(features)),
        }
    }

    fn expectation(&self, output: &CountOutput) -> Tensor<2> {
        match output {
            CountOutput::NegativeBinomial(output) => output.mean(),
            CountOutput::ZeroInflated(output) => output.mean(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(tensor: Tensor<2>) -> Vec<f32> {
        tensor
            .into_data_as::<f32>()
            .try_to_vec::<f32>()
            .expect("floats")
    }

    #[test]
    fn heads_start_at_moments() {
        let device = Device::default();
        let (means, dispersions) = ([0.02f32, 1.0, 300.0], [1e-3f32, 0.7, 50.0]);
        let features = || Tensor::<2>::zeros([1, 4], &device);
        let close = |found: Vec<f32>, expected: [f32; 3]| {
            for (found, expected) in found.iter().zip(expected) {
                assert!((found / expected - 1.0).abs() < 1e-4, "{found} {expected}");
            }
        };
        for dispersion in [Dispersion::PerGene, Dispersion::PerCellAndGene] {
            let config = NbHeadConfig::new().with_dispersion(dispersion);
            let head = NbHead::init(&config, 4, 3, &device).start_at_moments(&means, &dispersions);
            let output = head.forward(features());
            close(values(output.mean()), means);
            close(values(output.dispersion()), dispersions);
        }
        let head = ZinbHead::init(&ZinbHeadConfig::new(), 4, 3, &device);
        let output = head
            .start_at_moments(&means, &dispersions)
            .forward(features());
        close(values(output.mean()), means);
        close(values(output.dispersion()), dispersions);
    }
}
