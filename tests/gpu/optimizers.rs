//! Steps of the optimizers.

use burn::module::{Module, Param};
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor};
use celldec::burn;
use celldec::optim::OptimizerConfig;

use crate::{assert_close, cpu, gpu, numbers, tensor, values};

const SHAPE: [usize; 2] = [60, 70];

#[derive(Module, Debug)]
struct Weights {
    values: Param<Tensor<2>>,
}

/// Weights after steps, and a copy that was kept of those after the second one.
fn descend(config: &OptimizerConfig, device: &Device) -> [Vec<f32>; 2] {
    let device = device.clone().autodiff();
    let start = tensor(&numbers(SHAPE[0] * SHAPE[1], 1, 0.5), SHAPE, &device);
    let mut weights = Weights {
        values: Param::from_tensor(start.require_grad()),
    };
    let mut optimizer = config.init();
    let mut kept = None;
    for step in 0..12 {
        let gradient: Vec<f32> = numbers(SHAPE[0] * SHAPE[1], 2 + step % 5, 1.0)
            .into_iter()
            .enumerate()
            .map(|(i, x)| {
                if i % 31 == 0 {
                    0.0
                } else {
                    x * 10f32.powi((i % 7) as i32 - 5)
                }
            })
            .collect();
        let mut gradients = GradientsParams::new();
        let inner = device.clone().inner();
        gradients.register(weights.values.id, tensor(&gradient, SHAPE, &inner));
        weights = optimizer.step(1e-2, weights, gradients);
        if step == 1 {
            kept = Some(weights.clone());
        }
    }
    [weights, kept.expect("kept")].map(|weights| values(weights.values.val().inner()))
}

#[test]
fn steps_are_those_of_the_cpu_and_leave_copies_alone() {
    let Some(gpu) = gpu() else { return };
    for config in [
        OptimizerConfig::adam(),
        OptimizerConfig::amsgrad(),
        OptimizerConfig::amsgrad().with_weight_decay(0.1),
        OptimizerConfig::adadelta(0.95),
        OptimizerConfig::sgd(0.9),
        OptimizerConfig::sgd(0.0),
    ] {
        let found = descend(&config, &gpu);
        let expected = descend(&config, &cpu());
        for (found, expected) in found.iter().zip(&expected) {
            assert_close(found, expected, 1e-6, &format!("{config:?}"));
        }
    }
}
