//! Optimizers as the trainers use them: Adam/AMSGrad, Adadelta, stochastic gradient descent.
//!
//! They implement burn's [`Optimizer`](burn::optim::Optimizer) and compute what PyTorch's of the same name do. On the CPU
//! backend `flex` each step is one pass in place; elsewhere it is composed of tensor operations.

mod adadelta;
mod adam;
mod sgd;
mod state;
#[cfg(test)]
mod tests;

use burn::config::Config;
use burn::optim::ModuleOptimizer;

use crate::error::ParameterError;

pub use adadelta::{Adadelta, AdadeltaState};
pub use adam::{Adam, AdamState};
pub use sgd::{Sgd, SgdState};
pub(crate) use state::OptimizerState;

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
            Self::Adam { amsgrad } => Adam::new().with_amsgrad(amsgrad).into(),
            Self::Adadelta { rho } => Adadelta::new(rho).into(),
            Self::Sgd { momentum } => Sgd::new(momentum).into(),
        }
    }
}
