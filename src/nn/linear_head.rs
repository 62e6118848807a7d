//! A head of a single layer, for losses of one's own.

use burn::config::Config;
use burn::module::Module;
use burn::nn::{Linear, LinearConfig};
use burn::tensor::{Device, Tensor, activation};

use super::dense::Activation;
use super::head::ReconstructionHead;
use crate::kernel::dense;

/// From a layer's output to an expectation: the inverse of a generalised linear model's link.
#[derive(Config, Debug, Copy, PartialEq, Eq)]
pub enum Link {
    /// The output itself, on the scale of the network's input: a Gaussian's mean.
    Identity,
    /// exp, clamped to [1e-5, 1e6]: a Poisson rate, or another mean count, per unit of size factor.
    Exp,
    /// softplus, clamped to [1e-5, 1e6]: a mean count that grows linearly with the output.
    Softplus,
    /// sigmoid: the probability that a gene is seen at all.
    Sigmoid,
}

/// Settings of a [`LinearHead`].
#[derive(Config, Debug, PartialEq, Eq)]
pub struct LinearHeadConfig {
    /// From the layer's output to the expectation.
    pub link: Link,
}

impl LinearHeadConfig {
    /// For a Gaussian: [`Link::Identity`].
    pub fn identity() -> Self {
        Self::new(Link::Identity)
    }

    /// For counts, for example Poisson ones: [`Link::Exp`].
    pub fn exp() -> Self {
        Self::new(Link::Exp)
    }
}

/// A single output per gene with a link function: enough for distributions with one parameter, such
/// as Gaussian with a fixed variance, Poisson and Bernoulli.
#[derive(Module, Debug)]
pub struct LinearHead {
    /// Features to genes.
    pub output: Linear,
    /// From the layer's output to the expectation.
    #[module(skip)]
    pub link: Link,
}

/// What a [`LinearHead`] returns.
#[derive(Debug, Clone)]
pub struct LinearOutput {
    /// The layer's output `[cells, genes]`, on which losses work best: log-rates of a Poisson.
    pub logits: Tensor<2>,
    link: Link,
}

impl LinearOutput {
    /// The expectation `[cells, genes]`, before the size factor.
    pub fn expectation(&self) -> Tensor<2> {
        let logits = self.logits.clone();
        match self.link {
            Link::Identity => logits,
            Link::Exp => logits.exp().clamp(1e-5, 1e6),
            Link::Softplus => activation::softplus(logits, 1.0).clamp(1e-5, 1e6),
            Link::Sigmoid => activation::sigmoid(logits),
        }
    }
}

impl ReconstructionHead for LinearHead {
    type Config = LinearHeadConfig;
    type Output = LinearOutput;
    const NAME: &'static str = "linear";

    fn init(config: &LinearHeadConfig, features: usize, genes: usize, device: &Device) -> Self {
        Self {
            output: LinearConfig::new(features, genes).init(device),
            link: config.link,
        }
    }

    fn scales_with_size_factor(&self) -> bool {
        matches!(self.link, Link::Exp | Link::Softplus)
    }

    fn forward(&self, features: Tensor<2>) -> LinearOutput {
        LinearOutput {
            logits: dense::forward(&self.output, Activation::Linear, features),
            link: self.link,
        }
    }

    fn expectation(&self, output: &LinearOutput) -> Tensor<2> {
        output.expectation()
    }
}
