//! Whether all values of a tensor are finite.

use burn::tensor::Tensor;

/// Whether no value of a tensor outside automatic differentiation is NaN or infinite.
pub(crate) fn is_finite<const D: usize>(tensor: &Tensor<D>) -> bool {
    #[cfg(feature = "flex")]
    if let Some(finite) = flex::is_finite(tensor) {
        return finite;
    }
    // Zero times a number is zero, times NaN or infinity NaN: one number leaves the device.
    (tensor.clone() * 0.0).sum().into_scalar::<f32>() == 0.0
}

#[cfg(feature = "flex")]
mod flex {
    use burn::tensor::Tensor;

    use crate::kernel::vectorize::{Vectorize, vectorize};
    use crate::kernel::{flex::storage, parallel};

    /// Values that a thread looks at together.
    const CHUNK: usize = 1 << 16;

    /// Looks at the values in place; nothing for tensors of other backends.
    pub(super) fn is_finite<const D: usize>(tensor: &Tensor<D>) -> Option<bool> {
        let tensor = storage(tensor)?;
        let parts = tensor.as_slice()?.chunks(CHUNK);
        let finite = parallel::map(parts, |values| vectorize(AllFinite { values }));
        Some(finite.into_iter().all(|finite| finite))
    }

    struct AllFinite<'a> {
        values: &'a [f32],
    }

    impl Vectorize for AllFinite<'_> {
        type Output = bool;

        #[inline(always)]
        fn run<const FMA: bool, const WIDE: bool>(self) -> bool {
            // Without a way out of the loop, so that it vectorises.
            self.values
                .iter()
                .fold(true, |all, value| all & value.is_finite())
        }
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, Tensor};

    use super::*;

    #[test]
    fn a_single_value_anywhere_is_found() {
        let device = Device::default();
        for length in [1, 70_000, 200_000] {
            let finite = vec![f32::MAX; length];
            let tensor = |values: &[f32]| Tensor::<1>::from_floats(values, &device);
            assert!(is_finite(&tensor(&finite)));
            for position in [0, length / 2, length - 1] {
                for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                    let mut values = finite.clone();
                    values[position] = value;
                    assert!(!is_finite(&tensor(&values)));
                }
            }
        }
    }
}
