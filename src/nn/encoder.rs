//! The encoder: genes to latent space.

use burn::config::Config;
use burn::module::{Module, Param};
use burn::nn::{Linear, LinearConfig};
use burn::tensor::{Device, Tensor};
use ndarray::{Array2, ArrayView1, ArrayView2, s};

use super::covariates;
use super::dense::{Activation, Dense, on_input, stack};
use super::initialize::with_values;
use super::input::NetworkInput;

/// Configuration of an [`Encoder`].
#[derive(Config, Debug, PartialEq)]
pub struct EncoderConfig {
    /// Number of genes.
    pub genes: usize,
    /// Width of every layer; the last one is the latent space.
    pub widths: Vec<usize>,
    /// Activation of the hidden layers.
    #[config(default = "Activation::Relu")]
    pub hidden_activation: Activation,
    /// Activation of the latent layer: linear in scDCC, hyperbolic tangent in DESC.
    #[config(default = "Activation::Linear")]
    pub latent_activation: Activation,
    /// Whether a linear map from genes to the latent space is added before the latent activation.
    #[config(default = false)]
    pub linear_skip: bool,
    /// Columns of encoded covariates that the first layer is told; 0: none.
    #[config(default = 0)]
    pub covariates: usize,
}

impl EncoderConfig {
    /// Creates the encoder.
    pub fn init(&self, device: &Device) -> Encoder {
        // With a skip connection the latent activation follows the sum.
        let last = if self.linear_skip {
            Activation::Linear
        } else {
            self.latent_activation
        };
        Encoder {
            layers: stack(
                self.genes,
                &self.widths,
                self.hidden_activation,
                last,
                device,
            ),
            skip: self.linear_skip.then(|| LinearSkip {
                linear: LinearConfig::new(self.genes, self.latent()).init(device),
                latent_activation: self.latent_activation,
            }),
            covariates: self
                .widths
                .first()
                .and_then(|&width| covariates::rows(self.covariates, width, device)),
        }
    }

    /// Width of the latent space.
    pub fn latent(&self) -> usize {
        self.widths.last().copied().unwrap_or(self.genes)
    }
}

/// Fully connected layers from `[cells, genes]` to the embedding `[cells, latent]`.
///
/// scDCC: genes → 256 → 64 → 32, ReLU, linear latent layer. DESC: widths by the number of cells,
/// ReLU, hyperbolic tangent in the latent layer.
///
/// With a [linear skip](LinearSkip) W₀, the embedding of x is `activation(layers(x) + x·W₀ + b₀)`:
/// the layers learn what a linear projection misses.
#[derive(Module, Debug)]
pub struct Encoder {
    /// The layers, input first; the last one is the latent layer.
    pub layers: Vec<Dense>,
    /// The linear map beside the layers, if any.
    pub skip: Option<LinearSkip>,
    /// A learned row `[columns, width of the first layer]` for every column of covariates, added to
    /// the first layer's sums; none where the encoder is told none.
    pub covariates: Option<Param<Tensor<2>>>,
}

/// A trainable linear map from genes to the latent space beside the encoder's layers.
#[derive(Module, Debug)]
pub struct LinearSkip {
    /// Weights `[genes, latent]` and bias `[latent]`.
    pub linear: Linear,
    /// Activation of the sum.
    #[module(skip)]
    pub latent_activation: Activation,
}

impl Encoder {
    /// Embeds cells: `[cells, genes]` → `[cells, latent]`. Input without covariates is that of cells
    /// whose encoded covariates are all zero.
    pub fn forward(&self, input: impl Into<NetworkInput>) -> Tensor<2> {
        let input = input.into();
        let skipped = self.skip.as_ref().map(|skip| {
            let projection = on_input(&skip.linear, Activation::Linear, &input);
            (projection, skip.latent_activation)
        });
        let latent = match self.layers.split_first() {
            Some((first, others)) => others
                .iter()
                .fold(self.first_layer(first, &input), |hidden, layer| {
                    layer.forward(hidden)
                }),
            None => input.expression.into_tensor(&Device::default()),
        };
        match skipped {
            Some((projection, activation)) => activation.forward(latent + projection),
            None => latent,
        }
    }

    fn first_layer(&self, first: &Dense, input: &NetworkInput) -> Tensor<2> {
        match covariates::shift(self.covariates.as_ref(), input.covariates.as_ref()) {
            Some(shift) => {
                let sums = on_input(&first.linear, Activation::Linear, input);
                first.activation.forward(sums + shift)
            }
            None => first.forward_input(input),
        }
    }

    /// Width of the latent space: that of the last layer, 0 for an encoder without layers.
    pub fn latent(&self) -> usize {
        self.layers.last().map_or(0, Dense::outputs)
    }

    /// Activation of the latent space.
    pub fn latent_activation(&self) -> Activation {
        match (&self.skip, self.layers.last()) {
            (Some(skip), _) => skip.latent_activation,
            (None, Some(layer)) => layer.activation,
            (None, None) => Activation::Linear,
        }
    }

    /// Starts the linear skip, if there is one, at a projection: `(x − mean) · loadings`, with
    /// `loadings` `[genes, components]` and `mean` `[genes]`. Of more components than the latent
    /// space has dimensions the first are taken, missing ones are zero. The layers' last weights
    /// become zero, so that training starts at the projection itself.
    ///
    /// # Panics
    /// When `mean` or `loadings` do not have as many rows as the encoder has genes.
    pub fn start_at_projection(
        mut self,
        mean: ArrayView1<'_, f32>,
        loadings: ArrayView2<'_, f32>,
    ) -> Self {
        let Some(skip) = &mut self.skip else {
            return self;
        };
        let [genes, latent] = skip.linear.weight.dims();
        assert_eq!((mean.len(), loadings.nrows()), (genes, genes));
        let components = loadings.ncols().min(latent);
        let mut weights = Array2::<f32>::zeros((genes, latent));
        weights
            .slice_mut(s![.., ..components])
            .assign(&loadings.slice(s![.., ..components]));
        let bias = -mean.dot(&weights);
        skip.linear.weight = with_values(&skip.linear.weight, weights.into_raw_vec_and_offset().0);
        if let Some(parameter) = &mut skip.linear.bias {
            *parameter = with_values(parameter, bias.to_vec());
        }
        if let Some(last) = self.layers.last_mut() {
            let weights = vec![0.0; last.inputs() * last.outputs()];
            last.linear.weight = with_values(&last.linear.weight, weights);
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::TensorData;

    use super::*;
    use crate::kernel::sparse::{Entry, SparseInput};

    #[test]
    fn a_skip_starts_at_the_projection() {
        let device = Device::default();
        let config = EncoderConfig::new(3, vec![5, 2]).with_linear_skip(true);
        let loadings = ndarray::array![[1.0, 0.0, 9.0], [0.0, 2.0, 9.0], [0.5, 0.0, 9.0]];
        let mean = ndarray::array![1.0, 1.0, 1.0];
        for (activation, expected) in [
            (Activation::Linear, [1.0, 2.0]),
            (Activation::Tanh, [1.0f32.tanh(), 2.0f32.tanh()]),
        ] {
            let encoder = config
                .clone()
                .with_latent_activation(activation)
                .init(&device);
            assert_eq!(encoder.latent_activation(), activation);
            let mut encoder = encoder.start_at_projection(mean.view(), loadings.view());
            // The drawn bias of the last layer is not part of the projection.
            let last = encoder.layers.last_mut().expect("two layers");
            let bias = last.linear.bias.as_mut().expect("a bias");
            *bias = with_values(bias, vec![0.0; 2]);
            let cell = TensorData::new(vec![2.0f32, 2.0, 1.0], [1, 3]);
            let latent = encoder.forward(Tensor::from_data(cell, &device));
            let found = latent
                .into_data_as::<f32>()
                .try_to_vec::<f32>()
                .expect("floats");
            for (found, expected) in found.iter().zip(expected) {
                assert!((found - expected).abs() < 1e-6, "{found} {expected}");
            }
        }
    }

    #[test]
    fn sparse_input_is_embedded_as_dense_input() {
        let device = Device::default();
        let input = SparseInput::new(
            3,
            vec![0.5, -1.0, 2.0],
            vec![0, 0],
            [2, 0].into_iter(),
            |_, entries| {
                for (entry, (index, value)) in entries.iter_mut().zip([(0, 1.5), (2, -0.5)]) {
                    *entry = Entry { index, value };
                }
            },
        );
        for skip in [false, true] {
            let encoder = EncoderConfig::new(3, vec![20, 2])
                .with_linear_skip(skip)
                .with_latent_activation(Activation::Tanh)
                .init(&device);
            let dense = encoder.forward(input.to_tensor(&device));
            let sparse = encoder.forward(input.clone());
            let error = (sparse - dense).abs().max().into_scalar::<f32>();
            assert!(error < 1e-6, "{error}");
        }
    }

    #[test]
    fn fewer_components_than_dimensions_leave_the_rest_at_zero() {
        let device = Device::default();
        let encoder = EncoderConfig::new(2, vec![3])
            .with_linear_skip(true)
            .init(&device);
        let encoder = encoder.start_at_projection(
            ndarray::array![0.0, 0.0].view(),
            ndarray::array![[1.0], [1.0]].view(),
        );
        let weights = encoder.skip.expect("a skip").linear.weight.val();
        let found = weights
            .into_data_as::<f32>()
            .try_to_vec::<f32>()
            .expect("floats");
        assert_eq!(found, [1.0, 0.0, 0.0, 1.0, 0.0, 0.0]);
    }
}
