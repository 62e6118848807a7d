//! Rows 14 and 15: the ends of what assignments and likelihoods can be given.

use burn::tensor::Tensor;
use celldec::kernel::likelihood::{nb_negative_log_likelihood, zinb_negative_log_likelihood};
use celldec::loss::{ClusteringLoss, KlDivergence, SharpenedTarget, Target};
use celldec::pairs::{CannotLinkLoss, ConstraintLoss, MustLinkLoss};
use ndarray::array;

use super::*;
use celldec::graph::{EmbeddedCells, NeighborMemory};
use celldec::tensors::{array_to_tensor, tensor_to_array};

fn finite<const D: usize>(tensor: Tensor<D>) -> bool {
    let data = tensor.into_data_as::<f32>();
    data.as_slice::<f32>()
        .unwrap()
        .iter()
        .all(|value| value.is_finite())
}

/// Value and gradient by `inputs` of a loss of them are finite.
fn check<const N: usize>(
    what: &str,
    inputs: [Tensor<2>; N],
    loss: impl Fn([Tensor<2>; N]) -> Tensor<1>,
) {
    let inputs = inputs.map(|input| {
        let device = input.device().autodiff();
        Tensor::from_inner(input).to_device(&device).require_grad()
    });
    let value = loss(inputs.clone());
    assert!(finite(value.clone().inner()), "{what}: the loss");
    let gradients = value.backward();
    for (number, input) in inputs.iter().enumerate() {
        // What an input has no part in has no gradient.
        if let Some(gradient) = input.grad(&gradients) {
            assert!(finite(gradient), "{what}: the gradient by input {number}");
        }
    }
}

pub fn row_14_one_hot_assignments_have_finite_losses_and_gradients() {
    let device = cpu();
    let tensor = |values: [[f32; 2]; 2]| Tensor::<2>::from_data(values, &device);
    let (one, other) = (
        tensor([[1.0, 0.0], [0.0, 1.0]]),
        tensor([[0.0, 1.0], [1.0, 0.0]]),
    );
    for (what, q, p) in [
        ("equal", one.clone(), one.clone()),
        ("opposite", one.clone(), other.clone()),
    ] {
        let target = p.clone();
        check(what, [q.clone()], |[q]| {
            let target = Tensor::from_inner(target.clone()).to_device(&q.device());
            KlDivergence::new().forward(q, target)
        });
        check(what, [q.clone(), p.clone()], |[q, p]| {
            MustLinkLoss::new().forward(q, p)
        });
        check(what, [q, p], |[q, p]| CannotLinkLoss::new().forward(q, p));
    }
    // A column that no cell has anything of.
    let q = array![[1.0f32, 0.0, 0.0], [0.0, 1.0, 0.0]];
    let memory = NeighborMemory::new(1);
    let embedding = array![[0.0f32], [1.0]];
    let cells = EmbeddedCells::new(embedding.view(), &memory);
    let target = SharpenedTarget::new().target(array_to_tensor(q.view(), &device), &cells);
    let target = tensor_to_array(target.unwrap());
    assert!(target.iter().all(|p| p.is_finite()), "{target}");
    assert!(
        target
            .rows()
            .into_iter()
            .all(|row| (row.sum() - 1.0).abs() < 1e-6),
        "{target}"
    );
}

pub fn row_15_extreme_logits_have_finite_losses_and_gradients() {
    let device = cpu();
    let ends = [-100.0f32, -30.0, 0.0, 30.0, 100.0];
    for count in [0.0f32, 1.0, 1e7] {
        for factor in [1e-4f32, 1.0, 1e4] {
            for mean in ends {
                let grid = |of: fn(f32, f32) -> f32| {
                    let values = ndarray::Array2::from_shape_fn((5, 5), |(row, column)| {
                        of(ends[row], ends[column])
                    });
                    array_to_tensor(values.view(), &device)
                };
                let full = |value: f32| Tensor::<2>::full([5, 5], value, &device);
                let (counts, factors) = (full(count), Tensor::<1>::full([5], factor, &device));
                let on = |tensor: &Tensor<2>, device: &Device| {
                    Tensor::from_inner(tensor.clone()).to_device(device)
                };
                let inputs = [full(mean), grid(|row, _| row), grid(|_, column| column)];
                let what = format!("count {count}, size factor {factor}, mean logit {mean}");
                check(&what, inputs, |[mean, dispersion, dropout]| {
                    let device = mean.device();
                    let factors = Tensor::from_inner(factors.clone()).to_device(&device);
                    let counts = on(&counts, &device);
                    let plain = nb_negative_log_likelihood(
                        counts.clone(),
                        factors.clone(),
                        mean.clone(),
                        dispersion.clone(),
                    );
                    let inflated =
                        zinb_negative_log_likelihood(counts, factors, mean, dispersion, dropout);
                    plain.mean() + inflated.mean()
                });
            }
        }
    }
}
