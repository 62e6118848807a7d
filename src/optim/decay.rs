//! Weight decay beside any optimizer.

use burn::optim::{LearningRate, Optimizer};
use burn::tensor::{Device, Tensor};

/// An optimizer with decoupled weight decay λ (AdamW; Loshchilov & Hutter, 2019, algorithm 2): before
/// each step `w ← (1 − η λ) w`, with the learning rate η. All parameters decay, as in PyTorch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct WeightDecay<O> {
    optimizer: O,
    decay: f64,
}

impl<O> WeightDecay<O> {
    /// `optimizer` with weight decay λ.
    pub fn new(optimizer: O, decay: f64) -> Self {
        Self { optimizer, decay }
    }
}

impl<O: Optimizer> Optimizer for WeightDecay<O> {
    type State<const D: usize> = O::State<D>;

    fn step<const D: usize>(
        &self,
        learning_rate: LearningRate,
        tensor: Tensor<D>,
        gradient: Tensor<D>,
        state: Option<Self::State<D>>,
    ) -> (Tensor<D>, Option<Self::State<D>>) {
        let decayed = tensor * (1.0 - learning_rate * self.decay);
        self.optimizer.step(learning_rate, decayed, gradient, state)
    }

    fn to_device<const D: usize>(state: Self::State<D>, device: &Device) -> Self::State<D> {
        O::to_device(state, device)
    }
}
