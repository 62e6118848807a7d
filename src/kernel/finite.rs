//! Whether all values of tensors are finite.

use burn::tensor::Tensor;

use super::host;

/// Tensors outside automatic differentiation of which it is asked whether no value is NaN or
/// infinite.
pub(crate) struct FiniteCheck {
    finite: bool,
    /// Zero for each tensor whose values are all finite, on a device still.
    unread: Vec<Tensor<1>>,
}

impl FiniteCheck {
    pub(crate) fn new() -> Self {
        Self {
            finite: true,
            unread: Vec::new(),
        }
    }

    /// Adds a tensor.
    pub(crate) fn add<const D: usize>(&mut self, tensor: &Tensor<D>) {
        #[cfg(feature = "flex")]
        if let Some(finite) = flex::is_finite(tensor) {
            self.finite &= finite;
            return;
        }
        #[cfg(any(feature = "wgpu", feature = "cuda"))]
        if let Some(count) = super::cube::finite::not_finite(tensor) {
            self.unread.push(count);
            return;
        }
        // Zero times a number is zero, times NaN or infinity NaN: one number leaves the device.
        self.unread.push((tensor.clone() * 0.0).sum());
    }

    /// Whether all are finite.
    ///
    /// # Errors
    /// What the device says when its work failed.
    pub(crate) fn passes(self) -> Result<bool, String> {
        let numbers = host::read(self.unread)?;
        Ok(self.finite && numbers.into_iter().all(|number| number == 0.0))
    }
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
            let is_finite = |values: &[f32]| {
                let mut check = FiniteCheck::new();
                check.add(&tensor(&finite));
                check.add(&tensor(values));
                check.passes().expect("the CPU")
            };
            assert!(is_finite(&finite));
            for position in [0, length / 2, length - 1] {
                for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                    let mut values = finite.clone();
                    values[position] = value;
                    assert!(!is_finite(&values));
                }
            }
        }
    }
}
