//! The fused pass as an operation of the CPU backend `flex` with its own backward step.

use burn::backend::Flex;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops};
use burn::backend::flex::FlexTensor;
use burn::tensor::Tensor;

use super::fused::{self, Inputs};
use crate::kernel::flex::{from_values, storage, times_upstream};
use crate::kernel::operation::{Parent, record};

/// The mean by the fused pass, or nothing where it does not apply: another backend or float type,
/// inputs without [sizes](super::sizes).
pub(super) fn mean(
    counts: &Tensor<2>,
    size_factors: &Tensor<1>,
    mean_logits: &Tensor<2>,
    dispersion_logits: &Tensor<2>,
    dropout_logits: Option<&Tensor<2>>,
) -> Option<Tensor<1>> {
    let sizes = super::sizes(
        counts,
        size_factors,
        mean_logits,
        dispersion_logits,
        dropout_logits,
    )?;
    let logits = [Some(mean_logits), Some(dispersion_logits), dropout_logits];
    let logits: Vec<&Tensor<2>> = logits.into_iter().flatten().collect();
    let primitives = Primitives {
        counts: storage(counts)?,
        size_factors: storage(size_factors)?,
        logits: logits.iter().map(|l| storage(l)).collect::<Option<_>>()?,
        cells: sizes.cells,
        genes: sizes.genes,
    };
    match *logits.as_slice() {
        [m, d] => differentiable(&primitives, [m, d]),
        [m, d, l] => differentiable(&primitives, [m, d, l]),
        _ => None,
    }
}

struct Primitives {
    counts: FlexTensor,
    size_factors: FlexTensor,
    /// Mean, dispersion and, if any, dropout.
    logits: Vec<FlexTensor>,
    cells: usize,
    genes: usize,
}

impl Primitives {
    /// The mean, `[1]`, and its gradient by each of the logits if asked for.
    fn run(&self, differentiate: bool) -> Option<(FlexTensor, Vec<FlexTensor>)> {
        let (mean, gradients) = fused::mean(
            Inputs {
                counts: self.counts.as_slice()?,
                size_factors: self.size_factors.as_slice()?,
                mean_logits: self.logits.first()?.as_slice()?,
                dispersion_logits: self.logits.get(1)?.as_slice()?,
                dropout_logits: match self.logits.get(2) {
                    Some(logits) => Some(logits.as_slice()?),
                    None => None,
                },
                cells: self.cells,
                genes: self.genes,
            },
            differentiate,
        );
        let gradients = gradients.map_or_else(Vec::new, |g| {
            let rows = g.dispersion.len() / self.genes;
            [
                (g.mean, self.cells),
                (g.dispersion, rows),
                (g.dropout, self.cells),
            ]
            .into_iter()
            .take(self.logits.len())
            .map(|(values, rows)| from_values(values, [rows, self.genes]))
            .collect()
        });
        let mean = from_values(vec![mean as f32], [1]);
        Some((mean, gradients))
    }
}

/// The mean, in the graph of its logits if they are in one.
fn differentiable<const N: usize>(
    primitives: &Primitives,
    logits: [&Tensor<2>; N],
) -> Option<Tensor<1>> {
    let tracked = logits.iter().any(|logits| logits.is_tracked());
    let (mean, gradients) = primitives.run(tracked)?;
    let state = <[_; N]>::try_from(gradients);
    if tracked && state.is_err() {
        return None;
    }
    let parents = logits.map(|logits| logits as &dyn Parent<Flex>);
    record::<Flex, _, N, 1>(LikelihoodMean, parents, mean, || {
        state.expect("a tracked logit was asked for its gradient")
    })
}

/// Backward step: the gradients were computed with the value; they only need the factor from
/// above.
#[derive(Debug)]
struct LikelihoodMean;

impl<const N: usize> Backward<Flex, N> for LikelihoodMean {
    type State = [FlexTensor; N];

    fn backward(
        self,
        ops: Ops<Self::State, N>,
        grads: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let upstream = grads.consume::<Flex>(&ops.node);
        for (parent, gradient) in ops.parents.into_iter().zip(ops.state) {
            if let Some(parent) = parent {
                grads.register::<Flex>(parent.id, times_upstream(gradient, &upstream));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{DType, Device, TensorData};

    use super::*;

    const CELLS: usize = 19;
    const GENES: usize = 70;

    fn matrix(rows: usize, seed: usize, device: &Device) -> Tensor<2> {
        let values: Vec<f32> = (0..rows * GENES)
            .map(|i| ((i * 31 + seed * 17) % 101) as f32 / 20.0 - 2.5)
            .collect();
        Tensor::from_data(TensorData::new(values, [rows, GENES]), device)
    }

    fn counts(device: &Device) -> Tensor<2> {
        matrix(CELLS, 1, device).clamp_min(0.0).floor()
    }

    fn size_factors(device: &Device) -> Tensor<1> {
        Tensor::from_data(TensorData::new(vec![0.7f32; CELLS], [CELLS]), device)
    }

    fn number(tensor: Tensor<1>) -> f32 {
        tensor.into_scalar::<f32>()
    }

    #[test]
    fn taken_with_and_without_gradients_and_under_both_checkpointing_strategies() {
        let plain = Device::default();
        let devices = [
            plain.clone(),
            plain.clone().autodiff(),
            plain.clone().autodiff().gradient_checkpointing(),
        ];
        let means = devices.map(|device| {
            let [m, d, l] = [2, 3, 4].map(|seed| matrix(CELLS, seed, &device));
            let (counts, size_factors) = (counts(&plain), size_factors(&plain));
            let m = if device.is_autodiff() {
                m.require_grad()
            } else {
                m
            };
            let mean = mean(&counts, &size_factors, &m, &d, Some(&l)).expect("the fused pass");
            if device.is_autodiff() {
                // A later operation on the same device accepts the result.
                let gradients = (mean.clone() * m.clone().sum()).backward();
                assert!(m.grad(&gradients).is_some());
            }
            number(mean.inner())
        });
        assert_eq!(means[0].to_bits(), means[1].to_bits());
        assert_eq!(means[0].to_bits(), means[2].to_bits());
    }

    #[test]
    fn left_to_the_composed_form_where_it_does_not_apply() {
        let plain = Device::default();
        let [m, d] = [2, 3].map(|seed| matrix(CELLS, seed, &plain));
        let (x, s) = (counts(&plain), size_factors(&plain));
        assert!(mean(&x, &s, &m, &d, None).is_some());
        assert!(mean(&x, &s, &m.clone().cast(DType::F64), &d, None).is_none());
        let tracked = s.clone().autodiff().require_grad();
        assert!(mean(&x, &tracked, &m, &d, None).is_none());
        let empty = Tensor::<2>::zeros([0, GENES], &plain);
        let none = Tensor::<1>::zeros([0], &plain);
        assert!(mean(&empty, &none, &empty, &empty, None).is_none());
    }

    #[test]
    fn reads_views_and_scales_by_the_gradient_from_above() {
        let plain = Device::default();
        let device = plain.clone().autodiff();
        let gradient = |m: Tensor<2>, weight: f32| {
            let d = matrix(CELLS, 3, &device);
            let loss = mean(&counts(&plain), &size_factors(&plain), &m, &d, None);
            let gradients = (loss.expect("the fused pass") * weight).backward();
            m.grad(&gradients).expect("a gradient")
        };
        let m = matrix(CELLS, 2, &plain);
        let view = m.clone().transpose().to_data();
        let view = Tensor::<2>::from_data(view, &plain).transpose();
        let by_copy = gradient(m.autodiff().require_grad(), 1.0);
        let by_view = gradient(view.autodiff().require_grad(), 1.0);
        by_copy.to_data().assert_eq(&by_view.to_data(), true);
        let weighted = gradient(matrix(CELLS, 2, &device).require_grad(), 4.0);
        (by_copy * 4.0)
            .to_data()
            .assert_eq(&weighted.to_data(), true);
    }
}
