//! Optimizers as the trainers use them: Adam/AMSGrad, Adadelta, stochastic gradient descent.
//!
//! They implement burn's [`Optimizer`] and compute what PyTorch's of the same name do. On the CPU
//! backend `flex` and on GPUs each step is one pass in place; elsewhere it is composed of tensor
//! operations.

mod adadelta;
mod adam;
mod decay;
mod learning_rate;
mod sgd;
mod state;
#[cfg(test)]
mod tests;

use burn::optim::grad_clipping::GradientClippingConfig;
use burn::optim::{ModuleOptimizer, Optimizer};
use serde::{Deserialize, Serialize};

use crate::error::ParameterError;

pub use adadelta::{Adadelta, AdadeltaState};
pub use adam::{Adam, AdamState};
pub use decay::WeightDecay;
pub use learning_rate::LearningRate;
pub(crate) use learning_rate::LearningRateSteps;
pub use sgd::{Sgd, SgdState};
pub(crate) use state::OptimizerState;

/// How gradients move weights.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub enum Descent {
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

/// The optimizer of a training phase, with weight decay and gradient clipping. Each phase, and each
/// stage of pretraining, starts with a fresh state.
///
/// ```
/// use celldec::burn::optim::grad_clipping::GradientClippingConfig;
/// use celldec::optim::OptimizerConfig;
///
/// let adamw = OptimizerConfig::adam()
///     .with_weight_decay(1e-2)
///     .with_clipping(GradientClippingConfig::Norm(5.0));
/// assert_ne!(adamw, OptimizerConfig::adam());
/// ```
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct OptimizerConfig {
    /// How gradients move weights.
    pub descent: Descent,
    /// Decoupled weight decay ([`WeightDecay`]); 0: none.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub weight_decay: f64,
    /// How the gradient of each parameter is clipped before a step, if it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clipping: Option<GradientClippingConfig>,
}

fn is_zero(value: &f64) -> bool {
    *value == 0.0
}

impl PartialEq for OptimizerConfig {
    fn eq(&self, other: &Self) -> bool {
        // burn's configuration has no equality of its own.
        let limit = |clipping: &Option<GradientClippingConfig>| match *clipping {
            None => None,
            Some(GradientClippingConfig::Value(limit)) => Some((false, limit)),
            Some(GradientClippingConfig::Norm(limit)) => Some((true, limit)),
        };
        self.descent == other.descent
            && self.weight_decay == other.weight_decay
            && limit(&self.clipping) == limit(&other.clipping)
    }
}

impl From<Descent> for OptimizerConfig {
    fn from(descent: Descent) -> Self {
        Self {
            descent,
            weight_decay: 0.0,
            clipping: None,
        }
    }
}

impl OptimizerConfig {
    /// [`Descent::Adam`].
    pub fn adam() -> Self {
        Descent::Adam { amsgrad: false }.into()
    }

    /// The AMSGrad variant of [`Descent::Adam`].
    pub fn amsgrad() -> Self {
        Descent::Adam { amsgrad: true }.into()
    }

    /// [`Descent::Adadelta`] with decay ρ.
    pub fn adadelta(rho: f64) -> Self {
        Descent::Adadelta { rho }.into()
    }

    /// [`Descent::Sgd`] with a momentum.
    pub fn sgd(momentum: f64) -> Self {
        Descent::Sgd { momentum }.into()
    }

    /// Sets decoupled weight decay.
    pub fn with_weight_decay(mut self, decay: f64) -> Self {
        self.weight_decay = decay;
        self
    }

    /// Clips gradients, by value or by the norm of each parameter's gradient.
    pub fn with_clipping(mut self, clipping: GradientClippingConfig) -> Self {
        self.clipping = Some(clipping);
        self
    }

    /// Checks that decay and momentum are at least 0 and below 1, weight decay at least 0, and the
    /// clipping positive.
    pub(crate) fn check(&self) -> Result<(), ParameterError> {
        let below_one = |name, value: f64| {
            let valid = (0.0..1.0).contains(&value);
            (name, value, "at least 0 and below 1", valid)
        };
        let mut checks = vec![(
            "the weight decay",
            self.weight_decay,
            "at least 0 and finite",
            self.weight_decay >= 0.0 && self.weight_decay.is_finite(),
        )];
        match self.descent {
            Descent::Adam { .. } => {}
            Descent::Adadelta { rho } => {
                checks.push(below_one("the decay of the optimizer's averages", rho));
            }
            Descent::Sgd { momentum } => checks.push(below_one("the momentum", momentum)),
        }
        if let Some(GradientClippingConfig::Value(limit) | GradientClippingConfig::Norm(limit)) =
            self.clipping
        {
            let valid = limit > 0.0 && limit.is_finite();
            let requirement = "positive and finite";
            checks.push((
                "the limit of gradient clipping",
                f64::from(limit),
                requirement,
                valid,
            ));
        }
        for (name, value, requirement, valid) in checks {
            if !valid {
                return Err(ParameterError::OutOfRange {
                    name,
                    requirement,
                    value,
                });
            }
        }
        Ok(())
    }

    /// Creates the optimizer with an empty state.
    pub fn init(&self) -> ModuleOptimizer {
        let optimizer = match self.descent {
            Descent::Adam { amsgrad } => self.with_decay(Adam::new().with_amsgrad(amsgrad)),
            Descent::Adadelta { rho } => self.with_decay(Adadelta::new(rho)),
            Descent::Sgd { momentum } => self.with_decay(Sgd::new(momentum)),
        };
        match &self.clipping {
            Some(clipping) => optimizer.with_grad_clipping(clipping.init()),
            None => optimizer,
        }
    }

    fn with_decay<O: Optimizer>(&self, optimizer: O) -> ModuleOptimizer {
        if self.weight_decay == 0.0 {
            optimizer.into()
        } else {
            WeightDecay::new(optimizer, self.weight_decay).into()
        }
    }
}
