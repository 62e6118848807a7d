//! The mean squared error in one pass, as an operation of the CPU backend `flex` with its own
//! backward step.

use std::mem::MaybeUninit;

use burn::backend::Flex;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops};
use burn::backend::flex::FlexTensor;
use burn::tensor::Tensor;

use crate::kernel::flex::{from_values, storage, times_upstream};
use crate::kernel::operation::record;
use crate::kernel::parallel;
use crate::kernel::vectorize::{Vectorize, vectorize};

/// Entries a task handles; part of the definition of the result, because sums are formed per
/// block.
const BLOCK: usize = 1 << 14;
/// Partial sums of a block; independent of the vector width of the CPU.
const PARTIAL_SUMS: usize = 64;

/// The mean by the fused pass, or nothing where it does not apply: another backend or float
/// type, a target that is differentiated, shapes that only broadcasting would unite.
pub(super) fn mean(reconstruction: &Tensor<2>, target: &Tensor<2>) -> Option<Tensor<1>> {
    let [cells, genes] = reconstruction.dims();
    if target.dims() != [cells, genes] || cells * genes == 0 || target.is_tracked() {
        return None;
    }
    let (values, targets) = (storage(reconstruction)?, storage(target)?);
    let pass = Pass {
        values: values.as_slice()?,
        targets: targets.as_slice()?,
        shape: [cells, genes],
    };
    let (mean, gradient) = if reconstruction.is_autodiff() {
        let (mean, gradient) = pass.mean_and_gradient();
        (mean, Some(gradient))
    } else {
        (pass.mean(), None)
    };
    record::<Flex, _, 1, 1>(SquaredErrorMean, [reconstruction], mean, || {
        gradient.expect("made inside automatic differentiation")
    })
}

#[derive(Clone, Copy)]
struct Pass<'a> {
    values: &'a [f32],
    targets: &'a [f32],
    shape: [usize; 2],
}

impl Pass<'_> {
    fn mean(self) -> FlexTensor {
        let sums = parallel::map(self.blocks(), |(values, targets)| {
            vectorize(Block {
                values,
                targets,
                gradient: &mut [],
                factor: 0.0,
            })
        });
        self.divided(sums)
    }

    fn mean_and_gradient(self) -> (FlexTensor, FlexTensor) {
        let length = self.values.len();
        assert_eq!(length, self.targets.len());
        let mut gradient = Vec::with_capacity(length);
        let factor = 2.0 / length as f32;
        let room = gradient.spare_capacity_mut()[..length].chunks_mut(BLOCK);
        let sums = parallel::map(self.blocks().zip(room), |((values, targets), gradient)| {
            vectorize(Block {
                values,
                targets,
                gradient,
                factor,
            })
        });
        // SAFETY: there is room for `length` entries. Values, targets and gradient are equally
        // long and cut at the same places, so that every part of the gradient has a block, which
        // writes all of it; a block that panics does not let us come here.
        unsafe { gradient.set_len(length) };
        (self.divided(sums), from_values(gradient, self.shape))
    }

    fn blocks(&self) -> impl Iterator<Item = (&[f32], &[f32])> + Send {
        self.values.chunks(BLOCK).zip(self.targets.chunks(BLOCK))
    }

    fn divided(&self, sums: Vec<f64>) -> FlexTensor {
        let mean = sums.iter().sum::<f64>() / self.values.len() as f64;
        from_values(vec![mean as f32], [1])
    }
}

/// The sum of squares over a block and its gradient, if there is room for it.
struct Block<'a> {
    values: &'a [f32],
    targets: &'a [f32],
    gradient: &'a mut [MaybeUninit<f32>],
    factor: f32,
}

impl Vectorize for Block<'_> {
    type Output = f64;

    #[inline(always)]
    fn run<const FMA: bool, const WIDE: bool>(self) -> f64 {
        for ((gradient, value), target) in
            self.gradient.iter_mut().zip(self.values).zip(self.targets)
        {
            gradient.write(self.factor * (value - target));
        }
        let mut sums = [0.0f32; PARTIAL_SUMS];
        let chunks = self.values.chunks(PARTIAL_SUMS);
        for (values, targets) in chunks.zip(self.targets.chunks(PARTIAL_SUMS)) {
            for ((sum, value), target) in sums.iter_mut().zip(values).zip(targets) {
                *sum += (value - target) * (value - target);
            }
        }
        sums.iter().map(|&sum| f64::from(sum)).sum()
    }
}

/// Backward step: the gradient was computed with the value.
#[derive(Debug)]
struct SquaredErrorMean;

impl Backward<Flex, 1> for SquaredErrorMean {
    type State = FlexTensor;

    fn backward(
        self,
        ops: Ops<Self::State, 1>,
        grads: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let upstream = grads.consume::<Flex>(&ops.node);
        let [parent] = ops.parents;
        if let Some(parent) = parent {
            let gradient = times_upstream(ops.state, &upstream);
            grads.register::<Flex>(parent.id, gradient);
        }
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{DType, Device, TensorData};

    use super::*;

    fn tensor(shape: [usize; 2], seed: usize, device: &Device) -> Tensor<2> {
        let values: Vec<f32> = (0..shape[0] * shape[1])
            .map(|i| ((i * 7919 + seed * 104_729) % 10_007) as f32 / 1000.0 - 5.0)
            .collect();
        Tensor::from_data(TensorData::new(values, shape), device)
    }

    #[test]
    fn agrees_with_the_composed_form() {
        let plain = Device::default();
        for device in [
            plain.clone().autodiff(),
            plain.clone().autodiff().gradient_checkpointing(),
        ] {
            for shape in [[1, 1], [3, 50], [130, 301]] {
                let run = |fused: bool| {
                    let values = tensor(shape, 1, &device).require_grad();
                    let target = tensor(shape, 2, &plain);
                    let loss = match fused {
                        true => mean(&values, &target).expect("the fused pass"),
                        false => (values.clone() - tensor(shape, 2, &device)).square().mean(),
                    };
                    let gradients = (loss.clone() * 0.7).backward();
                    let gradient = values.grad(&gradients).expect("a gradient");
                    (loss.into_scalar::<f32>(), gradient)
                };
                let ((fused, by_fused), (composed, by_composed)) = (run(true), run(false));
                assert!((fused / composed - 1.0).abs() < 1e-5, "{fused} {composed}");
                let error = (by_fused - by_composed).abs().max().into_scalar::<f32>();
                assert!(
                    error <= 2e-6 * 20.0 / (shape[0] * shape[1]) as f32,
                    "{error}"
                );
            }
        }
    }

    #[test]
    fn without_gradient_and_where_it_does_not_apply() {
        let device = Device::default();
        let (a, b) = (tensor([7, 9], 1, &device), tensor([7, 9], 2, &device));
        let plain = mean(&a, &b).expect("the fused pass").into_scalar::<f32>();
        let tracked = a.clone().autodiff().require_grad();
        let same = mean(&tracked, &b).expect("the fused pass");
        assert_eq!(plain, same.into_scalar::<f32>());
        assert!(mean(&a, &tracked).is_none());
        assert!(mean(&a, &b.clone().cast(DType::F64)).is_none());
        assert!(mean(&a, &tensor([1, 9], 2, &device)).is_none());
    }
}
