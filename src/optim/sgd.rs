//! Stochastic gradient descent with momentum.

use burn::optim::{LearningRate, Optimizer, RecordState, StateSink, StateSource};
use burn::tensor::{Device, Tensor};

use super::state::{flat, recorded_tensor};
#[cfg(any(feature = "wgpu", feature = "cuda"))]
use crate::kernel::update::cube::Buffers;
use crate::kernel::update::{UpdateRule, in_place};

/// Stochastic gradient descent with momentum, as PyTorch and Keras compute it at a constant
/// learning rate:
///
/// ```text
/// b ← γ b + g,   w ← w − η b
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sgd {
    momentum: f64,
}

impl Sgd {
    /// Descent with momentum γ.
    pub fn new(momentum: f64) -> Self {
        Self { momentum }
    }
}

/// The state of [`Sgd`] for one parameter.
#[derive(Debug, Clone)]
pub struct SgdState<const D: usize> {
    /// Accumulated gradient b.
    pub velocity: Tensor<D>,
}

impl Optimizer for Sgd {
    type State<const D: usize> = SgdState<D>;

    fn step<const D: usize>(
        &self,
        learning_rate: LearningRate,
        tensor: Tensor<D>,
        gradient: Tensor<D>,
        state: Option<Self::State<D>>,
    ) -> (Tensor<D>, Option<Self::State<D>>) {
        let shape = tensor.dims();
        let velocity = state.map(|state| flat(state.velocity));
        let (tensor, velocity) = self.update(learning_rate, flat(tensor), flat(gradient), velocity);
        let velocity = velocity.reshape(shape);
        (tensor.reshape(shape), Some(SgdState { velocity }))
    }

    fn to_device<const D: usize>(mut state: Self::State<D>, device: &Device) -> Self::State<D> {
        state.velocity = state.velocity.to_device(device);
        state
    }
}

impl Sgd {
    fn update(
        &self,
        learning_rate: LearningRate,
        tensor: Tensor<1>,
        gradient: Tensor<1>,
        velocity: Option<Tensor<1>>,
    ) -> (Tensor<1>, Tensor<1>) {
        let velocity = velocity.unwrap_or_else(|| gradient.zeros_like());
        let rule = Rule {
            momentum: self.momentum as f32,
            learning_rate: learning_rate as f32,
        };
        let (tensor, [velocity]) =
            in_place(&rule, tensor, &gradient, [velocity]).or_composed(|w, [b]| {
                let b = b * rule.momentum + gradient;
                (w - b.clone() * rule.learning_rate, [b])
            });
        (tensor, velocity)
    }
}

struct Rule {
    momentum: f32,
    learning_rate: f32,
}

impl UpdateRule<1> for Rule {
    #[inline(always)]
    fn apply(&self, weights: &mut [f32], gradient: &[f32], [b]: [&mut [f32]; 1]) {
        for ((w, &g), b) in weights.iter_mut().zip(gradient).zip(b) {
            *b = *b * self.momentum + g;
            *w -= *b * self.learning_rate;
        }
    }

    #[cfg(any(feature = "wgpu", feature = "cuda"))]
    fn launch(&self, buffers: Buffers<1>) {
        self.launch_with(buffers);
    }
}

#[cfg(any(feature = "wgpu", feature = "cuda"))]
mod cube {
    //! The step as a kernel for GPUs.

    use burn_cubecl::cubecl::{self, prelude::*};

    use super::Rule;
    use crate::kernel::update::cube::Buffers;

    impl Rule {
        pub(super) fn launch_with(&self, buffers: Buffers<1>) {
            let (count, dim) = buffers.units();
            let [velocity] = buffers.state;
            let client = buffers.weights.client.clone();
            sgd::launch(
                &client,
                count,
                dim,
                buffers.weights.into_buffer_arg(),
                buffers.gradient.into_buffer_arg(),
                velocity.into_buffer_arg(),
                self.momentum,
                self.learning_rate,
            );
        }
    }

    #[cube(launch)]
    fn sgd(
        weights: &mut [f32],
        gradient: &[f32],
        velocity: &mut [f32],
        momentum: f32,
        learning_rate: f32,
    ) {
        let place = ABSOLUTE_POS;
        if place < weights.len() {
            let accumulated = velocity[place] * momentum + gradient[place];
            velocity[place] = accumulated;
            weights[place] -= accumulated * learning_rate;
        }
    }
}

// burn's derive for this trait names its own crate's path, so it is written out.
impl<const D: usize> RecordState for SgdState<D> {
    fn state_flatten(&self, prefix: &str, out: &mut StateSink) {
        out.push_tensor(prefix, "velocity", self.velocity.to_data());
    }

    fn state_unflatten(prefix: &str, source: &mut StateSource, device: &Device) -> Option<Self> {
        let velocity = recorded_tensor(source, prefix, "velocity", device)?;
        Some(Self { velocity })
    }
}
