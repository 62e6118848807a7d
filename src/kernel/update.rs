//! Optimizer updates in one pass over the weights, in place.
//!
//! Composed of tensor operations, a step of Adam reads and writes every parameter a dozen times.
//! On the CPU backend `flex` an [`UpdateRule`] reads weight, gradient and state once and writes
//! them once, in parallel; elsewhere the optimizers compose the same formula from tensor
//! operations.

use burn::tensor::Tensor;

/// An element-wise update of weights and `N` state arrays by a gradient.
pub(crate) trait UpdateRule<const N: usize>: Sync {
    /// Updates slices of equal length. Implementations are `#[inline(always)]`, so that they are
    /// compiled for the vector instructions of the CPU.
    #[cfg_attr(
        not(feature = "flex"),
        allow(dead_code, reason = "other backends compose the update")
    )]
    fn apply(&self, weights: &mut [f32], gradient: &[f32], state: [&mut [f32]; N]);
}

/// Weights and state, updated where a pass in place exists.
pub(crate) struct Updated<const D: usize, const N: usize> {
    weights: Tensor<D>,
    state: [Tensor<D>; N],
    done: bool,
}

impl<const D: usize, const N: usize> Updated<D, N> {
    /// Weights and state, by the composed twin if they are not updated yet.
    pub(crate) fn or_composed(
        self,
        composed: impl FnOnce(Tensor<D>, [Tensor<D>; N]) -> (Tensor<D>, [Tensor<D>; N]),
    ) -> (Tensor<D>, [Tensor<D>; N]) {
        if self.done {
            (self.weights, self.state)
        } else {
            composed(self.weights, self.state)
        }
    }
}

/// Updates in place where the tensors allow it: `f32` on the backend `flex`.
#[cfg(feature = "flex")]
pub(crate) fn in_place<const D: usize, const N: usize>(
    rule: &impl UpdateRule<N>,
    weights: Tensor<D>,
    gradient: &Tensor<D>,
    state: [Tensor<D>; N],
) -> Updated<D, N> {
    flex::in_place(rule, weights, gradient, state)
}

/// Updates in place where the tensors allow it: nowhere without the backend `flex`.
#[cfg(not(feature = "flex"))]
pub(crate) fn in_place<const D: usize, const N: usize>(
    _rule: &impl UpdateRule<N>,
    weights: Tensor<D>,
    _gradient: &Tensor<D>,
    state: [Tensor<D>; N],
) -> Updated<D, N> {
    Updated {
        weights,
        state,
        done: false,
    }
}

#[cfg(feature = "flex")]
mod flex {
    use burn::backend::flex::FlexTensor;
    use burn::backend::{DispatchDevice, Flex};
    use burn::tensor::{DType, Tensor};

    use super::{UpdateRule, Updated};
    use crate::kernel::parallel;
    use crate::kernel::vectorize::{Vectorize, vectorize};

    /// Elements that a thread takes at a time.
    const CHUNK: usize = 1 << 14;

    pub(super) fn in_place<const D: usize, const N: usize>(
        rule: &impl UpdateRule<N>,
        weights: Tensor<D>,
        gradient: &Tensor<D>,
        state: [Tensor<D>; N],
    ) -> Updated<D, N> {
        let fits = |tensor: &Tensor<D>| {
            !tensor.is_autodiff()
                && tensor.dtype() == DType::F32
                && tensor.dims() == weights.dims()
                && matches!(tensor.device().as_dispatch(), DispatchDevice::Flex(_))
        };
        if !fits(&weights) || !fits(gradient) || !state.iter().all(fits) {
            return Updated {
                weights,
                state,
                done: false,
            };
        }
        let mut weight_storage = storage(weights);
        let mut state_storage = state.map(storage);
        let gradient_storage = storage(gradient.clone());
        split(
            rule,
            weight_storage.storage_mut(),
            gradient_storage.storage(),
            state_storage.each_mut().map(|tensor| tensor.storage_mut()),
        );
        Updated {
            weights: Tensor::from_primitive::<Flex>(weight_storage),
            state: state_storage.map(Tensor::from_primitive::<Flex>),
            done: true,
        }
    }

    /// The contiguous storage of a tensor that is known to be on the backend.
    fn storage<const D: usize>(tensor: Tensor<D>) -> FlexTensor {
        let elements = tensor.shape().num_elements();
        let primitive = tensor
            .try_into_primitive::<Flex>()
            .expect("a tensor on the flex device is a flex tensor");
        let whole =
            primitive.is_contiguous() && primitive.bytes().len() == elements * size_of::<f32>();
        if whole {
            primitive
        } else {
            primitive.to_contiguous()
        }
    }

    /// Updates in parts; elements are independent, so the result does not depend on who does
    /// which.
    fn split<const N: usize>(
        rule: &impl UpdateRule<N>,
        weights: &mut [f32],
        gradient: &[f32],
        state: [&mut [f32]; N],
    ) {
        let mut state = state.map(|array| array.chunks_mut(CHUNK));
        let state = std::iter::from_fn(move || {
            Some(
                state
                    .each_mut()
                    .map(|chunks| chunks.next().unwrap_or_default()),
            )
        });
        let parts = weights
            .chunks_mut(CHUNK)
            .zip(gradient.chunks(CHUNK))
            .zip(state);
        parallel::for_each(parts, |((weights, gradient), state)| {
            vectorize(Update {
                rule,
                weights,
                gradient,
                state,
            });
        });
    }

    /// An update, compiled once for every vector width.
    struct Update<'a, R, const N: usize> {
        rule: &'a R,
        weights: &'a mut [f32],
        gradient: &'a [f32],
        state: [&'a mut [f32]; N],
    }

    impl<R: UpdateRule<N>, const N: usize> Vectorize for Update<'_, R, N> {
        type Output = ();

        #[inline(always)]
        fn run<const FMA: bool, const WIDE: bool>(self) {
            self.rule.apply(self.weights, self.gradient, self.state);
        }
    }
}
