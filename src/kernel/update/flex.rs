//! The updates in place on the CPU backend `flex`.

use burn::backend::Flex;
use burn::backend::flex::FlexTensor;
use burn::tensor::Tensor;

use super::{UpdateRule, Updated, fits};
use crate::kernel::flex::{contiguous, from_values, is_flex};
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
    if !fits(&weights, gradient, &state, is_flex) {
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
