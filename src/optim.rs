//! Optimizers as the trainers use them: Adam/AMSGrad, Adadelta, stochastic gradient descent.

use burn::config::Config;
use burn::optim::momentum::MomentumConfig;
use burn::optim::{
    AdamConfig, LearningRate, ModuleOptimizer, Optimizer, RecordState, SgdConfig, StateSink,
    StateSource,
};
use burn::tensor::{Device, Tensor};

use crate::error::ParameterError;

/// Which optimizer a training phase uses. Each phase starts with a fresh state.
#[derive(Config, Debug, PartialEq)]
pub enum OptimizerConfig {
    /// Adam with PyTorch's β = (0.9, 0.999) and ε = 1e-8 (burn's own default is 1e-5).
    Adam {
        /// Whether to use the AMSGrad variant, as scDCC does.
        amsgrad: bool,
    },
    /// Adadelta (Zeiler, 2012), ε = 1e-6.
    Adadelta {
        /// Decay ρ of the running averages; scDCC: 0.95.
        rho: f64,
    },
    /// Stochastic gradient descent.
    Sgd {
        /// Momentum; DESC: 0.9.
        momentum: f64,
    },
}

impl OptimizerConfig {
    /// Checks that decay and momentum are at least 0 and below 1.
    pub(crate) fn check(&self) -> Result<(), ParameterError> {
        let (name, value) = match *self {
            Self::Adam { .. } => return Ok(()),
            Self::Adadelta { rho } => ("the decay of the optimizer's averages", rho),
            Self::Sgd { momentum } => ("the momentum", momentum),
        };
        if (0.0..1.0).contains(&value) {
            Ok(())
        } else {
            Err(ParameterError::OutOfRange {
                name,
                requirement: "at least 0 and below 1",
                value,
            })
        }
    }

    /// Creates the optimizer with an empty state.
    pub fn init(&self) -> ModuleOptimizer {
        match *self {
            Self::Adam { amsgrad } => AdamConfig::new()
                .with_epsilon(1e-8)
                .with_amsgrad(amsgrad)
                .init(),
            Self::Adadelta { rho } => Adadelta { rho, epsilon: 1e-6 }.into(),
            Self::Sgd { momentum } => {
                let momentum = (momentum != 0.0).then(|| {
                    MomentumConfig::new()
                        .with_momentum(momentum)
                        .with_dampening(0.0)
                });
                SgdConfig::new().with_momentum(momentum).init()
            }
        }
    }
}

/// Adadelta (Zeiler, 2012), as PyTorch computes it:
///
/// ```text
/// v ← ρ v + (1−ρ) g²,   Δ = √(u + ε) / √(v + ε) · g,   u ← ρ u + (1−ρ) Δ²,   w ← w − η Δ
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Adadelta {
    /// Decay ρ of the running averages.
    pub rho: f64,
    /// ε, which keeps the first steps finite.
    pub epsilon: f64,
}

/// The running averages of [`Adadelta`].
#[derive(Debug, Clone)]
pub struct AdadeltaState<const D: usize> {
    /// Running average v of squared gradients.
    pub squared_gradient: Tensor<D>,
    /// Running average u of squared updates.
    pub squared_update: Tensor<D>,
}

impl Optimizer for Adadelta {
    type State<const D: usize> = AdadeltaState<D>;

    fn step<const D: usize>(
        &self,
        learning_rate: LearningRate,
        tensor: Tensor<D>,
        gradient: Tensor<D>,
        state: Option<Self::State<D>>,
    ) -> (Tensor<D>, Option<Self::State<D>>) {
        let (mut squared_gradient, mut squared_update) = match state {
            Some(state) => (state.squared_gradient, state.squared_update),
            None => (gradient.zeros_like(), gradient.zeros_like()),
        };
        squared_gradient =
            squared_gradient * self.rho + gradient.clone().square() * (1.0 - self.rho);
        let update = (squared_update.clone() + self.epsilon).sqrt()
            / (squared_gradient.clone() + self.epsilon).sqrt()
            * gradient;
        squared_update = squared_update * self.rho + update.clone().square() * (1.0 - self.rho);
        (
            tensor - update * learning_rate,
            Some(AdadeltaState {
                squared_gradient,
                squared_update,
            }),
        )
    }

    fn to_device<const D: usize>(mut state: Self::State<D>, device: &Device) -> Self::State<D> {
        state.squared_gradient = state.squared_gradient.to_device(device);
        state.squared_update = state.squared_update.to_device(device);
        state
    }
}

// burn's derive for this trait names its own crate's path, so it is written out.
impl<const D: usize> RecordState for AdadeltaState<D> {
    fn state_flatten(&self, prefix: &str, out: &mut StateSink) {
        out.push_tensor(prefix, "squared_gradient", self.squared_gradient.to_data());
        out.push_tensor(prefix, "squared_update", self.squared_update.to_data());
    }

    fn state_unflatten(prefix: &str, source: &mut StateSource, device: &Device) -> Option<Self> {
        Some(Self {
            squared_gradient: Tensor::from_data(
                source.take_tensor(prefix, "squared_gradient")?,
                device,
            ),
            squared_update: Tensor::from_data(
                source.take_tensor(prefix, "squared_update")?,
                device,
            ),
        })
    }
}
