//! Running the likelihoods on plain numbers, by every path.

use burn::tensor::{DType, Device, Tensor, TensorData};
use celldec::kernel::likelihood::{
    MEAN_MAX, MEAN_MIN, nb_negative_log_likelihood, nb_negative_log_likelihood_mean, nb_nll_point,
    zinb_negative_log_likelihood, zinb_negative_log_likelihood_mean, zinb_nll_point,
};
use celldec::kernel::special::{sigmoid, softplus};

/// A batch: everything the tensor functions take, as plain numbers.
#[derive(Debug, Clone)]
pub struct Batch {
    pub cells: usize,
    pub genes: usize,
    pub counts: Vec<f64>,
    pub size_factors: Vec<f64>,
    pub mean: Vec<f64>,
    pub dispersion: Vec<f64>,
    pub dropout: Option<Vec<f64>>,
}

/// What comes back: values of all entries or their mean, and the gradient of their **sum** by
/// mean, dispersion and dropout logits and by the size factors.
pub struct Outcome {
    pub values: Vec<f64>,
    pub mean: Vec<f64>,
    pub dispersion: Vec<f64>,
    pub dropout: Vec<f64>,
    pub size_factors: Vec<f64>,
}

#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Path {
    /// Tensor operations.
    Composed(DType),
    /// The mean function on the CPU backend in `f32`.
    Fused,
}

fn numbers<const D: usize>(tensor: Tensor<D>) -> Vec<f64> {
    tensor
        .into_data_as::<f64>()
        .try_to_vec()
        .expect("numbers of the type asked for")
}

impl Batch {
    pub fn entries(&self) -> usize {
        self.cells * self.genes
    }

    pub fn run(&self, path: Path) -> Outcome {
        let dtype = match path {
            Path::Composed(dtype) => dtype,
            Path::Fused => DType::F32,
        };
        let plain = Device::default();
        let device = plain.clone().autodiff();
        let matrix = |values: &[f64], device: &Device| {
            let data = TensorData::new(values.to_vec(), [values.len() / self.genes, self.genes]);
            Tensor::<2>::from_data(data, (device, dtype))
        };
        let counts = matrix(&self.counts, &plain);
        let size_factors = Tensor::<1>::from_data(
            TensorData::from(self.size_factors.as_slice()),
            (&plain, dtype),
        );
        let mean = matrix(&self.mean, &device).require_grad();
        let dispersion = matrix(&self.dispersion, &device).require_grad();
        let dropout = self
            .dropout
            .as_ref()
            .map(|logits| matrix(logits, &device).require_grad());
        let mut tracked_size_factors = None;
        let (values, gradients, factor) = match path {
            Path::Composed(_) => {
                let size_factors = size_factors.autodiff().require_grad();
                tracked_size_factors = Some(size_factors.clone());
                let values = match &dropout {
                    Some(dropout) => zinb_negative_log_likelihood(
                        counts,
                        size_factors,
                        mean.clone(),
                        dispersion.clone(),
                        dropout.clone(),
                    ),
                    None => nb_negative_log_likelihood(
                        counts,
                        size_factors,
                        mean.clone(),
                        dispersion.clone(),
                    ),
                };
                let gradients = values.clone().sum().backward();
                (numbers(values.inner()), gradients, 1.0)
            }
            Path::Fused => {
                let value = match &dropout {
                    Some(dropout) => zinb_negative_log_likelihood_mean(
                        counts,
                        size_factors,
                        mean.clone(),
                        dispersion.clone(),
                        dropout.clone(),
                    ),
                    None => nb_negative_log_likelihood_mean(
                        counts,
                        size_factors,
                        mean.clone(),
                        dispersion.clone(),
                    ),
                };
                let gradients = value.backward();
                (numbers(value.inner()), gradients, self.entries() as f64)
            }
        };
        let gradient = |logits: &Tensor<2>| -> Vec<f64> {
            numbers(logits.grad(&gradients).expect("a gradient"))
                .into_iter()
                .map(|g| g * factor)
                .collect()
        };
        Outcome {
            values,
            mean: gradient(&mean),
            dispersion: gradient(&dispersion),
            dropout: dropout.as_ref().map(gradient).unwrap_or_default(),
            size_factors: tracked_size_factors.map_or_else(Vec::new, |s| {
                numbers(s.grad(&gradients).expect("a gradient"))
            }),
        }
    }

    /// The batch of one entry.
    pub fn entry(&self, index: usize) -> Self {
        let at = |values: &Vec<f64>| vec![values[index % values.len()]];
        Self {
            cells: 1,
            genes: 1,
            counts: at(&self.counts),
            size_factors: vec![self.size_factors[index / self.genes]],
            mean: at(&self.mean),
            dispersion: at(&self.dispersion),
            dropout: self.dropout.as_ref().map(at),
        }
    }

    /// The `f64` oracle at one entry: value and derivatives by the three logits.
    pub fn exact(&self, index: usize) -> [f64; 4] {
        let mean = self.mean[index];
        // The bounds as `f32` rounds them belong to the range.
        let inside = (MEAN_MIN.ln() as f32 as f64).min(MEAN_MIN.ln()) <= mean
            && mean <= (MEAN_MAX.ln() as f32 as f64).max(MEAN_MAX.ln());
        let log_mean =
            mean.clamp(MEAN_MIN.ln(), MEAN_MAX.ln()) + self.size_factors[index / self.genes].ln();
        let log_mean = if inside {
            mean + self.size_factors[index / self.genes].ln()
        } else {
            log_mean
        };
        let dispersion = self.dispersion[index % self.dispersion.len()];
        let [value, by_mean, by_dispersion, by_dropout] = match &self.dropout {
            Some(dropout) => {
                let (value, [m, d, l]) =
                    zinb_nll_point(self.counts[index], log_mean, dispersion, dropout[index]);
                [value, m, d, l]
            }
            None => {
                let (value, [m, d]) = nb_nll_point(self.counts[index], log_mean, dispersion);
                [value, m, d, 0.0]
            }
        };
        [
            value,
            if inside { by_mean } else { 0.0 },
            by_dispersion,
            by_dropout,
        ]
    }
}

/// The exact values below which an error is absolute.
pub const FLOOR: f64 = 1e-6;

pub const QUANTITIES: [&str; 4] = ["value", "by mean", "by dispersion", "by dropout"];

impl Outcome {
    pub fn at(&self, i: usize) -> [f64; 4] {
        let dropout = self.dropout.get(i).copied().unwrap_or(0.0);
        [self.values[i], self.mean[i], self.dispersion[i], dropout]
    }
}

pub fn describe(batch: &Batch, i: usize) -> String {
    format!(
        "x {} mean {:e} s {} theta {:e} dropout {:?}",
        batch.counts[i],
        batch.mean[i].exp(),
        batch.size_factors[i / batch.genes],
        softplus(batch.dispersion[i % batch.dispersion.len()]),
        batch.dropout.as_ref().map(|logits| sigmoid(logits[i])),
    )
}
