//! Initial weights from a seed.

use burn::config::Config;
use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{Tensor, TensorData};
use rand::RngExt;

use crate::random::{Purpose, stream};

/// The distribution of initial weights.
#[derive(Config, Debug, Copy, PartialEq, Eq)]
pub enum InitialWeights {
    /// PyTorch's default for linear layers: weights and biases uniform in ±1/√inputs (scDCC).
    Pytorch,
    /// Glorot uniform: weights uniform in ±√(6/(inputs + outputs)), biases 0 (Keras, DESC).
    Glorot,
}

/// Draws the weights of every linear layer of a module from streams of `seed`.
///
/// burn initialises parameters on first use from one generator that the whole process shares;
/// two fits in two threads would disturb each other. Here each layer, numbered in the order of
/// the module's fields, has a stream of its own. Parameters that are neither `weight` nor `bias`
/// keep their values.
pub fn initialize_weights<M: Module>(module: M, scheme: InitialWeights, seed: u64) -> M {
    module.map(&mut WeightDrawer {
        scheme,
        seed,
        layer: 0,
        inputs: 1,
        path: Vec::new(),
    })
}

struct WeightDrawer {
    scheme: InitialWeights,
    seed: u64,
    layer: u64,
    inputs: usize,
    path: Vec<String>,
}

impl WeightDrawer {
    fn uniform(&self, count: usize, bound: f64, part: u64) -> Vec<f32> {
        let mut rng = stream(self.seed, Purpose::Weights, self.layer, part);
        (0..count)
            .map(|_| ((rng.random::<f64>() * 2.0 - 1.0) * bound) as f32)
            .collect()
    }
}

impl ModuleMapper for WeightDrawer {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.push(name.to_string());
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let shape = param.lazy_shape();
        let values = match (self.path.last().map(String::as_str), D) {
            (Some("weight"), 2) => {
                self.layer += 1;
                self.inputs = shape[0];
                let bound = match self.scheme {
                    InitialWeights::Pytorch => 1.0 / (shape[0] as f64).sqrt(),
                    InitialWeights::Glorot => (6.0 / (shape[0] + shape[1]) as f64).sqrt(),
                };
                self.uniform(shape.num_elements(), bound, 0)
            }
            (Some("bias"), 1) => match self.scheme {
                InitialWeights::Pytorch => {
                    self.uniform(shape[0], 1.0 / (self.inputs as f64).sqrt(), 1)
                }
                InitialWeights::Glorot => vec![0.0; shape[0]],
            },
            _ => return param,
        };
        with_values(&param, values)
    }
}

/// The parameter with other values; as trainable as its device is.
pub(crate) fn with_values<const D: usize>(
    param: &Param<Tensor<D>>,
    values: Vec<f32>,
) -> Param<Tensor<D>> {
    let device = param.lazy_device();
    let tensor = Tensor::from_data(TensorData::new(values, param.lazy_shape()), &device);
    Param::initialized(
        param.id,
        if device.is_autodiff() {
            tensor.require_grad()
        } else {
            tensor
        },
    )
}
