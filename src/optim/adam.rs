//! Adam and its AMSGrad variant.

use burn::optim::{LearningRate, Optimizer, RecordState, StateSink, StateSource};
use burn::tensor::{Device, Tensor};

use super::state::{flat, recorded_tensor};
#[cfg(any(feature = "wgpu", feature = "cuda"))]
use crate::kernel::update::cube::Buffers;
use crate::kernel::update::{UpdateRule, in_place};

/// Adam (Kingma and Ba, 2015), optionally AMSGrad (Reddi et al., 2018), as PyTorch computes it:
///
/// ```text
/// m ← β₁ m + (1−β₁) g,   v ← β₂ v + (1−β₂) g²,   v̂ ← max(v̂, v) (AMSGrad) or v
/// w ← w − η · m/(1−β₁ᵗ) / (√(v̂/(1−β₂ᵗ)) + ε)
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Adam {
    beta_1: f64,
    beta_2: f64,
    epsilon: f64,
    amsgrad: bool,
}

impl Adam {
    /// β = (0.9, 0.999), ε = 1e-8, without AMSGrad.
    pub fn new() -> Self {
        Self {
            beta_1: 0.9,
            beta_2: 0.999,
            epsilon: 1e-8,
            amsgrad: false,
        }
    }

    /// Chooses the AMSGrad variant.
    pub fn with_amsgrad(mut self, amsgrad: bool) -> Self {
        self.amsgrad = amsgrad;
        self
    }

    /// The constants of step `time`, counted from 1.
    fn rule(&self, learning_rate: f64, time: usize) -> Rule {
        let time = time as i32;
        let correction_1 = 1.0 - self.beta_1.powi(time);
        let correction_2 = (1.0 - self.beta_2.powi(time)).sqrt();
        Rule {
            beta_1: self.beta_1 as f32,
            rest_1: (1.0 - self.beta_1) as f32,
            beta_2: self.beta_2 as f32,
            rest_2: (1.0 - self.beta_2) as f32,
            step: (learning_rate * correction_2 / correction_1) as f32,
            epsilon: (self.epsilon * correction_2) as f32,
        }
    }
}

impl Default for Adam {
    fn default() -> Self {
        Self::new()
    }
}

/// The state of [`Adam`] for one parameter.
#[derive(Debug, Clone)]
pub struct AdamState<const D: usize> {
    /// Steps taken.
    pub time: usize,
    /// Running average m of gradients.
    pub first_moment: Tensor<D>,
    /// Running average v of squared gradients.
    pub second_moment: Tensor<D>,
    /// Largest v so far (AMSGrad).
    pub largest_second_moment: Option<Tensor<D>>,
}

impl Optimizer for Adam {
    type State<const D: usize> = AdamState<D>;

    fn step<const D: usize>(
        &self,
        learning_rate: LearningRate,
        tensor: Tensor<D>,
        gradient: Tensor<D>,
        state: Option<Self::State<D>>,
    ) -> (Tensor<D>, Option<Self::State<D>>) {
        let shape = tensor.dims();
        let state = state.map(|state| state.reshaped(flat));
        let (tensor, state) = self.update(learning_rate, flat(tensor), flat(gradient), state);
        let state = state.reshaped(|array| array.reshape(shape));
        (tensor.reshape(shape), Some(state))
    }

    fn to_device<const D: usize>(mut state: Self::State<D>, device: &Device) -> Self::State<D> {
        state.first_moment = state.first_moment.to_device(device);
        state.second_moment = state.second_moment.to_device(device);
        state.largest_second_moment = state.largest_second_moment.map(|v| v.to_device(device));
        state
    }
}

impl<const D: usize> AdamState<D> {
    fn reshaped<const E: usize>(self, reshape: impl Fn(Tensor<D>) -> Tensor<E>) -> AdamState<E> {
        AdamState {
            time: self.time,
            first_moment: reshape(self.first_moment),
            second_moment: reshape(self.second_moment),
            largest_second_moment: self.largest_second_moment.map(reshape),
        }
    }
}

impl Adam {
    fn update(
        &self,
        learning_rate: LearningRate,
        tensor: Tensor<1>,
        gradient: Tensor<1>,
        state: Option<AdamState<1>>,
    ) -> (Tensor<1>, AdamState<1>) {
        let state = state.unwrap_or_else(|| AdamState {
            time: 0,
            first_moment: gradient.zeros_like(),
            second_moment: gradient.zeros_like(),
            largest_second_moment: self.amsgrad.then(|| gradient.zeros_like()),
        });
        let time = state.time + 1;
        let rule = self.rule(learning_rate, time);
        let (m, v) = (state.first_moment, state.second_moment);
        let (tensor, first_moment, second_moment, largest_second_moment) = match state
            .largest_second_moment
        {
            Some(largest) => {
                let (w, [m, v, largest]) = in_place::<3>(&rule, tensor, &gradient, [m, v, largest])
                    .or_composed(|w, [m, v, largest]| {
                        let (m, v) = rule.moments(m, v, gradient);
                        let largest = largest.max_pair(v.clone());
                        (rule.weights(w, &m, &largest), [m, v, largest])
                    });
                (w, m, v, Some(largest))
            }
            None => {
                let (w, [m, v]) =
                    in_place::<2>(&rule, tensor, &gradient, [m, v]).or_composed(|w, [m, v]| {
                        let (m, v) = rule.moments(m, v, gradient);
                        (rule.weights(w, &m, &v), [m, v])
                    });
                (w, m, v, None)
            }
        };
        let state = AdamState {
            time,
            first_moment,
            second_moment,
            largest_second_moment,
        };
        (tensor, state)
    }
}

struct Rule {
    beta_1: f32,
    rest_1: f32,
    beta_2: f32,
    rest_2: f32,
    /// Learning rate with both bias corrections.
    step: f32,
    epsilon: f32,
}

impl Rule {
    fn moments(&self, m: Tensor<1>, v: Tensor<1>, gradient: Tensor<1>) -> (Tensor<1>, Tensor<1>) {
        (
            m * self.beta_1 + gradient.clone() * self.rest_1,
            v * self.beta_2 + gradient.square() * self.rest_2,
        )
    }

    fn weights(&self, w: Tensor<1>, m: &Tensor<1>, v: &Tensor<1>) -> Tensor<1> {
        w - m.clone() * self.step / (v.clone().sqrt() + self.epsilon)
    }

    #[inline(always)]
    fn update_moments(&self, g: f32, m: &mut f32, v: &mut f32) {
        *m = *m * self.beta_1 + g * self.rest_1;
        *v = *v * self.beta_2 + g * g * self.rest_2;
    }
}

impl UpdateRule<3> for Rule {
    #[inline(always)]
    fn apply(&self, weights: &mut [f32], gradient: &[f32], [m, v, largest]: [&mut [f32]; 3]) {
        let moments = m.iter_mut().zip(v).zip(largest);
        for ((w, &g), ((m, v), largest)) in weights.iter_mut().zip(gradient).zip(moments) {
            self.update_moments(g, m, v);
            *largest = if *v > *largest { *v } else { *largest };
            *w -= *m * self.step / (largest.sqrt() + self.epsilon);
        }
    }

    #[cfg(any(feature = "wgpu", feature = "cuda"))]
    fn launch(&self, buffers: Buffers<3>) {
        let units = buffers.units();
        let [m, v, largest] = buffers.state;
        let moved = [buffers.weights, buffers.gradient];
        self.launch_with(moved, [m, v], Some(largest), units);
    }
}

impl UpdateRule<2> for Rule {
    #[inline(always)]
    fn apply(&self, weights: &mut [f32], gradient: &[f32], [m, v]: [&mut [f32]; 2]) {
        for ((w, &g), (m, v)) in weights.iter_mut().zip(gradient).zip(m.iter_mut().zip(v)) {
            self.update_moments(g, m, v);
            *w -= *m * self.step / (v.sqrt() + self.epsilon);
        }
    }

    #[cfg(any(feature = "wgpu", feature = "cuda"))]
    fn launch(&self, buffers: Buffers<2>) {
        let units = buffers.units();
        let moved = [buffers.weights, buffers.gradient];
        self.launch_with(moved, buffers.state, None, units);
    }
}

#[cfg(any(feature = "wgpu", feature = "cuda"))]
mod cube {
    //! The step as a kernel for GPUs.

    use burn_cubecl::cubecl::{self, CubeCount, prelude::*};

    use super::Rule;
    use crate::kernel::update::cube::{CubeTensor, room};

    impl Rule {
        /// The step with the state m and v and, of AMSGrad, the largest v.
        pub(super) fn launch_with(
            &self,
            [weights, gradient]: [CubeTensor; 2],
            [m, v]: [CubeTensor; 2],
            largest: Option<CubeTensor>,
            (count, dim): (CubeCount, CubeDim),
        ) {
            let amsgrad = largest.is_some();
            // A kernel has all of its buffers, read or not.
            let largest = largest.unwrap_or_else(|| room(&m, [1]));
            let client = weights.client.clone();
            adam::launch(
                &client,
                count,
                dim,
                weights.into_buffer_arg(),
                gradient.into_buffer_arg(),
                m.into_buffer_arg(),
                v.into_buffer_arg(),
                largest.into_buffer_arg(),
                self.beta_1,
                self.rest_1,
                self.beta_2,
                self.rest_2,
                self.step,
                self.epsilon,
                amsgrad,
            );
        }
    }

    #[cube(launch)]
    #[allow(clippy::too_many_arguments, reason = "buffers and numbers of a kernel")]
    fn adam(
        weights: &mut [f32],
        gradient: &[f32],
        m: &mut [f32],
        v: &mut [f32],
        largest: &mut [f32],
        beta_1: f32,
        rest_1: f32,
        beta_2: f32,
        rest_2: f32,
        step: f32,
        epsilon: f32,
        #[comptime] amsgrad: bool,
    ) {
        let place = ABSOLUTE_POS;
        if place < weights.len() {
            let g = gradient[place];
            let first = m[place] * beta_1 + g * rest_1;
            let second = v[place] * beta_2 + g * g * rest_2;
            m[place] = first;
            v[place] = second;
            let mut moment = second;
            if amsgrad {
                let before = largest[place];
                moment = select(second > before, second, before);
                largest[place] = moment;
            }
            weights[place] -= first * step / (moment.sqrt() + epsilon);
        }
    }
}

// burn's derive for this trait names its own crate's path, so it is written out.
impl<const D: usize> RecordState for AdamState<D> {
    fn state_flatten(&self, prefix: &str, out: &mut StateSink) {
        out.push_scalar(prefix, "time", self.time.into());
        out.push_tensor(prefix, "first_moment", self.first_moment.to_data());
        out.push_tensor(prefix, "second_moment", self.second_moment.to_data());
        if let Some(largest) = &self.largest_second_moment {
            out.push_tensor(prefix, "largest_second_moment", largest.to_data());
        }
    }

    fn state_unflatten(prefix: &str, source: &mut StateSource, device: &Device) -> Option<Self> {
        let time = usize::try_from(source.take_scalar(prefix, "time")?).ok()?;
        let mut tensor = |name| recorded_tensor(source, prefix, name, device);
        Some(Self {
            time,
            first_moment: tensor("first_moment")?,
            second_moment: tensor("second_moment")?,
            largest_second_moment: tensor("largest_second_moment"),
        })
    }
}
