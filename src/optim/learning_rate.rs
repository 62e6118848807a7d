//! Learning rates, constant or by one of burn's schedules.

use burn::optim::lr_scheduler::LrSchedulerConfig;
use burn::optim::lr_scheduler::cosine::CosineAnnealingLrSchedulerConfig;
use burn::optim::lr_scheduler::exponential::ExponentialLrSchedulerConfig;
use burn::optim::lr_scheduler::linear::LinearLrSchedulerConfig;
use burn::optim::lr_scheduler::module_lr_scheduler::{
    ModuleLearningRate, ModuleLrScheduler, ModuleLrSchedulerConfig,
};
use burn::optim::lr_scheduler::noam::NoamLrSchedulerConfig;
use burn::optim::lr_scheduler::sequential::SequentialLrSchedulerConfig;
use burn::optim::lr_scheduler::step::StepLrSchedulerConfig;
use serde::{Deserialize, Serialize};

use crate::error::ParameterError;

/// The learning rate of a phase or a stage: a number, or one of burn's
/// [schedules](burn::optim::lr_scheduler), which take one step for every batch.
///
/// ```
/// use celldec::burn::optim::lr_scheduler::cosine::CosineAnnealingLrSchedulerConfig;
/// use celldec::optim::LearningRate;
///
/// let constant = LearningRate::from(1e-3);
/// // From 1e-3 down to 0 in 500 steps.
/// let falling = LearningRate::from(CosineAnnealingLrSchedulerConfig::new(1e-3, 500));
/// assert_ne!(constant, falling);
/// ```
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(untagged)]
#[non_exhaustive]
pub enum LearningRate {
    /// The same in every step.
    Constant(f64),
    /// Another in every step.
    Schedule(LrSchedulerConfig),
}

impl PartialEq for LearningRate {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Constant(a), Self::Constant(b)) => a == b,
            // burn's configurations have no equality of their own.
            (Self::Schedule(a), Self::Schedule(b)) => {
                serde_json::to_value(a).ok() == serde_json::to_value(b).ok()
            }
            _ => false,
        }
    }
}

impl From<f64> for LearningRate {
    fn from(rate: f64) -> Self {
        Self::Constant(rate)
    }
}

macro_rules! from_schedules {
    ($($config:ty),*) => {$(
        impl From<$config> for LearningRate {
            fn from(config: $config) -> Self {
                Self::Schedule(config.into())
            }
        }
    )*};
}

from_schedules!(
    LrSchedulerConfig,
    LinearLrSchedulerConfig,
    CosineAnnealingLrSchedulerConfig,
    ExponentialLrSchedulerConfig,
    NoamLrSchedulerConfig,
    SequentialLrSchedulerConfig,
    StepLrSchedulerConfig
);

impl LearningRate {
    /// The rate of one step after the other.
    ///
    /// # Errors
    /// [`ParameterError::LearningRate`] for a constant that is not positive and finite,
    /// [`ParameterError::Schedule`] for a schedule that burn refuses.
    pub(crate) fn init(&self, phase: &'static str) -> Result<LearningRateSteps, ParameterError> {
        match self {
            Self::Constant(rate) if rate.is_finite() && *rate > 0.0 => {
                Ok(LearningRateSteps::Constant(*rate))
            }
            Self::Constant(rate) => Err(ParameterError::LearningRate {
                phase,
                value: *rate,
            }),
            Self::Schedule(config) => ModuleLrSchedulerConfig::new(config.clone())
                .init()
                .map(LearningRateSteps::Schedule)
                .map_err(|reason| ParameterError::Schedule { phase, reason }),
        }
    }
}

/// A learning rate while training.
pub(crate) enum LearningRateSteps {
    Constant(f64),
    Schedule(ModuleLrScheduler),
}

impl LearningRateSteps {
    /// The rate of the next step.
    pub(crate) fn step(&mut self) -> ModuleLearningRate {
        match self {
            Self::Constant(rate) => (*rate).into(),
            Self::Schedule(schedule) => schedule.step(),
        }
    }

    /// Passes over the steps that were taken before a checkpoint: a schedule has no other state
    /// than their number.
    pub(crate) fn skip(&mut self, steps: usize) {
        if let Self::Schedule(schedule) = self {
            for _ in 0..steps {
                schedule.step();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedules_follow_burn_and_can_be_taken_up() {
        let falling = LearningRate::from(CosineAnnealingLrSchedulerConfig::new(0.5, 10));
        let mut steps = falling.init("training").expect("valid");
        let rates: Vec<f64> = (0..=10).map(|_| steps.step().base()).collect();
        assert_eq!(rates[0], 0.5);
        assert!((rates[5] - 0.25).abs() < 1e-12 && rates[10].abs() < 1e-12);
        let mut later = falling.init("training").expect("valid");
        later.skip(7);
        assert_eq!(later.step().base(), rates[7]);
    }

    #[test]
    fn impossible_rates_are_refused() {
        for rate in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(LearningRate::from(rate).init("training").is_err());
        }
        let none = CosineAnnealingLrSchedulerConfig::new(0.5, 0);
        let error = LearningRate::from(none).init("pretraining").err();
        let message = error.expect("no steps").to_string();
        assert!(message.contains("pretraining"), "{message}");
    }

    #[test]
    fn a_number_stays_a_number_in_json() {
        let text = serde_json::to_string(&LearningRate::from(0.25)).expect("json");
        assert_eq!(text, "0.25");
        for rate in [
            LearningRate::from(0.25),
            CosineAnnealingLrSchedulerConfig::new(0.5, 10).into(),
        ] {
            let text = serde_json::to_string(&rate).expect("json");
            let back: LearningRate = serde_json::from_str(&text).expect("json");
            assert_eq!(back, rate);
        }
    }
}
