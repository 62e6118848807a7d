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
pub(crate) struct Updated<const N: usize> {
    weights: Tensor<1>,
    state: [Tensor<1>; N],
    done: bool,
}

impl<const N: usize> Updated<N> {
    /// Weights and state, by the composed twin if they are not updated yet.
    pub(crate) fn or_composed(
        self,
        composed: impl FnOnce(Tensor<1>, [Tensor<1>; N]) -> (Tensor<1>, [Tensor<1>; N]),
    ) -> (Tensor<1>, [Tensor<1>; N]) {
        if self.done {
            (self.weights, self.state)
        } else {
            composed(self.weights, self.state)
        }
    }
}

/// Updates in place where the tensors allow it: `f32` on the backend `flex`.
#[cfg(feature = "flex")]
pub(crate) fn in_place<const N: usize>(
    rule: &impl UpdateRule<N>,
    weights: Tensor<1>,
    gradient: &Tensor<1>,
    state: [Tensor<1>; N],
) -> Updated<N> {
    flex::in_place(rule, weights, gradient, state)
}

/// Updates in place where the tensors allow it: nowhere without the backend `flex`.
#[cfg(not(feature = "flex"))]
pub(crate) fn in_place<const N: usize>(
    _rule: &impl UpdateRule<N>,
    weights: Tensor<1>,
    _gradient: &Tensor<1>,
    state: [Tensor<1>; N],
) -> Updated<N> {
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
    use crate::kernel::flex::{contiguous, from_values};
    use crate::kernel::parallel;
    use crate::kernel::vectorize::{Vectorize, vectorize};

    /// Elements that a thread takes at a time.
    const CHUNK: usize = 1 << 14;

    pub(super) fn in_place<const N: usize>(
        rule: &impl UpdateRule<N>,
        weights: Tensor<1>,
        gradient: &Tensor<1>,
        state: [Tensor<1>; N],
    ) -> Updated<N> {
        let dims = weights.dims();
        let fits = |tensor: &Tensor<1>| {
            !tensor.is_autodiff()
                && tensor.dtype() == DType::F32
                && tensor.dims() == dims
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
        let state = state_storage.each_mut().map(|tensor| tensor.storage_mut());
        let gradient = gradient_storage.storage();
        match weight_storage.try_storage_mut() {
            Some(weights) => {
                let parts = weights.chunks_mut(CHUNK);
                update(rule, parts, gradient, state, |weights| weights);
            }
            // Somebody keeps the weights, as a run does those of the epoch before.
            None => {
                let kept: &[f32] = weight_storage.storage();
                let mut copy = Vec::with_capacity(kept.len());
                let parts = copy.spare_capacity_mut()[..kept.len()]
                    .chunks_mut(CHUNK)
                    .zip(kept.chunks(CHUNK));
                update(rule, parts, gradient, state, |(copy, kept)| {
                    copy.write_copy_of_slice(kept)
                });
                // SAFETY: there is room for as many weights as are kept. `update` is ready with every
                // part of them, which copies the whole part, or panics and does not return.
                unsafe { copy.set_len(kept.len()) };
                weight_storage = from_values(copy, dims);
            }
        }
        Updated {
            weights: Tensor::from_primitive::<Flex>(weight_storage),
            state: state_storage.map(Tensor::from_primitive::<Flex>),
            done: true,
        }
    }

    /// The contiguous storage of a tensor that is known to be on the backend.
    fn storage(tensor: Tensor<1>) -> FlexTensor {
        let primitive = tensor
            .try_into_primitive::<Flex>()
            .expect("a tensor on the flex device is a flex tensor");
        contiguous(primitive)
    }

    /// Updates weights in parts of [`CHUNK`] elements, each once, which `ready` makes of what is known
    /// of them; elements are independent, so the result does not depend on who does which.
    fn update<'w, P: Send, const N: usize>(
        rule: &impl UpdateRule<N>,
        parts: impl ExactSizeIterator<Item = P>,
        gradient: &[f32],
        state: [&mut [f32]; N],
        ready: impl Fn(P) -> &'w mut [f32] + Sync + Send,
    ) {
        let mut state = state.map(|array| array.chunks_mut(CHUNK));
        let state = std::iter::from_fn(move || {
            Some(
                state
                    .each_mut()
                    .map(|chunks| chunks.next().unwrap_or_default()),
            )
        });
        let gradient = gradient.chunks(CHUNK);
        assert_eq!(parts.len(), gradient.len());
        let parts = parts.zip(gradient).zip(state);
        parallel::for_each(parts, |((weights, gradient), state)| {
            vectorize(Update {
                rule,
                weights: ready(weights),
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
