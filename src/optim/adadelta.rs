//! Adadelta.

use burn::optim::{LearningRate, Optimizer, RecordState, StateSink, StateSource};
use burn::tensor::{Device, Tensor};

use super::state::{flat, recorded_tensor};
#[cfg(any(feature = "wgpu", feature = "cuda"))]
use crate::kernel::update::cube::Buffers;
use crate::kernel::update::{UpdateRule, in_place};

/// Adadelta (Zeiler, 2012), as PyTorch computes it:
///
/// ```text
/// v ← ρ v + (1−ρ) g²,   Δ = √(u + ε) / √(v + ε) · g,   u ← ρ u + (1−ρ) Δ²,   w ← w − η Δ
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Adadelta {
    rho: f64,
    epsilon: f64,
}

impl Adadelta {
    /// Running averages with decay `rho`; ε = 1e-6.
    pub fn new(rho: f64) -> Self {
        Self { rho, epsilon: 1e-6 }
    }
}

/// The state of [`Adadelta`] for one parameter.
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
        let shape = tensor.dims();
        let state = state.map(|state| [flat(state.squared_gradient), flat(state.squared_update)]);
        let (tensor, state) = self.update(learning_rate, flat(tensor), flat(gradient), state);
        let [squared_gradient, squared_update] = state.map(|array| array.reshape(shape));
        (
            tensor.reshape(shape),
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

impl Adadelta {
    fn update(
        &self,
        learning_rate: LearningRate,
        tensor: Tensor<1>,
        gradient: Tensor<1>,
        state: Option<[Tensor<1>; 2]>,
    ) -> (Tensor<1>, [Tensor<1>; 2]) {
        let state = state.unwrap_or_else(|| [gradient.zeros_like(), gradient.zeros_like()]);
        let rule = Rule {
            rho: self.rho as f32,
            rest: (1.0 - self.rho) as f32,
            epsilon: self.epsilon as f32,
            learning_rate: learning_rate as f32,
        };
        in_place(&rule, tensor, &gradient, state)
            .or_composed(|w, [v, u]| rule.composed(w, gradient, v, u))
    }
}

struct Rule {
    rho: f32,
    rest: f32,
    epsilon: f32,
    learning_rate: f32,
}

impl Rule {
    fn composed(
        &self,
        w: Tensor<1>,
        gradient: Tensor<1>,
        v: Tensor<1>,
        u: Tensor<1>,
    ) -> (Tensor<1>, [Tensor<1>; 2]) {
        let v = v * self.rho + gradient.clone().square() * self.rest;
        let update =
            (u.clone() + self.epsilon).sqrt() / (v.clone() + self.epsilon).sqrt() * gradient;
        let u = u * self.rho + update.clone().square() * self.rest;
        (w - update * self.learning_rate, [v, u])
    }
}

impl UpdateRule<2> for Rule {
    #[inline(always)]
    fn apply(&self, weights: &mut [f32], gradient: &[f32], [v, u]: [&mut [f32]; 2]) {
        for ((w, &g), (v, u)) in weights.iter_mut().zip(gradient).zip(v.iter_mut().zip(u)) {
            *v = *v * self.rho + g * g * self.rest;
            let update = (*u + self.epsilon).sqrt() / (*v + self.epsilon).sqrt() * g;
            *u = *u * self.rho + update * update * self.rest;
            *w -= update * self.learning_rate;
        }
    }

    #[cfg(any(feature = "wgpu", feature = "cuda"))]
    fn launch(&self, buffers: Buffers<2>) {
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
        pub(super) fn launch_with(&self, buffers: Buffers<2>) {
            let (count, dim) = buffers.units();
            let [v, u] = buffers.state;
            let client = buffers.weights.client.clone();
            adadelta::launch(
                &client,
                count,
                dim,
                buffers.weights.into_buffer_arg(),
                buffers.gradient.into_buffer_arg(),
                v.into_buffer_arg(),
                u.into_buffer_arg(),
                self.rho,
                self.rest,
                self.epsilon,
                self.learning_rate,
            );
        }
    }

    #[cube(launch)]
    #[allow(clippy::too_many_arguments, reason = "buffers and numbers of a kernel")]
    fn adadelta(
        weights: &mut [f32],
        gradient: &[f32],
        v: &mut [f32],
        u: &mut [f32],
        rho: f32,
        rest: f32,
        epsilon: f32,
        learning_rate: f32,
    ) {
        let place = ABSOLUTE_POS;
        if place < weights.len() {
            let g = gradient[place];
            let squared_gradient = v[place] * rho + g * g * rest;
            let squared_update = u[place];
            let update =
                (squared_update + epsilon).sqrt() / (squared_gradient + epsilon).sqrt() * g;
            v[place] = squared_gradient;
            u[place] = squared_update * rho + update * update * rest;
            weights[place] -= update * learning_rate;
        }
    }
}

// burn's derive for this trait names its own crate's path, so it is written out.
impl<const D: usize> RecordState for AdadeltaState<D> {
    fn state_flatten(&self, prefix: &str, out: &mut StateSink) {
        out.push_tensor(prefix, "squared_gradient", self.squared_gradient.to_data());
        out.push_tensor(prefix, "squared_update", self.squared_update.to_data());
    }

    fn state_unflatten(prefix: &str, source: &mut StateSource, device: &Device) -> Option<Self> {
        let mut tensor = |name| recorded_tensor(source, prefix, name, device);
        Some(Self {
            squared_gradient: tensor("squared_gradient")?,
            squared_update: tensor("squared_update")?,
        })
    }
}
